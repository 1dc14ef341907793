"""`josh proactive eval` of chat models over an endpoint: who decides, and who writes the words."""

import json
from collections import Counter
from pathlib import Path

import pytest
from helping_models import kind, respond
from suites import values

from josh.cli import main

pytestmark = pytest.mark.usefixtures("elsewhere")
STATES = [
    {"id": f"q{number}", "query": query, "persona": "Novice-Learner", "task_uncertainty": clear, "needs": ["sorted"]}
    for number, (query, clear) in enumerate([("Sort it as usual.", 0.9), ("Sort it by price.", 0.2)])
]


@pytest.fixture
def models(endpoint, monkeypatch):
    url, server = endpoint(respond=respond)
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    Path("states.jsonl").write_text("\n".join(map(json.dumps, STATES)))
    return server


def evaluated(capsys, *flags):
    """The content of `evaluation.json`."""
    capsys.readouterr()
    assert main(["proactive", "eval", "--states", "states.jsonl", "--json", *flags]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def test_a_chat_model_decides_by_a_reply_and_writes_the_words_of_the_baselines_too(capsys, models):
    found = evaluated(capsys, "--base_model", "a")
    assert found["policies"] == ["a", "direct", "clarify_first", "threshold"]
    assert all(cell["scored"] == 2 for cell in found["results"])
    assert values(found, "a", "clarify", "success") == (0.5, 1)
    assert values(found, "direct", "clarify", "turns") == (0, 1)
    assert values(found, "threshold", "clarify")[0] == 0.5
    asked = Counter(map(kind, models.requests))
    assert asked["reply"] == 3  # the model's decisions: two first turns, and the one after an answer
    assert asked["labels"] == 0
    assert {body["model"] for body in models.requests} == {"a"}


def test_a_tuned_model_is_compared_with_its_base_that_is_asked_by_a_prompt(capsys, models):
    found = evaluated(capsys, "--model", "tuned", "--base_model", "a", "--agent.decide", "labels")
    assert found["policies"] == ["tuned", "direct", "clarify_first", "threshold", "prompt_only"]
    by_model = {
        name: Counter(kind(body) for body in models.requests if body["model"] == name) for name in ("tuned", "a")
    }
    assert by_model["tuned"]["labels"] == 3
    assert by_model["a"]["reply"] == 3
    assert not by_model["a"]["labels"]
    assert not by_model["tuned"]["reply"]


def test_an_evaluation_that_is_complete_asks_nothing_again(capsys, models):
    found = evaluated(capsys, "--base_model", "a")
    before = len(models.requests)
    assert main(["proactive", "eval", "--resume", found["folder"], "--output", "again.json"]) == 0
    assert len(models.requests) == before
    assert json.loads(Path("again.json").read_text())["summary"]["policy"] == "a"
