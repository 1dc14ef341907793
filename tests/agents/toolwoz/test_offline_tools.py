"""What the assistant of ToolWOZ that needs no model says and does."""

import json
from collections import Counter

import pytest
from woz_talk import ENV, HARD, TASKS, Dice, agent_of, step, trees, turn, world_of

from josh.agents.toolwoz.offline import OfflineToolAgent
from josh.envs.toolwoz.values import normalize
from josh.errors import UsageError
from josh.roles import BaseEnv, Task
from josh.testing import AgentConformance, FixedModel
from josh.tree import conversation, internal_conversation, leaves
from josh.users.toolwoz import phrases


class TestTheAgent(AgentConformance):
    def make(self):
        agent = agent_of()
        agent.add_message({"role": "user", "content": "Hello, I need a cheap restaurant in the north."})
        return agent


def test_a_search_is_followed_by_an_offer_and_a_booking_by_its_number():
    task, wish = next(
        (task, wish)
        for task in TASKS
        if (wish := task.data["goal"].get("restaurant")) and len(wish["info"]) > 1 and wish["book"]
        if not task.data["failures"]
    )
    agent, world = agent_of(task), world_of(task)
    info = {name: normalize(value) for name, value in wish["info"].items()}
    calls, _ = turn(agent, f"Hello, I need {phrases.thing('restaurant', info)}.", world)
    assert calls == [("search_restaurant", info)]
    (row,) = world.call(*calls[0])
    assert normalize(row["name"]) in normalize(agent.messages[-1]["content"])
    calls, words = turn(agent, f"Please book {phrases.booking('restaurant', wish['book'])}.", world)
    assert calls == [("book_restaurant", {"name": row["name"], **wish["book"]})]
    assert world.bookings[0].reference in words


def test_calls_and_answers_belong_together_and_stay_with_the_agent():
    for _, tree in trees(synthetic_tasks=12, temperature=1, seed=2):
        for leaf in leaves(tree):
            spoken = internal_conversation(tree, leaf)
            calls = [call for message in spoken for call in message.get("tool_calls", ())]
            answered = [message["tool_call_id"] for message in spoken if message["role"] == "tool"]
            assert [call["id"] for call in calls] == answered
            assert len(set(answered)) == len(answered)
            assert all(isinstance(json.loads(call["function"]["arguments"]), dict) for call in calls)
            assert {message["role"] for message in conversation(tree, leaf)} == {"user", "assistant"}
            assert all(message["content"] for message in conversation(tree, leaf))


def test_one_step_is_one_completion():
    agent, world = agent_of(), world_of(HARD)
    agent.add_message({"role": "user", "content": "Hello, I need a cheap Indian restaurant in the north."})
    assert step(agent, world, Dice(temperature=0)) is False
    assert [message["role"] for message in agent.messages_internal] == ["system", "user", "assistant", "tool"]
    assert [action["name"] for action in agent.recent_actions] == ["search_restaurant"]
    assert len(agent.messages) == 1
    assert step(agent, world, Dice(temperature=0)) is True
    assert agent.messages[-1] == agent.messages_internal[-1]


def test_it_knows_nothing_of_the_goal_but_what_it_is_told():
    """Started on a task without data, it does in a world the very same as one that was given all there is."""
    for seed in range(12):
        knowing, ignorant = agent_of(HARD), OfflineToolAgent()
        ignorant.start(Task("other", 7, {}), ENV, {})
        for said in ("Hello, I need a cheap place to stay.", "It should be in the west."):
            assert turn(knowing, said, world_of(HARD), seed, 1.0) == turn(ignorant, said, world_of(HARD), seed, 1.0)


def test_it_goes_wrong_at_a_temperature_and_never_without():
    said = "Hello, I need a cheap Indian restaurant in the north."
    whole = ("search_restaurant", {"area": "north", "food": "indian", "pricerange": "cheap"})
    assert {str(turn(agent_of(), said, world_of(HARD), seed)[0]) for seed in range(20)} == {str([whole])}
    hot = [turn(agent_of(), said, world_of(HARD), seed, 1.0) for seed in range(120)]
    searches = Counter(len(calls[0][1]) if calls else 0 for calls, _ in hot)
    assert set(searches) == {0, 2, 3}, "it asks or boasts, leaves something out, or does it well"
    assert all(share > 10 for share in searches.values())
    assert len({words for _, words in hot}) > 12


def test_a_wrong_booking_is_noticed_and_made_good_when_it_is_asked_for_again():
    task = next(task for task in TASKS if task.data["targets"][-1]["api"] == "book_train" and not task.data["failures"])
    goal = task.data["goal"]["train"]
    agent, world = agent_of(task), world_of(task)
    turn(agent, f"I need {phrases.thing('train', goal['info'])}.", world)
    people = goal["book"]["people"]
    wrong, spoken = turn(agent, f"Please book seats for {int(people) + 1} people.", world)
    assert wrong[0][1]["people"] != people
    assert "booking" in spoken
    assert "reference" not in spoken
    _, spoken = turn(agent, f"Please try again to book seats for {people} people.", world)
    assert world.bookings[0].reference in spoken


def test_it_books_nothing_that_it_has_not_found():
    agent, world = agent_of(), world_of(HARD)
    assert turn(agent, "I need a restaurant in the north that serves Eritrean food.", world)[0]
    calls, words = turn(agent, "Please book it for 2 people on Monday at 18:00.", world)
    assert calls == []
    assert "find" in words or "found" in words


def test_it_says_so_where_its_tools_are_no_use():
    with pytest.raises(UsageError, match="needs tools such as search_hotel"):
        OfflineToolAgent().start(TASKS[0], BaseEnv({}), {})


def test_it_greets_where_it_has_to_begin():
    agent = agent_of()
    assert step(agent, None, FixedModel()) is True
    assert agent.messages[-1]["content"].endswith("?")
