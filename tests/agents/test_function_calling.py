"""The agent that calls tools as its endpoint has it, and what it shares with the one that writes them."""

import asyncio

import pytest
from market_talk import call, started, take
from toy_market import TOOLS, Bare, Knock, Market, Shop

from josh.agents.chat import Persuader
from josh.agents.function_calling import FunctionCalling
from josh.agents.human import Human
from josh.agents.react import ReAct
from josh.messages import OPENER
from josh.models.sendable import with_readable_calls
from josh.roles import Reply, fork
from josh.testing import AgentConformance, FixedModel


class TestFunctionCallingSpeaks(AgentConformance):
    def make(self):
        return started(FunctionCalling())


class TestFunctionCallingCalls(AgentConformance):
    def make(self):
        return started(FunctionCalling())

    def line(self):
        return FixedModel([Reply("", (call("look", "{}"),))])


@pytest.mark.parametrize("kind", [FunctionCalling, ReAct, Persuader, Human])
def test_a_user_who_opens_is_not_spoken_over(kind):
    assert [message["role"] for message in started(kind(), hello="").messages_internal] == ["system"]
    knocking = started(kind(), Knock, hello="")
    assert knocking.messages_internal[1:] == [{"role": "user", "content": OPENER}]
    assert knocking.messages == []


@pytest.mark.parametrize("kind", [FunctionCalling, ReAct])
def test_forks_share_prompt_and_tools_and_go_their_own_ways(kind):
    agent = started(kind())
    twin = fork(agent)
    assert twin.tools is agent.tools
    assert all(a is b for a, b in zip(agent.messages_internal, twin.messages_internal, strict=True))
    take(twin, "SPEAK Hello.")
    assert len(agent.messages) == 1
    assert len(twin.messages) == 2


def test_every_call_of_a_reply_is_made_and_answered_before_the_agent_speaks():
    agent, world = started(FunctionCalling()), Shop()
    both = (call("look", '{"fruit": "apple"}', id="a"), call("buy", '{ "fruit":"apple" }', id="b"))
    passed, sent = take(agent, Reply("<think>Hm.</think>Let me see.", both), "Here you are.", world=world)
    assert passed == [False, True]
    assert world.basket == ("apple",)
    assert agent.messages_internal[2:] == [
        {"role": "assistant", "content": "Let me see.", "tool_calls": list(both)},
        {"role": "tool", "tool_call_id": "a", "content": '{"fruit": "apple", "left": 3}'},
        {"role": "tool", "tool_call_id": "b", "content": '{"bought": "apple"}'},
        {"role": "assistant", "content": "Here you are."},
    ]
    assert [message["content"] for message in agent.messages] == ["An apple, please.", "Here you are."]
    assert sent[1][: len(sent[0])] == sent[0]


def test_the_calls_of_a_step_are_its_actions_the_refused_ones_too():
    agent = started(FunctionCalling())
    take(agent, Reply("", (call("buy", '{"fruit": "apple"}'), call("steal", "{}", id="b"), call("buy", "{", id="c"))))
    assert agent.recent_actions == [
        {"name": "buy", "arguments": {"fruit": "apple"}, "result": {"bought": "apple"}},
        {"name": "steal", "arguments": {}, "error": "no tool named 'steal'; known: look, buy"},
        {"name": "buy", "arguments": {}, "error": agent.recent_actions[2]["error"]},
    ]
    assert "no JSON" in agent.recent_actions[2]["error"]
    answers = [message["content"] for message in agent.messages_internal if message["role"] == "tool"]
    assert [answer.startswith("Error: ") for answer in answers] == [False, True, True]


def test_the_tools_are_sent_with_every_request_and_not_at_all_where_there_are_none():
    for env, options in ((Market, {"tools": list(TOOLS)}), (Bare, {})):
        agent, line = started(FunctionCalling(), env), FixedModel(["Yes."])
        asyncio.run(agent.step(model=line, env=Shop()))
        assert line.model.requests[0].options == options


@pytest.mark.parametrize("arguments", ['{"fruit": ', '["apple"]', "apple"])
def test_arguments_that_cannot_be_read_are_kept_and_not_sent_again(arguments):
    agent = started(FunctionCalling())
    fine = call("look", '{"fruit": "fig"}', id="b")
    _, sent = take(agent, Reply("", (call("look", arguments), fine)), "I see.")
    kept = next(message for message in agent.messages_internal if message.get("tool_calls"))
    assert kept["tool_calls"][0]["function"]["arguments"] == arguments
    again = next(message for message in with_readable_calls(sent[1]) if message.get("tool_calls"))
    assert [one["function"]["arguments"] for one in again["tool_calls"]] == ["{}", '{"fruit": "fig"}']
    assert again == {**kept, "tool_calls": [call("look", "{}"), fine]}


@pytest.mark.parametrize("blank", [{"id": None}, {"id": ""}, {"id": "same"}])
def test_ids_that_are_missing_or_taken_are_made_up_the_same_way_each_time(blank):
    def ids():
        agent = started(FunctionCalling())
        take(agent, *[Reply("", (call("look", "{}") | blank, call("look", "{}") | blank))] * 2)
        made = [one["id"] for message in agent.messages_internal for one in message.get("tool_calls", ())]
        answered = [message["tool_call_id"] for message in agent.messages_internal if message["role"] == "tool"]
        assert made == answered
        return made

    once = ids()
    assert once == ids()
    assert len(set(once)) == 4
    assert all(name == "same" or (len(name) == 9 and name.isalnum()) for name in once)


def test_calls_that_lack_most_of_what_a_call_has_are_made_whole():
    agent = started(FunctionCalling())
    take(agent, Reply("", ({}, {"function": {"name": "look", "arguments": None}}, call("look", {"fruit": "fig"}))))
    kept = agent.messages_internal[-4]["tool_calls"]
    assert [one["function"] for one in kept] == [
        {"name": "", "arguments": "{}"},
        {"name": "look", "arguments": "{}"},
        {"name": "look", "arguments": '{"fruit": "fig"}'},
    ]
    assert [action.get("result") for action in agent.recent_actions] == [
        None,
        {"fruit": None, "left": 0},
        {"fruit": "fig", "left": 0},
    ]


@pytest.mark.parametrize("kind", [FunctionCalling, ReAct])
def test_a_reply_without_words_is_asked_for_again(kind):
    agent = started(kind())
    before = list(agent.messages_internal)
    assert take(agent, "<think>Nothing to say.</think>")[0] == [False]
    assert agent.messages_internal == before
