"""Runs on several worker processes are the runs that one process plays, byte for byte."""

import asyncio
import json
import os
import pickle
import re
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from aiohttp import web
from playing import lines
from resuming import files, flags, respond, run_in, said, summary
from workers import PROCESSES, alive, asked, calls_in, children, kill, on, started, the_run, wait_for, wait_for_requests

from josh.cli import main
from josh.runs.experiments.loopback import Loopback
from josh.runs.play.workers.wire import Connection, Start, new_password

pytestmark = pytest.mark.usefixtures("elsewhere")

DIES = """
import os
from josh.agents.chat import Persuader

class Dies(Persuader):
    async def step(self, **given):
        if len(self.messages) > 3:
            os._exit(7)
        return await super().step(**given)
"""


class Choosy(Loopback):
    """Refuses requests for several replies."""

    async def _answer(self, request):
        if "n" in await request.json():  # not counted among the requests
            return web.json_response({"error": {"message": "n has to be 1"}}, status=400)
        return await super()._answer(request)


class Busy(Loopback):
    """Answers its sixtieth request with a pause, and notes when requests come."""

    def __init__(self, **options):
        super().__init__(**options)
        self.times, self.closed_at = [], None

    async def _answer(self, request):
        self.times.append(time.monotonic())
        if len(self.times) == 60:
            self.closed_at = time.monotonic()
            return web.json_response({"error": {"message": "busy"}}, status=429, headers={"Retry-After": "2"})
        return await super()._answer(request)


@pytest.mark.parametrize("kind", [Loopback, Choosy])
def test_the_number_of_workers_changes_no_byte_and_no_request(endpoint, kind):
    url, server = endpoint(kind, respond=respond)
    whole, requests = run_in("whole", *flags(url)), Counter(asked(server))
    for workers in (1, 3):
        url, server = endpoint(kind, respond=respond)
        run = run_in(f"on{workers}", *on(workers, url))
        assert files(run) == files(whole)
        assert Counter(asked(server)) == requests
        assert calls_in(summary(run)) == len(server.requests)
        same = {name: value for name, value in summary(whole).items() if name not in ("retries", "first_error")}
        assert {name: summary(run)[name] for name in same} == same
        assert sorted(path.name for path in run.iterdir()) == sorted(path.name for path in whole.iterdir())


def test_offline_tasks_are_played_on_workers_too():
    whole = run_in("whole", "--josh", "--synthetic_tasks", "12")
    run = run_in("again", "--josh", "--synthetic_tasks", "12", *PROCESSES, "2")
    assert files(run) == files(whole)
    assert summary(run)["golden_examples"] == summary(whole)["golden_examples"] > 0


def test_the_budget_holds_for_all_workers_and_another_executor_goes_on(endpoint):
    url, server = endpoint(respond=respond)
    whole = run_in("whole", *flags(url))
    need = len(server.requests)
    url, server = endpoint(respond=respond, latency=0.01)
    run = run_in("records", *on(3, url, "--max_calls", 20))
    assert len(server.requests) == calls_in(summary(run)) == 20
    assert summary(run)["truncated"] == "max_calls 20"
    assert main(["--resume", str(run), "--max_calls", "31", "--workers", "2"]) == 0
    assert len(server.requests) == calls_in(summary(run)) == 31
    assert main(["--resume", str(run), "--max_calls", "999", "--executor", "local"]) == 0
    assert files(run) == files(whole)
    assert max(Counter(asked(server)).values()) == 1
    assert len(server.requests) == need


def test_one_limiter_serves_all_workers(endpoint):
    url, server = endpoint(respond=respond, latency=0.02)
    run_in("records", *on(3, url, "--max_concurrency", 5))
    assert server.peak_concurrency == 5


def test_a_pause_that_the_endpoint_asks_for_holds_for_all_workers(endpoint):
    url, _ = endpoint(respond=respond)
    whole = run_in("whole", *flags(url))
    url, server = endpoint(Busy, respond=respond, latency=0.01)
    run = run_in("records", *on(3, url))
    assert files(run) == files(whole)
    assert summary(run)["retries"] == 1
    # Requests that were on their way may still come in, such as the first ones of a worker that has just begun.
    assert len([at for at in server.times if 0.3 < at - server.closed_at < 1.9]) < 8
    assert len([at for at in server.times if at - server.closed_at > 1.9]) > 100


