"""What a run may spend, how fast it asks, and in which order."""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aiohttp import web
from playing import lines
from resuming import FILES, files, flags, respond, run_in, said, summary

from josh.cli import main
from josh.runs.experiments.loopback import Loopback

pytestmark = pytest.mark.usefixtures("elsewhere")


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
    assert said(capsys) == ["josh: max_cost is given, but them has no known price; give --price them=PROMPT/REPLY"]
    assert server.requests == []
    for price in ("us", "us=1", "us=-1/2", "=1/2", "us=a/b", "us=1/2,", "us=nan/1"):
        assert main([*flags(url), "--price", price]) == 2
        assert "give MODEL=PROMPT/REPLY in dollars, such as gpt-4o=2.50/10" in said(capsys)[-1]


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
    cast = ["--model", "us", "--base_url", url, "--synthetic_tasks", "200"]
    server.faults = [400] * 9999
    assert main(cast) == 1
    assert "the endpoint refused all of 8 requests: us at" in said(capsys)[-1]
    assert len(server.requests) < 30
    server.faults = [403] * 9999
    server.requests.clear()
    assert main(cast) == 1
    assert "the endpoint refuses the key, or the key the model: us at" in said(capsys)[-1]
    assert len(server.requests) <= 4


def test_a_server_that_is_down_is_named_at_once_and_ends_the_run(capsys):
    cast = ["--model", "us", "--base_url", "http://127.0.0.1:9/v1", "--synthetic_tasks", "48", "--max_attempts", "2"]
    assert main(cast) == 1
    first, last = said(capsys)
    down = "josh: us at http://127.0.0.1:9/v1: cannot connect: connection refused"
    assert first == f"{down}; trying again for up to 2 attempts and 300 seconds"
    assert last.startswith(f"{down}; gave up after 2 attempts in ")


def test_few_open_files_narrow_the_calls_and_change_no_byte(tmp_path, endpoint):
    url, _ = endpoint(latency=0.01)
    flags = ["--josh", "--model", "us", "--user_model", "them", "--base_url", url, "--user_base_url", url]
    flags += ["--synthetic_tasks", "30", "--max_convo_turns", "2", "--max_concurrency", "200"]
    written = []
    for most in (1024, 64):
        done = subprocess.run(
            [sys.executable, "-m", "josh", *flags, "--log_dir", str(most)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=lambda most=most: resource.setrlimit(resource.RLIMIT_NOFILE, (most, most)),
        )
        assert done.returncode == 0, done.stderr
        (folder,) = (tmp_path / str(most)).iterdir()
        written.append((folder / "episodes.jsonl").read_bytes())
    assert done.stderr.startswith("josh: the limit of open files allows ")
    assert written[0] == written[1]
