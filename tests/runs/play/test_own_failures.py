"""What an agent does wrong by itself counts: silence, words nobody can read, a conversation that outgrows its model."""

import json
from pathlib import Path

import pytest
from frank_server import FrankServer, too_long
from playing import lines, only_run

from josh.cli import main

pytestmark = pytest.mark.usefixtures("elsewhere")

ASK = "Would you give something?"
TALK = ("--synthetic_tasks", "4", "--max_convo_turns", "3", "--max_concurrency", "2")


def played(endpoint, say, *flags, code=0):
    """Plays made-up persuasion tasks against an endpoint; returns the run's folder, its summary and the server."""
    url, server = endpoint(kind=FrankServer, say=say)
    user = ("--user_base_url", url) if "--user_model" in flags else ()
    assert main(["--model", "m", "--base_url", url, *user, *TALK, *flags]) == code
    folder = only_run()
    return folder, json.loads((folder / "summary.json").read_text()), server


def turns(folder, speaker="agent"):
    return [node for row in lines(folder / "episodes.jsonl") for node in row["nodes"][1:] if node["speaker"] == speaker]


def silent(body):
    return {"content": "", "finish_reason": "length"}


NO_WORDS = (
    "its replies hold no words: if it only thinks, raise --max_tokens, or turn thinking off by --extra_body; else try "
    "another model or server"
)


@pytest.mark.parametrize(
    ("say", "failure"),
    [
        (silent, "said nothing, because every reply ended by length; raise --max_tokens"),
        (lambda body: "", "said nothing"),
        (lambda body: {"content": None}, "said nothing"),
        (lambda body: "<think>They are poor.", "said nothing"),
        (lambda body: '<tool_call>{"name": "pay"}</tool_call>', "only called tools, and has none"),
    ],
)
def test_an_agent_that_says_nothing_has_lost_and_is_asked_a_few_times_only(say, failure, endpoint, capsys):
    folder, summary, server = played(endpoint, say, "--temperature", "1")
    assert (summary["scored"], summary["owed"], summary["infra_errors"]) == (4, 0, 0)
    assert (summary["success_rate"], summary["average_reward"]) == (0, 0)
    assert summary["leaf_outcomes"] == {"lost": 4}
    assert len(server.requests) == 4 * 3
    assert {turn["failure"] for turn in turns(folder)} == {failure}
    assert summary["failures"] == [{"speaker": "agent", "model": "m", "flaw": failure, "turns": 4, "of": 4}]
    hint = f"; {NO_WORDS}" if failure == "said nothing" else ""
    assert capsys.readouterr().err.strip() == f"josh: m, as the agent: 4 of 4 turns {failure}{hint}"


def test_at_temperature_0_the_same_nothing_twice_is_enough(endpoint):
    _, _, server = played(endpoint, silent, "--temperature", "0")
    assert len(server.requests) == 4 * 2


def test_one_empty_reply_is_asked_again(endpoint):
    given = []

    def say(body):
        given.append(body)
        return {"content": None, "finish_reason": "content_filter"} if len(given) == 1 else ASK

    folder, summary, _ = played(endpoint, say, "--temperature", "1")
    assert "failures" not in summary
    assert "cut_off" not in summary
    assert not any("cut" in turn for turn in turns(folder))


def test_a_refusal_is_what_the_agent_says(endpoint):
    folder, summary, _ = played(endpoint, lambda body: {"content": None, "refusal": "I cannot help with that."})
    assert summary["scored"] == 4
    assert {turn["messages"][0]["content"] for turn in turns(folder)} == {"I cannot help with that."}


def too_long_after(messages):
    return lambda body: too_long(body) if len(body["messages"]) > messages else ASK


def test_a_conversation_that_outgrows_the_agents_model_ends_at_a_limit_and_counts(endpoint, capsys):
    folder, summary, server = played(endpoint, too_long_after(3), "--temperature", "1")
    assert (summary["scored"], summary["owed"], summary["infra_errors"]) == (4, 0, 0)
    outgrown = [turn for turn in turns(folder) if "failure" in turn]
    assert outgrown
    assert {turn["outcome"] for turn in outgrown} == {"truncated"}
    assert all("exceeds the available context size" in turn["failure"] for turn in outgrown)
    assert summary["leaf_outcomes"]["truncated"] == len(outgrown)
    error = capsys.readouterr().err
    assert f"m, as the agent: {len(outgrown)} of {len(turns(folder))} turns outgrew the model's context\n" in error
    assert "go on with" not in error
    asked = len(server.requests)
    assert main(["--resume", str(folder)]) == 0
    assert main(["replay", str(folder), "--log_dir", "again"]) == 0
    assert "the same as" in capsys.readouterr().out
    assert len(server.requests) == asked


def test_so_does_one_that_outgrows_the_users_model(endpoint):
    def say(body):
        return too_long_after(4)(body) if body["model"] == "them" else ASK

    folder, summary, _ = played(endpoint, say, "--user", "persuadee", "--user_model", "them")
    outgrown = [turn for turn in turns(folder, "user") if "failure" in turn]
    assert len(outgrown) == 4
    assert summary["leaf_outcomes"] == {"truncated": 4}
    assert (summary["scored"], summary["owed"]) == (4, 0)


def test_a_silent_user_is_an_error_that_no_agent_could_prevent(endpoint):
    folder, summary, _ = played(
        endpoint, lambda body: "" if body["model"] == "them" else ASK, "--user", "persuadee", "--user_model", "them",
        code=1,
    )  # fmt: skip
    assert (summary["scored"], summary["infra_errors"], summary["owed"]) == (0, 4, 4)
    assert not any("failure" in turn for turn in turns(folder, "user"))


