"""Files of questions, and TriviaQA through `datasets`: what they may look like, and what is refused."""

import gzip
import json
import os
import subprocess
import sys

import pytest
from places import ROOT

from josh.envs.debate.env import DebateEnv
from josh.envs.debate.questions import load_questions
from josh.errors import UsageError
from josh.seeds import part_of

PBT = {
    "question_id": "tc_1",
    "question": "Who sang it?",
    "answer": {"value": "The Beatles", "normalized_aliases": ["fab four", "beatles"]},
}
TRIVIA_QA = {
    "Data": [
        {
            "QuestionId": "tc_2",
            "QuestionSource": "http://www.triviacountry.com/",
            "Question": "Which river flows through Paris?",
            "Answer": {"Aliases": ["Seine", "The Seine"], "NormalizedAliases": ["seine"], "Value": "Seine"},
        }
    ],
    "Version": 1.0,
}


@pytest.fixture
def loaded(tmp_path):
    def load(text, name="questions.jsonl"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_questions(str(path))

    return load


def lines(*rows):
    return "\n".join(map(json.dumps, rows))


def test_lines_of_pbt_are_read(loaded):
    (question,) = loaded(lines(PBT))
    assert (question.id, question.text, question.gold) == ("tc_1", "Who sang it?", ("beatles", "fab four"))


def test_triviaqas_own_file_is_read(loaded):
    (question,) = loaded(json.dumps(TRIVIA_QA, indent=2), "web-train.json")
    assert (question.id, question.gold) == ("tc_2", ("seine",))


def test_rows_of_ones_own_need_a_question_and_an_answer(loaded):
    rows = [
        {"question": "Is it?", "answer": "Yes"},
        {"question": "How many?", "answers": ["5", "five"], "id": 7},
        {"question": "Which year?", "answer": 1912, "choices": ["1912", "1913"]},
    ]
    for found in (loaded(lines(*rows)), loaded(json.dumps(rows), "questions.json")):
        assert [question.gold for question in found] == [("yes",), ("5", "five"), ("1912",)]
        assert found[1].id == "7"
        assert found[2].choices == ("1912", "1913")
    assert len({question.id for question in loaded(lines(*rows))}) == 3


def test_a_byte_order_mark_and_gzip_are_no_hindrance(loaded):
    text = lines(PBT).encode()
    assert loaded(b"\xef\xbb\xbf" + text) == loaded(gzip.compress(text)) == loaded(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"has no questions; give JSON lines"),
        ("[]", r"has no questions"),
        ('{"question": "Who?"', r"line 1 is not JSON"),
        (lines(PBT) + "\nnonsense", r"line 2 is not JSON"),
        (lines(PBT, {"question": "Who?"}), r"line 2: the question has no gold answer; give a text as `answer`"),
        (lines({"question": "Who?", "answer": " ... "}), r"line 1: the question has no gold answer"),
        (lines({"question": "Who?", "answer": {"aliases": []}}), r"line 1: the question has no gold answer"),
        (lines({"question": "Who?", "answer": True}), r'line 1: the answer is true; give a text, such as "yes"'),
        (lines(PBT, PBT), r"line 2: the question 'tc_1' is in .* line 1 already; keep one"),
        (lines({"answer": "x"}, PBT), r"line 1 has no question; give a text as `question`"),
        (lines({"question": " ", "answer": "x"}), r"line 1 has no question"),
        (lines(5), r"line 1 is 5; give an object"),
        (lines({"questions": []}), r"has no list `Data`"),
        (lines({"prompt": "x", "chosen": "y"}), r"line 1 has no question; give a text as `question`"),
        (json.dumps({"Data": [{"Question": "Who?", "QuestionId": "a"}]}), r"question 1: the question has no gold"),
        (lines({"question": "Who?", "answer": "x", "choices": ["y", "z"]}), r"the choices lack the gold answer 'x'"),
        (lines({"question": "Who?", "answer": "x", "choices": ["X"]}), r"all choices are right; add a wrong one"),
        (lines({"question": "Who?", "answer": "x", "choices": "xy"}), r"choices is 'xy'; give a list of texts"),
        (lines({"question": "Who?", "answer": "x", "id": [1]}), r"the id is \[1\]; give a text"),
        (b"PK\x03\x04zip", r"it is a zip file; unpack it"),
        (b"\xff\xff\xff", r"it is not UTF-8"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line_with_its_place(loaded, text, message):
    with pytest.raises(UsageError, match=message) as error:
        loaded(text)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"cannot read .*none\.jsonl: No such file"):
        load_questions(str(tmp_path / "none.jsonl"))


def test_a_file_is_split_by_the_hash_of_the_ids(tmp_path):
    path = tmp_path / "questions.jsonl"
    path.write_text(lines(*({"id": f"q{n}", "question": f"What is {n}?", "answer": str(n)} for n in range(200))))
    env = DebateEnv({"env.questions": str(path)})
    parts = {split: [task.id for task in env.tasks(split)] for split in env.splits}
    assert sorted(parts["train"] + parts["valid"] + parts["test"]) == sorted(parts["all"])
    assert all(part_of(name) == "valid" for name in parts["valid"])
    assert parts["all"] == [f"q{n}" for n in range(200)]


def test_a_question_without_choices_borrows_wrong_answers_of_others(tmp_path):
    path = tmp_path / "questions.jsonl"
    for count in (1, 2, 50):
        path.write_text(lines(*({"id": f"q{n}", "question": f"What is {n}?", "answer": str(n)} for n in range(count))))
        for task in DebateEnv({"env.questions": str(path)}).tasks("all"):
            wrong = task.data["wrong"]
            assert len(set(wrong)) == 3
            assert not set(wrong) & set(task.data["gold"])
            assert count < 50 or all(answer.isdecimal() for answer in wrong)


def test_an_empty_part_of_a_small_file_says_what_to_do(tmp_path):
    name = next(f"q{n}" for n in range(100) if part_of(f"q{n}") == "train")
    path = tmp_path / "questions.jsonl"
    path.write_text(lines({"id": name, "question": "What?", "answer": "x"}))
    with pytest.raises(UsageError, match=r"none of the 1 question .* valid split, .*; give --task_split all"):
        DebateEnv({"env.questions": str(path)}).tasks("valid")


def through_datasets(tmp_path, module, given="datasets"):
    (tmp_path / "datasets.py").write_text(module)
    code = (
        "from josh.envs.debate.questions import load_questions\nfrom josh.errors import UsageError\n"
        f"try:\n    print([question.id for question in load_questions({given!r})])\n"
        "except UsageError as error:\n    print(error)"
    )
    paths = {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **paths}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_triviaqa_comes_through_datasets(tmp_path):
    module = f"def load_dataset(*names, split):\n    assert split == 'validation', split\n    return [{PBT!r}]\n"
    assert through_datasets(tmp_path, module, "datasets:validation") == "['tc_1']"


def test_datasets_is_named_where_it_is_missing_or_fails(tmp_path):
    assert "pip install datasets; or give a file" in through_datasets(tmp_path, "raise ImportError('none')\n")
    failing = "def load_dataset(*names, split):\n    raise ConnectionError('no\\nnetwork')\n"
    said = through_datasets(tmp_path, failing, "hf")
    assert said.startswith(
        "datasets cannot load mandarjoshi/trivia_qa rc.web.nocontext, split train: no network; give a file"
    )
    assert "\n" not in said
