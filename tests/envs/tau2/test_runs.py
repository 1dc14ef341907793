"""Runs on τ²-bench over the double: searched, evaluated, by chat models, continued, exported and imported again."""

import json

import pytest
from helping import episodes_in
from playing import lines
from resuming import files, run_in, summary
from tau2_installed import DOUBLE, installed

from josh import Conversation, Outcome
from josh.agents.function_calling import FunctionCalling
from josh.cli import main
from josh.envs.tau2.env import Tau2Env
from josh.envs.tau2.package import tau2
from josh.rewards.tau2 import Tau2Rewards
from josh.users.tau2.offline import Tau2Offline

HOUSE = ("--env", "tau2", "--env.domain", "mock")
KIOSK = ("--env", "tau2", "--env.domain", "retail", "--task_split", "base")


@pytest.fixture(autouse=True)
def double():
    with installed(DOUBLE):
        yield


def by_task(run):
    return {episode.task.id: episode for episode in episodes_in(run)}


def test_without_slips_every_task_that_can_be_decided_is_won_and_confirmed(tmp_path):
    for domain in (HOUSE, KIOSK):
        run = run_in(tmp_path / domain[3], *domain, "--rollouts", "1", "--agent.slip", "0")
        for episode in by_task(run).values():
            (leaf,) = episode.outcomes
            assert episode.outcomes[leaf] is Outcome.WON, episode.task.id
            assert episode.tree.nodes[leaf].turn.observed["confirmed"] is True


def test_a_search_is_the_same_at_any_concurrency_and_continues_where_it_was_cut(tmp_path, capsys):
    flags = [*KIOSK, "--josh", "--beam_size", "8"]
    one = run_in(tmp_path / "one", *flags, "--max_concurrency", "1")
    two = run_in(tmp_path / "two", *flags)
    assert files(one) == files(two)
    found = by_task(two)
    assert all(Outcome.WON in episode.outcomes.values() for episode in found.values())
    whole = files(two)
    episodes = two / "episodes.jsonl"
    episodes.write_bytes(b"".join(episodes.read_bytes().splitlines(keepends=True)[:2]))
    assert main(["--resume", str(two)]) == 0
    assert files(two) == whole
    assert main(["replay", str(two)]) == 0
    capsys.readouterr()
    assert main(["show", str(two), "refused"]) == 0
    assert "refund" in capsys.readouterr().out


def test_tasks_that_are_won_by_doing_nothing_are_no_training_rows(tmp_path, capsys):
    run = run_in(tmp_path / "base", *KIOSK, "--josh")
    assert by_task(run)["nothing"].no_rows == "won by doing nothing"
    assert "nothing" not in {row["task_id"] for row in lines(run / "training_examples.jsonl")}
    train = run_in(tmp_path / "train", "--env", "tau2", "--josh")
    assert "nothing" not in by_task(train)
    assert "1 won by doing nothing" in " ".join(capsys.readouterr().out.split())
    kept = run_in(tmp_path / "kept", "--env", "tau2", "--josh", "--env.keep_nothing")
    assert by_task(kept)["nothing"].no_rows == ""


def test_what_the_judge_of_the_benchmark_would_decide_is_said(tmp_path, capsys):
    run = run_in(tmp_path / "runs", *KIOSK, "--rollouts", "1", "--agent.slip", "0")
    scores = {name: one.metrics for name, one in by_task(run).items()}
    assert scores["cancel"]["left_to_judge"] == 1
    assert scores["pay"]["left_to_judge"] == 0


