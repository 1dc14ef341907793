"""An assistant without a model: it staffs a town's information desk with fixed phrases, and makes mistakes.

It is mediocre on purpose, so that a search over its turns has something to find: at temperature 0 it works well, and
the higher the temperature is, the more of its decisions go wrong. It knows the user's messages and the results of its
tools, but not the user's goal.
"""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, ClassVar, Final, TypeVar

from josh.agents.toolwoz import phrases, reading
from josh.agents.toolwoz.reading import Reader, Statement
from josh.envs.toolwoz.language import in_words
from josh.envs.toolwoz.values import normalize
from josh.errors import UsageError
from josh.messages import dumps
from josh.roles import BaseEnv, BaseJOSHAgent, Task, TurnModel
from josh.tools import Used, use

T = TypeVar("T", bound="OfflineToolAgent")

SLIP: Final = 0.33
"""The probability that a decision goes wrong at temperature 1.

It is proportional to the temperature (tuned: at 1, the assistant completes slightly less than half of the tasks).
"""
FOUND: Final = "found"
NOTHING: Final = "nothing"
BOOKED: Final = "booked"
FULL: Final = "full"
FAILED: Final = "failed"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the assistant knows about the user's wish in one domain.

    Attributes:
        search: the values to search for, as the user said them, by parameter; an empty value means any value.
        booking: the values to book with, in the same form.
        books: whether the user wants a booking.
        details: columns that the user asked for and has not got yet.
        row: the row that the latest search found; None before a search, or where it found nothing.
        stale: whether the user has named more values since the latest search.
        asked: how often the assistant asked for more before a search.
        reference: the number of the booking; empty without a booking.
    """

    search: Mapping[str, str]
    booking: Mapping[str, str]
    books: bool = False
    details: tuple[str, ...] = ()
    row: Mapping[str, Any] | None = None
    stale: bool = True
    asked: int = 0
    reference: str = ""


_UNKNOWN = Wish({}, {})


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A tool call that the assistant is about to make."""

    name: str
    arguments: Mapping[str, Any]


