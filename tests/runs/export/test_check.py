"""`josh export --check` finds what was damaged in a training file."""

import hashlib
import json

import pytest
from exporting import episodes, says, stored

from josh.cli import main
from josh.errors import UsageError
from josh.messages import dumps
from josh.runs.export.check import problems_in
from josh.runs.export.export import choose, export
from josh.runs.export.files import manifest_of
from josh.runs.export.formats import FORMATS, IN_TOKENS
from josh.runs.train.data import read_rows

IN_TEXT = [form for form in FORMATS if form not in IN_TOKENS]


def changed(row, way, value):
    """A row with another value at a place; a function makes it of the old one."""
    *path, last = way
    place = row
    for step in path:
        place = place[step]
    place[last] = value(place[last]) if callable(value) else value


DAMAGE = [
    ("sft", ["messages", 0, "role"], "critic", "messages[0]: role is 'critic'; known: system, user"),
    ("sft", ["messages"], lambda old: [*old, {"role": "user", "content": "hm"}], "messages: the last message is"),
    ("sft", ["messages"], lambda old: [old[0], *old[2:]], "messages: the assistant speaks first"),
    ("sft", ["messages"], lambda old: [*old, old[0], old[-1]], "a system prompt after the start"),
    ("sft", ["messages", 2, "content"], " ", "messages[2]: the assistant says nothing"),
    ("sft", ["messages", 2, "content"], 3, "messages[2]: content is 3; give a text"),
    ("sft", ["messages"], [], "messages is empty, or not a list"),
    ("sft", ["tools"], "look", "tools is not a list of schemas"),
    ("kto", ["label"], 1, "label is 1; give true or false"),
    ("kto", ["completion"], [], "completion is not one message"),
    ("kto", ["completion", 0, "role"], "user", "completion is from the user; give the assistant's"),
    ("kto", ["prompt"], lambda old: [*old, says("Hm.")], "prompt: the last message is from the assistant"),
    ("dpo", ["rejected"], [], "rejected is not one message"),
    ("dpo", ["margin"], -1, "margin is -1; give a number above 0"),
    ("dpo", ["prompt"], lambda old: old[:1], "prompt: the system speaks first"),
    ("openai-sft", ["messages", 1, "weight"], 1, "weight is 1 for the user; only the assistant has one, 0 or 1"),
    ("openai-sft", ["margin"], 1, "margin is not a key of this format"),
    ("openai-dpo", ["input", "messages"], None, "input is empty, or not a list"),
    ("openai-dpo", ["preferred_output", 0, "content"], "", "preferred_output: the assistant says nothing"),
    ("chatml", ["text"], lambda old: old.replace("<|im_end|>", "", 1), "text does not consist of <|im_start|>role"),
    ("chatml", ["text"], lambda old: f"{old}<|im_start|>user\nhm<|im_end|>\n", "text: the last message is from the"),
    ("sharegpt", ["conversations"], lambda old: old[1:], "the turns do not alternate between human or observation"),
    ("sharegpt", ["conversations", 1, "value"], "", "conversations[1]: gpt says nothing"),
    ("sharegpt", ["tools"], "{", "tools is not a text of JSON"),
    ("sharegpt-kto", ["kto_tag"], "true", "kto_tag is 'true'; give true or false"),
    ("sharegpt-kto", ["conversations"], lambda old: old[:-1], "the turns do not alternate between human"),
    ("sharegpt-dpo", ["conversations"], lambda old: old[:-1], "the turns do not alternate between human"),
    ("sharegpt-dpo", ["conversations"], None, "conversations is not a list"),
    ("sharegpt-dpo", ["rejected"], [], "[] is not a JSON object"),
    ("sharegpt-dpo", ["chosen", "from"], "human", "the turns do not alternate between human"),
    ("sharegpt-dpo", ["margin"], 0.5, "margin is not a key of this format"),
]  # fmt: skip


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A sound file of every format, without its manifest."""
    folder = tmp_path_factory.mktemp("sound")
    runs = list(stored(folder, *(episodes("persuasion", 1, seed)[0] for seed in range(7))))
    files = {}
    for form in IN_TEXT:
        files[form] = folder / f"{form}.jsonl"
        export(runs, files[form], form, choose(form, "successful", 9, None), 10)
        assert list(problems_in(files[form])) == []
    return files


def problems(file, lines, form, tmp_path):
    """What is found in these lines, as a file of the format."""
    path = tmp_path / file.name
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    manifest = json.loads(manifest_of(file).read_text())
    manifest["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest_of(path).write_text(json.dumps(manifest))
    return list(problems_in(path)), path


@pytest.mark.parametrize(("form", "way", "value", "text"), DAMAGE)
def test_a_damaged_row_is_named_by_line(form, way, value, text, sound, tmp_path):
    lines = sound[form].read_text(encoding="utf-8").splitlines()
    row = json.loads(lines[2])
    changed(row, way, value)
    found, path = problems(sound[form], [*lines[:2], dumps(row), *lines[3:]], form, tmp_path)
    assert found[0].startswith(f"{path}:3: ")
    assert text in found[0]


def test_a_pair_of_the_same_text_is_found(sound, tmp_path):
    for form, one, other in (
        ("dpo", "chosen", "rejected"),
        ("sharegpt-dpo", "chosen", "rejected"),
        ("openai-dpo", "preferred_output", "non_preferred_output"),
    ):
        lines = sound[form].read_text(encoding="utf-8").splitlines()
        row = json.loads(lines[0])
        row[one] = row[other]
        found, path = problems(sound[form], [dumps(row), *lines[1:]], form, tmp_path)
        assert found == [f"{path}:1: {one} and {other} are the same"]


def test_rows_that_repeat_or_contradict_others_are_found(sound, tmp_path):
    for form in IN_TEXT:
        lines = sound[form].read_text(encoding="utf-8").splitlines()
        found, path = problems(sound[form], [*lines, lines[1]], form, tmp_path)
        assert found == [f"{path}:{len(lines) + 1}: it repeats line 2"]
    lines = sound["dpo"].read_text(encoding="utf-8").splitlines()
    row = json.loads(lines[1])
    row["chosen"], row["rejected"] = row["rejected"], row["chosen"]
    found, path = problems(sound["dpo"], [*lines, dumps(row)], "dpo", tmp_path)
    assert found == [f"{path}:{len(lines) + 1}: it contradicts line 2"]
    lines = sound["kto"].read_text(encoding="utf-8").splitlines()
    row = json.loads(lines[1])
    row["label"] = not row["label"]
    found, path = problems(sound["kto"], [*lines, dumps(row)], "kto", tmp_path)
    assert found[0] == f"{path}:{len(lines) + 1}: it contradicts line 2"
    negatives = [line for line in lines if not json.loads(line)["label"]]
    found, path = problems(sound["kto"], negatives, "kto", tmp_path)
    assert found[0] == f"{path}:1: a negative row whose prompt no positive row has"


def test_torn_foreign_missing_and_too_few_lines_are_found(sound, tmp_path):
    lines = sound["openai-sft"].read_text(encoding="utf-8").splitlines()
    found, path = problems(sound["openai-sft"], lines[:3], "openai-sft", tmp_path)
    assert found == [f"{path}: 3 rows; openai-sft needs 10 or more"]
    found, path = problems(sound["openai-sft"], [lines[0][:-9], *lines[1:]], "openai-sft", tmp_path)
    assert found[0].startswith(f"{path}:1: not JSON: ")
    found, path = problems(sound["sft"], [], "sft", tmp_path)
    assert found == [f"{path}: 0 rows; sft needs 1 or more"]
    path.write_text(f"{lines[0]}\n")
    assert list(problems_in(path)) == [
        f"{path}: it is not the file that {manifest_of(path).name} describes (the sha256 differs)"
    ]
    manifest_of(path).unlink()
    assert list(problems_in(path)) == []
    path.write_text(lines[0])
    assert list(problems_in(path)) == []
    path.write_text(lines[0][:-20])
    (problem,) = problems_in(path)
    assert problem.startswith(f"{path}:1: not JSON: ")
    path.write_text('{"a":' * 100_000 + "\n")
    (problem,) = problems_in(path)
    assert problem.startswith(f"{path}:1: not JSON: it is nested too deeply")
    path.write_text('{"rows": 3}\n')
    (problem,) = problems_in(path)
    assert problem.startswith(f"{path}:1: the row has no known format; known: sft, kto, dpo")
    manifest_of(path).write_text("{}")
    assert next(problems_in(path)) == f"{manifest_of(path)}: it is not a manifest: it has no known format or no sha256"


def test_the_check_says_five_problems_and_fails(tmp_path, capsys):
    path = tmp_path / "out.jsonl"
    path.write_text("".join(f'{{"messages": [{number}]}}\n' for number in range(9)))
    assert main(["export", "--check", str(path)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [f"{path}:{line}: messages[0] is not a JSON object" for line in range(1, 6)]


def written(tmp_path, rows, encoding="utf-8", ends="\n"):
    path = tmp_path / "rows.jsonl"
    path.write_bytes("".join(f"{json.dumps(row)}{ends}" for row in rows).encode(encoding))
    return path


TALK = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hi."}]


@pytest.mark.parametrize(
    ("encoding", "ends", "problem"),
    [
        ("utf-8-sig", "\n", ""),
        ("utf-8", "\r\n", ""),
        ("utf-8", "\n\n", ""),
        ("utf-16", "\n", "it is in UTF-16; give it unpacked and in UTF-8"),
    ],
)
def test_a_file_is_judged_as_by_the_training(tmp_path, encoding, ends, problem):
    path = written(tmp_path, [{"messages": TALK}], encoding, ends)
    assert list(problems_in(path)) == ([f"{path}: {problem}"] if problem else [])
    if problem:
        with pytest.raises(UsageError):
            read_rows(path, "sft")
    else:
        assert [row.content for row in read_rows(path, "sft")] == [{"messages": TALK}]


def test_half_of_a_surrogate_pair_is_no_text_for_both(tmp_path):
    path = written(tmp_path, [{"messages": [TALK[0], {"role": "assistant", "content": "Hi \ud83d"}]}])
    (problem,) = problems_in(path)
    assert problem == rf"{path}:1: it has half of a surrogate pair (\ud800 to \udfff), which is not text"
    with pytest.raises(UsageError, match="half of a surrogate pair"):
        read_rows(path, "sft")


def test_one_json_array_is_no_file_of_rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps([{"messages": TALK}], indent=1))
    assert list(problems_in(path)) == [f"{path}: it is one JSON array; write one row per line"]


@pytest.mark.parametrize("indent", [2, None])
def test_a_manifest_is_not_rows_and_names_its_file(tmp_path, indent):
    rows = written(tmp_path, [{"messages": TALK}])
    path = tmp_path / f"{rows.name}.manifest.json"
    path.write_text(json.dumps({"format": "sft", "sha256": "0"}, indent=indent))
    why = f"it is a manifest; give the file that it describes, {rows}"
    assert list(problems_in(path)) == [f"{path}: {why}"]
    with pytest.raises(UsageError) as found:
        read_rows(path, "sft")
    assert str(found.value) == f"cannot read {path}: {why}"


def test_one_json_object_is_not_rows(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"settings": {}}, indent=2))
    why = "one JSON object that is not a log of inspect_ai"
    assert list(problems_in(path)) == [f"{path}: it is {why}; a training file has one row per line"]


def test_a_damaged_first_row_is_a_row(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"messages": [\n' + json.dumps({"messages": TALK}) + "\n")
    assert list(problems_in(path)) == [f"{path}:1: not JSON: it ends too early"]


def test_turns_of_one_label_are_no_data_for_kto(tmp_path):
    path = written(tmp_path, [{"prompt": TALK[:1], "completion": TALK[1:], "label": True}])
    assert list(problems_in(path)) == [
        f"{path}: it has only winning turns; KTO needs rows with label true and rows with label false"
    ]
