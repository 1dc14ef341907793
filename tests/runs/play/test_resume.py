"""Runs that are killed, throttled, starved and resumed come out as if nothing had happened."""

import contextlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from aiohttp import web
from faulty_server import KINDS, FaultyServer
from places import SUPPORT
from playing import lines
from resuming import FILES, files, flags, respond, run_in, said, summary

from josh.cli import main
from josh.runs.experiments.loopback import Loopback

CANARY = "sk-canary-0123456789"
pytestmark = pytest.mark.usefixtures("elsewhere")


class Choosy(Loopback):
    """Refuses requests for several replies."""

    async def _answer(self, request):
        if "n" in await request.json():  # not counted among the requests
            return web.json_response({"error": {"message": "n has to be 1"}}, status=400)
        return await super()._answer(request)


def killed(server, folder, kills, arguments, dice):
    """Play a run that is killed so many times, each time after a few more requests; what it knew at every kill."""
    helper = [sys.executable, str(SUPPORT / "killed_run.py"), folder, *arguments]
    known = []
    with subprocess.Popen(helper, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:

        def begin():
            run.stdin.write(json.dumps(["--max_concurrency", str(dice.choice((1, 4, 16)))]) + "\n")
            run.stdin.flush()
            return int(run.stdout.readline())

        while len(known) < kills:
            before, child = len(server.requests), begin()
            enough, deadline = before + dice.randrange(13), time.monotonic() + 20
            while len(server.requests) < enough and time.monotonic() < deadline:
                time.sleep(0.001)
            time.sleep(dice.random() * 0.03)
            os.kill(child, signal.SIGKILL)
            known.append((len(server.requests), set(json.loads(run.stdout.readline()))))
        begin()
        assert run.wait() == 0, Path(f"{folder}.errors").read_text()
    return known


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "kills", "several"), [(Loopback, 30, True), (Loopback, 8, False), (Choosy, 8, True)])
def test_kills_change_no_byte_and_no_reply_is_bought_twice(endpoint, kind, kills, several):
    url, server = endpoint(kind, respond=respond, several=several)
    whole = run_in("whole", *flags(url), "--max_concurrency", "64")
    asked = {request["seed"] for request in server.requests}
    assert len(server.requests) == sum(side["calls"] for side in summary(whole)["usage"].values())

    url, server = endpoint(kind, respond=respond, several=several, latency=0.02)
    known = killed(server, "killed", kills, flags(url), random.Random(7))
    assert len({len(seeds) for _, seeds in known}) > kills / 2, "the kills are spread over the run"
    (resumed,) = (path.parent for path in Path("killed").glob("*/config.json"))
    assert files(resumed) == files(whole)
    for before, journal in known:
        assert not journal & {request["seed"] for request in server.requests[before:]}
    assert {request["seed"] for request in server.requests if request["model"] != "warm"} == asked
    assert summary(resumed)["complete"]
    assert summary(resumed)["usage"] == summary(whole)["usage"]
    assert sorted(path.name for path in resumed.iterdir()) == sorted(path.name for path in whole.iterdir())


@pytest.mark.parametrize("several", [True, False])
def test_the_number_of_calls_at_once_changes_no_byte(endpoint, several):
    runs = []
    for concurrency in ("1", "64"):
        url, _ = endpoint(respond=respond, several=several)
        runs.append(run_in(f"at{concurrency}", *flags(url), "--max_concurrency", concurrency))
    assert files(runs[0]) == files(runs[1])
    assert any(b'"is_golden_path": true' in part for part in files(runs[0]))
    nodes = [node for episode in lines(runs[0] / "episodes.jsonl") for node in episode["nodes"]]
    assert any(node.get("duplicate") for node in nodes)
    assert any(node.get("choice") for node in nodes) == several


def test_faults_of_all_kinds_change_no_byte(endpoint):
    url, _ = endpoint(respond=respond)
    whole = run_in("whole", *flags(url))
    url, server = endpoint(
        FaultyServer, rates=dict.fromkeys(KINDS, 0.2 / len(KINDS)), respond=respond, hang=2.0, latency=0.002
    )
    patience = ["--max_attempts", "25", "--timeout", "0.5", "--max_concurrency", "64"]
    faulty = run_in("faulty", *flags(url), *patience)
    assert set(server.struck) == set(KINDS)
    assert files(faulty) == files(whole)
    assert summary(faulty)["retries"] == sum(server.struck.values())
    assert summary(faulty)["owed"] == 0


def test_what_stayed_broken_is_owed_and_paid_on_resume(endpoint, capsys):
    url, _ = endpoint(respond=respond)
    whole = run_in("whole", *flags(url))
    url, server = endpoint(FaultyServer, rates={"500": 0.05}, seed=3, respond=respond)
    run = run_in("owing", *flags(url), "--max_attempts", "1")
    before = summary(run)
    assert before["complete"]
    assert 0 < before["owed"] <= 8
    assert before["leaf_outcomes"]["infra_error"] > 0
    assert f"josh: {before['owed']} task" in said(capsys)[-1]
    golden = [row for row in lines(run / "training_examples.jsonl") if row["is_golden_path"]]
    assert all(row["messages"][-1]["content"].startswith("words") for row in golden)
    server.rates = {}
    bought = Counter(map(json.dumps, server.requests))
    assert main(["--resume", str(run)]) == 0
    assert files(run) == files(whole)
    assert summary(run)["owed"] == 0
    # A branch that broke made room for others to split, which the whole tree has not; but nothing is asked twice.
    again = Counter(map(json.dumps, server.requests))
    assert max(again.values()) == 1
    assert len(again) > len(bought)


