"""The numbers of a probe on made-up verdicts, where they can be computed by hand."""

from math import log

import pytest

from josh.runs.intervals import Estimate, mean
from josh.runs.probe.figures import (
    correlation,
    drift_figures,
    item_figures,
    no_worse,
    pairwise_figures,
    single_figures,
    whole_answer,
)
from josh.runs.probe.judge import choice_in, pairwise_request, score_in, single_request
from josh.runs.probe.judging import Pair
from josh.runs.probe.questions import Question
from josh.runs.train.monitor import distinct

YES, NO, TOO_FEW = "yes", "no", "too few questions to say"


@pytest.mark.parametrize(
    ("low", "high", "people", "answer"),
    [
        (0.0, 0.0, 60, YES),
        (-0.05, 0.2, 60, YES),
        (0.0, 0.0, 59, TOO_FEW),
        (-0.051, 0.2, 500, TOO_FEW),
        (-0.2, -0.05, 500, TOO_FEW),
        (-0.2, -0.051, 10, NO),
    ],
)
def test_no_worse_is_said_by_the_whole_interval(low, high, people, answer):
    assert no_worse(Estimate((low + high) / 2, low, high, people, people), 0.05)[0] == answer


@pytest.mark.parametrize(
    ("estimate", "why"),
    [
        (Estimate(None, None, None, 0, 0), "there is nothing to compare"),
        (Estimate(0.0, None, None, 2, 1), "one question has no interval; 60 are needed"),
        (Estimate(0.0, 0.0, 0.0, 9, 9), "9 questions, and a loss of 0.05 can be seen with 60 or more"),
        (Estimate(0.0, -0.1, 0.1, 90, 90), "a loss of 0.05 is inside the interval"),
    ],
)
def test_too_few_has_a_reason(estimate, why):
    assert no_worse(estimate, 0.05) == (TOO_FEW, why)


def test_the_margin_sets_the_number_of_questions():
    assert no_worse(Estimate(0.0, 0.0, 0.0, 30, 30), 0.1)[0] == YES
    assert no_worse(Estimate(0.0, 0.0, 0.0, 29, 29), 0.1)[0] == TOO_FEW


def test_one_no_is_no_and_yes_needs_all():
    assert whole_answer({"items": YES, "pairwise": YES}) == YES
    assert whole_answer({"items": YES, "pairwise": TOO_FEW}) == TOO_FEW
    assert whole_answer({"items": NO, "pairwise": TOO_FEW}) == NO
    assert whole_answer({}) == TOO_FEW


def test_items_are_paired_and_unanswered_ones_left_out():
    kinds = ["a"] * 4 + ["b"] * 4
    found = item_figures(
        kinds, [True, True, True, None, True, False, False, True], [True, False, False, True] * 2, 0.05
    )
    assert found["items"] == 7
    assert (found["lost"], found["gained"]) == (2, 0)
    assert found["passed"]["baseline"]["value"] == pytest.approx(5 / 7)
    assert found["passed"]["model"]["value"] == pytest.approx(3 / 7)
    assert found["difference"]["value"] == pytest.approx(-2 / 7)
    assert found["mcnemar"] == 0.5
    assert found["kinds"] == {
        "a": {"items": 3, "baseline": 3.0, "model": 1.0},
        "b": {"items": 4, "baseline": 2.0, "model": 2.0},
    }


def test_a_baseline_that_passes_nothing_has_nothing_to_lose():
    found = item_figures(["a"] * 100, [False] * 100, [False] * 100, 0.05)
    assert found["no_worse"] == TOO_FEW
    assert found["why"] == "the baseline passes 0 of 100, so it has little to lose"
    assert item_figures(["a"] * 100, [True] * 100, [True] * 100, 0.05)["no_worse"] == YES


def pair(question, outcome, consistent=True, turn=1, lengths=(10, 20), **rest):
    return Pair(str(question), "math", turn, outcome, consistent, lengths=lengths, **rest)


def test_points_are_clustered_by_question():
    outcomes = ["win", "win", "tie", "loss"]
    pairs = [pair(number, outcome, turn=turn) for number, outcome in enumerate(outcomes) for turn in (1, 2)]
    found = pairwise_figures(pairs, 0.05)
    assert found["points"]["value"] == pytest.approx(0.625)
    assert (found["points"]["n"], found["points"]["people"]) == (8, 4)
    assert found["difference"]["value"] == pytest.approx(0.125)
    points = [1.0, 1.0, 0.5, 0.0]
    alone = mean([one - 0.5 for one in points for _ in range(2)], [number for number in range(4) for _ in range(2)])
    assert found["difference"]["low"] == alone.low


