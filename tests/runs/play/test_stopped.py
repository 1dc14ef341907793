"""Runs that are stopped, held up or out of room keep what was finished."""

import asyncio
import json
import resource
import signal
import subprocess
import sys
import time

import pytest
from playing import PEOPLE, lines, only_run

from josh.cli import main
from josh.runs.play.signals import cancelled_by_signals

QUIET = """
from josh import BaseJOSHUser

class Quiet(BaseJOSHUser):
    def step(self, agent):
        agent.add_message({"role": "user", "content": "I see."})
        return agent, False
"""


@pytest.fixture(autouse=True)
def elsewhere(elsewhere, tmp_path):
    """A folder of its own, without anybody's settings."""
    (tmp_path / "quiet.py").write_text(QUIET)


def test_a_full_disk_loses_no_finished_task(tmp_path):
    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    command = [sys.executable, "-m", "josh", "--josh"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, preexec_fn=small_files, check=False)
    assert done.returncode == 2
    message, reason = done.stderr.splitlines()
    assert reason.startswith("josh: cannot write records/")
    (folder,) = (tmp_path / "records").iterdir()
    finished = lines(folder / "episodes.jsonl")
    assert 0 < len(finished) < 20
    where = folder.relative_to(tmp_path)
    assert message == f"josh: {len(finished)} of 20 tasks were finished; go on with: josh --resume {where}"
    assert lines(folder / "training_examples.jsonl")
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["complete"], summary["finished"]) == (False, len(finished))
    assert summary["average_reward"] == pytest.approx(sum(task["reward"] for task in finished) / len(finished))


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "terminated"),
        (signal.SIGHUP, 143, "terminated"),
    ],
)
def test_a_run_that_is_stopped_leaves_every_finished_task_readable(tmp_path, endpoint, how, code, said):
    url, _ = endpoint(latency=0.02)
    command = [sys.executable, "-m", "josh", "--model", "us", "--base_url", url, "--synthetic_tasks", "400"]
    run = subprocess.Popen(
        [*command, "--max_concurrency", "2", "--max_convo_turns", "4"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 30
    while not any(path.stat().st_size > 20_000 for path in tmp_path.glob("records/*/episodes.jsonl")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    run.send_signal(how)
    out, err = run.communicate(timeout=30)
    assert run.returncode == code
    assert out == ""
    message, last = err.splitlines()
    assert "of 400 tasks were finished; go on with: josh --resume records/" in message
    assert last == f"josh: {said}"
    (folder,) = (tmp_path / "records").iterdir()
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["complete"] is False
    assert len(lines(folder / "episodes.jsonl")) == summary["finished"] > 0
    assert f"Not finished: {summary['finished']} of 400 tasks" in (folder / "report.html").read_text()


def test_a_task_that_takes_too_long_is_given_up(endpoint):
    url, _ = endpoint(latency=0.5)
    assert main(["--model", "us", "--base_url", url, "--synthetic_tasks", "1", "--task_timeout", "0.2"]) == 1
    (episode,) = lines(only_run() / "episodes.jsonl")
    assert (episode["ending"], episode["error"]) == ("aborted", "the task took longer than 0.2 seconds")


def test_a_slow_task_holds_no_finished_one_back(endpoint, tmp_path):
    url, _ = endpoint(latency=0.02)
    quick = [{"id": f"t{number}", "data": PEOPLE} for number in range(6)]
    slow = {"id": "slow", "data": PEOPLE, "metadata": {"max_turns": 9999}}
    (tmp_path / "tasks.jsonl").write_text("\n".join(map(json.dumps, [slow, *quick])))
    command = [sys.executable, "-m", "josh", "--model", "us", "--base_url", url, "--corpus", "tasks.jsonl"]
    run = subprocess.Popen([*command, "--user", "./quiet.py:Quiet", "--max_convo_turns", "1"], cwd=tmp_path)
    deadline = time.monotonic() + 30
    while not any(path.read_text().count("\n") == 6 for path in tmp_path.glob("records/*/episodes.jsonl")):
        assert time.monotonic() < deadline
        assert run.poll() is None
        time.sleep(0.02)
    run.kill()
    run.wait()
    (folder,) = (tmp_path / "records").iterdir()
    assert {episode["task_id"] for episode in lines(folder / "episodes.jsonl")} == {f"t{number}" for number in range(6)}


def test_lines_stand_in_the_order_of_the_tasks_whichever_ended_first(endpoint, tmp_path):
    url, _ = endpoint(latency=0.005)
    rows = [{"id": f"t{turns}", "data": PEOPLE, "metadata": {"max_turns": turns}} for turns in (9, 1, 5, 2, 7, 1, 3)]
    rows = [{**row, "id": f"{number}"} for number, row in enumerate(rows)]
    (tmp_path / "tasks.jsonl").write_text("\n".join(map(json.dumps, rows)))
    flags = ["--model", "us", "--base_url", url, "--corpus", "tasks.jsonl", "--user", "./quiet.py:Quiet"]
    assert main(flags) == 0
    ids = [episode["task_id"] for episode in lines(only_run() / "episodes.jsonl")]
    assert ids == [row["id"] for row in rows]
    assert [row["task_id"] for row in lines(only_run() / "training_examples.jsonl")] == ids


def test_a_disk_that_is_full_from_the_start_leaves_nothing(tmp_path):
    def no_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    command = [sys.executable, "-m", "josh"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, preexec_fn=no_files, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("josh: cannot write records/")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "records").exists()


def test_signals_do_afterwards_what_they_did_before():
    async def within():
        with cancelled_by_signals():
            assert signal.getsignal(signal.SIGTERM) is not mine

    def mine(*_):
        raise AssertionError

    before = signal.signal(signal.SIGTERM, mine)
    try:
        asyncio.run(within())
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)
