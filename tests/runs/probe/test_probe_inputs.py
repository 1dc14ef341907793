"""Wrong settings and files end with one clear line, before anything is asked or written."""

import json
from pathlib import Path

import pytest
from probing import write_lines, write_questions, write_references

from josh.cli import main
from josh.runs.probe.questions import read_questions
from josh.runs.probe.settings import PROBE, resolve_probe

pytestmark = pytest.mark.usefixtures("elsewhere")
MODELS = ["--model", "tuned", "--baseline", "base", "--base_url", "http://127.0.0.1:1/v1"]
JUDGE = ["--judge", "judge", "--judge_base_url", "http://127.0.0.1:1/v1"]
OFFLINE = "model is 'offline', which cannot reply; give a chat model, such as hf:FOLDER"
A_LIST = "give a list whose first entry has `turns`, a list of texts"
GOOD = {"question_id": 1, "category": "math", "turns": ["a", "b"]}


def refused(capsys, *flags):
    assert main(["probe", *flags]) == 2
    assert not Path("records").exists()
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("josh: ")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "no model is given; give --model, such as hf:BASE+ADAPTER"),
        (["--model", "x"], "no baseline is given; give --baseline, the model before its tuning"),
        (["--model", "hf:there"], "no baseline is given; give --baseline, the model before its tuning"),
        (["--model", "offline", "--baseline", "x"], OFFLINE),
        ([*MODELS, "--judge", "x"], "judge is given, but no questions are; give --questions FILE in MT-Bench's form"),
        ([*MODELS, "--questions", "x"], "questions is given, but no judge is; give --judge MODEL, or leave it out"),
        (
            [*MODELS, "--judge_temperature", "1"],
            "judge_temperature is given, but no judge is; give --judge MODEL and --questions FILE, or leave it out",
        ),
        ([*MODELS, "--margin", "0"], "margin is 0.0; give a share above 0 and below 1"),
        ([*MODELS, "--margin", "1"], "margin is 1.0; give a share above 0 and below 1"),
        ([*MODELS, "--dtype", "float32"], "dtype is given, but no model is local (hf:...); leave it out"),
        (
            [*MODELS, "--max_cost", "1"],
            "max_cost is given, but tuned has no known price; give --price tuned=PROMPT/REPLY",
        ),
        ([*MODELS, *JUDGE, "--questions", "none.jsonl"], "cannot read none.jsonl: No such file or directory"),
        (["--resume", "nowhere"], "nowhere is not a probe: cannot read nowhere/plan.json: No such file or directory"),
        (["--model", "a,b", *MODELS[2:]], "model is 'a,b'; give one model"),
    ],
)
def test_a_wrong_setting_is_named(capsys, flags, said):
    assert refused(capsys, *flags).replace(f"{Path.cwd()}/", "") == said


def test_the_temperature_is_not_a_setting(capsys):
    assert refused(capsys, *MODELS, "--temperature", "1").startswith("temperature is given, but a probe sets it itself")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], " has no questions; give lines of JSON with question_id, category and turns"),
        ([GOOD, GOOD], " line 2: question_id '1' is there twice; give each question its own"),
        ([GOOD, {**GOOD, "question_id": "1"}], " line 2: question_id '1' is there twice; give each question its own"),
        (
            [GOOD, {**GOOD, "question_id": 2, "turns": []}],
            " line 2: turns is []; give a list of texts that are not empty",
        ),
        ([{**GOOD, "turns": ["a", " "]}], " line 1: turns is ['a', ' ']; give a list of texts that are not empty"),
        ([{**GOOD, "turns": "a"}], " line 1: turns is 'a'; give a list of texts that are not empty"),
        ([{"category": "math", "turns": ["a"]}], " line 1: question_id is None; give a number or a text"),
        ([{**GOOD, "question_id": True}], " line 1: question_id is True; give a number or a text"),
        ([{**GOOD, "category": None}], " line 1: category is None; give a text, such as 'math'"),
        ([GOOD, "x"], " line 2 is 'x'; give a JSON object"),
    ],
)
def test_a_wrong_question_is_named_by_its_line(capsys, rows, said):
    path = write_lines("questions.jsonl", rows)
    assert refused(capsys, *MODELS, *JUDGE, "--questions", str(path)) == f"{path.resolve()}{said}"


def test_a_line_that_is_not_json_is_named(capsys):
    Path("questions.jsonl").write_text(f"{json.dumps(GOOD)}\n{{nope\n")
    said = refused(capsys, *MODELS, *JUDGE, "--questions", "questions.jsonl")
    assert said == f"{Path('questions.jsonl').resolve()} line 2 is not JSON: it has a fault at column 2: 'nope'"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], " has no right answers; give lines of JSON with question_id and choices"),
        ([{"question_id": 1, "choices": []}], f" line 1: choices is []; {A_LIST}"),
        ([{"question_id": 1}], f" line 1: choices is None; {A_LIST}"),
        (
            [{"question_id": 1, "choices": [{"turns": ["a"]}]}] * 2,
            " line 2: question_id '1' is there twice; give each question one right answer",
        ),
    ],
)
def test_a_wrong_reference_is_named_by_its_line(capsys, rows, said):
    write_lines("questions.jsonl", [GOOD])
    path = write_lines("right.jsonl", rows)
    flags = ("--questions", "questions.jsonl", "--references", str(path))
    assert refused(capsys, *MODELS, *JUDGE, *flags) == f"{path.resolve()}{said}"


def test_references_of_other_questions_are_refused(capsys):
    write_lines("questions.jsonl", [GOOD])
    write_references("right.jsonl", [7])
    said = refused(capsys, *MODELS, *JUDGE, "--questions", "questions.jsonl", "--references", "right.jsonl")
    assert "right.jsonl answers none of the questions in" in said


def test_questions_are_read_with_references_of_either_file():
    rows = [{**GOOD, "reference": ["own", ""]}, {**GOOD, "question_id": 2, "reference": ["own 2", "own 3"]}]
    questions = write_lines("questions.jsonl", rows)
    first, second = read_questions(questions)
    assert (first.reference(1), first.reference(2), second.reference(2)) == (("own",), (), ("own 2", "own 3"))
    first, second = read_questions(questions, write_references("right.jsonl", [1], "theirs"))
    assert (first.reference(2), second.reference(1)) == (("theirs 1", "theirs 2"), ("own 2",))


def test_eighty_questions_of_eight_categories_are_read():
    found = read_questions(write_questions("questions.jsonl"))
    assert len(found) == 80
    assert [found[number].temperature for number in range(0, 80, 10)] == [0.7, 0.7, 0, 0, 0, 0, 0.1, 0.1]


def test_a_baseline_has_the_models_settings_where_it_has_none():
    given = {"model": "a", "baseline": "b", "base_url": "http://x/v1", "max_tokens": 9, "top_p": 0.5}
    settings = resolve_probe({**given, "baseline_top_p": 0.9})
    assert settings.baseline.base_url == "http://x/v1"
    assert (settings.baseline.sampling.max_tokens, settings.baseline.sampling.top_p) == (9, 0.9)
    local = resolve_probe({**given, "baseline": "hf:folder"})
    assert local.baseline.base_url is None


def test_the_base_of_an_adapter_is_the_baseline():
    settings = resolve_probe({"model": "hf:org/base+some/adapter"})
    assert settings.baseline.model == "hf:org/base"


def test_the_flags_are_those_of_a_run():
    run = {"model", "base_url", "max_tokens", "seed", "max_calls", "max_cost", "max_concurrency", "log_dir", "price"}
    assert run <= PROBE.keys()
