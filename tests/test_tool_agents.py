"""Agents that call tools: what they do with a reply, and what their runs teach."""

import asyncio
import json

import pytest

from josh.agents.function_calling import FunctionCalling
from josh.agents.react import GO_ON, ReAct
from josh.agents.tool_use import use
from josh.messages import OPENER
from josh.roles import BaseEnv, Reply, Task, ToolError, fork
from josh.testing import AgentConformance, FixedLine
from josh.tree import Speaker


class Shop:
    """A world of fruit: what is there can be looked up and bought; every branch has a basket of its own."""

    stock = {"apple": 3, "fig": 0}  # noqa: RUF012 (nobody changes it)

    def __init__(self, basket=()):
        self.basket = basket

    def fork(self):
        return Shop(self.basket)

    def call(self, name, arguments):
        if name not in ("look", "buy"):
            raise ToolError(f"no tool named {name!r}; known: look, buy")
        fruit = arguments.get("fruit")
        if name == "look":
            return {"fruit": fruit, "left": self.stock.get(fruit, 0)}
        if not self.stock.get(fruit):
            raise ToolError(f"there is no {fruit}")
        self.basket = (*self.basket, fruit)
        return {"bought": fruit}


class Slow(Shop):
    async def call(self, name, arguments):
        await asyncio.sleep(0)
        return super().call(name, arguments)


def used(world, name, arguments):
    return asyncio.run(use(world, name, arguments))


@pytest.mark.parametrize("world", [Shop(), Slow()])
def test_a_call_is_told_as_json_and_noted_with_its_result(world):
    call = used(world, "look", '{"fruit": "apple"}')
    assert json.loads(call.text) == {"fruit": "apple", "left": 3}
    assert call.action == {"name": "look", "arguments": {"fruit": "apple"}, "result": {"fruit": "apple", "left": 3}}


@pytest.mark.parametrize("world", [Shop(), Slow()])
def test_a_refusal_is_told_in_words_and_noted_as_an_error(world):
    call = used(world, "buy", {"fruit": "fig"})
    assert call.text == "Error: there is no fig"
    assert call.action == {"name": "buy", "arguments": {"fruit": "fig"}, "error": "there is no fig"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ('{"fruit": ', "no JSON ("),
        ('["apple"]', 'no JSON object: ["apple"]'),
        ('"apple"', 'no JSON object: "apple"'),
        ('{"fruit": NaN}', "NaN is no JSON number"),
        ("[" * 100_000, "no JSON ("),
        (3, "no JSON object: 3"),
    ],
)
def test_arguments_that_cannot_be_read_never_reach_the_world(arguments, complaint):
    world = Shop()
    call = used(world, "buy", arguments)
    assert complaint in call.text
    assert call.text.startswith("Error: ")
    assert len(call.text) < 500
    assert call.action["arguments"] == {}
    assert world.basket == ()


@pytest.mark.parametrize("nothing", ["", " ", None, {}])
def test_no_arguments_are_an_empty_object(nothing):
    assert used(Shop(), "look", nothing).action["result"] == {"fruit": None, "left": 0}


def test_a_branch_without_a_world_has_no_tools():
    assert used(None, "look", {}).text == "Error: there are no tools here"


def test_a_failure_of_the_worlds_own_is_let_through():
    class Broken:
        def call(self, name, arguments):
            raise ConnectionError("the database is gone")

    with pytest.raises(ConnectionError):
        used(Broken(), "look", {})


def test_half_a_surrogate_pair_does_not_get_into_the_conversation():
    for arguments in ('{"fruit": "\\ud83d"}', {"fruit": "\ud83d"}, '{"fruit": "\ud83d"}'):
        call = used(Shop(), "look", arguments)
        assert call.action["arguments"] == {"fruit": "?"}
    for call in (used(Shop(), "\ud83d", {}), used(Shop(), "look", ["\ud83d"]), used(Shop(), "look", "\ud83d")):
        assert call.text.encode().startswith(b"Error: ")


TOOLS = tuple(
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"Have a {name}.",
            "parameters": {"type": "object", "properties": {"fruit": {"type": "string"}}, "required": []},
        },
    }
    for name in ("look", "buy")
)


class Market(BaseEnv):
    opens = Speaker.USER

    def agent_prompt(self, task):
        return "You sell fruit."

    def tools(self, task):
        return TOOLS

    def world(self, task):
        return Shop()


class Knock(Market):
    opens = Speaker.AGENT


class Bare(Market):
    def tools(self, task):
        return ()


TASK = Task("market", 0, {})


def started(agent, env=Market, hello="An apple, please."):
    agent.start(TASK, env({}), {})
    if hello:
        agent.add_message({"role": "user", "content": hello})
    return agent


def call(name, arguments, **fields):
    return {"id": "call-1", "type": "function", "function": {"name": name, "arguments": arguments}} | fields


def take(agent, *replies, world=None):
    """Have an agent take a step for each reply; what the steps returned, and the messages that were sent."""
    line, world = FixedLine(replies), world or Shop()
    passed = [asyncio.run(agent.step(model=line, env=world)) for _ in replies]
    return passed, [request.messages for request in line.model.requests]


class TestFunctionCallingSpeaks(AgentConformance):
    def make(self):
        return started(FunctionCalling())


class TestFunctionCallingCalls(AgentConformance):
    def make(self):
        return started(FunctionCalling())

    def line(self):
        return FixedLine([Reply("", (call("look", "{}"),))])


class TestReActSpeaks(AgentConformance):
    def make(self):
        return started(ReAct())

    def line(self):
        return FixedLine(["PLAN greet\nSPEAK Yes."])


class TestReActCalls(TestReActSpeaks):
    def line(self):
        return FixedLine(['APICALL {"name": "look"}'])


class TestReActErrs(TestReActSpeaks):
    def line(self):
        return FixedLine(["Yes."])


@pytest.mark.parametrize("kind", [FunctionCalling, ReAct])
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
    for env, options in ((Market, {"tools": TOOLS}), (Bare, {})):
        agent, line = started(FunctionCalling(), env), FixedLine(["Yes."])
        asyncio.run(agent.step(model=line, env=Shop()))
        assert line.model.requests[0].options == options


@pytest.mark.parametrize("arguments", ['{"fruit": ', '["apple"]', "apple"])
def test_arguments_that_cannot_be_read_are_kept_and_not_sent_again(arguments):
    agent = started(FunctionCalling())
    fine = call("look", '{"fruit": "fig"}', id="b")
    _, sent = take(agent, Reply("", (call("look", arguments), fine)), "I see.")
    kept = next(message for message in agent.messages_internal if message.get("tool_calls"))
    assert kept["tool_calls"][0]["function"]["arguments"] == arguments
    again = next(message for message in sent[1] if message.get("tool_calls"))
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


def test_react_has_its_tools_in_the_prompt_alone():
    agent = started(ReAct())
    prompt = agent.messages_internal[0]["content"]
    assert prompt.startswith("You sell fruit.\n\n")
    for tool in TOOLS:
        assert json.dumps(tool["function"]) in prompt.splitlines()
    assert tuple(agent.tools) == ()
    line = FixedLine(["SPEAK Yes."])
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
