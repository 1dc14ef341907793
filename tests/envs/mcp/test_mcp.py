"""The world of an MCP server's tools: `--env mcp:COMMAND --env.tasks FILE`."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from josh import UsageError
from josh.envs.mcp.env import McpEnv
from josh.roles import ToolError
from josh.tools import use

SHOP = Path(__file__).parents[2] / "support" / "toy_shop.py"
COMMAND = f"{sys.executable} {SHOP}"
TASK = {"instruction": "Buy two figs.", "goals": [{"name": "buy.fruit", "arguments": {"fruit": "figs", "number": 2}}]}


@pytest.fixture
def tasks(tmp_path):
    def write(*rows):
        file = tmp_path / "tasks.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(file)

    return write


def env_of(tasks_file, command=COMMAND, **options):
    return McpEnv(
        {"env.command": command, "env.tasks": tasks_file, **{f"env.{name}": one for name, one in options.items()}}
    )


def test_the_tools_are_those_of_the_server_under_names_that_chat_servers_accept(tasks):
    env = env_of(tasks(TASK))
    task = env.tasks("train")[0]
    functions = [tool["function"] for tool in env.tools(task)]
    assert [one["name"] for one in functions] == ["look", "buy_fruit", "fail"]
    assert functions[1]["description"] == "Buy fruit."
    assert functions[1]["parameters"]["required"] == ["fruit"]
    assert env.goals(task) == [{"name": "buy_fruit", "arguments": {"fruit": "figs", "number": 2}}]


def test_a_branch_sees_its_own_calls_and_not_those_of_its_siblings(tasks):
    env = env_of(tasks(TASK))

    async def play():
        root = env.world(env.tasks("train")[0])
        assert await root.call("buy_fruit", {"fruit": "figs"}) == "2 figs left"
        left, right = root.fork(), root.fork()
        assert await left.call("buy_fruit", {"fruit": "figs", "number": 2}) == "0 figs left"
        assert await right.call("look", {"fruit": "figs"}) == "2 figs"
        assert await left.call("look", {"fruit": "figs"}) == "0 figs"
        assert await right.call("buy_fruit", {"fruit": "figs"}) == "1 figs left"
        await env.aclose()
        return left.calls, right.calls

    left, right = asyncio.run(play())
    assert [name for name, *_ in left] == ["buy.fruit", "buy.fruit"]
    assert [json.loads(arguments) for _, arguments, _ in right] == [{"fruit": "figs"}, {"fruit": "figs"}]


def test_one_server_serves_many_branches_one_after_the_other(tasks):
    env = env_of(tasks(TASK), servers=1)

    async def play():
        root = env.world(env.tasks("train")[0])
        branches = [root.fork() for _ in range(3)]
        said = [await branch.call("buy_fruit", {"fruit": "figs"}) for branch in branches]
        said += await asyncio.gather(*(branch.call("buy_fruit", {"fruit": "figs"}) for branch in branches))
        await env.aclose()
        return said

    assert asyncio.run(play()) == ["2 figs left"] * 3 + ["1 figs left"] * 3


def test_a_refused_call_is_an_answer_and_a_dead_server_is_an_error(tasks):
    env = env_of(tasks(TASK))

    async def play():
        world = env.world(env.tasks("train")[0])
        refused = await use(world, "buy_fruit", '{"fruit": "figs", "number": 9}')
        unknown = await use(world, "sell", "{}")
        with pytest.raises(RuntimeError, match="MCP server"):
            await world.call("fail", {"how": "die"})
        still = await world.fork().call("look", {"fruit": "figs"})
        await env.aclose()
        return refused, unknown, still

    refused, unknown, still = asyncio.run(play())
    assert refused.error == "only 3 figs left"
    assert unknown.error == "there is no tool sell; the tools are buy_fruit, fail, look"
    assert still == "3 figs"


def test_a_server_gets_no_variable_that_was_not_named(tasks, monkeypatch):
    monkeypatch.setenv("A_KEY", "secret")

    async def asked(env):
        found = await env.world(env.tasks("train")[0]).call("fail", {"how": "A_KEY"})
        await env.aclose()
        return found

    assert asyncio.run(asked(env_of(tasks(TASK)))) == "nothing"
    assert asyncio.run(asked(env_of(tasks(TASK), pass_env="A_KEY"))) == "secret"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"goals": [{"name": "look"}]}, "a task needs an `instruction`"),
        ({"instruction": "Buy figs."}, "a task needs `goals`, or a criterion for a `judge`"),
        ({**TASK, "goal": "x"}, "a task has no key 'goal'; give id, instruction,"),
        ({**TASK, "goals": "look"}, "goals is 'look'; give a list of calls"),
        ({**TASK, "split": "dev"}, "split is 'dev'; give train or test"),
    ],
)
def test_a_wrong_row_is_named_by_its_line(tasks, row, said):
    with pytest.raises(UsageError, match="line 2") as found:
        env_of(tasks(TASK, row))
    assert said in str(found.value)


def test_a_goal_that_no_tool_can_meet_is_refused(tasks):
    env = env_of(tasks({**TASK, "goals": [{"name": "sell"}]}))
    with pytest.raises(UsageError, match="the server's tools are buy_fruit, fail, look"):
        env.goals(env.tasks("train")[0])


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("", "env mcp has no server; give --env 'mcp:COMMAND'"),
        ("no-such-command", "the MCP server no-such-command does not start: there is no program no-such-command"),
        ("python no-such-server.py", "does not start: there is no file no-such-server.py"),
        ("/dev/null", "does not start: /dev/null cannot be executed"),
        ("true", "does not start: Connection closed"),
        (f"{COMMAND} --mute", "does not start: the shop is closed"),
        ("python 'x", "No closing quotation"),
    ],
)
def test_a_server_that_does_not_start_is_one_line(tasks, command, said):
    with pytest.raises(UsageError) as found:
        env_of(tasks(TASK), command)
    assert said in str(found.value)
    assert "\n" not in str(found.value)


def test_the_tasks_are_read_before_a_server_is_started():
    with pytest.raises(UsageError, match=r"cannot read .*nothere\.jsonl: No such file"):
        McpEnv({"env.command": "no-such-command", "env.tasks": Path("nothere.jsonl")})


def test_a_world_without_tasks_says_how_to_give_them():
    with pytest.raises(UsageError, match=r"give --env\.tasks FILE"):
        McpEnv({"env.command": COMMAND})


def test_tool_error_is_what_the_agent_reads(tasks):
    env = env_of(tasks(TASK))

    async def play():
        with pytest.raises(ToolError, match="there is no tool"):
            await env.world(env.tasks("train")[0]).call("nothing", {})
        await env.aclose()

    asyncio.run(play())
