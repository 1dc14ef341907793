"""Facts of a conversation, which the rewards find after each turn; pairs of siblings that they compare."""

import asyncio

import pytest
from toy_phone import Phone

from josh import BaseJOSHAgent, BaseJOSHUser, BaseRewards, Outcome, Pair, play
from josh.strategies.fan_out import FanOut
from josh.testing import ScriptedModel
from josh.tree import leaves

TABLE = [["agent", ["a", "b"]], ["user", ["yes", "no"]], ["agent", ["c"]]]


class Says(BaseJOSHAgent):
    def step(self, *, directive=None, **_):
        self.add_message({"role": "assistant", "content": directive})
        return True


class Answers(BaseJOSHUser):
    def step(self, agent, *, directive=None, **_):
        agent.add_message({"role": "user", "content": directive})
        return agent, False


class Counts(BaseRewards):
    """Counts the turns, and ends a conversation at a `yes`."""

    def facts(self, task, conversation):
        *before, last = conversation.turns
        said = last.messages[-1]["content"]
        return {"number": 1 + (before[-1].facts["number"] if len(before) > 1 else 0), "said": said}

    def ended(self, facts):
        return Outcome.LOST if facts["said"] == "yes" else None

    def pairs(self, task, tree):
        for index, node in enumerate(tree.nodes):
            if index and node.directive == "yes":
                yield Pair(index + 1, index, "no", (1.0, 0.5), "by rule")


def played(rewards, **given):
    env = Phone({})
    task, strategy = env.tasks("train")[0], FanOut(table=TABLE)
    return asyncio.run(play(task, env, agent=Says, user=Answers, rewards=rewards, strategy=strategy, **given))


def test_each_turn_has_its_facts_and_those_of_earlier_turns_can_be_read():
    tree = played(Counts).tree
    assert [node.turn.facts for node in tree.nodes[1:4]] == [
        {"number": 1, "said": "a"}, {"number": 1, "said": "b"}, {"number": 2, "said": "yes"},
    ]  # fmt: skip
    assert {tree.nodes[leaf].turn.facts["number"] for leaf in leaves(tree)} == {2, 3}


def test_facts_can_end_a_branch():
    episode = played(Counts)
    ended = {episode.tree.nodes[leaf].directive: outcome for leaf, outcome in episode.outcomes.items()}
    assert ended == {"yes": Outcome.LOST, "c": Outcome.TRUNCATED}
    assert len(episode.tree.nodes) == 1 + 2 + 4 + 2


def test_facts_may_come_from_the_judge_and_its_calls_are_counted():
    class Judged(BaseRewards):
        async def facts(self, task, conversation, judge=None):
            reply = await judge.reply(conversation.messages)
            return {"grade": reply.text}

    model = ScriptedModel(["good"] * 20)
    episode = played(Judged, judge_model=model)
    assert {node.turn.facts["grade"] for node in episode.tree.nodes[1:]} == {"good"}
    assert episode.judged.calls == len(model.requests) == len(episode.tree.nodes) - 1


@pytest.mark.parametrize("facts", [3, ["a"], {"a": object()}])
def test_facts_that_are_not_json_by_name_end_their_own_turn_in_an_error(facts):
    class Wrong(BaseRewards):
        def facts(self, task, conversation):
            return facts

    episode = played(Wrong)
    assert "Wrong.facts() is" in episode.error
    assert episode.tree.nodes[1].turn.outcome is Outcome.INFRA_ERROR


def test_an_ending_that_is_not_an_outcome_is_refused():
    class Wrong(Counts):
        def ended(self, facts):
            return "lost"

    assert "Wrong.ended() is 'lost'; give a josh.Outcome or None" in played(Wrong).error


def test_pairs_are_compared_when_the_tree_is_finished():
    episode = played(Counts)
    assert [(pair.label, pair.values, pair.note) for pair in episode.pairs] == [("no", (1.0, 0.5), "by rule")] * 2
    assert {episode.tree.nodes[pair.better].directive for pair in episode.pairs} == {"no"}


@pytest.mark.parametrize(
    ("pair", "line"),
    [
        (Pair(1, 3, "no"), "compares nodes 1 and 3; give two turns after one node"),
        (Pair(1, 1, "no"), "compares nodes 1 and 1"),
        (Pair(0, 99, "no"), "compares nodes 0 and 99"),
        ((1, 2), "give josh.Pair"),
    ],
)
def test_a_pair_of_turns_that_are_not_siblings_is_refused(pair, line):
    class Wrong(Counts):
        def pairs(self, task, tree):
            return [pair]

    assert line in played(Wrong).error
