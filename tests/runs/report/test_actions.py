"""What the agent did on winning and losing branches: the right numbers, from trees made by hand and from runs."""

import json

import pytest
from playing import run
from reports import head

from josh.cli import main
from josh.dialogue import Speaker, Turn
from josh.envs.persuasion.env import PersuasionEnv
from josh.roles import BaseEnv, Task
from josh.runs.export.credit import values
from josh.runs.record.episode_json import from_json
from josh.runs.report.actions import ActionTally, done_by, done_in
from josh.tree import Node

pytestmark = pytest.mark.usefixtures("elsewhere")

TASK = Task("one", 0, {})


def node(parent, path, actions=(), speaker="agent", outcome=None, reward=0.0, cut_off=False):
    found = {"parent": parent, "speaker": speaker, "path": path, "messages": [], "actions": [list(actions)]}
    if outcome is None:
        return found
    found |= {"outcome": outcome, "reward": reward}
    if reward:
        found["hits"] = [{"step": 0, "goals": ["g"], "value": reward}]
    return found if cut_off else found | {"ended": outcome}


def grown(task, *nodes, winner, reward):
    """An episode of these nodes; the root comes first."""
    root = {"parent": -1, "speaker": "user", "path": "", "messages": []}
    return from_json(
        {
            "task_id": task,
            "ending": "completed",
            "reward": reward,
            "success": 1.0,
            "rounds": 1.0,
            "metrics": {},
            "error": "",
            "usage": {},
            "reported": [winner],
            "goals": ["g"],
            "collapses": [{"root": 0, "size": len(nodes) + 1, "winner": winner, "rewarded": [winner]}],
            "frontier": [],
            "nodes": [root, *nodes],
            "task": {"index": 0, "data": {}, "metadata": {}},
            "tools": [],
        }
    )


def rows_of(*episodes):
    tally = ActionTally()
    for episode in episodes:
        tally.add(episode, done_in(episode, BaseEnv({})))
    return {row["name"]: row for row in tally.rows()}


ASKED = grown(
    "one",
    node(0, "0", ["ask", "thank"], outcome="won", reward=2.0),
    node(0, "1", ["thank"], outcome="lost"),
    node(0, "2", ["joke"], outcome="lost", cut_off=True),
    winner=1,
    reward=2.0,
)
"""Two siblings came to an end, the first won $2; a third was cut off by that win."""
JOKED = grown(
    "two",
    node(0, "0", ["ask"], outcome="lost"),
    node(0, "1", ["joke"]),
    node(2, "1/0", speaker="user", outcome="won", reward=1.0),
    node(2, "1/1", speaker="user", outcome="lost"),
    winner=3,
    reward=1.0,
)
"""After the second sibling's joke the user gives $1 in one of two replies."""


def test_the_reward_below_a_turn_is_the_mean_of_the_leaves_whose_end_is_known():
    assert values(ASKED) == {0: 1.0, 1: 2.0, 2: 0.0}
    assert values(JOKED) == {0: pytest.approx(1 / 3), 1: 0.0, 2: 0.5, 3: 1.0, 4: 0.0}


def test_every_act_has_its_turns_its_branches_and_its_rewards():
    rows = rows_of(ASKED, JOKED)
    assert list(rows) == ["ask", "joke", "thank"]
    counts = {name: [row[key] for key in ("turns", "golden", "won", "lost")] for name, row in rows.items()}
    assert counts == {"ask": [2, 1, 1, 1], "joke": [2, 1, 1, 0], "thank": [2, 1, 1, 1]}
    assert {name: row["reward"]["value"] for name, row in rows.items()} == {"ask": 1.0, "joke": 0.5, "thank": 1.0}


