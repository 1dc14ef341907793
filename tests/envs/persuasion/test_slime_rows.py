"""Task files of slime's persuasion example."""

import json
from functools import partial

import pytest
from p4g_small import real_corpus, write_convokit, write_original

from josh.cli import main
from josh.envs.persuasion.corpus import load_corpus, split
from josh.envs.persuasion.env import PersuasionEnv
from josh.envs.persuasion.prepare import prepare
from josh.errors import UsageError

ANSWERS = {"user_id": "WORKER1", "age": 34.0, "sex": "Male", "extrovert": 3.2, "care": float("nan"), "power": 77}


def row(**changes):
    own = {
        "conversation_id": "41",
        "persuader_id": "WORKER1",
        "persuadee_id": "WORKER2",
        "split": "test",
        "persuader_persona": ANSWERS,
        "persuadee_persona": {**ANSWERS, "user_id": "WORKER2"},
        "ground_truth_donation": 0.25,
        "dialogue_id": "20180904_live",
        "index": 0,
    }
    return own | changes


def tasks(folder, *rows, split="test"):
    path = folder / "test_tasks.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return PersuasionEnv({"corpus": path}).tasks(split)


def test_a_row_becomes_a_task_without_the_ids_of_people(tmp_path):
    (task,) = tasks(tmp_path, row())
    assert task.id == "p4g-20180904_live"
    assert task.data["conversation_id"] == "20180904_live"
    assert task.data["ground_truth_donation"] == 0.25
    traits = task.data["persuader"]["traits"]
    assert (traits["age"], traits["sex"], traits["extrovert"]) == (34.0, "Male", 3.2)
    assert traits["care"] is traits["power"] is None, "not a number, and outside the scale"
    assert len(traits) == 32
    assert "WORKER" not in json.dumps(task.data)
    assert task.data["persuader"]["id"] != task.data["persuadee"]["id"]


def test_rows_without_a_dialogue_or_donation_are_read(tmp_path):
    (task,) = tasks(tmp_path, row(dialogue_id=None, ground_truth_donation=None))
    assert (task.id, task.data["ground_truth_donation"]) == ("p4g-41", None)


def test_the_split_of_a_row_counts(tmp_path):
    with pytest.raises(UsageError, match="holds no train tasks; it holds test"):
        tasks(tmp_path, row(), split="train")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"persuader_persona": "a man"}, "persuader_persona is 'a man'; give an object"),
        ({"persuadee_persona": {"age": "old"}}, "persuadee_persona: age: 'old' is not a number"),
        ({"ground_truth_donation": "much"}, "ground_truth_donation is 'much'; give dollars, or null"),
    ],
)
def test_a_wrong_row_is_named(changes, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        tasks(tmp_path, row(**changes))


def test_a_run_plays_such_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tasks(tmp_path, row())
    assert main(["--corpus", str(tmp_path), "--task_split", "test", "--max_convo_turns", "1"]) == 0


@pytest.mark.parametrize("write", [write_original, partial(write_convokit, new=True)])
def test_prepare_reads_the_corpus_and_not_the_task_files_beside_it(write, tmp_path, capsys):
    corpus = write(tmp_path / "corpus")
    whole = prepare(corpus, tmp_path / "out")
    assert main(["prepare", "--corpus", str(corpus), "--train-limit", "1", "--test-limit", "1"]) == 0
    assert f"{corpus / 'train_tasks.jsonl'}: 1 tasks" in capsys.readouterr().out, "the corpus's folder is the default"
    assert prepare(corpus, tmp_path / "again") == whole
    for name in ("train_tasks.jsonl", "test_tasks.jsonl"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_a_file_has_no_default_folder_to_write_to(tmp_path, capsys):
    tasks(tmp_path, row())
    assert main(["prepare", "--corpus", str(tmp_path / "test_tasks.jsonl")]) == 2
    assert "is not a folder, and output_dir is not given; give --output_dir" in capsys.readouterr().err


def test_the_whole_corpus_in_this_form_has_800_and_217_tasks(tmp_path):
    for name, dialogues in split(load_corpus(real_corpus()), "convokit").items():
        rows = [
            row(
                conversation_id=str(number),
                dialogue_id=each.id,
                split=name,
                persuader_id=each.persuader.id,
                persuadee_id=each.persuadee.id,
                persuader_persona=dict(each.persuader.traits),
                persuadee_persona=dict(each.persuadee.traits),
                ground_truth_donation=each.donation,
            )
            for number, each in enumerate(dialogues)
        ]
        (tmp_path / f"{name}_tasks.jsonl").write_text("\n".join(map(json.dumps, rows)))
    env = PersuasionEnv({"corpus": tmp_path})
    assert [len(env.tasks(name)) for name in ("train", "test")] == [800, 217]
    assert len({task.id for name in env.splits for task in env.tasks(name)}) == 1017
