"""How a report is written: how it is split, and what happens where it cannot be, or where the run is damaged."""

import json
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from places import ROOT
from playing import run
from reports import episodes, head, summary, trees

from josh.cli import main
from josh.runs.record.journal import answer_times
from josh.runs.report.page_html import render, safe_json
from josh.runs.report.report import report

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_looking_up_latencies_leaves_a_journal_as_it_is(endpoint, tmp_path):
    url, _ = endpoint()
    folder = run("one", "--model", "m", "--base_url", url, "--synthetic_tasks", 1, "--max_convo_turns", 1)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert not [name for name in before if name.startswith("replies.sqlite-")]
    with answer_times(folder) as times:
        assert list(times("synthetic-train-0000")) == [("", 1, "agent")]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    (folder / "replies.sqlite").write_bytes(b"nothing that SQLite knows")
    with answer_times(folder) as times:
        assert times("synthetic-train-0000") == {}
    # A log that was not folded in, as of a run that was killed.
    base = sqlite3.connect(folder / "log.sqlite", isolation_level=None)
    base.execute("PRAGMA journal_mode = WAL")
    base.execute("CREATE TABLE replies (task, path, depth, speaker, seconds)")
    base.execute("INSERT INTO replies VALUES ('t', '0', 3, 'user', 0.25)")
    for ending in ("", "-wal"):
        shutil.copy(folder / f"log.sqlite{ending}", folder / f"replies.sqlite{ending}")
    base.close()
    with answer_times(folder) as times:
        assert times("t") == {("0", 3, "user"): 0.25}


def test_nothing_in_the_data_can_end_a_script():
    nasty = "</script><!--<script>\u2028&\u2029"
    text = safe_json({"said": nasty})
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == {"said": nasty}
    page = render("</title><script>", {"id": nasty}, [text], split=False)
    assert page.count("<script") == page.count("</script>") == 3
    assert "<title>&lt;/title&gt;&lt;script&gt;</title>" in page


def test_a_report_can_be_made_again_and_elsewhere():
    folder = run("one", "--josh", "--synthetic_tasks", 2)
    first = (folder / "report.html").read_bytes()
    assert main(["report", str(folder), "--out", "other.html"]) == 0
    assert Path("other.html").read_bytes() == first
    (folder / "report.html").unlink()
    assert main(["report", str(folder)]) == 0
    assert (folder / "report.html").read_bytes() == first


def test_the_trees_of_a_large_run_lie_beside_the_page():
    folder = run("one", "--josh")
    whole = trees(folder)
    (folder / "report").mkdir()
    (folder / "report" / "trees-0000-00000000.js").write_text("of the report before")
    report([folder], inline=100_000, chunk=60_000)
    shown = head(folder)
    assert len(shown["files"]) > 5
    assert sorted(f"report/{path.name}" for path in (folder / "report").iterdir()) == shown["files"]
    assert trees(folder) == whole
    assert len((folder / "report.html").read_bytes()) < 140_000
    assert main(["report", str(folder)]) == 0
    assert not (folder / "report").exists()
    assert trees(folder) == whole


def test_a_report_that_fails_leaves_the_old_one(capsys):
    env = "from josh.envs.persuasion.env import PersuasionEnv\nclass Mine(PersuasionEnv):\n"
    Path("mine.py").write_text(f"{env}    pass\n")
    folder = run("one", "--env", "./mine.py:Mine", "--josh")
    report([folder], inline=100_000, chunk=60_000)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    settings = json.loads((folder / "config.json").read_text())
    Path("broken.py").write_text(
        f"{env}    def user_prompt(self, task):\n        if task.index == 9:\n            raise KeyboardInterrupt\n"
    )
    settings["settings"]["env"]["name"] = "./broken.py:Mine"
    (folder / "config.json").write_text(json.dumps(settings))
    with pytest.raises(KeyboardInterrupt):
        report([folder], inline=100_000, chunk=50_000)
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert after.pop(folder / "config.json") != before.pop(folder / "config.json")
    assert after == before


