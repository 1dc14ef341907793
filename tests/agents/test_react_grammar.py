"""The grammar of ReAct completions."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from josh.agents.react_grammar import Malformed, Plan, Speak, ToolCall, parse

SEARCH = '{"name": "search_attraction", "arguments": {"type": "museum"}}'


def kinds(text):
    found = parse(text)
    return found if isinstance(found, Malformed) else [type(command).__name__ for command in found]


def spoken(text):
    (speech,) = parse(text)
    return speech.text


def called(text):
    call = parse(text)[-1]
    return call.name, call.arguments


@pytest.mark.parametrize("colon", ["", ":"])
@pytest.mark.parametrize("gap", [" ", "\n", "\r\n", "\n\n  "])
def test_blocks_begin_with_their_words_with_or_without_a_colon(colon, gap):
    plan, call = parse(f"PLAN{colon}{gap}Look for a museum.\nAPICALL{colon}{gap}{SEARCH}")
    assert plan.text == "Look for a museum."
    assert (call.name, call.arguments) == ("search_attraction", {"type": "museum"})
    assert spoken(f"SPEAK{colon}{gap}Which part of town?") == "Which part of town?"


@pytest.mark.parametrize(
    "words",
    [
        "The PLANETARIUM is in the west.",
        "PLANETARIUM is its name.",
        "The place is a SPEAKEASY.",
        "First line.\nSPEAKEASY on the second.",
        "When I SPEAK or PLAN or APICALL, nothing happens.",
        "APICALLS are not for you.",
        "Plan your trip.\nSpeak up.\nplan: none",
        "SPEAKING of which\nAPICALL_2 is no word either",
    ],
)
def test_the_words_count_whole_in_capitals_and_at_the_start_of_a_line(words):
    assert spoken(f"SPEAK {words}") == words


def test_what_is_said_may_have_several_lines():
    assert spoken("SPEAK One.\n\n  Two.\n") == "One.\n\n  Two."


@pytest.mark.parametrize(
    "text",
    [
        f"APICALL {SEARCH}\nSPEAK There is a museum.",
        f"APICALL {SEARCH}\nAPIRETURN []\nSPEAK There is none.",
        f"APICALL {SEARCH}\nAPICALL {SEARCH}",
        f"APICALL {SEARCH} and then some",
    ],
)
def test_nothing_after_a_call_is_read(text):
    (call,) = parse(text)
    assert text[: call.end] == f"APICALL {SEARCH}"


def test_nothing_after_speech_is_read():
    text = f"PLAN Be kind.\nSPEAK One moment.\n\nAPICALL {SEARCH}"
    plan, speech = parse(text)
    assert text[: plan.end] == "PLAN Be kind."
    assert text[: speech.end] == "PLAN Be kind.\nSPEAK One moment."


def test_an_answer_that_the_agent_makes_up_ends_what_is_read():
    assert spoken("SPEAK Hello.\nAPIRETURN []\nmore") == "Hello."
    assert kinds("PLAN Ask.\nAPIRETURN []\nSPEAK There is none.") == ["Plan"]
    assert isinstance(parse("APIRETURN []\nSPEAK There is none."), Malformed)


@pytest.mark.parametrize(
    "text",
    [
        f"APICALL\n```json\n{SEARCH}\n```",
        f"APICALL ```{SEARCH}```",
        f"APICALL: `{SEARCH}`",
        f"APICALL\n{json.dumps(json.loads(SEARCH), indent=4)}",
        'APICALL {"name": "search_attraction", "parameters": {"type": "museum"}}',
    ],
)
def test_json_may_stand_in_a_fence_over_several_lines_and_name_its_parameters(text):
    (call,) = parse(f"{text}\n\nSPEAK Yes.")
    assert (call.name, call.arguments) == ("search_attraction", {"type": "museum"})
    assert f"{text}\n\nSPEAK Yes."[: call.end] == text


def test_words_of_the_grammar_in_a_text_of_json_are_part_of_it():
    assert called('APICALL {"name": "note", "arguments": {"text": "one\nSPEAK two\nAPIRETURN"}}') == (
        "note",
        {"text": "one\nSPEAK two\nAPIRETURN"},
    )


def test_words_before_the_first_block_are_a_plan():
    plan, speech = parse("Let me ask.\n\nSPEAK Which day?")
    assert (plan.text, speech.text) == ("Let me ask.", "Which day?")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "begin a line with PLAN, APICALL or SPEAK"),
        ("Which day?", "begin a line with"),
        ("I would SPEAK if I could", "begin a line with"),
        ("PLAN", "begin a line with"),
        ("Let me think.\nPLAN", "begin a line with"),
        ("Let me think.\nAPIRETURN []", "begin a line with"),
        ("PLAN:\nSPEAK:\n", "SPEAK has no words"),
        ("SPEAK\nAPICALL {}", "SPEAK has no words"),
        ("APICALL", "takes a JSON object"),
        ("APICALL search_attraction(type='museum')", "takes a JSON object"),
        ("APICALL {'name': 'look'}", "takes a JSON object"),
        ("APICALL {}", 'the "name" of a tool'),
        ('APICALL ["look"]', 'the "name" of a tool'),
        ('APICALL {"name": 3}', 'the "name" of a tool'),
        ('APICALL {"name": "look", "arguments": {"n": NaN}}', "no JSON that can be read"),
        ("APICALL " + "[" * 100_000, "no JSON that can be read"),
    ],
)
def test_what_cannot_be_acted_on_is_malformed_and_says_why(text, reason):
    found = parse(text)
    assert isinstance(found, Malformed)
    assert reason in found.reason


pieces = st.sampled_from(
    ["PLAN", "APICALL", "SPEAK", "APIRETURN", ":", " ", "\n", "{", "}", '"name"', '"x"', "```", "`", ",", "\\", SEARCH]
)
texts = st.lists(pieces | st.text(max_size=8), max_size=25).map("".join)


@given(texts)
def test_any_text_can_be_read(text):
    found = parse(text)
    if isinstance(found, Malformed):
        assert "\n" not in found.reason
        return
    assert found
    assert all(isinstance(command, Plan) for command in found[:-1])
    ends = [command.end for command in found]
    assert ends == sorted(ends)
    assert ends[-1] <= len(text)
    # What is kept of a completion reads the same again, so that training sees what was acted on.
    assert parse(text[: ends[-1]]) == found


PUBLISHED = [
    ("PLAN greet. SPEAK Hello, what do you need?", "greet.", "Hello, what do you need?"),
    ("PLAN a <COMMAND_END> SPEAK hi there <COMMAND_END>", "a", "hi there"),
    ("PLAN a <COMMAND_END>\nSPEAK hi there <COMMAND_END>", "a", "hi there"),
    ("PLAN a <COMMAND_END>SPEAK hi <COMMAND_END> USER: Yes.", "a", "hi"),
    ("PLAN: a SPEAK: hi", "a", "hi"),
    ("PLAN greet the user SPEAK Hello!", "greet the user", "Hello!"),
    ("**PLAN:** Look.\n\n**SPEAK:** Which area?", "Look.", "Which area?"),
    ("**PLAN: Look.**\n**SPEAK: Which area?**", "Look.", "Which area?"),
    ("### PLAN\nLook.\n### SPEAK\nWhich area?", "Look.", "Which area?"),
    ("`PLAN` Look.\n`SPEAK` Which area?", "Look.", "Which area?"),
    ("__PLAN__: Look.\n__SPEAK__: Which area?", "Look.", "Which area?"),
    ("> PLAN: Look.\n> SPEAK: Which area?", "Look.\n>", "Which area?"),
]


@pytest.mark.parametrize(("text", "planned", "said"), PUBLISHED)
def test_the_published_line_and_markdown_around_the_words_are_read(text, planned, said):
    plan, speech = parse(text)
    assert plan.text.removesuffix("\n>") == planned.removesuffix("\n>")
    assert speech.text == said
    # What is kept of a completion reads the same again.
    assert parse(text[: speech.end]) == (plan, speech)


@pytest.mark.parametrize(
    "text",
    [
        f"PLAN Look. APICALL {SEARCH} <COMMAND_END>",
        f"PLAN Look. <COMMAND_END> APICALL {SEARCH} <COMMAND_END>",
        f"PLAN Look. APICALL: {SEARCH}",
        f"**PLAN:** Look.\n**APICALL:** {SEARCH}",
        f"**PLAN:** Look.\n**APICALL:**\n```json\n{SEARCH}\n```",
    ],
)
def test_so_is_a_call_in_these_forms(text):
    assert called(text) == ("search_attraction", {"type": "museum"})
    call = parse(text)[-1]
    assert parse(text[: call.end])[-1] == call


@pytest.mark.parametrize(
    "plan",
    [
        "I will SPEAK to the user politely.",
        "After an APICALL comes a SPEAK of some sort.",
        "Let me SPEAK less, and PLAN more",
        "APICALL search first",
    ],
)
def test_a_word_in_the_middle_of_a_plan_is_a_word_of_the_plan(plan):
    if plan.startswith("APICALL"):
        plan = f"Make an {plan}"
    (found,) = parse(f"PLAN {plan}")
    assert found.text == plan


def test_a_later_line_comes_before_a_word_within_a_plan():
    plan, speech = parse("PLAN Greet. SPEAK Hello\nSPEAK Good day.")
    assert (plan.text, speech.text) == ("Greet. SPEAK Hello", "Good day.")


words = st.text().filter(
    lambda text: text.strip() and not re.search(r"^[ \t*_`>#]*(PLAN|API|SPEAK)|<COMMAND_END>", text, re.MULTILINE)
)


@given(words)
def test_what_is_said_is_said_as_it_stands(text):
    assert spoken(f"SPEAK {text}") == text.strip()


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.text(), st.dictionaries(st.text(), values, max_size=4), st.sampled_from([None, 2]), st.booleans(), st.booleans()
)
def test_calls_come_back_as_they_were_written(name, arguments, indent, as_is, colon):
    written = json.dumps({"name": name, "arguments": arguments}, indent=indent, ensure_ascii=not as_is)
    (call,) = parse(f"APICALL{':' * colon} {written}\nSPEAK done")
    assert call == ToolCall(name, arguments, call.end)
    assert f"APICALL{':' * colon} {written}\nSPEAK done"[: call.end].endswith(written)


@given(words)
def test_speech_after_a_plan_is_the_same_speech(text):
    plan, speech = parse(f"PLAN think\nSPEAK {text}")
    assert isinstance(plan, Plan)
    assert isinstance(speech, Speak)
    assert speech.text == spoken(f"SPEAK {text}")