def test_a_worker_that_is_killed_is_replaced_and_nothing_is_bought_twice_but_calls_in_flight(endpoint):
    url, server = endpoint(respond=respond)
    whole, once = run_in("whole", *flags(url)), len(server.requests)
    url, server = endpoint(respond=respond, latency=0.05)
    run = started(*on(2, url, "--max_concurrency", 4))
    lost = 0
    for enough in (8, 25, 40):
        wait_for_requests(server, enough, run)
        wait_for(lambda: len(children(run)) == 2)
        kill(children(run)[0])
        lost += 4
    out, err = run.communicate(timeout=60)
    assert run.returncode == 0, err
    assert "(signal 9); a new one takes its place" in err
    assert "success rate" in out
    assert files(the_run()) == files(whole)
    twice = {text: count for text, count in Counter(asked(server)).items() if count > 1}
    assert 0 < len(server.requests) - once <= lost
    assert max(twice.values()) <= 4
    assert calls_in(summary(the_run())) == once


def test_a_run_that_is_killed_leaves_no_worker_and_goes_on_with_another_number(endpoint):
    url, server = endpoint(respond=respond)
    whole = run_in("whole", *flags(url))
    url, server = endpoint(respond=respond, latency=0.03)
    run = started(*on(3, url))
    wait_for_requests(server, 30, run)
    workers = children(run)
    assert len(workers) == 3
    run.kill()
    run.communicate()
    wait_for(lambda: not any(map(alive, workers)), 5)
    for more in ([*PROCESSES, "2"], [*PROCESSES, "1"]):
        before = len(server.requests)
        run = started("--resume", str(the_run()), *more)
        wait_for_requests(server, before + 15, run)
        run.kill()
        run.communicate()
    assert main(["--resume", str(the_run()), "--executor", "processes", "--workers", "3"]) == 0
    assert files(the_run()) == files(whole)
    assert max(Counter(asked(server)).values()) <= 4
    assert sum(count - 1 for count in Counter(asked(server)).values()) <= 3 * 16


@pytest.mark.parametrize(("how", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "term")])
def test_a_run_that_is_stopped_waits_for_paid_replies_and_leaves_no_worker(endpoint, how, code, word):
    url, server = endpoint(respond=respond, latency=0.1)
    run = started(*on(2, url))
    wait_for_requests(server, 20, run)
    workers = children(run)
    run.send_signal(how)
    out, err = run.communicate(timeout=30)
    assert (run.returncode, out) == (code, "")
    *waits, message, last = err.splitlines()
    assert all(line.startswith("josh: waiting up to 25 seconds for ") for line in waits)
    assert "of 8 tasks were finished; go on with: josh --resume killed/" in message
    assert last.startswith(f"josh: {word}")
    wait_for(lambda: not any(map(alive, workers)), 5)
    assert calls_in(summary(the_run())) == len(server.requests)
    assert main(["--resume", str(the_run())]) == 0
    assert max(Counter(asked(server)).values()) == 1


def test_a_plug_in_that_kills_every_worker_ends_the_run_with_one_reason(endpoint, capfd, tmp_path):
    (tmp_path / "dies.py").write_text(DIES)
    url, server = endpoint(respond=respond)
    assert main([*on(2, url, "--agent", "./dies.py:Dies"), "--log_dir", "records"]) == 1
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.startswith(
        "josh: 5 workers in a row ended before they finished or asked anything; the last: exit code 7"
    )
    assert max(Counter(asked(server)).values()) == 1


def test_a_worker_that_cannot_be_started_ends_the_run_with_one_reason(endpoint, capfd, monkeypatch):
    monkeypatch.setattr("sys.executable", "/no/python")
    url, server = endpoint(respond=respond)
    assert main([*on(2, url), "--log_dir", "records"]) == 1
    reason = "josh: worker 0 cannot be started: FileNotFoundError: [Errno 2] No such file or directory: '/no/python'"
    assert capfd.readouterr().err.splitlines() == [reason]
    assert server.requests == []
    assert not list(Path("records").glob("*"))


def test_the_faults_of_plug_ins_and_their_log_are_those_of_one_process(endpoint, capfd, tmp_path):
    (tmp_path / "dies.py").write_text(DIES.replace("os._exit(7)", "raise ValueError('too far')"))
    url, _ = endpoint(respond=respond)
    assert main([*flags(url), "--agent", "./dies.py:Dies", "--log_dir", "whole"]) == 1
    whole = the_run("whole")
    first = capfd.readouterr().err
    assert main([*on(2, url, "--agent", "./dies.py:Dies"), "--log_dir", "again"]) == 1
    run = the_run("again")
    assert files(run) == files(whole)
    assert summary(run)["owed"] == 8
    assert "ValueError: too far" in summary(run)["first_error"]
    assert log_of(capfd.readouterr().err) == log_of(first)


