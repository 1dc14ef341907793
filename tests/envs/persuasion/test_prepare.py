"""Task files made of the corpus."""

import json

import pytest
from p4g_small import CHATS, FORMS, real_corpus, write_original

from josh.envs.persuasion.env import PersuasionEnv
from josh.envs.persuasion.prepare import prepare
from josh.errors import UsageError


@pytest.fixture
def corpus(tmp_path):
    return write_original(tmp_path / "corpus")


def rows_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_both_splits_are_written_and_counted(corpus, tmp_path):
    assert prepare(corpus, tmp_path / "new" / "folder") == {"train": 3, "test": 2}
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == [
        "test_tasks.jsonl",
        "train_tasks.jsonl",
    ]


@pytest.mark.parametrize("split", ["train", "test"])
def test_one_split_alone_is_written_when_asked_for(corpus, tmp_path, split):
    prepare(corpus, tmp_path / "out", split)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"{split}_tasks.jsonl"]


def test_a_row_has_what_a_run_and_slime_need(corpus, tmp_path):
    prepare(corpus, tmp_path, "test")
    row = rows_of(tmp_path / "test_tasks.jsonl")[0]
    assert row["id"] == row["prompt"] == f"p4g-{CHATS[0][0]}"
    assert row["conversation_id"] == CHATS[0][0]
    assert (row["split"], row["label"], row["metadata"]) == ("test", "", {})
    assert len(row["data"]["persuadee"]["traits"]) == 32


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_task_file_plays_like_the_corpus_it_came_from(tmp_path, form, split):
    folder = FORMS[form](tmp_path / "corpus")
    prepare(folder, tmp_path)
    file = tmp_path / f"{split}_tasks.jsonl"
    assert PersuasionEnv({"corpus": str(file)}).tasks(split) == PersuasionEnv({"corpus": folder}).tasks(split)


def test_limits_keep_the_first_tasks(corpus, tmp_path):
    assert prepare(corpus, tmp_path, train_limit=2, test_limit=1) == {"train": 2, "test": 1}
    whole = PersuasionEnv({"corpus": corpus}).tasks("train")
    assert PersuasionEnv({"corpus": tmp_path / "train_tasks.jsonl"}).tasks("train") == whole[:2]


def test_the_split_rule_can_be_chosen(corpus, tmp_path):
    assert prepare(corpus, tmp_path, split_rule="annotated") == {"train": 2, "test": 3}


def test_part_of_a_task_file_can_be_taken(corpus, tmp_path):
    prepare(corpus, tmp_path)
    assert prepare(tmp_path / "train_tasks.jsonl", tmp_path / "fewer", "train", train_limit=1) == {"train": 1}


def test_the_same_corpus_gives_the_same_bytes(corpus, tmp_path):
    for name in ("one", "two"):
        prepare(corpus, tmp_path / name)
    assert (tmp_path / "one/train_tasks.jsonl").read_bytes() == (tmp_path / "two/train_tasks.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"split": "dev"}, "no split named 'dev'; known: train, test, both"),
        ({"train_limit": 0}, "train_limit is 0; give 1 or more"),
        ({"test_limit": -3}, "test_limit is -3; give 1 or more"),
        ({"split_rule": "odd"}, "split_rule is 'odd'; give convokit, annotated or user_disjoint"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_written(corpus, tmp_path, settings, problem):
    with pytest.raises(UsageError, match=problem):
        prepare(corpus, tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_fatal(corpus, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UsageError, match="cannot write to"):
        prepare(corpus, tmp_path / "out")


def test_the_settings_of_a_row_reach_its_task(corpus, tmp_path):
    prepare(corpus, tmp_path)
    row = rows_of(tmp_path / "test_tasks.jsonl")[0] | {"metadata": {"persuadee_model": "m", "max_turns": 4}}
    (tmp_path / "mine.jsonl").write_text(json.dumps(row) + "\n\n", encoding="utf-8")
    (task,) = PersuasionEnv({"corpus": tmp_path / "mine.jsonl"}).tasks("test")
    assert task.metadata == {"persuadee_model": "m", "max_turns": 4}


def test_a_task_file_is_not_played_as_another_split(corpus, tmp_path):
    prepare(corpus, tmp_path)
    with pytest.raises(UsageError, match="holds no train tasks; it holds test"):
        PersuasionEnv({"corpus": tmp_path / "test_tasks.jsonl"}).tasks("train")


def test_rows_of_no_split_belong_to_any(corpus, tmp_path):
    prepare(corpus, tmp_path)
    rows = [{"id": row["id"], "data": row["data"]} for row in rows_of(tmp_path / "test_tasks.jsonl")]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    env = PersuasionEnv({"corpus": tmp_path / "mine.jsonl"})
    assert [task.id for task in env.tasks("train")] == [task.id for task in env.tasks("test")]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "line 1 is not JSON"),
        ("[]", "line 1: a task needs `id`"),
        ('{"id": "a", "data": {"persuader": {}}}', "line 1: a task needs `id`"),
        ("", "holds no train tasks$"),
    ],
)
def test_a_malformed_task_file_is_named_with_its_problem(tmp_path, text, problem):
    (tmp_path / "mine.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=problem):
        PersuasionEnv({"corpus": tmp_path / "mine.jsonl"}).tasks("train")


def test_a_task_that_is_there_twice_is_refused(corpus, tmp_path):
    prepare(corpus, tmp_path, "train")
    text = (tmp_path / "train_tasks.jsonl").read_text(encoding="utf-8")
    (tmp_path / "mine.jsonl").write_text(text + text, encoding="utf-8")
    with pytest.raises(UsageError, match=r"line 4: there is a task .* already"):
        PersuasionEnv({"corpus": tmp_path / "mine.jsonl"}).tasks("train")


def test_the_real_corpus_is_written_without_its_spoilt_dialogues(tmp_path):
    assert prepare(real_corpus(), tmp_path) == {"train": 773, "test": 217}
    assert prepare(real_corpus(), tmp_path, include_bad=True) == {"train": 800, "test": 217}
    assert len(PersuasionEnv({"corpus": tmp_path / "test_tasks.jsonl"}).tasks("test")) == 217


@pytest.mark.parametrize("content", ["my precious", '{"id": "a"}', ""])
def test_a_file_of_somebody_else_is_not_overwritten(corpus, tmp_path, content):
    mine = tmp_path / "train_tasks.jsonl"
    mine.write_text(content)
    if content:
        with pytest.raises(UsageError, match=r"train_tasks.jsonl exists, .*; give another output_dir, or --overwrite"):
            prepare(corpus, tmp_path)
        assert mine.read_text() == content
        assert not (tmp_path / "test_tasks.jsonl").exists()
    prepare(corpus, tmp_path, overwrite=True)
    prepare(corpus, tmp_path)
    assert len(rows_of(mine)) == 3


def test_settings_that_were_filled_in_are_not_overwritten(corpus, tmp_path):
    prepare(corpus, tmp_path)
    path = tmp_path / "train_tasks.jsonl"
    path.write_text("".join(json.dumps(row | {"metadata": {"max_turns": 3}}) + "\n" for row in rows_of(path)))
    with pytest.raises(UsageError, match="--overwrite"):
        prepare(corpus, tmp_path)
