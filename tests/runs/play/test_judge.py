"""A run whose rewards ask a judge, and the same run scored again without a call to either speaker."""

import json
from pathlib import Path

import pytest

from josh.cli import main

pytestmark = pytest.mark.usefixtures("elsewhere")

POLITE = """
from josh import BaseRewards


class Polite(BaseRewards):
    async def score(self, task, conversation, *, judge):
        said = " ".join(message["content"] for message in conversation.messages)
        reply = await judge.reply([{"role": "user", "content": f"How polite, from 1 to 5? {said}"}])
        return {"polite": float(reply.text), "length": float(len(conversation.turns) - 1)}


class Nothing(Polite):
    def is_reward(self, agent_actions):
        return False, []
"""


def respond(body):
    """Both speakers say hello; the judge counts letters."""
    text = body["messages"][-1]["content"]
    return str(len(text) % 5 + 1) if text.startswith("How polite") else "Hello there. END_CONVERSATION"


def only(folder):
    (found,) = Path(folder).iterdir()
    return found


def lines(folder):
    return [json.loads(line) for line in (folder / "episodes.jsonl").read_text().splitlines()]


@pytest.fixture
def judged(endpoint):
    Path("polite.py").write_text(POLITE)
    url, server = endpoint(respond=respond)
    sides = ["--model", "m", "--base_url", url, "--user_model", "m", "--user_base_url", url]
    judge = ["--judge_model", "grader", "--judge_base_url", url, "--rewards", "./polite.py:Polite"]
    assert main([*sides, *judge, "--end_index", "3", "--max_convo_turns", "2", "--log_dir", "first"]) == 0
    return only("first"), server


def test_scores_stand_in_the_episodes_and_in_the_summary(judged):
    folder, server = judged
    asked = [body for body in server.requests if body["model"] == "grader"]
    assert len(asked) == 3
    assert {body["temperature"] for body in asked} == {0}
    episodes, summary = lines(folder), json.loads((folder / "summary.json").read_text())
    grades = [episode["scores"]["polite"] for episode in episodes]
    assert summary["scores"]["polite"] == sum(grades) / 3
    assert summary["usage"]["judge"]["calls"] == 3
    ends = [node["scores"] for episode in episodes for node in episode["nodes"] if "scores" in node]
    assert [scores["polite"] for scores in ends] == grades


def test_the_same_rewards_score_again_without_a_call(judged):
    folder, server = judged
    before = len(server.requests)
    assert main(["rescore", "--trust", str(folder), "--log_dir", "again"]) == 0
    assert len(server.requests) == before
    assert (only("again") / "episodes.jsonl").read_bytes() == (folder / "episodes.jsonl").read_bytes()


def test_other_rewards_ask_the_judge_alone_and_once(judged, capsys):
    folder, server = judged
    before = len(server.requests)
    assert main(["rescore", "--trust", str(folder), "--rewards", "./polite.py:Nothing", "--log_dir", "again"]) == 0
    assert len(server.requests) == before, "the judge has said all this before"
    changed = ["--rewards", "./polite.py:Polite", "--judge_model", "other"]
    assert main(["rescore", "--trust", str(folder), *changed, "--log_dir", "other"]) == 0
    new = server.requests[before:]
    assert [body["model"] for body in new] == ["other"] * 3
    again = only("other")
    assert main(["rescore", "--trust", str(again), "--log_dir", "third"]) == 0
    assert len(server.requests) == before + 3


def test_a_run_is_resumed_and_replayed_with_what_its_judge_said(judged):
    folder, server = judged
    before = len(server.requests)
    assert main(["replay", "--trust", str(folder), "--log_dir", "replayed"]) == 0
    (folder / "episodes.jsonl").write_text("")
    assert main(["--trust", "--resume", str(folder)]) == 0
    assert len(server.requests) == before
    assert len(lines(folder)) == 3


def test_an_evaluation_shows_scores(judged, capsys):
    folder, _ = judged
    url = json.loads((folder / "config.json").read_text())["settings"]["judge"]["base_url"]
    sides = ["--model", "m", "--base_url", url, "--user_model", "m", "--user_base_url", url]
    judge = ["--judge_model", "grader", "--judge_base_url", url, "--rewards", "./polite.py:Polite"]
    few = ["--end_index", "2", "--rollouts", "1", "--max_convo_turns", "2", "--no_references"]
    assert main(["evaluate", *sides, *judge, *few, "--log_dir", "evaluated"]) == 0
    out = capsys.readouterr().out
    assert "scores" in out
    assert "polite" in out
