"""The rewards of a debate: the facts of its turns, the judge, and what earns."""

import asyncio

import pytest

import josh
from josh.agents.debate.debater import Debater
from josh.dialogue import Outcome, Speaker
from josh.envs.debate.env import DebateEnv
from josh.rewards.debate import DebateRewards
from josh.strategies.rollouts import Rollouts
from josh.testing import RewardsConformance, ScriptedModel
from josh.users.debate.debater import Debater as UserDebater

DATA = {"question": "Which band sang it?", "gold": ["beatles", "fab four"], "choices": [], "source": "test"}
TASK = josh.Task("q", 0, DATA)


class TestDebateRewards(RewardsConformance):
    def make(self):
        return DebateRewards(["a", "b"])

    def winning(self):
        return ["b"]


def facts(said, heard, judge=None, **env):
    """The facts of each turn of a debate, in which agent and user say given words in turn."""
    episode = asyncio.run(
        josh.play(
            TASK,
            DebateEnv({f"env.{name}": value for name, value in env.items()}),
            agent=Debater,
            user=UserDebater,
            rewards=DebateRewards,
            strategy=Rollouts(),
            model=ScriptedModel(said),
            user_model=ScriptedModel(heard),
            judge_model=judge,
        )
    )
    assert not episode.owed, episode.error
    return [node.turn.facts for node in episode.tree.nodes[1:]], episode


def test_the_answers_of_both_speakers_stand_after_each_turn():
    found, _ = facts(["Final answer: The Stones", "I disagree."], ["The Beatles.", "I agree with you."])
    assert [one["answers"] for one in found] == [
        {"agent": "stones", "user": None},
        {"agent": "stones", "user": "beatles"},
        {"agent": "stones", "user": "beatles"},
        {"agent": "stones", "user": "stones"},
    ]
    assert [one["right"]["user"] for one in found] == [None, True, True, False]
    assert [one["agree"] for one in found] == [False, False, False, True]


def test_two_names_of_the_right_answer_agree():
    found, episode = facts(["Final answer: the Fab Four"], ["Final answer: The Beatles"])
    assert len(found) == 2
    assert found[1]["agree"]
    assert set(episode.outcomes.values()) == {Outcome.WON}


def test_a_turn_that_cannot_be_read_leaves_no_answer():
    found, episode = facts(["Final answer: the Stones", "Think of the tune."], ["It was them.", "Hm."])
    assert found[1]["answers"] == {"agent": "stones", "user": None}
    assert found[2]["answers"] == {"agent": None, "user": None}
    assert not any(one["agree"] for one in found)
    assert episode.reward == 0


def test_agreement_with_words_that_were_not_heard_is_no_answer():
    said = ["Final answer: the Stones", "Final answer: the Stones"], ["I agree.", "I agree."]
    unheard, _ = facts(*said)
    assert [one["answers"]["user"] for one in unheard] == [None, None, None, "stones"]
    heard, _ = facts(*said, both_first=False)
    assert [one["answers"]["user"] for one in heard] == [None, "stones"]


def test_a_judge_is_asked_once_for_each_turn_that_no_rule_reads():
    judge = ScriptedModel(["Final answer: The Kinks", "Final answer: Agree"])
    found, episode = facts(
        ["Final answer: the Stones", "Final answer: the Stones"], ["Them from Muswell Hill.", "So be it."], judge
    )
    assert [one["answers"]["user"] for one in found] == [None, "kinks", "kinks", "stones"]
    assert len(judge.requests) == 2
    assert episode.judged.calls == 2
    words = [request.messages[0]["content"] for request in judge.requests]
    assert "The partner's answer before" not in words[0], "the user has not heard its partner yet"
    assert "The partner's answer before: stones" in words[1]


@pytest.mark.parametrize(("learner", "reward"), [("user", 1.0), ("agent", 0.0)])
def test_the_learners_last_answer_earns(learner, reward):
    episode = asyncio.run(
        josh.play(
            TASK,
            DebateEnv({}),
            agent=Debater,
            user=UserDebater,
            rewards=lambda goals: _with(learner, goals),
            strategy=Rollouts(),
            model=ScriptedModel(["Final answer: Stones"]),
            user_model=ScriptedModel(["Final answer: Beatles"]),
        )
    )
    assert episode.reward == reward
    assert episode.mean_scores["partner_right"] == 1 - reward


def _with(learner, goals):
    rewards = DebateRewards(goals)
    rewards.config = DebateRewards.Config(learner=learner)
    return rewards


def test_agreement_ends_a_debate():
    rewards = DebateRewards([])
    answers = {"agent": "beatles", "user": "beatles"}
    for right, outcome in ((True, Outcome.WON), (False, Outcome.LOST)):
        both = {Speaker.AGENT: right, Speaker.USER: right}
        assert rewards.ended({"answers": answers, "right": both, "agree": True}) is outcome
    assert rewards.ended({"answers": answers, "right": both, "agree": False}) is None
