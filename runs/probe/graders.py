"""Exact graders of replies. Each function returns a grader: a function that says whether a text is right.

A grader allows for the ways in which a right reply is usually put (an introduction, quotes, a code block, a full stop),
and never for another answer.
"""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

Grader = Callable[[str], bool]
"""Takes the text of a reply, without thoughts; returns whether it is right."""

_NUMBER = re.compile(r"(?<![\w.])[-\u2212]?\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\d,]*\d)|(?<![\w.])[-\u2212]?\d+(?:\.\d+)?")
_YES_NO = re.compile(r"\b(yes|no)\b", re.IGNORECASE)
_FENCE = re.compile(r"```[\w-]*\s*\n?(.*?)```", re.DOTALL)
_BEFORE_ANSWER = re.compile(r"\A(?:the\s+)?(?:final\s+)?answer(?:\s+is)?\s*[:\-]?\s*", re.IGNORECASE)
_AROUND = " \t\r\n\"'`*_\u201c\u201d\u2018\u2019"
_SENTENCE_END = re.compile(r"[.!?]+(?=[\"'\u201d\u2019)*_]*(?:\s|$))")
_BULLET = re.compile(r"^\s*(?:[-*\u2022]|\d+[.)])\s+")


def number(value: float) -> Grader:
    """Right if the last number of the text is the value; thousands may have commas."""

    def right(text: str) -> bool:
        found = _NUMBER.findall(text)
        return bool(found) and abs(float(found[-1].replace(",", "").replace("\u2212", "-")) - value) < 1e-9

    return right


def yes_no(truth: bool) -> Grader:
    """Right if the text begins with the right one of yes and no, or has that one and never the other."""

    def right(text: str) -> bool:
        plain = _BEFORE_ANSWER.sub("", text.strip(_AROUND)).strip(_AROUND)
        found = [one.lower() for one in _YES_NO.findall(plain)]
        first = _YES_NO.match(plain)
        said = first[1].lower() if first else found[0] if len(set(found)) == 1 else ""
        return said == ("yes" if truth else "no")

    return right


def json_value(wanted: Any) -> Grader:
    """Right if the first JSON object or array of the text is the wanted one, with the same keys and kinds of values.

    Texts are compared without regard to case and to blanks around them.
    """

    def right(text: str) -> bool:
        return _same(_first_json(text), wanted)

    return right


def exactly(*wanted: str, case: bool = False) -> Grader:
    """Right if the text is one of the wanted ones, apart from quotes, a full stop, and blanks at the ends of lines.

    Args:
        wanted: the texts.
        case: whether capitals count.
    """

    def right(text: str) -> bool:
        return _bare(text, case) in {_bare(one, case) for one in wanted}

    return right


def items(*wanted: str) -> Grader:
    """Right if the text consists of the wanted items in this order, between commas or on lines of their own."""

    def right(text: str) -> bool:
        found = [_bare(_BULLET.sub("", one), False) for one in re.split(r"[,\n]", _unfenced(text).strip())]
        return [one for one in found if one] == [_bare(one, False) for one in wanted]

    return right


def words(least: int, most: int, *containing: str) -> Grader:
    """Right if the text has so many words, and contains the given parts, in any case."""

    def right(text: str) -> bool:
        plain = text.lower()
        return least <= len(text.split()) <= most and all(part.lower() in plain for part in containing)

    return right


def sentences(count: int) -> Grader:
    """Right if the text has so many sentences, each with an end, and nothing after the last."""

    def right(text: str) -> bool:
        plain = text.strip(_AROUND)
        ends = list(_SENTENCE_END.finditer(plain))
        return len(ends) == count and ends[-1].end() == len(plain)

    return right


def lines(count: int, start: str = "") -> Grader:
    """Right if the text has so many lines that are not empty, each beginning with `start` and more after it."""

    def right(text: str) -> bool:
        found = [line.strip() for line in _unfenced(text).splitlines() if line.strip()]
        return len(found) == count and all(line.startswith(start) and line != start.strip() for line in found)

    return right


def lower_case() -> Grader:
    """Right if the text has letters, and no capital."""
    return lambda text: text == text.lower() and any(map(str.isalpha, text))


def ends_with(end: str) -> Grader:
    """Right if the text, without quotes around it, has this end."""
    return lambda text: text.strip(_AROUND).endswith(end)


def every(*graders: Grader) -> Grader:
    """Right if all of the graders say so."""
    return lambda text: all(grader(text) for grader in graders)


def _unfenced(text: str) -> str:
    """Returns the content of the first code block of a text; the text where it has none."""
    found = _FENCE.search(text)
    return found[1] if found else text


def _bare(text: str, case: bool) -> str:
    """Returns a text without quotes and a full stop around it, and without blanks at the ends of its lines."""
    rows = [row.strip() for row in _unfenced(text).strip(_AROUND).rstrip(".").strip(_AROUND).splitlines()]
    plain = "\n".join(rows)
    return plain if case else plain.lower()


def _first_json(text: str) -> Any:
    """Returns the first JSON object or array of a text; None where there is none."""
    decoder, plain = json.JSONDecoder(), _unfenced(text)
    for place in (at for at, letter in enumerate(plain) if letter in "[{"):
        try:
            return decoder.raw_decode(plain, place)[0]
        except (ValueError, RecursionError):
            continue
    return None


def _same(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        return (
            isinstance(found, dict)
            and found.keys() == wanted.keys()
            and all(_same(found[name], value) for name, value in wanted.items())
        )
    if isinstance(wanted, Sequence) and not isinstance(wanted, str):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(_same, found, wanted))
    if isinstance(wanted, bool) or wanted is None or isinstance(found, bool):
        return found is wanted
    if isinstance(wanted, str):
        return isinstance(found, str) and found.strip().lower() == wanted.lower()
    return isinstance(found, int | float) and abs(found - wanted) < 1e-9
