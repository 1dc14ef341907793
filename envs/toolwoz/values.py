"""Compares values of a tool's arguments, regardless of case, apostrophes, blanks and spelling; `4` equals `"4"`."""

import re
from collections.abc import Mapping
from typing import Any

ANYTHING = frozenset(
    (
        *("", "any", "anything", "do nt care", "do not care", "does not care", "doesnt care", "dont care", "dontcare"),
        *("no preference", "no preferences", "not mentioned", "none", "doesnt matter", "does not matter", "dont mind"),
    )
)
"""Normalized values that accept anything."""
_APOSTROPHES = re.compile("['\u2018\u2019`\u00b4]")
SPELLINGS = {
    "center": "centre",
    "city center": "centre",
    "city centre": "centre",
    "town centre": "centre",
    "town center": "centre",
    "concert hall": "concerthall",
    "guest house": "guesthouse",
    "guest-house": "guesthouse",
    "moderately priced": "moderate",
    "mutliple sports": "multiple sports",  # as MultiWOZ's database has it
    "night club": "nightclub",
    "swimming pool": "swimmingpool",
    "theater": "theatre",
}
"""Other spellings of values, each with that of MultiWOZ's goals; all are normalized."""
_TIME = re.compile(r"(\d{1,2})[:.](\d{2})(?::\d{2})?(?: ?([ap])\.?m\.?)?")
_WHOLE = re.compile(r"(\d+)\.0+")


def plain(text: Any) -> str:
    """Returns a text in lower case, without apostrophes and extra blanks. None is an empty text."""
    return "" if text is None else " ".join(_APOSTROPHES.sub("", str(text)).lower().split())


def normalize(value: Any) -> str:
    """Returns a value in the form in which values are compared.

    It is plain, and in one of several spellings. A time has two digits for the hour, and 24 hours. A whole number has
    no decimal point.
    """
    text = plain(value)
    time = _TIME.fullmatch(text)
    if time and (":" in text or time[3]):
        hour = int(time[1])
        if time[3] and 1 <= hour <= 12:
            hour = hour % 12 + 12 * (time[3] == "p")
        return f"{hour:02}:{time[2]}"
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else SPELLINGS.get(text, text)


def constraints(values: Mapping[str, Any]) -> dict[str, str]:
    """Returns the normalized values by name, without those that accept anything."""
    return {name: text for name, value in values.items() if (text := normalize(value)) not in ANYTHING}


def satisfies(given: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Returns whether `given` has every constraint of `asked`, with the same normalized values."""
    have = constraints(given)
    return all(have.get(name) == value for name, value in constraints(asked).items())
