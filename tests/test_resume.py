"""Runs that are killed, throttled, starved and resumed come out as if nothing had happened."""

import contextlib
import io
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from aiohttp import web
from faulty_server import KINDS, FaultyServer

from josh.cli import main
from josh.runs.experiments.loopback import Loopback
from josh.seeds import derive

FILES = ("episodes.jsonl", "training_examples.jsonl")
CANARY = "sk-canary-0123456789"


pytestmark = pytest.mark.usefixtures("elsewhere")


def respond(body):
    """Words that follow from the request alone; now and then a donation, and often the same as a sibling's."""
    draw = derive(json.dumps(body["messages"]), body["seed"])
    if body["model"] == "them" and len(body["messages"]) > 4 and draw % 12 == 0:
        return f"Yes. [DONATE ${draw // 12 % 4 / 2:.2f}]"
    return f"words {draw % 4}"


def flags(url, tasks=8, rounds=6):
    cast = ["--model", "us", "--user_model", "them", "--base_url", url, "--user_base_url", url]
    return ["--josh", *cast, "--synthetic_tasks", str(tasks), "--max_convo_turns", str(rounds)]


def run_in(folder, *arguments):
    """Run josh to its end with records in a folder; the run's folder."""
    assert main([*arguments, "--log_dir", str(folder)]) == 0
    (run,) = Path(folder).iterdir()
    return run


def files(run):
    return [(run / name).read_bytes() for name in FILES]


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def summary(run):
    return json.loads((run / "summary.json").read_text())


def said(capsys):
    return capsys.readouterr().err.strip().splitlines()


class Choosy(Loopback):
    """Refuses requests for several replies."""

    async def _answer(self, request):
        if "n" in await request.json():  # not counted among the requests
            return web.json_response({"error": {"message": "n has to be 1"}}, status=400)
        return await super()._answer(request)


def killed(server, folder, kills, arguments, dice):
    """Play a run that is killed so many times, each time after a few more requests; what it knew at every kill."""
    helper = [sys.executable, str(Path(__file__).with_name("killed_run.py")), folder, *arguments]
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


def test_a_budget_ends_a_run_cleanly_and_more_of_it_goes_on(endpoint, capsys):
    url, server = endpoint(respond=respond)
    whole = run_in("whole", *flags(url))
    total = len(server.requests)
    url, server = endpoint(respond=respond, latency=0.005)
    run = run_in("starved", *flags(url), "--max_calls", "100")
    assert len(server.requests) == 100
    assert summary(run)["truncated"] == "max_calls 100"
    assert summary(run)["complete"] is False
    (line,) = said(capsys)
    assert line.startswith("josh: max_calls 100 is reached: ")
    assert line.endswith(f" of 8 tasks were finished; go on with: josh --resume {run} --max_calls MORE")
    assert main(["--resume", str(run)]) == 0
    assert len(server.requests) == 100
    spent = sum(side["prompt_tokens"] + side["completion_tokens"] for side in summary(run)["usage"].values())
    assert main(["--resume", str(run), "--max_calls", "9999", "--max_tokens_total", str(spent + 500)]) == 0
    assert summary(run)["truncated"] == f"max_tokens_total {spent + 500}"
    prices = ["--price", "us=1000/2000,them=500/0"]
    assert main(["--resume", str(run), *prices, "--max_calls", "9999", "--max_cost", "25"]) == 0
    now = summary(run)
    assert now["truncated"] == "max_cost $25"
    agent, user = now["usage"]["agent"], now["usage"]["user"]
    assert agent["cost"] == pytest.approx(agent["prompt_tokens"] / 1000 + agent["completion_tokens"] / 500)
    assert user["cost"] == pytest.approx(user["prompt_tokens"] / 2000)
    assert 25 <= now["cost"] == pytest.approx(agent["cost"] + user["cost"])
    capsys.readouterr()
    assert main(["--resume", str(run), "--max_calls", "9999"]) == 0
    out = capsys.readouterr().out
    assert "cost            unknown agent, unknown user (no price or token counts for them, us; see --price)" in out
    assert files(run) == files(whole)
    assert len(server.requests) == total


def test_a_price_that_is_not_known_is_asked_for_before_money_is_spent(endpoint, capsys):
    url, server = endpoint()
    assert main([*flags(url), "--max_cost", "1", "--price", "us=1/2"]) == 2
    assert said(capsys) == ["josh: max_cost needs to know what them costs; give --price them=PROMPT/REPLY"]
    assert server.requests == []
    for price in ("us", "us=1", "us=-1/2", "=1/2", "us=a/b", "us=1/2,", "us=nan/1"):
        assert main([*flags(url), "--price", price]) == 2
        assert "give MODEL=PROMPT/REPLY in dollars, as in gpt-4o=2.50/10" in said(capsys)[-1]


def test_a_replay_needs_no_endpoint_and_comes_out_the_same(endpoint, capsys):
    url, server = endpoint(respond=respond)
    run = run_in("records", *flags(url))
    asked = len(server.requests)
    capsys.readouterr()
    assert main(["replay", str(run), "--log_dir", "again"]) == 0
    assert f"the same as     {run}" in capsys.readouterr().out
    (again,) = Path("again").iterdir()
    assert files(again) == files(run)
    assert len(server.requests) == asked
    assert main(["replay", str(again)]) == 0


def test_a_run_that_is_not_finished_is_not_replayed(endpoint, capsys):
    url, _ = endpoint(respond=respond)
    run = run_in("records", *flags(url), "--max_calls", "100")
    capsys.readouterr()
    assert main(["replay", str(run)]) == 2
    assert said(capsys)[0].endswith(" of 8 tasks; resume it before it is replayed")
    assert list(run.parent.iterdir()) == [run]


