"""Worlds that say how they stand: their state can win, and the record is enough to judge it again."""

import asyncio
import json
from pathlib import Path

import pytest
from playing import run
from toy_phone import Handset, Helper, OnlyWorks, Owner, Phone, Thanked, UserBranches, Works

from josh import BaseRewards, Outcome, Speaker, play
from josh.cli import main
from josh.strategies.beam import BeamSearch
from josh.strategies.rollouts import Rollouts
from josh.tree import walk


def played(env, rewards, strategy=None, index=0):
    task = env.tasks("train")[index]
    return asyncio.run(play(task, env, agent=Helper, user=Owner, rewards=rewards, strategy=strategy or BeamSearch(4)))


def wins(env, rewards, strategy):
    """The leaves that won, with their episodes."""
    for index in range(6):
        episode = played(env, rewards, strategy(), index)
        yield from ((episode, leaf) for leaf, outcome in episode.outcomes.items() if outcome is Outcome.WON)


def test_a_state_of_the_world_wins_without_help_from_the_agent():
    found = 0
    for episode, leaf in wins(Phone({}), Works, UserBranches):
        nodes = [episode.tree.nodes[index] for index in walk(episode.tree, leaf)]
        assert nodes[-1].speaker is Speaker.USER
        assert nodes[-1].turn.observed == {"data": True, "calls": len(nodes) - 1}
        assert [hit.goals for hit in nodes[-1].turn.hits] == [("data",)]
        assert not any(node.turn.hits for node in nodes[:-1])
        assert all(action["name"] == "read_signal" for node in nodes for step in node.turn.actions for action in step)
        assert episode.worth[leaf] == 1.0
        found += 1
    assert found > 5


def test_a_goal_can_stay_open_where_the_rewards_say_that_the_path_has_won():
    found = 0
    for episode, leaf in wins(Thanked({}), OnlyWorks, UserBranches):
        assert episode.tree.nodes[leaf].open == ("thanks",)
        assert episode.tree.nodes[leaf].turn.outcome is Outcome.WON
        assert episode.worth[leaf] == 0.5
        assert leaf not in episode.tree.frontier
        found += 1
    assert found > 5


def test_the_world_is_asked_when_a_turn_ends_and_each_branch_has_its_own():
    episode = played(Phone({}), BaseRewards, Rollouts(3))
    for node in episode.tree.nodes[1:]:
        assert node.turn.observed["calls"] == node.depth
    assert episode.tree.nodes[0].turn.observed is None


def test_observing_may_wait_and_is_kept_as_json_has_it():
    class Slow(Phone):
        def world(self, task):
            class Waiting(Handset):
                async def observe(self):
                    await asyncio.sleep(0)
                    return {"data": self.data, "callers": self.callers, "of": Speaker.USER}

            return Waiting()

    episode = played(Slow({}), Works, Rollouts(1))
    assert episode.tree.nodes[2].turn.observed["callers"] == ["agent", "user"]
    assert episode.tree.nodes[2].turn.observed["of"] == "user"


def test_a_world_that_fails_to_say_how_it_stands_costs_the_branch_alone():
    class Broken(Phone):
        def world(self, task):
            class Moody(Handset):
                def observe(self):
                    if self.data:
                        raise ConnectionError("no signal")
                    return {"data": False}

            return Moody()

    outcomes = set()
    for index in range(6):
        outcomes |= set(played(Broken({}), Works, UserBranches(), index).outcomes.values())
    assert outcomes == {Outcome.INFRA_ERROR, Outcome.TRUNCATED}


def test_a_rewards_class_that_waits_judges_as_one_that_does_not():
    class Slow(Works):
        async def is_reward(self, agent_actions, *, observed=None):
            await asyncio.sleep(0)
            return super().is_reward(agent_actions, observed=observed)

    for index in range(6):
        assert played(Phone({}), Slow, index=index) == played(Phone({}), Works, index=index)


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("env", ["Phone", "Thanked"])
@pytest.mark.parametrize("way", [("--josh",), ("--josh", "--stop", "best"), ("--rollouts", 3, "--temperature", 1)])
def test_the_record_is_enough_to_score_a_run_again(env, way):
    folder = run("runs", "--env", f"toy_phone:{env}", *way)
    assert main(["rescore", "--trust", str(folder), "--log_dir", "again"]) == 0
    (again,) = Path("again").iterdir()
    for name in ("episodes.jsonl", "training_examples.jsonl"):
        assert (again / name).read_bytes() == (folder / name).read_bytes()
    assert json.loads((folder / "summary.json").read_text())["success_rate"] > 0


@pytest.mark.usefixtures("elsewhere")
def test_another_reward_reads_the_stored_state():
    folder = run("runs", "--env", "toy_phone:Thanked", "--josh", "--stop", "best")
    assert main(["rescore", "--trust", str(folder), "--rewards", "toy_phone:Works", "--log_dir", "again"]) == 0
    (again,) = Path("again").iterdir()
    before, after = (json.loads((each / "summary.json").read_text()) for each in (folder, again))
    assert before["average_reward"] == pytest.approx(after["average_reward"] / 2)
    assert before["success_rate"] == after["success_rate"] > 0
