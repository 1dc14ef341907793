"""`josh show` and `josh report` of a folder of runs: a line for each run, evaluation and loop."""

import json
import shutil
from pathlib import Path

import pytest
from evaluating import evaluated
from playing import only_run
from reports import head

from josh.cli import main

pytestmark = pytest.mark.usefixtures("elsewhere")


def listed(capsys, *arguments):
    capsys.readouterr()
    assert main(["show", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)["runs"]


def test_without_runs_a_line_says_how_to_play_one(capsys):
    assert main(["show"]) == 2
    assert capsys.readouterr().err == "josh: there is no folder records; josh --josh plays a first run, in records/\n"
    Path("records").mkdir()
    assert main(["show", "records"]) == 2
    assert "records" in capsys.readouterr().err


def test_every_run_has_its_figures(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    main(["--josh", "--synthetic_tasks", "3"])
    folder = only_run()
    summary = json.loads((folder / "summary.json").read_text())
    (run,) = listed(capsys)
    assert run | {"started": "", "reward": None, "success": None} == {
        "name": folder.name,
        "kind": "run",
        "started": "",
        "world": "persuasion",
        "agent": "OfflinePersuader",
        "user": "Donor",
        "played": "searched with a beam of 8",
        "tasks": 3,
        "finished": 3,
        "success": None,
        "reward": None,
        "before": None,
        "unit": "$",
        "calls": 0,
        "cost": summary["cost"],
        "state": "finished",
        "page": f"{folder.name}/report.html",
        "damaged": "",
    }
    assert [run["success"], run["reward"]] == [summary["success_rate"], summary["average_reward"]]
    assert run["started"][:10].replace("-", "") in folder.name
    assert main(["show"]) == 0
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first == f"{folder.name}   {run['started']}   finished"
    assert second.startswith("  persuasion, 3 tasks, searched with a beam of 8; OfflinePersuader and Donor; ")


def test_models_costs_and_states_are_told_apart(capsys, endpoint):
    url, _ = endpoint()
    main(["--model", "m", "--base_url", url, "--synthetic_tasks", "2", "--max_convo_turns", "2"])
    folder = only_run()
    (run,) = listed(capsys)
    assert [run["agent"], run["user"], run["calls"], run["cost"]] == ["m", "Donor", 4, None]
    (folder / "summary.json").unlink()
    assert listed(capsys)[0]["state"] == "unfinished"
    (folder / "config.json").write_text("{")
    (run,) = listed(capsys, "records")
    assert run["state"] == "damaged"
    assert "config.json is damaged" in run["damaged"]


def test_the_latest_run_stands_first_to_the_second(capsys):
    main(["--synthetic_tasks", "1"])
    made = only_run()
    times = {
        "z-gpt-4.1-2025-04-14-20261130-123801": "",
        "a-m-20261130-123805": "",
        "b-m-20261130-123802-replayed-20261130-123809": "",
        "best": "2026-11-30T12:38:07+01:00",
        "c-m-20261130-123803": "",
        "c-m-20261130-123803-2": "",
        "c-m-20261130-123803-10": "",
    }
    for name, began in times.items():
        copy = Path("more", name)
        shutil.copytree(made, copy)
        config = json.loads((copy / "config.json").read_text())
        del config["started"]
        (copy / "config.json").write_text(json.dumps(config | ({"started": began} if began else {})))
    found = listed(capsys, "more")
    assert [(run["name"][0], run["started"][-2:]) for run in found] == [
        ("b", "09"), ("b", "07"), ("a", "05"), ("c", "03"), ("c", "03"), ("c", "03"), ("z", "01"),
    ]  # fmt: skip
    assert [run["name"][-3:] for run in found if run["name"][0] == "c"] == ["-10", "3-2", "803"]
    assert found[-1]["started"] == "2026-11-30 12:38:01"


def test_evaluations_are_listed_with_the_models_result(capsys):
    folder = evaluated("--no_references", "--baseline_agent", "uniform_persuader", "--rollouts", "1")
    cells = json.loads((folder / "evaluation.json").read_text())["results"]
    (run,) = listed(capsys)
    assert [run["kind"], run["agent"], run["user"]] == ["evaluation", "uniform_persuader, offline_persuader", "donor"]
    means = [cell["average_reward"]["value"] for cell in cells]
    assert [run["before"], run["reward"]] == means
    assert run["page"] == f"{folder.name}/report.html"


def test_the_page_of_a_folder_lists_its_runs_and_makes_their_pages(capsys):
    main(["--synthetic_tasks", "2"])
    folder = only_run()
    page = folder / "report.html"
    page.unlink()
    assert main(["report", "records"]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "report          records/report.html",
        f"report          {page}",
    ]
    made = page.stat().st_mtime_ns
    assert main(["report", "records"]) == 0
    assert page.stat().st_mtime_ns == made
    shown = head(Path("records"))
    assert shown["kind"] == "index"
    assert [entry["name"] for entry in shown["entries"]] == [folder.name]
    assert main(["show", "records"]) == 0


def test_folders_that_are_not_listed_are_counted_with_the_reason(capsys):
    main(["--synthetic_tasks", "1"])
    folder = only_run()
    for name, file in {
        "lost": "episodes.jsonl",
        "half": "evaluation.json",
        "notes": "plan.txt",
        "old/2025/june": "config.json",
        ".cache": "any",
        "more/mine": "config.json",
        "more/broken": "summary.json",
        "more/logs": "any",
    }.items():
        (Path("records") / name).mkdir(parents=True)
        (Path("records") / name / file).write_text("{}")
    Path("records/nothing").mkdir()
    Path("records/sft.jsonl").write_text("")
    capsys.readouterr()
    left_out = {
        "half": "an evaluation or loop without plan.json",
        "lost": "a run without config.json",
        "more/broken": "a run without config.json",
        "notes": "no run in it",
        "nothing": "empty",
        "old": "its runs are further down; list it by itself",
    }
    line = (
        "6 folders: half (an evaluation or loop without plan.json); lost, more/broken (a run without config.json); "
        "notes (no run in it); nothing (empty); old (its runs are further down; list it by itself)"
    )
    assert main(["show", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["left_out"] == left_out
    assert main(["show"]) == 0
    assert f"\nnot listed: {line}\n" in capsys.readouterr().out
    assert main(["report", "records"]) == 0
    assert f"josh: not listed: {line}\n" in capsys.readouterr().err
    shown = head(Path("records"))
    assert shown["left_out"] == line
    assert [entry["name"] for entry in shown["entries"]] == [folder.name, "more/mine"]


def test_a_folder_without_a_run_names_what_it_has_instead(capsys):
    Path("records/lost").mkdir(parents=True)
    Path("records/lost/summary.json").write_text("{}")
    assert main(["show"]) == 2
    assert capsys.readouterr().err == (
        "josh: records has no runs; not listed: 1 folder: lost (a run without config.json)\n"
    )


def test_a_run_and_a_task_are_printed_as_json(capsys):
    main(["--josh", "--synthetic_tasks", "2"])
    folder = only_run()
    capsys.readouterr()
    assert main(["show", str(folder), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [task["number"] for task in content["tasks"]] == [1, 2]
    rows = [json.loads(line) for line in (folder / "episodes.jsonl").read_text().splitlines()]
    assert {task["task"]: task["reward"] for task in content["tasks"]} == {
        row["task_id"]: row["reward"] for row in rows
    }
    assert main(["show", str(folder), "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == next(row for row in rows if row["task_id"] == content["tasks"][1]["task"])
    assert main(["show", str(folder), "9", "--json"]) == 2
    assert capsys.readouterr().out == ""


def test_a_task_of_a_folder_of_runs_is_refused(capsys):
    main(["--synthetic_tasks", "1"])
    capsys.readouterr()
    assert main(["show", "records", "1"]) == 2
    (run,) = (folder.name for folder in Path("records").iterdir())
    assert capsys.readouterr().err == f"josh: records is a folder of runs; give one of them: {run}\n"
