"""The phrases of the offline assistant, and its wording for the town's places and trains."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from josh.envs.toolwoz.language import NAMES, booked_with, in_words, join_words, place_phrase, train_phrase
from josh.envs.toolwoz.values import normalize

Pick: TypeAlias = Callable[[Sequence[str]], str]
"""A function that chooses one of several phrases."""


def offer(domain: str, row: Mapping[str, Any], mentioned: Sequence[str], pick: Pick) -> str:
    """Returns an offer of what a search found.

    Args:
        domain: its domain.
        row: the database's row.
        mentioned: columns to mention.
        pick: chooses the phrase.
    """
    if domain == "train":
        words = _train(row, mentioned)
        return pick(OFFERS["train"]).format(words)
    traits = {column: row.get(column) for column in mentioned if column != "name"}
    return pick(OFFERS["place"]).format(in_words("name", row.get("name", "")), thing(domain, traits))


def thing(domain: str, values: Mapping[str, Any]) -> str:
    """Returns the name of a thing, or its traits with an article, such as `a cheap Indian restaurant in the north`."""
    unsaid = {"restaurant": "type", "attraction": "pricerange"}.get(domain)
    have = {name: in_words(name, value) for name, value in values.items() if value not in (None, "", "?")}
    if "name" in have:
        return have["name"]
    if domain == "train":
        return train_phrase(have)
    facilities = [(name, have[name]) for name in ("internet", "parking") if name in have]
    with_, without = ([name for name, has in facilities if (has == "no") is no] for no in (False, True))
    parts = [f"{word} {' and '.join(names)}" for word, names in (("with", with_), ("without", without)) if names]
    text = place_phrase(domain, {name: value for name, value in have.items() if name != unsaid})
    return " ".join((text, " but ".join(parts))).strip()


def detail(column: str, row: Mapping[str, Any]) -> str:
    """Returns a clause with one detail of a row, without a capital and a full stop."""
    name, value = NAMES.get(column, column), row.get(column)
    if normalize(value) in ("", "?"):
        return f"I do not have the {name}"
    if isinstance(value, Mapping):
        prices = [f"{each} pounds for a {kind} room" for kind, each in value.items()]
        return f"the {name} is {join_words(prices)}"
    if column == "entrance fee" and value == "free":
        return "there is no entrance fee, it is free"
    if column in ("internet", "parking"):
        return f"{name} is {'not ' if value == 'no' else ''}available"
    if column == "price":
        return f"the price is {value} per person"
    return f"the {name} is {'free' if value == 'free' else in_words(column, value)}"


def details(columns: Sequence[str], row: Mapping[str, Any]) -> str:
    """Returns a sentence with details of a row."""
    text = join_words([detail(column, row) for column in columns])
    return f"{text[0].upper()}{text[1:]}."


def booked(domain: str, row: Mapping[str, Any], booking: Mapping[str, str]) -> str:
    """Returns what was booked, such as `your table at The Copper Ladle for 3 people on Sunday at 18:15`."""
    what = {"restaurant": "your table at {}", "hotel": "your room at {}", "train": "your trip on train {}"}[domain]
    key = "trainID" if domain == "train" else "name"
    given = {name: value for name, value in booking.items() if value}
    return f"{what.format(in_words(key, row.get(key, '')))} {booked_with(domain, given)}".strip()


def say(what: str, pick: Pick, *values: str) -> str:
    """Returns a phrase of `PHRASES`, with the values filled in."""
    return pick(PHRASES[what]).format(*values)


def question(domain: str, names: Sequence[str], pick: Pick, *, again: bool = False) -> str:
    """Returns a question for one or two parameters."""
    first = QUESTIONS.get((domain, names[0])) or QUESTIONS["", names[0]]
    second = [SHORTER.get(name) or QUESTIONS["", name] for name in names[1:2]]
    text = pick(PHRASES["ask again" if again else "ask"]).format(", and ".join((first, *second)))
    return text[0].upper() + text[1:]


def _train(row: Mapping[str, Any], mentioned: Sequence[str]) -> str:
    day = f" on {in_words('day', row['day'])}" if "day" in mentioned else ""
    leaves = f"leaves {in_words('departure', row['departure'])} at {row['leaveAt']}{day}"
    arrives = f"arrives in {in_words('destination', row['destination'])} at {row['arriveBy']}"
    return f"{row['trainID']}, which {leaves} and {arrives}"


KINDS: Final[Mapping[str, str]] = {
    "restaurant": "restaurants",
    "hotel": "places to stay",
    "attraction": "places to visit",
    "train": "trains",
}
"""The things of each domain, in the plural."""
OFFERS: Final[Mapping[str, tuple[str, ...]]] = {
    "place": (
        "I found {0}, {1}.",
        "How about {0}? It is {1}.",
        "I can recommend {0}, {1}.",
        "I found something: {0} is {1}.",
        "{0} would suit you, I think. It is {1}.",
    ),
    "train": (
        "I found {}.",
        "There is {}.",
        "You could take {}.",
        "I can offer you {}.",
        "How about {}?",
    ),
}
PHRASES: Final[Mapping[str, tuple[str, ...]]] = {
    "greet": (
        "Hello, what can I do for you?",
        "Welcome! What are you looking for?",
        "Good day! How can I help?",
    ),
    "ask": (
        "{}?",
        "All right, {}?",
        "Sure, {}?",
        "Let me ask first: {}?",
    ),
    "ask again": (
        "Could you tell me once more, {}?",
        "Sorry, I have lost track: {}?",
        "I am not sure that I got it all: {}?",
    ),
    "offer booking": (
        "Shall I book it for you?",
        "Would you like me to book it?",
        "Do you want me to make a booking?",
        "Should I book that?",
    ),
    "more": (
        "Is there anything else?",
        "Can I help you with anything else?",
        "What else can I do for you?",
        "Is there anything more you need?",
    ),
    "nothing": (
        "I am sorry, I could not find {}. Would something else do?",
        "I looked for {}, but there is none. Is there anything you could change?",
        "I am afraid I could not find {}. What else might do?",
        "I have nothing like that: I looked for {}. Shall I try something else?",
    ),
    "not found yet": (
        "I have not found anything yet. What should I look for?",
        "First I have to find something. What else would do?",
    ),
    "booked": (
        "I have booked {}. The reference number is {}.",
        "All done: {} is booked. Your reference number is {}.",
        "That worked. I booked {}, and the reference number is {}.",
    ),
    "full": (
        "I am sorry, {} could not be booked: it is fully booked then. Would another time do?",
        "There is nothing free then at {}, I am afraid; it is fully booked. What else could I try?",
        "Unfortunately {} is fully booked for that. Should I try something else?",
    ),
    "failed": (
        "I am sorry, the booking did not go through. Could you go through it with me once more?",
        "The booking was not made, I am afraid. Could you tell me once more what it should be?",
        "That booking failed. What exactly should I look for and book?",
    ),
    "no bookings": (
        "Attractions take no bookings, you can just go there.",
        "There is no need to book, you can just go there.",
    ),
    "claimed": (
        "All right, that is booked for you.",
        "Done, it is booked.",
        "Good, I have reserved it for you.",
    ),
    "vague": (
        "There are plenty of {} around here. You will surely like one of them.",
        "We have many {}, all of them very nice.",
        "Sure, the town is known for its {}. They are all worth a try.",
    ),
    "vague train": (
        "There are many trains on that line. One of them will surely do.",
        "Trains go there all day long, so that will be no problem.",
        "That is easy, there is always a train.",
    ),
    "lost": (
        "I am not sure what you mean. What are you looking for?",
        "Sorry, I did not get that. What can I look up for you?",
    ),
}
QUESTIONS: Final[Mapping[tuple[str, str], str]] = {
    ("", "area"): "which part of town would you like",
    ("", "pricerange"): "what price range do you have in mind",
    ("", "food"): "what kind of food would you like",
    ("", "type"): "what kind of place would you like",
    ("", "stars"): "how many stars should it have",
    ("", "internet"): "do you need internet",
    ("", "parking"): "do you need parking",
    ("", "name"): "do you have a certain one in mind",
    ("", "departure"): "where do you want to leave from",
    ("", "destination"): "where do you want to go",
    ("", "leaveAt"): "when do you want to leave or arrive",
    ("", "arriveBy"): "by when do you have to arrive",
    ("", "day"): "on which day",
    ("hotel", "day"): "from which day",
    ("train", "day"): "on which day do you travel",
    ("", "people"): "for how many people",
    ("", "time"): "at what time",
    ("", "stay"): "for how many nights",
}
"""Questions by domain (empty for every domain) and parameter."""
SHORTER: Final[Mapping[str, str]] = {
    "area": "in which part of town",
    "pricerange": "in what price range",
    "stars": "with how many stars",
    "day": "on which day",
}
"""Shorter forms of questions, by parameter, for the second question in a sentence."""
