"""Compares values of a tool's arguments, regardless of case, apostrophes and blanks; `4` equals `"4"`."""

import re
from collections.abc import Mapping
from typing import Any

ANYTHING = frozenset(
    (
        *("", "any", "anything", "do nt care", "do not care", "does not care", "doesnt care", "dont care", "dontcare"),
        *("no preference", "not mentioned", "none"),
    )
)
"""Normalized values that accept anything."""
_APOSTROPHES = re.compile("['\u2018\u2019`\u00b4]")
_TIME = re.compile(r"(\d{1,2}):(\d{2})")
_WHOLE = re.compile(r"(\d+)\.0+")


def normalize(value: Any) -> str:
    """Returns a value in the form in which values are compared.

    It is in lower case, without apostrophes and extra blanks; a time has two digits for the hour. A whole number has
    no decimal point. None is an empty text.
    """
    if value is None:
        return ""
    text = " ".join(_APOSTROPHES.sub("", str(value)).lower().split())
    time = _TIME.fullmatch(text)
    if time:
        return f"{int(time[1]):02}:{time[2]}"
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def constraints(values: Mapping[str, Any]) -> dict[str, str]:
    """Returns the normalized values by name, without those that accept anything."""
    return {name: text for name, value in values.items() if (text := normalize(value)) not in ANYTHING}


def satisfies(given: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Returns whether `given` has every constraint of `asked`, with the same normalized values."""
    have = constraints(given)
    return all(have.get(name) == value for name, value in constraints(asked).items())
