"""Goals met by tool calls: which calls meet which goals, and which never do."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from josh.dialogue import Hit
from josh.envs.toolwoz.server import TOO_MANY
from josh.errors import UsageError
from josh.rewards.tool_goals import ToolGoals
from josh.roles import BaseEnv, Task
from josh.testing import RewardsConformance

BISTRO = {"id": "7", "name": "clara's bistro", "area": "north", "food": "thai", "pricerange": "cheap"}
OTHER = {"id": "8", "name": "the lantern", "area": "north", "food": "thai", "pricerange": "expensive"}
PARK = {"id": "21", "name": "hill park", "area": "west", "type": "park"}
TRAIN = {"trainID": "TR1", "departure": "arden", "destination": "holm", "day": "monday", "leaveAt": "09:15"}

FIND = {"domain": "restaurant", "api": "search_restaurant", "id": "7", "booked": True}
FIND["parameters"] = {"area": "north", "food": "thai", "pricerange": "cheap"}
BOOK = {"domain": "restaurant", "api": "book_restaurant", "id": "7"}
BOOK["parameters"] = {"name": "claras bistro", "people": "4", "day": "friday", "time": "19:30"}
VISIT = {"domain": "attraction", "api": "search_attraction", "id": None, "booked": False}
VISIT["parameters"] = {"area": "west", "type": "park"}
RIDE = {"domain": "train", "api": "search_train", "id": None, "booked": False}
RIDE["parameters"] = {"departure": "arden", "destination": "holm", "leaveAt": "09:00"}
TARGETS = (FIND, BOOK, VISIT, RIDE)

FULL = {"area": "North", "food": "thai", "pricerange": "cheap"}
BOOKING = {"name": "Clara's Bistro", "people": 4, "day": "Friday", "time": "19:30"}
BOOKED = {"success": True, "reference": "0A1B2C3D"}


def goals(*targets):
    return ToolGoals([target["api"] for target in targets], targets)


def search(domain, arguments, *rows):
    return {"name": f"search_{domain}", "arguments": arguments, "result": list(rows)}


def book(arguments, result):
    return {"name": "book_restaurant", "arguments": arguments, "result": result}


def met(rewards, *actions):
    found, goals = rewards.is_reward(list(actions))
    assert found == bool(goals)
    return goals


class TestToolGoals(RewardsConformance):
    def make(self):
        return goals(FIND, BOOK)

    def winning(self):
        return [search("restaurant", FULL, BISTRO), book(BOOKING, BOOKED)]


@pytest.mark.parametrize(
    ("case", "arguments", "rows", "counts"),
    [
        ("asks for all and finds it", FULL, [BISTRO], True),
        ("asks for all in other words", {"area": "NORTH ", "food": "Thai", "pricerange": "cheap"}, [BISTRO], True),
        ("asks for all and more", FULL | {"name": "clara's bistro"}, [BISTRO], True),
        ("asks for all and finds another", FULL, [OTHER], False),
        ("asks for all and finds nothing", FULL, [], False),
        ("asks for a part and finds it all the same", {"area": "north"}, [BISTRO], True),
        ("asks for a part and finds another", {"area": "north"}, [OTHER], False),
        ("asks for a part and for something else", {"area": "north", "name": "claras bistro"}, [BISTRO], False),
        ("asks for the wrong thing", FULL | {"pricerange": "expensive"}, [BISTRO], False),
        ("asks for nothing", {}, [BISTRO], False),
        ("asks for nothing in particular", {"area": "dontcare", "food": ""}, [BISTRO], False),
    ],
)
def test_a_search_before_a_booking_has_to_find_what_is_booked(case, arguments, rows, counts):
    assert bool(met(goals(FIND, BOOK), search("restaurant", arguments, *rows))) is counts, case


@pytest.mark.parametrize(
    ("case", "arguments", "rows", "counts"),
    [
        ("asks for all", {"area": "west", "type": "park"}, [PARK], True),
        ("asks for all and finds some other row", {"area": "west", "type": "park"}, [PARK | {"area": "east"}], True),
        ("asks for too much to find any", {"area": "west", "type": "park", "name": "x"}, [], False),
        ("asks for too much and finds it", {"area": "west", "type": "park", "name": "hill park"}, [PARK], True),
        ("asks for a part and finds what is wanted", {"type": "park"}, [PARK], True),
        ("asks for a part and finds something else", {"type": "park"}, [PARK | {"area": "east"}], False),
        ("asks for a part and finds nothing", {"type": "park"}, [], False),
        ("asks for nothing", {}, [PARK], False),
    ],
)
def test_a_search_without_a_booking_has_to_ask_for_all_or_find_all(case, arguments, rows, counts):
    assert bool(met(goals(VISIT), search("attraction", arguments, *rows))) is counts, case


@pytest.mark.parametrize(
    ("case", "leaves", "counts"),
    [
        ("later than wanted", "09:15", True),
        ("at the very time", "09:00", True),
        ("with one digit", "9:05", True),
        ("too early", "08:59", False),
        ("nobody knows when", "?", False),
    ],
)
def test_a_time_in_a_found_row_is_a_limit(case, leaves, counts):
    action = search("train", {"departure": "arden"}, TRAIN | {"leaveAt": leaves})
    assert bool(met(goals(RIDE), action)) is counts, case


@pytest.mark.parametrize(("arrives", "counts"), [("10:00", True), ("10:30", True), ("10:31", False)])
def test_a_train_has_to_arrive_in_time(arrives, counts):
    arrival = RIDE | {"parameters": {"departure": "arden", "arriveBy": "10:30"}}
    assert bool(met(goals(arrival), search("train", {"departure": "arden"}, TRAIN | {"arriveBy": arrives}))) is counts


@pytest.mark.parametrize(
    ("wanted", "counts"), [("TR1", True), ("TR1 monday 09:15", True), ("TR1 sunday 09:15", False), ("TR2", False)]
)
def test_a_train_is_known_by_its_number_and_where_several_share_it_by_day_and_time(wanted, counts):
    ride = RIDE | {"id": wanted, "booked": True}
    assert bool(met(goals(ride), search("train", RIDE["parameters"], TRAIN))) is counts


def test_a_row_without_an_id_is_never_the_one_to_be_booked():
    nameless = FIND | {"id": None}
    assert not met(goals(nameless), search("restaurant", FULL, {"name": "clara's bistro"}))


@pytest.mark.parametrize(
    ("case", "arguments", "result", "counts"),
    [
        ("as wanted", BOOKING, BOOKED, True),
        ("with more than is wanted", BOOKING | {"note": "window"}, BOOKED, True),
        ("with a value missing", {**BOOKING, "time": "any"}, BOOKED, False),
        ("with a wrong value", BOOKING | {"people": 5}, BOOKED, False),
        ("of another place", BOOKING | {"name": "the lantern"}, BOOKED, False),
        ("that did not succeed", BOOKING, {"success": False}, False),
        ("that does not say so", BOOKING, {"success": "true"}, False),
        ("that came to nothing", BOOKING, None, False),
    ],
)
def test_a_booking_has_to_be_the_one_wanted_and_to_succeed(case, arguments, result, counts):
    assert bool(met(goals(FIND, BOOK), book(arguments, result))) is counts, case


def test_a_refused_call_meets_nothing():
    refused = {"name": "search_attraction", "arguments": VISIT["parameters"], "error": "no such place"}
    assert not met(goals(VISIT), refused)
    assert not met(goals(VISIT), refused | {"result": [PARK]})


def test_a_call_without_a_result_meets_nothing():
    assert not met(goals(VISIT), {"name": "search_attraction", "arguments": VISIT["parameters"]})


def test_rows_may_come_in_a_tuple():
    action = {"name": "search_restaurant", "arguments": FULL, "result": (BISTRO,)}
    assert met(goals(FIND, BOOK), action) == ["search_restaurant"]


def test_each_goal_is_met_once_and_each_call_meets_one():
    find, booking = search("restaurant", FULL, BISTRO), book(BOOKING, BOOKED)
    assert met(goals(FIND, BOOK), find, find, booking, booking) == ["search_restaurant", "book_restaurant"]


def test_goals_are_named_in_the_order_of_the_calls():
    find, booking = search("restaurant", FULL, BISTRO), book(BOOKING, BOOKED)
    assert met(goals(FIND, BOOK), booking, find) == ["book_restaurant", "search_restaurant"]


def test_a_booking_that_was_made_makes_a_search_no_easier():
    # The published scorer forgets which row was to be booked, and pays for any search that asks for all.
    rewards = goals(FIND, BOOK)
    rewards.delete_reward(["book_restaurant"])
    assert not met(rewards, search("restaurant", FULL, OTHER))
    assert met(rewards, search("restaurant", FULL, BISTRO)) == ["search_restaurant"]


def test_a_spent_goal_is_not_met_again():
    rewards = goals(FIND, BOOK)
    rewards.delete_reward(["search_restaurant"])
    assert not met(rewards, search("restaurant", FULL, BISTRO))


def test_the_reward_is_the_share_of_the_goals_met():
    hits = [Hit(0, ("search_restaurant",), 1.0), Hit(1, ("search_attraction",), 1.0)]
    assert goals(*TARGETS).path_reward([target["api"] for target in TARGETS], hits) == 0.5


def test_a_search_that_asks_for_more_than_all_and_finds_nothing_meets_nothing():
    more = {**VISIT["parameters"], "name": "the man on the moon"}
    assert met(goals(VISIT), search("attraction", more)) == []
    assert met(goals(VISIT), search("attraction", VISIT["parameters"], PARK)) == ["search_attraction"]


def test_a_step_with_too_many_calls_meets_nothing():
    find = search("restaurant", FULL, BISTRO)
    refused = {"name": "search_hotel", "arguments": {}, "error": f"{TOO_MANY} 12; speak to the user"}
    assert met(goals(FIND, BOOK), find) == ["search_restaurant"]
    assert met(goals(FIND, BOOK), find, refused) == []


def test_the_targets_are_the_tasks():
    task = Task("t", 0, {"targets": [VISIT]})
    rewards = ToolGoals(["search_attraction"])
    rewards.start(task, BaseEnv({}), {})
    assert met(rewards.fork(), search("attraction", VISIT["parameters"], PARK)) == ["search_attraction"]


@pytest.mark.parametrize(("goal", "data"), [("a", {}), ("book_hotel", {"targets": [VISIT]}), (["a", 1], {})])
def test_a_goal_without_a_target_is_refused(goal, data):
    with pytest.raises(UsageError, match="task t has no target for its goal"):
        ToolGoals([goal]).start(Task("t", 0, data), BaseEnv({}), {})


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.sampled_from(["north", "thai", "7", "any", "19:30"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(list(FULL)), inner, max_size=2),
    max_leaves=6,
)
CALLS = st.fixed_dictionaries(
    {"name": st.sampled_from([target["api"] for target in TARGETS]) | VALUES},
    optional={
        "arguments": st.sampled_from([FULL, BOOKING, VISIT["parameters"], RIDE["parameters"]]) | VALUES,
        "result": st.sampled_from([[BISTRO], [PARK], [TRAIN], (BISTRO,), BOOKED]) | VALUES,
        "error": VALUES,
    },
)


@given(st.lists(CALLS | VALUES, max_size=6))
def test_whatever_was_called_the_goals_met_are_open_and_nothing_is_changed(actions):
    rewards, before = goals(*TARGETS), copy.deepcopy(actions)
    found = met(rewards, *actions)
    assert len(set(found)) == len(found)
    assert set(found) <= set(rewards.rewards)
    assert actions == before
    assert len(rewards) == len(TARGETS)


@given(st.permutations([search("restaurant", FULL, BISTRO), book(BOOKING, BOOKED), search("attraction", FULL, PARK)]))
def test_the_order_of_the_calls_makes_no_difference_to_what_they_meet(actions):
    whole = goals(FIND, BOOK, VISIT)
    at_once = met(whole, *actions)
    for action in actions:
        whole.delete_reward(met(whole, action))
    assert sorted(at_once) == ["book_restaurant", "search_restaurant"]
    assert whole.rewards == ["search_attraction"]
