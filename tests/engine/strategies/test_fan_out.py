"""Trees by a table of directives."""

import asyncio
import re
from collections import Counter

import pytest
from toy_phone import Phone

from josh import BaseJOSHAgent, BaseJOSHUser, BaseRewards, Search, Speaker, UsageError, play
from josh.branch import Branch
from josh.conformance import PlaceSpeakers
from josh.strategies.fan_out import DIRECTIVES, PUBLISHED, FanOut, Ply, read_table, table_as_text
from josh.testing import ScriptedModel, StrategyConformance
from josh.tree import leaves, plant


class TestFanOut(StrategyConformance):
    def make(self):
        return FanOut()


class TestFanOutPlayedToTheEnd(StrategyConformance):
    def make(self):
        return FanOut(table="[['agent', ['warmly', '']], ['user', 1, ['gladly', 'sadly']]]", go_on=True)


def grown(strategy, opens=Speaker.AGENT, luck=None, seed=0):
    """The finished tree of speakers who say where they stand; with `luck` some branches end early."""
    steps = PlaceSpeakers(1 if luck is None else luck, ())
    root = Branch(BaseJOSHAgent(), BaseJOSHUser(), None, BaseRewards(()))
    tree = plant((), opens, seed=seed)
    search = Search(strategy, steps, tree, root, max_turn_tries=2, parallel=True, max_rounds=4)
    while not search.done:
        asyncio.run(search.advance())
    return search.tree


def by_depth(tree):
    return [number for depth, number in sorted(Counter(node.depth for node in tree.nodes).items()) if depth]


class Stays(BaseJOSHUser):
    """A user who never leaves."""

    def step(self, agent, **_):
        agent.add_message({"role": "user", "content": "go on"})
        return agent, False


def played(strategy, **given):
    env = given.pop("env", Phone({}))
    task = env.tasks("train")[0]
    how = {"agent": given.pop("agent", BaseJOSHAgent), "user": given.pop("user", Stays)}
    return asyncio.run(play(task, env, rewards=given.pop("rewards", BaseRewards), strategy=strategy, **how, **given))


def test_the_published_table_gives_21_turns_and_six_pairs_of_siblings_at_the_end():
    tree = played(FanOut()).tree
    assert by_depth(tree) == [1, 2, 6, 12]
    assert len({tree.nodes[leaf].parent for leaf in leaves(tree)}) == 6
    names = [{node.directive for node in tree.nodes if node.depth == depth} for depth in range(1, 5)]
    assert names[0] < {"resist", "logical"}
    assert names[1:] == [{"resist", "accept"}, {"logical", "emotional", "credibility"}, {"resist", "accept"}]


def test_a_row_that_draws_gives_each_task_its_own_directive():
    drawn = {grown(FanOut(), seed=seed).nodes[1].directive for seed in range(20)}
    assert drawn == {"resist", "logical"}
    assert len({grown(FanOut(), seed=7).nodes[1].directive for _ in range(3)}) == 1


def test_where_the_other_speaker_opens_its_first_turn_has_no_directive():
    tree = grown(FanOut(table=[["agent", ["a", "b"]], ["user", ["c"]]]), Speaker.USER)
    assert [(node.speaker, node.directive) for node in tree.nodes[1:4]] == [
        (Speaker.USER, None), (Speaker.AGENT, "a"), (Speaker.AGENT, "b"),
    ]  # fmt: skip


def test_after_the_table_the_branches_stop_or_are_played_to_their_end():
    table = [["agent", ["a", "b"]]]
    assert by_depth(played(FanOut(table=table)).tree) == [2]
    assert by_depth(played(FanOut(table=table, go_on=True), max_rounds=3).tree) == [2, 2, 2, 2, 2, 2]


def test_equal_siblings_stay_as_they_are():
    model = ScriptedModel(["the same"] * 100)

    class Says(BaseJOSHAgent):
        async def step(self, *, model, **_):
            reply = await model.reply(self.messages)
            self.add_message({"role": "assistant", "content": reply.text})
            return True

    tree = played(FanOut(), agent=Says, model=model).tree
    assert by_depth(tree) == [1, 2, 6, 12]
    assert len(model.requests) == 7
    assert not any(node.turn.duplicate for node in tree.nodes)