ONE = ("--max_concurrency", "1")


def log_of(printed):
    """The lines of a log without what differs from run to run, such as which task meets a fault first."""
    return [re.sub(r"synthetic-train-\d+|at [\d/]+|\w+/persuasion\S+", "...", line) for line in printed.splitlines()]


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (["--executor", "spark"], "executor is 'spark'; give local, processes or ray"),
        (
            ["--workers", "2"],
            "workers is 2, but the tasks are played in this process; leave it out, or give --executor",
        ),
        ([*PROCESSES, "0"], "workers is 0; give 1 or more"),
        ([*PROCESSES, "2", "--ray_address", "auto"], "ray_address is 'auto', but the executor is 'processes'"),
        (
            ["--executor", "processes", "--user", "human", "--max_concurrency", "1"],
            "executor is 'processes', and a person plays",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(capsys, given, line):
    assert main(["run", "--synthetic_tasks", "2", *given]) == 2
    (found,) = said(capsys)
    assert found.startswith(f"josh: {line}")
    assert not Path("records").exists()


def test_a_key_reaches_the_workers_and_no_record(endpoint, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-0123456789")
    url, server = endpoint(respond=respond)
    run = run_in("records", *on(2, url, "--api_key_var", "OPENAI_API_KEY"))
    ours = [head for head, body in zip(server.headers, server.requests, strict=True) if body["model"] == "us"]
    assert ours
    assert all(head["Authorization"] == "Bearer sk-canary-0123456789" for head in ours)
    assert not any(b"canary" in path.read_bytes() for path in run.iterdir())


def test_more_workers_than_tasks_at_a_time_are_not_started(endpoint, capfd):
    url, _ = endpoint(respond=respond)
    run_in("records", *on(3, url, "--max_concurrency", 2))
    line = "josh: workers is 3, but max_concurrency is 2, so 2 workers play; give more of it"
    assert line in capfd.readouterr().err.splitlines()


def test_nothing_is_read_from_a_connection_without_the_password():
    class Trap:
        def __reduce__(self):
            return os.mkdir, ("sprung",)

    async def knock(given):
        found = []

        async def served(reader, writer):
            connection = await Connection.of_worker(reader, writer, password)
            if connection is not None:
                found.extend([message async for message in connection.messages()])
                await connection.aclose()

        password = new_password()
        server = await asyncio.start_server(served, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        connection = await Connection.to_run(Start("127.0.0.1", port, given or password, 0))
        connection.send("hello", Trap() if given else 1)
        await connection.aclose()
        await asyncio.sleep(0.1)
        server.close()
        return found

    assert asyncio.run(knock("0" * 64)) == []
    assert not Path("sprung").exists()
    assert asyncio.run(knock("")) == [("hello", 1)]
    assert pickle.dumps(Trap())


def test_the_config_says_how_a_run_was_played(endpoint):
    url, _ = endpoint(respond=respond)
    run = run_in("records", *on(2, url))
    config = json.loads((run / "config.json").read_text())
    assert config["settings"]["workers"] == {"executor": "processes", "workers": 2, "ray_address": None}
    assert len(lines(run / "episodes.jsonl")) == 8


def test_evaluations_and_shards_of_debates_are_played_on_workers_too():
    for name, more in (("one", []), ("two", [*PROCESSES, "2"])):
        assert main(["evaluate", "--synthetic_tasks", "8", "--log_dir", f"eval-{name}", *more]) == 0
        for shard in ("0", "1"):
            cut = ["--limit", "4", "--num_shards", "2", "--shard_idx", shard]
            assert main(["pbt", "generate", *cut, "--out_dir", f"trees-{name}", *more]) == 0
        assert main(["pbt", "generate", "--merge", f"trees-{name}", "--out_dir", f"whole-{name}"]) == 0

    def played(name):
        found = [path for folder in ("eval", "whole") for path in Path(f"{folder}-{name}").rglob("episodes.jsonl")]
        return {path.parent.name: path.read_bytes() for path in found}

    one, two = played("one"), played("two")
    assert one == two
    assert len(one) > 2
    numbers = [json.loads(path.read_text()) for path in Path().glob("eval-*/*/evaluation.json")]
    assert numbers[0] == numbers[1]