def test_a_reply_that_was_cut_off_is_marked_and_never_exported(endpoint, capsys):
    def say(body):
        if body["model"] == "them":
            return "[DONATE $1.00]" if len(body["messages"]) > 3 else {"content": "Why sh", "finish_reason": "length"}
        return {"content": "Would you gi", "finish_reason": "length"} if len(body["messages"]) < 4 else ASK

    flags = ("--josh", "--beam_size", "2", "--user", "persuadee", "--user_model", "them")
    folder, summary, _ = played(endpoint, say, *flags)
    assert summary["success_rate"] == 1
    cut = {speaker: [turn for turn in turns(folder, speaker) if "cut" in turn] for speaker in ("agent", "user")}
    assert {turn["cut"] for each in cut.values() for turn in each} == {"length"}
    counts = {each["speaker"]: (each["flaw"], each["turns"]) for each in summary["cut_off"]}
    assert counts == {speaker: ("cut off by length", len(cut[speaker])) for speaker in ("agent", "user")}
    error = capsys.readouterr().err
    assert "raise --max_tokens; exports leave them out" in error
    assert "raise --user_max_tokens; exports leave them out" in error
    examples = lines(folder / "training_examples.jsonl")
    assert not any(example["is_successful"] or example["is_golden_path"] for example in examples)
    rows = ("export", str(folder), "--out", "user.jsonl", "--learner", "user", "--format")
    assert main([*rows, "sft"]) == 2  # every path has a cut-off turn of the user's
    assert main([*rows, "kto"]) == 0
    assert {row["completion"][0]["content"] for row in lines("user.jsonl")} == {"[DONATE $1.00]"}
    capsys.readouterr()
    assert main(["export", str(folder), "--format", "sft", "--out", "agent.jsonl"]) == 2
    assert "turns of the agent's that were cut off (4)" in capsys.readouterr().err
    assert main(["show", str(folder), "1"]) == 0
    assert "cut off by length" in capsys.readouterr().out


def test_a_server_that_says_the_same_whatever_the_seed_is_named(endpoint, capsys):
    _, summary, _ = played(endpoint, lambda body: f"{ASK} {len(body['messages'])}", "--josh", "--beam_size", "2")
    (row,) = summary["repeated"]
    assert (row["speaker"], row["model"], row["turns"]) == ("agent", "m", row["of"])
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "repeat" in line]
    number = f"{row['turns']} of {row['of']} younger siblings repeat an elder one, with another seed, too"
    assert line.startswith(f"josh: m, as the agent: {number}; raise --temperature, or let the server sample")


def test_a_server_that_rarely_says_the_same_again_is_not(endpoint, capsys):
    def say(body):
        return ASK if len(body["messages"]) == 2 else f"{ASK} {body['seed']}"

    _, summary, _ = played(endpoint, say, "--josh", "--beam_size", "8", "--max_convo_turns", "4")
    assert 0 < summary["repeated"][0]["turns"] < summary["repeated"][0]["of"] / 2
    assert "repeat" not in capsys.readouterr().err


def test_a_call_in_the_text_is_answered_and_not_said(endpoint, capsys):
    def say(body):
        asked_again = any(message["role"] == "assistant" for message in body["messages"])
        return "Which area?" if asked_again else '<tool_call>\n{"name": "search_hotel", "arguments": {}}\n</tool_call>'

    folder, summary, server = played(endpoint, say, "--env", "toolwoz", "--josh", "--beam_size", "2")
    first = turns(folder)[0]
    assert [message["content"] for message in first["messages"]] == ["Which area?"]
    assert first["actions"][0][0]["text"].startswith("<tool_call>")
    assert "internal" not in first
    assert "failures" not in summary
    assert [(each["turns"], each["flaw"][:10]) for each in summary["calls_in_text"]] == [(8, "held calls")]
    error = capsys.readouterr().err
    assert error.count("--tool-call-parser hermes") == 1
    assert "--jinja" in error
    assert any("Error: the call" in str(body["messages"][-1]["content"]) for body in server.requests)


@pytest.mark.parametrize(
    ("agent", "say", "failure"),
    [
        ("function_calling", lambda body: "[TOOL_CALLS]search_hotel{}", "wrote its calls as text; start the server"),
        ("react", lambda body: "Which area would you like?", "could not be read as ReAct; is --agent_strategy"),
        ("react", lambda body: "PLAN Look.", "only planned, without APICALL or SPEAK; is --agent_strategy"),
    ],
)
def test_an_agent_that_writes_what_nobody_can_read_has_lost_after_three_times(agent, say, failure, endpoint, capsys):
    flags = ("--env", "toolwoz", "--agent", agent, "--temperature", "1")
    folder, summary, server = played(endpoint, say, *flags)
    assert (summary["scored"], summary["owed"]) == (4, 0)
    assert summary["leaf_outcomes"] == {"lost": 4}
    assert len(server.requests) == 4 * 3
    assert f"m, as the agent: 4 of 4 turns {failure}" in capsys.readouterr().err
    assert not any(example["is_successful"] for example in lines(folder / "training_examples.jsonl"))


def test_a_run_of_failures_can_be_rescored_and_shown(endpoint, capsys):
    folder, _, _ = played(endpoint, silent)
    assert main(["rescore", str(folder), "--log_dir", "anew"]) == 0
    (again,) = Path("anew").iterdir()
    assert json.loads((again / "summary.json").read_text())["leaf_outcomes"] == {"lost": 4}
    capsys.readouterr()
    assert main(["show", str(folder), "1"]) == 0
    assert "said nothing, because every reply ended by length" in " ".join(capsys.readouterr().out.split())
