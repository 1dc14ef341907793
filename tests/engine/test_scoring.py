"""Scores of finished conversations and values of those that go on, with a judge and without."""

import asyncio
from dataclasses import replace

import pytest
from toy_phone import Helper, Owner, Phone, UserBranches, Works

from josh import BaseRewards, Expand, Outcome, Speaker, Strategy, play
from josh.search import unfinished
from josh.strategies.beam import BeamSearch
from josh.strategies.rollouts import Rollouts
from josh.testing import ScriptedModel


class Judged(Works):
    """Asks a judge how polite a conversation is."""

    async def score(self, task, conversation, judge=None):
        if judge is None:
            return {"turns": len(conversation.turns) - 1}
        said = "\n".join(message["content"] for message in conversation.messages)
        reply = await judge.reply([{"role": "user", "content": f"How polite, from 1 to 5?\n{said}"}])
        return {"polite": float(reply.text), "turns": len(conversation.turns) - 1}


def played(rewards, strategy=None, **given):
    env = given.pop("env", Phone({}))
    task = env.tasks("train")[given.pop("index", 0)]
    how = {"agent": Helper, "user": Owner, "strategy": strategy or Rollouts(3)}
    return asyncio.run(play(task, env, rewards=rewards, **how, **given))


def test_a_judge_scores_each_conversation_that_ended_and_its_calls_are_counted():
    strict, kind = (played(Judged, judge_model=ScriptedModel([grade])) for grade in ("2", "4.5"))
    for episode, grade in ((strict, 2.0), (kind, 4.5)):
        assert {scores["polite"] for scores in episode.scores.values()} == {grade}
        assert episode.scores.keys() == episode.outcomes.keys()
        assert episode.mean_scores["polite"] == grade
        assert episode.judged.calls == len(episode.outcomes) == 3
        assert episode.judged.prompt_tokens > 0
    assert strict.tree == kind.tree, "a score does not steer the search"


def test_without_a_judges_model_there_is_no_judge():
    episode = played(Judged)
    assert {tuple(scores) for scores in episode.scores.values()} == {("turns",)}
    assert episode.judged.calls == 0


def test_rewards_without_scores_have_none():
    episode = played(Works)
    assert (dict(episode.scores), episode.mean_scores) == ({}, {})


def test_a_judge_is_asked_with_seeds_of_its_own_that_follow_from_the_place():
    def seeds(seed):
        judge = ScriptedModel(["3"])
        played(Judged, judge_model=judge, seed=seed)
        return [request.seed for request in judge.requests]

    assert seeds(1) == seeds(1)
    assert len({*seeds(1), *seeds(2)}) == 6


def test_a_score_reads_the_turns_their_actions_and_what_the_world_said():
    heard = []

    class Reads(Works):
        def score(self, task, conversation):
            heard.append(conversation)
            return {"polite": 1}

    episode = played(Reads)
    for conversation, outcome in zip(heard, episode.outcomes.values(), strict=True):
        assert conversation.outcome is outcome
        first, second = conversation.by(Speaker.AGENT)[0], conversation.by(Speaker.USER)[0]
        assert first.actions[0][0]["result"] == {"bars": 3}
        assert (first.observed, second.observed["calls"]) == ({"data": False, "calls": 1}, 2)
        assert [message["role"] for message in second.internal] == ["assistant", "tool", "assistant"]
        assert [message["role"] for message in second.messages] == ["user"]


def test_a_reward_can_come_from_the_scores():
    class Graded(Judged):
        def path_reward(self, goals, hits, scores):
            return scores["polite"] / 5

    episode = played(Graded, judge_model=ScriptedModel(["1", "5", "3"]))
    assert sorted(episode.rewards) == [0.2, 0.6, 1.0]


@pytest.mark.parametrize("score", [{"polite": float("nan")}, {"polite": "high"}, 3])
def test_a_score_that_is_no_number_by_name_leaves_the_task_unscored(score):
    class Wrong(Works):
        def score(self, task, conversation):
            return score

    episode = played(Wrong)
    assert "could not be scored: ValueError: Wrong.score() is" in episode.error
    assert not episode.scored


class Valued(Strategy):
    """Goes on with the leaf that is worth most, and drops the others."""

    def plan(self, tree):
        return tuple(Expand(leaf, tree.nodes[leaf].speaker.other, (None,) * 3, value=True) for leaf in tree.frontier)

    def update(self, tree):
        known = [leaf for leaf in unfinished(tree) if tree.nodes[leaf].turn.value is not None]
        return replace(tree, frontier=tuple(sorted(known, key=lambda leaf: -tree.nodes[leaf].turn.value)[:1]))


class Lengths(Works):
    async def value(self, task, conversation):
        return float(len(conversation.messages[-1]["content"]))


def test_a_turn_is_valued_where_the_plan_asks_for_it():
    episode = played(Lengths, Valued())
    tree = episode.tree
    assert len(tree.nodes) > 9
    for node in tree.nodes[1:]:
        assert node.turn.value == len(node.turn.messages[-1]["content"])
    inner = {node.parent for node in tree.nodes[1:]} - {0}
    for index in inner:
        siblings = [node.turn.value for node in tree.nodes if node.parent == tree.nodes[index].parent]
        assert tree.nodes[index].turn.value == max(siblings)
    assert all(node.turn.value is None for node in played(Lengths, UserBranches()).tree.nodes)


def test_a_value_may_come_from_the_judge():
    class Asks(Works):
        async def value(self, task, conversation, judge):
            return float((await judge.reply(conversation.messages)).text)

    episode = played(Asks, Valued(), judge_model=ScriptedModel(["7"]))
    assert {node.turn.value for node in episode.tree.nodes[1:]} == {7.0}
    assert episode.judged.calls == len(episode.tree.nodes) - 1


@pytest.mark.parametrize("worth", [float("inf"), "much", ConnectionError("the judge is away")])
def test_a_turn_that_cannot_be_valued_ends_in_an_error_and_its_siblings_go_on(worth):
    class Fails(Works):
        def value(self, task, conversation):
            number = conversation.messages[-1]["content"].partition("0.")[2]
            if number[2:3] not in {"1", "3", "5", "7", "9"}:
                return 1.0
            if isinstance(worth, Exception):
                raise worth
            return worth

    wrong = "ConnectionError: the judge is away" if isinstance(worth, Exception) else "Fails.value() is"
    failed = alive = 0
    for index in range(6):
        for node in played(Fails, Valued(), index=index).tree.nodes[1:]:
            if node.turn.error:
                assert wrong in node.turn.error
                assert (node.turn.outcome, node.turn.messages) == (Outcome.INFRA_ERROR, ())
                failed += 1
            elif node.speaker is Speaker.USER:
                assert node.turn.value == 1.0
                alive += 1
    assert min(failed, alive) > 5


def test_scores_and_values_do_not_disturb_a_search():
    class Both(Lengths):
        def score(self, task, conversation):
            return {"length": len(conversation.messages)}

    assert played(Both, BeamSearch(4)).tree == played(Works, BeamSearch(4)).tree
    assert played(BaseRewards, BeamSearch(4)).reward == 0