class OfflineToolAgent(BaseJOSHAgent):
    """Searches for what the user names, offers what it found, and books what the user asks it to book.

    One step is one completion: a tool call with its result, or the words that end the turn. Each of these mistakes has
    the probability `SLIP` times the temperature: it leaves a constraint out, books with a wrong or missing value or
    claims a booking that it did not make, praises something without a search, asks again for a known value, or leaves
    out a detail.
    """

    shared: ClassVar[tuple[str, ...]] = ("tools",)

    def __init__(self, messages: Sequence[dict[str, Any]] | None = None) -> None:
        super().__init__(messages)
        self._reader = Reader(())
        # Everything below is a value: it is replaced and never changed in place, so that forks can share it.
        self._wishes: Mapping[str, Wish] = {}
        self._domain: str | None = None
        self._asked: tuple[str, ...] = ()
        self._news = ""
        self._read = 0
        self._calls = 0

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Takes the system prompt and the tools. Raises UsageError where no tool is a search in a known domain."""
        super().start(task, env, options)
        self.tools = tuple(env.tools(task))
        self._reader = Reader(self.tools)
        if not self._reader.searches:
            raise UsageError(
                "offline_tool_agent needs tools such as search_hotel; give another --agent, or --env toolwoz"
            )

    def fork(self: T) -> T:
        """Returns a copy for a sibling branch. Attributes that a subclass adds must be values, too."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin.messages = self.messages.copy()
        twin.messages_internal = self.messages_internal.copy()
        twin.recent_actions = self.recent_actions.copy()
        return twin

    def step(self, *, model: TurnModel, env: Any = None, **_: Any) -> bool | Awaitable[bool]:
        """Calls a tool and returns False, to be asked again; or speaks and returns True."""
        chance = _Chance(model.draw(), model.temperature)
        self._listen()
        call = None if self._news in (FULL, FAILED) else self._next_call(chance)
        if isinstance(call, PlannedCall):
            return self._use(call, env)
        text = call or self._speak(chance)
        self._news = ""
        self.add_message({"role": "assistant", "content": text})
        return True

    def _listen(self) -> None:
        """Reads what the user has said since the last step."""
        new = [each.get("content") for each in self.messages[self._read :] if each.get("role") == "user"]
        self._read = len(self.messages)
        for text in new:
            for statement in self._reader.read(text if isinstance(text, str) else "", self._domain, self._asked):
                self._domain = statement.domain
                self._update(_heard(self._wishes.get(statement.domain, _UNKNOWN), statement))
        if new:
            self._asked = ()

    def _update(self, wish: Wish) -> None:
        assert self._domain is not None
        self._wishes = {**self._wishes, self._domain: wish}

    def _next_call(self, chance: "_Chance") -> PlannedCall | str | None:
        """Returns the search or booking to make now, or a text to say instead; None where neither is due."""
        domain = self._domain
        if domain is None:
            return None
        wish = self._wishes[domain]
        if wish.stale and self._news != NOTHING:
            return self._ask_first(domain, wish, chance) or self._search(domain, wish, chance)
        bookable = self._reader.bookings.get(domain) and wish.row is not None and not wish.reference
        if wish.books and bookable and not self._missing(domain, wish) and not (wish.details and chance.slips()):
            return self._book(domain, wish, wish.row or {}, chance)
        return None

    def _ask_first(self, domain: str, wish: Wish, chance: "_Chance") -> str | None:
        """Returns a question or an evasive text to say before the search; None to search at once."""
        said = list(_given(wish.search))
        if self._news:
            return None
        if said and chance.slips():
            if chance.happens(0.5):
                what = "vague train" if domain == "train" else "vague"
                return phrases.say(what, chance.phrase, phrases.KINDS[domain])
            self._asked = (chance.one(said),)
            return phrases.question(domain, self._asked, chance.phrase, again=True)
        names = self._worth_asking(domain, wish)
        if not names or wish.asked >= (2 if domain == "train" else 1):
            return None
        if domain != "train" and said and not chance.none and chance.happens(_HASTE):
            return None
        self._asked = names[:2]
        self._update(replace(wish, asked=wish.asked + 1))
        return phrases.question(domain, self._asked, chance.phrase)

    def _worth_asking(self, domain: str, wish: Wish) -> tuple[str, ...]:
        if domain == "train":
            names = [name for name in ("departure", "destination", "day") if name not in wish.search]
            return tuple(names if "leaveAt" in wish.search or "arriveBy" in wish.search else (*names, "leaveAt"))
        said = list(_given(wish.search))
        if "name" in said or len(said) > 1:
            return ()
        known = self._reader.searches[domain]
        return tuple(name for name in _WORTH_ASKING if name in known and name not in wish.search)

    def _search(self, domain: str, wish: Wish, chance: "_Chance") -> PlannedCall:
        given = _given(wish.search, self._reader.searches[domain])
        if len(given) > 1 and chance.slips():
            # It stays forgotten, unless the user says it again.
            forgotten = chance.one(list(given))
            del given[forgotten]
            search = {name: value for name, value in wish.search.items() if name != forgotten}
            self._update(replace(wish, search=search))
        return PlannedCall(f"search_{domain}", given)

    def _missing(self, domain: str, wish: Wish) -> list[str]:
        return [name for name in self._reader.bookings.get(domain, ()) if name not in wish.booking]

    def _book(self, domain: str, wish: Wish, row: Mapping[str, Any], chance: "_Chance") -> PlannedCall | str:
        key = "trainID" if domain == "train" else "name"
        given = {key: row.get(key, ""), **_given(wish.booking, self._reader.bookings[domain])}
        if chance.slips():
            changeable = [name for name in given if name != key]
            kind = chance.one(("claim", "leave out", "change"))
            if kind == "claim" or not changeable:
                return phrases.say("claimed", chance.phrase)
            name = chance.one(changeable)
            if kind == "leave out":
                del given[name]
            else:
                given[name] = _misheard(given[name], chance)
        return PlannedCall(f"book_{domain}", given)

    async def _use(self, call: PlannedCall, env: Any) -> bool:
        """Makes a call. Returns False: the turn goes on."""
        used = await use(env, call.name, call.arguments)
        name = f"call{self._calls:05}"
        self._calls += 1
        function = {"name": call.name, "arguments": dumps(call.arguments)}
        made = {"id": name, "type": "function", "function": function}
        self.messages_internal.append({"role": "assistant", "content": "", "tool_calls": [made]})
        self.messages_internal.append({"role": "tool", "tool_call_id": name, "content": used.text})
        self.recent_actions = [used.action]
        self._learn(used)
        return False

    def _learn(self, used: Used) -> None:
        """Stores what a tool returned."""
        assert self._domain is not None
        wish, result = self._wishes[self._domain], used.result
        if used.name.startswith("search_"):
            row = result[0] if isinstance(result, list) and result else None
            self._update(replace(wish, row=row, stale=False))
            self._news = FOUND if row is not None else NOTHING
        elif isinstance(result, Mapping) and result.get("success"):
            details = tuple(each for each in wish.details if each != "reference")
            self._update(replace(wish, details=details, reference=str(result.get("reference", ""))))
            self._news = BOOKED
        else:
            self._news = FULL if isinstance(result, Mapping) and "reason" in result else FAILED
            # It books again only after the user asks for it again.
            self._update(replace(wish, books=False))

    def _speak(self, chance: "_Chance") -> str:
        domain = self._domain
        if domain is None:
            what = "lost" if any(each.get("role") == "user" for each in self.messages) else "greet"
            return phrases.say(what, chance.phrase)
        wish, parts = self._wishes[domain], []
        row = wish.row or {}
        if self._news == NOTHING:
            return phrases.say(NOTHING, chance.phrase, phrases.thing(domain, _given(wish.search)))
        if not row and (wish.books or wish.details):
            return phrases.say("not found yet", chance.phrase)
        if self._news in (FULL, FAILED):
            return phrases.say(self._news, chance.phrase, in_words("name", row.get("name", "the train")))
        if self._news == BOOKED:
            parts.append(
                phrases.say(BOOKED, chance.phrase, phrases.booked(domain, row, _given(wish.booking)), wish.reference)
            )
        elif self._news == FOUND:
            parts.append(phrases.offer(domain, row, self._mentioned(domain, wish, chance), chance.phrase))
        if wish.details and row:
            parts.append(self._answer(wish, row, chance))
            self._update(replace(wish, details=()))
        return " ".join((*parts, *self._ending(domain, wish, chance)))

    def _ending(self, domain: str, wish: Wish, chance: "_Chance") -> Sequence[str]:
        """Returns the sentences that close a turn: usually one question, sometimes none."""
        bookable = bool(self._reader.bookings.get(domain))
        if wish.books and wish.row is not None and not wish.reference:
            if not bookable:
                return (phrases.say("no bookings", chance.phrase),)
            self._asked = tuple(self._missing(domain, wish)[:2])
            if self._asked:
                return (phrases.question(domain, self._asked, chance.phrase),)
        if self._news == FOUND:
            offers = bookable and not wish.books and not wish.details and not wish.reference
            return (phrases.say("offer booking", chance.phrase),) if offers else ()
        return (phrases.say("more", chance.phrase),)

    def _mentioned(self, domain: str, wish: Wish, chance: "_Chance") -> list[str]:
        """Returns the columns to mention: those that the user named, and a few more."""
        asked = list(_given(wish.search))
        others = [name for name in _WORTH_TELLING if name in self._reader.searches[domain] and name not in asked]
        return [*asked, *(name for name in others if chance.none or chance.happens(_TALKATIVE))]

    def _answer(self, wish: Wish, row: Mapping[str, Any], chance: "_Chance") -> str:
        columns = list(wish.details)
        if len(columns) > 1 and chance.slips():
            columns.remove(chance.one(columns))
        return phrases.details(columns, {**row, "reference": wish.reference})