def test_siblings_are_the_control():
    rows = rows_of(ASKED, JOKED)
    # In the first task $2 with `ask` and $0 without; in the second $0 with it and $0.50 without.
    assert rows["ask"]["pairs"] == 2
    assert rows["ask"]["siblings"] == {"value": 0.75, "low": -0.5, "high": 2.0}
    # The third sibling of the first task was cut off, so only the second task has a pair.
    assert rows["joke"]["pairs"] == 1
    assert rows["joke"]["siblings"] == {"value": 0.5, "low": None, "high": None}
    # Both siblings of the first task thank, and no sibling of the second.
    assert rows["thank"]["pairs"] == 0
    assert rows["thank"]["siblings"]["value"] is None


def test_an_episode_that_an_error_ended_is_left_out():
    assert rows_of(from_json(FAILED)) == {}


FAILED = {
    "task_id": "x",
    "ending": "aborted",
    "reward": 0.0,
    "success": 0.0,
    "rounds": 0.0,
    "metrics": {},
    "error": "gone",
    "usage": {},
    "reported": [],
    "goals": ["g"],
    "collapses": [],
    "frontier": [],
    "nodes": [
        {"parent": -1, "speaker": "user", "path": "", "messages": []},
        {"parent": 0, "speaker": "agent", "path": "", "messages": [], "actions": [["ask"]], "outcome": "infra_error"},
    ],
    "task": {"index": 0, "data": {}, "metadata": {}},
    "tools": [],
}


def turn_of(text="", actions=(), directive=None):
    messages = ({"role": "assistant", "content": text},) if text else ()
    return Node(0, Speaker.AGENT, "0", 1, Turn(messages, (), (tuple(actions),)), (), directive)


def test_a_turn_is_named_by_its_instruction_its_tools_and_its_acts():
    look, book = {"name": "look", "arguments": {"at": 1}}, {"name": "book", "arguments": {}, "error": "full"}
    done = done_by(turn_of("Well.", [look, look, book, "ask"], "Be brief."), TASK, BaseEnv({}))
    assert done == (("instruction", "Be brief."), ("tool", "look"), ("tool", "book (refused)"), ("act", "ask"))


def test_the_words_of_a_chat_model_are_classified_by_the_world():
    said = "Would you like to donate to Save the Children? Thank you!"
    turn = turn_of(said, [said])
    assert done_by(turn, TASK, BaseEnv({})) == ()
    assert ("act", "proposition-of-donation") in done_by(turn, TASK, PersuasionEnv({}))
    assert done_by(turn_of(said, ["greeting"]), TASK, PersuasionEnv({})) == (("act", "greeting"),)


def test_the_terminal_and_the_page_have_the_same_table(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    folder = run("one", "--josh", "--stop", "best", "--synthetic_tasks", 4)
    shown = head(folder)["actions"]
    capsys.readouterr()
    assert main(["show", str(folder), "--actions", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"folder": str(folder), "unit": "$", **shown}
    assert main(["show", str(folder), "--actions"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 100 for line in lines)
    first = max(shown["rows"], key=lambda row: row["turns"])
    assert f"{shown['turns']} turns of the persuader in 4 tasks" in lines
    (line,) = (line for line in lines if line.startswith(f"{first['name']} "))
    shares = [f"{first[name] / first['turns']:.2f}" for name in ("golden", "won", "lost")]
    assert line.split()[1:5] == [str(first["turns"]), *shares]
    assert main(["show", str(folder), "1", "--actions"]) == 2


def test_a_world_of_tools_has_a_table_of_tools(capsys):
    folder = run("two", "--env", "toolwoz", "--josh", "--synthetic_tasks", 4)
    shown = head(folder)["actions"]["rows"]
    assert {row["kind"] for row in shown} == {"tool"}
    assert {row["name"].split(" (")[0].split("_")[0] for row in shown} <= {"search", "book"}


def test_turns_of_a_chat_model_say_what_they_did(endpoint, capsys):
    url, _ = endpoint(respond=lambda body: "Would you like to donate to Save the Children?")
    folder = run("three", "--model", "m", "--base_url", url, "--synthetic_tasks", 2, "--max_convo_turns", 2)
    rows = head(folder)["actions"]["rows"]
    assert [row["name"] for row in rows] == ["proposition-of-donation"]
    assert rows[0]["turns"] == head(folder)["counts"]["turns"] // 2
