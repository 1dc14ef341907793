"""Worlds, agents, users and rewards from a file of one's own, sound ones and odd ones."""

import json
import subprocess
import sys

import pytest
from playing import lines, only_run
from refusals import bad

from josh.cli import main

pytestmark = pytest.mark.usefixtures("elsewhere")

PLUGIN = """
from josh import BaseEnv, BaseJOSHAgent, BaseJOSHUser, BaseRewards
from josh.roles import Task

class Counter(BaseJOSHAgent):
    def step(self, **kwargs):
        said = sum(message["role"] == "assistant" for message in self.messages) + 1
        self.add_message({"role": "assistant", "content": str(said)})
        self.recent_actions = [said]
        return True

class Listener(BaseJOSHUser):
    def step(self, agent):
        agent.add_message({"role": "user", "content": "go on"})
        return agent, False

class Numbers(BaseEnv):
    agents = {"offline": "./counting.py:Counter"}
    users = {"offline": "./counting.py:Listener"}

    def tasks(self, split):
        return [Task("count", 0, {})]

    def goals(self, task):
        return [2, 4]

class Fewer(BaseRewards):
    def start(self, task, env, options):
        self.rewards = [2]
"""


def test_plug_ins_come_from_a_file(tmp_path):
    (tmp_path / "counting.py").write_text(PLUGIN)
    assert main(["--env", "./counting.py:Numbers", "--josh", "--beam_size", "2"]) == 0
    (episode,) = lines(only_run() / "episodes.jsonl")
    assert (episode["reward"], episode["rounds"], len(episode["collapses"])) == (1.0, 4.0, 2)


def test_rewards_come_from_a_module(tmp_path, monkeypatch):
    (tmp_path / "counting.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["--env", "counting:Numbers", "--rewards", "counting:Fewer", "--josh"]) == 0
    (episode,) = lines(only_run() / "episodes.jsonl")
    assert (episode["goals"], episode["rounds"]) == ([2], 2.0)


ODD_PLUGINS = """
import asyncio, os, time
from josh import BaseJOSHAgent, BaseRewards
from josh.envs.persuasion.env import PersuasionEnv

class Cancels(BaseJOSHAgent):
    async def step(self, **kwargs):
        raise asyncio.CancelledError("mine")

class Tells(BaseJOSHAgent):
    def step(self, **kwargs):
        raise ValueError(f"could not log in with {os.environ['MY_API_KEY']}")

class Mute(BaseJOSHAgent):
    def step(self, **kwargs):
        return True

class Odd(BaseJOSHAgent):
    def step(self, **kwargs):
        self.add_message({"role": "assistant", "content": 5})
        return True

class Stuck(BaseJOSHAgent):
    blocking = True

    def step(self, **kwargs):
        time.sleep(600)

class Nan(BaseRewards):
    def is_reward(self, actions):
        return True, self.rewards[:1]

    def hit_value(self, actions):
        return float("nan")

class Untotal(BaseRewards):
    def path_reward(self, goals, hits):
        raise ZeroDivisionError("no total")

class Unmeasured(PersuasionEnv):
    def metrics(self, task, messages):
        raise KeyError("donation")

class Twins(PersuasionEnv):
    def tasks(self, split):
        return list(super().tasks(split)) * 2

class Strange(PersuasionEnv):
    def tasks(self, split):
        return ["a task"]

class Broken(PersuasionEnv):
    def tasks(self, split):
        raise OSError("no such table")

class Rigid(PersuasionEnv):
    def world(self, task):
        return {"lock": __import__("threading").Lock()}
"""


@pytest.fixture
def odd(tmp_path):
    (tmp_path / "odd.py").write_text(ODD_PLUGINS)


def test_the_figures_say_once_that_tasks_could_not_be_scored(tmp_path, capsys):
    (tmp_path / "half.py").write_text(
        "from josh.rewards.donation import DonationRewards\n"
        "class Half(DonationRewards):\n"
        "    def start(self, task, env, options):\n"
        "        self.zero = task.index % 2\n"
        "    def path_reward(self, goals, hits):\n"
        "        return 1 / self.zero\n"
    )
    assert main(["--rewards", "./half.py:Half", "--end_index", "4", "--max_convo_turns", "1"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("errors ")]
    assert line == "errors          2 tasks could not be scored: ZeroDivisionError: division by zero"


@pytest.mark.usefixtures("odd")
@pytest.mark.parametrize(
    ("flags", "error"),
    [
        ("--agent ./odd.py:Cancels", "CancelledError: mine"),
        ("--agent ./odd.py:Mute", "the agent ended its turn without a message to the user"),
        ("--agent ./odd.py:Odd", "the agent said 5, which is not text"),
        ("--rewards ./odd.py:Nan", "ValueError: Nan.hit_value() is nan; give a finite number or None"),
        ("--rewards ./odd.py:Untotal", "it could not be scored: ZeroDivisionError: no total"),
        ("--env ./odd.py:Unmeasured", "it could not be scored: KeyError: 'donation'"),
    ],
)
def test_a_plug_in_that_fails_costs_its_tasks_alone(flags, error):
    assert main([*flags.split(), "--synthetic_tasks", "3", "--max_convo_turns", "1"]) == 1
    summary = json.loads((only_run() / "summary.json").read_text())
    assert (summary["finished"], summary["infra_errors"], summary["complete"]) == (3, 3, True)
    assert summary["first_error"] == error


@pytest.mark.usefixtures("odd")
@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ("--env ./odd.py:Twins", "has several tasks with the id 'synthetic-train-0000'; give each task its own id"),
        ("--env ./odd.py:Strange", " as a task; give a josh.roles.Task"),
        ("--env ./odd.py:Broken", "josh: the tasks of split 'train': OSError: no such table"),
        ("--env ./odd.py:Rigid --josh", "josh: a dict (give it a fork()) cannot be copied for a branch"),
    ],
)
def test_an_environment_that_makes_no_sense_is_refused_in_one_line(capsys, flags, text):
    assert text in bad(capsys, *flags.split())


