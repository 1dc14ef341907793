"""Proactive help whose code is graded by tests, in a sandbox and only where that is allowed."""

import pytest
from helping import ROW, facts, played, saying, task_of, with_settings
from sandboxes import any_sandbox

from josh.dialogue import Outcome
from josh.rewards.sandbox.run import runnable
from josh.runs.play.trusted import trust_of
from josh.trust import Trust, UntrustedError, executing, trusting

TESTS = ["assert work([2, 1]) == LOW", "assert work([]) == []"]
TASK = {**ROW, "mbpp_tests": TESTS, "mbpp_setup": "LOW = [1, 2]"}
RIGHT = "It raises no ValueError:\n```python\ndef work(orders):\n    return sorted(orders)\n```"
WRONG = "```python\ndef work(orders):\n    return orders\n```"


def graded(text, **settings):
    """The facts of a message, the outcomes and the scores of its conversation."""
    tool = any_sandbox().tool
    episode = played(
        saying(("Execute", text)), task_of(TASK), rewards=with_settings(allow_exec=tool, **settings), max_rounds=1
    )
    (scores,) = episode.scores.values()
    return facts(episode)[0], set(episode.outcomes.values()), scores


def test_code_that_passes_all_tests_solves_the_task():
    found, outcomes, scores = graded(RIGHT)
    assert found["grade"] == {"passed": 2, "total": 2}
    assert outcomes == {Outcome.WON}
    assert scores == {"task": 1.0, "interrupt": 0.0, "reward": 1.0}


def test_code_that_passes_some_tests_does_not_solve_it_and_the_facts_say_why():
    found, outcomes, scores = graded(WRONG)
    assert found["grade"] == {"passed": 1, "total": 2, "error": "test 1: AssertionError"}
    assert outcomes == {Outcome.LOST}
    assert scores["task"] == 0.0


def test_grades_are_kept_in_the_folder_that_is_named(tmp_path):
    graded(RIGHT, grades=str(tmp_path / "grades"))
    assert len(list((tmp_path / "grades").iterdir())) == 1


def test_a_recorded_run_alone_does_not_run_code():
    tool = any_sandbox().tool
    with trusting(Trust(set())), pytest.raises(UntrustedError, match=rf"give --allow_exec {tool}, or --trust$"):
        graded(RIGHT)
    with trusting(Trust({executing(tool)})):
        assert graded(RIGHT)[2]["task"] == 1.0


def test_the_command_line_allows_the_tool_that_it_names(tmp_path):
    config = tmp_path / "run.toml"
    config.write_text('[rewards]\nallow_exec = "bwrap"\n', encoding="utf-8")
    for arguments in (
        ["run", "--allow_exec", "bwrap"],
        ["run", "--rewards.allow_exec=bwrap"],
        ["rescore", str(tmp_path), "--allow-exec", "bwrap"],
        ["run", "--config", str(config)],
        ["rescore", str(tmp_path), "--trust"],
    ):
        assert trust_of(arguments).may_run(executing("bwrap")), arguments
    assert not trust_of(["rescore", str(tmp_path)]).may_run(executing("bwrap"))
    assert not trust_of(["rescore", str(tmp_path), "--allow_exec", "docker"]).may_run(executing("bwrap"))


def test_a_tool_that_does_not_work_is_refused_before_anything_is_played():
    reason = runnable("docker")
    if not reason:
        pytest.skip("docker works here")
    with pytest.raises(ValueError, match=r"^--allow_exec docker does not work here: "):
        played(saying(("Execute", RIGHT)), task_of(TASK), rewards=with_settings(allow_exec="docker"))
