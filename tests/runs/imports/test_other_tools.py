"""Logs of inspect_ai, traces of verifiers, and PBT's trees."""

import json
from pathlib import Path

import pytest
from debates import published, worked_example
from importing import TALK, config_of, episodes_of, imported, messages_of, said, summary_of, written
from refusals import bad

from josh.cli import main
from josh.tree import internal_conversation, walk


@pytest.fixture(autouse=True)
def elsewhere(elsewhere):
    """Every test has a folder of its own."""


def counted(episode):
    """The conversation that counts, as the agent is trained on it."""
    (leaf,) = episode.reported
    fields = ("role", "content", "tool_calls", "tool_call_id")
    messages = internal_conversation(episode.tree, leaf)
    return [{key: each[key] for key in fields if each.get(key)} for each in messages]


@pytest.mark.parametrize(
    "flags",
    [("--josh", "--beam_size", "4"), ("--env", "toolwoz", "--josh", "--beam_size", "4"), ("--rollouts", "1")],
    ids=["a search", "a search with tools", "plain conversations"],
)
def test_josh_reads_the_logs_that_it_writes_for_inspect(flags):
    assert main(["run", "--end_index", "4", "--log_dir", "rec", *flags]) == 0
    (played,) = Path("rec").iterdir()
    assert main(["export", str(played), "--format", "inspect", "--out", "log.json"]) == 0
    env = flags[1] if flags[0] == "--env" else "persuasion"
    found, before = imported("log.json", "inspect", "--env", env), episodes_of(played)
    assert [one.task.data for one in found] == [one.task.data for one in before]
    assert [one.reward for one in found] == [one.reward for one in before]
    assert [one.success for one in found] == [one.success for one in before]
    assert list(map(counted, found)) == list(map(counted, before))
    assert summary_of("run")["average_reward"] == summary_of(played)["average_reward"]


def test_a_sample_of_another_log_has_its_first_score_as_reward():
    sample = {
        "id": 3,
        "epoch": 1,
        "input": "x",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi."}]}, *TALK[1:2]],
        "scores": {"match": {"value": "C"}, "other": {"value": 0}},
        "metadata": {"topic": "food"},
    }
    failed = {"id": 4, "messages": TALK, "error": {"message": "timeout"}}
    log = {
        "version": 2,
        "eval": {"packages": {"inspect_ai": "0.3"}},
        "samples": [sample, failed, {**sample, "epoch": 2}],
    }
    Path("log.json").write_text(json.dumps(log))
    first, second = imported("log.json", "inspect")
    assert (first.task.id, first.reward, first.task.data) == ("3", 1.0, {"topic": "food"})
    assert second.task.id == "3-2"
    assert config_of("run")["left_out"] == {"that ended with an error": 1}


def trace(*nodes, **more):
    """A trace: messages with the index of their parent."""
    made = [{"message": message, **({} if parent is None else {"parent": parent})} for parent, message in nodes]
    return {"nodes": made, **more}


def test_a_trace_of_verifiers_is_the_path_to_its_last_node():
    rewards = {"donation": {"score": 1.5}, "style": {"score": 1.0, "weight": -0.5}}
    call = {"id": "c", "type": "function", "name": "find", "arguments": "{}"}
    nodes = [
        (None, said("system", "Book.")),
        (0, said("user", "Hi.")),
        (1, said("assistant", "Dropped.")),
        (1, said("assistant", None, tool_calls=[call])),
        (3, said("tool", "2", tool_call_id="c")),
        (4, said("assistant", "Two.")),
    ]
    task = {"type": "T", "key": "k", "data": {"idx": 0, "id": "t1", "prompt": "x", "level": 2}}
    rows = [
        {"id": "e", "traces": [trace(*nodes, rewards=rewards, task=task, tools=[{"name": "find", "parameters": {}}])]},
        {"id": "f", "traces": [trace(*nodes, rewards={"donation": None}), trace(*nodes, errors=[{"type": "X"}])]},
        {"example_id": 5, "prompt": TALK[:1], "completion": TALK[1:], "reward": 0.0, "task": "default"},
    ]
    first, second, third = imported(written("traces.jsonl", *rows), "verifiers")
    assert messages_of(first) == [("user", "Hi."), ("assistant", "Two.")]
    assert (first.task.id, first.reward, first.task.data) == ("t1", 1.0, {"idx": 0, "id": "t1", "level": 2})
    assert first.tools == ({"type": "function", "function": {"name": "find", "parameters": {}}},)
    assert second.unrated
    assert (third.task.id, third.reward) == ("5", 0.0)
    left_out = {"branches of a trace beside its last one": 2, "that ended with an error": 1}
    assert config_of("run")["left_out"] == left_out


def test_a_trace_of_joshs_own_environment_has_its_task():
    data = {"question": "q", "gold": ["a"], "choices": []}
    task = {"data": {"josh_id": "q-7", "data": data}}
    row = trace((None, said("user", "Hi.")), (0, said("assistant", "A.")), task=task, rewards={"r": {"score": 1}})
    (one,) = imported(written("traces.jsonl", row), "verifiers", "--env", "debate")
    assert (one.task.id, one.task.data) == ("q-7", data)