def test_a_model_gets_the_text_of_a_directive_and_no_view_has_it():
    class Own(Phone):
        directives = {"accept": "Say yes to all of it."}  # noqa: RUF012

    class Says(BaseJOSHUser):
        async def step(self, agent, *, model, **_):
            reply = await model.reply(self.messages_internal)
            agent.add_message({"role": "user", "content": reply.text})
            return agent, False

    model = ScriptedModel(["well"] * 100)
    episode = played(FanOut(), env=Own({}), user=Says, user_model=model)
    sent = {request.messages[0]["content"].rpartition("\n\n")[2] for request in model.requests}
    assert sent == {"Say yes to all of it.", DIRECTIVES["resist"]}
    said = str([(node.turn.messages, node.turn.internal, node.turn.user_internal) for node in episode.tree.nodes])
    assert not any(text in said for text in sent)


def test_a_step_that_takes_a_directive_gets_its_name():
    heard = []

    class Listens(Stays):
        def step(self, agent, *, directive=None, **_):
            heard.append(directive)
            return super().step(agent)

    played(FanOut(), user=Listens)
    assert set(heard) == {"resist", "accept"}


def test_a_table_is_a_list_a_text_or_a_toml_file(tmp_path):
    rows = [["agent", 1, ["resist", "logical"]], ["user", ["resist", "accept"]]]
    file = tmp_path / "table.toml"
    file.write_text('table = [["agent", 1, ["resist", "logical"]], ["user", ["resist", "accept"]]]\n', encoding="utf-8")
    found = {read_table(rows), read_table(str(rows)), read_table(file), FanOut(table=str(file)).table}
    assert found == {(Ply(Speaker.AGENT, ("resist", "logical"), 1), Ply(Speaker.USER, ("resist", "accept")))}
    assert read_table(table_as_text(PUBLISHED)) == PUBLISHED
    assert FanOut(table=str(file)) == FanOut(table=rows), "a run stores the table, not the name of its file"


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ([], "give at least one row"),
        ("[]", "give at least one row"),
        ([["agent", []]], "row 1 has no directives"),
        ([["judge", ["a"]]], "row 1: the speaker is 'judge'; give agent or user"),
        ([["agent", ["a"]], ["agent", ["b"]]], "row 2: the agent speaks twice in a row"),
        ([["agent", 3, ["a", "b"]]], "row 1 draws 3 of 2 directives; give 1 to 2"),
        ([["agent", 0, ["a", "b"]]], "row 1 draws 0 of 2 directives"),
        ([["agent", True, ["a", "b"]]], "row 1 draws True of 2 directives"),
        ([["agent", "resist"]], "row 1: the directives are 'resist'; give a list of texts"),
        ([["agent", [1]]], "row 1: the directives are [1]; give a list of texts"),
        ([["agent"]], "row 1 is ['agent']; give [speaker, directives]"),
        ("[['agent', ['a'", "which is not a list"),
        ("table.json", "give a list of rows, or a file that ends in .toml"),
        ("missing.toml", "cannot read missing.toml"),
    ],
)
def test_a_wrong_table_is_refused_in_one_line(table, line):
    with pytest.raises(UsageError) as refused:
        FanOut(table=table)
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_toml_file_without_a_table_is_refused(tmp_path):
    file = tmp_path / "table.toml"
    wrong = (
        ("rows = []", "has rows; give one list with the name table"),
        ("table = [", "table.toml"),
        ("table = []", "table.toml: table is []; give at least one row"),
        ('table = [["boss", ["resist"]]]', "table.toml: table row 1: the speaker is 'boss'; give agent or user"),
    )
    for content, line in wrong:
        file.write_text(content, encoding="utf-8")
        with pytest.raises(UsageError, match=re.escape(line)):
            read_table(file)
