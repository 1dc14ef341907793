"""Answers that cannot be used, but were or may have been billed, count in budgets, figures and later sessions."""

import json
from pathlib import Path

import pytest

from josh.cli import main
from josh.dialogue import Usage
from josh.models.budget import Budget, Price
from josh.runs.record.journal import Replies
from josh.runs.record.summary import as_text, bill

CUT = b'{"choices": [{"message": {"content": "half a'
NO_CHOICE = b'{"choices": [], "usage": {"prompt_tokens": 50, "completion_tokens": 7}}'
FLAGS = ["--josh", "--beam_size", "4", "--synthetic_tasks", "6", "--max_convo_turns", "3", "--model", "us"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A folder of its own."""
    monkeypatch.chdir(tmp_path)


def run_of():
    (run,) = Path("records").iterdir()
    return run, json.loads((run / "summary.json").read_text())


def test_a_budget_of_calls_bounds_the_requests_though_no_answer_can_be_read(endpoint, capsys):
    url, server = endpoint()
    server.faults = [CUT] * 99
    assert main([*FLAGS, "--base_url", url, "--max_calls", "5", "--max_attempts", "6"]) == 0
    assert len(server.requests) == 5
    run, summary = run_of()
    assert (summary["truncated"], summary["usage"]["agent"]["unusable"]) == ("max_calls 5", 5)
    assert summary["usage"]["agent"]["calls"] == 0
    assert "unusable        answers that were or may have been billed: 5 agent" in capsys.readouterr().out
    assert main(["--resume", str(run), "--max_calls", "7", "--max_attempts", "6"]) == 0
    assert len(server.requests) == 7


def test_answered_and_unusable_calls_share_the_budget_and_the_bill(endpoint):
    url, server = endpoint()
    server.faults = [NO_CHOICE] * 6
    flags = ["--base_url", url, "--max_calls", "20", "--price", "us=10/10", "--max_concurrency", "2"]
    assert main([*FLAGS, *flags]) == 0
    assert len(server.requests) == 20
    _, summary = run_of()
    agent = summary["usage"]["agent"]
    assert (agent["calls"], agent["unusable"]) == (14, 6)
    tokens = agent["prompt_tokens"] + agent["completion_tokens"]
    assert agent["cost"] == pytest.approx(tokens * 10 / 1e6)
    assert tokens > 6 * 57


def test_a_call_that_ends_at_the_timeout_counts(endpoint):
    url, server = endpoint(latency=30.0)
    flags = ["--base_url", url, "--timeout", "0.2", "--max_calls", "3", "--max_concurrency", "1"]
    assert main([*FLAGS, *flags]) == 0
    assert len(server.requests) <= 3
    assert run_of()[1]["usage"]["agent"]["unusable"] == 3


def test_tokens_and_dollars_of_unusable_answers_end_a_run():
    account, who = {("agent", "m"): Usage(1, 10, 10)}, ("agent", "m")
    spoilt = {who: Usage(2, 40, 40)}
    assert Budget(tokens=100).spent(account, 0) == ""
    assert Budget(tokens=100).spent(account, 0, spoilt) == "max_tokens_total 100"
    assert Budget(calls=3).spent(account, 0, spoilt) == "max_calls 3"
    prices = {"m": Price(0.01, 0.01)}
    assert Budget(cost=0.5, prices=prices).spent(account, 0) == ""
    assert Budget(cost=0.5, prices=prices).spent(account, 0, spoilt) == "max_cost $0.5"


def test_the_bill_of_a_run_without_any_is_as_before():
    account = {("agent", "m"): Usage(1, 10, 10)}
    assert "unusable" not in bill(account, {"m": Price(0.01, 0.01)})["usage"]["agent"]
    spoilt = bill({}, {"m": Price(0.01, 0.01)}, (), account)
    assert spoilt["usage"]["agent"] == {
        "calls": 0, "prompt_tokens": 10, "completion_tokens": 10, "unusable": 1, "cost": 0.2,
    }  # fmt: skip
    summary = {"scored": 0, "finished": 0, "turns": 0, "retries": 1, "infra_errors": 0, **spoilt}
    assert "cost            $0.20 agent" in as_text(summary, searched=False, unit="$")


def test_the_journal_keeps_them(tmp_path):
    journal = Replies(tmp_path)
    assert journal.unusable() == {}
    journal.spoil(("agent", "m"), Usage(1, 5, 2), "the reply is empty")
    journal.spoil(("agent", "m"), Usage(1), "no reply within 3 seconds")
    journal.close()
    journal = Replies(tmp_path)
    assert journal.unusable() == {("agent", "m"): Usage(2, 5, 2)}
    assert journal.account() == {}
    journal.close()


@pytest.mark.parametrize("counted", [1, 2])
def test_a_server_that_counts_only_the_first_reply_is_noticed(counted, endpoint, capsys):
    words = "Would you like to give something to the children today?"
    url, server = endpoint(respond=lambda body: f"{words} {body['seed']}")

    choices = [{"index": at, "message": {"content": f"{words} {at}"}, "finish_reason": "stop"} for at in range(2)]
    usage = {"prompt_tokens": 9, "completion_tokens": counted * len(words) // 4}
    server.faults = [json.dumps({"choices": choices, "usage": usage}).encode()] * 400
    assert main([*FLAGS, "--base_url", url, "--max_concurrency", "1", "--max_calls", "200"]) == 0
    assert ("counts the tokens of the first of several replies only" in capsys.readouterr().err) == (counted == 1)
