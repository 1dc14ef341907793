"""The schema of a run's files: what is written has it, and what does not have it is refused in one line."""

import json
from pathlib import Path
from typing import get_args

import jsonschema
import pytest
from playing import lines, run

from josh.cli import main
from josh.dialogue import Outcome, Speaker
from josh.errors import UsageError
from josh.runs.record.episode_json import from_json
from josh.runs.record.folder import read_summary
from josh.runs.record.lines import FORMAT_VERSION
from josh.runs.record.schema import (
    FILES,
    ConfigFile,
    EpisodeRow,
    ExampleRow,
    OutcomeName,
    SpeakerName,
    SummaryFile,
    UnknownVersionError,
    json_schema,
    read_row,
)
from josh.runs.record.stored import count_examples, stored_episodes

pytestmark = pytest.mark.usefixtures("elsewhere")

WAYS = (("--josh",), ("--josh", "--env", "toy_world:World"), ("--env", "toolwoz", "--rollouts", 2))


@pytest.mark.parametrize("way", WAYS)
def test_a_run_writes_what_the_schema_says(way):
    folder = run("records", *way, "--end_index", 4)
    for file, suffix in (
        ("episodes", "jsonl"),
        ("training_examples", "jsonl"),
        ("config", "json"),
        ("summary", "json"),
    ):
        validator = jsonschema.Draft202012Validator(json_schema(file))
        path = folder / f"{file}.{suffix}"
        texts = path.read_text().splitlines() if suffix == "jsonl" else [path.read_text()]
        assert texts
        for text in texts:
            row = json.loads(text)
            validator.validate(row)
            # Nothing is written that the schema does not name.
            assert read_row(FILES[file], text) == row


def test_the_summary_of_a_world_without_goals_has_the_schema():
    Path("talk.py").write_text(
        "from toy_phone import Phone\n\nclass Talk(Phone):\n    def goals(self, task):\n        return []\n"
    )
    folder = run("records", "--env", "./talk.py:Talk")
    assert read_summary(folder)["success_rate_ci95"] is None


def test_the_version_is_the_first_thing_in_a_line():
    folder = run("records", "--josh", "--end_index", 1)
    for file in ("episodes.jsonl", "training_examples.jsonl"):
        for line in (folder / file).read_text().splitlines():
            assert line.startswith(f'{{"version": {FORMAT_VERSION}, "task_id": ')


def test_the_words_for_speakers_and_outcomes_are_those_of_the_tree():
    assert get_args(SpeakerName) == tuple(Speaker)
    assert get_args(OutcomeName) == tuple(Outcome)


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    """A whole episode of a search, as a line."""
    folder = run(str(tmp_path_factory.mktemp("whole")), "--josh", "--beam_size", 2, "--end_index", 1)
    return (folder / "episodes.jsonl").read_text()


DROPPED = object()


def with_change(line, *way):
    """The line with one value changed: the keys and indices down to it, then the new value."""
    *way, last, value = way
    row = place = json.loads(line)
    for step in way:
        place = place[step]
    if value is DROPPED:
        del place[last]
    else:
        place[last] = value
    return json.dumps(row)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (("nodes", DROPPED), "nodes is missing"),
        (("nodes", []), "nodes is []; a tree needs a root"),
        (("nodes", 3), "nodes is 3; give a valid array"),
        (("nodes", 2, "parent", 2), "node 2: parent is 2; a parent comes before its children, and the root's is -1"),
        (("nodes", 0, "parent", 0), "node 0: parent is 0; a parent comes before its children, and the root's is -1"),
        (("nodes", 1, "parent", DROPPED), "node 1: parent is missing"),
        (("nodes", 1, "phase", DROPPED), "node 1: phase is missing"),
        (("nodes", 1, "path", "0/x"), "node 1: path is '0/x'; give sibling numbers, such as 0/1"),
        (("nodes", 1, "seed", True), "node 1: seed is True; give a valid integer"),
        (("nodes", 1, "value", True), "node 1: value is True; give a valid number"),
        (("nodes", 1, "speaker", "nobody"), "node 1: speaker is 'nobody'; give 'agent' or 'user'"),
        (("nodes", 1, "messages", ["hello"]), "node 1: messages[0] is 'hello'; give an object"),
        (("nodes", 1, "hits", [{"step": 0, "value": 1}]), "node 1: hits[0].goals is missing"),
        (("nodes", 1, "outcome", "won"), "node 1: a leaf must have an outcome, and any other node must have none"),
        (("nodes", -1, "outcome", DROPPED), "a leaf must have an outcome, and any other node must have none"),
        (("frontier", [999]), "frontier: node 999 does not exist"),
        (("collapses", [{"root": 0, "size": 999, "winner": 0, "rewarded": [0]}]), "collapses: node 999 does not exist"),
        (("collapses", [{"root": 0, "winner": 0, "rewarded": [0]}]), "collapses[0].size is missing"),
        (("reported", []), "reported is [], rewards [0.1]; give one reward for each reported leaf"),
        (("reported", [0]), "reported is [0], rewards [0.1]; give one reward for each reported leaf"),
        (("metrics", "donation", "much"), "metrics.donation is 'much'; give a valid number"),
        (("task", "data", None), "task.data is None; give an object"),
        (("version", True), "version is True; give a valid integer"),
    ],
)
def test_a_damaged_episode_is_refused_with_what_is_wrong(change, text, line):
    row = with_change(with_change(line, "rewards", [0.1]), *change)
    with pytest.raises(ValueError) as error:
        from_json(read_row(EpisodeRow, row))
    assert text in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["null", "[]", '"episode"', "{}", '{"goals": []}', "", "{", "[" * 100_000])
