"""Graders take a right reply as it is usually put, and no other."""

import pytest
from probing import ANSWERS

from josh.runs.probe.graders import (
    ends_with,
    every,
    exactly,
    items,
    json_value,
    lines,
    lower_case,
    number,
    sentences,
    words,
    yes_no,
)
from josh.runs.probe.items import ITEMS, KINDS, OPEN_PROMPTS

RIGHT = [
    (number(42), ["42", "42.", "17 + 25 = 42", "The answer is **42**.", "42.0", "$42", "= 42 euros"]),
    (number(-9), ["-9", "\u22129", "6 - 15 = -9"]),
    (number(1234.5), ["1,234.5", "1234.50", "It is 1,234.5 in all."]),
    (
        yes_no(True),
        ["yes", "Yes.", "**Yes**, it is.", "Answer: yes", "The answer is yes.", "I think yes", "Yes, no doubt"],
    ),
    (yes_no(False), ["no", "No, it is not.", "It is not open, so no."]),
    (
        json_value({"name": "Ana", "age": 3, "phone": None, "old": False}),
        [
            '{"name": "Ana", "age": 3, "phone": null, "old": false}',
            'Here it is:\n```json\n{"age": 3.0, "name": " ana ", "old": false, "phone": null}\n```\nDone.',
            'Sure {it is}: {"name": "Ana", "age": 3, "phone": null, "old": false}',
        ],
    ),
    (json_value([2, 4]), ["[2, 4]", "```\n[2,4]\n```"]),
    (exactly("blue"), ["blue", '"Blue".', "**blue**", "`blue`", "```\nblue\n```", " blue \n"]),
    (items("1", "2"), ["1, 2", "1,2.", "1\n2", "- 1\n- 2"]),
    (words(2, 3, "sun"), ["the sun", "Sunny days here"]),
    (sentences(2), ["One. Two!", '"Is it? It is."', "One (1.5 m). Two..."]),
    (lines(2, "- "), ["- a\n- b", "\n- a\n\n- b\n", "```\n- a\n- b\n```"]),
    (lower_case(), ["all is low, 3 times"]),
    (ends_with("?"), ["why?", '"why?"']),
    (every(lower_case(), ends_with("?")), ["why?"]),
]
WRONG = [
    (number(42), ["", "ok", "43", "42 or 43", "420", "4.2", "-42", "forty-two", "x42"]),
    (number(3.5), ["35", "3,5"]),
    (yes_no(True), ["no", "ok", "", "Yesterday", "no, yes", "It could be yes or no.", "Answer: no, and yes"]),
    (yes_no(False), ["yes", "nothing", "none", "I know"]),
    (
        json_value({"age": 3}),
        [
            "",
            "ok",
            "3",
            '{"age": "3"}',
            '{"age": 4}',
            '{"age": 3, "name": "x"}',
            "{age: 3}",
            '{"Age": 3}',
            '{"age": true}',
        ],
    ),
    (json_value({"old": False}), ['{"old": 0}', '{"old": null}', '{"old": "false"}']),
    (json_value([2, 4]), ["[4, 2]", "[2]", "2, 4", '{"a": [2, 4]}']),
    (exactly("BLUE", case=True), ["blue", "Blue", "BLUE it is", "ok"]),
    (items("1", "2"), ["2, 1", "1 2", "1, 2, 3", "one, two"]),
    (words(2, 3, "sun"), ["sun", "the moon", "the sun is very bright"]),
    (sentences(2), ["One", "One.", "One. Two. Three.", "One. Two", "ok"]),
    (lines(2, "- "), ["- a", "- a\nb", "- a\n-", "- a\n- b\n- c", "ok"]),
    (lower_case(), ["Not low", "123", ""]),
    (ends_with("?"), ["why? because", ""]),
    (every(lower_case(), ends_with("?")), ["Why?", "why"]),
]


@pytest.mark.parametrize(("grader", "texts"), RIGHT)
def test_a_right_reply_passes_in_its_usual_forms(grader, texts):
    assert [text for text in texts if not grader(text)] == []


@pytest.mark.parametrize(("grader", "texts"), WRONG)
def test_a_wrong_reply_fails(grader, texts):
    assert [text for text in texts if grader(text)] == []


def test_there_are_16_items_of_each_kind_and_every_one_can_be_passed():
    assert [one.kind for one in ITEMS] == [kind for kind in KINDS for _ in range(16)]
    assert len({one.id for one in ITEMS}) == len({one.prompt for one in ITEMS}) == 64
    assert [one.id for one in ITEMS if not one.grader(ANSWERS[one.prompt])] == []
    assert len(set(OPEN_PROMPTS)) == 32


@pytest.mark.parametrize("reply", ["ok", "OK.", "", "Sure!", "0", "1", "{}", "[]", "I cannot help with that."])
def test_no_constant_reply_passes_an_item(reply):
    assert [one.id for one in ITEMS if one.grader(reply)] == []


def test_yes_and_no_pass_half_of_the_facts_each():
    for reply in ("yes", "no"):
        assert sum(one.grader(reply) for one in ITEMS) == 8


def test_a_right_reply_passes_no_other_item_of_its_kind_but_of_the_facts():
    for one in ITEMS[:48]:
        passed = [other.id for other in ITEMS if other.kind == one.kind and other.grader(ANSWERS[one.prompt])]
        assert passed == [one.id]
