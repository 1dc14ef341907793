"""`josh race`: searches on the same tasks, with the same seeds and the same budgets."""

import csv
import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
from playing import lines
from refusals import bad

from josh.cli import main
from josh.runs.intervals import mcnemar

pytestmark = pytest.mark.usefixtures("elsewhere")
WORLDS = ("persuasion", "toolwoz", "debate")


def raced(*flags, tasks=6, budget="6,14", strategies="beam,rollouts,mcts", code=0):
    """Run a race; its folder."""
    own = ["--synthetic_tasks", str(tasks), "--strategies", strategies, "--budget", budget]
    assert main(["race", *own, *flags]) == code
    return newest()


def newest():
    return max(Path("records").glob("race-*"), key=lambda folder: folder.stat().st_mtime)


def figures(folder):
    return json.loads((folder / "race.json").read_text())


@pytest.mark.parametrize("world", WORLDS)
def test_all_searches_spend_the_same_budget_on_the_same_tasks(world, capsys):
    folder = raced("--env", world, strategies="beam,rollouts,mcts,adaptive,halving")
    found = figures(folder)
    assert found["searches"] == ["beam", "rollouts", "mcts", "adaptive", "halving"]
    assert found["budgets"] == [6, 14]
    assert len(found["results"]) == 10
    for cell in found["results"]:
        rows = lines(folder / cell["run"] / "episodes.jsonl")
        assert cell["scored"] == len(rows) == 6
        taken = [sum(node["speaker"] == "agent" for node in row["nodes"][1:]) for row in rows]
        assert max(taken) <= cell["budget"]
        assert cell["agent_turns"] == pytest.approx(sum(taken) / 6)
        assert cell["agent_turns"] == cell["budget"], "each search spends what it has"
    seeds = {
        json.loads((folder / cell["run"] / "config.json").read_text())["settings"]["seed"] for cell in found["results"]
    }
    ids = {tuple(row["task_id"] for row in lines(folder / cell["run"] / "episodes.jsonl")) for cell in found["results"]}
    assert seeds == {10} and len(ids) == 1
    out = capsys.readouterr().out
    assert "budget 14 turns of the agent" in out and "less rollouts, paired" in out


def test_the_figures_are_those_of_the_trees():
    folder = raced("--env", "toolwoz", tasks=8, budget="12")
    found = figures(folder)
    for cell in found["results"]:
        rows = lines(folder / cell["run"] / "episodes.jsonl")
        wins = [[i for i, node in enumerate(row["nodes"]) if node.get("outcome") == "won"] for row in rows]
        assert cell["success"]["value"] == sum(map(bool, wins)) / 8
        firsts = [
            sum(node["speaker"] == "agent" for node in row["nodes"][1 : won[0] + 1]) if won else 12
            for row, won in zip(rows, wins, strict=True)
        ]
        assert cell["first_win"]["value"] == pytest.approx(sum(firsts) / 8)
        best = [max(node.get("reward", 0.0) for node in row["nodes"] if "outcome" in node) for row in rows]
        assert cell["reward"]["value"] == pytest.approx(sum(best) / 8)
    (pair,) = [one for one in found["pairs"] if one["search"] == "beam"]
    assert pair["p"] == mcnemar(pair["won_only"], pair["lost_only"])
    cells = {cell["search"]: cell for cell in found["results"]}
    change = cells["beam"]["success"]["value"] - cells["rollouts"]["success"]["value"]
    assert pair["success"]["value"] == pytest.approx(change)
    assert change == pytest.approx((pair["won_only"] - pair["lost_only"]) / 8)
    assert len(found["pairs"]) == 3


def test_the_rows_are_those_that_an_export_writes():
    folder = raced(tasks=8, budget="14", strategies="mcts")
    (cell,) = figures(folder)["results"]
    command = ["export", str(folder / cell["run"]), "--paths", "successful", "--out"]
    for form in ("sft", "dpo"):
        assert main([*command, f"{form}.jsonl", "--format", form]) == 0
        assert len(lines(f"{form}.jsonl")) == cell["rows"][form] > 0


