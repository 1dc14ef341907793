"""The phrases of the offline user with a goal."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Final

from josh.envs.toolwoz.language import (
    NAMES,
    NO_THINGS,
    NOUNS,
    PRICES,
    TO_BOOK,
    article,
    booked_with,
    in_words,
    join_words,
    place_phrase,
    train_phrase,
)


def thing(domain: str, wanted: Mapping[str, str]) -> str:
    """Returns what the user looks for, with an article, such as `a cheap Indian restaurant in the north`."""
    have = {name: in_words(name, value) for name, value in wanted.items()}
    if domain == "train":
        return train_phrase(have)
    if "name" in have:
        return f"a {NOUNS[domain]} called {have['name']}"
    facilities = [_FACILITIES[name, have[name] != "no"] for name in ("internet", "parking") if name in have]
    return f"{place_phrase(domain, have)} {' and '.join(facilities)}".strip()


def traits(wanted: Mapping[str, str]) -> str:
    """Returns constraints as verbs after `should`, such as `serve Indian food and be in the north`."""
    return join_words([_trait(name, in_words(name, value)) for name, value in wanted.items()]) or "suit me"


def booking(domain: str, values: Mapping[str, str]) -> str:
    """Returns what to book, such as `a table for 3 people on Sunday at 18:15`."""
    what = "a seat" if domain == "train" and values.get("people") == "1" else TO_BOOK[domain]
    return " ".join((what, booked_with(domain, values))).strip()


def details(columns: Sequence[str]) -> str:
    """Returns the names of details to ask for, such as `phone number and postcode`."""
    return join_words([NAMES.get(column, column) for column in columns])


def indifferent(names: Sequence[str]) -> str:
    """Returns a sentence that accepts any value of some parameters."""
    return f"I do not mind the {join_words([_ANY.get(name, name) for name in names])}."


def say(what: str, rng: Random, *values: str) -> str:
    """Returns a phrase of `PHRASES`, with the values filled in."""
    known = PHRASES[what]
    return known[int(rng.random() * len(known))].format(*values)


def _trait(name: str, value: str) -> str:
    if name == "type" and value in NO_THINGS:
        return f"be a place for {value}"
    if name in ("type", "stars"):
        return (
            f"be {article(value)} {value}" if name == "type" else f"have {value} {'star' if value == '1' else 'stars'}"
        )
    if name == "pricerange":
        return f"be {PRICES.get(value, value)}"
    if name in ("internet", "parking"):
        return f"{'be without' if value == 'no' else 'have'} {'internet access' if name == 'internet' else name}"
    return _TRAITS[name].format(value)


_TRAITS = {
    "area": "be in the {}",
    "food": "serve {} food",
    "name": "be the one called {}",
    "departure": "leave from {}",
    "destination": "go to {}",
    "day": "run on {}",
    "leaveAt": "leave at {} or later",
    "arriveBy": "arrive by {}",
}
SEARCHED: Final = frozenset((*_TRAITS, "type", "stars", "pricerange", "internet", "parking"))
"""The parameters that the user can state for a search."""
_FACILITIES = {
    ("internet", True): "with internet access",
    ("internet", False): "without internet access",
    ("parking", True): "with parking",
    ("parking", False): "without parking",
}
_ANY = {**NAMES, "time": "time", "stay": "number of nights", "people": "number of people"}

PHRASES: Final[Mapping[str, tuple[str, ...]]] = {
    "open": (
        "Hello, I am looking for {}.",
        "Hi! Could you find me {}?",
        "Hello, I need {}.",
        "Good day. I would like to find {}.",
        "Hi, can you help me find {}?",
    ),
    "next": (
        "I also need {}.",
        "Next, I am looking for {}.",
        "Could you also find me {}?",
        "Now I would like to find {}.",
    ),
    "more": (
        "It should {}.",
        "I would like it to {}.",
        "It has to {}.",
    ),
    "again": (
        "As I said, it should {}.",
        "It should {}, as I told you.",
        "I told you that it should {}.",
    ),
    "object": (
        "But it should {}.",
        "That is not quite it: it has to {}.",
        "Sorry, I asked for one that would {}.",
    ),
    "instead": (
        "In that case it can {} instead.",
        "All right, then it may {}.",
        "Then please look again: it can also {}.",
        "What a pity. It could {} as well.",
    ),
    "which": (
        "Which one would that be? It should {}.",
        "Could you look one up, please? It should {}.",
        "Do you have a name for me? It should {}.",
    ),
    "that is all": (
        "Nothing else matters to me.",
        "That is all I want of it.",
    ),
    "like": (
        "That sounds good.",
        "Good, I will take it.",
        "That would be fine.",
        "Perfect.",
        "I like that.",
    ),
    "thanks": (
        "Thank you.",
        "Great, thanks.",
        "Thanks a lot.",
        "Perfect, thank you.",
    ),
    "book": (
        "Please book {}.",
        "Could you book {}?",
        "I would like you to book {}.",
        "Can you book {}, please?",
    ),
    "book again": (
        "I would still like you to book {}.",
        "Please try again to book {}.",
        "Could you book {}, as I said?",
    ),
    "book instead": (
        "Then please book it {} instead.",
        "In that case, could you book it {}?",
        "All right, can you book it {}?",
    ),
    "no booking": (
        "I need no booking.",
        "There is no need to book it.",
        "That is all I need to know, no booking.",
    ),
    "ask": (
        "Could you tell me the {}?",
        "Can I have the {}, please?",
        "I would like to know the {}.",
        "Can you give me the {}?",
    ),
    "ask again": (
        "And could you tell me the {}?",
        "I still need to know the {0}. Can I have the {0}, please?",
        "I still have to know the {}.",
    ),
    "reference": (
        "Could you give me the reference number, please?",
        "What is the reference number?",
    ),
    "bye": (
        "That is all I need. Thank you, goodbye!",
        "That was everything. Thanks for your help, bye!",
        "Thank you, I have all I wanted. Goodbye!",
        "Many thanks, that is all. Have a nice day!",
    ),
    "leave": (
        "I am afraid this leads nowhere. I will ask somebody else. Goodbye.",
        "Never mind, I will look for it myself. Goodbye.",
        "This takes too long, sorry. Goodbye.",
    ),
}
