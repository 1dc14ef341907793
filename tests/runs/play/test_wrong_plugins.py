"""What a plug-in got wrong is one line, with exit code 2 or 1, before or while the run is played; nothing crashes."""

from pathlib import Path

import pytest

from josh.cli import main

WORLD = """
from josh import BaseEnv, BaseJOSHAgent, BaseJOSHUser, Expand, Task
from josh.strategies.beam import BeamSearch


class A(BaseJOSHAgent):
    pass


class U(BaseJOSHUser):
    pass


class W(BaseEnv):
    agents = {"offline": A}
    users = {"offline": U}
    max_rounds = 3

    def tasks(self, split):
        return [Task("t0", 0, {})]

    def goals(self, task):
        return ["say hello"]


class NoRewards(W):
    rewards = None


class Five(W):
    agents = {"offline": 5}


class NoSplits(W):
    splits = ()


class OneSplit(W):
    splits = "train"


class TextOfGoals(W):
    def goals(self, task):
        return "a sale"


class NoRounds(W):
    max_rounds = 0


class OddTools(A):
    tools = {"a": 1}


class World:
    def call(self, name, arguments):
        return None

    def observe(self):
        return {"a set"}


class OddWorld(W):
    def world(self, task):
        return World()


class Odd(BeamSearch):
    answer = None

    def plan(self, tree):
        return self.answer


class OneExpand(Odd):
    answer = Expand(0, "agent")


class Tuples(Odd):
    answer = ((0, "agent"),)


class TextSpeaker(Odd):
    answer = (Expand(0, "agent"),)


class OneText(BeamSearch):
    def plan(self, tree):
        return (Expand(0, tree.nodes[0].speaker.other, "Guess."),)


class Numbers(BeamSearch):
    def plan(self, tree):
        return (Expand(0, tree.nodes[0].speaker.other, (1, 2)),)


class NoTree(BeamSearch):
    def update(self, tree):
        return None


class NoWords(BeamSearch):
    def describe(self):
        return 1 / 0


class Inner(BeamSearch):
    def result(self, tree, rewards):
        return tree, (99,)


class NoResult(BeamSearch):
    def result(self, tree, rewards):
        return None


class Fails(BeamSearch):
    def result(self, tree, rewards):
        return 1 / 0
"""


@pytest.fixture(autouse=True)
def world(elsewhere):
    Path("w.py").write_text(WORLD)


def refused(capsys, *arguments):
    """The one line on stderr of a run that is refused."""
    assert main(["--env", "./w.py:W", *arguments]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert not list(Path().glob("records/*"))
    return error


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ("NoRewards", "rewards is None; give a short name, module:Class, ./file.py:Class or a class"),
        ("Five", "agent is 5; give a short name"),
        ("NoSplits", "has splits (); give a tuple of names"),
        ("OneSplit", "has splits 'train'; give a tuple of names"),
        ("TextOfGoals", "task t0: goals() gives the text 'a sale'; give a list of goals"),
        ("NoRounds", "has max_rounds 0; give 1 or more"),
    ],
)
def test_a_world_that_is_wrong(env, words, capsys):
    assert words in refused(capsys, "--env", f"./w.py:{env}")


def test_tools_that_are_not_a_list_of_schemas(capsys):
    assert "task t0: the agent's tools are {'a': 1}; give a list" in refused(capsys, "--agent", "./w.py:OddTools")


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        ("Odd", "strategy Odd: plan() gives None; give a tuple of Expand"),
        ("OneExpand", "strategy OneExpand: plan() gives Expand("),
        ("Tuples", "strategy Tuples: plan() gives ((0, 'agent'),); give a tuple of Expand"),
        ("TextSpeaker", "a plan gives 'agent' as the speaker of node 0; give a josh.Speaker"),
        ("OneText", "a plan gives 'Guess.' as the directives of node 0; give a tuple of texts"),
        ("Numbers", "a plan gives (1, 2) as the directives of node 0; give a tuple of texts"),
        ("NoTree", "strategy NoTree: update() gives None; give the tree, changed or not"),
        ("NoWords", "NoWords.describe(): ZeroDivisionError: division by zero"),
    ],
)
def test_a_strategy_that_is_wrong(strategy, words, capsys):
    assert words in refused(capsys, "--strategy", f"./w.py:{strategy}")


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        ("Inner", "Inner.result() names 99, which is not the end of a conversation"),
        ("NoResult", "NoResult.result() gives None; give the tree and the leaves that count"),
        ("Fails", "Fails.result() failed: ZeroDivisionError"),
    ],
)
def test_a_result_that_is_none(strategy, words, capsys):
    assert main(["--env", "./w.py:W", "--strategy", f"./w.py:{strategy}"]) == 1
    assert words in capsys.readouterr().out


def test_a_world_that_says_what_json_has_no_form_for_costs_its_leaf(capsys):
    assert main(["--env", "./w.py:OddWorld"]) == 1
    assert "Object of type set is not JSON serializable" in capsys.readouterr().out


def test_a_flag_that_a_command_does_not_take_is_refused_for_what_it_is(capsys):
    assert main(["--env", "./w.py:W", "--josh"]) == 0
    (run,) = Path("records").iterdir()
    assert main(["rescore", "--trust", str(run), "--beam_size", "4"]) == 2
    assert "beam_size is given, but `josh rescore` does not take it; leave it out" in capsys.readouterr().err


def test_an_export_for_a_side_that_never_branches_says_so(capsys):
    assert main(["--env", "./w.py:W", "--josh"]) == 0
    (run,) = Path("records").iterdir()
    assert main(["export", str(run), "--format", "dpo", "--learner", "user", "--out", "u.jsonl"]) == 2
    assert "trees in which the user has no sibling turns (1)" in capsys.readouterr().err
