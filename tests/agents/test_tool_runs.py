"""Searches by agents that call tools: what is in them, and what they teach."""

import json
from pathlib import Path
from random import Random

import pytest
from playing import lines
from serving import serving
from toy_market import PROMPT, TOOLS

from josh.agents.react import GO_ON
from josh.cli import main
from josh.runs.experiments.loopback import Loopback
from josh.runs.export.check import problems_in
from josh.runs.export.formats import FORMATS, IN_TOKENS
from josh.runs.export.sharegpt import DATASETS

APPLE = '{"fruit": "apple"}'
LEFT = "(The left-hand shelf.)"


def calls_by_script(body):
    """A server whose model calls tools well, badly, several at once, or not at all."""
    draw = Random(f"{body['seed']} {len(body['messages'])}")
    assert body["tools"] == list(TOOLS)
    kind = draw.randrange(9)
    if body["messages"][-1]["role"] == "tool" and draw.random() < 0.6:
        return f"Here you are, number {draw.randrange(4)}."
    made = {
        0: [("look", APPLE)],
        1: [("look", APPLE), ("buy", APPLE)],
        2: [("buy", APPLE)],
        3: [("buy", '{"fruit": ')],
        4: [("buy", '["apple"]')],
        5: [("steal", APPLE), ("look", '{"fruit": "fig"}')],
    }.get(kind)
    if made is None:
        return f"<think>{LEFT}</think>What else, number {draw.randrange(4)}?"
    # As some servers have it, ids are missing, and words stand beside the calls.
    tool_calls = [{"type": "function", "function": {"name": name, "arguments": given}} for name, given in made]
    return {"content": LEFT if draw.random() < 0.2 else None, "tool_calls": tool_calls}


def acts_by_script(body):
    """The same for a server whose model writes ReAct."""
    assert "tools" not in body
    draw = Random(f"{body['seed']} {len(body['messages'])}")
    look, buy = (f'PLAN {LEFT}\nAPICALL {{"name": "{name}", "arguments": {APPLE}}}' for name in ("look", "buy"))
    speak = f"PLAN {LEFT}\nSPEAK Here you are, number {draw.randrange(4)}."
    if body["messages"][-1]["content"].startswith("APIRETURN") and draw.random() < 0.6:
        return speak
    return draw.choice(
        [
            look,
            look,
            f"{buy}\nAPIRETURN {{}}\nSPEAK It is yours.",
            buy,
            "The PLANETARIUM?",
            f"PLAN {LEFT}",
            "APICALL {'name': 'buy'}",
            'APICALL {"name": "steal"}',
            speak,
            f"{speak}\n{buy}",
        ]
    )


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A search by each agent against its server: the run's folder and what the server was asked, by agent."""
    made = {}
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(tmp_path_factory.mktemp("market"))
        for agent, respond in (("function_calling", calls_by_script), ("react", acts_by_script)):
            server = Loopback(respond=respond)
            with serving(server) as url:
                flags = ["--env", "toy_market:Market", "--agent", agent, "--model", "m", "--base_url", url]
                assert (
                    main(
                        [
                            "run",
                            *flags,
                            "--josh",
                            "--stop",
                            "best",
                            "--beam_size",
                            "4",
                            "--log_dir",
                            agent,
                            "--end_index",
                            "8",
                        ]
                    )
                    == 0
                )
            (folder,) = Path(agent).resolve().iterdir()
            made[agent] = folder, server.requests
    return made


def exported(folder, out, form, *flags):
    assert main(["export", str(folder), "--format", form, "--out", str(out), *flags]) == 0
    return lines(out)


def conversations(form, rows):
    """The messages of rows, whichever way their format has them."""
    for row in rows:
        if form in ("kto", "dpo", "openai-dpo"):
            prompt = row["input"]["messages"] if form == "openai-dpo" else row["prompt"]
            names = ("completion", "chosen", "rejected", "preferred_output", "non_preferred_output")
            yield from ([*prompt, *row[name]] for name in names if name in row)
        else:
            yield row["messages"]


@pytest.mark.parametrize("agent", ["function_calling", "react"])
def test_a_run_with_tools_earns_and_loses_and_nothing_in_it_breaks(agent, played):
    folder, requests = played[agent]
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["infra_errors"] == 0
    assert 0 < summary["average_reward"] <= 1
    # A conversation with a completion that could not be read is no positive example.
    assert summary["golden_examples"] > 5
    trees = lines(folder / "episodes.jsonl")
    actions = [
        action for tree in trees for node in tree["nodes"] for step in node.get("actions", ()) for action in step
    ]
    assert {action["name"] for action in actions if "result" in action} == {"look", "buy"}
    assert {action["name"] for action in actions if "error" in action} >= {"steal"}
    assert len(requests) > 100


@pytest.mark.parametrize("agent", ["function_calling", "react"])
def test_nothing_internal_is_said_aloud(agent, played):
    folder, _ = played[agent]
    words = set()
    for tree in lines(folder / "episodes.jsonl"):
        for node in tree["nodes"]:
            for message in node.get("messages", ()):
                assert message.keys() == {"role", "content"}
                assert message["role"] == {"agent": "assistant", "user": "user"}[node["speaker"]]
                words.add(message["content"])
    spoken = {text for text in words if "apple" not in text and "Goodbye" not in text}
    assert {text.rstrip("?.0123456789") for text in spoken} <= {
        "Here you are, number ",
        "What else, number ",
        "Error: Agent ran out of retries",
    }


