"""Rows that a model continues: which forms are read, and which are refused with their line."""

from pathlib import Path

import pytest
from suites import CTI, ITC, row, written

from josh.envs.debate.flipflop import FlipflopEnv
from josh.envs.debate.prompts import question_alone
from josh.envs.debate.rows import load_rows, messages_in
from josh.errors import UsageError
from josh.testing import EnvConformance


class TestFlipflopEnv(EnvConformance):
    def make(self):
        env = FlipflopEnv({"synthetic_tasks": 3})
        env.splits = ("train", "valid", "test")  # the other splits have the tasks of these again
        return env


SAID = [
    {"role": "user", "content": "Question: Who?"},
    {"role": "assistant", "content": "Final answer: Elba"},
    {"role": "user", "content": "No. Final answer: Malta"},
]
LLAMA = "<|begin_of_text|>" + "".join(
    f"<|start_header_id|>{each['role']}<|end_header_id|>\n\n{each['content']}<|eot_id|>" for each in SAID
)
CHATML = "".join(f"<|im_start|>{each['role']}\n{each['content']}<|im_end|>\n" for each in SAID)
MISTRAL = f"<s>[INST] {SAID[0]['content']} [/INST] {SAID[1]['content']}</s> [INST] {SAID[2]['content']} [/INST]"


@pytest.mark.parametrize(
    "text",
    [
        LLAMA,
        f"{LLAMA}<|start_header_id|>assistant<|end_header_id|>\n\n",
        CHATML,
        f"{CHATML}<|im_start|>assistant\n",
        MISTRAL,
    ],
)
def test_a_text_in_the_form_of_a_chat_template_is_read_as_its_messages(text):
    assert messages_in(text) == SAID


def test_a_text_without_a_template_has_no_messages():
    assert messages_in("Question: Who? Elba. No, Malta.") == []


def only(path):
    ((one,), _) = load_rows(Path(path))
    return one


@pytest.mark.parametrize("answers", [["Elba", "Malta"], ["Malta", "Elba"], None, [None, "Malta"]])
@pytest.mark.parametrize(("kind", "own", "theirs"), [(CTI, "elba", "malta"), (ITC, "malta", "elba")])
def test_the_type_says_whose_answer_is_right(tmp_path, monkeypatch, answers, kind, own, theirs):
    monkeypatch.chdir(tmp_path)
    found = only(written("rows.jsonl", [row("Who?", kind, "Elba", "Malta", parent_answers=answers)]))
    assert found.data["answers"] == {"agent": own, "user": theirs}


def test_the_model_continues_the_prompt_word_for_word(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = row("Who?", CTI, "Elba", "Malta", question_id="q7", part="test")
    found = only(written("rows.jsonl", [given]))
    assert found.data["prompt"] == given["prompt"]
    assert (found.question, found.question_id, found.part) == ("Who?", "q7", "test")


def test_possible_answers_are_those_that_the_prompt_lists(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = row("Who?\nPossible answers: Elba, Malta, Capri", CTI, "Elba", "Malta")
    assert only(written("rows.jsonl", [given])).data["choices"] == ["Elba", "Malta", "Capri"]
    given["gold_answers"] = ["Rome"]
    assert only(written("rows.jsonl", [given])).data["choices"] == []


def test_the_question_alone_is_the_prompt_without_the_partners_words():
    said = {"role": "user", "content": "Debate.\n\nQuestion: Who?\n\nYour partner says: Me. Final answer: me"}
    assert question_alone({"prompt": [said]}, "agent") == "Debate.\n\nQuestion: Who?"


def test_rows_of_one_question_are_related_and_rows_of_train_are_left_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kinds = [(CTI, "valid"), (ITC, "test"), (CTI, "train"), (None, "test")]
    rows = [row("Who?", kind, "Elba", "Malta", question_id="q7", part=part) for kind, part in kinds]
    env = FlipflopEnv({"env.rows": written("rows.jsonl", rows)})
    tasks = env.tasks("held_out")
    assert [task.id for task in tasks] == ["q7#1", "q7#2"]
    assert {env.people(task) for task in tasks} == {("q7",)}
    assert env.left_out == {"pairs without a type": 1}
    assert [len(env.tasks(split)) for split in ("valid", "test", "train", "all")] == [1, 1, 1, 3]


GOOD = row("Who?", CTI, "Elba", "Malta")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"type": "resist"}, "line 1 has the type 'resist', not flip_correct_to_incorrect"),
        ({"gold_answers": []}, "line 1 has no gold answer; give it as `gold_answers`"),
        ({"gold_answers": ["..."]}, "has no gold answer"),
        ({"gold_answers": 7}, "gold_answers is 7; give a list of texts"),
        ({"prompt": "Who? Elba."}, "a text without a chat template"),
        ({"prompt": None}, "the prompt is None"),
        ({"prompt": SAID[:2]}, "does not end with the partner's words"),
        ({"prompt": SAID[:1]}, "the model never speaks"),
        ({"prompt": [{"role": "user"}]}, "the prompt is"),
        ({"generation": 3}, "the generation is 3; give a text"),
    ],
)
def test_a_row_of_another_kind_is_refused_with_its_line(tmp_path, monkeypatch, change, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as refused:
        load_rows(Path(written("rows.jsonl", [{**GOOD, **change}])))
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "words"), [("", "has no rows"), ("3\n", "line 1 is 3"), ("{\n", "line 1 is not JSON")]
)
def test_a_file_without_rows_is_refused(tmp_path, text, words):
    (tmp_path / "rows.jsonl").write_text(text)
    with pytest.raises(UsageError, match=words):
        load_rows(tmp_path / "rows.jsonl")
