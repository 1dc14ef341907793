"""Wrong inputs of `josh pbt`: one line with the flag as it was typed, a way out, and nothing half-written."""

import json
from pathlib import Path

import pytest
from debates import published, stored_debates, worked_example
from debating import debate, sides
from suites import CTI, refusal, row, suite, values, written

from josh.cli import main

pytestmark = pytest.mark.usefixtures("elsewhere")


def pbt(capsys, *flags, code=2):
    """Run a command; returns what it says on stderr."""
    capsys.readouterr()
    assert main(["pbt", *map(str, flags)]) == code
    return capsys.readouterr().err.removeprefix("josh: ").rstrip()


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ("generate --limit 200000", "limit is 200000; give 1 to 100000"),
        ("generate --out_dir taken", "cannot write to out_dir 'taken': Not a directory"),
        ("generate --env.trees 0", "env.trees is 0; give 1 to 1000"),
        ("generate --merge a a", "a is given twice; give it once"),
        ("eval team --limit 0", "limit is '0'; give a whole number, 1 or more"),
        ("eval team --split foo", "no split named 'foo'; known: train, valid, test, all"),
        ("eval ays --max_turns 2", "max_turns is 1, but the conversation has a length of its own; leave it out"),
        ("eval flipflop --max_turns 2", "max_turns is 1, but the model takes one turn; leave it out"),
    ],
)
def test_a_line_has_the_name_of_the_flag_that_was_typed(capsys, flags, line):
    Path("taken").write_text("mine")
    assert pbt(capsys, *flags.split()) == line
    assert not Path("records").exists()


def test_the_command_without_a_suite_asks_for_a_suite(capsys):
    with pytest.raises(SystemExit):
        main(["pbt", "eval"])
    assert "are required: SUITE; see" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["ays", "misinformation"])
def test_a_suite_with_a_length_of_its_own_is_not_cut(capsys, name):
    line = refusal(capsys, "--suite", name, "--max_convo_turns", "1")
    assert line == "josh: max_convo_turns is 1, but the conversation has a length of its own; leave it out"


@pytest.mark.parametrize("words", ["What a lovely question.", ""])
def test_models_that_never_answer_are_named(capsys, endpoint, words):
    url, _ = endpoint(respond=lambda _: words)
    said = pbt(capsys, "generate", "--limit", 2, *sides(url), code=1)
    assert "a, as the agent: no answer could be read in " in said
    assert said.splitlines()[-1].endswith("turns; give --extractor_model MODEL, or another model")
    assert pbt(capsys, "generate", "--limit", 2, *sides(url), code=1)  # finished before, and says it again


def test_models_that_answer_are_not(capsys, endpoint):
    url, _ = endpoint(respond=debate())
    assert "no answer" not in pbt(capsys, "generate", "--limit", 2, *sides(url), code=0)


def test_a_run_of_errors_has_no_trees_and_no_pairs(capsys, endpoint):
    url, server = endpoint(respond=debate())
    server.faults += [400] * 40
    assert main(["pbt", "generate", "--limit", "2", *sides(url), "--out_dir", "trees"]) == 1
    assert "trees           0, 0 of them without disagreement; errors ended 2 more" in capsys.readouterr().out
    line = pbt(capsys, "prefs", "trees", "--out", "rows.jsonl")
    assert line.endswith("errors ended all of its 2 trees; go on with the run (josh --resume), then export")
    assert not Path("rows.jsonl").exists()


def test_shards_that_are_not_there_are_named(capsys):
    for shard in (0, 2):
        assert main(["pbt", "generate", "--limit", "12", "--num_shards", "4", "--shard_idx", str(shard)]) == 0
    said = pbt(capsys, "prefs", "records/pbt", "--match", "none", "--out", "rows.jsonl", code=0)
    assert said == "shards 1, 3 of 4 are missing; their tasks are left out"


def test_slots_without_published_trees_are_refused(capsys):
    stored_debates(Path("run"), worked_example())
    line = pbt(capsys, "prefs", "run", "--slots", "pbt", "--out", "rows.jsonl")
    assert line == "slots is 'pbt', but no DIR is a file of trees as PBT writes them; leave it out"
    assert not Path("rows.jsonl").exists()


@pytest.mark.parametrize(("text", "why"), [("", ""), ('{"data": [\n', "; damaged lines: 1")])
def test_a_file_without_a_tree_says_so(capsys, text, why):
    Path("trees.jsonl").write_text(text)
    assert pbt(capsys, "prefs", "trees.jsonl", "--out", "o.jsonl") == f"trees.jsonl: no whole episode to export{why}"


def test_rows_of_published_trees_are_told_from_those_of_the_training(capsys):
    Path("trees.jsonl").write_text(f"{json.dumps(published(worked_example('q1'), swapped=False))}\n")
    assert main(["pbt", "prefs", "trees.jsonl", "--out", "train.jsonl"]) == 0
    new, old = row("Who?", CTI, "x", "y", question_id="q2"), row("q1?", CTI, "x", "y")
    flags = ("flipflop", "--agent", "keeper", "--no_references", "--trained_on", "train.jsonl", "--rows")
    assert values(suite(capsys, *flags, written("new.jsonl", [new])), "keeper", "acc") == (1,)
    assert "not held out: the training data has 1 questions" in refusal(
        capsys, "--suite", *flags, written("old.jsonl", [old])
    )


def test_a_folder_of_runs_is_no_training_data_by_itself(capsys):
    assert main(["pbt", "generate", "--limit", "2", "--out_dir", "trees"]) == 0
    line = refusal(capsys, "--suite", "ays", "--trained_on", "trees")
    assert line == "josh: trained_on: trees is a folder of runs; name them, such as trees/trees"


def test_an_evaluation_in_which_a_model_never_speaks_fails(capsys, endpoint):
    url, server = endpoint()
    server.faults += [400] * 40
    flags = ("flipflop", "--synthetic_tasks", "2", "--model", "m", "--base_url", url)
    found = suite(capsys, *flags, code=1)
    assert [each["scored"] for each in found["suite"]["results"]] == [0, 4, 4, 4]
