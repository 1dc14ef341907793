"""What a model said goes back in a form that every endpoint takes."""

import asyncio
import json
from pathlib import Path

import pytest

from josh.branch import TurnContext
from josh.cli import main
from josh.dialogue import Speaker, Usage
from josh.models.chat import Completion, ModelError, Sampling
from josh.models.gateway import ModelGateway
from josh.models.sendable import sendable, sendable_name, with_readable_calls
from josh.models.turn_model import BoundModel
from josh.roles import Reply
from josh.runs.record.journal import Replies

LONG = "call_" + "x" * 41
SIGNED = {"google": {"thought_signature": "c2lnbmVk"}}
THOUGHT = {"reasoning_content": "Look it up.", "thinking_blocks": [{"thinking": "Look", "signature": "s"}]}


def call(name="look", arguments="{}", key="call_1", **further):
    return {"id": key, "type": "function", "function": {"name": name, "arguments": arguments}} | further


def calling(*calls, **further):
    return {"role": "assistant", "content": "", "tool_calls": list(calls)} | further


def answer(key="call_1", **further):
    return {"role": "tool", "tool_call_id": key, "content": "seen"} | further


def test_a_conversation_without_calls_stays_as_it_is():
    messages = [{"role": "system", "content": "be brief"}, {"role": "assistant", "content": "hi"}]
    assert sendable(messages) == messages


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("look_up-2", "look_up-2"),
        ("multi_tool_use.parallel", "multi_tool_use_parallel"),
        ("", "unnamed"),
        ("suche nach ü", "suche_nach__"),
        ("n" * 70, "n" * 64),
    ],
)
def test_a_name_has_letters_that_every_endpoint_takes(name, sent):
    assert sendable_name(name) == sent
    (message,) = sendable([calling(call(name))])
    assert message["tool_calls"][0]["function"]["name"] == sent


def test_a_tool_that_the_request_offers_keeps_its_name():
    (message,) = sendable([calling(call("desk.look"))], tools=["desk.look"])
    assert message["tool_calls"][0]["function"]["name"] == "desk.look"


def test_ids_are_short_and_occur_once_and_answers_follow_their_calls():
    messages = [
        calling(call(key=LONG), call(key="")),
        answer(LONG),
        answer(""),
        calling(call(key="same")),
        answer("same", name="a.b"),
        calling(call(key="same"), call(key="same")),
        answer("same"),
        answer("same"),
    ]
    sent = sendable(messages)
    calls = [one["id"] for message in sent for one in message.get("tool_calls") or ()]
    answers = [message["tool_call_id"] for message in sent if message["role"] == "tool"]
    assert calls == answers == ["call00000", "call00001", "same", "call00003", "call00004"]
    assert sent[4]["name"] == "a_b"
    assert messages[0]["tool_calls"][0]["id"] == LONG


def test_every_id_has_nine_letters_where_an_endpoint_wants_that():
    sent = sendable(
        [calling(call(key="call_1")), answer(), calling(call(key="abcdefgh9")), answer("abcdefgh9")], nine=True
    )
    assert [sent[0]["tool_calls"][0]["id"], sent[1]["tool_call_id"]] == ["call00000"] * 2
    assert [sent[2]["tool_calls"][0]["id"], sent[3]["tool_call_id"]] == ["abcdefgh9"] * 2


def test_an_id_that_holds_a_signature_stays():
    signed = "call_1__thought__" + "c2ln" * 30
    assert sendable([calling(call(key=signed))])[0]["tool_calls"][0]["id"] == signed


def test_a_call_has_the_fields_of_the_format_and_those_that_a_provider_wants_back():
    (message,) = sendable([calling(call(index=0, extra_content=SIGNED, other=1))])
    assert message["tool_calls"] == [call(extra_content=SIGNED)]


def test_arguments_that_cannot_be_read_are_sent_empty():
    messages = [calling(call(arguments="{oops"), call(arguments='{"a": 1}', key="call_2"))]
    (message,) = with_readable_calls(messages)
    assert [one["function"]["arguments"] for one in message["tool_calls"]] == ["{}", '{"a": 1}']


def test_an_empty_list_of_calls_is_not_sent():
    assert sendable([calling(), calling(call())])[0] == {"role": "assistant", "content": ""}


class Strict:
    """A model that calls a tool with thoughts, and then takes its history back only under some conditions."""

    name, endpoint, concurrency = "strict", "here", None

    def __init__(self, refuses=lambda messages: ""):
        self.sent, self.refuses = [], refuses

    async def complete(self, request):
        self.sent.append(request.messages)
        if why := self.refuses(request.messages):
            raise ModelError(f"HTTP 400: {why}", 400)
        calls = (call("desk.all_at_once", key=LONG, index=0, extra_content=SIGNED),)
        return Completion((Reply("", calls, thoughts=THOUGHT),), Usage(prompt_tokens=1))


