"""An assistant that needs no model: it staffs a town's desk by set phrases, and gets things wrong now and then.

Mediocre on purpose. It knows what it was told and what its tools have returned, never what the user is after. At
temperature 0 it does its work well; the higher the temperature, the more often a decision goes wrong, so that a search
over its turns has something to find.
"""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, ClassVar, Final, TypeVar

from josh.agents.toolwoz import phrases as words
from josh.agents.toolwoz import reading as ear
from josh.agents.toolwoz.reading import Ear, Told
from josh.envs.toolwoz.language import spoken
from josh.envs.toolwoz.values import plain
from josh.errors import UsageError
from josh.messages import dumps
from josh.roles import BaseEnv, BaseJOSHAgent, Task, TurnModel
from josh.tools import Used, use

T = TypeVar("T", bound="OfflineToolAgent")

SLIP: Final = 0.33
"""How likely a decision goes wrong, times the temperature (tuned: at 1, somewhat less than half the tasks are done)."""
FOUND: Final = "found"
NOTHING: Final = "nothing"
BOOKED: Final = "booked"
FULL: Final = "full"
FAILED: Final = "failed"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the assistant knows of one domain.

    Attributes:
        search: what to look for, as the user said it, by parameter; empty where any value will do.
        booking: what to book with, likewise.
        books: whether they want a booking.
        details: columns that they have asked for and not been told.
        row: what the latest search found.
        stale: whether they have said more since then.
        asked: how often they were asked for more before a search.
        reference: the number of the booking; empty without one.
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
class Call:
    """A tool to call."""

    name: str
    arguments: Mapping[str, Any]


