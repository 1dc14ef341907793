"""A recorded run under another reward."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
from playing import run

from josh.cli import main
from josh.dialogue import Hit, Outcome, Speaker, Turn
from josh.outcomes import final_outcome
from josh.rewards.donation import DonationRewards
from josh.roles import BaseRewards
from josh.runs.play import rescore
from josh.strategies.beam import BeamSearch
from josh.strategies.rollouts import Rollouts
from josh.tree import Node, plant

FILES = ("episodes.jsonl", "training_examples.jsonl")


pytestmark = pytest.mark.usefixtures("elsewhere")


def rescored(folder, log_dir, *flags):
    """Rescore a run; the new folder."""
    assert main(["rescore", "--trust", str(folder), "--log_dir", log_dir, *map(str, flags)]) == 0
    (new,) = Path(log_dir).iterdir()
    return new


def same(one, other):
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in FILES)


def episodes(folder):
    return [json.loads(line) for line in (folder / "episodes.jsonl").read_text(encoding="utf-8").splitlines()]


TOY = ("--env", "toy_world:World")
ROLLOUTS = ("--rollouts", 5, "--temperature", 1)
FAN = ("--strategy", "fan_out", "--strategy.go_on", "--rewards", "toy_world:Counting")
WAYS = {
    "donation searches": ("--josh",),
    "donation searches with a least reward": ("--josh", "--min_reward", 1),
    "donation searches to the end": ("--josh", "--stop", "best"),
    "donation rollouts": ("--rollouts", 3, "--temperature", 1),
    "plain conversations": (),
    "searches for several goals of the agent": (*TOY, "--josh"),
    "searches to the end for several goals of the agent": (*TOY, "--josh", "--stop", "best"),
    "searches to the end for several donations": (*TOY, "--josh", "--stop", "best", "--rewards", "donation"),
    "searches for several donations": (*TOY, "--josh", "--rewards", "donation"),
    "searches for goals that JSON has no form for": ("--env", "toy_world:Pairs", "--josh"),
    "rollouts for several goals of the agent": (*TOY, *ROLLOUTS),
    "rollouts for several donations": (*TOY, *ROLLOUTS, "--rewards", "donation"),
    "fans with facts, endings and pairs": FAN,
}


@pytest.mark.parametrize("way", WAYS)
def test_the_same_reward_gives_the_same_bytes(way):
    original = run("runs", *WAYS[way])
    again = rescored(original, "again")
    assert same(original, again)
    before, after = (json.loads((folder / "summary.json").read_text()) for folder in (original, again))
    bill = {"usage", "cost", "unpriced", "truncated"}
    assert {name: before[name] for name in before.keys() - bill} == {name: after[name] for name in after.keys() - bill}


def test_several_goals_are_collapsed_to_one_after_another():
    # What the test above relies on: the toy searches collapse several times.
    assert max(len(episode["collapses"]) for episode in episodes(run("runs", *TOY, "--josh"))) > 1


@pytest.mark.parametrize("way", [("--josh",), ("--josh", "--stop", "best"), ("--rollouts", 4, "--temperature", 1)])
def test_a_lower_least_reward_gives_what_a_run_under_it_would_have_given(way):
    strict = run("strict", *way, "--min_reward", 2)
    lenient = run("lenient", *way)
    assert not same(strict, lenient)
    assert same(rescored(strict, "rescored", "--min-reward", 0), lenient)


@pytest.mark.parametrize("rewards", ["goals", "donation"])
@pytest.mark.parametrize("way", [("--josh",), ROLLOUTS])
def test_what_was_played_for_nothing_can_be_rescored_for_either_side(way, rewards):
    world = ("--env", "toy_world:OneGoal", *way)
    for_nothing = run("nothing", *world, "--rewards", "toy_world:Nothing")
    assert same(rescored(for_nothing, "rescored", "--rewards", rewards), run("played", *world, "--rewards", rewards))


@pytest.mark.parametrize("way", [("--josh",), ROLLOUTS])
def test_rescoring_a_rescored_run_changes_nothing_more(way):
    once = rescored(run("runs", *TOY, *way), "once", "--rewards", "donation", "--min_reward", 1)
    assert same(once, rescored(once, "twice"))


def test_facts_endings_and_pairs_are_computed_again():
    played = run("played", *FAN)
    plain = run("plain", *FAN[:-1], "donation")
    again = episodes(rescored(played, "again", "--rewards", "donation"))
    assert not any("pairs" in episode or any("facts" in node for node in episode["nodes"]) for episode in again)
    counted = episodes(rescored(plain, "counted", "--rewards", "toy_world:Counting"))
    assert any(episode["pairs"] for episode in counted)
    for before, after in zip(episodes(played), counted, strict=True):
        facts = {(node["path"], node["phase"]): node.get("facts") for node in after["nodes"]}
        assert all(node.get("facts") == facts[node["path"], node["phase"]] for node in before["nodes"])


def regrown(stored, rewards, strategy):
    return asyncio.run(rescore.regrow(stored, rewards, strategy))


def agent(*goals, **fields):
    words = ({"role": "assistant", "content": "please"},)
    return Speaker.AGENT, Turn(words, words, actions=(goals,), **fields)


def user(text, **fields):
    words = ({"role": "user", "content": text},)
    return Speaker.USER, Turn(words, words, **fields)


def tree(turns):
    """A tree from turns by path and depth, parents first; as a run leaves it, but for what a reward makes of it."""
    nodes = [plant(["gift"]).nodes[0]]
    places = {("", 0): 0}
    for (path, depth), (speaker, turn) in turns.items():
        parent = next(places[up, depth - 1] for up in (path, path.rpartition("/")[0]) if (up, depth - 1) in places)
        places[path, depth] = len(nodes)
        nodes.append(Node(parent, speaker, path, depth, turn, ("gift",), phase=depth))
    return replace(plant(["gift"]), nodes=tuple(nodes), frontier=())


def standing(found):
    """How every node stands: its place, and its outcome where it is a leaf."""
    parents = {node.parent for node in found.nodes}
    return {
        (node.path, node.depth): None if index in parents else str(final_outcome(found, index))
        for index, node in enumerate(found.nodes)
        if index
    }


LEFT = {"outcome": Outcome.WON, "hits": (Hit(0, ("gift",), 0.5),)}
DONATED = {
    ("0", 1): agent(),
    ("1", 1): agent(),
    ("0", 2): user("Never. [DONATE $0]", outcome=Outcome.LOST),
    ("1", 2): user("Who are you?"),
    ("1/0", 3): agent(),
    ("1/1", 3): agent("gift"),
    ("1/0", 4): user("Here you are. [DONATE $0.50]", **LEFT),
    ("1/1", 4): user("And why?"),
}


def test_a_win_that_is_too_little_becomes_a_loss_and_its_rival_was_never_played_on():
    found = regrown(tree(DONATED), DonationRewards(["gift"], min_reward=1.0), BeamSearch(2))
    assert standing(found) == {
        ("0", 1): None,
        ("1", 1): None,
        ("0", 2): "lost",
        ("1", 2): None,
        ("1/0", 3): None,
        ("1/1", 3): None,
        ("1/0", 4): "lost",
        ("1/1", 4): "truncated",
    }
    assert (found.collapses, found.nodes[7].turn.hits) == ((), ())


def test_a_rival_that_the_new_reward_cuts_off_is_lost():
    found = regrown(tree(DONATED), DonationRewards(["gift"]), BeamSearch(2))
    assert (standing(found)["1/0", 4], standing(found)["1/1", 4]) == ("won", "lost")
    assert found.frontier == ()


def test_an_earlier_win_cuts_off_the_turns_that_came_later():
    rewards = BaseRewards(["gift"])
    found = regrown(tree(DONATED), rewards, BeamSearch(2))
    assert standing(found) == {
        ("0", 1): None,
        ("1", 1): None,
        ("0", 2): "user_left",
        ("1", 2): None,
        ("1/0", 3): "lost",
        ("1/1", 3): "won",
    }
    assert rewards.rewards == ["gift"]


def test_a_reward_that_reads_the_agent_takes_a_users_parting_for_no_verdict():
    found = regrown(tree(DONATED), BaseRewards(["something else"]), BeamSearch(2))
    assert [found.nodes[index].turn.outcome for index in (3, 7)] == [Outcome.USER_LEFT, Outcome.USER_LEFT]


def test_every_path_is_judged_by_the_goals_still_open_on_it():
    turns = {
        ("0", 1): agent("gift"),
        ("1", 1): agent(),
        ("0", 2): user("hm"),
        ("1", 2): user("hm"),
        ("0", 3): agent("gift"),
        ("1", 3): agent("gift"),
    }
    found = regrown(tree(turns), BaseRewards(["gift", "other"]), Rollouts(2))
    assert [bool(node.turn.hits) for node in found.nodes] == [False, True, False, False, False, False, True]
    assert [node.open for node in found.nodes[5:]] == [("other",), ("other",)]


def test_errors_and_an_agent_that_gave_up_stay_what_they_are():
    turns = {
        ("0", 1): (Speaker.AGENT, Turn(outcome=Outcome.INFRA_ERROR, error="gone")),
        ("1", 1): agent(outcome=Outcome.LOST),
    }
    assert set(standing(regrown(tree(turns), BaseRewards(["gift"]), BeamSearch(2))).values()) == {"infra_error", "lost"}


def test_leaves_without_further_turns_wait_behind_those_that_were_played_to_the_end():
    turns = {
        ("0", 1): agent(),
        ("1", 1): agent("gift"),
        ("1", 2): user("hm"),
    }
    found = regrown(tree(turns), BaseRewards(["something else"]), BeamSearch(2))
    assert [(found.nodes[leaf].path, found.nodes[leaf].depth) for leaf in found.frontier] == [("0", 1), ("1", 2)]
    leaves = dict.fromkeys(found.frontier, 0.0)
    assert BeamSearch(2).result(found, leaves)[1] == (found.frontier[1],)
    assert standing(found) == {("0", 1): "truncated", ("1", 1): None, ("1", 2): "truncated"}


def test_the_new_folder_stands_beside_the_old_one_which_is_left_alone(capsys):
    original = run("records", *TOY, "--josh")
    before = {path.name: path.read_bytes() for path in original.iterdir()}
    text = capsys.readouterr().out
    assert main(["rescore", "--trust", f"{original}/"]) == 0
    (new,) = set(Path("records").iterdir()) - {original}
    assert new.name.startswith(f"{original.name}-rescored-")
    assert {path.name: path.read_bytes() for path in original.iterdir()} == before
    assert set(before) - {"replies.sqlite"} == {path.name for path in new.iterdir()}
    assert capsys.readouterr().out.splitlines()[:-2] == text.splitlines()[:-2]


def test_the_settings_are_the_old_ones_but_for_what_was_given():
    original = run("records", *TOY, "--josh", "--beam_size", 4)
    new = rescored(original, "new", "--rewards", "donation", "--min_reward", 0.5)
    old, config = (json.loads((folder / "config.json").read_text()) for folder in (original, new))
    assert config["rescored_from"] == original.name
    assert config["plays"] == old["plays"] | {"rewards": "josh.rewards.donation:DonationRewards"}
    output = old["settings"]["output"] | {"log_dir": "new"}
    changed = {"rewards": {"name": "donation", "min_reward": 0.5}, "output": output}
    assert config["settings"] == old["settings"] | changed


def test_neither_keys_nor_corpus_are_needed(endpoint, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    people = {side: {"id": side, "traits": {}} for side in ("persuader", "persuadee")}
    (tmp_path / "tasks.jsonl").write_text(json.dumps({"id": "one", "data": people}))
    url, server = endpoint(respond=lambda body: "Sure. [DONATE $1]")
    flags = ("--model", "us", "--user_model", "them", "--base_url", url, "--user_base_url", url)
    original = run("runs", *flags, "--corpus", "tasks.jsonl", "--josh")
    asked = len(server.requests)
    (tmp_path / "tasks.jsonl").unlink()
    monkeypatch.delenv("OPENAI_API_KEY")
    assert same(original, rescored(original, "new"))
    assert len(server.requests) == asked > 0


def test_a_run_that_was_killed_is_rescored_as_far_as_it_is_whole(capsys):
    original = run("runs", *TOY, "--josh")
    path = original / "episodes.jsonl"
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(whole[:3]) + whole[3][:200])
    (original / "summary.json").unlink()
    capsys.readouterr()
    new = rescored(original, "new")
    assert (new / "episodes.jsonl").read_bytes() == b"".join(whole[:3])
    error = capsys.readouterr().err
    damage = "line 4 of episodes.jsonl is damaged and left out"
    assert error == f"josh: 3 of 12 tasks are complete in {original}; {damage}\n"
    summary = json.loads((new / "summary.json").read_text())
    assert (summary["finished"], summary["tasks"], summary["complete"]) == (3, 12, False)


def test_a_task_that_took_too_long_stays_without_a_score():
    original = run("runs", *TOY, "--josh")
    path = original / "episodes.jsonl"
    first, *others = episodes(original)
    first |= {"error": "the task took longer than 5 seconds", "reported": [], "reward": 0.0, "ending": "aborted"}
    path.write_text("".join(json.dumps(row) + "\n" for row in (first, *others)))
    (original / "replies.sqlite").unlink()  # it has the checksums of the lines
    again = episodes(rescored(original, "new", "--rewards", "donation"))[0]
    assert (again["error"], again["reported"], again["ending"]) == (first["error"], [], "aborted")


def refused(capsys, *arguments):
    """The one line of a refusal, which leaves nothing behind."""
    before = sorted(Path().rglob("*"))
    capsys.readouterr()
    assert main(["rescore", "--trust", *map(str, arguments)]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert sorted(Path().rglob("*")) == before
    return captured.err.strip()


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (
            ("--rewards", "gold"),
            "josh: no rewards named 'gold'; known: call_goals, debate, donation, goals, proactive, ",
        ),
        (("--rewards", ""), "josh: rewards is empty; give a value, or leave it out"),
        (("--rewards", "donation", "--min_reward", 3), "josh: min_reward is 3.0; give 0 to 2 dollars"),
        (("--min_reward", "1"), "josh: min_reward is given, but rewards 'goals' has no such setting; leave it out"),
        (("--rewards", "toy_world:Broken"), "josh: task task 0 cannot be rescored: ZeroDivisionError: no such sum"),
    ],
)
def test_a_reward_that_cannot_be_had_is_refused_in_one_line(capsys, flags, text):
    assert refused(capsys, run("records", *TOY, "--josh"), *flags).startswith(text)


def test_what_is_no_run_is_refused_in_one_line(capsys, tmp_path):
    assert refused(capsys, "none") == (
        "josh: none is not a run: cannot read none/config.json: No such file or directory"
    )
    folder = tmp_path / "odd"
    folder.mkdir()
    config = {"settings": {"beam": 3}, "plays": {"agent": "a:A", "user": "u:U"}, "tasks": 1}
    for content, text in (
        ("{", "josh: odd/config.json is damaged: it ends too early"),
        ("[]", "josh: odd/config.json holds no settings"),
        (json.dumps(config | {"plays": {}}), "josh: odd/config.json has no plug-ins or number of tasks"),
        (json.dumps(config), "josh: odd/config.json: no setting named 'beam'"),
        (
            json.dumps(config | {"settings": {"seed": "x"}}),
            "josh: odd/config.json: seed is 'x'; give a whole number",
        ),
        (json.dumps(config | {"settings": {}}), "josh: odd/episodes.jsonl has no whole episode; there is"),
    ):
        (folder / "config.json").write_text(content)
        assert refused(capsys, "odd").startswith(text)
    (folder / "episodes.jsonl").write_text("{}\n")
    assert refused(capsys, "odd").startswith("josh: odd/episodes.jsonl has no whole episode")


def test_a_rescored_run_is_not_resumed(capsys):
    original = run("runs", "--josh", "--synthetic_tasks", 2)
    new = rescored(original, "again")
    for command in (["--resume", str(new)], ["replay", str(new)]):
        assert main(command) == 2
        assert f"{new} holds rescored trees; give the original run, {original.name}" in capsys.readouterr().err
