"""A run's figures, from episodes set up by hand."""

import asyncio
from dataclasses import replace

import pytest

from josh.branch import Branch
from josh.clock import TaskClock
from josh.driver import Search
from josh.episode import play_search
from josh.redact import redactor
from josh.roles import BaseEnv, BaseJOSHAgent, BaseJOSHUser, BaseRewards, Task
from josh.runs.record.episode_json import to_json
from josh.runs.record.examples import examples
from josh.runs.record.summary import as_text, result_of, summarize, wilson
from josh.scoring import Scorer
from josh.strategies.beam import BeamSearch
from josh.strategies.rollouts import Rollouts
from josh.tree import plant

TASK = Task("one", 0, {})


class Env(BaseEnv):
    def metrics(self, task, messages):
        return {"length": float(len(messages))} | ({"odd": 1.0} if messages[1]["content"] == "1" else {})


class Steps:
    """Says its path; `do` maps a path to the goals that its first turn earns, `leave` names those whose user goes."""

    def __init__(self, do=None, leave=()):
        self.do = do or {}
        self.leave = leave

    def agent_step(self, branch, place):
        branch.agent.add_message({"role": "assistant", "content": place.path})
        branch.agent.recent_actions = self.do.get((place.path, place.depth), [])
        return branch.agent, True

    def user_step(self, branch, place):
        branch.agent.add_message({"role": "user", "content": "hm"})
        return branch.agent, place.path in self.leave

    def add_error_message(self, agent, *, silent, tries):
        return agent


def episode(strategy, cast, goals=("a", "b"), rounds=3, agent=None):
    agent = agent or BaseJOSHAgent([{"role": "user", "content": "hi"}])
    root = Branch(agent, BaseJOSHUser(), None, BaseRewards(goals))
    tree = plant(goals, messages=agent.messages, internal=agent.messages_internal)
    search = Search(strategy, cast, tree, root, max_turn_tries=1, parallel=False, max_rounds=rounds)
    return asyncio.run(play_search(search, TASK, Env({}), clock=TaskClock(60), scorer=Scorer(TASK)))


@pytest.mark.parametrize(
    ("successes", "trials", "interval"),
    [(18, 20, (0.699, 0.972)), (0, 10, (0.0, 0.278)), (10, 10, (0.722, 1.0)), (5, 10, (0.237, 0.763)), (0, 0, (0, 1))],
)
def test_wilsons_interval_is_the_published_one(successes, trials, interval):
    assert wilson(successes, trials) == pytest.approx(interval, abs=0.001)


def test_a_search_reports_the_conversation_down_to_its_last_winner():
    won = episode(BeamSearch(4), Steps({("1", 1): ["a"], ("1/0", 3): ["b"]}))
    (leaf,) = won.reported
    assert won.tree.nodes[leaf].path == "1/0"
    assert (won.reward, won.success, won.rounds, won.ending) == (1.0, 1.0, 2.0, "completed")


def test_a_search_that_earned_a_part_reports_where_its_winner_went_on():
    part = episode(BeamSearch(2), Steps({("1", 1): ["a"]}))
    (leaf,) = part.reported
    assert part.tree.nodes[leaf].path == "1/0"
    assert (part.reward, part.success, part.rounds, part.ending) == (0.5, 0.0, 3.0, "truncated")


def test_a_search_without_a_win_reports_its_first_conversation():
    lost = episode(BeamSearch(2), Steps())
    assert [lost.tree.nodes[leaf].path for leaf in lost.reported] == ["0"]
    assert lost.reward == 0.0


def test_a_search_to_the_end_reports_its_best_conversation_and_keeps_what_the_others_are_worth():
    played = episode(BeamSearch(2, "best"), Steps({("0", 1): ["a"], ("1", 3): ["a", "b"]}))
    (leaf,) = played.reported
    assert (played.tree.nodes[leaf].path, played.reward, played.success) == ("1", 1.0, 1.0)
    # The other branch was played on, and split in the room that the winner left.
    found = {played.tree.nodes[leaf].path: reward for leaf, reward in played.worth.items()}
    assert found == {"1": 1.0, "0/0": 0.5, "0/1": 0.5}


def test_a_user_who_walks_off_undecided_completes_nothing():
    assert episode(BeamSearch(1), Steps(leave=("",))).ending == "truncated"


def test_rollouts_are_all_reported_and_only_the_first_of_the_best_is_golden():
    cast = Steps({("1", 1): ["a", "b"], ("2", 3): ["b", "a"], ("0", 1): ["a"]})
    played = episode(Rollouts(3), cast)
    assert played.rewards == (1.0, 1.0, 0.5)
    assert [played.tree.nodes[leaf].path for leaf in played.reported] == ["1", "2", "0"]
    flags = {
        example.messages[1]["content"]: (example.is_successful, example.is_golden_path)
        for example in examples(played, False)
    }
    assert flags == {"0": (False, False), "1": (True, True), "2": (True, False)}
    assert played.metrics["odd"] == 1.0


