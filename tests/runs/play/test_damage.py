"""Runs whose files are torn, damaged, emptied, locked or not to be written."""

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from playing import lines
from resuming import FILES, files, finished_and_broken, respond, said, summary

from josh.cli import main

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_a_torn_last_line_is_played_again_from_the_journal(endpoint, capsys):
    run, whole, server = finished_and_broken(endpoint)
    asked = len(server.requests)
    episodes, examples = (run / name for name in FILES)
    episodes.write_bytes(whole[0][:-200])
    examples.write_bytes(whole[1][:-20])
    assert main(["--resume", str(run)]) == 0
    assert "line 4 is damaged and left out" in capsys.readouterr().err
    assert files(run) == whole
    assert len(server.requests) == asked


@pytest.mark.parametrize("damage", [b"\x00" * 300, b"{}", b'{"task_id": "x"}', b"\xff\xfe"])
def test_a_damaged_line_anywhere_is_played_again(endpoint, capsys, damage):
    run, whole, server = finished_and_broken(endpoint)
    asked = len(server.requests)
    rows = whole[0].splitlines()
    rows[1] = damage
    (run / FILES[0]).write_bytes(b"\n".join(rows) + b"\n")
    (run / FILES[1]).unlink()
    assert main(["--resume", str(run)]) == 0
    assert "line 2 is damaged and left out" in capsys.readouterr().err
    assert files(run) == whole
    assert len(server.requests) == asked


@pytest.mark.parametrize("size", [0.5, 0.99, 30])
def test_a_truncated_journal_is_named_and_nothing_is_lost(endpoint, capsys, size):
    run, whole, server = finished_and_broken(endpoint)
    journal = run / "replies.sqlite"
    data = journal.read_bytes()
    journal.write_bytes(data[: int(size if size > 1 else size * len(data))])
    torn = journal.read_bytes()
    for command in (["--resume", str(run)], ["replay", str(run)]):
        assert main(command) == 2
        (line,) = said(capsys)
        assert line.startswith(f"josh: {journal} is damaged (")
        assert line.endswith("or move it away to request its replies again")
    assert files(run) == whole
    assert journal.read_bytes() == torn
    # The way out that the line names.
    (run / FILES[0]).write_bytes(b"".join(whole[0].splitlines(keepends=True)[:2]))
    journal.rename(run / "damaged")
    asked = len(server.requests)
    assert main(["--resume", str(run)]) == 0
    assert files(run) == whole
    assert asked < len(server.requests) < 2 * asked


def test_a_journal_that_was_emptied_is_no_new_one(endpoint, capsys):
    run, whole, server = finished_and_broken(endpoint)
    journal, asked = run / "replies.sqlite", len(server.requests)
    data = journal.read_bytes()
    journal.write_bytes(b"")
    assert main(["--resume", str(run)]) == 2
    (line,) = said(capsys)
    assert line.startswith(f"josh: {journal} is damaged (it is empty); repair it with")
    journal.unlink()
    (run / "replies.sqlite-wal").write_bytes(data)
    assert main(["--resume", str(run)]) == 2
    assert "only its log is left" in said(capsys)[0]
    (run / "replies.sqlite-wal").unlink()
    assert main(["--resume", str(run)]) == 0
    assert "the journal is missing" in said(capsys)[0]
    assert files(run) == whole
    assert len(server.requests) == asked


@pytest.mark.parametrize("change", ["reply = '{'", "reply = '{\"text\": 5}'", "model = x'00ff'", "calls = 'x'"])
def test_a_row_that_makes_no_sense_is_named(endpoint, capsys, change):
    run, _, _ = finished_and_broken(endpoint)
    (run / FILES[0]).write_bytes(b"")
    with sqlite3.connect(run / "replies.sqlite") as base:
        base.execute(f"UPDATE replies SET {change} WHERE depth = 3")
    base.close()
    assert main(["--resume", str(run)]) == 2
    assert f"{run / 'replies.sqlite'} is damaged (" in said(capsys)[-1]


