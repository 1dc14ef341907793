"""`josh export --label`: pairs by what they teach, in sets of the same size."""

import json
from collections import Counter

import pytest
from debates import ACCEPT, RESIST, TEST, TRAIN, VALID, Debate, stored_debates, worked_example

from josh.cli import main
from josh.dialogue import Outcome
from josh.runs.export.files import manifest_of
from josh.runs.export.labels import LABEL_FORMS

QUESTIONS = (*TRAIN, *VALID, *TEST)


@pytest.fixture
def exported(tmp_path):
    """Export labelled pairs: the rows and the manifest."""

    def run(runs, *flags, form="dpo", out="rows.jsonl"):
        out = tmp_path / out
        assert main(["export", *map(str, runs), "--format", form, "--out", str(out), *flags]) == 0
        manifest = json.loads(manifest_of(out).read_text())
        return [json.loads(line) for line in out.read_text().splitlines()], manifest

    return run


@pytest.fixture
def run(tmp_path):
    """A run with the worked example alone."""
    return stored_debates(tmp_path / "run", worked_example())


@pytest.fixture
def runs(tmp_path):
    """Three runs with seven questions in all parts."""
    shares = (QUESTIONS[:3], QUESTIONS[3:4], QUESTIONS[4:])
    return [stored_debates(tmp_path / f"run{at}", *map(worked_example, names)) for at, names in enumerate(shares)]


