"""The language of ToolWOZ: the words for places, trains, their details, values and bookings, for all speakers."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from josh.envs.toolwoz.values import normalize, plain

NOUNS: Final[Mapping[str, str]] = {
    "restaurant": "restaurant",
    "hotel": "place to stay",
    "attraction": "place to visit",
    "train": "train",
}
"""The noun for one thing of each domain."""
TO_BOOK: Final[Mapping[str, str]] = {"restaurant": "a table", "hotel": "a room", "train": "seats"}
"""The object of a booking in each domain."""
BOOKED: Final = ("people", "day", "time", "stay")
"""The parameters of a booking, in the order in which they are said."""
PRICES: Final[Mapping[str, str]] = {"cheap": "cheap", "moderate": "moderately priced", "expensive": "expensive"}
"""The adjective for each price range."""
NO_THINGS: Final = frozenset(("architecture", "boat trips", "entertainment", "multiple sports"))
"""Types of attraction, in words, that take no article."""
NAMES: Final[Mapping[str, str]] = {
    "phone": "phone number",
    "address": "address",
    "postcode": "postcode",
    "entrance fee": "entrance fee",
    "pricerange": "price range",
    "price": "price",
    "duration": "travel time",
    "trainID": "train ID",
    "leaveAt": "departure time",
    "arriveBy": "arrival time",
    "food": "kind of food",
    "area": "part of town",
    "stars": "number of stars",
    "type": "kind of place",
    "internet": "internet access",
    "parking": "parking",
    "openhours": "opening hours",
    "reference": "reference number",
}
"""The words for the columns of the database."""

_SMALL = frozenset(("and", "at", "by", "de", "in", "of", "on", "the"))
_TITLES = frozenset(("name", "food", "departure", "destination", "day", "address"))
_PLAINER = {
    "swimmingpool": "swimming pool",
    "concerthall": "concert hall",
    "mutliple sports": "multiple sports",
    "boat": "boat trips",
}
_TRAIN = {
    "departure": "from {}",
    "destination": "to {}",
    "day": "on {}",
    "leaveAt": "that leaves at {} or later",
    "arriveBy": "that arrives by {}",
}


def in_words(name: str, value: Any) -> str:
    """Returns a value in words: names with capitals, kinds of place without the database's abbreviations."""
    text = " ".join(str(value).split())
    if name in _TITLES:
        return title(text)
    if name in ("postcode", "trainID"):
        return text.upper()
    return _PLAINER.get(text, text)


def title(text: str, small: frozenset[str] = _SMALL) -> str:
    """Returns a name with capitals, except for small words inside it; `str.title` would write `Rosa'S`."""
    words = [word if word in small else word[:1].upper() + word[1:] for word in text.split()]
    return " ".join((words[0][:1].upper() + words[0][1:], *words[1:])) if words else text


def article(word: str) -> str:
    """Returns the indefinite article of a word."""
    return "an" if word[:1].lower() in "aeiou" else "a"


def join_words(words: Sequence[str]) -> str:
    """Returns the words joined by commas and an `and`."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1]))) if words else ""


def place_phrase(domain: str, have: Mapping[str, str]) -> str:
    """Returns a place with its traits and an article, such as `a cheap Indian restaurant in the north`."""
    kind = have.get("type", "")
    noun = kind if kind not in NO_THINGS else ""
    parts = (
        PRICES.get(have.get("pricerange", ""), ""),
        f"{have['stars']}-star" if "stars" in have else "",
        have.get("food", ""),
        noun or NOUNS[domain],
    )
    text = " ".join(filter(None, parts))
    text = f"{article(text)} {text}"
    if kind in NO_THINGS:
        text += f" for {kind}"
    return f"{text} in the {have['area']}" if "area" in have else text


def train_phrase(have: Mapping[str, str]) -> str:
    """Returns a train with its traits, such as `a train to Ely on Monday`."""
    words = " ".join(("a train", *(words.format(have[name]) for name, words in _TRAIN.items() if name in have)))
    return words.replace(" or later that ", " or later and ")


def booked_with(domain: str, values: Mapping[str, str]) -> str:
    """Returns the values of a booking, such as `for 3 people on Sunday at 18:15`."""
    return " ".join(booked_part(domain, name, values[name]) for name in BOOKED if name in values)


def booked_part(domain: str, name: str, value: str) -> str:
    """Returns one value of a booking, such as `for 3 people`."""
    if name == "people":
        return f"for {value} {'person' if value == '1' else 'people'}"
    if name == "stay":
        return f"for {value} {'night' if value == '1' else 'nights'}"
    if name == "time":
        return f"at {value}"
    return f"{'from' if domain == 'hotel' else 'on'} {in_words(name, value)}"


def meanings(enums: Iterable[tuple[str, Sequence[Any]]], without: Iterable[str]) -> dict[str, list[tuple[str, str]]]:
    """Returns the meanings of values in words.

    Args:
        enums: parameters, each with its values.
        without: parameters to leave out.

    Returns:
        For each value in plain words, the parameters and normalized values that it may stand for.
    """
    meant: dict[str, list[tuple[str, str]]] = {}
    left_out = frozenset(without)
    for name, values in enums:
        if name not in left_out:
            for value in values:
                meant.setdefault(plain(in_words(name, value)), []).append((name, normalize(value)))
    return meant


def any_of(words: Iterable[str]) -> str:
    """Returns a regular expression for any of the words, the longest first; without words, one that never matches."""
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True)) or "(?!)"
