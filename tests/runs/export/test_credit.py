"""Credit: hand-computed trees, and the rows that carry it."""

import json

import pytest
from playing import lines, run

from josh.cli import main
from josh.dialogue import Speaker
from josh.runs.export.credit import credit, values
from josh.runs.record.episode_json import from_json


def node(parent, path, speaker="agent", outcome=None, reward=0.0, cut_off=False):
    row = {"parent": parent, "speaker": speaker, "path": path, "messages": []}
    if outcome is None:
        return row
    row |= {"outcome": outcome, "reward": reward}
    return row if cut_off else row | {"ended": outcome}


def grown(*nodes, reported):
    root = {"parent": -1, "speaker": "user", "path": "", "messages": []}
    return from_json(
        {
            "task_id": "one", "ending": "completed", "reward": 2.0, "success": 1.0, "rounds": 1.0, "metrics": {},
            "error": "", "usage": {}, "reported": [reported], "goals": ["g"], "frontier": [], "nodes": [root, *nodes],
            "collapses": [], "task": {"index": 0, "data": {}, "metadata": {}},
        }
    )  # fmt: skip


TREE = grown(
    node(0, "0"),  # 1: leads to 3 ($2) and 4 ($1)
    node(0, "1"),  # 2: leads to 5 ($0)
    node(1, "0/0", "user", "won", 2.0),  # 3
    node(1, "0/1", "user", "won", 1.0),  # 4
    node(2, "1", "user"),  # 5
    node(5, "1", "agent"),  # 6: no sibling
    node(6, "1", "user", "lost"),  # 7
    node(0, "2", "agent", "lost", cut_off=True),  # 8: cut off, its reward is not known
    reported=3,
)


def test_a_value_is_the_mean_over_all_whole_paths_below():
    assert values(TREE) == {0: 1.0, 1: 1.5, 2: 0.0, 3: 2.0, 4: 1.0, 5: 0.0, 6: 0.0, 7: 0.0}


def test_an_advantage_is_the_value_less_the_mean_of_the_siblings():
    found = credit(TREE, Speaker.AGENT)
    assert found[1] == 1.5
    assert found[2] == -1.5
    assert 8 not in found, "a turn that was cut off has no value"


def test_a_turn_without_siblings_has_the_advantage_of_the_turn_before():
    assert credit(TREE, Speaker.AGENT)[6] == -1.5


def test_the_other_speaker_has_credit_of_its_own():
    assert credit(TREE, Speaker.USER) == {3: 1.0, 4: -1.0, 5: 0.0, 7: 0.0}


def test_three_siblings_are_compared_with_the_mean_of_the_other_two():
    turns = [node(0, str(place), "agent", "won", reward) for place, reward in enumerate((2.0, 1.0, 0.0))]
    assert credit(grown(*turns, reported=1), Speaker.AGENT) == {1: 1.5, 2: 0.0, 3: -1.5}


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("credit"))
    return run(folder, "--josh", "--stop", "best", "--synthetic_tasks", 12, "--confirm", 4)


def exported(folder, tmp_path, form, *flags):
    out = tmp_path / "rows.jsonl"
    assert main(["export", str(folder), "--format", form, "--out", str(out), *flags]) == 0
    assert main(["export", "--check", str(out)]) == 0
    return lines(out)


def test_rows_of_conversations_have_a_number_for_each_message(searched, tmp_path):
    for row in exported(searched, tmp_path, "sft", "--credit"):
        pairs = list(zip(row["messages"], row["advantages"], strict=True))
        assert all(number == 0 for message, number in pairs if message["role"] != "assistant")
        assert any(number for message, number in pairs if message["role"] == "assistant")


def test_rows_of_messages_and_pairs_have_credit(searched, tmp_path):
    assert all("advantage" in row for row in exported(searched, tmp_path, "kto", "--credit"))
    plain = {row["margin"] for row in exported(searched, tmp_path, "dpo")}
    credited = exported(searched, tmp_path, "dpo", "--credit")
    assert all(row["margin"] > 0 for row in credited)
    assert {row["margin"] for row in credited} != plain


def test_only_confirmed_paths_are_exported(searched, tmp_path, capsys):
    every = exported(searched, tmp_path, "sft")
    some = exported(searched, tmp_path, "sft", "--min_confirmed", "0.5")
    assert 0 < len(some) < len(every)
    assert all(row in every for row in some)
    manifest = json.loads((tmp_path / "rows.jsonl.manifest.json").read_text(encoding="utf-8"))
    assert manifest["settings"]["min_confirmed"] == 0.5
    assert sum(count for reason, count in manifest["dropped"].items() if "confirm" in reason) == len(every) - len(some)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--format", "openai-sft", "--credit"], "credit is given, but a row of openai-sft"),
        (["--format", "sft", "--min_confirmed", "2"], "min_confirmed is 2.0; give a share"),
        (["--format", "sft", "--paths", "lost", "--min_confirmed", "0.5"], "only wins are confirmed"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(searched, tmp_path, capsys, flags, words):
    assert main(["export", str(searched), "--out", str(tmp_path / "x.jsonl"), *flags]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_a_run_without_confirmations_is_refused(tmp_path, capsys):
    folder = run(str(tmp_path / "plain"), "--josh", "--synthetic_tasks", 2)
    out = tmp_path / "x.jsonl"
    assert main(["export", str(folder), "--format", "sft", "--min_confirmed", "0.8", "--out", str(out)]) == 2
    assert "confirmed no win; search with --confirm K" in capsys.readouterr().err
    assert not out.exists()
