"""Rewards of planning theory of mind: success, satisfaction, and the measures with their worked examples."""

import asyncio

import pytest
from gaming import scenario_row

import josh
from josh.agents.ptom.offline import AskFirst, RecommendAtOnce
from josh.agents.ptom.planner import Planner
from josh.dialogue import Outcome
from josh.envs.ptom.env import PtomEnv
from josh.envs.ptom.scenarios import scenario_from
from josh.rewards.ptom import PtomRewards, satisfaction
from josh.rewards.ptom_measures import Thought, alignment, measured, rank_correlation
from josh.roles import BaseJOSHAgent, BaseJOSHUser, Task
from josh.strategies.rollouts import Rollouts
from josh.testing import RewardsConformance
from josh.users.ptom.person import PtomHuman, PtomOffline

STRENGTHS = {"a": 0.9, "b": 0.3}


class TestPtomRewards(RewardsConformance):
    def make(self):
        return PtomRewards(["acceptance"])

    def winning(self):
        return ["I take it. [ACCEPT]"]


def thought(kind="ASK", desires=None, chances=None, **more):
    belief = {"belief": {"desires": desires, "confidence": "high"}} if desires else {}
    return Thought(kind, {**belief, **({"counterfactuals": chances} if chances else {}), **more})


def test_a_belief_hits_where_it_puts_the_strongest_preference_first():
    assert alignment({"a": 0.5, "b": 0.4}, STRENGTHS) == 1
    assert alignment({"a": 0.3, "b": 0.6}, STRENGTHS) == 0
    assert alignment({"a": 0.5, "b": 0.5}, STRENGTHS) == 0.5
    assert alignment({"b": 0.5, "c": 0.5}, STRENGTHS) == 0
    assert alignment({"Work Life": 0.5, "b": 0.1}, {"work_life": 0.9}) == 1


def test_the_last_belief_counts_and_its_confidence_is_held_against_it():
    found = measured([thought(desires={"b": 1.0}), thought(desires={"a": 0.5, "b": 0.4})], STRENGTHS, 1)
    assert found["preference_alignment_accuracy"] == 1
    assert found["preference_rank_correlation"] == 1
    assert found["belief_calibration_brier"] == pytest.approx(0.01)
    missed = measured([thought(desires={"a": 0.3, "b": 0.6})], STRENGTHS, 1)
    assert missed["belief_calibration_brier"] == pytest.approx(0.81)
    assert missed["preference_rank_correlation"] == -1


def test_the_chosen_action_is_held_against_its_own_analysis_and_the_outcome():
    one = thought("ASK", chances={"ASK": 0.7, "ACT": 0.2})
    assert measured([one], STRENGTHS, 1)["counterfactual_brier"] == pytest.approx(0.09)
    assert measured([one], STRENGTHS, 0)["counterfactual_brier"] == pytest.approx(0.49)
    other = thought("ACT", chances={"ask_about_cost": 0.7, "ACT": 0.2})
    assert measured([one, other], STRENGTHS, 1)["counterfactual_quality"] == 0.5
    unknown = thought("DISCLOSE", chances={"ASK": 0.7})
    assert "counterfactual_quality" not in measured([unknown], STRENGTHS, 1)


def test_sections_that_could_not_be_read_are_counted_apart_and_guess_nothing():
    found = measured([thought(unreadable=["belief"]), thought(missing=["belief", "action"])], STRENGTHS, 0)
    assert found == {"unreadable_sections": 1, "missing_sections": 2}
    assert measured([thought()], STRENGTHS, 0) == {}


def test_rank_correlation_needs_two_dimensions_and_shares_ranks_of_equal_values():
    assert rank_correlation({"a": 1.0}, STRENGTHS) is None
    assert rank_correlation({"a": 0.5, "b": 0.5}, STRENGTHS) is None
    many = {"a": 0.9, "b": 0.5, "c": 0.5, "d": 0.1}
    assert rank_correlation(many, {"a": 4, "b": 3, "c": 2, "d": 1}) == pytest.approx(0.9487, abs=1e-4)


def test_satisfaction_follows_from_the_verdict_and_the_natural_option():
    scenario = scenario_from(scenario_row(), "here")
    assert [satisfaction(scenario, "accept", option) for option in ("A", "B")] == [0.9, 0.6]
    assert satisfaction(scenario, "decline", "A") == 0.2
    tie = scenario_from(scenario_row(target_preferences={}), "here")
    assert satisfaction(tie, "accept", "A") == 0.6


class Says(BaseJOSHAgent):
    """Says one thing again and again."""

    words = "I recommend Option A."

    def step(self, **_):
        self.add_message({"role": "assistant", "content": self.words})
        return True


class SaysB(Says):
    words = "I recommend City Hotel."


class Answers(BaseJOSHUser):
    """Answers one thing, and leaves the end to the rewards."""

    words = "[ACCEPT]"

    def step(self, agent, **_):
        agent.add_message({"role": "user", "content": self.words})
        return agent, False


class Declines(Answers):
    words = "I know. [DECLINE]"


def played(agent, user, **options):
    task = Task("s1", 0, scenario_row())
    env = PtomEnv({"seed": 10})
    return asyncio.run(
        josh.play(task, env, agent=agent, user=user, rewards=PtomRewards, strategy=Rollouts(1), **options)
    )


@pytest.mark.parametrize(
    ("agent", "user", "outcome", "reward"),
    [
        (Says, Answers, Outcome.WON, 1.0),
        (SaysB, Answers, Outcome.LOST, 0.0),
        (Says, Declines, Outcome.LOST, 0.0),
        (RecommendAtOnce, Declines, Outcome.LOST, 0.0),
        (RecommendAtOnce, Answers, Outcome.WON, 1.0),
        (AskFirst, Answers, Outcome.LOST, 0.0),
    ],
)
def test_success_is_acceptance_of_the_persuaders_option_whoever_plays(agent, user, outcome, reward):
    episode = played(agent, user)
    (leaf,) = episode.reported
    assert episode.outcomes[leaf] == outcome
    assert episode.rewards == (reward,)
    assert episode.scores[leaf]["success"] == reward


def test_an_acceptance_of_no_option_is_counted():
    (scores,) = played(AskFirst, Answers).scores.values()
    assert scores["unclear_recommendation"] == 1
    assert scores["accepted"] == 1


def test_the_offline_person_decides_at_the_first_recommendation():
    episode = played(RecommendAtOnce, PtomOffline)
    assert len(episode.tree.nodes) == 3
    assert episode.outcomes[episode.reported[0]] in (Outcome.WON, Outcome.LOST)


def test_speakers_of_other_worlds_are_named():
    for kind in (Planner, PtomHuman):
        with pytest.raises(josh.UsageError, match="has no scenario; give --env ptom"):
            kind().start(Task("t", 0, {}), PtomEnv({}), {})
