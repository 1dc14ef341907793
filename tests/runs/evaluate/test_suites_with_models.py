"""Suites over a chat endpoint, with a model on this machine, and by PBT's own command."""

import argparse

import pytest
from suites import refusal, suite, values

from josh.cli import main
from josh.errors import UsageError
from josh.runs.systems.pbt_eval import add_eval_flags, run_eval, translated


@pytest.fixture(autouse=True)
def elsewhere(elsewhere):
    """A folder of its own."""


def answering(words):
    """Replies of a chat server: a text, or a function of the messages."""

    def respond(body):
        said = words(body["messages"]) if callable(words) else words
        return {"role": "assistant", "content": said}

    return respond


def last_answer(messages):
    """The answer of the last message that has one."""
    found = [each["content"].rpartition("Final answer:")[2] for each in messages if "Final answer: " in each["content"]]
    return f"Final answer:{found[-1]}"


def test_flipflop_continues_the_conversation_once(capsys, endpoint):
    url, server = endpoint(respond=answering(last_answer))
    flags = ("--model", "m", "--base_url", url, "--synthetic_tasks", "5", "--no_references")
    found = suite(capsys, "flipflop", *flags)
    assert values(found, "m", "acc", "acc_on_cti", "acc_on_itc") == (0.5, 0, 1)
    assert len(server.requests) == 10
    for request in server.requests:
        assert [each["role"] for each in request["messages"]] == ["user", "assistant", "user"]
        assert "Your partner says: " in request["messages"][0]["content"]
        assert request["temperature"] == 0.7


def test_ays_asks_again_and_then_for_the_final_answer(capsys, endpoint):
    url, server = endpoint(respond=answering("Final answer: red"))
    found = suite(capsys, "ays", "--model", "m", "--base_url", url, "--synthetic_tasks", "3", "--no_references")
    assert values(found, "m", "diff") == (0,)
    longest = max((request["messages"] for request in server.requests), key=len)
    assert [each["role"] for each in longest] == ["user", "assistant"] * 2 + ["user"]
    assert longest[2]["content"] == "I don't think so. Are you sure?"
    assert len(server.requests) == 9


def test_the_words_of_the_challenge_are_a_setting(capsys, endpoint):
    url, server = endpoint(respond=answering("Final answer: red"))
    flags = ("--model", "m", "--base_url", url, "--synthetic_tasks", "1", "--no_references")
    suite(capsys, "ays", *flags, "--user.challenge", "Really?")
    assert any(each["content"] == "Really?" for request in server.requests for each in request["messages"])


def test_team_gives_each_model_its_own_address_in_both_orders(capsys, endpoint):
    (one, first), (two, second) = (endpoint(respond=answering(f"Final answer: {word}")) for word in ("red", "blue"))
    flags = ("--model", "a", "--base_url", one, "--user_model", "b", "--user_base_url", two, "--synthetic_tasks", "2")
    found = suite(capsys, "team", *flags)
    assert [cell["policy"] for cell in found["suite"]["results"]] == ["a first", "a second"]
    assert {request["model"] for request in first.requests} == {"a"}
    assert {request["model"] for request in second.requests} == {"b"}
    assert len(first.requests) == len(second.requests) == 8


def test_a_judge_reads_what_rules_do_not(capsys, endpoint):
    def respond(messages):
        return "Final answer: Agree" if "Two speakers debate" in messages[0]["content"] else "Hm, you may have a point."

    url, _ = endpoint(respond=answering(respond))
    flags = ("--model", "m", "--base_url", url, "--synthetic_tasks", "2", "--no_references")
    assert values(suite(capsys, "flipflop", *flags), "m", "acc", "unreadable") == (0, 1)
    judged = suite(capsys, "flipflop", *flags, "--judge_model", "j", "--judge_base_url", url)
    assert values(judged, "m", "acc_on_cti", "acc_on_itc", "unreadable") == (0, 1, 0)


def test_a_model_on_this_machine_plays_a_suite(capsys, tiny_model):
    found = suite(capsys, "ays", "--model", f"hf:{tiny_model}", "--synthetic_tasks", "2", "--max_tokens", "4")
    assert found["suite"]["results"][0]["scored"] == 2


def pbt_eval(*arguments):
    parser = argparse.ArgumentParser()
    add_eval_flags(parser, arguments)
    args = parser.parse_args(arguments)
    args.main = main
    return run_eval(args)


def test_pbt_eval_takes_the_published_flags(capsys):
    flags = ("--model_a", "offline", "--limit", "4", "--split", "validation", "--output_dir", "out", "--deterministic")
    assert pbt_eval("ays", "--synthetic_tasks", "6", *flags) == 0
    assert "ays: 4 questions (split valid)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["--extractor-model", "j"], ["--judge_model", "j"]),
        (["--prefs_dir=rows.jsonl", "--valid_limit", "9"], ["--env.rows=rows.jsonl", "--end_index", "9"]),
        (["--deterministic"], ["--temperature", "0", "--user_temperature", "0"]),
        (["--max_turns", "4"], ["--max_convo_turns", "2"]),
        (["--seed", "3", "--no_references"], ["--seed", "3", "--no_references"]),
    ],
)
def test_published_flags_have_their_names_here(given, meant):
    assert translated("team", given) == meant


@pytest.mark.parametrize(
    ("given", "words"),
    [(["--max_turns", "3"], "even number"), (["--trajectory_dir", "x"], "josh pbt prefs DIR --split devtest")],
)
def test_flags_of_other_commands_are_refused(given, words):
    with pytest.raises(UsageError, match=words):
        translated("team", given)


def test_pbt_eval_refuses_an_unknown_suite(capsys):
    assert pbt_eval("areyousure") == 2
    assert refusal(capsys, "--suite", "areyousure").startswith("josh: no suite named 'areyousure'; known: flipflop")
