"""The commands that stand for the published ones: those that need no training run as they stand in the table."""

import json
import shlex
from pathlib import Path

import pytest
from helping_models import respond
from places import ROOT
from playing import lines
from sandboxes import any_sandbox
from trajectories import write

from josh.cli import main

PAGE = ROOT / "envs" / "proactive" / "README.md"
MBPP = {
    "text": "Write a function to sort a list.",
    "task_id": 11,
    "test_list": ["assert work([2, 1]) == [1, 2]"],
}


def in_table():
    """The commands of the table, in its order."""
    section = PAGE.read_text(encoding="utf-8").partition("## The published commands")[2].partition("\n## ")[0]
    cells = [line.rpartition("| `")[2].removesuffix("` |") for line in section.splitlines() if line.endswith("` |")]
    return [shlex.split(cell)[1:] for cell in cells if cell.startswith("josh proactive ")]


@pytest.mark.usefixtures("elsewhere")
def test_the_commands_of_the_table_run_one_after_the_other(endpoint, monkeypatch):
    url, server = endpoint(respond=respond)
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    write([{**MBPP, "task_id": number} for number in range(11, 14)], "mbpp.jsonl")
    tool = any_sandbox().tool
    for words in in_table():
        small = [tool if word == "bwrap" else "6" if word == "100" else word for word in words]
        assert main(small) == 0, words
    assert {body["model"] for body in server.requests} == {"gpt-4o-mini"}
    synthetic, several = (lines(Path(f"logs/traj_{name}.jsonl")) for name in ("synth_coding", "multiturn"))
    assert len(synthetic) == 150
    assert {row["decision_point"] for row in several} >= {0, 1}
    prefs = lines(Path("dpo/prefs_synth_coding.jsonl"))
    assert all(row["chosen_action"] != row["rejected_action"] for row in prefs)
    mbpp = lines(Path("logs/traj_mbpp.jsonl"))
    assert [row["state"]["id"] for row in mbpp[::3]] == [
        "mbpp-11",
        "mbpp-12",
        "mbpp-13",
        "mbpp-11-1",
        "mbpp-12-1",
        "mbpp-13-1",
    ]
    assert {json.dumps(one["facts"]["grade"]) for row in mbpp for one in row["interactions"][-1:]} == {
        '{"passed": 1, "total": 1}'
    }