class OfflineToolAgent(BaseJOSHAgent):
    """Searches for what it was told, offers what it found, and books what it is asked to.

    One step is one completion: a tool call with its answer, or the words that end the turn. What goes wrong, each with
    probability `SLIP` times the temperature: it leaves a constraint out, has something wrong or missing in a booking,
    or says it is made when it is not, praises what it has not looked up, asks again for what it was told, forgets a
    detail.
    """

    shared: ClassVar[tuple[str, ...]] = ("tools",)

    def __init__(self, messages: Sequence[dict[str, Any]] | None = None) -> None:
        super().__init__(messages)
        self._ear = Ear(())
        # Everything below is a value: it is replaced, never changed, so that forks can share it.
        self._wishes: Mapping[str, Wish] = {}
        self._domain: str | None = None
        self._asked: tuple[str, ...] = ()
        self._news = ""
        self._read = 0
        self._calls = 0

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Take the system prompt and the tools. Raises UsageError where none of them is a search that it knows."""
        super().start(task, env, options)
        self.tools = tuple(env.tools(task))
        self._ear = Ear(self.tools)
        if not self._ear.searches:
            raise UsageError(
                "offline_tool_agent needs tools such as search_hotel; give another --agent, or --env toolwoz"
            )

    def fork(self: T) -> T:
        """A copy for a sibling branch; what a subclass adds has to be a value, too."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin.messages = self.messages.copy()
        twin.messages_internal = self.messages_internal.copy()
        twin.recent_actions = self.recent_actions.copy()
        return twin

    def step(self, *, model: TurnModel, env: Any = None, **_: Any) -> bool | Awaitable[bool]:
        """Call a tool, and be asked again (False), or speak (True)."""
        chance = _Chance(model.draw(), model.temperature)
        self._listen()
        call = None if self._news in (FULL, FAILED) else self._next_call(chance)
        if isinstance(call, Call):
            return self._use(call, env)
        text = call or self._speak(chance)
        self._news = ""
        self.add_message({"role": "assistant", "content": text})
        return True

    def _listen(self) -> None:
        """Take in what the user has said since the last step."""
        new = [each.get("content") for each in self.messages[self._read :] if each.get("role") == "user"]
        self._read = len(self.messages)
        for text in new:
            for told in self._ear.hear(text if isinstance(text, str) else "", self._domain, self._asked):
                self._domain = told.domain
                self._update(_heard(self._wishes.get(told.domain, _UNKNOWN), told))
        if new:
            self._asked = ()

    def _update(self, wish: Wish) -> None:
        assert self._domain is not None
        self._wishes = {**self._wishes, self._domain: wish}

    def _next_call(self, chance: "_Chance") -> Call | str | None:
        """What to look up or book now, or what to say instead; None to go on talking."""
        domain = self._domain
        if domain is None:
            return None
        wish = self._wishes[domain]
        if wish.stale and self._news != NOTHING:
            return self._ask_first(domain, wish, chance) or self._search(domain, wish, chance)
        bookable = self._ear.bookings.get(domain) and wish.row is not None and not wish.reference
        if wish.books and bookable and not self._missing(domain, wish) and not (wish.details and chance.slips()):
            return self._book(domain, wish, wish.row or {}, chance)
        return None

    def _ask_first(self, domain: str, wish: Wish, chance: "_Chance") -> str | None:
        """Ask for something before looking it up, where that is called for, or where it goes wrong."""
        said = list(_given(wish.search))
        if self._news:
            return None
        if said and chance.slips():
            if chance.happens(0.5):
                what = "vague train" if domain == "train" else "vague"
                return words.say(what, chance.phrase, words.KINDS[domain])
            self._asked = (chance.one(said),)
            return words.question(domain, self._asked, chance.phrase, again=True)
        names = self._worth_asking(domain, wish)
        if not names or wish.asked >= (2 if domain == "train" else 1):
            return None
        if domain != "train" and said and not chance.none and chance.happens(_HASTE):
            return None
        self._asked = names[:2]
        self._update(replace(wish, asked=wish.asked + 1))
        return words.question(domain, self._asked, chance.phrase)

    def _worth_asking(self, domain: str, wish: Wish) -> tuple[str, ...]:
        if domain == "train":
            names = [name for name in ("departure", "destination", "day") if name not in wish.search]
            return tuple(names if "leaveAt" in wish.search or "arriveBy" in wish.search else (*names, "leaveAt"))
        said = list(_given(wish.search))
        if "name" in said or len(said) > 1:
            return ()
        known = self._ear.searches[domain]
        return tuple(name for name in _WORTH_ASKING if name in known and name not in wish.search)

    def _search(self, domain: str, wish: Wish, chance: "_Chance") -> Call:
        given = _given(wish.search, self._ear.searches[domain])
        if len(given) > 1 and chance.slips():
            # Forgotten for good, unless the user comes back to it.
            forgotten = chance.one(list(given))
            del given[forgotten]
            search = {name: value for name, value in wish.search.items() if name != forgotten}
            self._update(replace(wish, search=search))
        return Call(f"search_{domain}", given)

    def _missing(self, domain: str, wish: Wish) -> list[str]:
        return [name for name in self._ear.bookings.get(domain, ()) if name not in wish.booking]

    def _book(self, domain: str, wish: Wish, row: Mapping[str, Any], chance: "_Chance") -> Call | str:
        key = "trainID" if domain == "train" else "name"
        given = {key: row.get(key, ""), **_given(wish.booking, self._ear.bookings[domain])}
        if chance.slips():
            changeable = [name for name in given if name != key]
            kind = chance.one(("claim", "leave out", "change"))
            if kind == "claim" or not changeable:
                return words.say("claimed", chance.phrase)
            name = chance.one(changeable)
            if kind == "leave out":
                del given[name]
            else:
                given[name] = _misheard(given[name], chance)
        return Call(f"book_{domain}", given)

    async def _use(self, call: Call, env: Any) -> bool:
        """Make a call; the turn goes on."""
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
        """Take in what a tool returned."""
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
            # It is not tried again before they have said so.
            self._update(replace(wish, books=False))

    def _speak(self, chance: "_Chance") -> str:
        domain = self._domain
        if domain is None:
            what = "lost" if any(each.get("role") == "user" for each in self.messages) else "greet"
            return words.say(what, chance.phrase)
        wish, parts = self._wishes[domain], []
        row = wish.row or {}
        if self._news == NOTHING:
            return words.say(NOTHING, chance.phrase, words.thing(domain, _given(wish.search)))
        if not row and (wish.books or wish.details):
            return words.say("not found yet", chance.phrase)
        if self._news in (FULL, FAILED):
            return words.say(self._news, chance.phrase, spoken("name", row.get("name", "the train")))
        if self._news == BOOKED:
            parts.append(
                words.say(BOOKED, chance.phrase, words.booked(domain, row, _given(wish.booking)), wish.reference)
            )
        elif self._news == FOUND:
            parts.append(words.offer(domain, row, self._mentioned(domain, wish, chance), chance.phrase))
        if wish.details and row:
            parts.append(self._answer(wish, row, chance))
            self._update(replace(wish, details=()))
        return " ".join((*parts, *self._ending(domain, wish, chance)))

    def _ending(self, domain: str, wish: Wish, chance: "_Chance") -> Sequence[str]:
        """What comes last in a turn: a question, as a rule."""
        bookable = bool(self._ear.bookings.get(domain))
        if wish.books and wish.row is not None and not wish.reference:
            if not bookable:
                return (words.say("no bookings", chance.phrase),)
            self._asked = tuple(self._missing(domain, wish)[:2])
            if self._asked:
                return (words.question(domain, self._asked, chance.phrase),)
        if self._news == FOUND:
            offers = bookable and not wish.books and not wish.details and not wish.reference
            return (words.say("offer booking", chance.phrase),) if offers else ()
        return (words.say("more", chance.phrase),)

    def _mentioned(self, domain: str, wish: Wish, chance: "_Chance") -> list[str]:
        """Which columns to speak of: what was asked for, and something more."""
        asked = list(_given(wish.search))
        others = [name for name in _WORTH_TELLING if name in self._ear.searches[domain] and name not in asked]
        return [*asked, *(name for name in others if chance.none or chance.happens(_TALKATIVE))]

    def _answer(self, wish: Wish, row: Mapping[str, Any], chance: "_Chance") -> str:
        columns = list(wish.details)
        if len(columns) > 1 and chance.slips():
            columns.remove(chance.one(columns))
        return words.details(columns, {**row, "reference": wish.reference})