def test_a_run_succeeds_though_its_report_cannot_be_written(capsys):
    Path("mine.py").write_text(
        "from pathlib import Path\n"
        "from josh.envs.persuasion.env import PersuasionEnv\n"
        "class Mine(PersuasionEnv):\n"
        "    def groups(self, task):\n"
        "        for run in Path('one').iterdir():\n"
        "            (run / 'report.html').mkdir(exist_ok=True)\n"
        "        return {}\n"
    )
    folder = run("one", "--env", "./mine.py:Mine", "--synthetic_tasks", 2)
    assert (folder / "report.html").is_dir()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"josh: no report.html was written: cannot write {folder / 'report.html'}: ")
    assert line.endswith(f"make it with: josh report {folder}")


def test_a_report_makes_do_without_plug_ins_that_are_gone(capsys):
    Path("mine.py").write_text("from josh.envs.persuasion.env import PersuasionEnv\nclass Mine(PersuasionEnv): pass\n")
    folder = run("one", "--env", "./mine.py:Mine", "--synthetic_tasks", 2)
    Path("mine.py").unlink()
    assert main(["report", str(folder)]) == 0
    shown = head(folder)
    assert "the environment cannot be loaded" in shown["notes"][0]
    assert len(shown["tasks"]) == 2
    assert len(trees(folder)) == 2


