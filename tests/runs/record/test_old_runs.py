"""Runs recorded before lines had a version, a phase and a seed: `old_runs/` holds three, as that josh left them.

`persuasion` and `toolwoz` are whole searches, `toy_call` is one that spent its budget after two of four tasks.
`exported/` holds what that josh exported from the first two.
"""

import json
import shutil
from pathlib import Path

import pytest
from playing import lines
from reports import head, trees

from josh.cli import main
from josh.runs.record.lines import FORMAT_VERSION
from josh.runs.record.stored import stored_episodes
from josh.seeds import derive

pytestmark = pytest.mark.usefixtures("elsewhere")

OLD = Path(__file__).parent / "old_runs"
SHOWN = {
    "persuasion": [
        "1  synthetic-train-0000  $0.85   6       won      24     0",
        "2  synthetic-train-0001  $2.00   4       won      16     0",
        "3  synthetic-train-0002  $0.00   10      limit    40     0",
    ],
    "toolwoz": [
        "1  generated-train-0000  1.00    2       won      6      0",
        "2  generated-train-0001  1.00    1       won      3      0",
    ],
}
both = pytest.mark.parametrize("name", SHOWN)


@pytest.fixture
def old(tmp_path):
    """Copies a run recorded before; its folder."""
    return lambda name: Path(shutil.copytree(OLD / name, tmp_path / "records" / name))


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


def as_before(row):
    """A row without the keys that came with version 2, and without later metrics."""
    row = {name: value for name, value in row.items() if name not in ("version", "seed")}
    if "metrics" in row:
        row["metrics"] = {name: value for name, value in row["metrics"].items() if name != "calls_per_goal"}
    if "nodes" in row:
        row["nodes"] = [
            {name: value for name, value in node.items() if name not in ("phase", "user_internal")}
            for node in row["nodes"]
        ]
    return row


@both
def test_old_runs_have_none_of_the_new_keys(name):
    for file in ("episodes.jsonl", "training_examples.jsonl"):
        for row in lines(OLD / name / file):
            assert "version" not in row
            assert row == as_before(row)


@both
def test_a_phase_of_an_old_run_is_the_depth(name):
    damaged = []
    found = [episode for _, episode in stored_episodes(OLD / name / "episodes.jsonl", damaged)]
    assert not damaged
    assert len(found) == summary(OLD / name)["finished"]
    assert all(node.phase == node.depth for episode in found for node in episode.tree.nodes)


@both
def test_an_old_run_is_shown(name, old, capsys):
    folder = old(name)
    assert main(["show", str(folder), "--width", "100"]) == 0
    printed = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert [line for line in printed if line[:1].isdigit()] == SHOWN[name]
    for number in range(1, len(SHOWN[name]) + 1):
        assert main(["show", str(folder), str(number)]) == 0
    assert "damaged" not in capsys.readouterr().err


@both
def test_an_old_run_is_reported_with_its_figures(name, old, capsys):
    folder, figures = old(name), summary(OLD / name)
    assert main(["report", str(folder)]) == 0
    shown = head(folder)
    assert (shown["rate"]["low"], shown["rate"]["high"]) == pytest.approx(figures["success_rate_ci95"])
    assert shown["rate"]["value"] == figures["success_rate"]
    assert shown["mean"]["value"] == pytest.approx(figures["average_reward"])
    assert shown["mean_rounds"]["value"] == pytest.approx(figures["mean_rounds"])
    assert shown["leaves"]["won"] == figures["leaf_outcomes"]["won"]
    assert sum(shown["leaves"].values()) == sum(figures["leaf_outcomes"].values())
    assert shown["counts"]["turns"] == figures["turns"]
    assert shown["counts"]["training_examples"] == figures["training_examples"]
    assert [len(tree["nodes"]) for tree in trees(folder)] == [
        len(row["nodes"]) for row in lines(folder / "episodes.jsonl")
    ]
    assert "damaged" not in capsys.readouterr().err


@both
def test_an_old_run_rescored_under_the_same_reward_is_the_same_in_the_new_format(name, old):
    folder = old(name)
    assert main(["rescore", str(folder), "--log_dir", "again"]) == 0
    (again,) = Path("again").iterdir()
    for file in ("episodes.jsonl", "training_examples.jsonl"):
        rows = lines(again / file)
        assert {row["version"] for row in rows} == {FORMAT_VERSION}
        assert list(map(as_before, rows)) == lines(folder / file)
    figures, before = summary(again), summary(folder)
    names = ("average_reward", "success_rate", "mean_rounds", "turns", "training_examples", "golden_examples")
    assert [figures[name] for name in names] == [before[name] for name in names]


def test_an_old_run_rescored_under_another_reward_has_other_figures(old):
    assert main(["rescore", str(old("persuasion")), "--min_reward", "1", "--log_dir", "again"]) == 0
    (again,) = Path("again").iterdir()
    assert [row["reward"] for row in lines(again / "episodes.jsonl")] == [0.0, 2.0, 0.0]
    assert summary(again)["success_rate"] == pytest.approx(1 / 3)


@both
def test_an_old_run_is_exported_as_it_was(name, old):
    assert main(["export", str(old(name)), "--format", "dpo", "--out", "rows.jsonl"]) == 0
    assert Path("rows.jsonl").read_bytes() == (OLD / "exported" / f"{name}.jsonl").read_bytes()
    assert main(["export", "--check", "rows.jsonl"]) == 0


def respond(body):
    """What both models of `toy_call` say; it follows from the request alone."""
    draw = derive(json.dumps(body["messages"]), body["seed"])
    return ["well", "deal", "so", "bye", "hm", "no"][draw % 6]


def test_an_old_run_is_resumed_and_no_reply_of_its_journal_is_asked_for_again(old, endpoint):
    url, server = endpoint(respond=respond)
    here = ["--base_url", url, "--user_base_url", url]
    folder = old("toy_call")
    paid = sum(side["calls"] for side in summary(folder)["usage"].values())
    assert main(["--trust", "--resume", str(folder), *here, "--max_calls", "999"]) == 0
    resumed, asked = lines(folder / "episodes.jsonl"), len(server.requests)
    assert [row.get("version", 1) for row in resumed] == [1, 1, FORMAT_VERSION, FORMAT_VERSION]
    assert {row["version"] for row in lines(folder / "training_examples.jsonl")} == {FORMAT_VERSION}
    # A run that was never broken off asks for as much, and comes out the same.
    models = ["--model", "us", "--user_model", "them", *here]
    flags = ["--env", "toy_call:Call", "--josh", "--beam_size", "2", "--max_concurrency", "1"]
    assert main([*flags, *models, "--log_dir", "whole"]) == 0
    (whole,) = Path("whole").iterdir()
    assert paid + asked == len(server.requests) - asked
    assert list(map(as_before, resumed)) == list(map(as_before, lines(whole / "episodes.jsonl")))
    assert lines(folder / "training_examples.jsonl") == lines(whole / "training_examples.jsonl")
