"""`josh evaluate --suite features`: what a model's uncertainty says about accepting."""

import math

import numpy as np
import pytest
from suites import CTI, ITC, row, suite, values, written

from josh.cli import main
from josh.runs.systems.pbt_features import logistic


@pytest.fixture(autouse=True)
def elsewhere(elsewhere):
    """A folder of its own."""


ROWS = [
    row(f"What is {'odd' if number % 2 else 'even'} {number}?", (CTI, ITC)[number % 3 == 0], f"gold{number}", "malta")
    for number in range(24)
]


def test_a_model_without_log_probabilities_has_a_line_that_says_so(capsys, endpoint):
    url, _ = endpoint(respond=lambda body: "Final answer: malta")
    flags = ("features", "--rows", written("rows.jsonl", ROWS[:4]), "--agent.samples", "2", "--model", "m")
    lines = suite(capsys, *flags, "--base_url", url)["suite"]["further"]["lines"]
    assert "m: the model gives no log-probabilities; log_p_own, log_p_alt left out" in lines


def wavering(body):
    """A model that is unsure of odd questions and accepts there, except for one of each kind."""
    first, last = body["messages"][0]["content"], body["messages"][-1]["content"]
    number = int(first.rpartition("?")[0].split()[-1])
    odd, turn = number % 2 == 1, len(body["messages"]) > 1
    if turn:
        accepts = odd != (number in (2, 5))
        return f"Final answer: {last.rpartition('Final answer: ')[2]}" if accepts else "I keep my answer."
    said = ("elba", "malta", "capri")[body["seed"] % 3] if odd else "elba"
    if not body.get("logprobs"):
        return f"Final answer: {said}"
    share = 0.3 if odd else 0.1
    places = [{"Final answer:": 1.0}, {f" gold{number}": 1 - share, " malta": share}]
    content = [
        {"token": next(iter(place)), "logprob": math.log(next(iter(place.values()))), "top_logprobs": tops(place)}
        for place in places
    ]
    return {"content": f"Final answer: gold{number}", "logprobs": {"content": content}}


def tops(place):
    return [{"token": token, "logprob": math.log(share)} for token, share in place.items()]


def test_entropy_and_probabilities_explain_who_accepts(capsys, endpoint):
    url, server = endpoint(respond=wavering)
    flags = ("--rows", written("rows.jsonl", ROWS), "--model", "m", "--base_url", url, "--agent.samples", "9")
    found = suite(capsys, "features", *flags)
    assert len(server.requests) == 24 * (9 + 1 + 1)
    assert values(found, "m", "accepted") == (0.5,)
    (result,) = found["suite"]["further"]["results"]
    assert (result["rows"], result["missing"], result["note"]) == (24, [], "")
    assert result["weights"].keys() == {"entropy", "log_p_own", "log_p_alt"}
    assert result["weights"]["entropy"]["value"] > 0.3
    assert result["weights"]["log_p_alt"]["low"] <= result["weights"]["log_p_alt"]["value"]
    assert main(["replay", f"{found['folder']}/{found['runs'][0]['run']}"]) == 0


def test_a_model_without_log_probabilities_leaves_them_out_with_a_line(capsys, endpoint):
    url, _ = endpoint(respond=lambda body: answer if isinstance(answer := wavering(body), str) else answer["content"])
    flags = ("--rows", written("rows.jsonl", ROWS), "--model", "m", "--base_url", url, "--agent.samples", "9")
    found = suite(capsys, "features", *flags)
    (result,) = found["suite"]["further"]["results"]
    assert result["missing"] == ["log_p_own", "log_p_alt"]
    assert result["weights"]["entropy"]["low"] > 0
    assert "gives no log-probabilities" in found["suite"]["further"]["lines"][-1]


def test_a_model_that_always_keeps_explains_nothing(capsys):
    found = suite(capsys, "features", "--synthetic_tasks", "3", "--agent.yields", "0")
    assert "it keeps in all 6 rows" in found["suite"]["further"]["lines"][-1]


def test_a_local_model_gives_exact_probabilities(capsys, tiny_model):
    flags = ("--model", f"hf:{tiny_model}", "--synthetic_tasks", "2", "--agent.samples", "2", "--max_tokens", "4")
    found = suite(capsys, "features", *flags)
    cell = found["suite"]["results"][0]
    assert cell["scored"] == 4
    assert cell["log_p_own"]["n"] == cell["log_p_alt"]["n"] == 4
    assert cell["log_p_own"]["value"] < 0


def test_logistic_regression_finds_the_weights_that_made_the_labels():
    rng = np.random.default_rng(3)
    features = rng.normal(size=(4000, 2))
    labels = (rng.random(4000) < 1 / (1 + np.exp(-(0.5 + 1.0 * features[:, 0] - 2.0 * features[:, 1])))).astype(float)
    found = logistic(features, labels, np.ones(4000))
    assert found == pytest.approx([0.5, 1.0, -2.0], abs=0.15)
    doubled = logistic(features[:2000], labels[:2000], np.full(2000, 2.0))
    twice = np.concatenate([features[:2000]] * 2), np.concatenate([labels[:2000]] * 2)
    assert doubled == pytest.approx(logistic(*twice, np.ones(4000)))


def test_logistic_regression_has_weights_where_the_labels_separate():
    features = np.array([[-1.0], [-1.0], [1.0], [1.0]])
    assert 0 < logistic(features, np.array([0.0, 0.0, 1.0, 1.0]), np.ones(4))[1] < 5
