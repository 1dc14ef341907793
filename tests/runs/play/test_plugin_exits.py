"""A plug-in that ends the program costs one branch or one task in any of its methods, never the run."""

import json
from pathlib import Path

import pytest
from playing import lines, only_run

from josh.cli import main

PLUG_INS = """
import sys
from dataclasses import replace
from josh.agents.persuasion.offline import OfflinePersuader
from josh.envs.persuasion.env import PersuasionEnv
from josh.rewards.donation import DonationRewards
from josh.strategies.beam import BeamSearch

def leave(task):
    if task.index == 1:
        sys.exit(3)

class Score(DonationRewards):
    def score(self, task, conversation):
        leave(task)
        return {"points": 1.0}

class LateScore(DonationRewards):
    async def score(self, task, conversation):
        leave(task)
        return {"points": 1.0}

class Value(DonationRewards):
    async def value(self, task, conversation):
        leave(task)
        return 1.0

class Reward(DonationRewards):
    def start(self, task, env, options):
        super().start(task, env, options)
        self.task = task

    def path_reward(self, goals, hits):
        leave(self.task)
        return super().path_reward(goals, hits)

class Odd(DonationRewards):
    def score(self, task, conversation):
        if task.index == 1:
            raise BaseException("odd")
        return {"points": 1.0}

class Metrics(PersuasionEnv):
    def metrics(self, task, messages):
        leave(task)
        return super().metrics(task, messages)

class World:
    def __init__(self, task):
        self.task = task

    def call(self, name, arguments):
        return None

    def observe(self):
        leave(self.task)
        return {"open": True}

class Observe(PersuasionEnv):
    def world(self, task):
        return World(task)

class Goals(PersuasionEnv):
    asked = 0

    def goals(self, task):
        self.asked += 1
        if self.asked > 3:  # every task is set up once before the run
            leave(task)
        return super().goals(task)

class Closes(PersuasionEnv):
    async def aclose(self):
        sys.exit(3)

class Fork(OfflinePersuader):
    def start(self, task, env, options):
        super().start(task, env, options)
        self.task = task

    def fork(self):
        leave(self.task)
        return super().fork()

class Valued(BeamSearch):
    def plan(self, tree):
        return tuple(replace(expand, value=True) for expand in super().plan(tree))

class Plan(BeamSearch):
    def update(self, tree):
        sys.exit(3)
"""
SMALL = ("--synthetic_tasks", "3", "--max_convo_turns", "2", "--josh")
EXIT = "the plug-in called sys.exit(3); return, or raise an Exception"


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("odd.py").write_text(PLUG_INS)


@pytest.mark.parametrize(
    ("flag", "name", "error"),
    [
        ("rewards", "Score", f"it could not be scored: {EXIT}"),
        ("rewards", "LateScore", f"it could not be scored: {EXIT}"),
        ("rewards", "Reward", f"it could not be scored: {EXIT}"),
        ("rewards", "Odd", "it could not be scored: the plug-in raised BaseException: odd; return, or raise an Exce"),
        ("env", "Metrics", f"it could not be scored: {EXIT}"),
        ("env", "Observe", EXIT),
        ("env", "Goals", f"task {{task}} cannot be set up: {EXIT}"),
        ("agent", "Fork", EXIT),
    ],
)
def test_an_exit_costs_its_task(flag, name, error):
    assert main([f"--{flag}", f"./odd.py:{name}", *SMALL]) == 0
    summary = json.loads((only_run() / "summary.json").read_text())
    assert (summary["finished"], summary["scored"], summary["owed"]) == (3, 2, 1)
    (owed,) = [row for row in lines(only_run() / "episodes.jsonl") if row.get("error")]
    assert owed["error"].startswith(error.format(task=owed["task_id"]))
    assert main(["--resume", str(only_run()), f"--{flag}", f"./odd.py:{name}"]) == 0


def test_an_exit_in_a_value_costs_its_turns():
    assert main(["--rewards", "./odd.py:Value", "--strategy", "./odd.py:Valued", *SMALL[:-1]]) == 0
    summary = json.loads((only_run() / "summary.json").read_text())
    assert (summary["finished"], summary["scored"]) == (3, 2)


def test_an_exit_of_a_strategy_is_one_line(capsys):
    assert main(["--strategy", "./odd.py:Plan", *SMALL[:-1]]) in {1, 2}
    assert f"Plan.update() failed: {EXIT}" in capsys.readouterr().err


def test_an_exit_at_the_end_of_a_world_loses_nothing(capsys):
    assert main(["--env", "./odd.py:Closes", *SMALL]) == 0
    assert f"josh: Closes.aclose() failed: {EXIT}\n" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["Score", "LateScore", "Reward", "Odd"])
def test_a_rescoring_that_exits_is_one_line(name, capsys):
    assert main([*SMALL]) == 0
    assert main(["rescore", str(only_run()), "--rewards", f"./odd.py:{name}"]) == 2
    assert "cannot be rescored: the plug-in " in capsys.readouterr().err
