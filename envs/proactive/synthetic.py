"""Made-up states in about 150 words, half of which nobody can solve without one hidden fact.

A clear request has the fact ("... that sorts the orders by price"). An unclear one says "as usual" instead, and the
user has the fact: its first answer discloses it. A right solution contains the texts `needs`, so that it is graded
without running it. So the best decision is known; see `optimum.py`.

1. Clear and unclear states alternate, and with both domains coding and planning do, too: of an even number of states of
   a domain, exactly half are unclear.
2. Unclear states meet the persona that answers most questions (Novice-Learner), clear ones any of the three. Under the
   default weights it is best to ask in the unclear states and to deliver in the clear ones, so agents that always
   deliver and agents that always ask decide half of the states well.
3. `task_uncertainty` is drawn with noise: it is below .5 in four of five unclear states, and in one of five clear ones.
   A threshold on it decides four of five states well, while the text of the request shows all.
4. The text of each state is unique. An id belongs to one part (`josh.seeds.part_of`) and means the same state with
   every seed, so no text is in two parts.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, zip_longest
from random import Random
from types import MappingProxyType
from typing import Any, Final

from josh.envs.proactive.personas import NOVICE, PERSONAS, Persona
from josh.envs.proactive.states import CODING, DOMAINS, PLANNING, State
from josh.errors import UsageError
from josh.seeds import derive, part_of


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of request.

    Attributes:
        domain: its domain.
        request: the request's text, with `{place}`, `{thing}` and `{detail}`.
        details: the possible facts, each with the text that a right solution contains.
        question: what an agent asks for.
    """

    domain: str
    request: str
    details: Mapping[str, str]
    question: str


def _details(fact: str, need: str, values: str, needed: str = "") -> Mapping[str, str]:
    """Returns facts, each with the text that a right solution contains.

    Args:
        fact: their texts, with a place for a value.
        need: the same of the solutions' texts.
        values: the values.
        needed: those of the solutions, where they differ.
    """
    pairs = zip(_words(values), _words(needed or values), strict=True)
    return MappingProxyType({fact.format(value): need.format(other) for value, other in pairs})


FAMILIES: Final[Mapping[str, Family]] = MappingProxyType(
    {
        "sort": Family(
            CODING,
            "Write a function for my {place} that sorts the {thing} {detail}.",
            _details("by {}", 'one["{}"]', "price name date size age weight"),
            "By what do I sort the {thing}?",
        ),
        "keep": Family(
            CODING,
            "Write a function for my {place} that keeps the {thing} {detail}.",
            _details("above {}", "one > {}:", "10 25 40 60 75 90"),
            "Which of the {thing} do I keep?",
        ),
        "join": Family(
            CODING,
            "Write a function for my {place} that joins the {thing} {detail}.",
            _details("with a {}", 'mark = "{}"', "comma dash slash colon star dot", ", - / : * ."),
            "With what do I join the {thing}?",
        ),
        "round": Family(
            CODING,
            "Write a function for my {place} that rounds the {thing} {detail}.",
            _details("to {} digits", "round(one, {})", "2 3 4 5 6 7"),
            "To how many digits do I round the {thing}?",
        ),
        "trip": Family(
            PLANNING,
            "Plan a trip to {place} for my {thing} {detail}.",
            _details("by {}", "by {}", "train bus bike boat car plane"),
            "How does your {thing} travel?",
        ),
        "dinner": Family(
            PLANNING,
            "Plan a dinner in {place} for my {thing} {detail}.",
            _details("with {}", "with {}", "fish rice soup pasta salad stew"),
            "What does your {thing} eat?",
        ),
        "party": Family(
            PLANNING,
            "Plan a party in {place} for my {thing} {detail}.",
            _details("in the {}", "in the {}", "garden hall barn park club attic"),
            "Where does your {thing} meet?",
        ),
        "visit": Family(
            PLANNING,
            "Plan a visit to {place} for my {thing} {detail}.",
            _details("on {}", "on {}", "monday tuesday wednesday thursday friday sunday"),
            "On which day is your {thing} free?",
        ),
    }
)
PLACES: Final = MappingProxyType(
    {
        CODING: _words(
            "bakery bank cafe camp church cinema clinic club farm garage gym hotel kiosk library market museum office"
            " pharmacy school shop stable studio theatre zoo"
        ),
        PLANNING: _words(
            "Aldmar Belan Corvo Dunmar Elsin Farrow Galten Hestal Irvane Jolem Kestrin Lorba Mandel Nerith Ostal Pellar"
            " Quorin Ravel Sondra Tamsel Ulver Vastin Wendor Yarrow"
        ),
    }
)
THINGS: Final = MappingProxyType(
    {
        CODING: _words(
            "bills boxes cards costs counts files gifts hours items labels lists marks notes orders pages parts rates"
            " scores tickets values"
        ),
        PLANNING: _words(
            "aunt band boss brother class crew cousin daughter family father friend group guest mother neighbour sister"
            " son team tutor uncle"
        ),
    }
)
VAGUE: Final = ("as usual", "as agreed", "the right way")
"""What an unclear request says instead of the fact."""
_HOW: Final = ("clear", "open")
SURE: Final = 0.8
"""The share of the states on whose side of .5 `task_uncertainty` lies."""


