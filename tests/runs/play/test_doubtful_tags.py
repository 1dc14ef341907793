"""Donation tags that could not be read, or that are disputed, are counted per task and in the summary."""

import json
from pathlib import Path

import pytest
from playing import lines

from josh.cli import main

pytestmark = pytest.mark.usefixtures("elsewhere")


def played(capsys, endpoint, says):
    """Play two tasks with a persuadee that always says the same; the summary, its episodes and stderr."""
    url, _ = endpoint(respond=lambda body: says)
    flags = ("--user_model", "them", "--user_base_url", url, "--end_index", "2", "--max_convo_turns", "2")
    assert main([*flags, "--log_dir", "r"]) == 0
    (run,) = Path("r").iterdir()
    return json.loads((run / "summary.json").read_text()), lines(run / "episodes.jsonl"), capsys.readouterr().err


def test_unread_tags_are_counted_and_named_in_one_line(capsys, endpoint):
    summary, episodes, err = played(capsys, endpoint, "OK, I give a dollar. [DONATE one dollar]")
    assert summary["average_reward"] == 0
    assert (summary["unread_tags"], summary["doubtful_tasks"]) == (4, 2)
    assert [episode["unread_tags"] for episode in episodes] == [2, 2]
    (line,) = [line for line in err.splitlines() if "tags" in line]
    assert line.startswith("josh: 4 reward tags of the user could not be read, in 2 of 2 tasks; see josh show r/")


def test_disputed_tags_earn_nothing_and_are_counted(capsys, endpoint):
    summary, episodes, err = played(capsys, endpoint, "I would never say [DONATE $2]!")
    assert (summary["average_reward"], summary["success_rate"]) == (0, 0)
    assert [episode["disputed_tags"] for episode in episodes] == [2, 2]
    assert "4 reward tags of the user did not count (quoted, negated or asked about), in 2 of 2 tasks" in err


def test_tags_that_are_read_leave_no_trace_of_doubt(capsys, endpoint):
    summary, episodes, err = played(capsys, endpoint, "Gern. [DONATE $1,50]")
    assert summary["average_reward"] == 1.5
    assert not {"unread_tags", "disputed_tags", "doubtful_tasks"} & {*summary, *episodes[0]}
    assert err == ""