def refused(capsys, *flags):
    """The one line by which an export is refused."""
    capsys.readouterr()
    assert main(["export", *map(str, flags)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    return line


@pytest.mark.parametrize(
    ("flags", "codes"),
    [
        (("--label", "accept"), {"agree": 2}),
        (("--label", "resist"), {"resist": 2}),
        (("--label", "balanced"), {"agree": 2, "resist": 2}),
        (("--label", "balanced", "--match", "each"), {"agree": 2, "resist": 2}),
        (("--label", "balanced", "--match", "total"), {"agree": 1, "resist": 1}),
        (("--label", "accept", "--match", "total"), {"agree": 2}),
        (("--label", "resist", "--match", "none"), {"resist": 3}),
        (("--label", "balanced", "--match", "none"), {"agree": 2, "resist": 3}),
    ],
)
def test_the_sets_of_the_worked_example_have_the_size_of_the_smaller_label(exported, run, flags, codes):
    for form, rows_of_a_pair in (("dpo", 1), ("sft", 1), ("kto", 2)):
        rows, manifest = exported([run], *flags, form=form)
        assert Counter(row["code"] for row in rows) == {code: rows_of_a_pair * count for code, count in codes.items()}
        assert manifest["rows"] == len(rows)


def test_a_row_has_the_learner_as_assistant_and_the_published_columns(exported, run):
    rows, _ = exported([run], "--label", "balanced", "--part", "train")
    for row in rows:
        assert [message["role"] for message in row["prompt"]] == ["user", "assistant", "user"]
        assert row["prompt"][0]["content"].startswith("Debate with me. q0?")
        assert [len(row[name]) for name in ("chosen", "rejected")] == [1, 1]
        own = {"prompt", "chosen", "rejected"}
        assert row.keys() - own == {"question", "code", "pref_score", "dispref_score", "margin"}
        assert row["question"] == "q0?"
    scores = {(row["code"], row["pref_score"], row["dispref_score"], row["margin"]) for row in rows}
    assert scores == {("resist", 1, 0, 1.0), ("agree", 2, 1, 0.5)}


def test_evaluation_rows_have_the_answers_and_the_type_too(exported, tmp_path):
    run = stored_debates(tmp_path / "run", worked_example(VALID[0]))
    rows, _ = exported([run], "--label", "balanced", "--part", "valid")
    answers = ("parent_answers", "pref_answers", "dispref_answers", "gold_answers")
    found = {row["type"]: [row[name] for name in answers] for row in rows}
    assert found == {
        "flip_correct_to_incorrect": [["y", "x"], ["y", "x"], ["y", "y"], ["x"]],
        "flip_incorrect_to_correct": [["x", "z"], ["x", "x"], ["x", "z"], ["x"]],
    }


def test_only_the_preferred_turn_of_an_sft_row_is_learned(exported, run):
    pairs, _ = exported([run], "--label", "balanced")
    (rows, _), (hosted, _) = (exported([run], "--label", "balanced", form=form) for form in ("sft", "openai-sft"))
    assert [(row["prompt"], row["completion"]) for row in rows] == [(row["prompt"], row["chosen"]) for row in pairs]
    for row, other in zip(rows, hosted, strict=True):
        weights = [message.get("weight", 1) for message in other["messages"] if message["role"] == "assistant"]
        assert weights == [0, 1]
        plain = [{name: part for name, part in one.items() if name != "weight"} for one in other["messages"]]
        assert plain == row["prompt"] + row["completion"]


@pytest.mark.parametrize("form", LABEL_FORMS)
def test_every_format_passes_its_check(exported, tmp_path, runs, form, capsys):
    exported(runs, "--label", "balanced", "--match", "none", form=form)
    capsys.readouterr()
    assert main(["export", "--check", str(tmp_path / "rows.jsonl")]) == 0, capsys.readouterr().err


def test_a_question_is_in_one_part_only(exported, runs):
    questions = {}
    for part, names in (("train", TRAIN), ("valid", VALID), ("test", TEST)):
        rows, manifest = exported(runs, "--label", "balanced", "--part", part)
        questions[part] = {row["question"].strip("?") for row in rows}
        assert questions[part] == set(names) == set(manifest["tasks"])
        assert manifest["yields"]["parts"][part] == {"resist": 3 * len(names), "accept": 2 * len(names)}
    rows, _ = exported(runs, "--label", "balanced", "--part", "devtest")
    assert {(row["part"], row["question"].strip("?")) for row in rows} == {
        (part, name) for part in ("valid", "test") for name in questions[part]
    }
    rows, _ = exported(runs, "--label", "balanced")
    assert Counter(row["part"] for row in rows) == {"train": 12, "valid": 8, "test": 8}


def test_the_rows_depend_on_the_trees_and_the_seed_alone(exported, tmp_path, runs):
    whole = stored_debates(tmp_path / "whole", *map(worked_example, reversed(QUESTIONS)))
    texts = []
    for given, seed in ((runs, 1), (runs[::-1], 1), ([whole], 1), ([whole], 2)):
        exported(given, "--label", "balanced", "--match", "total", "--seed", str(seed))
        texts.append((tmp_path / "rows.jsonl").read_bytes())
    assert texts[0] == texts[1] == texts[2] != texts[3]
    accept, _ = exported([whole], "--label", "accept", "--seed", "1")
    resist, _ = exported([whole], "--label", "resist", "--seed", "1")
    balanced, _ = exported([whole], "--label", "balanced", "--seed", "1")
    assert [row for row in balanced if row in accept] == accept, "the sets share their pairs"
    assert [row for row in balanced if row in resist] == resist


def test_the_stages_are_printed_and_in_the_manifest(exported, tmp_path, capsys):
    agreed = Debate("q1")
    agreed.add(agreed.add(0, "y"), "y")
    same = worked_example("q2", words="{answer}.")
    broken = worked_example("q4").episode(error="the task took longer than 5 s")
    run = stored_debates(tmp_path / "run", worked_example("q0"), agreed, same, broken)
    rows, manifest = exported([run], "--label", "resist", "--match", "none", "--part", "train")
    assert manifest["yields"] == {
        "questions": 4,
        "trees": 4,
        "given_up": 1,
        "without_disagreement": 1,
        "sibling_pairs": 12,
        "none": {"both wrong": 2},
        "resist": 6,
        "accept": 4,
        "left_out": {},
        "repeated": 3,
        "contradictory": 0,
        "parts": {
            "train": {"resist": 4, "accept": 3},
            "valid": {"resist": 0, "accept": 0},
            "test": {"resist": 0, "accept": 0},
        },
        "matched": {"resist": 4, "accept": 0},
    }
    assert len(rows) == 4
    assert capsys.readouterr().out.splitlines()[:5] == [
        "questions       4 in 4 trees, 1 without disagreement, 1 given up",
        "sibling pairs   12: 6 resist, 4 accept, 2 none (2 both wrong)",
        "repeated        3, contradictory 0",
        "parts           train 4 resist, 3 accept; valid 0 resist, 0 accept; test 0 resist, 0 accept",
        "dpo             4 rows (4 resist)",
    ]


def test_a_right_answer_that_nobody_showed_is_a_pair_of_its_own_on_request(exported, tmp_path):
    debate = worked_example()
    third = debate.add(debate.add(debate.nodes[1].parent + 1, "z"), "w")
    debate.add(third, "w")
    debate.add(third, "x")
    run = stored_debates(tmp_path / "run", debate)
    rows, manifest = exported([run], "--label", "accept", "--part", "train")
    assert (Counter(row["code"] for row in rows), manifest["yields"]["none"]["fixed alone"]) == ({"agree": 2}, 1)
    rows, manifest = exported([run], "--label", "accept", "--label_fixed")
    assert Counter(row["code"] for row in rows) == {"agree": 2, "fixed": 1}
    assert manifest["labels"] == {"accept": 2, "fixed": 1}
    (fixed,) = [row for row in rows if row["code"] == "fixed"]
    assert (fixed["type"], fixed["pref_answers"]) == (None, ["w", "x"])


def test_no_row_has_the_text_of_a_directive(exported, tmp_path, capsys):
    leaking = Debate(words="{answer} " + RESIST.upper().replace(" ", "\n") + " {turn}")
    third = leaking.add(leaking.add(leaking.add(0, "y"), "x"), "y")
    leaking.add(third, "x")
    leaking.add(third, "y")
    run = stored_debates(tmp_path / "run", leaking)
    line = refused(capsys, run, "--format", "dpo", "--label", "resist", "--match", "none", "--out", tmp_path / "no")
    assert "no labelled pair can be a row; left out: rows with the text of a directive (1)" in line
    assert not (tmp_path / "no").exists()
    spoken = stored_debates(tmp_path / "own", worked_example(directives=("Says nothing else.", ACCEPT)))
    rows, manifest = exported([run, spoken], "--label", "balanced")
    assert len(rows) == 4
    assert manifest["yields"]["left_out"] == {"rows with the text of a directive": 1}


def test_turns_that_were_cut_off_are_in_no_row(exported, tmp_path):
    debate = Debate()
    third = debate.add(debate.add(debate.add(0, "y"), "x"), "y")
    debate.add(third, "x", cut="length")
    debate.add(third, "y")
    run = stored_debates(tmp_path / "run", worked_example("q1"), debate)
    _, manifest = exported([run], "--label", "resist")
    assert manifest["yields"]["left_out"] == {"turns of the user's that were cut off": 1}


def test_a_failed_turn_has_no_label(exported, tmp_path):
    debate = worked_example()
    debate.add(3, "y", outcome=Outcome.INFRA_ERROR, error="no network")
    _, manifest = exported([stored_debates(tmp_path / "run", debate)], "--label", "resist")
    assert manifest["yields"]["none"] == {"both wrong": 1, "failed": 2}


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--label", "both"), "label is 'both'; give accept, resist or balanced"),
        (("--label", "accept", "--match", "all"), "match is 'all'; give each, total or none"),
        (("--label", "accept", "--part", "dev"), "part is 'dev'; give train, valid, test, devtest or all"),
        (("--label", "accept", "--paths", "golden"), "paths is given, but --label takes pairs by their labels"),
        (("--label", "accept", "--top", "3"), "top is given, but --label takes pairs by their labels"),
        (("--label", "accept", "--min_margin", "0.1"), "min_margin is given, but --label takes pairs"),
        (("--label", "accept", "--format", "sharegpt"), "a row of sharegpt learns every turn of the learner"),
        (("--label", "accept", "--format", "chatml"), "a row of chatml learns every turn of the learner"),
        (("--label", "accept", "--format", "inspect"), "no format named 'inspect' for labelled pairs; known: dpo,"),
        (("--label", "accept", "--learner", "me"), "learner is 'me'; give agent or user"),
        (("--label", "accept", "--learner", "agent"), "none of the 6 pairs has a label: turns of the user (6); leave"),
        (("--label", "accept", "--part", "test"), "no accept pairs to match in test: test has 0 resist and 0 accept"),
        (("--match", "each"), "match is given without label; give --label accept, resist or balanced"),
        (("--label_fixed",), "label_fixed is given without label"),
        (("--part", "all"), "part is given without label"),
    ],
)
def test_what_cannot_be_is_said_in_a_line_and_nothing_is_left(run, tmp_path, capsys, flags, sentence):
    before = sorted(tmp_path.rglob("*"))
    form = () if "--format" in flags else ("--format", "dpo")
    assert sentence in refused(capsys, run, "--out", tmp_path / "rows.jsonl", *form, *flags)
    assert sorted(tmp_path.rglob("*")) == before


