"""When two values of a tool's arguments mean the same: whatever their case, apostrophes and blanks, `4` and `"4"`."""

import re
from collections.abc import Mapping
from typing import Any

ANYTHING = frozenset(("", "any", "do nt care", "does not care", "dont care", "dontcare", "not mentioned", "none"))
"""Plain values that ask for nothing in particular."""
_APOSTROPHES = re.compile("['\u2018\u2019`\u00b4]")
_TIME = re.compile(r"(\d{1,2}):(\d{2})")


def plain(value: Any) -> str:
    """A value as it is compared: in lower case, without apostrophes and needless blanks, a time with all its digits.

    Numbers are written without a fraction that is nothing; None is empty.
    """
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = " ".join(_APOSTROPHES.sub("", str(value)).lower().split())
    time = _TIME.fullmatch(text)
    return f"{int(time[1]):02}:{time[2]}" if time else text


def wanted(values: Mapping[str, Any]) -> dict[str, str]:
    """The plain values by name, without those that ask for nothing in particular."""
    return {name: text for name, value in values.items() if (text := plain(value)) not in ANYTHING}


def covers(given: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Whether everything in particular that is asked for is given, with the same values."""
    have = wanted(given)
    return all(have.get(name) == value for name, value in wanted(asked).items())