def test_a_run_that_cannot_write_its_summary_keeps_its_lines(endpoint, tmp_path):
    people = {side: {"id": side, "traits": {}} for side in ("persuader", "persuadee")}
    rows = [{"id": f"t{turns}", "data": people, "metadata": {"max_turns": turns}} for turns in (6, 1, 4, 2)]
    (tmp_path / "tasks.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "saboteur.py").write_text(
        "from pathlib import Path\n"
        "from josh.users.persuasion.donor import Donor\n"
        "class Saboteur(Donor):\n"
        "    def step(self, agent, **kwargs):\n"
        "        for run in Path('records').glob('*'):\n"
        "            (run / 'summary.json').mkdir(exist_ok=True)\n"
        "        return super().step(agent, **kwargs)\n"
    )
    url, _ = endpoint(latency=0.005)
    cast = ["--model", "us", "--base_url", url, "--user", "./saboteur.py:Saboteur", "--corpus", "tasks.jsonl"]
    assert main(cast) == 2
    (run,) = Path("records").iterdir()
    assert [row["task_id"] for row in lines(run / FILES[0])] == ["t6", "t1", "t4", "t2"]


def test_a_folder_that_cannot_be_written_is_named(endpoint, tmp_path):
    run, _, _ = finished_and_broken(endpoint)
    before = {path.name: path.read_bytes() for path in run.iterdir()}

    def without_privileges():
        import ctypes

        for capability in (1, 2):  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, with which root writes anywhere
            ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)

    for path in (*run.iterdir(), run):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        command = [sys.executable, "-m", "josh", "--resume", str(run)]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, preexec_fn=without_privileges, check=False
        )
    finally:
        run.chmod(0o755)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"josh: cannot write {run}")
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_two_processes_cannot_resume_the_same_run(endpoint, tmp_path):
    run, whole, _ = finished_and_broken(endpoint)
    url, _ = endpoint(respond=respond, latency=0.3)
    (run / FILES[0]).write_bytes(b"")
    (run / "replies.sqlite").unlink()
    command = [sys.executable, "-m", "josh", "--resume", str(run), "--base_url", url, "--user_base_url", url]
    first = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 20
    while not (run / "replies.sqlite-wal").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    second = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert second.returncode == 2
    assert second.stderr == f"josh: {run} is in use by another josh (process {first.pid}); wait for it, or stop it\n"
    _, errors = first.communicate(timeout=60)
    assert first.returncode == 0, errors
    assert files(run) == whole


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"settings": 1}', '{"settings": {"beam": 3}}'])
def test_a_folder_that_is_no_run_is_named(tmp_path, capsys, content):
    folder = tmp_path / "other"
    folder.mkdir()
    if content is not None:
        (folder / "config.json").write_text(content)
    for command in (["--resume", "other"], ["replay", "other"]):
        assert main(command) == 2
        assert len(said(capsys)) == 1
    assert [path.name for path in folder.iterdir()] == ([] if content is None else ["config.json"])
    shutil.rmtree(folder)
    assert main(["--resume", "other"]) == 2


def test_what_was_spent_still_counts_when_the_journal_is_gone(endpoint, capsys):
    run, whole, server = finished_and_broken(endpoint)
    spent, asked = summary(run)["usage"], len(server.requests)
    (run / "replies.sqlite").unlink()
    for _ in range(2):
        assert main(["--resume", str(run)]) == 0
        assert summary(run)["usage"] == spent
    assert (
        f"the replies to {asked} calls of finished tasks are missing; their cost still counts"
        in capsys.readouterr().err
    )
    assert (files(run), len(server.requests)) == (whole, asked)


def test_a_changed_letter_in_an_episode_is_noticed(endpoint, capsys):
    run, whole, server = finished_and_broken(endpoint)
    asked = len(server.requests)
    rows = whole[0].splitlines(keepends=True)
    rows[1] = rows[1].replace(b"words", b"worts", 1)
    (run / FILES[0]).write_bytes(b"".join(rows))
    assert main(["show", str(run)]) == 0
    assert f"{run / FILES[0]}: line 2 is damaged" in capsys.readouterr().err
    assert main(["--resume", str(run)]) == 0
    assert "line 2 is damaged and left out" in capsys.readouterr().err
    assert (files(run), len(server.requests)) == (whole, asked)
