"""`josh compare` sets evaluations of one suite against each other by the numbers of the suite."""

import json
from pathlib import Path

import pytest
from suites import refusal, suite

from josh.cli import main


@pytest.fixture(autouse=True)
def elsewhere(elsewhere):
    """A folder of its own."""


def compared(*folders):
    """The numbers of `josh compare`."""
    assert main(["compare", *folders, "--out", "all.json"]) == 0
    return json.loads(Path("all.json").read_text())


def numbers(found, policy):
    """A policy's numbers and its differences from the first policy."""
    (cell,) = (each for each in found["suite"]["results"] if each["policy"] == policy)
    columns = found["suite"]["columns"]
    return [{name: each[name] for name in columns} for each in (cell, cell["difference"])]


def test_two_evaluations_have_the_numbers_and_differences_of_one_with_both_policies(capsys):
    flags = ("flipflop", "--synthetic_tasks", "10", "--no_references")
    one = suite(capsys, *flags, "--agent", "yielder")
    other = suite(capsys, *flags, "--agent", "keeper")
    both = suite(capsys, *flags, "--agent", "keeper", "--baseline_agent", "yielder")
    found = compared(one["folder"], other["folder"])
    assert numbers(found, "keeper") == numbers(both, "keeper")
    assert numbers(found, "keeper")[1]["balanced"]["low"] is not None
    out = capsys.readouterr().out
    assert "20 tasks that every policy played (10 questions)" in out
    assert "balanced" in out
    assert "less yielder, paired" in out


def test_teams_are_compared_in_both_orders_with_their_order_gaps(capsys):
    flags = ("team", "--user", "yielder", "--agent.knows", "0.8", "--user.knows", "0.4", "--synthetic_tasks", "10")
    one, other = suite(capsys, *flags, "--agent", "yielder"), suite(capsys, *flags, "--agent", "keeper")
    found = compared(one["folder"], other["folder"])
    assert found["policies"] == ["yielder first", "yielder second", "keeper first", "keeper second"]
    assert {each["policy"]: each["value"] for each in found["suite"]["order_gap"]} == {"yielder": 0.4, "keeper": 0}
    assert [numbers(found, f"keeper {order}")[1]["overall_after"]["value"] for order in ("first", "second")] == [0.4, 0]

    again = suite(capsys, *flags, "--agent", "keeper", "--log_dir", "again")
    found = compared(other["folder"], again["folder"])
    names = {each["policy"] for each in found["suite"]["order_gap"]}
    assert len(names) == 2
    assert all(name.startswith("keeper (") and name.endswith(")") for name in names)


def test_evaluations_of_different_suites_are_refused_by_their_names(capsys):
    one, other = (suite(capsys, name, "--synthetic_tasks", "2", "--no_references") for name in ("flipflop", "ays"))
    assert "measures flipflop, and" in refusal(capsys, one["folder"], other["folder"], command="compare")