@pytest.mark.parametrize(
    ("goals", "task", "domain", "expected"),
    [
        ("writes", "refused", KIOSK, ["refund"]),
        ("all", "cancel", KIOSK, ["look_up", "cancel"]),
        ("communicate", "refused", KIOSK, ["1500"]),
        ("assertions", "light", HOUSE, ["is_lit"]),
        ("end_state", "refused", KIOSK, []),
    ],
)
def test_a_search_may_collapse_at_partial_goals_and_wins_by_the_end_state_alone(
    tmp_path, goals, task, domain, expected
):
    run = run_in(tmp_path / "runs", *domain, "--env.goals", goals, "--josh", "--agent.slip", "0", "--beam_size", "2")
    episode = by_task(run)[task]
    assert [
        goal if isinstance(goal, str) else goal.get("name") or goal.get("words") or goal["func_name"]
        for goal in episode.tree.goals
    ] == [*expected, "end_state"]
    assert summary(run)["success_rate"] == 1


def test_an_evaluation_has_intervals_and_pass_k(tmp_path, capsys):
    flags = [*KIOSK, "--rollouts", "4", "--temperature", "1", "--json", "--log_dir", str(tmp_path)]
    assert main(["evaluate", *flags]) == 0
    (policy,) = json.loads(capsys.readouterr().out)["results"]
    assert 0 < policy["success_rate"]["low"] < policy["success_rate"]["value"] < 1
    assert set(policy["pass_hat"]) >= {"1", "4"}


def respond(body):
    """An agent that turns the power on, and a user that presses the switch and leaves."""
    last, names = body["messages"][-1], {tool["function"]["name"] for tool in body.get("tools", ())}

    def call(name, **arguments):
        function = {"name": name, "arguments": json.dumps(arguments)}
        return {"tool_calls": [{"id": "x", "type": "function", "function": function}], "content": None}

    if "press" in names or "look" in names:
        if last["role"] == "tool":
            return "It is lit, thank you. ###STOP###" if last["content"] == "lit" else "It stays dark."
        return "There is no light." if "now" not in last["content"] else call("press")
    return "Press it now." if last["role"] == "tool" else call("power", on="true")


def test_models_play_both_sides_and_the_agent_never_sees_the_calls_of_the_user(tmp_path, endpoint, monkeypatch):
    url, server = endpoint(respond=respond)
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    run = run_in(tmp_path / "runs", *HOUSE, "--end_index", "1", "--model", "a", "--user_model", "u", "--josh")
    (episode,) = episodes_in(run)
    assert episode.success
    assert {one["model"] for one in server.requests} == {"a", "u"}
    asked = [body for body in server.requests if body["model"] == "a"]
    assert not any("press" in json.dumps(body["messages"]).replace("Press", "") for body in asked)
    assert all(
        {tool["function"]["name"] for tool in body["tools"]} == {"check_line", "power", "rename"} for body in asked
    )
    out = tmp_path / "sft.jsonl"
    assert main(["export", str(run), "--format", "sft", "--out", str(out)]) == 0
    (row, *_) = lines(out)
    assert [tool["function"]["name"] for tool in row["tools"]] == ["check_line", "power", "rename"]
    assert row["messages"][2] == {"role": "assistant", "content": "Hi! How can I help you today?"}
    assert "press" not in json.dumps(row["messages"]).replace("Press", "")