@dataclass(frozen=True, slots=True)
class MadeUp:
    """A made-up state.

    Attributes:
        state: the state.
        hidden: the fact that the request lacks; empty where it is clear.
        needs: texts that a right solution contains.
        personas: the personas that it can meet.
    """

    state: State
    hidden: str
    needs: tuple[str, ...]
    personas: tuple[Persona, ...]

    @property
    def row(self) -> dict[str, Any]:
        """The state as a row of a file, with what the user knows, what a solution needs, and the only persona."""
        only = {"persona": self.personas[0].name} if len(self.personas) == 1 else {}
        hidden = {"hidden": self.hidden} if self.hidden else {}
        return {**self.state.row, "needs": list(self.needs), **hidden, **only}


@dataclass(frozen=True, slots=True)
class Request:
    """What is known of a made-up request.

    Attributes:
        family: the name of its family.
        thing: what it is about.
        detail: the fact, from the request or from an answer; empty where neither has it.
    """

    family: str
    thing: str
    detail: str


def made_up_states(seed: int, part: str | None, count: int, domains: tuple[str, ...] = DOMAINS) -> list[MadeUp]:
    """Returns made-up states.

    Args:
        seed: gives the order in which states are drawn; an id always means the same state.
        part: `train`, `valid` or `test`; None for all.
        count: how many.
        domains: their domains.

    Raises:
        UsageError: there are fewer states.
    """
    kinds = [_order(seed, domain, clear) for clear in (False, True) for domain in domains]
    fitting = [[name for name in names if part is None or part_of(name) == part] for names in kinds]
    mixed = (name for each in zip_longest(*fitting) for name in each if name is not None)
    drawn = list(islice(mixed, count))
    if len(drawn) < count:
        raise UsageError(f"synthetic_tasks is {count}; there are {len(drawn)} such states, give at most {len(drawn)}")
    return [made_up(name) for name in drawn]


def made_up(name: str) -> MadeUp:
    """Returns the state of an id such as `sort-bakery-orders-clear`."""
    kind, place, thing, how = name.split("-")
    family, rng = FAMILIES[kind], Random(derive("made up", name))
    detail, clear = rng.choice(list(family.details)), how == "clear"
    query = family.request.format(place=place, thing=thing, detail=detail if clear else rng.choice(VAGUE))
    low = clear != (rng.random() < SURE)
    uncertainty = round(rng.uniform(0.1, 0.49) if low else rng.uniform(0.5, 0.9), 2)
    state = State(name, family.domain, query, task_uncertainty=uncertainty, clarity=uncertainty)
    personas = PERSONAS if clear else (NOVICE,)
    return MadeUp(state, "" if clear else detail, (family.details[detail],), personas)


def made_up_as(name: str, query: str) -> MadeUp | None:
    """Returns the made-up state with an id and a request, which questions and answers may follow; None for none."""
    kind, *rest = name.split("-")
    fits = kind in FAMILIES and len(rest) == 3 and rest[2] in _HOW
    if not fits or rest[0] not in PLACES[FAMILIES[kind].domain] or rest[1] not in THINGS[FAMILIES[kind].domain]:
        return None
    found = made_up(name)
    return found if query == found.state.query or query.startswith(f"{found.state.query}\n[") else None


def read_request(query: str) -> Request | None:
    """Returns what is known of a made-up request, with the answers behind it; None for any other request."""
    for name, family in FAMILIES.items():
        found = _pattern(name).match(query)
        if found is not None:
            asked = re.findall(r"(?<![\w])(?:" + "|".join(map(re.escape, family.details)) + r")(?![\w])", query.lower())
            return Request(name, found["thing"], asked[-1] if asked else "")
    return None


@lru_cache(maxsize=16)
def _pattern(name: str) -> re.Pattern[str]:
    text = FAMILIES[name].request.partition(" {detail}")[0]
    return re.compile(re.escape(text).replace(r"\{place\}", r"\w+").replace(r"\{thing\}", r"(?P<thing>\w+)"))


@lru_cache(maxsize=16)
def _order(seed: int, domain: str, clear: bool) -> tuple[str, ...]:
    names = [
        f"{kind}-{place}-{thing}-{_HOW[not clear]}"
        for kind, family in FAMILIES.items()
        if family.domain == domain
        for place in PLACES[domain]
        for thing in THINGS[domain]
    ]
    Random(derive("made up", seed, domain, clear)).shuffle(names)
    return tuple(names)
