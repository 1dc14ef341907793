"""A tool call gives a result, which is recorded and shown."""

import asyncio
import json

import pytest
from toy_market import Shop

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