def test_what_is_no_episode_is_refused(text):
    with pytest.raises(ValueError) as error:
        read_row(EpisodeRow, text)
    assert str(error.value)
    assert "\n" not in str(error.value)


def test_half_a_surrogate_pair_and_deep_lists_are_read(line):
    deep = json.loads("[" * 300 + "]" * 300)
    row = read_row(EpisodeRow, with_change(with_change(line, "error", "\ud83d"), "task", "data", {"deep": deep}))
    assert row["error"] == "\ud83d"
    assert row["task"]["data"] == {"deep": deep}
    with pytest.raises(ValueError, match=r"^node 1: seed is True; give a valid integer$"):
        read_row(EpisodeRow, with_change(with_change(line, "error", "\ud83d"), "nodes", 1, "seed", True))


@pytest.mark.parametrize("version", [0, 3])
def test_a_version_that_is_not_known_is_named(version, line, tmp_path):
    newer = json.dumps(json.loads(line) | {"version": version, "nodes": "elsewhere"})
    text = f"its format has version {version}; this josh reads versions 1 and 2; install a newer josh"
    with pytest.raises(UnknownVersionError) as error:
        read_row(EpisodeRow, newer)
    assert str(error.value) == text
    file = tmp_path / "episodes.jsonl"
    file.write_text(f"{line.strip()}\n{newer}\n")
    with pytest.raises(UsageError) as refused:
        list(stored_episodes(file, []))
    assert str(refused.value) == f"{file} line 2: {text}"


def test_a_run_of_a_newer_josh_is_not_played_over(line, capsys):
    folder = run("records", "--josh", "--beam_size", 2, "--end_index", 1)
    file = folder / "episodes.jsonl"
    file.write_text(json.dumps(json.loads(line) | {"version": 3}) + "\n")
    before = file.read_text()
    for command in (["--resume"], ["show"], ["rescore"], ["report"]):
        capsys.readouterr()
        assert main([*command, str(folder)]) == 2
        assert capsys.readouterr().err.strip().endswith("this josh reads versions 1 and 2; install a newer josh")
    assert file.read_text() == before


def test_examples_are_counted_where_they_are_whole():
    folder = run("records", "--josh", "--end_index", 4)
    recorded = read_summary(folder)
    tasks = {row["task_id"] for row in lines(folder / "training_examples.jsonl")}
    with (folder / "training_examples.jsonl").open("a") as file:
        file.write('{"task_id": "synthetic-train-0000"}\n{"version"')
    assert count_examples(folder, tasks) == (recorded["training_examples"], recorded["golden_examples"])


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({}, True),
        ({"cost": None, "truncated": "max_calls 3", "note": "mine"}, True),
        ({"owed": "none"}, False),
        ({"complete": 1}, False),
        ({"cost": "much"}, False),
        ({"usage": {"agent": {"calls": True, "prompt_tokens": 0, "completion_tokens": 0}}}, False),
        ({"unpriced": [3]}, False),
    ],
)
def test_a_summary_that_makes_no_sense_counts_as_none(change, kept):
    folder = run("records", "--end_index", 1)
    recorded = json.loads((folder / "summary.json").read_text()) | change
    (folder / "summary.json").write_text(json.dumps(recorded))
    assert read_summary(folder) == (recorded if kept else {})


def test_josh_schema_prints_every_file_with_descriptions(capsys):
    assert main(["schema"]) == 0
    whole = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(whole)
    assert list(whole["properties"]) == list(FILES)
    for name, kind in whole["$defs"].items():
        assert kind["description"], name
        assert all(each["description"] for each in kind["properties"].values()), name
    for name in FILES:
        assert main(["schema", name]) == 0
        one = json.loads(capsys.readouterr().out)
        jsonschema.Draft202012Validator.check_schema(one)
        assert one["properties"].keys() == whole["$defs"][one["title"]]["properties"].keys()


def test_a_file_without_a_schema_is_named(capsys):
    assert main(["schema", "replies"]) == 2
    said = "josh: a run has no file 'replies' with a schema; known: episodes, training_examples, config, summary\n"
    assert capsys.readouterr().err == said


def test_the_kinds_of_files_are_told_apart():
    folder = run("records", "--josh", "--end_index", 1)
    example = (folder / "training_examples.jsonl").read_text().splitlines()[0]
    assert read_row(ExampleRow, example)["is_golden_path"] in (True, False)
    assert read_row(ConfigFile, (folder / "config.json").read_text())["tasks"] == 1
    for kind in (EpisodeRow, ConfigFile, SummaryFile):
        with pytest.raises(ValueError, match="is missing"):
            read_row(kind, example)