class _Chance:
    """The random draws of one step; `none` is True at temperature 0."""

    __slots__ = ("_rng", "_slip", "none")

    def __init__(self, seed: int, temperature: float) -> None:
        self._rng = Random(seed)
        self.none = temperature <= 0
        self._slip = min(SLIP * temperature, 0.9)

    def slips(self) -> bool:
        """Returns whether a decision goes wrong."""
        return self._rng.random() < self._slip

    def happens(self, share: float) -> bool:
        """Returns True with probability `share`, in [0, 1]."""
        return self._rng.random() < share

    def one(self, things: Sequence[str]) -> str:
        """Returns one of several texts, each with equal probability."""
        return things[int(self._rng.random() * len(things))]

    def phrase(self, known: Sequence[str]) -> str:
        """Returns one of several phrases; at temperature 0 the first."""
        return known[0] if self.none else self.one(known)


_HASTE = 0.6
"""The probability that it searches with the values it has, although it could ask for more (design)."""
_TALKATIVE = 0.25
"""The probability that it mentions a trait that the user did not ask for (design)."""
_WORTH_ASKING = ("food", "type", "area", "pricerange", "stars")
_WORTH_TELLING = ("food", "type", "pricerange", "area", "day")
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _given(values: Mapping[str, str], order: Sequence[str] | None = None) -> dict[str, str]:
    """Returns the values that are not empty, in the given order of parameters, or else in their own order."""
    return {name: values[name] for name in (values if order is None else order) if values.get(name)}


def _heard(wish: Wish, statement: Statement) -> Wish:
    """Returns the wish with one more statement of the user's added."""
    if statement.kind == reading.SEARCH:
        return replace(wish, search={**wish.search, statement.name: statement.value}, stale=True)
    if statement.kind == reading.BOOK:
        booking = {**wish.booking, statement.name: statement.value} if statement.name else wish.booking
        return replace(wish, booking=booking, books=True)
    if statement.kind == reading.NO_BOOKING:
        return replace(wish, books=False)
    if statement.kind == reading.ASK:
        return replace(wish, details=tuple(dict.fromkeys((*wish.details, statement.name))))
    return wish


def _misheard(value: str, chance: _Chance) -> str:
    """Returns a wrong value of the same kind."""
    if value in _DAYS:
        return chance.one([day for day in _DAYS if day != value])
    if ":" in value:
        return f"{(int(value[:2]) + 1) % 24:02}{value[2:]}"
    return str(int(value) + 1) if normalize(value).isdigit() else value