def test_the_table_and_the_picture_are_written():
    folder = raced(budget="6,14")
    with (folder / "race.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["search"], row["budget"]) for row in rows[:3]] == [("beam", "6"), ("rollouts", "6"), ("mcts", "6")]
    assert float(rows[0]["success_low"]) <= float(rows[0]["success"]) <= float(rows[0]["success_high"])
    assert (folder / "race.png").exists() == (find_spec("matplotlib") is not None)


def test_a_race_that_is_broken_off_goes_on_where_it_stopped(capsys):
    whole = figures(raced())
    folder = newest()
    shutil.rmtree(folder / "mcts-14")
    kept = (folder / "beam-6" / "summary.json").stat().st_mtime_ns
    half = folder / "rollouts-14" / "episodes.jsonl"
    half.write_text("".join(half.read_text().splitlines(keepends=True)[:2]))
    summary = json.loads((folder / "rollouts-14" / "summary.json").read_text())
    (folder / "rollouts-14" / "summary.json").write_text(json.dumps({**summary, "complete": False}))
    (folder / "race.json").unlink()
    assert main(["race", "--resume", str(folder)]) == 0
    again = figures(folder)
    for one in (whole, again):
        for cell in one["results"]:
            cell.pop("seconds")
    assert again == whole
    assert (folder / "beam-6" / "summary.json").stat().st_mtime_ns == kept
    capsys.readouterr()
    assert main(["race", "--resume", str(folder), "--budget", "9"]) == 2
    assert f"budget is given, but {folder} records it; leave it out" in capsys.readouterr().err
    assert main(["evaluate", "--resume", str(folder)]) == 2
    assert f"is a race; resume it with: josh race --resume {folder}" in capsys.readouterr().err


def test_json_is_all_that_is_printed(capsys):
    raced("--json", budget="6", strategies="beam")
    printed = json.loads(capsys.readouterr().out)
    assert printed["folder"] == str(newest())
    assert printed["reference"] == "beam" and printed["pairs"] == []


def test_settings_and_variants_reach_the_searches_that_have_them():
    variants = {"wide": {"strategy": "beam", "beam_size": 16}, "plain": {"strategy": "mcts", "strategy.backup": "mean"}}
    folder = raced(
        "--strategy.explore",
        "0.7",
        "--stop",
        "best",
        "--variants",
        json.dumps(variants),
        budget="5",
        strategies="beam,mcts",
    )

    def config(name):
        return json.loads((folder / name / "config.json").read_text())["settings"]["strategy"]

    assert (config("beam-5")["beam_size"], config("wide-5")["beam_size"]) == (4, 16)
    assert (config("beam-5")["stop"], config("wide-5")["stop"]) == ("best", "best")
    assert (config("mcts-5")["backup"], config("plain-5")["backup"]) == ("max", "mean")
    assert (config("mcts-5")["explore"], config("plain-5")["explore"]) == (0.7, 0.7)


def test_a_strategy_from_a_file_races_too():
    Path("mine.py").write_text(
        "from josh import Expand, Strategy\n\n\n"
        "class Mine(Strategy):\n"
        "    def plan(self, tree):\n"
        "        return tuple(Expand(leaf, tree.nodes[leaf].speaker.other) for leaf in tree.frontier)\n"
    )
    found = figures(raced(strategies="./mine.py:Mine,rollouts", budget="9"))
    assert [cell["agent_turns"] for cell in found["results"]] == [9, 9]


REFUSED = {
    "--strategies luck": "no strategy named 'luck'",
    "--strategies beam,,mcts": "strategies is 'beam,,mcts'; give names, separated by commas",
    "--strategies beam,beam": "strategies and variants have 'beam' twice; give each search its own name",
    "--budget 0": "budget is '0'; give whole numbers above 0, separated by commas",
    "--budget 5,x": "budget is '5,x'; give whole numbers above 0, separated by commas",
    "--budget 5,5": "budget is '5,5'; give each number once",
    "--variants {": "variants is not JSON",
    "--variants []": "variants is '[]'; give a JSON object with an object of settings for each name",
    '--variants {"a":{}}': "variants: 'a' is {}; give it a name, and a strategy",
    "--strategies rollouts --beam_size 4": "beam_size is given, but",
    "--temperature 0": "temperature is 0 with",
    "--budget_per_task 5": "budget_per_task is given, but `josh race` does not take it; leave it out",
    "--budget_unit calls": "no side asks a chat model; give turns, or give --model",
    "--resume nowhere": "nowhere",
}


@pytest.mark.parametrize("flags", REFUSED)
def test_bad_input_gets_one_line_and_leaves_no_folder(capsys, flags):
    assert REFUSED[flags] in bad(
        capsys, "race", *flags.split(" "), *([] if "--resume" in flags else ["--synthetic_tasks", "3"])
    )


def test_a_budget_in_calls_bounds_a_race_over_an_endpoint(endpoint):
    from resuming import respond

    url, _ = endpoint(respond=respond)
    cast = [
        "--model",
        "us",
        "--user_model",
        "them",
        "--base_url",
        url,
        "--user_base_url",
        url,
        "--max_convo_turns",
        "5",
    ]
    found = figures(raced(*cast, "--budget_unit", "calls", tasks=3, budget="12", strategies="beam,rollouts"))
    assert found["budget_unit"] == "calls"
    assert all(12 <= cell["calls"] <= 12 + 8 for cell in found["results"])