def test_pbts_trees_stay_trees_of_debates():
    lines = [published(worked_example(f"q{number}"), swapped=False) for number in (1, 2)]
    Path("trees.jsonl").write_text(
        "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
    )
    found = imported("trees.jsonl", "pbt")
    assert [one.task.id for one in found] == ["q1", "q2"]
    assert all(len(one.outcomes) > 1 for one in found)
    assert all(len(walk(one.tree, leaf)) > 2 for one in found for leaf in one.outcomes)
    assert config_of("run")["settings"]["env"]["name"] == "debate"
    assert main(["export", "run", "--label", "balanced", "--format", "dpo", "--out", "rows.jsonl"]) == 0


@pytest.mark.parametrize(
    ("form", "text", "error"),
    [
        ("inspect", "{", "x is not JSON"),
        ("inspect", "[]", "x is not a log of inspect_ai: it has no list `samples`"),
        ("inspect", '{"samples": [5]}', "x sample 1 has no list of messages"),
        (
            "inspect",
            '{"samples": [{"messages": [{"role": "assistant", "content": "a"}], "scores": {"a": {"value": [1]}}}]}',
            "x sample 1: its score 'a' is [1]; give a number, or C, P, I or N",
        ),
        ("verifiers", '{"a": 1}', "x line 1 has neither traces nor a prompt and a completion"),
        ("verifiers", '{"nodes": [1]}', "x line 1: its nodes are [1]; give a list of objects with a message"),
        ("verifiers", '{"nodes": [{"message": {}, "parent": 0}]}', "x line 1: node 0 has the parent 0; a parent comes"),
        (
            "verifiers",
            '{"nodes": [{"message": {"role": "assistant", "content": "a"}}], "rewards": {"r": "x"}}',
            "x line 1: its reward 'r' is 'x'; give a score and a weight",
        ),
        ("pbt", '{"data": 1}', "x line 1 is not a tree of PBT: it has no list `data`"),
    ],
)
def test_other_files_are_refused(capsys, form, text, error):
    Path("x").write_text(text)
    assert error in bad(capsys, "import", "x", "--format", form, "--out", "run")


def test_a_packed_log_is_refused_with_the_command_that_unpacks_it(capsys):
    Path("log.eval").write_bytes(b"PK")
    error = bad(capsys, "import", "log.eval", "--format", "inspect", "--out", "run")
    assert "inspect log convert --to json" in error


def game(name, success, *, last=True):
    """A game of planning theory of mind, of two turns."""
    thought = {
        "belief_state": {"target_desires": {"cost": 0.5}, "confidence_level": "low", "information_entropy": 1.58},
        "reasoning": "They may care about money.",
        "counterfactual_analysis": {"ASK": {"p_success": 0.7, "reasoning": "it helps"}},
    }
    first = {"turn": 1, **thought, "action_type": "ASK", "action": "What matters to you?", "response": "The price."}
    second = {
        "turn": 2,
        "action_type": "ACT",
        "action": "I recommend Option A.",
        **({"response": "Fine."} if last else {}),
    }
    return {
        "game_id": name,
        "scenario_id": "s1",
        "scenario": "vacation",
        "condition": "HIDDEN",
        "target_preferences": {"true_preferences": ["cost"], "preference_strength": {"cost": 0.9}},
        "available_facts": [{"id": "f1", "content": "A costs less.", "favors": "A", "dimension": "cost"}],
        "success": success,
        "trajectory": [first, second],
    }


def test_games_of_planning_theory_of_mind_have_their_sections_in_the_training_view():
    won, lost = imported(written("games.jsonl", game("g1", True), game("g2", False, last=False)), "ptom")
    assert [(one.task.id, one.reward, one.success) for one in (won, lost)] == [("g1", 1.0, 1.0), ("g2", 0.0, 0.0)]
    assert messages_of(won)[:2] == [("assistant", "What matters to you?"), ("user", "The price.")]
    assert (len(won.tree.nodes), len(lost.tree.nodes)) == (5, 4)
    kind, thought = won.tree.nodes[1].turn.actions[0]
    assert kind == "ASK"
    assert thought["belief"]["desires"] == {"cost": 0.5}
    assert thought["counterfactuals"] == {"ASK": 0.7}
    system, first, *_ = internal_conversation(won.tree, 4)
    assert "BELIEF STATE" in system["content"]
    assert first["content"].startswith("BELIEF STATE:\n- cost: 0.50")
    assert main(["export", "run", "--format", "sft", "--out", "sft.jsonl"]) == 0
    assert main(["show", "run", "1"]) == 0


def test_games_are_held_out_by_their_scenario(capsys):
    imported(written("games.jsonl", game("g1", True)), "ptom")
    row = {key: value for key, value in game("x", True).items() if key not in ("game_id", "trajectory", "success")}
    flags = ("--env", "ptom", "--scenarios", written("s.jsonl", row), "--task_split", "all")
    assert main(["evaluate", *flags, "--trained_on", "run", "--no_references", "--log_dir", "ev"]) == 2
    assert "not held out" in capsys.readouterr().err


def test_games_make_no_pairs(capsys):
    imported(written("games.jsonl", game("g1", True)), "ptom")
    capsys.readouterr()
    assert "they make no pairs" in bad(capsys, "export", "run", "--format", "dpo", "--out", "rows.jsonl")