def test_unreadable_and_missing_pairs_are_in_no_mean():
    pairs = [pair(1, "win"), pair(2, "unreadable", None), pair(3, "missing", None), pair(4, "tie", False)]
    found = pairwise_figures(pairs, 0.05)
    assert found["points"] == {**found["points"], "value": 0.75, "n": 2}
    assert (found["consistency"], found["consistency_pairs"]) == (0.5, 2)
    assert found["counts"] == {"win": 1, "tie": 1, "loss": 0, "unreadable": 1, "missing": 1, "same": 0}


def test_scores_are_a_share_of_the_scale():
    pairs = [
        Pair("1", "writing", 1, scores=(4.0, 8.5), lengths=(10, 30)),
        Pair("2", "writing", 1, scores=(6.0, None), unreadable_scores=1),
        Pair("3", "writing", 1, scores=(None, None)),
    ]
    found = single_figures(pairs, 0.05)
    assert (found["pairs"], found["unreadable"], found["missing"]) == (1, 1, 1)
    assert found["difference"]["value"] == 4.5
    assert found["share"]["value"] == 0.5


def test_correlation():
    assert correlation([1, 2, 3], [2, 4, 6]) == pytest.approx(1.0)
    assert correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1.0)
    assert correlation([1, 1, 1], [1, 2, 3]) is None
    assert correlation([1], [1]) is None


def test_drift_is_the_difference_in_nats_of_the_same_tokens():
    half, quarter = log(0.5), log(0.25)
    base = [(half, half), (half,), None, ()]
    model = [(quarter, half), (quarter,), None, ()]
    found = drift_figures(base, model, {"baseline": [[1, 2, 1, 2]], "model": [[7, 7, 7, 7], [1, 2]]}, distinct)
    assert (found["replies"], found["tokens"]) == (2, 3)
    assert found["nats"]["baseline"]["value"] == pytest.approx(log(2))
    assert found["drift"]["value"] == pytest.approx(2 * log(2) / 3)
    assert found["different_tokens"] == {"baseline": 0.5, "model": pytest.approx((0.25 + 1) / 2)}
    assert found["different_pairs"] == {"baseline": pytest.approx(2 / 3), "model": pytest.approx((1 / 3 + 1) / 2)}


@pytest.mark.parametrize(
    ("text", "score"),
    [("[[7]]", 7.0), ("so: [[ 7.5 ]].", 7.5), ("[[10]] ... [[10]]", 10.0), ("[[11]]", None), ("[[0]]", None),
     ("[[7]] or [[8]]", None), ("7", None), ("[7]", None), ("[[seven]]", None), ("", None)],
)  # fmt: skip
def test_a_score_is_read_exactly(text, score):
    assert score_in(text) == score


@pytest.mark.parametrize(
    ("text", "choice"),
    [("[[A]]", "A"), ("I take [[ B ]].", "B"), ("[[C]] and [[C]]", "C"), ("[[A]] not [[B]]", ""), ("A", ""),
     ("[A]", ""), ("[[D]]", ""), ("[[tie]]", ""), ("", "")],
)  # fmt: skip
def test_a_choice_is_read_exactly(text, choice):
    assert choice_in(text) == choice


def test_the_judge_sees_both_conversations_in_the_given_order():
    question = Question("1", "math", ("What is 2 + 2?", "And 3 + 3?"), ("4", "6"))
    system, user = pairwise_request(question, ["four", "six"], ["five", "seven"])
    assert system["role"] == "system" and "a right answer" in system["content"]
    texts = ["## A right answer", "What is 2 + 2?", "### Right answer\n4", "### Right answer\n6", "assistant A", "four",
             "six", "assistant B", "five", "seven"]  # fmt: skip
    places = [user["content"].index(text) for text in texts]
    assert places == sorted(places)


def test_the_judge_of_a_first_turn_does_not_see_the_second():
    question = Question("1", "writing", ("First?", "Second?"), ("one", "two"))
    system, user = single_request(question, ["hello"])
    assert "right answer" not in system["content"] + user["content"]
    assert "Second?" not in user["content"]
    assert user["content"].endswith("### Assistant\nhello")


def test_a_reference_needs_all_turns_up_to_the_judged_one():
    question = Question("1", "math", ("a", "b"), ("one", ""))
    assert (question.reference(1), question.reference(2)) == (("one",), ())
