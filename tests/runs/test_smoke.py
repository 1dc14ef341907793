"""`josh smoke`: the whole way on a few tasks, with a line for every step."""

import json
import re
import socket
from pathlib import Path

import pytest
from p4g_small import write_original

from josh.cli import main
from josh.runs.systems.smoke import ATTEMPTS, Smoke

pytestmark = pytest.mark.usefixtures("elsewhere")


def folder():
    (found,) = Path("records").iterdir()
    return found


def test_offline_everything_is_played_and_sound(capsys):
    assert main(["smoke"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[:-1]] == [
        ["ok", name] for name in ("tasks", "play", "search", "export", "evaluate")
    ]
    assert "20 for training, 5 for testing" in lines[0]
    assert "10 tasks, " in lines[1]
    assert re.search(r"\d+ sft rows, sound", lines[3])
    assert "5 held-out tasks, " in lines[4]
    home = folder()
    assert lines[5].startswith("the smoke test passed in ")
    assert lines[5].endswith(f" s: {home}/ (josh show {home / 'search'} 1)")
    for name in ("play", "search"):
        summary = json.loads((home / name / "summary.json").read_text())
        assert summary["tasks"] == summary["scored"] == 10
        assert (home / name / "report.html").is_file()
    (evaluation,) = home.glob("eval-*")
    assert json.loads((evaluation / "evaluation.json").read_text())["held_out"]["tasks"] == 10
    assert main(["show"]) == 0
    assert f"{home.name}/search   " in capsys.readouterr().out


def test_a_model_and_a_corpus_may_be_given(capsys, tmp_path, endpoint):
    url, server = endpoint(respond=lambda body: "Would you like to donate to Save the Children?")
    write_original(tmp_path / "corpus")
    flags = ("--corpus", str(tmp_path / "corpus"), "--model", "m", "--base_url", url, "--max_convo_turns", "3")
    assert main(["smoke", *flags]) == 0
    assert "the smoke test passed" in capsys.readouterr().out
    assert {body["model"] for body in server.requests} == {"m"}
    assert (folder() / "tasks" / "train_tasks.jsonl").is_file()


def test_an_endpoint_that_is_down_ends_the_test_after_few_attempts(capsys):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
        assert main(["smoke", "--model", "m", "--base_url", url, "--max_attempts", "2"]) == 1
        assert "connection refused; gave up after 2 attempts in " in capsys.readouterr().out
    assert sum(0.5 * 2**number for number in range(ATTEMPTS - 1)) < 20, "seconds of pauses at most, by default"
    assert Smoke(Path("x"), None, {"model": "m", "base_url": url}).settings({}).traffic.max_attempts == ATTEMPTS


def test_what_fails_is_named_and_what_was_played_stays(capsys, endpoint):
    url, server = endpoint()
    server.faults += [400] * 2000
    assert main(["smoke", "--model", "m", "--base_url", url, "--max_convo_turns", "2"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("FAILED  play ")
    assert lines[2] == f"see what there is in {folder()}/"


def test_a_corpus_that_is_not_there_is_refused_and_leaves_nothing(capsys):
    assert main(["smoke", "--corpus", "nowhere"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("josh: no Persuasion for Good corpus in nowhere: ")
    assert not list(Path("records").iterdir())
