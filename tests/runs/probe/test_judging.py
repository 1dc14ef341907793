"""A judge of known behaviour gives known numbers: 80 questions of two turns are 160 pairs of answers."""

import json
from pathlib import Path

import pytest
from probing import figures, probe, speaks, write_questions, write_references

from josh.cli import main

QUESTIONS = ("--questions", "questions.jsonl", "--judge", "judge")


@pytest.fixture(autouse=True)
def _questions(elsewhere):
    write_questions("questions.jsonl")


def always_first(_):
    return "I like the first one. [[A]]"


def oracle(texts):
    """Prefers the tuned answer wherever it stands."""
    return "[[A]]" if texts["A"] == "the tuned answer" else "[[B]]"


def refuses(_):
    return "I am sorry, but I cannot compare these."


def pairwise(endpoint, judge, *flags, **answers):
    url, server = endpoint(respond=speaks(judge, **answers))
    return judged(url, "--mode", "pairwise", *flags), server


def judged(url, *flags):
    return probe(url, *QUESTIONS, "--judge_base_url", url, *flags)


def test_a_judge_that_always_prefers_the_first_decides_nothing(endpoint):
    found, server = pairwise(endpoint, always_first)
    one = found["pairwise"]
    assert one["pairs"] == 160
    assert one["decided"] == 0
    assert one["counts"] == {"win": 0, "tie": 160, "loss": 0, "unreadable": 0, "missing": 0, "same": 0}
    assert (one["consistency"], one["consistency_pairs"]) == (0.0, 160)
    assert one["difference"]["value"] == 0.0
    assert found["usage"]["judge"]["calls"] == 320
    assert len(server.requests) == 320 + 2 * (64 + 160)


def test_an_oracle_decides_every_pair(endpoint):
    found, _ = pairwise(endpoint, oracle)
    one = found["pairwise"]
    assert one["decided"] == 160
    assert one["counts"] == {"win": 160, "tie": 0, "loss": 0, "unreadable": 0, "missing": 0, "same": 0}
    assert one["consistency"] == 1.0
    assert one["points"]["value"] == 1.0
    assert one["difference"] == {"value": 0.5, "low": 0.5, "high": 0.5, "n": 160, "people": 80}
    assert one["categories"]["math"] == {"win": 20, "tie": 0, "loss": 0, "unreadable": 0, "missing": 0, "same": 0}
    assert {turn: counts["win"] for turn, counts in one["turns"].items()} == {"1": 80, "2": 80}
    assert found["no_worse"] == "yes"


def test_an_oracle_against_the_model_says_no(endpoint, capsys):
    found, _ = pairwise(endpoint, lambda texts: {"[[A]]": "[[B]]", "[[B]]": "[[A]]"}[oracle(texts)])
    assert found["pairwise"]["counts"]["loss"] == 160
    assert found["pairwise"]["difference"]["value"] == -0.5
    assert found["items"]["no_worse"] == "yes"
    assert capsys.readouterr().out.splitlines()[-1] == "no worse than the base by more than 0.05: no"


def test_equal_models_are_160_ties_and_the_judge_is_not_asked(endpoint):
    url, server = endpoint(respond=speaks(always_first, model="one answer", baseline="one answer"))
    found = judged(url)
    one = found["pairwise"]
    assert one["counts"] == {"win": 0, "tie": 160, "loss": 0, "unreadable": 0, "missing": 0, "same": 160}
    assert one["difference"]["value"] == 0.0
    assert one["consistency"] is None
    assert found["items"]["difference"]["value"] == 0.0
    comparisons = [body for body in server.requests if "## Conversation with assistant A" in str(body)]
    assert comparisons == []
    assert found["usage"]["judge"]["calls"] == 160, "one score for both of two equal answers"


def test_a_judge_that_refuses_is_unreadable_and_gives_no_score(endpoint, capsys):
    url, _ = endpoint(respond=speaks(refuses))
    found = judged(url)
    one, scores = found["pairwise"], found["single"]
    assert one["counts"] == {"win": 0, "tie": 0, "loss": 0, "unreadable": 160, "missing": 0, "same": 0}
    assert one["points"]["value"] is one["difference"]["value"] is one["consistency"] is None
    assert (scores["pairs"], scores["unreadable"], scores["missing"]) == (0, 320, 0)
    assert scores["difference"]["value"] is scores["scores"]["model"]["value"] is None
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "no worse than the base by more than 0.05: too few questions to say"


def test_one_unreadable_order_makes_the_pair_unreadable(endpoint):
    found, _ = pairwise(endpoint, lambda texts: oracle(texts) if texts["A"] == "the tuned answer" else "hm")
    assert found["pairwise"]["counts"]["unreadable"] == 160


def test_neither_in_both_orders_is_a_tie_of_which_the_judge_is_sure(endpoint):
    found, _ = pairwise(endpoint, lambda _: "[[C]]")
    assert found["pairwise"]["counts"]["tie"] == 160
    assert (found["pairwise"]["decided"], found["pairwise"]["consistency"]) == (0, 1.0)


