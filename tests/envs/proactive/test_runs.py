"""Runs of the proactive world: the same bytes however they are played, other weights without a call, wrong input."""

import json

import pytest
from helping import episodes_in
from resuming import files, run_in, summary
from sandboxes import any_sandbox

from josh.cli import main

MAINLINE = ["--env", "proactive", "--strategy", "mainline"]


def rewards_in(folder):
    return [tuple(episode.worth[leaf] for leaf in episode.reported) for episode in episodes_in(folder)]


def test_fifty_made_up_states_give_three_conversations_each_without_a_call(tmp_path):
    run = run_in(tmp_path / "runs", *MAINLINE, "--synthetic_tasks", "50")
    found = summary(run)
    assert {one["calls"] for one in found["usage"].values()} == {0}
    episodes = episodes_in(run)
    assert len(episodes) == 50
    assert {len(episode.reported) for episode in episodes} == {3}
    for episode in episodes:
        acted = [node.turn.facts["action"] for node in episode.tree.nodes if node.parent == 0 and node.depth == 1]
        assert acted[0] == acted[2] != acted[1]


def test_the_files_are_the_same_at_any_concurrency_and_after_an_interruption(tmp_path):
    flags = [*MAINLINE, "--synthetic_tasks", "12", "--strategy.decisions", "0"]
    one = run_in(tmp_path / "one", *flags, "--max_concurrency", "1")
    other = run_in(tmp_path / "other", *flags, "--max_concurrency", "8")
    assert files(one) == files(other)
    lines = (one / "episodes.jsonl").read_bytes().splitlines(keepends=True)
    (one / "episodes.jsonl").write_bytes(b"".join(lines[:5]) + lines[5][:40])
    assert main(["--resume", str(one)]) == 0
    assert files(one) == files(other)


def test_other_weights_need_no_call_and_give_the_rewards_of_a_run_with_them(tmp_path):
    flags = [*MAINLINE, "--synthetic_tasks", "20"]
    run = run_in(tmp_path / "runs", *flags)
    weights = ["--rewards.formula", "v2", "--rewards.w_interrupt", "0.5"]
    fresh = run_in(tmp_path / "fresh", *flags, *weights)
    assert main(["rescore", str(run), *weights, "--log_dir", str(tmp_path / "again")]) == 0
    (again,) = (path.parent for path in (tmp_path / "again").rglob("episodes.jsonl"))
    assert rewards_in(again) == rewards_in(fresh)
    assert [episode.pairs for episode in episodes_in(again)] == [episode.pairs for episode in episodes_in(fresh)]
    assert rewards_in(again) != rewards_in(run)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (['{"query": "x"}', '{"id": "a"}'], "states.jsonl line 2: query is None; give the user's request as a text"),
        (['{"query": "x", "domain": "art"}'], "states.jsonl line 1: domain is 'art'; give coding or planning"),
        (['{"query": "x", "persona": "Me"}'], "states.jsonl line 1: persona is 'Me'; give Novice-Learner"),
        (['{"query": "x"}', "{"], "states.jsonl line 2 is not JSON"),
        (['{"query": "x", "mbpp_tests": "assert ("}'], "states.jsonl line 1: mbpp_tests does not parse"),
        (['{"query": "x", "mbpp_tests": "assert f()"}'], "has tests, which run the code that a model wrote; give"),
    ],
)
def test_wrong_states_are_refused_in_one_line_and_nothing_is_written(tmp_path, capsys, rows, words):
    path = tmp_path / "states.jsonl"
    path.write_text("\n".join(rows))
    flags = ["--env.states", str(path), "--task_split", "all", "--log_dir", str(tmp_path / "runs")]
    assert main([*MAINLINE, *flags]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert words in line
    assert not list((tmp_path / "runs").glob("*/episodes.jsonl"))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--env.persona", "Nobody"], "persona is 'Nobody'; give Novice-Learner, Busy-Developer, Experienced-Engineer"),
        (["--agent.mainline_action", "Ask"], "mainline_action is 'Ask'; give Clarify or Execute"),
        (["--agent.decide", "labels"], "agent.decide is 'labels', but model is 'offline'; give --model"),
        (["--env.n_states", "3"], "n_states is 3, but the states are made up; give --synthetic_tasks"),
        (["--agent", "offline_debater"], "agent offline_debater needs tasks with a question"),
        (["--user", "offline_debater"], "user offline_debater needs tasks with a question"),
        (["--rewards.formula", "v3"], "formula is 'v3'; give v1 or v2"),
        (["--agent", "helper"], "agent 'helper' asks a chat model, but model is 'offline'; give --model"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(tmp_path, capsys, flags, words):
    assert main([*MAINLINE, "--log_dir", str(tmp_path / "runs"), *flags]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert words in line


@pytest.mark.parametrize("action", ["Clarify", "Execute"])
def test_the_action_of_the_main_line_can_be_given(tmp_path, action):
    given = ["--agent.mainline_action", action]
    run = run_in(tmp_path / "runs", *MAINLINE, "--synthetic_tasks", "6", *given)
    for line in (run / "episodes.jsonl").read_text().splitlines():
        nodes = json.loads(line)["nodes"]
        assert next(node["facts"]["action"] for node in nodes if node["parent"] == 0) == action
        assert nodes[1]["observed"]["by"] == "mainline_action"
        assert nodes[1]["actions"] == [[action]]


def test_code_can_be_graded_after_the_run(tmp_path):
    path = tmp_path / "states.jsonl"
    rows = [{"query": "Do it.", "mbpp_tests": f"assert work([{number}]) == [1]"} for number in (1, 2)]
    path.write_text("\n".join(map(json.dumps, rows)))
    flags = ["--env", "proactive", "--env.states", str(path), "--task_split", "all", "--agent", "direct"]
    run = run_in(tmp_path / "runs", *flags, "--allow_exec", "later")
    assert [episode.scores for episode in episodes_in(run)] == [{1: {"interrupt": 0.0}}] * 2
    allowed = ["--allow_exec", any_sandbox().tool, "--rewards.grades", str(tmp_path / "grades")]
    assert main(["rescore", str(run), *allowed, "--log_dir", str(tmp_path / "graded")]) == 0
    (graded,) = (tmp_path / "graded").iterdir()
    assert rewards_in(graded) == [(1.0,), (0.0,)]
    assert len(list((tmp_path / "grades").iterdir())) == 2