class Echo(Steps):
    """Says its depth, so that all siblings say the same."""

    def agent_step(self, branch, place):
        branch.agent.add_message({"role": "assistant", "content": f"turn {place.depth}"})
        branch.agent.recent_actions = self.do.get((place.path, place.depth), [])
        return branch.agent, True


@pytest.mark.parametrize("path", ["0", "1"])
def test_a_text_that_several_branches_say_is_one_example_with_the_best_label(path):
    (echoed,) = examples(episode(BeamSearch(2), Echo({(path, 1): ["a", "b"]})), True)
    assert (echoed.messages[-1]["content"], echoed.is_successful, echoed.is_golden_path) == ("turn 1", True, True)


def test_rollouts_that_say_the_same_are_one_example_too():
    (echoed,) = examples(episode(Rollouts(2), Echo({("1", 1): ["a", "b"]}), rounds=1), False)
    assert (echoed.is_successful, echoed.is_golden_path) == (True, True)


def test_a_conversation_in_which_the_agent_never_spoke_is_no_example():
    class GivesUp(Steps):
        def agent_step(self, branch, place):
            return branch.agent, None

    assert list(examples(episode(Rollouts(1), GivesUp()), False)) == []


def test_errors_are_counted_apart_and_left_out_of_every_mean():
    class Fails(Steps):
        def agent_step(self, branch, place):
            raise ConnectionError("lost")

    good = episode(BeamSearch(2), Steps({("0", 1): ["a", "b"]}))
    results = [result_of(good), result_of(episode(BeamSearch(2), Fails())), result_of(good)]
    summary = summarize(results, ["me", "you", "them"], tasks=4, retries=3)
    assert (summary["finished"], summary["scored"], summary["infra_errors"], summary["complete"]) == (3, 2, 1, False)
    assert (summary["average_reward"], summary["success_rate"], summary["mean_rounds"]) == (1.0, 1.0, 1.0)
    assert summary["average_reward_ci95"] == [1.0, 1.0]
    assert summary["endings"] == {"aborted": 1, "completed": 2}
    assert summary["leaf_outcomes"] == {"infra_error": 2, "lost": 2, "won": 2}
    assert summary["first_error"] == "ConnectionError: lost"
    assert summary["retries"] == 3


def test_the_interval_of_the_mean_reward_is_over_people():
    won, lost = (
        result_of(episode(BeamSearch(2), Steps({("0", 1): ["a", "b"]}))),
        result_of(episode(BeamSearch(2), Steps())),
    )
    apart = summarize([won, won, lost, lost], ["a", "b", "c", "d"], tasks=4, retries=0)
    assert apart["average_reward_ci95"] == [0.0, 1.0]
    assert "average reward  $0.50   (95 % interval $0.00 to $1.00; " in as_text(apart, searched=True, unit="$")
    alike = summarize([won, lost, won, lost], ["a", "a", "b", "b"], tasks=4, retries=0)
    assert (alike["average_reward"], alike["average_reward_ci95"]) == (0.5, [0.5, 0.5])
    assert "average reward  $0.50   (all alike; the best path" in as_text(alike, searched=True, unit="$")
    alone = summarize([won, lost], ["a", "a"], tasks=2, retries=0)
    assert alone["average_reward_ci95"] is None
    assert "average reward  $0.50   (the best path of each search, 2 tasks)" in as_text(alone, searched=True, unit="$")


def test_an_interval_that_ends_just_below_one_does_not_read_like_certainty():
    won = result_of(episode(BeamSearch(2), Steps({("0", 1): ["a", "b"]})))
    summary = summarize([won] * 800, range(800), tasks=800, retries=0)
    assert "success rate    1.00   (95 % interval 0.995 to 1.00)" in as_text(summary, searched=True, unit="")


def test_the_tools_of_the_agent_stand_with_its_episode():
    agent = BaseJOSHAgent([{"role": "user", "content": "hi"}])
    agent.tools = [{"type": "function", "function": {"name": "book"}}]
    assert to_json(episode(BeamSearch(1), Steps(), agent=agent))["tools"] == agent.tools
    assert "tools" not in to_json(episode(BeamSearch(1), Steps()))


def test_a_leaf_says_how_it_ended_and_how_it_stands():
    beaten = to_json(episode(BeamSearch(2), Steps({("1", 1): ["a", "b"]})))["nodes"]
    assert [(node.get("ended"), node.get("outcome")) for node in beaten[1:]] == [(None, "lost"), (None, "won")]


def test_secrets_are_taken_out_of_errors_only():
    redact = redactor(
        {"MY_API_KEY": "sk-canary-1", "A_TOKEN": "assistant", "OTHER_KEY_VAR": "MY_API_KEY", "HOME": "/home/me"}
    )
    assert redact("no access with sk-canary-1, see MY_API_KEY") == "no access with ***, see MY_API_KEY"
    row = to_json(replace(episode(BeamSearch(1), Steps()), error="bad sk-canary-1"), redact)
    assert row["error"] == "bad ***"
    assert row["nodes"][1]["messages"][0]["role"] == "assistant"