class _Chance:
    """The draws of one step."""

    __slots__ = ("_rng", "_slip", "none")

    def __init__(self, seed: int, temperature: float) -> None:
        self._rng = Random(seed)
        self.none = temperature <= 0
        self._slip = min(SLIP * temperature, 0.9)

    def slips(self) -> bool:
        """Whether a decision goes wrong."""
        return self._rng.random() < self._slip

    def happens(self, share: float) -> bool:
        """Whether something happens that does so this often."""
        return self._rng.random() < share

    def one(self, things: Sequence[str]) -> str:
        """One of several."""
        return things[int(self._rng.random() * len(things))]

    def phrase(self, known: Sequence[str]) -> str:
        """One of several ways to say it; at temperature 0 the first."""
        return known[0] if self.none else self.one(known)


_HASTE = 0.6
"""How often it looks up what it has heard so far, though it could ask for more (design)."""
_TALKATIVE = 0.25
"""How often it mentions a trait that nobody asked for (design)."""
_WORTH_ASKING = ("food", "type", "area", "pricerange", "stars")
_WORTH_TELLING = ("food", "type", "pricerange", "area", "day")
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _given(values: Mapping[str, str], order: Sequence[str] | None = None) -> dict[str, str]:
    """The values that ask for something in particular, in the order of the parameters named."""
    return {name: values[name] for name in (values if order is None else order) if values.get(name)}


def _heard(wish: Wish, told: Told) -> Wish:
    """A wish and one more thing said about it."""
    if told.kind == ear.SEARCH:
        return replace(wish, search={**wish.search, told.name: told.value}, stale=True)
    if told.kind == ear.BOOK:
        booking = {**wish.booking, told.name: told.value} if told.name else wish.booking
        return replace(wish, booking=booking, books=True)
    if told.kind == ear.NO_BOOKING:
        return replace(wish, books=False)
    if told.kind == ear.ASK:
        return replace(wish, details=tuple(dict.fromkeys((*wish.details, told.name))))
    return wish


def _misheard(value: str, chance: _Chance) -> str:
    """Another value of the same kind."""
    if value in _DAYS:
        return chance.one([day for day in _DAYS if day != value])
    if ":" in value:
        return f"{(int(value[:2]) + 1) % 24:02}{value[2:]}"
    return str(int(value) + 1) if plain(value).isdigit() else value
