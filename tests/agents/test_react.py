"""The agent that writes its tool calls as text."""

import asyncio
import json

import pytest
from market_talk import started, take
from toy_market import PROMPT, TOOLS, Bare, Shop

from josh.agents.react import GO_ON, ReAct
from josh.testing import AgentConformance, FixedModel


class TestReActSpeaks(AgentConformance):
    def make(self):
        return started(ReAct())

    def line(self):
        return FixedModel(["PLAN greet\nSPEAK Yes."])


class TestReActCalls(TestReActSpeaks):
    def line(self):
        return FixedModel(['APICALL {"name": "look"}'])


class TestReActErrs(TestReActSpeaks):
    def line(self):
        return FixedModel(["Yes."])


def test_react_has_its_tools_in_the_prompt_alone():
    agent = started(ReAct())
    prompt = agent.messages_internal[0]["content"]
    assert prompt.startswith(f"{PROMPT}\n\n")
    for tool in TOOLS:
        assert json.dumps(tool["function"]) in prompt.splitlines()
    assert tuple(agent.tools) == ()
    line = FixedModel(["SPEAK Yes."])
    asyncio.run(agent.step(model=line, env=Shop()))
    assert line.model.requests[0].options == {}
    assert "never write APICALL" in started(ReAct(), Bare).messages_internal[0]["content"]


def test_react_waits_for_what_a_tool_returns_before_it_speaks():
    agent, world = started(ReAct()), Shop()
    bought = 'PLAN Sell it.\nAPICALL {"name": "buy", "arguments": {"fruit": "apple"}}'
    passed, sent = take(
        agent,
        f"<think>Hm.</think>{bought}\nAPIRETURN {{}}\nSPEAK Sold!",
        "PLAN Tell.\nSPEAK Here you are.",
        world=world,
    )
    assert passed == [False, True]
    assert world.basket == ("apple",)
    assert agent.messages_internal[2:] == [
        {"role": "assistant", "content": bought},
        {"role": "user", "content": 'APIRETURN {"bought": "apple"}'},
        {"role": "assistant", "content": "PLAN Tell.\nSPEAK Here you are."},
    ]
    assert agent.messages[1:] == [{"role": "assistant", "content": "Here you are."}]
    assert sent[1][: len(sent[0])] == sent[0]


def test_what_react_did_is_its_action():
    agent = started(ReAct())
    take(agent, 'APICALL {"name": "buy", "arguments": {"fruit": "apple"}}')
    assert agent.recent_actions == [{"name": "buy", "arguments": {"fruit": "apple"}, "result": {"bought": "apple"}}]
    take(agent, 'APICALL {"name": "steal"}')
    assert agent.recent_actions == [
        {"name": "steal", "arguments": {}, "error": "no tool named 'steal'; known: look, buy"}
    ]
    take(agent, "I steal it.")
    reason = "there is nothing to do; begin a line with PLAN, APICALL or SPEAK"
    assert agent.recent_actions == [{"name": "", "arguments": {}, "error": reason}]


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("An apple? Sure.", "APIRETURN Error: there is nothing to do; begin a line with PLAN, APICALL or SPEAK"),
        ("SPEAK", "APIRETURN Error: SPEAK has no words"),
        (
            'APICALL {"name": "look", "arguments": ["fig"]}',
            'APIRETURN Error: the arguments are no JSON object: ["fig"]',
        ),
        ("PLAN Sell the apple.", GO_ON),
    ],
)
def test_react_is_told_what_was_wrong_and_goes_on_without_a_word_to_the_user(completion, answer):
    agent = started(ReAct())
    passed, _ = take(agent, completion, "SPEAK Hello.")
    assert passed == [False, True]
    assert agent.messages_internal[2:] == [
        {"role": "assistant", "content": completion},
        {"role": "user", "content": answer},
        {"role": "assistant", "content": "SPEAK Hello."},
    ]
    assert [message["content"] for message in agent.messages] == ["An apple, please.", "Hello."]