def test_scores_are_compared_answer_by_answer(endpoint):
    url, _ = endpoint(respond=speaks(lambda texts: "[[8]]" if texts[""] == "the tuned answer" else "[[6.5]]"))
    found = judged(url, "--mode", "single")
    one = found["single"]
    assert "pairwise" not in found
    assert one["scores"]["baseline"]["value"] == 6.5
    assert one["scores"]["model"]["value"] == 8.0
    assert one["difference"] == {"value": 1.5, "low": 1.5, "high": 1.5, "n": 160, "people": 80}
    assert one["share"]["value"] == pytest.approx(1.5 / 9)
    assert one["categories"]["coding"] == {"pairs": 20, "baseline": 6.5, "model": 8.0}
    assert one["length_correlation"] == pytest.approx(1.0)
    assert found["usage"]["judge"]["calls"] == 320


def test_a_judge_of_length_is_seen_in_the_correlation(endpoint):
    def longest(texts):
        return "[[A]]" if len(texts["A"]) > len(texts["B"]) else "[[B]]"

    def model(body):
        first = "first" in body["messages"][-1]["content"]
        return "short" if first else "a much longer answer than that of the base"

    says = speaks(longest)
    url, _ = endpoint(
        respond=lambda body: (
            model(body) if body["model"] == "tuned" and "Question" in body["messages"][-1]["content"] else says(body)
        )
    )
    found = judged(url, "--mode", "pairwise")["pairwise"]
    assert {turn: (one["win"], one["loss"]) for turn, one in found["turns"].items()} == {"1": (0, 80), "2": (80, 0)}
    assert found["length_correlation"] == pytest.approx(1.0)


def test_answers_have_the_temperature_of_their_category_and_both_models_the_same_seed(endpoint):
    _, server = pairwise(endpoint, always_first)
    asked = {}
    for body in server.requests:
        text = body["messages"][-1]["content"]
        if text.startswith("Question") and "first" in text:
            asked.setdefault(int(text.split()[1].rstrip(",")), {})[body["model"]] = body["temperature"], body["seed"]
    temperatures = [asked[number]["tuned"][0] for number in range(0, 80, 10)]
    assert temperatures == [0.7, 0.7, 0.0, 0.0, 0.0, 0.0, 0.1, 0.1]
    assert all(one["tuned"] == one["base"] for one in asked.values())
    judges = {body["temperature"] for body in server.requests if body["model"] == "judge"}
    assert judges == {0.0}


def test_the_judge_sees_right_answers_only_of_math_reasoning_and_coding(endpoint, capsys):
    write_references("answers.jsonl", range(81, 161))
    found, server = pairwise(endpoint, always_first, "--references", "answers.jsonl")
    seen = {}
    for body in server.requests:
        if body["model"] == "judge":
            text = body["messages"][1]["content"]
            number = int(text.partition("Question ")[2].split(",")[0])
            seen.setdefault(number // 10, set()).add(("the right answer 1" in text, "the right answer 2" in text))
    both_turns = {(True, False), (True, True)}
    assert [seen[one] == both_turns for one in range(8)] == [False, False, False, True, True, True, False, False]
    assert [seen[one] for one in (0, 1, 2, 6, 7)] == [{(False, False)}] * 5
    assert found["pairwise"]["without_reference"] == 0
    assert "without a right answer" not in capsys.readouterr().out


def test_missing_right_answers_are_counted(endpoint, capsys):
    write_references("answers.jsonl", range(111, 121))  # math only
    found, _ = pairwise(endpoint, always_first, "--references", "answers.jsonl")
    assert found["pairwise"]["without_reference"] == 40
    assert "40 pairs of math, reasoning or coding without a right answer" in capsys.readouterr().out


def test_a_second_turn_is_asked_and_judged_with_the_first(endpoint):
    _, server = pairwise(endpoint, always_first)
    later = [body for body in server.requests if "second turn" in body["messages"][-1]["content"]]
    assert {tuple(one["content"] for one in body["messages"][:2]) for body in later if body["model"] == "base"} == {
        (f"Question {number}, first turn?", "the base answer") for number in range(80)
    }
    verdicts = [body["messages"][1]["content"] for body in later if body["model"] == "judge"]
    assert all("first turn?" in text and text.count("the tuned answer") == 2 for text in verdicts)


def test_files_of_answers_and_verdicts_can_be_read(endpoint):
    pairwise(endpoint, oracle)
    (folder,) = Path("records").iterdir()
    rows = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
    assert len(rows) == 2 * (64 + 160)
    assert {row["right"] for row in rows if "item" in row} == {True}
    verdicts = [json.loads(line) for line in (folder / "judgments.jsonl").read_text().splitlines()]
    assert len(verdicts) == 320
    assert {(row["first"], row["verdict"]) for row in verdicts} == {("model", "[[A]]"), ("baseline", "[[B]]")}


def test_json_is_one_object_with_the_numbers(endpoint, capsys):
    found, _ = pairwise(endpoint, oracle, "--json")
    printed = json.loads(capsys.readouterr().out)
    assert {**found, "folder": printed["folder"]} == printed


def test_a_larger_margin_needs_no_new_call(endpoint, capsys):
    found, server = pairwise(endpoint, lambda texts: "[[C]]", wrong=("arithmetic",))
    assert found["items"]["difference"]["value"] == -0.25
    assert (found["no_worse"], found["items"]["no_worse"]) == ("no", "no")
    calls = len(server.requests)
    (folder,) = Path("records").iterdir()
    assert main(["probe", "--resume", str(folder), "--margin", "0.5"]) == 0
    assert len(server.requests) == calls
    assert figures()["items"]["no_worse"] == figures()["no_worse"] == "yes"
    assert capsys.readouterr().out.splitlines()[-1] == "no worse than the base by more than 0.5: yes"