@pytest.mark.usefixtures("odd")
def test_no_key_is_written_even_if_a_plug_in_quotes_it(monkeypatch, capsys):
    monkeypatch.setenv("MY_API_KEY", "sk-canary-456")
    assert main(["--agent", "./odd.py:Tells", "--synthetic_tasks", "2"]) == 1
    written = b"".join(path.read_bytes() for path in only_run().iterdir()) + "".join(capsys.readouterr()).encode()
    assert b"could not log in with ***" in written
    assert b"canary" not in written


@pytest.mark.usefixtures("odd")
def test_a_blocking_step_that_never_returns_does_not_keep_the_process(tmp_path):
    command = [sys.executable, "-m", "josh", "--agent", "./odd.py:Stuck", "--synthetic_tasks", "1"]
    done = subprocess.run(
        [*command, "--task_timeout", "0.5"], cwd=tmp_path, capture_output=True, timeout=30, check=False
    )
    assert done.returncode == 1


BLOCKING = """
import threading, time
from josh import BaseJOSHAgent

class Blocking(BaseJOSHAgent):
    blocking = True
    running, most, lock = 0, 0, threading.Lock()

    def step(self, **kwargs):
        kind = type(self)
        with kind.lock:
            kind.running += 1
            kind.most = max(kind.most, kind.running)
        time.sleep(0.02)
        with kind.lock:
            kind.running -= 1
        self.add_message({"role": "assistant", "content": str(kind.most)})
        return True
"""


def test_blocking_steps_count_as_calls_in_flight(tmp_path):
    (tmp_path / "blocking.py").write_text(BLOCKING)
    flags = ["--agent", "./blocking.py:Blocking", "--josh", "--synthetic_tasks", "3", "--max_convo_turns", "3"]
    assert main([*flags, "--max_concurrency", "2"]) == 0
    said = [
        int(message["content"])
        for episode in lines(only_run() / "episodes.jsonl")
        for node in episode["nodes"]
        for message in node["messages"]
        if message["role"] == "assistant"
    ]
    assert max(said) == 2


def test_a_plug_ins_odd_values_are_written_as_text(tmp_path):
    (tmp_path / "deep.py").write_text(
        "from josh import BaseJOSHAgent\n"
        "class Deep(BaseJOSHAgent):\n"
        "    def step(self, **kwargs):\n"
        "        odd = {('a', 1): {1, 2}, 'n': float('nan'), 'o': object()}\n"
        "        self.add_message({'role': 'assistant', 'content': 'x'} | odd)\n"
        "        return True\n"
    )
    assert main(["--agent", "./deep.py:Deep", "--synthetic_tasks", "2", "--max_convo_turns", "1"]) == 0
    (first, _) = lines(only_run() / "episodes.jsonl")
    message = first["nodes"][1]["messages"][0]
    assert (message["('a', 1)"], message["n"], message["o"]) == ("{1, 2}", "nan", "<object object>")