def test_results_are_written_in_the_form_of_the_benchmark_and_read_back(tmp_path, capsys):
    run = run_in(tmp_path / "runs", *KIOSK, "--rollouts", "3", "--temperature", "1")
    out = tmp_path / "results.json"
    assert main(["export", str(run), "--format", "tau2", "--out", str(out)]) == 0
    assert f"tau2 view --file {out}" in capsys.readouterr().out
    first = out.read_bytes()
    results = json.loads(first)
    assert [one["id"] for one in results["tasks"]] == ["cancel", "nothing", "refused", "pay"]
    assert sorted((one["task_id"], one["trial"]) for one in results["simulations"]) == sorted(
        (task, trial) for task in ("cancel", "nothing", "refused", "pay") for trial in range(3)
    )
    env = Tau2Env({"env.domain": "retail", "env.keep_nothing": True})
    judges = {task.id: env.world(task)._judge for task in env.tasks("base")}
    kinds = {"assistant": "AssistantMessage", "user": "UserMessage", "tool": "ToolMessage"}
    for one in results["simulations"]:
        judge, message = judges[one["task_id"]], tau2("data_model.message")
        messages = [getattr(message, kinds[row["role"]]).model_validate(row) for row in one["messages"]]
        build = tau2("registry").registry.get_env_constructor("retail")
        evaluator = tau2("evaluator.evaluator_env").EnvironmentEvaluator
        state = evaluator.calculate_reward(environment_constructor=build, task=judge.task, full_trajectory=messages)
        said = tau2("evaluator.evaluator_communicate").CommunicateEvaluator
        state = state.reward * said.calculate_reward(task=judge.task, full_trajectory=messages).reward
        if one["task_id"] != "pay":
            assert one["reward_info"]["reward"] == state
    assert main(["export", str(run), "--format", "tau2", "--out", str(out)]) == 0
    assert out.read_bytes() == first

    assert main(["import", str(out), "--format", "tau2", "--out", str(tmp_path / "imported")]) == 0
    imported = tmp_path / "imported"
    played = {(one.task.id, leaf): worth for one in episodes_in(run) for leaf, worth in one.worth.items()}
    again = [worth for one in episodes_in(imported) for worth in one.worth.values()]
    assert sorted(again) == sorted(played.values())
    sft = tmp_path / "sft.jsonl"
    assert main(["export", str(imported), "--format", "sft", "--out", str(sft)]) == 0
    row = lines(sft)[0]
    assert [tool["function"]["name"] for tool in row["tools"]] == ["look_up", "cancel", "refund", "pay_out"]
    back = tmp_path / "back.json"
    assert main(["export", str(imported), "--format", "tau2", "--out", str(back)]) == 0
    said = [[row.get("content") for row in one["messages"]] for one in json.loads(back.read_text())["simulations"]]
    assert sorted(said, key=str) == sorted(
        ([row.get("content") for row in one["messages"]] for one in results["simulations"]), key=str
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "is not results of tau2: it has no list `tasks`; give the file that tau2 wrote"),
        ('{"tasks": [], "simulations": []}', "is not results of tau2: it names no domain"),
        ("{", "is not JSON"),
    ],
)
def test_files_that_are_no_results_are_named(tmp_path, content, said, capsys):
    file = tmp_path / "results.json"
    file.write_text(content)
    assert main(["import", str(file), "--format", "tau2", "--out", str(tmp_path / "runs")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_another_file_is_never_overwritten(tmp_path, capsys):
    run = run_in(tmp_path / "runs", *HOUSE)
    out = tmp_path / "mine.json"
    out.write_text("{}")
    assert main(["export", str(run), "--format", "tau2", "--out", str(out)]) == 2
    assert "exists and is not results of josh" in capsys.readouterr().err
    assert out.read_text() == "{}"
    other = run_in(tmp_path / "other", "--synthetic_tasks", "1")
    assert main(["export", str(other), "--format", "tau2", "--out", str(tmp_path / "x.json")]) == 2
    assert "results of tau2 are about env 'tau2' alone" in capsys.readouterr().err


def test_a_conversation_is_spoken_from_outside_after_its_opening():
    env = Tau2Env({"env.domain": "mock"})
    task = next(task for task in env.tasks("base") if task.id == "go on")
    conversation = Conversation(env, task, user=Tau2Offline, agent=FunctionCalling, rewards=Tau2Rewards)
    assert [one["content"] for one in conversation.messages if one["content"]][-1] == "The line has power."
    function = {"name": "rename", "arguments": json.dumps({"room": "cellar"})}
    conversation.say({"content": "", "tool_calls": [{"id": "1", "type": "function", "function": function}]})
    reply, over = conversation.say("That is done. Is there anything else I can help you with?")
    assert (reply, over) == ("###STOP###", True)
    assert conversation.reward == 1
