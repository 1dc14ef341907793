"""Proactive help by chat models over an endpoint: what is sent, how actions are chosen, what is asked again."""

import json
from collections import Counter

import pytest
from helping import episodes_in
from helping_models import TEXTS, kind, respond
from resuming import run_in, summary

from josh.cli import main
from josh.envs.proactive.prompts import AS_JSON, ONE_WORD, SYSTEM


@pytest.fixture
def models(endpoint, monkeypatch):
    url, server = endpoint(respond=respond)
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    return server


def states_in(folder, *queries, domain="coding"):
    path = folder / "states.jsonl"
    rows = [
        {"id": f"q{number}", "query": query, "domain": domain, "persona": "Novice-Learner", "task_uncertainty": 0.9}
        for number, query in enumerate(queries)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return ["--env", "proactive", "--env.states", str(path), "--task_split", "all"]


def test_a_main_line_asks_once_for_each_turn_and_no_view_has_an_instruction(tmp_path, models):
    flags = states_in(tmp_path, "Sort it as usual.", "Sort it by price.")
    mine = ["--strategy", "mainline", "--model", "a", "--user_model", "b", "--seed", "10"]
    run = run_in(tmp_path / "runs", *flags, *mine)
    asked = Counter(map(kind, models.requests))
    reacted = Counter(
        node.turn.facts["reaction"]
        for episode in episodes_in(run)
        for node in episode.tree.nodes[1:]
        if node.speaker == "user"
    )
    assert asked == {"Clarify": 2, "Execute": 6, "answer": reacted["answered"]}, "the rule delivers at .9"
    assert sum(reacted.values()) == asked["Clarify"]
    text = (run / "episodes.jsonl").read_text() + (run / "training_examples.jsonl").read_text()
    assert not any(json.dumps(each)[1:-1] in text for each in TEXTS)
    first = next(body for body in models.requests if kind(body) == "Execute")["messages"]
    assert [message["role"] for message in first] == ["system", "user"]
    assert first[0]["content"].startswith(SYSTEM["coding"])
    before = len(models.requests)
    (run / "episodes.jsonl").write_bytes(b"")  # the journal alone brings the run back
    assert main(["--resume", str(run)]) == 0
    assert len(models.requests) == before


@pytest.mark.parametrize(("decide", "agent"), [("labels", "helper"), ("reply", "helper"), ("reply", "prompt_only")])
def test_an_action_is_chosen_by_the_probabilities_of_labels_or_by_a_structured_reply(tmp_path, models, decide, agent):
    flags = states_in(tmp_path, "Sort it as usual.", "Sort it by price.")
    how = ["--agent.decide", decide] if agent == "helper" else []
    run = run_in(tmp_path / "runs", *flags, "--model", "a", "--agent", agent, *how)
    acted = {
        episode.task.id: [(one["action"], one["by"]) for node in episode.tree.nodes if (one := node.turn.observed)
                          and node.speaker == "agent"]
        for episode in episodes_in(run)
    }  # fmt: skip
    assert acted["q0"][0] == ("Clarify", decide)
    assert acted["q0"][-1][0] == "Execute"
    assert acted["q1"] == [("Execute", decide)]
    deciding = [body for body in models.requests if kind(body) == decide]
    assert len(deciding) == 3
    assert {body["temperature"] for body in deciding} == {0}
    assert all(("[Domain] coding" in body["messages"][1]["content"]) for body in deciding)
    assert (AS_JSON if decide == "reply" else ONE_WORD) in deciding[0]["messages"][0]["content"]


def test_offline_words_follow_the_decisions_of_a_model(tmp_path, models):
    run = run_in(
        tmp_path / "runs", "--env", "proactive", "--synthetic_tasks", "4", "--agent", "offline_helper",
        "--agent.decide", "labels", "--model", "a",
    )  # fmt: skip
    assert set(map(kind, models.requests)) == {"labels"}
    assert summary(run)["scored"] == 4


def test_baselines_speak_with_a_model_where_there_is_one(tmp_path, models):
    flags = states_in(tmp_path, "Sort it as usual.")
    run_in(tmp_path / "runs", *flags, "--model", "a", "--agent", "direct")
    assert Counter(map(kind, models.requests)) == {"Execute": 1}


def test_an_endpoint_without_probabilities_is_named(tmp_path, endpoint, monkeypatch, capsys):
    url, _ = endpoint(respond=lambda body: "Clarify")
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    flags = [*states_in(tmp_path, "Sort it."), "--log_dir", str(tmp_path / "runs")]
    assert main([*flags, "--model", "a", "--agent.decide", "labels"]) != 0
    assert "gives no top_logprobs; give --agent.decide reply" in capsys.readouterr().err


def test_a_model_that_names_no_action_loses(tmp_path, endpoint, monkeypatch):
    url, _ = endpoint(respond=lambda body: "I would ask something.")
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    run = run_in(tmp_path / "runs", *states_in(tmp_path, "Sort it."), "--model", "a", "--agent.decide", "reply")
    (episode,) = episodes_in(run)
    assert episode.tree.nodes[1].turn.failure.startswith("named no action in JSON")
    assert [scores["reward"] for scores in episode.scores.values()] == [0.0]


def test_a_judge_marks_plans_and_is_not_asked_again_by_other_weights(tmp_path, models):
    flags = states_in(tmp_path, "Plan it by train.", domain="planning")
    given = ["--strategy", "mainline", "--model", "a", "--user_model", "b", "--judge_model", "c"]
    run = run_in(tmp_path / "runs", *flags, *given)
    marks = Counter(map(kind, models.requests))["mark"]
    assert marks > 0
    assert summary(run)["scores"]["task"] == pytest.approx(0.7)
    before = len(models.requests)
    assert main(["rescore", str(run), "--rewards.w1", "0.1", "--log_dir", str(tmp_path / "again")]) == 0
    assert len(models.requests) == before


def test_a_cut_connection_leaves_a_run_that_can_be_resumed(tmp_path, endpoint, monkeypatch, capsys):
    url, server = endpoint(respond=respond)
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    flags = [*states_in(tmp_path, "Sort it as usual.", "Sort it by price."), "--strategy", "mainline", "--model", "a"]
    whole = run_in(tmp_path / "whole", *flags)
    asked = len(server.requests)
    stopped = [*flags, "--log_dir", str(tmp_path / "stopped"), "--max_calls", "3"]
    main(stopped)
    (half,) = (tmp_path / "stopped").iterdir()
    assert main(["--resume", str(half), "--max_calls", "100"]) == 0
    assert len(server.requests) <= 2 * asked
    assert (half / "training_examples.jsonl").read_bytes() == (whole / "training_examples.jsonl").read_bytes()


def test_the_two_labels_of_a_local_model_are_compared(tmp_path, tiny_model):
    how = ["--agent", "offline_helper", "--agent.decide", "labels", "--model", f"hf:{tiny_model}"]
    run = run_in(tmp_path / "runs", "--env", "proactive", "--synthetic_tasks", "2", *how)
    first = [episode.tree.nodes[1].turn for episode in episodes_in(run)]
    assert {turn.observed["by"] for turn in first} == {"labels"}
    assert all(turn.observed["action"] in ("Clarify", "Execute") for turn in first)