@pytest.mark.parametrize("agent", ["function_calling", "react"])
@pytest.mark.parametrize("form", [form for form in FORMATS if form != "chatml" and form not in (*DATASETS, *IN_TOKENS)])
def test_exports_have_the_prompt_the_tools_and_an_answer_to_every_call(agent, form, played, tmp_path):
    folder, _ = played[agent]
    more = ["--paths", "successful"] if form in ("sft", "openai-sft") else []
    rows = exported(folder, tmp_path / "rows.jsonl", form, *more)
    assert [problem for problem in problems_in(tmp_path / "rows.jsonl") if "needs 10 or more" not in problem] == []
    for row in rows:
        assert (row["input"] if form == "openai-dpo" else row).get("tools", []) == (
            list(TOOLS) if agent == "function_calling" else []
        )
    for messages in conversations(form, rows):
        assert messages[0]["role"] == "system"
        assert messages[0]["content"].startswith(PROMPT)
        assert messages[1] == {"role": "user", "content": "An apple, please (0)."}
        assert messages[-1]["role"] == "assistant"
        open_calls = []
        for message in messages:
            if message["role"] == "tool":
                assert message["tool_call_id"] == open_calls.pop(0)
            else:
                assert not open_calls
            open_calls += [each["id"] for each in message.get("tool_calls", ())]
            if message["role"] == "user":
                automatic = message["content"].startswith("APIRETURN") or message["content"] == GO_ON
                assert automatic or "please" in message["content"]
                assert agent == "react" or not automatic
            if message["role"] == "assistant":
                assert "APIRETURN" not in message["content"]
                assert "<think>" not in message["content"]


@pytest.mark.parametrize("agent", ["function_calling", "react"])
def test_dialects_have_the_prompt_the_tools_and_every_word_in_its_place(agent, played, tmp_path):
    folder, _ = played[agent]
    by_form = {}
    for form in ("chatml", "sharegpt"):
        out = tmp_path / f"{form}.jsonl"
        by_form[form] = exported(folder, out, form, "--paths", "successful")
        assert list(problems_in(out)) == []
    for row in by_form["chatml"]:
        assert row["text"].startswith(f"<|im_start|>system\n{PROMPT}")
        assert row.get("tools", []) == (list(TOOLS) if agent == "function_calling" else [])
    called = '<tool_call>\n{"name": "buy", "arguments": {"fruit": "apple"}}\n</tool_call>'
    made = any(called in row["text"] for row in by_form["chatml"])
    assert made is (agent == "function_calling")
    for row in by_form["sharegpt"]:
        assert row["system"].startswith(PROMPT)
        assert json.loads(row.get("tools", "[]")) == (list(TOOLS) if agent == "function_calling" else [])
    turns = [turn for row in by_form["sharegpt"] for turn in row["conversations"]]
    at_once = [turn for turn in turns if turn["from"] == "observation" and "\n" in turn["value"]]
    assert bool(at_once) is (agent == "function_calling")
    automatic = {turn["value"].partition(" ")[0] for turn in turns if turn["from"] == "human"}
    assert automatic <= {"An"} | ({"APIRETURN", "(Go"} if agent == "react" else set())
    assert all("APIRETURN" not in turn["value"] for turn in turns if turn["from"] == "gpt")


def test_what_a_tool_returned_is_never_the_users_turn(played):
    folder, requests = played["react"]
    for tree in lines(folder / "episodes.jsonl"):
        for node in tree["nodes"]:
            if node["speaker"] == "user":
                assert "internal" not in node
    assert any(message["content"].startswith("APIRETURN") for body in requests for message in body["messages"])
    examples = lines(folder / "training_examples.jsonl")
    assert {example["messages"][-1]["role"] for example in examples} == {"assistant"}


def test_no_server_is_sent_arguments_that_cannot_be_read(played):
    _, requests = played["function_calling"]
    sent = [
        call["function"]["arguments"]
        for body in requests
        for message in body["messages"]
        for call in message.get("tool_calls", ())
    ]
    assert "{}" in sent
    assert all(isinstance(json.loads(text), dict) for text in sent)


@pytest.mark.parametrize("agent", ["function_calling", "react"])
def test_a_run_with_tools_is_replayed_and_rescored_from_what_it_left(agent, played, tmp_path):
    folder, _ = played[agent]
    assert main(["replay", "--trust", str(folder), "--log_dir", str(tmp_path / "again")]) == 0
    (again,) = (tmp_path / "again").iterdir()
    for name in ("episodes.jsonl", "training_examples.jsonl"):
        assert (again / name).read_bytes() == (folder / name).read_bytes()
    assert main(["rescore", "--trust", str(folder), "--log_dir", str(tmp_path / "anew")]) == 0
    (anew,) = (tmp_path / "anew").iterdir()
    rewards = [[tree["reward"] for tree in lines(each / "episodes.jsonl")] for each in (folder, anew)]
    assert rewards[0] == rewards[1]


def test_what_no_grammar_reads_is_no_example(played, tmp_path):
    folder, _ = played["react"]
    assert "PLANETARIUM" in (folder / "episodes.jsonl").read_text()
    rows = exported(folder, tmp_path / "kto.jsonl", "kto")
    learnt = [row["completion"][0]["content"] for row in rows if row["label"]]
    assert learnt
    assert not [text for text in learnt if "PLANETARIUM" in text or "{'name'" in text]
    paths = exported(folder, tmp_path / "sft.jsonl", "sft", "--paths", "successful")
    assert "PLANETARIUM" not in json.dumps(paths)


def test_calls_are_shown_whichever_way_they_were_written(played, capsys):
    for agent, (folder, _) in played.items():
        for task in range(1, 9):
            assert main(["show", str(folder), str(task)]) == 0
        shown = capsys.readouterr().out
        assert 'agent: [calls buy {"fruit": "apple"}]' in shown, agent
        assert ("[calls (unreadable) {}]" in shown) == (agent == "react")
