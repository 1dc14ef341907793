"""Reads the assistant's messages for the offline user with a goal."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from josh.envs.toolwoz.language import NAMES, any_of, meanings
from josh.envs.toolwoz.values import normalize, plain

BOOKED: Final = "booked"
REFUSED: Final = "refused"
NOTHING: Final = "nothing"
OFFER: Final = "offer"
QUESTION: Final = "question"
OTHER: Final = "other"


@dataclass(frozen=True, slots=True)
class Heard:
    """A message of the assistant.

    Attributes:
        kind: its main content: `BOOKED`, `REFUSED` (a booking), `NOTHING` (was found), `OFFER`, `QUESTION` (for
            parameters), `OTHER`.
        asked: the parameters that its questions ask for.
        text: its plain words.
    """

    kind: str
    asked: tuple[str, ...]
    text: str


def read_message(text: str) -> Heard:
    """Reads a message of the assistant."""
    words = plain(text)
    asked = tuple(
        name for sentence in _QUESTION.findall(words) for name, pattern in _ASKED.items() if pattern.search(sentence)
    )
    kind = next((kind for kind, pattern in _KINDS.items() if pattern.search(words)), QUESTION if asked else OTHER)
    return Heard(kind, asked, words)


def has_reference(heard: Heard) -> bool:
    """Returns whether the message gives a reference number."""
    return _REFERENCE.search(heard.text) is not None


def mentions(heard: Heard, column: str) -> bool:
    """Returns whether the message mentions a detail."""
    return _DETAIL_WORDS.get(column, plain(NAMES.get(column, column))) in heard.text


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The values of a domain's search, in words.

    Attributes:
        pattern: finds the words.
        meant: the parameters and normalized values that each word may stand for.
    """

    pattern: re.Pattern[str]
    meant: Mapping[str, tuple[tuple[str, str], ...]]

    def said(self, heard: Heard) -> dict[str, set[str]]:
        """Returns the normalized values that the message mentions, by parameter."""
        said: dict[str, set[str]] = {}
        for word in self.pattern.findall(heard.text):
            for name, value in self.meant[word]:
                said.setdefault(name, set()).add(value)
        for stars in _STARS.findall(heard.text):
            said.setdefault("stars", set()).add(stars)
        for without, things in _FACILITIES.findall(heard.text):
            for thing in _FACILITY.findall(things):
                said.setdefault(thing, set()).add("no" if without else "yes")
        for word, time in _TIMES.findall(heard.text):
            said.setdefault("leaveAt" if word == "leaves" else "arriveBy", set()).add(normalize(time))
        for name in _TRAIN_ID.findall(heard.text):
            said.setdefault("trainID", set()).add(name)
        return said


def fits(name: str, value: str, said: set[str]) -> bool:
    """Returns whether the mentioned values fit a wanted one; a time fits if it is not too early or too late."""
    value = normalize(value)
    if name in ("leaveAt", "arriveBy"):
        return all(each >= value if name == "leaveAt" else each <= value for each in said)
    return value in said


@lru_cache(maxsize=64)
def lexicon(enums: tuple[tuple[str, tuple[Any, ...]], ...]) -> Lexicon:
    """Returns the lexicon for the values of each parameter."""
    meant = meanings(enums, without=("stars", "internet", "parking"))
    pattern = re.compile(rf"\b({any_of(meant)})(?:ly)?\b")
    return Lexicon(pattern, {word: tuple(values) for word, values in meant.items()})


_DETAIL_WORDS = {"entrance fee": "entrance", "internet": "internet"}
_QUESTION = re.compile(r"[^.?!]*\?")
_REFERENCE = re.compile(r"\breference\b[^?]*\b[0-9a-z]*\d[0-9a-z]*\b")
_STARS = re.compile(r"\b(\d)[ -]stars?\b")
_FACILITIES = re.compile(
    r"(?:\b(without|no|not have)\b)?(?: any)? ?(?:free )?"
    r"\b((?:internet|parking)(?: access)?(?: (?:and|or) (?:internet|parking))?)\b"
)
_FACILITY = re.compile(r"internet|parking")
_TIMES = re.compile(r"\b(leaves|arrives)\b[^:]*?\b(\d{1,2}:\d\d)\b")
_TRAIN_ID = re.compile(r"\btr\d+\b")
_KINDS = {
    REFUSED: re.compile(
        r"\bfully booked\b|\bnot (?:be )?(?:booked|reserved)\b|\bbooking (?:failed|did not|was not|could not)\b"
        r"|\b(?:not|unable to) (?:book|reserve)\b|\bnot go through\b"
    ),
    BOOKED: re.compile(r"\b(?:booked|reserved)\b|\bbooking (?:is|was|has been) (?:made|confirmed|successful)\b"),
    NOTHING: re.compile(
        r"\b(?:not|no) (?:find|found|match)|\bcould ?n[o']?t find\b|\bfound (?:no|nothing)\b"
        r"|\bnothing (?:like|matches)\b"
        r"|\bthere (?:is|are) none\b|\bno (?:restaurants?|hotels?|trains?|attractions?|guesthouses?|places?)\b"
    ),
    OFFER: re.compile(r"\b(?:found|recommend|suggest|how about|would suit|offer you|there is(?! no)|you could take)\b"),
}
"""The pattern for each kind of message; the first one that matches counts."""
_ASKED = {
    "area": re.compile(r"\barea\b|\bpart of town\b|\bwhere in\b"),
    "pricerange": re.compile(r"\bprice\b|\bbudget\b"),
    "food": re.compile(r"\bfood\b|\bcuisine\b"),
    "type": re.compile(r"\bkind of place\b|\btype of\b|\bhotel or\b"),
    "stars": re.compile(r"\bstars\b"),
    "internet": re.compile(r"\binternet\b|\bwifi\b"),
    "parking": re.compile(r"\bparking\b"),
    "name": re.compile(r"\bcertain one\b|\bname\b"),
    "departure": re.compile(r"\bleave from\b|\bdepart(?:ing)? from\b|\bdeparture station\b"),
    "destination": re.compile(r"\bwant to go\b|\bgoing to\b|\bdestination\b|\bwhere to\b"),
    "leaveAt": re.compile(r"\bwant to leave\b|\btime\b.*\bleave\b|\bdeparture time\b"),
    "arriveBy": re.compile(r"\barrive\b|\barrival time\b"),
    "people": re.compile(r"\bhow many (?:people|guests|seats|tickets)\b|\bparty\b"),
    "day": re.compile(r"\bday\b"),
    "time": re.compile(r"\bat what time\b|\bwhat time\b"),
    "stay": re.compile(r"\bnights\b|\bhow long\b"),
}
"""The words by which a question for each parameter is recognized."""
