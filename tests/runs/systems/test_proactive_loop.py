"""`josh proactive loop`: its stages are josh's commands, and a tiny model learns when to ask."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from josh.cli import main
from josh.parser import parse
from josh.runs.systems.proactive_loop import LoopSettings, jobs_of
from josh.runs.systems.proactive_loop_table import holds_in, loop_text

pytestmark = pytest.mark.usefixtures("elsewhere")
JOSH = [sys.executable, "-m", "josh"]
LOOP = ["proactive", "loop", "--tiny", "--seeds", "1"]
BASELINES = ("direct", "clarify_first", "threshold", "prompt_only")


def test_every_stage_is_a_command_that_josh_reads(tmp_path):
    stages = [stage for seed in (10, 11) for stage in jobs_of(tmp_path, LoopSettings(seeds=2), seed, main)]
    for seed in (10, 11):
        adapter = tmp_path / f"seed-{seed}" / "policy"
        adapter.mkdir(parents=True)
        (adapter / "adapter_config.json").write_text("{}")
    for stage in stages:
        assert parse(stage.arguments).command == stage.typed[0]
    names = [stage.name for stage in stages]
    assert len(set(names)) == len(names) == 2 * 7
    for place, stage in enumerate(stages):
        assert set(stage.needs) <= set(names[:place])


def test_the_policy_is_evaluated_on_states_that_its_data_lack(tmp_path):
    stages = {stage.name: stage.typed for stage in jobs_of(tmp_path, LoopSettings(), 10, main)}
    data = stages["seed-10-train"][stages["seed-10-train"].index("--data") + 1]
    evaluation = stages["seed-10-eval"]
    assert evaluation[evaluation.index("--trained_on") + 1] == data
    assert "--task_split" not in evaluation  # the test split


def test_an_evaluation_that_was_interrupted_goes_on(tmp_path):
    begun = tmp_path / "seed-10" / "eval-proactive-1"
    begun.mkdir(parents=True)
    (begun / "plan.json").write_text("{}")
    stages = {stage.name: stage.typed for stage in jobs_of(tmp_path, LoopSettings(), 10, main)}
    assert stages["seed-10-eval"] == ("evaluate", "--resume", str(begun))


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ([], "tiny is not given"),
        (["--tiny", "--states", "1"], "states is 1; give 2 or more"),
        (["--tiny", "--test_states", "0"], "test_states is 0; give 2 or more"),
        (["--tiny", "--seeds", "0"], "seeds is 0; give 1 or more"),
        (["--resume", "nowhere"], "is not a loop of josh proactive"),
    ],
)
def test_a_wrong_flag_is_one_line(capsys, flags, line):
    assert main(["proactive", "loop", *flags]) == 2
    assert line in capsys.readouterr().err


def number(value, low=None, high=None):
    return {"value": value, "low": low, "high": high}


def test_what_holds_is_reported_and_what_does_not():
    accurate = {"trained": {"action_accuracy": number(0.9)}}
    gains = {name: number(0.1, 0.01, 0.2) for name in BASELINES}
    assert holds_in(accurate, gains) == {"accurate": True, "best": True}
    assert holds_in({"trained": {"action_accuracy": number(0.89)}}, gains) == {"accurate": False, "best": True}
    assert not holds_in(accurate, {**gains, "threshold": number(0.1, -0.01, 0.2)})["best"]


def played(place, *flags):
    """A loop in a process of its own: its folder, and what it said."""
    ended = subprocess.run([*JOSH, *LOOP, *flags], cwd=place, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    (folder,) = (place / "records").glob("proactive-loop-*")
    return folder, ended.stdout


@pytest.mark.slow
def test_a_small_loop_makes_all_its_files_and_says_what_holds(tmp_path):
    folder, said = played(tmp_path, "--tiny_size", "nano", "--states", "20", "--test_states", "6")
    figures = json.loads((folder / "table.json").read_text())
    (seed,) = figures["seeds"]
    assert set(seed["results"]) == {"trained", *BASELINES}
    assert seed["test_states"] == 6
    assert loop_text(figures) in said
    made = {path.name for path in (folder / "seed-10").iterdir()}
    assert {"states.jsonl", "trajectories.jsonl", "preferences.jsonl", "pareto.png", "pareto.csv"} <= made
    assert all(stage.note() for stage in jobs_of(folder, LoopSettings(seeds=1), 10, main))
    assert main(["proactive", "loop", "--resume", str(folder)]) == 0


@pytest.mark.slow
def test_a_tiny_model_learns_to_ask_where_it_has_to_and_earns_more_than_every_baseline(tmp_path):
    folder, _ = played(tmp_path)
    (seed,) = json.loads((folder / "table.json").read_text())["seeds"]
    assert seed["holds"] == {"accurate": True, "best": True}
    assert [seed["results"][name]["action_accuracy"]["value"] for name in ("direct", "clarify_first")] == [0.5, 0.5]
    assert Path(folder / "seed-10" / "pareto.csv").exists()
