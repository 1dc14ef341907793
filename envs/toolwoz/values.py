"""When two values of a tool's arguments mean the same: whatever their case, apostrophes and blanks, `4` and `"4"`."""

import re
from collections.abc import Mapping
from typing import Any

ANYTHING = frozenset(
    (
        *("", "any", "anything", "do nt care", "do not care", "does not care", "doesnt care", "dont care", "dontcare"),
        *("no preference", "not mentioned", "none"),
    )
)
"""Plain values that ask for nothing in particular."""
_APOSTROPHES = re.compile("['\u2018\u2019`\u00b4]")
_TIME = re.compile(r"(\d{1,2}):(\d{2})")
_WHOLE = re.compile(r"(\d+)\.0+")


def plain(value: Any) -> str:
    """A value as it is compared: in lower case, without apostrophes and needless blanks, a time with all its digits.

    Numbers are written without a fraction that is nothing; None is empty.
    """
    if value is None:
        return ""
    text = " ".join(_APOSTROPHES.sub("", str(value)).lower().split())
    time = _TIME.fullmatch(text)
    if time:
        return f"{int(time[1]):02}:{time[2]}"
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def wanted(values: Mapping[str, Any]) -> dict[str, str]:
    """The plain values by name, without those that ask for nothing in particular."""
    return {name: text for name, value in values.items() if (text := plain(value)) not in ANYTHING}


def covers(given: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Whether everything in particular that is asked for is given, with the same values."""
    have = wanted(given)
    return all(have.get(name) == value for name, value in wanted(asked).items())
