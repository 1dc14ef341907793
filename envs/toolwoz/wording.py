"""Writes a goal in natural sentences, in the second person, for the user's prompt."""

import random
from collections.abc import Mapping
from typing import Any, TypeAlias

from josh.envs.toolwoz.language import NAMES, NO_THINGS, TO_BOOK, article, booked_part, in_words, join_words, title

Wish: TypeAlias = Mapping[str, Any]
"""A user's wish in one domain: `info`, `fail_info`, `book`, `fail_book` and `reqt`."""

_OPENINGS = {
    "restaurant": ("You want to eat out.", "You are looking for a restaurant.", "You need a place to eat."),
    "hotel": ("You need a place to stay.", "You are looking for somewhere to sleep.", "You want a room for the night."),
    "attraction": ("You want to see something of the town.", "You are looking for a place to visit."),
    "train": ("You are going by train.", "You need a train.", "You want to travel by rail."),
}
_NEXT = ("That done, {}", "Besides, {}", "When this is settled, {}")
_STARS = {"1": "1 star"}
_INSTEAD = (
    "Should there be nothing of the kind, {} will do.",
    "If nothing fits, you are also happy with {}.",
    "If that cannot be found, settle for {}.",
)
_INSTEAD_OF_BOOKING = (
    "If that is not possible, you will take {}.",
    "Should it be full, ask for {}.",
    "If they cannot have you then, try {}.",
)
_REQUESTS = (
    "You want to be told the {}.",
    "Ask for the {}.",
    "You would like to know the {} too.",
    "Find out the {}.",
)


def goal_sentences(goal: Mapping[str, Wish], chance: random.Random) -> list[str]:
    """Returns sentences that describe a goal in the second person.

    Every value of the goal occurs in them unchanged, except for capitals, and for yes and no.

    Args:
        goal: a wish for each domain, in the order of the conversation.
        chance: draws the wording.
    """
    sentences = []
    for place, (domain, wish) in enumerate(goal.items()):
        opening = chance.choice(_OPENINGS[domain])
        sentences.append(chance.choice(_NEXT).format(opening[0].lower() + opening[1:]) if place else opening)
        sentences.extend(_searched(wish, chance))
        if wish["book"]:
            sentences.extend(_booked(domain, wish, chance))
        if wish["reqt"]:
            details = join_words([NAMES.get(name, name) for name in wish["reqt"]])
            sentences.append(chance.choice(_REQUESTS).format(details))
    return sentences


def _searched(wish: Wish, chance: random.Random) -> list[str]:
    info, first = wish["info"], {**wish["info"], **wish["fail_info"]}
    if "name" in first:
        called = chance.choice(("It is called {}.", "You have {} in mind.", "Somebody told you about {}."))
        return [called.format(_title(first["name"]))]
    traits = [_trait(name, first) for name in first if name != "destination"]
    sentences = [f"{chance.choice(('It should', 'It has to', 'You want it to'))} {join_words(traits)}."]
    changed = [_value(name, info[name]) for name in info if info[name] != first[name]]
    if changed:
        sentences.append(chance.choice(_INSTEAD).format(join_words(changed)))
    return sentences


def _trait(name: str, info: Mapping[str, str]) -> str:
    """Returns one constraint as a verb after `should`."""
    value = info[name]
    written = {
        "food": f"serve {_title(value)} food",
        "pricerange": f"be {value if value != 'moderate' else 'in the moderate price range'}",
        "area": "be in the centre" if value == "centre" else f"be in the {value} of the town",
        "type": f"be {_kind(value)}",
        "stars": f"have {_STARS.get(value, f'{value} stars')}",
        "internet": "have internet access" if value == "yes" else "be without internet access",
        "parking": "have parking" if value == "yes" else "be without parking",
        "departure": f"go from {_title(value)} to {_title(info.get('destination', ''))}",
        "day": f"run on {_title(value)}",
        "leaveAt": f"leave at {value} or later",
        "arriveBy": f"arrive by {value}",
    }
    return written[name]


def _value(name: str, value: str) -> str:
    """Returns a constraint that replaces another one, as a noun."""
    written = {
        "food": f"{_title(value)} food",
        "pricerange": f"{article(value)} {value} one",
        "area": "one in the centre" if value == "centre" else f"one in the {value} of the town",
        "type": f"one {_kind(value)}" if _is_no_thing(value) else _kind(value),
        "stars": f"one with {_STARS.get(value, f'{value} stars')}",
        "internet": "one with internet access" if value == "yes" else "one without internet access",
        "parking": "one with parking" if value == "yes" else "one without parking",
    }
    return written[name]


def _booked(domain: str, wish: Wish, chance: random.Random) -> list[str]:
    book, first = wish["book"], {**wish["book"], **wish["fail_book"]}
    once = chance.choice(("Once you have found one, book", "When you have made your choice, book", "Then book"))
    sentences = [f"{once} {TO_BOOK[domain]} {' '.join(booked_part(domain, name, first[name]) for name in first)}."]
    changed = [booked_part(domain, name, book[name]) for name in book if book[name] != first[name]]
    if changed:
        sentences.append(chance.choice(_INSTEAD_OF_BOOKING).format("a booking " + " ".join(changed)))
    return sentences


def _is_no_thing(kind: str) -> bool:
    return in_words("type", kind) in NO_THINGS


def _kind(value: str) -> str:
    return f"of the type {value}" if _is_no_thing(value) else f"{article(value)} {value}"


def _title(words: str) -> str:
    """Returns a name with capitals, including small words."""
    return title(words, small=frozenset())
