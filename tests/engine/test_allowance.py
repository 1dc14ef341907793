"""A budget cuts a plan to the turns that fit."""

from dataclasses import replace

import pytest

from josh import Expand, Speaker
from josh.allowance import Allowance
from josh.dialogue import NO_USAGE, Turn, Usage
from josh.search import grow
from josh.tree import plant

A, U = Speaker.AGENT, Speaker.USER


def tree(turns=2, usage=NO_USAGE):
    found = plant(["a"])
    found = grow(found, (Expand(0, A, (None,) * turns),), [Turn(usage=usage)] * turns)
    return grow(found, tuple(Expand(leaf, U) for leaf in found.frontier), [Turn(usage=usage)] * turns)


def test_each_node_gets_its_first_turn_before_any_gets_its_second():
    plan = (Expand(3, A, (None, None)), Expand(4, A, (None, "warmly", "coldly")))
    fitted = Allowance(5).fitting(tree(), plan)
    assert fitted == (Expand(3, A, (None, None)), Expand(4, A, (None,)))
    assert Allowance(3).fitting(tree(), plan) == (Expand(3, A, (None,)),)
    assert Allowance(7).fitting(tree(), plan) == plan


def test_users_answer_after_the_budget_is_spent_but_only_once():
    found = tree()
    found = grow(found, (Expand(3, A),), [Turn()])
    plan = (Expand(1, U, keep=True), Expand(4, A), Expand(5, U))
    assert Allowance(3).fitting(replace(found, frontier=(1, 4, 5)), plan) == (Expand(5, U),)


def test_turns_are_those_of_the_agent():
    assert Allowance(9).spent(tree()) == 2
    assert str(Allowance(9)) == "9 turns"


@pytest.mark.parametrize(
    ("most", "unit", "left"), [(12, "calls", 4), (9, "calls", 3), (44, "tokens", 1), (40, "tokens", 0)]
)
def test_calls_and_tokens_are_estimated_by_the_turns_so_far(most, unit, left):
    found = tree(usage=Usage(1, 8, 2))
    assert Allowance(most, unit).spent(found) == (4 if unit == "calls" else 40)
    assert Allowance(most, unit).turns_left(found) == left


def test_before_the_first_turn_a_call_is_what_a_turn_costs():
    assert Allowance(7, "calls").turns_left(plant(["a"])) == 7
