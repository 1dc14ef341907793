"""States with tests: their code runs only where it is allowed, when it is played or later."""

from pathlib import Path

import pytest
from playing import lines
from refusals import bad
from sandboxes import any_sandbox
from trajectories import ANSWERED, CODE, STATE, preferences, trajectory, write

from josh.cli import main

pytestmark = pytest.mark.usefixtures("elsewhere")
TESTED = {**STATE, "mbpp_tests": ["assert work([2, 1]) == [1, 2]", "assert work([]) == []"]}
WRONG = "```python\ndef work(things):\n    return things\n```"
REFUSED = (
    "josh: task q has tests, which run the code that a model wrote; give --allow_exec bwrap|unshare|docker to run them "
    "in a sandbox, or later to run none now"
)


@pytest.mark.parametrize(("code", "score"), [(CODE, 1.0), (WRONG, 0.0)])
def test_the_code_of_published_trajectories_is_graded_where_that_is_allowed(capsys, code, score):
    rows = [trajectory("Clarify", "How?", ANSWERED, TESTED), trajectory("Execute", code, state=TESTED)]
    write(rows)
    command = ("proactive", "rewards", "--trajectories", "traj.jsonl", "--out", "prefs.jsonl")
    assert bad(capsys, *command) == REFUSED
    assert "no task score (1)" in bad(capsys, *command, "--allow_exec", "later")
    (row,) = preferences(rows, "--allow_exec", any_sandbox().tool)
    assert row["task_scores"] == {"Clarify": 0.0, "Execute": score}


def test_what_a_run_graded_is_not_run_again_and_what_it_left_is_graded_later(capsys):
    write([TESTED], "states.jsonl")
    generate = ("proactive", "generate", "--dataset_path", "states.jsonl", "--out")
    assert bad(capsys, *generate, "now.jsonl") == REFUSED
    tool = any_sandbox().tool
    for name, how in (("now", tool), ("late", "later")):
        assert main([*generate, f"{name}.jsonl", "--allow_exec", how]) == 0
    assert lines(Path("now-run/episodes.jsonl"))[0]["nodes"][1]["facts"]["grade"]["total"] == 2
    (now,) = preferences("now.jsonl", out="a.jsonl")
    (late,) = preferences("late.jsonl", "--allow_exec", tool, out="b.jsonl")
    assert now == late
