"""Agents that call tools: what they do with a reply, and what their runs teach."""

import asyncio
import json
from pathlib import Path
from random import Random

import pytest
from serving import serving
from toy_market import PROMPT, TOOLS, Bare, Knock, Market, Shop

from josh.agents.chat import Persuader
from josh.agents.function_calling import FunctionCalling
from josh.agents.human import Human
from josh.agents.react import GO_ON, ReAct
from josh.cli import main
from josh.messages import OPENER
from josh.roles import Reply, fork
from josh.runs.experiments.loopback import Loopback
from josh.runs.export.check import check
from josh.runs.export.formats import FORMATS
from josh.testing import AgentConformance, FixedModel
from josh.tools import use


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


TASK = Market({}).tasks("train")[0]


def started(agent, env=Market, hello="An apple, please."):
    agent.start(TASK, env({}), {})
    if hello:
        agent.add_message({"role": "user", "content": hello})
    return agent


def call(name, arguments, **fields):
    return {"id": "call-1", "type": "function", "function": {"name": name, "arguments": arguments}} | fields


def take(agent, *replies, world=None):
    """Have an agent take a step for each reply; what the steps returned, and the messages that were sent."""
    line, world = FixedModel(replies), world or Shop()
    passed = [asyncio.run(agent.step(model=line, env=world)) for _ in replies]
    return passed, [request.messages for request in line.model.requests]


class TestFunctionCallingSpeaks(AgentConformance):
    def make(self):
        return started(FunctionCalling())


class TestFunctionCallingCalls(AgentConformance):
    def make(self):
        return started(FunctionCalling())

    def line(self):
        return FixedModel([Reply("", (call("look", "{}"),))])


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


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


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
    assert summary["golden_examples"] > 10
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
@pytest.mark.parametrize("form", [form for form in FORMATS if form != "chatml" and form != "sharegpt"])
def test_exports_have_the_prompt_the_tools_and_an_answer_to_every_call(agent, form, played, tmp_path):
    folder, _ = played[agent]
    more = ["--paths", "successful"] if form in ("sft", "openai-sft") else []
    rows = exported(folder, tmp_path / "rows.jsonl", form, *more)
    assert [problem for problem in check(tmp_path / "rows.jsonl") if "needs 10 or more" not in problem] == []
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
                told = message["content"].startswith("APIRETURN") or message["content"] == GO_ON
                assert told or "please" in message["content"]
                assert agent == "react" or not told
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
        assert list(check(out)) == []
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
    told = {turn["value"].partition(" ")[0] for turn in turns if turn["from"] == "human"}
    assert told <= {"An"} | ({"APIRETURN", "(Go"} if agent == "react" else set())
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
    assert main(["replay", str(folder), "--log_dir", str(tmp_path / "again")]) == 0
    (again,) = (tmp_path / "again").iterdir()
    for name in ("episodes.jsonl", "training_examples.jsonl"):
        assert (again / name).read_bytes() == (folder / name).read_bytes()
    assert main(["rescore", str(folder), "--log_dir", str(tmp_path / "anew")]) == 0
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
