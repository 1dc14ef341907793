"""The calls of one turn are limited: an agent that tries out every search earns nothing, and is seen in the metrics."""

import json
from pathlib import Path

import pytest

from josh.cli import main
from josh.envs.toolwoz.database import Database
from josh.envs.toolwoz.server import MOST_CALLS, WozWorld
from josh.roles import ToolError

pytestmark = pytest.mark.usefixtures("elsewhere")

SWEEP = """
from josh import BaseJOSHAgent
from josh.tools import use

class Sweep(BaseJOSHAgent):
    def start(self, task, env, options):
        super().start(task, env, options)
        tools = [tool["function"] for tool in env.tools(task) if tool["function"]["name"].startswith("search_")]
        self.calls = [
            (tool["name"], {name: value})
            for tool in tools
            for name, one in tool["parameters"]["properties"].items()
            for value in one.get("enum", ())
        ]

    async def step(self, *, env, **_):
        self.recent_actions = [(await use(env, name, arguments)).action for name, arguments in self.calls]
        self.add_message({"role": "assistant", "content": "One moment."})
        return True
"""


def test_the_calls_above_the_limit_are_refused_until_the_turn_ends():
    world = WozWorld(Database.small(), (), (), 2)
    for _ in range(2):
        world.call("search_hotel", {})
    twin = world.fork()
    for each in (world, twin):
        with pytest.raises(ToolError, match="more than 2; speak to the user before you call more tools"):
            each.call("search_hotel", {})
    assert world.observe() is None
    assert world.call("search_hotel", {})


def summary(*flags):
    assert main(["--env", "toolwoz", "--synthetic_tasks", "10", "--log_dir", "r", *flags]) == 0
    (run,) = Path("r").iterdir()
    return json.loads((run / "summary.json").read_text())


def test_an_agent_that_tries_out_every_search_earns_nothing_and_is_seen():
    Path("sweep.py").write_text(SWEEP)
    played = summary("--agent", "./sweep.py:Sweep")
    assert played["average_reward"] == 0
    assert played["metrics"]["calls_per_goal"] > MOST_CALLS


def test_an_agent_that_reads_the_user_never_meets_the_limit():
    played = summary("--temperature", "1", "--rollouts", "3", "--env.calls_per_turn", "2")
    assert played["average_reward"] > 0.5
    assert 0.5 < played["metrics"]["calls_per_goal"] < 3