def test_a_setting_that_changes_requests_cannot_change_and_others_can(endpoint, capsys):
    url, _ = endpoint(respond=respond)
    run = run_in("records", *flags(url, tasks=2))
    before = files(run)
    for flag, was in (("seed", 10), ("beam_size", 8), ("temperature", 1.0), ("model", "us")):
        assert main(["--resume", str(run), f"--{flag}", "4"]) == 2
        (line,) = said(capsys)
        assert f"and {was!r} in {run}; it changes what is asked: leave it out, or start a new run" in line
    assert main(["--resume", str(run), "--log_dir", "else"]) == 2
    assert main(["--resume", str(run), "--seed", "10", "--max_concurrency", "2", "--timeout", "5"]) == 0
    other, server = endpoint(respond=respond)
    assert main(["--resume", str(run), "--base_url", other, "--user_base_url", other]) == 0
    assert server.requests == []
    assert files(run) == before


def test_an_address_from_the_environment_is_recorded(endpoint, monkeypatch):
    url, server = endpoint(respond=respond)
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    run = run_in("records", "--model", "us", "--user_model", "them", "--synthetic_tasks", "3", "--max_calls", "4")
    monkeypatch.delenv("OPENAI_BASE_URL")
    assert main(["--resume", str(run), "--max_calls", "999"]) == 0
    assert summary(run)["complete"]
    assert len(server.requests) > 4


def test_another_address_in_the_environment_changes_no_run(endpoint, monkeypatch):
    (here, ours), (there, theirs) = endpoint(respond=respond), endpoint(respond=respond)
    run = run_in("records", "--model", "us", "--base_url", here, "--synthetic_tasks", "3", "--max_calls", "4")
    monkeypatch.setenv("OPENAI_BASE_URL", there)
    assert main(["--resume", str(run), "--max_calls", "999"]) == 0
    assert len(ours.requests) > 4
    assert theirs.requests == []
    monkeypatch.delenv("OPENAI_BASE_URL")
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    config = dry_run("--model", "gpt-4o-mini", "--user_model", "gpt-4o,gpt-4o-mini")
    assert (config["agent"]["base_url"], config["user"]["base_url"]) == ("https://api.openai.com/v1",) * 2


def dry_run(*arguments):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main([*arguments, "--dry_run"]) == 0
    return json.loads(out.getvalue())["settings"]


def test_a_run_goes_on_from_any_folder(endpoint, tmp_path, monkeypatch):
    url, _ = endpoint(respond=respond)
    (tmp_path / "mine.py").write_text("from josh.agents.chat import Persuader\nclass Mine(Persuader): pass\n")
    people = {side: {"id": side, "traits": {}} for side in ("persuader", "persuadee")}
    (tmp_path / "tasks.jsonl").write_text("\n".join(json.dumps({"id": name, "data": people}) for name in "abc"))
    cast = ["--model", "us", "--base_url", url, "--agent", "./mine.py:Mine", "--corpus", "tasks.jsonl"]
    run = run_in("records", *cast, "--max_calls", "9").resolve()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "tasks.jsonl").rename(tmp_path / "moved.jsonl")
    again = ["--resume", str(run), "--agent", "../mine.py:Mine", "--max_calls", "99"]
    assert main([*again, "--corpus", "../moved.jsonl"]) == 0
    assert summary(run)["complete"]


def test_a_run_cannot_go_on_with_other_tasks(endpoint, capsys, tmp_path):
    url, _ = endpoint(respond=respond)
    people = {side: {"id": side, "traits": {}} for side in ("persuader", "persuadee")}
    tasks = [{"id": name, "data": people} for name in "ab"]
    (tmp_path / "tasks.jsonl").write_text("\n".join(map(json.dumps, tasks)))
    cast = ["--model", "us", "--base_url", url, "--corpus", "tasks.jsonl"]
    run = run_in("records", *cast)
    (tmp_path / "tasks.jsonl").write_text("\n".join(map(json.dumps, tasks[::-1])))
    assert main(["--resume", str(run)]) == 2
    assert f"the tasks are not those of {run}" in said(capsys)[-1]


def test_an_offline_run_resumes_as_well(capsys):
    whole = run_in("whole", "--josh", "--synthetic_tasks", "6")
    run = run_in("again", "--josh", "--synthetic_tasks", "6")
    rows = (run / FILES[0]).read_bytes().splitlines(keepends=True)
    (run / FILES[0]).write_bytes(b"".join(rows[3:5]) + rows[0][:50])
    assert main(["--resume", str(run)]) == 0
    assert files(run) == files(whole)


def test_a_key_in_the_environment_is_nowhere_to_be_found(endpoint, monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)

    def telltale(body):
        return f"I know {CANARY}. {respond(body)}"

    url, server = endpoint(FaultyServer, rates={"503": 0.1, "drop": 0.05}, respond=telltale)
    keys = ["--api_key_var", "OPENAI_API_KEY", "--user_api_key_var", "OPENAI_API_KEY"]
    run = run_in("records", *flags(url), *keys, "--max_attempts", "2")
    assert any(b"I know ***" in path.read_bytes() for path in run.iterdir())
    server.faults = [(401, {"error": {"message": f"wrong key {CANARY}"}}, {})] * 50
    (run / FILES[0]).write_bytes(b"")
    (run / "replies.sqlite").unlink()
    assert main(["--trust", "--resume", str(run)]) == 1
    captured = capsys.readouterr()
    assert "wrong key ***" in captured.err
    assert CANARY not in captured.out + captured.err
    assert server.headers[0]["Authorization"] == f"Bearer {CANARY}"
    for path in Path("records").rglob("*"):
        assert path.is_dir() or CANARY.encode() not in path.read_bytes(), path
