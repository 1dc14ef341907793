"""Reads a user's messages to the town's desk without a model, by the values in the tools' schemas and fixed words."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any, Final

from josh.envs.toolwoz.language import NAMES, any_of, in_words, meanings
from josh.envs.toolwoz.values import normalize, plain

SEARCH: Final = "search"
BOOK: Final = "book"
ASK: Final = "ask"
NO_BOOKING: Final = "no booking"
SAID: Final = "said"


@dataclass(frozen=True, slots=True)
class Statement:
    """One thing that the user said.

    Attributes:
        domain: its domain, such as `hotel`.
        kind: `SEARCH`, a value to search for; `BOOK`, a value to book with, or without a name the wish to book; `ASK`,
            a detail that the user wants to know; `NO_BOOKING`, the user wants no booking; `SAID`, only the domain.
        name: the parameter, or the column of the database that the user asks for.
        value: the normalized value; empty where any value will do.
    """

    domain: str
    kind: str
    name: str = ""
    value: str = ""


class Reader:
    """Finds the statements in messages to a desk with certain tools.

    Attributes:
        searches: the parameters of the search in each domain.
        bookings: the parameters of the booking in each domain, without the name or ID of the thing to book.
    """

    def __init__(self, tools: Sequence[Mapping[str, Any]]) -> None:
        """Args: tools: schemas in the chat-completions format, named `search_...` and `book_...`."""
        self.searches: dict[str, tuple[str, ...]] = {}
        self.bookings: dict[str, tuple[str, ...]] = {}
        self._values: dict[str, tuple[re.Pattern[str], Mapping[str, tuple[str, str]]]] = {}
        self._kinds: dict[str, re.Pattern[str]] = {}
        for tool in tools:
            action, _, domain = tool["function"]["name"].partition("_")
            parameters = tool["function"].get("parameters", {}).get("properties", {})
            if action == "search" and domain in _ABOUT:
                self.searches[domain] = tuple(parameters)
                enums = {name: tuple(schema.get("enum") or ()) for name, schema in parameters.items()}
                self._values[domain] = _values(tuple(enums.items()))
                self._kinds[domain] = _kinds(enums.get("type", ()))
            elif action == "book":
                self.bookings[domain] = tuple(name for name in parameters if name not in _KEYS)

    def read(self, text: str, domain: str | None, asked: Sequence[str] = ()) -> list[Statement]:
        """Reads a message.

        Args:
            text: the message.
            domain: the domain of the conversation so far; None at the start.
            asked: the parameters that the desk asked for last; `I do not mind` refers to these.

        Returns:
            The statements in order; each belongs to the domain that was named last.
        """
        statements: list[Statement] = []
        if domain is not None and _NUMBER.fullmatch(text) and (counts := [name for name in asked if name in _COUNTS]):
            text = _COUNTS[counts[0]].format(text.strip(" ."))
        for sentence in _SENTENCE.findall(plain(text)):
            named, rest = _without_name(sentence)
            about = self._about(rest, domain)
            if about is None:
                continue
            if about != domain:
                statements.append(Statement(about, SAID))
            domain = about
            if named:
                statements.append(Statement(domain, SEARCH, "name", named))
            statements.extend(self._read(rest, domain, asked))
        return statements

    def _about(self, sentence: str, domain: str | None) -> str | None:
        """Returns the domain that a sentence names, else the domain before it."""
        if domain is not None and (_ABOUT[domain].search(sentence) or self._kinds[domain].search(sentence)):
            return domain
        named = (about for about, words in _ABOUT.items() if about in self.searches and words.search(sentence))
        kinds = (about for about, words in self._kinds.items() if words.search(sentence))
        return next(chain(named, kinds), domain)

    def _read(self, sentence: str, domain: str, asked: Sequence[str]) -> Iterator[Statement]:
        details = _details(sentence)
        if details:
            for column in details:
                yield Statement(domain, ASK, column)
            sentence = _DETAIL.sub(" ", sentence)
        if _INDIFFERENT.search(sentence):
            named = [name for name, words in _SLOTS.items() if words.search(sentence)]
            for name in named or asked:
                yield Statement(domain, BOOK if name in self.bookings.get(domain, ()) else SEARCH, name)
            return
        search, booking = self.searches[domain], self.bookings.get(domain, ())
        for name, value in self._said(sentence, domain):
            if name in search:
                yield Statement(domain, SEARCH, name, value)
            elif name in booking:
                yield Statement(domain, BOOK, name, value)
        if _NO_BOOKING.search(sentence):
            yield Statement(domain, NO_BOOKING)
        elif _BOOKING.search(sentence):
            yield Statement(domain, BOOK)

    def _said(self, sentence: str, domain: str) -> Iterator[tuple[str, str]]:
        """Yields the values in a sentence, each with its parameter."""
        yield from self._of_a_train(sentence) if domain == "train" else self._of_a_place(sentence, domain)
        for day in _DAY.findall(sentence):
            yield "day", day
        for people, one in _PEOPLE.findall(sentence):
            yield "people", people or ("1" if one else "")
        for name, pattern in _COUNTED.items():
            for number in pattern.findall(sentence):
                yield name, number

    def _of_a_place(self, sentence: str, domain: str) -> Iterator[tuple[str, str]]:
        pattern, meant = self._values[domain]
        for found in pattern.finditer(sentence):
            name, value = meant[found[1]]
            # `The hotel` means the one that was found. It does not ask for a kind of place.
            if name != "type" or not sentence[: found.start()].endswith(_POINTING):
                yield name, value
        # A user may also ask for food that no restaurant of the database serves.
        for food in _FOOD.findall(sentence):
            yield "food", food
        for without, things in _FACILITIES.findall(sentence):
            for thing in _FACILITY.findall(things):
                yield ("parking" if thing == "parking" else "internet"), ("no" if without else "yes")
        for time in _TIME.findall(sentence):
            yield "time", normalize(time)

    def _of_a_train(self, sentence: str) -> Iterator[tuple[str, str]]:
        pattern, meant = self._values["train"]
        for way, station in pattern.findall(sentence):
            yield ("departure" if way == "from" else "destination"), meant[station][1]
        name = "leaveAt"
        for leaving, arriving, time in _WHEN.findall(sentence):
            if time:
                yield name, normalize(time)
            else:
                name = "leaveAt" if leaving else "arriveBy" if arriving else name


_KEYS = frozenset(("name", "trainID"))
_SENTENCE = re.compile(r"[^.?!]+[.?!]*")
_ABOUT = {
    "train": re.compile(r"\btrains?\b|\bby rail\b|\brailway\b"),
    "restaurant": re.compile(r"\brestaurants?\b|\bto eat\b|\beat out\b|\btable\b|\bdine\b|\bdinner\b|\blunch\b"),
    "hotel": re.compile(r"\b(?:to|can) (?:stay|sleep)\b|\brooms?\b|\bhotels?\b|\bguest ?houses?\b|\baccommodation\b"),
    "attraction": re.compile(r"\battractions?\b|\b(?:to|can) (?:visit|see)\b|\bsights?\b"),
}
"""The words that show each domain."""
_NAMED = re.compile(r"\b(?:called|named|by the name of) ([^.?!,]+)")
_DAY = re.compile(r"\b((?:mon|tues|wednes|thurs|fri|satur|sun)day)s?\b")
_TIME = re.compile(r"\b\d{1,2}:\d\d\b")
_WHEN = re.compile(r"\b(?:(leav|depart|after|earlier)|(arriv|by|before|later than|there))|\b(\d{1,2}:\d\d)\b")
"""For a train: a word for leaving, a word for arriving, or a time."""
_PEOPLE = re.compile(r"\b(?:(\d+) (?:people|persons?|guests?|of us)|(just me|one person))\b")
_COUNTED = {"stay": re.compile(r"\b(\d+) nights?\b"), "stars": re.compile(r"\b(\d)[ -]stars?\b")}
_NUMBER = re.compile(r" *\d+[ .]*")
_COUNTS = {"people": "{} people", "stay": "{} nights", "stars": "{} stars"}
"""Phrases for a bare number that answers a question, by the parameter asked for."""
_FOOD = re.compile(r"\bserves? ([a-z]+(?: [a-z]+){0,2}) food\b")
_FACILITIES = re.compile(
    r"(?:\b(without|no|not need|dont need)\b)?(?: any)? ?(?:free )?"
    r"\b((?:internet|wifi|parking)(?: access)?(?: (?:and|or) (?:internet|wifi|parking))?)\b"
)
_FACILITY = re.compile(r"internet|wifi|parking")
_POINTING = ("the ", "this ", "that ", "your ")
_BOOKING = re.compile(r"\b(?:book|reserve|booking|reservation)\b")
_NO_BOOKING = re.compile(
    r"\b(?:no|not|without|nothing|dont)\b[a-z ]{0,20}\b(?:book|booking|booked|reserve|reservation)\b"
)
_INDIFFERENT = re.compile(
    r"\bany (?:[a-z]+ ){1,4}(?:will do|is fine)\b|\bno preference\b"
    r"|\b(?:not|doesnt) matter\b|\b(?:not|dont) (?:mind|care)\b"
)
_SLOTS = {
    "area": re.compile(r"\barea\b|\bpart of town\b"),
    "pricerange": re.compile(r"\bprice\b"),
    "food": re.compile(r"\bfood\b|\bcuisine\b"),
    "stars": re.compile(r"\bstars\b"),
    "internet": re.compile(r"\binternet\b"),
    "parking": re.compile(r"\bparking\b"),
    "type": re.compile(r"\bkind of place\b"),
    "leaveAt": re.compile(r"\bleaves?\b|\bdeparture time\b"),
    "arriveBy": re.compile(r"\barrives?\b|\barrival time\b"),
    "day": re.compile(r"\bday\b"),
    "time": re.compile(r"(?<!departure )(?<!arrival )\btime\b"),
    "stay": re.compile(r"\bnights\b"),
    "people": re.compile(r"\bpeople\b"),
}
"""How users refer to parameters when any value will do."""
_ASKING = re.compile(r"\b(?:what is|what are|whats|tell me|give me|know|have) (?:the|its|their|your)\b")
_COLUMNS = {name.lower(): column for column, name in NAMES.items()}
_DETAIL = re.compile(rf"\b(?:{any_of(_COLUMNS)})\b")


def _details(sentence: str) -> list[str]:
    """Returns the columns that a sentence asks for."""
    return [_COLUMNS[word] for word in _DETAIL.findall(sentence)] if _ASKING.search(sentence) else []


def _without_name(sentence: str) -> tuple[str, str]:
    """Returns the name in a sentence, empty where there is none, and the sentence without it.

    Names are taken out because they contain words that mean something else.
    """
    found = _NAMED.search(sentence)
    if found is None:
        return "", sentence
    return found[1].strip(), sentence[: found.start()] + sentence[found.end() :]


@lru_cache(maxsize=64)
def _kinds(types: tuple[Any, ...]) -> re.Pattern[str]:
    """Returns a pattern for the kinds of place that a user looks for."""
    words = any_of(plain(in_words("type", each)) for each in types)
    return re.compile(rf"\b(?:an?|some|any) (?:[a-z0-9-]+ ){{0,4}}(?:{words})\b")


@lru_cache(maxsize=64)
def _values(
    enums: tuple[tuple[str, tuple[Any, ...]], ...],
) -> tuple[re.Pattern[str], Mapping[str, tuple[str, str]]]:
    """Returns a pattern for the values of a search in words, and the parameter and normalized value of each word.

    Stations follow `from` or `to`.
    """
    meant = meanings(enums, without=("day", "stars", "internet", "parking"))
    words, stations = any_of(meant), any(name == "departure" for name, _ in enums)
    pattern = re.compile(rf"\b(from|to) ({words})\b" if stations else rf"\b({words})(?:ly|s)?\b")
    return pattern, {word: last for word, (*_, last) in meant.items()}
