"""Data of other origin: byte order marks, encodings, packed files, other layouts and spellings."""

import gzip
import json
import shutil
import zipfile

import pytest
from p4g_small import write_original
from woz_published import dialogue, write
from woz_tables import write_tables

from josh.envs.persuasion.corpus import load_corpus
from josh.envs.persuasion.env import PersuasionEnv
from josh.envs.toolwoz.env import ToolwozEnv
from josh.envs.toolwoz.values import normalize
from josh.errors import UsageError
from josh.runs.export.check import problems_in
from josh.runs.resolve import read_toml
from josh.runs.train.data import read_rows

PEOPLE = {side: {"id": side, "traits": {}} for side in ("persuader", "persuadee")}
ROWS = [{"id": name, "data": PEOPLE} for name in ("a", "b\u2028é")]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
FORMS = {
    "mark": LINES.encode("utf-8-sig"),
    "windows": LINES.replace("\n", "\r\n").encode("utf-16"),
    "big": LINES.encode("utf-16-be"),
    "packed": gzip.compress(LINES.encode(), mtime=0),
    "array": json.dumps(ROWS, indent=2).encode(),
}
PARK = {"A1.json": dialogue(attraction={"info": {"type": "park"}})}


@pytest.mark.parametrize("form", FORMS)
def test_a_task_file_is_read_in_any_form(tmp_path, form):
    for name in ("tasks.jsonl", "tasks.json"):
        (tmp_path / name).write_bytes(FORMS[form])
        tasks = PersuasionEnv({"corpus": str(tmp_path / name)}).tasks("train")
        assert [task.id for task in tasks] == ["a", "b\u2028é"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"PK\x03\x04rest", "it is a zip file; unpack it, and give the unpacked file or folder"),
        (b"\x28\xb5\x2f\xfdrest", "it is packed with zstd; unpack it"),
        (b"\x1f\x8brest", "cannot read"),
        ('{"id": "é"}'.encode("latin-1"), r"it is not UTF-8 \(byte 9\); save it as UTF-8"),
        (b"[" * 100_000, "line 1 is not JSON: it is nested too deeply"),
    ],
)
def test_a_file_that_is_no_text_is_refused_with_the_way_out(tmp_path, data, reason):
    (tmp_path / "tasks.jsonl").write_bytes(data)
    with pytest.raises(UsageError, match=reason):
        PersuasionEnv({"corpus": str(tmp_path / "tasks.jsonl")}).tasks("train")


def test_the_corpus_is_found_in_a_clone_of_its_repository(tmp_path):
    flat = write_original(tmp_path / "flat")
    full, annotated = (tmp_path / "clone" / "data" / name for name in ("FullData", "AnnotatedData"))
    for path in sorted(flat.iterdir()):
        to = annotated if path.suffix == ".xlsx" else full
        to.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, to)
    for given in (tmp_path / "clone", tmp_path / "clone" / "data", full):
        assert load_corpus(given) == load_corpus(flat)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["persuasion.zip"], r"; unpack .*persuasion.zip, and give its folder$"),
        (["full_info.csv"], r"has full_info.csv, but no full_dialog.csv$"),
        (["utterances.jsonl", "users.json"], r"has utterances.jsonl and users.json, but no conversations.json or"),
        (["300_dialog.xlsx"], r"has only the annotated part; give the folder that has FullData and AnnotatedData$"),
        (["full_info.xlsx"], r"; save .*full_info.xlsx as full_info.csv$"),
    ],
)
def test_a_part_of_the_corpus_is_refused_with_what_is_missing(tmp_path, names, reason):
    for name in names:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UsageError, match=reason):
        load_corpus(tmp_path)


def test_a_file_or_a_folder_beside_the_corpus_is_refused_with_its_place(tmp_path):
    write_original(tmp_path / "corpus")
    (tmp_path / "corpus" / "empty").mkdir()
    with pytest.raises(UsageError, match=f"; it is in {tmp_path / 'corpus'}$"):
        load_corpus(tmp_path / "corpus" / "empty")
    with pytest.raises(UsageError, match=f"is one file; give the folder of the corpus, such as {tmp_path / 'corpus'}$"):
        PersuasionEnv({"corpus": str(tmp_path / "corpus" / "full_info.csv")}).tasks("train")