def talk(model, gateway, turns=2):
    """Have a speaker call a tool twice in every turn, as an agent does; its messages."""
    messages, thoughts = [{"role": "user", "content": "hi"}], ()

    async def asking():
        nonlocal thoughts
        for turn in range(turns):
            context = TurnContext("", turn, Speaker.AGENT, thoughts=thoughts)
            line = BoundModel(model, Sampling(), context, gateway, 4, "task")
            for _ in range(2):
                reply = await line.reply(messages)
                messages.extend([reply.message, answer(reply.tool_calls[0]["id"])])
            thoughts = context.thoughts
            messages.append({"role": "user", "content": "go on"})

    asyncio.run(asking())
    return messages


def calls_in(messages):
    return [message for message in messages if message.get("tool_calls")]


def test_thoughts_go_back_beside_their_calls_and_are_in_no_message_of_the_agent():
    model = Strict()
    messages = talk(model, ModelGateway(1))
    assert [len(calls_in(sent)) for sent in model.sent] == [0, 1, 2, 3]
    for message in calls_in(model.sent[-1]):
        assert message["reasoning_content"] == "Look it up."
        assert message["thinking_blocks"] == THOUGHT["thinking_blocks"]
        assert message["tool_calls"][0]["function"]["name"] == "desk_all_at_once"
    assert "Look it up" not in json.dumps(messages)


def test_thoughts_come_from_the_journal_in_a_later_session(tmp_path):
    journal = Replies(tmp_path)
    said = talk(Strict(), ModelGateway(1, journal=journal), turns=1)
    model = Strict()
    assert talk(model, ModelGateway(1, journal=journal))[: len(said)] == said
    assert [message["reasoning_content"] for message in calls_in(model.sent[0])] == ["Look it up."] * 2
    journal.close()


@pytest.mark.parametrize(
    ("refuses", "why"),
    [
        (lambda sent: any(len(m["tool_calls"][0]["id"]) > 40 for m in calls_in(sent)), "id is too long"),
        (lambda sent: any("." in m["tool_calls"][0]["function"]["name"] for m in calls_in(sent)), "no such name"),
        (
            lambda sent: any(len(m["tool_calls"][0]["id"]) != 9 for m in calls_in(sent)),
            "Tool call id was x but must be a-z, A-Z, 0-9, with a length of 9.",
        ),
        (
            lambda sent: any("reasoning_content" in m for m in calls_in(sent)),
            "body.messages.1.reasoning_content: Extra inputs are not permitted",
        ),
        (
            lambda sent: any("extra_content" in m["tool_calls"][0] for m in calls_in(sent)),
            "tool_calls[0]: property 'extra_content' is unsupported",
        ),
        (
            lambda sent: any("reasoning_content" not in m for m in calls_in(sent)),
            "reasoning_content has to be passed back",
        ),
    ],
)
def test_an_endpoint_that_is_strict_about_its_history_is_served(refuses, why, tmp_path):
    journal = Replies(tmp_path)
    gateway = ModelGateway(1, journal=journal)
    gateway.notes = journal
    model = Strict(lambda messages: why if refuses(messages) else "")
    said = talk(model, gateway)
    assert len(model.sent) in (4, 5)
    assert talk(Strict(), ModelGateway(1, journal=journal)) == said
    journal.close()


def test_rows_hold_the_fields_of_the_format_only(endpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def respond(body):
        if body["messages"][-1]["role"] == "tool":
            return "Anything else?"
        asked = call("search_hotel", '{"area": "north"}', LONG, index=0, extra_content=SIGNED)
        return {"content": None, "reasoning_content": "Look it up.", "tool_calls": [asked]}

    url, server = endpoint(respond=respond)
    flags = ["--env", "toolwoz", "--model", "us", "--base_url", url, "--synthetic_tasks", "1", "--max_convo_turns", "2"]
    assert main(flags) == 0
    (run,) = Path("records").iterdir()
    for form in ("sft", "openai-sft"):
        assert main(["export", str(run), "--format", form, "--paths", "lost", "--out", f"{form}.jsonl"]) == 0
    (row,) = map(json.loads, Path("openai-sft.jsonl").read_text().splitlines())
    asked = [one for message in row["messages"] for one in message.get("tool_calls") or ()]
    assert [sorted(one) for one in asked] == [["function", "id", "type"]] * len(asked)
    assert all(len(one["id"]) <= 40 for one in asked)
    assert {name for message in row["messages"] for name in message} <= {
        "role", "content", "name", "tool_calls", "tool_call_id", "weight",
    }  # fmt: skip
    written = "".join(path.read_text() for path in [*run.glob("*.json*"), *run.glob("*.html"), *Path().glob("*.jsonl")])
    assert "Look it up" not in written
    assert "Look it up" in json.dumps(server.requests)