def test_an_unfinished_run_has_a_report_of_what_is_there(capsys):
    folder = run("one", "--josh", "--synthetic_tasks", 4)
    lines = (folder / "episodes.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "episodes.jsonl").write_bytes(b"".join(lines[:2]) + lines[2][:100])
    (folder / "summary.json").unlink()
    assert main(["report", str(folder)]) == 0
    assert capsys.readouterr().err == f"josh: {folder / 'episodes.jsonl'}: line 3 is damaged and left out\n"
    shown = head(folder)
    assert shown["counts"]["finished"] == 2
    assert shown["notes"] == ["Not finished: 2 of 4 tasks", "Line 3 of episodes.jsonl is damaged and left out"]
    (folder / "episodes.jsonl").unlink()
    assert main(["report", str(folder)]) == 0
    assert head(folder)["tasks"] == []


def test_tasks_stand_in_the_order_of_the_run_and_every_one_once(capsys):
    folder = run("one", "--josh", "--synthetic_tasks", 4, "--shuffle")
    ids = json.loads((folder / "config.json").read_text())["task_ids"]
    lines = (folder / "episodes.jsonl").read_text().splitlines(keepends=True)
    (folder / "episodes.jsonl").write_text("".join(lines[at] for at in (2, 1, 3, 1, 2)))
    assert main(["report", str(folder)]) == 0
    shown = head(folder)
    assert [row["id"] for row in shown["tasks"]] == ids[1:]
    assert [tree["task_id"] for tree in trees(folder)] == ids[1:]
    assert shown["notes"] == ["Not finished: 3 of 4 tasks"]
    capsys.readouterr()
    assert main(["show", str(folder)]) == 0
    listed = capsys.readouterr().out
    assert [line.split()[1] for line in listed.splitlines() if re.match(r"\d+ ", line)] == ids
    assert "not finished" in next(line for line in listed.splitlines() if ids[0] in line)


def test_a_task_that_stands_twice_counts_once():
    folder = run("one", "--josh", "--synthetic_tasks", 3)
    whole, recorded = head(folder), summary(folder)
    lines = (folder / "episodes.jsonl").read_text().splitlines(keepends=True)
    (folder / "episodes.jsonl").write_text("".join([*lines, lines[0], lines[1]]))
    assert main(["report", str(folder)]) == 0
    assert head(folder) == whole
    assert whole["counts"]["finished"] == recorded["finished"] == 3


def test_a_run_in_which_nothing_was_scored_has_no_interval():
    folder = run("one", "--josh", "--synthetic_tasks", 2)
    (folder / "episodes.jsonl").write_text("")
    assert main(["report", str(folder)]) == 0
    assert head(folder)["rate"] == {"value": None, "low": None, "high": None}


def test_the_page_s_files_are_packed():
    assert '"josh.runs.report": ["page/*"]' in (ROOT / "setup.py").read_text()
    assert "recursive-include runs/report/page *.html *.css *.js" in (ROOT / "MANIFEST.in").read_text()
    suffixes = {path.suffix for path in (ROOT / "runs" / "report" / "page").iterdir()}
    assert suffixes == {".html", ".css", ".js"}


def test_a_resumed_run_that_was_killed_is_not_shown_with_the_figures_of_the_session_before(endpoint, monkeypatch):
    url, server = endpoint()
    flags = ("--model", "m", "--base_url", url, "--synthetic_tasks", 4, "--max_concurrency", 1, "--josh")
    folder = run("one", *flags, "--max_calls", 20)
    recorded = summary(folder)
    asked = len(server.requests)
    resume = f"from josh.cli import main; main(['run', '--resume', {str(folder)!r}, '--max_calls', '500'])"
    killed = subprocess.Popen([sys.executable, "-c", resume], stderr=subprocess.PIPE)
    while len(server.requests) < asked + 60:
        time.sleep(0.001)
    killed.kill()
    killed.communicate()
    assert not (folder / "summary.json").exists()
    assert main(["report", str(folder)]) == 0
    shown = head(folder)
    calls = {side["side"]: side["calls"] for side in shown["costs"]["sides"]}
    assert calls["agent"] > recorded["usage"]["agent"]["calls"] + 50
    assert not [note for note in shown["notes"] if "budget" in note]
    done = {episode.task.id for episode in episodes(folder)}
    rows = [json.loads(line) for line in (folder / "training_examples.jsonl").read_text().splitlines()]
    assert shown["counts"]["training_examples"] == sum(row["task_id"] in done for row in rows)
    assert json.loads((folder / "summary.before.json").read_text()) == recorded
    assert main(["run", "--resume", str(folder), "--max_calls", "500"]) == 0
    assert not (folder / "summary.before.json").exists()
    assert summary(folder)["complete"]


@pytest.mark.parametrize(
    "damaged", ["[1]", '{"usage": {"agent": 3}, "retries": "x"}', '{"unpriced": 5}', "{", "[" * 100_000]
)
def test_a_damaged_summary_costs_a_note(damaged):
    folder = run("one", "--josh", "--synthetic_tasks", 2)
    recorded = summary(folder)
    (folder / "summary.json").write_text(damaged)
    assert main(["report", str(folder)]) == 0
    assert head(folder)["notes"] == ["summary.json is damaged and left out"]
    assert head(folder)["counts"]["training_examples"] == recorded["training_examples"]


def test_what_plug_ins_cannot_take_costs_a_note_and_no_tree(capsys):
    Path("mine.py").write_text(
        "from josh.envs.persuasion.env import PersuasionEnv\n"
        "class Mine(PersuasionEnv):\n"
        "    def groups(self, task):\n"
        "        return super().groups(task) if task.index else 1 / 0\n"
    )
    folder = run("one", "--env", "./mine.py:Mine", "--synthetic_tasks", 4)
    assert head(folder)["notes"] == [
        "1 task shown incompletely, because plug-ins failed; the first, synthetic-train-0000: "
        "ZeroDivisionError: division by zero"
    ]
    rows = [json.loads(line) for line in (folder / "episodes.jsonl").read_text().splitlines()]
    rows[1]["nodes"][1]["messages"][0]["content"] = 5
    rows[2]["nodes"][1]["messages"][0]["content"] = [{"type": "text", "text": "hi"}]
    rows[3]["nodes"][1]["messages"][0] = {}
    (folder / "episodes.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (folder / "replies.sqlite").unlink()  # it has the checksums of the lines
    assert main(["report", str(folder), "--trust"]) == 0
    assert head(folder)["notes"][0].startswith("3 tasks shown incompletely, because plug-ins failed; the first, ")
    assert trees(folder)[1]["nodes"][1]["messages"][0]["content"] == 5
    assert len(head(folder)["tasks"]) == 4
    for task in "1234":
        assert main(["show", str(folder), task]) == 0
