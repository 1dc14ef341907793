"""Whole runs over an MCP server: a model behind an endpoint plays agent, user and judge."""

import json
import sys
from pathlib import Path

import pytest
from playing import lines
from serving import serving

from josh.cli import main
from josh.runs.experiments.loopback import Loopback

SUPPORT = Path(__file__).parents[2] / "support"
COMMAND = f"mcp:{sys.executable} {SUPPORT / 'toy_shop.py'}"
GOAL = {"name": "buy.fruit", "arguments": {"fruit": "figs", "number": "2"}}


def shopper(body):
    """Plays all three speakers: the user asks once, the agent looks and buys 1, 2 or 9 figs, the judge says yes."""
    first, last = body["messages"][0]["content"], body["messages"][-1]
    if "Decide whether this holds" in first:
        return f"It {'was' if 'assistant calls buy_fruit' in first else 'was not'} so.\nYES"
    if not body.get("tools"):
        return "Two figs, please." if len(body["messages"]) < 3 else "Thank you. END_CONVERSATION"
    if last["role"] == "tool":
        return f"I got: {last['content']}."
    number = (1, 2, 9)[body["seed"] % 3]
    called = [("look", {"fruit": "figs"}), ("buy_fruit", {"fruit": "figs", "number": number})]
    function = [{"name": name, "arguments": json.dumps(given)} for name, given in called]
    calls = [{"id": f"call{at}", "type": "function", "function": one} for at, one in enumerate(function)]
    return {"content": None, "tool_calls": calls}


def play(tmp_path, row, *flags, command=COMMAND):
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text(json.dumps(row) + "\n")
    with serving(Loopback(shopper)) as url:
        model = ["--model", "m", "--user_model", "m", "--base_url", url, "--user_base_url", url]
        judge = ["--judge_model", "m", "--judge_base_url", url] if "judge" in row else []
        where = ["--env", command, "--env.tasks", str(tasks), "--log_dir", str(tmp_path / "records")]
        assert main([*where, *model, *judge, *flags]) == 0
    (folder,) = (tmp_path / "records").iterdir()
    return folder


def test_a_search_finds_the_branch_that_makes_the_call(tmp_path):
    row = {"instruction": "You want two figs.", "goals": [GOAL]}
    folder = play(tmp_path, row, "--josh", "--beam_size", "4")
    (episode,) = lines(folder / "episodes.jsonl")
    results = [
        (action["arguments"].get("number"), action.get("result", action.get("error")))
        for node in episode["nodes"]
        for step in node.get("actions", ())
        for action in step
        if action["name"] == "buy_fruit"
    ]
    assert set(results) <= {(1, "2 figs left"), (2, "1 figs left"), (9, "only 3 figs left")}
    assert (2, "1 figs left") in results
    assert episode["reward"] == 1.0


def test_a_judge_decides_what_no_call_shows(tmp_path):
    row = {"instruction": "You want two figs.", "judge": "The assistant bought something."}
    folder = play(tmp_path, row, "--rollouts", "2", "--temperature", "1")
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["scores"] == {"judged": 1.0}
    assert summary["average_reward"] == 1.0


def test_goals_and_a_judge_share_the_reward(tmp_path):
    row = {"instruction": "x", "goals": [{"name": "look", "arguments": {"fruit": "pears"}}], "judge": "It is good."}
    folder = play(tmp_path, row)
    assert json.loads((folder / "summary.json").read_text())["average_reward"] == 0.5


def test_the_command_and_the_tasks_are_recorded(tmp_path):
    folder = play(tmp_path, {"instruction": "You want two figs.", "goals": [GOAL]})
    env = json.loads((folder / "config.json").read_text())["settings"]["env"]
    assert (env["name"], env["command"]) == ("mcp", COMMAND.removeprefix("mcp:"))
    assert env["tasks"] == str(tmp_path / "tasks.jsonl")


@pytest.mark.slow
def test_a_server_of_the_mcp_package_works(tmp_path):
    command = f"mcp:{sys.executable} {SUPPORT / 'toy_shop_sdk.py'}"
    folder = play(
        tmp_path, {"instruction": "You want two figs.", "goals": [GOAL]}, "--josh", "--beam_size", "2", command=command
    )
    (episode,) = lines(folder / "episodes.jsonl")
    assert any("figs left" in json.dumps(node.get("actions")) for node in episode["nodes"])
