"""A budget per task bounds any search, is recorded, and holds when a run is resumed, replayed and rescored."""

import json
import shutil
from pathlib import Path

import pytest
from playing import lines, run
from refusals import bad
from resuming import FILES, files, flags, respond, run_in

from josh.cli import main

pytestmark = pytest.mark.usefixtures("elsewhere")
TABLE = "[['agent', ['resist', 'logical']], ['user', ['resist', 'accept']], ['agent', ['logical', 'emotional']]]"
SEARCHES = {
    "beam": ["--josh"],
    "beam again": ["--josh", "--restarts", "50"],
    "rollouts": ["--rollouts", "4", "--temperature", "1"],
    "rollouts again": ["--restarts", "50", "--temperature", "1"],
    "fan_out": ["--strategy", "fan_out", "--strategy.table", TABLE, "--strategy.go_on"],
    "mainline": ["--strategy", "mainline", "--strategy.actions", '["ask", "tell"]', "--temperature", "1"],
    "mcts": ["--strategy", "mcts"],
    "halving": ["--strategy", "halving", "--strategy.width", "9"],
    "adaptive": ["--strategy", "adaptive"],
}


def agent_turns(row):
    return sum(node["speaker"] == "agent" for node in row["nodes"][1:])


@pytest.mark.parametrize("name", SEARCHES)
def test_no_task_has_more_turns_of_the_agent_than_its_budget(name):
    folder = run("records", "--synthetic_tasks", 5, "--budget_per_task", 7, *SEARCHES[name])
    rows = lines(folder / "episodes.jsonl")
    assert len(rows) == 5
    for row in rows:
        assert agent_turns(row) <= 7
        assert row.get("budget", "7 turns") == "7 turns"
        assert ("budget" in row) or agent_turns(row) < 7 or row["success"] == 1
    assert any("budget" in row for row in rows)


def test_a_search_that_begins_again_spends_the_whole_budget_and_says_so(capsys):
    folder = run("records", "--synthetic_tasks", 4, "--budget_per_task", 30, *SEARCHES["beam again"])
    assert [agent_turns(row) for row in lines(folder / "episodes.jsonl")] == [30] * 4
    assert main(["show", str(folder), "1"]) == 0
    assert "ended by its budget of 30 turns" in " ".join(capsys.readouterr().out.split())
    assert json.loads((folder / "config.json").read_text())["settings"]["limits"]["budget_per_task"] == 30
    for form in ("sft", "dpo"):
        assert main(["export", str(folder), "--format", form, "--out", f"{form}.jsonl"]) in (0, 2)


@pytest.mark.parametrize("name", SEARCHES)
def test_rescoring_under_the_same_rewards_gives_the_same_bytes(name):
    folder = run("records", "--synthetic_tasks", 4, "--budget_per_task", 11, *SEARCHES[name])
    assert main(["rescore", str(folder), "--log_dir", "again"]) == 0
    (again,) = Path("again").iterdir()
    for file in FILES:
        assert (again / file).read_bytes() == (folder / file).read_bytes()


@pytest.mark.parametrize("name", ["beam again", "rollouts again", "mcts", "halving", "adaptive"])
def test_the_bytes_do_not_depend_on_how_many_tasks_are_played_at_once(name):
    common = ["--synthetic_tasks", 4, "--budget_per_task", 12, *SEARCHES[name]]
    one = run("one", *common, "--max_concurrency", 1)
    many = run("many", *common, "--max_concurrency", 64)
    assert files(one) == files(many)


@pytest.mark.parametrize("unit", ["turns", "calls", "tokens"])
def test_a_run_that_is_broken_off_comes_out_as_if_it_were_not(endpoint, unit):
    url, _ = endpoint(respond=respond)
    most = {"turns": "9", "calls": "14", "tokens": "900"}[unit]
    own = [*flags(url, tasks=4), "--restarts", "20", "--budget_per_task", most, "--budget_unit", unit]
    whole = run_in("whole", *own)
    rows = lines(whole / "episodes.jsonl")
    assert {row["budget"] for row in rows} == {f"{most} {unit}"}
    if unit == "calls":
        spent = [sum(side["calls"] for side in row["usage"].values()) for row in rows]
        assert all(14 <= one <= 14 + 8 for one in spent), "the last phase may end above the limit"
    assert main([*own, "--log_dir", "broken", "--max_calls", "23"]) == 0
    (broken,) = Path("broken").iterdir()
    assert main(["--resume", str(broken), "--max_calls", "100000"]) == 0
    assert files(broken) == files(whole)


def test_a_rollout_that_begins_again_reports_each_conversation():
    folder = run("records", "--synthetic_tasks", 3, "--restarts", 4, "--temperature", 1)
    assert [len(row["reported"]) for row in lines(folder / "episodes.jsonl")] == [5, 5, 5]
    assert json.loads((folder / "config.json").read_text())["search"]["conversations"] == 5


REFUSED = {
    "--budget_per_task 0": "budget_per_task is 0; give 1 or more",
    "--budget_per_task 9 --budget_unit hours": "budget_unit is 'hours'; give turns, calls or tokens",
    "--budget_unit turns": "budget_unit is 'turns', but there is no budget; leave it out, or give --budget_per_task",
    "--budget_per_task 9 --budget_unit calls": "no side asks a chat model; give turns, or give --model",
    "--restarts 2": "temperature is 0 with restarts; they would repeat the first search, give one above 0",
    "--strategy mcts --restarts 2": "MCTS keeps the start of a task, and spends any budget by itself; leave restart",
    "--strategy mcts --strategy.value judge": "rewards 'donation' have no value(); give reward or rollout",
    "evaluate --restarts 2": "restarts is given, but `josh evaluate` does not take it; leave it out",
    "play --budget_per_task 9": "budget_per_task is given; a person has one conversation at a time, leave it out",
}


@pytest.mark.parametrize("command", REFUSED)
def test_a_budget_that_cannot_hold_is_refused(capsys, command):
    assert REFUSED[command] in bad(capsys, *command.split(), "--synthetic_tasks", "3")


def test_resuming_keeps_the_budget(capsys):
    folder = run("records", "--synthetic_tasks", 3, "--josh", "--budget_per_task", 9)
    shutil.copytree(folder, "copy")
    assert main(["--resume", "copy", "--budget_per_task", "12"]) == 2
    assert "budget_per_task is 12, and 9 in copy" in capsys.readouterr().err


def test_a_beam_that_the_budget_ends_after_a_goal_collapses_to_it_once():
    world = ["--env", "toolwoz", "--synthetic_tasks", 8]
    folder = run("records", *world, "--josh", "--budget_per_task", 6)
    rows = lines(folder / "episodes.jsonl")
    assert any(row["collapses"] and "budget" in row for row in rows)
    for row in rows:
        assert len({cut["winner"] for cut in row["collapses"]}) == len(row["collapses"])
    assert main(["rescore", str(folder), "--log_dir", "again"]) == 0
    (again,) = Path("again").iterdir()
    assert files(again) == files(folder)
