"""When two values of a tool's arguments mean the same."""

import pytest

from josh.envs.toolwoz.values import constraints, normalize, satisfies


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (4, "4"),
        (4.0, "4"),
        ("4.0", 4),
        ("Alexander's B&B", "alexanders  b&b"),
        ("caffè uno\u2019s", "Caffè Unos"),
        ("9:05", "09:05"),
        (True, "true"),
        (None, ""),
    ],
)
def test_two_forms_of_a_value_are_one(one, other):
    assert normalize(one) == normalize(other)


@pytest.mark.parametrize(("one", "other"), [("4", "5"), ("19:05", "9:05"), (2.5, "2"), ("10", "1.0")])
def test_different_values_stay_apart(one, other):
    assert normalize(one) != normalize(other)


def test_what_asks_for_nothing_in_particular_is_left_out():
    nothing = {"area": "dontcare", "food": "Doesn't care", "name": "", "stars": None, "type": "No preference"}
    assert constraints({**nothing, "people": 2}) == {"people": "2"}


def test_what_is_given_covers_what_is_asked_for():
    given = {"area": "North", "food": "thai", "people": 4}
    assert satisfies(given, {"area": "north", "people": "4"})
    assert satisfies(given, {"area": "north", "stars": "any"})
    assert not satisfies(given, {"area": "north", "stars": "4"})
    assert not satisfies({"area": "any"}, {"area": "north"})
