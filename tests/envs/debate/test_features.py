"""Features of a turn: the entropy of sampled answers, and probabilities of answers from the likeliest tokens."""

import math

import pytest

from josh.envs.debate.features import entropy, log_probability

DATA = {"question": "Where was he born?", "gold": ["ajaccio", "corsica"], "choices": []}


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (["Ajaccio"] * 4, 0),
        (["Ajaccio", "Corsica", "the Ajaccio.", "CORSICA"], 0),
        (["Ajaccio", "Paris"] * 2, math.log(2)),
        (["Ajaccio", "Paris", "Rome", "Elba"], math.log(4)),
        (["Ajaccio"], None),
    ],
)
def test_names_of_the_right_answer_count_as_one(answers, expected):
    texts = [f"Final answer: {answer}" for answer in answers]
    assert entropy([*texts, "Well."], DATA) == (None if expected is None else pytest.approx(expected))


def tokens(*places):
    """Places of a reply: the sampled token first, with the probabilities of others."""
    return [{token: math.log(share) for token, share in place.items()} for place in places]


REPLY = tokens(
    {"Final": 1.0},
    {" answer": 1.0},
    {":": 1.0},
    {" Aj": 0.5, " Par": 0.25, " aj": 0.125, " Rome": 0.0625},
    {"accio": 0.8, "ax": 0.1},
    {".": 1.0},
)


@pytest.mark.parametrize(
    ("answer", "probability"),
    [("ajaccio", 0.625 * 0.8), ("paris", 0.25), ("rome", 0.0625), ("ajax", 0.625 * 0.1)],
)
def test_an_answer_is_followed_as_long_as_the_reply_has_it(answer, probability):
    assert log_probability(answer, REPLY) == pytest.approx(math.log(probability), abs=1e-6)


def test_an_answer_that_is_not_among_the_likeliest_tokens_has_no_probability():
    assert log_probability("lyon", REPLY) is None
    assert log_probability("paris", None) is None
    assert log_probability("paris", REPLY[:3]) is None


def test_a_reply_without_the_words_before_the_answer_is_read_from_its_beginning():
    assert log_probability("rome", tokens({"Par": 0.5, "Rome": 0.5})) == pytest.approx(math.log(0.5), abs=1e-6)