def test_a_replay_tells_when_a_run_does_not_come_out_the_same(endpoint, capsys):
    url, _ = endpoint(respond=respond)
    run = run_in("records", *flags(url, tasks=2))
    with sqlite3.connect(run / "replies.sqlite") as base:
        base.execute('UPDATE replies SET reply = \'{"text": "other"}\' WHERE depth = 1')
    base.close()
    assert main(["replay", str(run)]) == 1
    assert "compared        episodes.jsonl" in capsys.readouterr().out


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


def test_calls_per_minute_are_kept_to(endpoint):
    at = []
    url, _ = endpoint(respond=lambda body: at.append(time.monotonic()) or "Hello.")
    run_in("records", "--model", "us", "--base_url", url, "--synthetic_tasks", "4", "--requests_per_minute", "1200")
    assert len(at) > 4
    # The first arrives late, by as long as connecting takes.
    assert at[-1] - at[1] >= (len(at) - 2) * 0.05 - 0.03


def test_one_call_at_a_time_takes_the_tasks_and_leaves_in_order(endpoint):
    url, server = endpoint(latency=0.002)
    cast = ["--model", "us", "--base_url", url, "--user", "./quiet.py:Quiet", "--josh", "--beam_size", "4"]
    Path("quiet.py").write_text(
        "from josh import BaseJOSHUser\n"
        "class Quiet(BaseJOSHUser):\n"
        "    def step(self, agent):\n"
        "        agent.add_message({'role': 'user', 'content': 'I see.'})\n"
        "        return agent, False\n"
    )
    run = run_in("records", *cast, "--synthetic_tasks", "3", "--max_convo_turns", "4", "--max_concurrency", "1")
    order = {}
    for number, episode in enumerate(lines(run / FILES[0])):
        for node in episode["nodes"]:
            if "seed" in node:
                order.setdefault(node["seed"], (number, node["path"]))
    places = [order[request["seed"]] for request in server.requests]
    assert [task for task, _ in places] == sorted(task for task, _ in places)
    last = [path for task, path in places if task == 2][-4:]
    assert last == sorted(last)


def test_a_task_is_not_timed_while_others_have_the_endpoint(endpoint):
    url, _ = endpoint(latency=0.1)
    cast = ["--model", "us", "--base_url", url, "--synthetic_tasks", "8", "--max_convo_turns", "3"]
    run = run_in("records", *cast, "--requests_per_minute", "600", "--task_timeout", "1.5")
    assert summary(run)["owed"] == 0


def test_replies_that_do_not_say_their_tokens_cost_nobody_knows_what(endpoint, capsys):
    class Silent(Loopback):
        async def _answer(self, request):
            answer = await super()._answer(request)
            body = json.loads(answer.body)
            body.pop("usage", None)
            return web.json_response(body)

    url, server = endpoint(Silent)
    cast = ["--model", "us", "--base_url", url, "--synthetic_tasks", "2", "--price", "us=1/1"]
    run = run_in("records", *cast)
    assert summary(run)["cost"] is None
    assert main(["--resume", str(run)]) == 0
    assert summary(run)["cost"] is None
    capsys.readouterr()
    server.requests.clear()
    assert main([*cast, "--max_cost", "1"]) == 1
    assert "does not say how many tokens a call takes; use max_calls" in said(capsys)[-1]
    assert len(server.requests) <= 4


def test_an_endpoint_that_refuses_everything_ends_the_run(endpoint, capsys):
    url, server = endpoint()
    server.faults = [403] * 9999
    assert main(["--model", "us", "--base_url", url, "--synthetic_tasks", "200"]) == 1
    assert "nothing but refusals, 20 of them: us at" in said(capsys)[-1]
    assert len(server.requests) < 60


def test_a_run_cannot_go_on_with_other_tasks(endpoint, capsys, tmp_path):
    url, _ = endpoint(respond=respond)
    people = {side: {"id": side, "traits": {}} for side in ("persuader", "persuadee")}
    tasks = [{"id": name, "data": people} for name in "ab"]
    (tmp_path / "tasks.jsonl").write_text("\n".join(map(json.dumps, tasks)))
    cast = ["--model", "us", "--base_url", url, "--corpus", "tasks.jsonl"]
    run = run_in("records", *cast)
    (tmp_path / "tasks.jsonl").write_text("\n".join(map(json.dumps, tasks[::-1])))
    assert main(["--resume", str(run)]) == 2
    assert f"the tasks are not those that {run} was begun with" in said(capsys)[-1]


def finished_and_broken(endpoint, name="records"):
    """A whole run, its files, and the endpoint's record of requests."""
    url, server = endpoint(respond=respond)
    run = run_in(name, *flags(url, tasks=4))
    return run, files(run), server


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
        assert line.endswith("or move it away to have its replies asked for again")
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
    assert "the journal is gone" in said(capsys)[0]
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
    assert second.stderr == f"josh: {run} is in use by another josh; wait for it, or stop it\n"
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
    assert main(["--resume", str(run)]) == 1
    captured = capsys.readouterr()
    assert "wrong key ***" in captured.err
    assert CANARY not in captured.out + captured.err
    assert server.headers[0]["Authorization"] == f"Bearer {CANARY}"
    for path in Path("records").rglob("*"):
        assert path.is_dir() or CANARY.encode() not in path.read_bytes(), path
