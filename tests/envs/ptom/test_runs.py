"""Runs of the world: searched, compared, by chat models over an endpoint, and rescored."""

import asyncio
import json

import pytest
from gaming import scenario_row, write_rows
from helping import episodes_in
from resuming import files, run_in, summary

from josh.agents.ptom.offline import AskFirst
from josh.cli import main
from josh.envs.ptom.env import PtomEnv
from josh.testing import AgentConformance, FixedModel, UserConformance
from josh.users.ptom.person import PtomOffline

TASK = PtomEnv({}).tasks("train")[0]


class TestAskFirst(AgentConformance):
    def make(self):
        agent = AskFirst()
        agent.start(TASK, PtomEnv({}), {})
        return agent

    def take_step(self, agent):
        return asyncio.run(agent.step(model=self.line(), env=PtomEnv({}).world(TASK)))


class TestPtomOffline(UserConformance):
    def make(self):
        user = PtomOffline()
        user.start(TASK, PtomEnv({}), {})
        return user

    def take_turn(self, user, agent):
        return asyncio.run(user.step(agent, model=FixedModel(), env=PtomEnv({}).world(TASK)))


def test_twenty_scenarios_are_searched_without_a_call_and_the_goal_is_acceptance(tmp_path):
    run = run_in(tmp_path / "runs", "--env", "ptom", "--josh", "--beam_size", "8")
    found = summary(run)
    assert {one["calls"] for one in found["usage"].values()} == {0}
    assert found["success_rate"] > 0.8
    golden = [json.loads(line) for line in (run / "training_examples.jsonl").read_text().splitlines()]
    texts = json.dumps(golden)
    assert "BELIEF STATE:" in texts
    assert "ACTION (ACT):" in texts
    other = run_in(tmp_path / "other", "--env", "ptom", "--josh", "--beam_size", "8", "--max_concurrency", "1")
    assert files(run) == files(other)


def test_asking_first_beats_recommending_at_once_by_more_than_its_interval(tmp_path, capsys):
    flags = ["--env", "ptom", "--agent", "ask_first", "--baseline", "offline", "--synthetic_tasks", "100"]
    flags += ["--baseline_agent", "recommend_at_once", "--no_references", "--rollouts", "1", "--json"]
    assert main(["evaluate", *flags, "--log_dir", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    first, second = found["results"]
    assert second["policy"] == "ask_first"
    assert second["difference"]["success_rate"]["low"] > 0.1
    assert set(second["groups"]) == {"condition", "natural option"}
    assert found["not_measured"] == {}
    assert second["metrics"]["preference_alignment_accuracy"]["value"] > 0.5
    assert first["metrics"]["satisfaction"]["value"] < second["metrics"]["satisfaction"]["value"]


def respond(body):
    """A person that accepts a recommendation, and a persuader with sections that asks and then recommends."""
    system, *rest = body["messages"]
    if "You have to choose between two options" in system["content"]:
        return "Fine. [ACCEPT]" if "recommend" in rest[-1]["content"] else "Cost, mostly."
    asked = "Cost, mostly." in json.dumps(rest)
    action = "ACTION (ACT):\nI recommend Option A. [ACCEPT]" if asked else "ACTION (ASK):\nWhat matters to you?"
    return f"BELIEF STATE:\n- cost: 0.9\n- comfort: 0.2\nConfidence: high\n\nREASONING:\nSecret plan.\n\n{action}"


@pytest.mark.parametrize("view", ["chat", "row"])
def test_chat_models_play_and_the_person_hears_the_actions_alone(tmp_path, endpoint, monkeypatch, view):
    url, server = endpoint(respond=respond)
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    path = write_rows(tmp_path / "s.jsonl", scenario_row())
    flags = ["--env", "ptom", "--scenarios", str(path), "--task_split", "all", "--agent.view", view]
    run = run_in(tmp_path / "runs", *flags, "--model", "p", "--user_model", "h")
    (episode,) = episodes_in(run)
    assert episode.rewards == (1.0,)
    (scores,) = episode.scores.values()
    assert (scores["preference_alignment_accuracy"], scores["missing_sections"]) == (1, 2)
    heard = [body["messages"] for body in server.requests if body["model"] == "h"]
    assert not any("Secret plan" in json.dumps(one) for one in heard)
    assert heard[-1][-1] == {"role": "user", "content": "I recommend Option A. (ACCEPT)"}
    assert [len(one) for one in heard] == [2, 4]
    asked = [body["messages"] for body in server.requests if body["model"] == "p"]
    assert [len(one) for one in asked] == ([2, 4] if view == "chat" else [2, 2])
    assert ("Secret plan" in json.dumps(asked[-1])) == (view == "chat")
    turns = [node.turn for node in episode.tree.nodes[1:] if node.speaker == "agent"]
    assert turns[0].actions[0][0] == "ASK"
    assert turns[0].actions[0][1]["belief"] == {"desires": {"cost": 0.9, "comfort": 0.2}, "confidence": "high"}


def test_a_model_that_says_nothing_aloud_loses_and_the_run_says_what_to_try(tmp_path, endpoint, monkeypatch, capsys):
    url, _ = endpoint(respond=lambda body: "REASONING:\nI think." if body["model"] == "p" else "I see.")
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    run = run_in(tmp_path / "runs", "--env", "ptom", "--model", "p", "--user_model", "h", "--synthetic_tasks", "1")
    (episode,) = episodes_in(run)
    assert episode.rewards == (0.0,)
    printed = " ".join(capsys.readouterr())
    assert "wrote no words under ACTION; give --agent persuader for a model" in " ".join(printed.split())


def test_a_run_is_rescored_and_shown(tmp_path, capsys):
    run = run_in(tmp_path / "runs", "--env", "ptom", "--synthetic_tasks", "5")
    assert main(["rescore", str(run), "--log_dir", str(tmp_path / "again")]) == 0
    (again,) = (path.parent for path in (tmp_path / "again").rglob("episodes.jsonl"))
    assert [one.scores for one in episodes_in(run)] == [one.scores for one in episodes_in(again)]
    capsys.readouterr()
    assert main(["show", str(run), "1"]) == 0
    assert "recommends A" in capsys.readouterr().out
