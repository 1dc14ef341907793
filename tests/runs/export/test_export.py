"""`josh export`, as a user meets it: the formats, their choices, and what is refused."""

import json
import shutil
from pathlib import Path

import pytest
from exporting import episodes, stored

from josh.cli import main
from josh.messages import OPENER, dumps
from josh.runs.export.files import manifest_of, replace_all
from josh.runs.export.formats import FORMATS, IN_TOKENS, LABELLED, PAIRED

IN_TEXT = [form for form in FORMATS if form not in IN_TOKENS]

WHOLE = ("sft", "openai-sft", "chatml", "sharegpt")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The folder of a search on twelve tasks."""
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--josh", "--stop", "best", "--synthetic_tasks", "12", "--beam_size", "4"]) == 0
    (folder,) = Path("records").iterdir()
    return folder


def exported(run, form, *flags):
    out = Path(f"{form}.jsonl")
    assert main(["export", str(run), "--format", form, "--out", str(out), *flags]) == 0
    return out, [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def test_every_format_comes_with_a_manifest_and_passes_its_check(run, capsys):
    for form in IN_TEXT:
        out, rows = exported(run, form, *(("--paths", "successful", "--top", "3") if form not in PAIRED else ()))
        manifest = json.loads(manifest_of(out).read_text())
        assert (manifest["format"], manifest["rows"]) == (form, len(rows))
        assert [each["run"] for each in manifest["runs"]] == [run.name]
        assert manifest["runs"][0]["settings"]["strategy"]["stop"] == "best"
        assert manifest["settings"]["seed"] == 10
        capsys.readouterr()
        assert main(["export", "--check", str(out)]) == 0, capsys.readouterr().err
        assert capsys.readouterr().out == f"{out}: sound\n"
    assert {path.suffix for path in Path().iterdir()} == {"", ".jsonl", ".json"}


def test_the_formats_say_the_same(run):
    (_, trl), (_, openai), (_, chatml), (_, sharegpt) = (exported(run, form) for form in WHOLE)
    assert openai == trl
    for conversation, text, shared in zip(trl, chatml, sharegpt, strict=True):
        messages = conversation["messages"]
        assert messages[1] == {"role": "user", "content": OPENER}
        assert text["text"] == "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)
        assert shared["system"] == messages[0]["content"]
        assert [turn["value"] for turn in shared["conversations"]] == [m["content"] for m in messages[1:]]
        assert {turn["from"] for turn in shared["conversations"]} == {"human", "gpt"}
    (_, pairs), (_, theirs), (_, ranked) = (exported(run, form) for form in PAIRED)
    assert [(row["prompt"], row["chosen"], row["rejected"]) for row in pairs] == [
        (row["input"]["messages"], row["preferred_output"], row["non_preferred_output"]) for row in theirs
    ]
    assert [[turn["value"] for turn in (*row["conversations"], row["chosen"], row["rejected"])] for row in ranked] == [
        [m["content"] for m in (*row["prompt"][1:], *row["chosen"], *row["rejected"])] for row in pairs
    ]
    (_, verdicts), (_, tagged) = (exported(run, form) for form in LABELLED)
    assert [([turn["value"] for turn in row["conversations"]], row["kto_tag"]) for row in tagged] == [
        ([m["content"] for m in (*row["prompt"][1:], *row["completion"])], row["label"]) for row in verdicts
    ]
    assert [row["system"] for row in ranked] == [row["prompt"][0]["content"] for row in pairs]


def test_the_best_paths_of_a_tree_are_the_first(run):
    _, golden = exported(run, "sft")
    _, best = exported(run, "sft", "--paths", "successful", "--top", "1")
    _, three = exported(run, "sft", "--paths", "successful", "--top", "3")
    _, every = exported(run, "sft", "--paths", "successful")
    assert golden == best
    assert len(golden) < len(three) <= 3 * len(golden)
    assert [row for row in three if row in golden] == golden
    assert len(three) < len(every)
    assert [row for row in every if row in three] == three
    _, lost = exported(run, "sft", "--paths", "lost")
    _, first = exported(run, "sft", "--paths", "lost", "--top", "1")
    assert len(first) < len(lost)


def test_verdicts_are_shuffled_by_the_seed_alone(run):
    orders = [exported(run, "kto", "--seed", seed)[1] for seed in ("10", "10", "11")]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(map(dumps, orders[0])) == sorted(map(dumps, orders[2]))
    labels = [row["label"] for row in orders[0]]
    assert sorted(labels) != labels != sorted(labels, reverse=True)


def test_a_greater_margin_leaves_fewer_pairs(run):
    _, all_of_them = exported(run, "dpo", "--min_margin", "0")
    out, clear = exported(run, "dpo", "--min-margin", "0.75")
    assert clear == [row for row in all_of_them if row["margin"] >= 0.75]
    assert 0 < len(clear) < len(all_of_them)
    assert json.loads(manifest_of(out).read_text())["dropped"]["pairs with too small a margin"] > 0


def test_pairs_can_be_kept_to_the_golden_path(run):
    _, golden = exported(run, "dpo", "--paths", "golden")
    _, every = exported(run, "dpo")
    assert len(golden) < len(every)
    assert all(row in every for row in golden)


def test_rows_from_a_run_and_its_copy_count_once(run):
    copy = shutil.copytree(run, "copy")
    for form in IN_TEXT:
        _, once = exported(run, form)
        assert main(["export", str(run), copy, "--format", form, "--out", "twice.jsonl"]) == 0
        twice = [json.loads(line) for line in Path("twice.jsonl").read_text(encoding="utf-8").splitlines()]
        assert twice == once
        assert json.loads(manifest_of(Path("twice.jsonl")).read_text())["dropped"]["repeated rows"] >= len(once)


# Bad input


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ("", "josh: no runs given; example: josh export records/<run> --format sft --out sft.jsonl"),
        ("RUN --format sft", "josh: no out given"),
        ("RUN --out x.jsonl", "josh: no format given"),
        ("RUN --format csv --out x.jsonl", "josh: no format named 'csv'; known: sft, kto, dpo"),
        ("RUN --format sft --out x.jsonl --top 0", "josh: top is 0; give 1 or more"),
        ("RUN --format sft --out x.jsonl --top 3", "josh: top is 3, but a tree has one golden path; leave it out, or"),
        ("RUN --format dpo --out x.jsonl --paths golden --top 5", "josh: top is 5, but a tree has one golden path"),
        ("RUN --format sft --out x.jsonl --paths any", "josh: paths is 'any'; give golden, successful, lost or all"),
        ("RUN --format sft --out x.jsonl --min_margin 1", "josh: min_margin is given, but sft has no pairs"),
        ("RUN --format dpo --out x.jsonl --min_margin 99", "josh: RUN: no row for dpo; left out: "),
        ("RUN RUN --format sft --out x.jsonl", "josh: RUN is given twice; give it once"),
        ("RUN RUN/. --format dpo --label accept --out x.jsonl", "is given twice; give it once"),
        ("none", "josh: none is not a run: cannot read none/config.json"),
        ("none --format sft --out x.jsonl", "josh: none is not a run: cannot read none/config.json"),
        ("RUN --format sft --out none/x.jsonl", "josh: cannot write none/x.jsonl: No such file or directory"),
        ("RUN --format sft --out RUN", "josh: cannot write RUN: Is a directory"),
        (
            "RUN --format sft --out RUN/episodes.jsonl",
            "josh: RUN/episodes.jsonl exists and is not an export:",
        ),
        ("EMPTY --format sft --out x.jsonl", "josh: EMPTY: no row for sft; it has no whole episode"),
        ("--check none.jsonl", "josh: cannot read none.jsonl: No such file or directory"),
        ("RUN --check x.jsonl", "josh: --check takes one file only"),
    ],
)
def test_bad_input_gets_one_line_and_writes_nothing(flags, text, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run, empty = stored(Path("runs"), episodes("persuasion", 1, 1)[0], [])
    before = sorted(Path().rglob("*"))
    arguments = flags.replace("RUN", str(run)).replace("EMPTY", str(empty)).split()
    assert main(["export", *arguments]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    expected = text.replace("RUN", str(run)).replace("EMPTY", str(empty))
    assert captured.err.startswith(expected) if text.startswith("josh: ") else expected in captured.err
    assert sorted(Path().rglob("*")) == before


def test_other_rows_are_replaced_with_a_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    one, two = stored(Path("runs"), episodes("persuasion", 1, 1)[0], episodes("persuasion", 1, 3)[0])

    def printed(run):
        Path("my rows").mkdir(exist_ok=True)
        assert main(["export", str(run), "--format", "sft", "--out", "my rows/x y.jsonl"]) == 0
        return capsys.readouterr().out.splitlines()[1:]

    files = "written to      my rows/x y.jsonl, my rows/x y.jsonl.manifest.json"
    assert printed(one) == [files]
    rows = len(Path("my rows/x y.jsonl").read_text().splitlines())
    assert printed(one) == [files], "the same rows"
    assert printed(two) == [f"replaced        {rows} rows of sft, an earlier export", files]


def test_a_manifest_that_cannot_be_replaced_leaves_the_file_as_it_was(tmp_path, capsys):
    (run,) = stored(tmp_path, episodes("persuasion", 1, 1)[0])
    out = tmp_path / "x.jsonl"
    manifest_of(out).mkdir()
    for before in (None, "old"):
        if before:
            out.write_text(before)
        assert main(["export", str(run), "--format", "sft", "--out", str(out)]) == 2
        assert capsys.readouterr().err == f"josh: cannot write {manifest_of(out)}: Is a directory\n"
        assert (out.read_text() if out.exists() else None) == before
        assert not list(tmp_path.glob("*.part"))


def test_files_are_replaced_all_or_none(tmp_path):
    one, other, new = (tmp_path / name for name in ("one", "other", "new"))
    parts = {path: path.with_suffix(".part") for path in (one, new, other)}
    for path in (one, other):
        path.write_text("old")
    for path in (one, new):
        parts[path].write_text("new")
    with pytest.raises(FileNotFoundError):
        replace_all(parts)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"one": "old", "other": "old"}
    for part in parts.values():
        part.write_text("new")
    replace_all(parts)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(("one", "other", "new"), "new")


def test_an_earlier_export_is_replaced_and_nothing_else(tmp_path, capsys):
    (run,) = stored(tmp_path, episodes("persuasion", 1, 1)[0])
    out = tmp_path / "x.jsonl"
    command = ["export", str(run), "--format", "sft", "--out", str(out)]
    assert main(command) == main(command) == 0
    out.with_name("x.jsonl.manifest.json").unlink()
    out.write_text("mine")
    assert main(command) == 2
    assert "give another --out, or move it away" in capsys.readouterr().err
    assert out.read_text() == "mine"


def test_damaged_lines_are_counted(tmp_path, capsys):
    lines = episodes("persuasion", 1, 1)[0]
    (run,) = stored(tmp_path, [*lines, "{"])
    assert main(["export", str(run), "--format", "sft", "--out", str(tmp_path / "x.jsonl")]) == 0
    assert "left out        damaged lines: 1" in capsys.readouterr().out
    assert json.loads((tmp_path / "x.jsonl.manifest.json").read_text())["dropped"]["damaged lines"] == 1