def test_runs_without_labels_or_without_disagreement_say_so(tmp_path, capsys):
    plain = stored_debates(tmp_path / "plain", worked_example().episode(pairs=()))
    agreed = Debate()
    agreed.add(agreed.add(0, "y"), "y")
    flags = ("--format", "dpo", "--label", "balanced", "--out", tmp_path / "rows.jsonl")
    assert "plain: no pairs of turns are labelled; search a world whose" in refused(capsys, plain, *flags)
    line = refused(capsys, stored_debates(tmp_path / "agreed", agreed), *flags)
    assert "agreed: the speakers agree in 1 of 1 tree, so there is no pair to label" in line
    alone = Debate()
    third = alone.add(alone.add(alone.add(0, "y"), "x"), "y")
    alone.add(third, "x")
    alone.add(third, "y")
    line = refused(capsys, stored_debates(tmp_path / "alone", alone), *flags)
    assert "no balanced pairs to match in all: train has 1 resist and 0 accept" in line
    assert "give more trees, or --match none" in line


def test_rows_go_to_stdout_and_their_numbers_to_stderr(run, capfdbinary):
    assert main(["export", str(run), "--format", "dpo", "--label", "balanced", "--out", "-"]) == 0
    said = capfdbinary.readouterr()
    assert len(said.out.splitlines()) == 4
    assert b"sibling pairs   6: 3 resist, 2 accept, 1 none" in said.err
