"""The made-up quiz, and the parts that its questions belong to."""

import re
from collections import Counter

import pytest

from josh.envs.debate.env import DebateEnv
from josh.envs.debate.quiz import SIZE, quiz_data, quiz_questions, quiz_size
from josh.errors import UsageError
from josh.seeds import part_of


def test_the_same_seed_gives_the_same_questions_and_another_seed_gives_others():
    once = quiz_questions(1, "train", 50)
    assert once == quiz_questions(1, "train", 50)
    assert once[:10] == quiz_questions(1, "train", 10)
    assert once != quiz_questions(2, "train", 50)


def test_the_parts_share_no_fact_with_any_seeds():
    train = {name for seed in range(3) for name, _ in quiz_questions(seed, "train", 2000)}
    held_out = {name for seed in range(3) for part in ("valid", "test") for name, _ in quiz_questions(seed, part, 1000)}
    assert not train & held_out


def test_a_question_offers_its_gold_answer_among_four_at_any_place():
    places = Counter()
    for _, data in quiz_questions(0, None, 500):
        assert len(data["choices"]) == len(set(data["choices"])) == 4
        places[data["choices"].index(data["gold"][0])] += 1
    assert min(places.values()) > 90


def test_all_questions_together_use_few_words():
    words = {
        word
        for fact in range(0, SIZE, 7)
        for text in [quiz_data(fact)["question"], *quiz_data(fact)["choices"]]
        for word in re.findall(r"\w+", text.lower())
    }
    assert len(words) < 150


def test_a_part_has_thousands_of_questions_and_says_how_many():
    assert len(quiz_questions(0, "valid", 4000)) == 4000
    with pytest.raises(UsageError, match=r"synthetic_tasks is 30000; the quiz has 19\d\d\d train questions"):
        quiz_questions(0, "train", 30000)


def test_a_made_up_split_has_as_many_tasks_as_asked_for():
    env = DebateEnv({"synthetic_tasks": 7, "seed": 3})
    for split in ("train", "valid", "test"):
        tasks = env.tasks(split)
        assert len(tasks) == 7
        assert {part_of(task.id) for task in tasks} == {split}
    assert len(env.tasks("all")) == 7


def test_seven_of_ten_names_are_for_training():
    parts = Counter(part_of(f"question {number}") for number in range(10_000))
    assert parts["train"] == pytest.approx(7000, abs=150)
    assert parts["valid"] == pytest.approx(1500, abs=120)


def test_every_question_of_the_quiz_is_in_one_part():
    sizes = {part: quiz_size(part) for part in ("train", "valid", "test")}
    assert sum(sizes.values()) == quiz_size(None) == SIZE
    for part, size in sizes.items():
        assert len(quiz_questions(0, part, size)) == size