@pytest.mark.parametrize("below", ["MULTIWOZ2.4", "data/MultiWOZ_2.1"])
def test_multiwoz_is_found_in_a_clone_or_an_unpacked_zip(tmp_path, below):
    write(tmp_path / below, PARK)
    shutil.move(tmp_path / below / "db", tmp_path / "db")
    assert [task.id for task in ToolwozEnv({"data": str(tmp_path)}).tasks("train")] == ["A1"]
    assert [task.id for task in ToolwozEnv({"data": str(tmp_path / below)}).tasks("train")] == ["A1"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_multiwoz_may_have_byte_order_marks(tmp_path, encoding):
    write(tmp_path, PARK)
    for path in (tmp_path / "data.json", *(tmp_path / "db").iterdir()):
        path.write_text(path.read_text(encoding="utf-8"), encoding=encoding)
    (tmp_path / "testListFile.txt").write_bytes(b"\xef\xbb\xbfA1.json\r\n")
    assert [task.id for task in ToolwozEnv({"data": str(tmp_path)}).tasks("test")] == ["A1"]


def test_convlabs_files_are_the_splits(tmp_path):
    write_tables(tmp_path / "db")
    for number, split in enumerate(("train", "val", "test")):
        text = json.dumps({f"A{number}.json": dialogue(attraction={"info": {"type": "park"}})})
        (tmp_path / f"{split}.json").write_text(text)
    env = ToolwozEnv({"data": str(tmp_path)})
    assert [[task.id for task in env.tasks(split)] for split in env.splits] == [["A0"], ["A1"], ["A2"], ["A2"]]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("data/MultiWOZ_2.2/test/dialogues_001.json", "is of MultiWOZ 2.2, which has no goals to make tasks of; give"),
        ("data/MultiWOZ_2.2/schema.json", "is of MultiWOZ 2.2, which has no goals to make tasks of"),
        ("data/MultiWOZ_2.1.zip", r"has no data.json, but .*MultiWOZ_2.1.zip; unpack it, and give its folder"),
        ("multiwoz21/data/dialogues.json", "is of ConvLab-3's unified format, which josh does not read"),
        (
            "mwz24/train_dials.json",
            r"has no data.json, but .*train_dials.json; give that file if .*, or .*db for made-up",
        ),
        ("data/train.parquet", r"has no data.json, but .*train.parquet; give that file"),
        ("woz2_delex.json", r"has no data.json, but .*woz2_delex.json; give that file"),
        ("MultiWOZ_2.1.tar.gz", r"has no data.json, but .*MultiWOZ_2.1.tar.gz; give that file"),
    ],
)
def test_a_database_beside_another_layout_is_not_played_with_made_up_tasks(tmp_path, name, reason):
    write_tables(tmp_path / "db")
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as packed:
            packed.writestr("data.json", "{}")
    else:
        path.write_text("[]")
    with pytest.raises(UsageError, match=reason):
        ToolwozEnv({"data": str(tmp_path)})


def test_a_database_alone_is_played_with_made_up_tasks(tmp_path, caplog):
    """What comes with the database, and runs that were recorded below it, are no dialogues."""
    write_tables(tmp_path / "db")
    (tmp_path / "records" / "run").mkdir(parents=True)
    for name in ("db/ontology.json", "db/taxi_db.json", "README.md", "records/run/episodes.jsonl"):
        (tmp_path / name).write_text("")
    assert ToolwozEnv({"data": str(tmp_path), "synthetic_tasks": 2}).tasks("train")
    assert "has MultiWOZ's database and no dialogues; tasks are made up over it" in caplog.text


def test_a_folder_with_nothing_of_multiwoz_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"has neither MultiWOZ's data.json nor its database"):
        ToolwozEnv({"data": str(tmp_path)})


def test_two_versions_below_one_folder_are_refused_by_name(tmp_path):
    for name in ("MultiWOZ_2.0", "MultiWOZ_2.1"):
        write(tmp_path / name, PARK)
    with pytest.raises(UsageError, match=r"more than once; give one of .*MultiWOZ_2.0, .*MultiWOZ_2.1"):
        ToolwozEnv({"data": str(tmp_path)})


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("Guest House", "guesthouse"),
        ("center", "centre"),
        ("Swimming  Pool", "swimmingpool"),
        ("mutliple sports", "multiple sports"),
        ("5:15", "05:15"),
        ("5:15 pm", "17:15"),
        ("12:05 a.m.", "00:05"),
        ("17:15:00", "17:15"),
        ("4.50", "4.50"),
        ("17.15", "17.15"),
    ],
)
def test_spellings_are_one_value(written, value):
    assert normalize(written) == value


def test_settings_are_read_in_any_encoding_of_unicode_and_packed(tmp_path):
    text = 'log_dir = "é"\r\nbeam_size = 2\r\n'
    for data in (text.encode("utf-8-sig"), text.encode("utf-16"), gzip.compress(text.encode(), mtime=0)):
        (tmp_path / "run.toml").write_bytes(data)
        assert read_toml(tmp_path / "run.toml") == {"log_dir": "é", "beam_size": 2}
    (tmp_path / "run.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=r"run.toml: it is not UTF-8 \(byte 12\); save it as UTF-8$"):
        read_toml(tmp_path / "run.toml")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (LINES.encode("utf-16"), "in UTF-16; give it unpacked and in UTF-8"),
        (gzip.compress(LINES.encode(), mtime=0), "packed with gzip; give it unpacked and in UTF-8"),
        (json.dumps(ROWS).encode(), "one JSON array; write one row per line"),
        (LINES.encode("latin-1", "replace"), ""),
    ],
)
def test_rows_to_train_on_are_judged_alike_by_the_check_and_the_training(tmp_path, data, reason):
    (tmp_path / "rows.jsonl").write_bytes(data)
    assert any(problem.endswith(reason) for problem in problems_in(tmp_path / "rows.jsonl"))
    with pytest.raises(UsageError, match=f"{reason}$"):
        read_rows(tmp_path / "rows.jsonl", "sft")
