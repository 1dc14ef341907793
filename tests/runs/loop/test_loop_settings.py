"""What a loop plans and refuses, and which lost paths its control learns from; no loop is played."""

import json
from pathlib import Path

import pytest

from josh.cli import main
from josh.errors import UsageError
from josh.runs.export.export import choose, export
from josh.runs.loop.plan import make_plan
from josh.runs.loop.settings import LoopSettings, loop_settings

pytest.importorskip("trl", reason="trl is not installed: pip install 'josh-dialogue[train]'")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--tiny", "--rounds", "0"], "rounds is 0; give 1 to 1000"),
        (["--tiny", "--method", "ppo"], "method is 'ppo'; give sft, dpo or kto"),
        (["--tiny", "--learn_from", "some"], "learn_from is 'some'; give newest or all"),
        ([], "no model is given; a loop trains a model on this machine: give hf:FOLDER, or --tiny"),
        (["--model", "gpt-4o-mini"], "model is 'gpt-4o-mini'; a loop trains a model on this machine"),
        (["--tiny", "--model", "hf:x"], "model is 'hf:x' with --tiny, which makes one"),
        (
            ["--tiny", "--env", "toolwoz"],
            "env is 'toolwoz' with --tiny, which has no dialogues for a tiny model to learn from; give --model",
        ),
        (["--model", "hf:a+b"], "a+b has a plus sign"),
        (["--tiny", "--preset", "josh-kto"], "preset 'josh-kto' has no values for sft"),
        (["--tiny", "--paths", "best"], "paths is 'best'; give golden, successful, lost or all"),
        (["--tiny", "--control", "--method", "dpo"], "paths is 'lost', but dpo compares lost paths with wins"),
        (["--tiny", "--other_users", "donor"], "the user model donor is given twice"),
        (["--tiny", "--synthetic_tasks", "100"], "split 'train' has 100 tasks, and 15 rounds of 24 tasks need 360"),
        (["--tiny", "--jobs", "2", "--max_calls", "5"], "jobs is 2 with max_calls"),
        (["--tiny", "--train_config", "none.toml"], "cannot read none.toml"),
        (["--tiny", "--train_config", "own.toml"], "own.toml: data is given; a loop sets it itself"),
        (["--tiny", "--agent", ""], "agent is empty"),
        (["--tiny", "--other_users", ","], "other_users is ','; one of the names is empty"),
        (["--tiny", "--other_users", "nobody"], "no user named 'nobody'"),
        (["--tiny", "--agent", "nope"], "no agent named 'nope'"),
        (["--tiny", "--rewards", "nope"], "no rewards named 'nope'"),
        (["--tiny", "--min_reward", "5"], "min_reward is 5.0; give 0 to 2 dollars"),
        (["--tiny", "--tiny_size", "huge"], "no size named 'huge'"),
        (["--tiny", "--top", "0"], "top is 0; give 1 or more"),
        (["--model", "hf:./nowhere"], "there is no folder ./nowhere"),
        (["--tiny", "--train_config", "nothere"], "train_config: cannot read nothere: No such file or directory"),
        (["--resume", "nowhere"], "is not a loop: cannot read"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(flags, said, capsys, tmp_path):
    (tmp_path / "own.toml").write_text('data = "x.jsonl"\n')
    assert main(["loop", *flags]) == 2
    errors = capsys.readouterr().err.strip()
    assert said in errors
    assert len(errors.splitlines()) == 1
    assert not list(tmp_path.glob("records/*"))


def test_a_tiny_model_takes_many_short_rounds_unless_told_otherwise():
    few, own, large = loop_settings({"tiny": True}), loop_settings({"tiny": True, "rounds": 2}), loop_settings({})
    assert (few.rounds, few.tasks, few.start, few.tested) == (15, 24, "last", (8, 15))
    assert (own.rounds, own.tasks, own.tested) == (2, 24, (1, 2))
    assert (large.rounds, large.tasks, large.start, large.tested) == (3, 96, "base", (1, 2, 3))
    assert loop_settings({"tiny": True, "rounds": 14, "control": True}).tested == (1, 8, 14)


def test_every_search_has_tasks_of_its_own():
    plan = make_plan(Path("loop"), LoopSettings(tiny=True, rounds=3, tasks=96), {}, {})
    slices = [plan.part(f"search-{one}").settings.tasks for one in (1, 2, 3)]
    assert [(one.start_index, one.end_index) for one in slices] == [(0, 96), (96, 192), (192, 288)]
    assert plan.part("search-3").settings.strategy.config["stop"] == "best"
    assert plan.part("round-3-donor").settings.tasks.task_split == "test"


def test_lost_paths_are_those_that_ended_so_by_themselves(tmp_path):
    assert main(["run", "--josh", "--stop", "best", "--synthetic_tasks", "6", "--log_dir", "first"]) == 0
    (run,) = Path("first").iterdir()
    export([run], tmp_path / "lost.jsonl", "sft", choose("sft", "lost", None, None), 1)
    trees = map(json.loads, (run / "episodes.jsonl").read_text().splitlines())
    lost = sum(node.get("outcome") in {"lost", "user_left", "truncated"} for tree in trees for node in tree["nodes"])
    assert 0 < len((tmp_path / "lost.jsonl").read_text().splitlines()) <= lost
    assert main(["export", str(run), "--format", "kto", "--paths", "lost", "--out", "kto.jsonl"]) == 2


def test_branches_that_a_win_cut_off_are_not_lost(tmp_path):
    assert main(["run", "--josh", "--synthetic_tasks", "3", "--min_reward", "0.01", "--log_dir", "first"]) == 0
    (run,) = Path("first").iterdir()
    with pytest.raises(UsageError, match="trees without a loss"):
        export([run], tmp_path / "lost.jsonl", "sft", choose("sft", "lost", None, None), 1)
