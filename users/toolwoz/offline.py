"""A user that needs no model: it has a goal in one or more domains, and goes after it by set phrases.

It knows its goal, in the shape of MultiWOZ's (`goal` in the task's data), and the enums of the tools' schemas, which
tell it when it is offered something else than it asked for. It never looks at the calls that earn. Short, polite, and
not endlessly patient.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final, TypeVar

from josh.envs.toolwoz import language
from josh.envs.toolwoz.values import plain, wanted
from josh.errors import UsageError
from josh.roles import BaseEnv, BaseJOSHUser, Task, TurnModel
from josh.seeds import derive
from josh.users.toolwoz import phrases as words
from josh.users.toolwoz import reading as ear
from josh.users.toolwoz.reading import Heard, Lexicon

T = TypeVar("T", bound="OfflineGoal")

PATIENCE: Final = 3
"""After how many fruitless turns of the assistant's it leaves (design)."""
TRUSTING: Final = 0.8
"""How often it takes a booking without a reference number for one (design)."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How somebody goes about it, the same throughout a task.

    Attributes:
        said_first: how many constraints it opens with.
        at_once: whether it asks for details and for a booking in one message.
    """

    said_first: int
    at_once: bool


@dataclass(frozen=True, slots=True)
class Wish:
    """What it wants of one domain; see `josh.envs.toolwoz.tasks`, with plain values that ask for something."""

    domain: str
    info: Mapping[str, str]
    fail_info: Mapping[str, str]
    book: Mapping[str, str]
    fail_book: Mapping[str, str]
    details: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """How the conversation stands.

    Attributes:
        place: which wish it is about; -1 at the start.
        told: parameters of the search that it has told.
        settled: whether it has given up what cannot be had.
        accepted: whether it has taken an offer.
        to_ask: details yet to ask for.
        asked: details asked for and not told yet.
        reminded: whether it has asked for them a second time.
        booking: whether it has asked for the booking.
        rebooked: whether it has given up the booking that cannot be had.
        booked: whether the booking is made, as far as it knows.
        fruitless: how many turns of the assistant's have led nowhere, over all wishes.
    """

    place: int = -1
    told: frozenset[str] = frozenset()
    settled: bool = False
    accepted: bool = False
    to_ask: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    reminded: bool = False
    booking: bool = False
    rebooked: bool = False
    booked: bool = False
    fruitless: int = 0


class OfflineGoal(BaseJOSHUser):
    """Says what it wants, a part first, takes what fits, has it booked, asks for details, and goes on to the next wish.

    Where it is told that there is nothing, or that a booking cannot be made, it goes from what fails in its goal to
    what does not. It leaves when it has all it wants, or when the assistant has got it nowhere too often.
    """

    shared = ("_wishes", "_lexicons")

    def __init__(self) -> None:
        self._wishes: tuple[Wish, ...] = ()
        self._lexicons: Mapping[str, Lexicon] = {}
        self._manner = Manner(2, True)
        self._standing = Standing()

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Take the task's goal. Raises UsageError where it has none, or one in a domain that it has no words for."""
        goal = task.data.get("goal")
        if not isinstance(goal, Mapping) or not goal:
            raise UsageError(f"task {task.id} has no goal; give another --user")
        super().start(task, env, options)
        strange = next((domain for domain in goal if domain not in language.NOUNS), None)
        if strange is not None:
            known = ", ".join(language.NOUNS)
            raise UsageError(
                f"task {task.id} is about {strange!r}, and offline_goal knows {known}; give another --user"
            )
        self._wishes = tuple(_wish(domain, parts) for domain, parts in goal.items())
        self._lexicons = {
            tool["function"]["name"].removeprefix("search_"): _lexicon(tool)
            for tool in env.tools(task)
            if tool["function"]["name"].startswith("search_")
        }
        draw = Random(derive("offline_goal", task.id))
        self._manner = Manner(draw.choice((1, 2, 2, 3, 9)), draw.random() < 0.5)

    def fork(self: T) -> T:
        """A copy for a sibling branch; all that it has is values."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    def step(self, agent: Any, *, model: TurnModel, **_: Any) -> tuple[Any, bool]:
        """Say one message; over when all is done, or patience is."""
        rng = Random(model.draw())
        last = agent.messages[-1] if agent.messages else {}
        said = (last.get("content") or "") if last.get("role") == "assistant" else ""
        self._standing, text = self._reply(said, rng)
        agent.add_message({"role": "user", "content": text})
        return agent, self._standing.place >= len(self._wishes) or self._standing.fruitless >= PATIENCE

    def _reply(self, said: str, rng: Random) -> tuple[Standing, str]:
        standing = self._standing
        if standing.place < 0:
            return self._next(standing, rng)
        wish, heard = self._wishes[standing.place], ear.hear(said)
        standing = replace(standing, asked=tuple(each for each in standing.asked if not ear.tells(heard, each)))
        after, parts = self._answer(wish, standing, heard, rng)
        text = " ".join(parts)
        if not parts:
            after, text = self._onward(wish, after, rng, is_offered=after.accepted and not standing.accepted)
        return after, words.say("leave", rng) if after.fruitless >= PATIENCE else text

    def _answer(self, wish: Wish, standing: Standing, heard: Heard, rng: Random) -> tuple[Standing, list[str]]:
        """What the assistant's words call for, if anything."""
        answers = {
            ear.REFUSED: self._refused,
            ear.BOOKED: self._booked,
            ear.NOTHING: self._nothing,
            ear.OFFER: self._offered,
            ear.QUESTION: self._questioned,
        }
        answer = answers.get(heard.kind)
        after, parts = answer(wish, standing, heard, rng) if answer else (standing, [])
        if parts or after.accepted:
            return after, parts
        return _fruitless(after), [words.say("which", rng, words.traits(self._sought(wish, after)))]

    def _sought(self, wish: Wish, standing: Standing) -> dict[str, str]:
        return dict(wish.info) if standing.settled else {**wish.info, **wish.fail_info}

    def _to_book(self, wish: Wish, standing: Standing) -> dict[str, str]:
        return dict(wish.book) if standing.rebooked else {**wish.book, **wish.fail_book}

    def _nothing(self, wish: Wish, standing: Standing, heard: Heard, rng: Random) -> tuple[Standing, list[str]]:
        sought = self._sought(wish, standing)
        if standing.settled or not wish.fail_info:
            untold = {name: value for name, value in sought.items() if name not in standing.told}
            after = standing if untold else _fruitless(standing)
            return _telling(after, sought), [words.say("again", rng, words.traits(sought))]
        changed = {name: value for name, value in wish.info.items() if sought.get(name) != value}
        untold = {name: value for name, value in wish.info.items() if name not in standing.told and name not in changed}
        dropped = [name for name in wish.fail_info if name not in wish.info]
        parts = []
        if changed:
            parts.append(words.say("instead", rng, words.traits(changed)))
        if dropped:
            parts.append(words.indifferent(dropped))
        if untold:
            parts.append(words.say("more", rng, words.traits(untold)))
        return replace(_telling(standing, wish.info), settled=True), parts

    def _offered(self, wish: Wish, standing: Standing, heard: Heard, rng: Random) -> tuple[Standing, list[str]]:
        sought = self._sought(wish, standing)
        told = {name: value for name, value in sought.items() if name in standing.told}
        untold = {name: value for name, value in sought.items() if name not in standing.told}
        known = self._lexicons.get(wish.domain)
        said = known.said(heard) if known else {}
        wrong = [name for name, value in told.items() if said.get(name) and not ear.fits(name, value, said[name])]
        if any(not said.get(name) or not ear.fits(name, value, said[name]) for name, value in untold.items()):
            again = {name: sought[name] for name in wrong} | untold
            return _telling(standing, sought), [words.say("more", rng, words.traits(again))]
        if wrong:
            traits = words.traits({name: sought[name] for name in wrong})
            return replace(_fruitless(standing), accepted=False), [words.say("object", rng, traits)]
        # It is here although it should not be. What has been said along with it need not be asked for.
        to_ask = tuple(name for name in standing.to_ask if not said.get(name))
        return replace(standing, accepted=True, settled=True, to_ask=to_ask), []

    def _booked(self, wish: Wish, standing: Standing, heard: Heard, rng: Random) -> tuple[Standing, list[str]]:
        if not standing.booking:
            return standing, []
        if standing.booked or ear.has_reference(heard) or rng.random() < TRUSTING:
            return replace(standing, booked=True), []
        return _fruitless(standing), [words.say("reference", rng)]

    def _refused(self, wish: Wish, standing: Standing, heard: Heard, rng: Random) -> tuple[Standing, list[str]]:
        if not standing.booking or standing.booked:
            return standing, []
        if wish.fail_book and not standing.rebooked:
            changed = {name: value for name, value in wish.book.items() if wish.fail_book.get(name, value) != value}
            said = language.booked_with(wish.domain, changed)
            return replace(standing, rebooked=True), [words.say("book instead", rng, said)]
        book = words.booking(wish.domain, self._to_book(wish, standing))
        return _fruitless(standing), [words.say("book again", rng, book)]

    def _questioned(self, wish: Wish, standing: Standing, heard: Heard, rng: Random) -> tuple[Standing, list[str]]:
        """Answer a question for parameters: of the booking once there is an offer, else of the search."""
        if standing.accepted:
            if not standing.booking or standing.booked:
                return standing, []
            book = self._to_book(wish, standing)
            others = [name for name in heard.asked if name not in book]
            if others:
                return standing, [words.indifferent(others)]
            values = {name: book[name] for name in heard.asked}
            return _fruitless(standing), [words.say("book again", rng, words.booking(wish.domain, values))]
        sought = self._sought(wish, standing)
        asked = [name for name in heard.asked if name in sought]
        repeated = [name for name in asked if name in standing.told]
        untold = {name: value for name, value in sought.items() if name not in standing.told}
        if repeated and len(repeated) == len(heard.asked):
            traits = words.traits({name: sought[name] for name in repeated})
            return _fruitless(standing), [words.say("again", rng, traits)]
        if untold:
            return _telling(standing, sought), [words.say("more", rng, words.traits(untold))]
        others = [name for name in heard.asked if name not in sought]
        return standing, [words.indifferent(others) if others else words.say("that is all", rng)]

    def _onward(self, wish: Wish, standing: Standing, rng: Random, *, is_offered: bool) -> tuple[Standing, str]:
        """What comes next when nothing is left to answer."""
        parts = []
        if standing.asked and not standing.reminded:
            details = words.details(standing.asked)
            return replace(_fruitless(standing), reminded=True), words.say("ask again", rng, details)
        standing = replace(standing, asked=())
        if is_offered:
            parts.append(words.say("like", rng))
        waits = wish.book and not standing.booked
        if standing.to_ask:
            parts.append(words.say("ask", rng, words.details(standing.to_ask)))
            standing = replace(standing, asked=standing.to_ask, to_ask=(), reminded=False)
            if not waits or standing.booking or not self._manner.at_once:
                return standing, " ".join(parts)
        if waits:
            again = standing.booking
            book = words.booking(wish.domain, self._to_book(wish, standing))
            parts.append(words.say("book again" if again else "book", rng, book))
            return replace(_fruitless(standing) if again else standing, booking=True), " ".join(parts)
        if is_offered and wish.domain != "attraction":
            parts.append(words.say("no booking", rng))
        return self._next(standing, rng, parts)

    def _next(self, standing: Standing, rng: Random, parts: list[str] | None = None) -> tuple[Standing, str]:
        """Open the next wish, or say goodbye."""
        place = standing.place + 1
        if place >= len(self._wishes):
            return replace(standing, place=place), words.say("bye", rng)
        wish = self._wishes[place]
        fresh = Standing(place, to_ask=wish.details, fruitless=standing.fruitless)
        sought = self._sought(wish, fresh)
        names = ["name"] if "name" in sought else list(sought)[: self._manner.said_first]
        first = {name: sought[name] for name in names}
        what = words.thing(wish.domain, first)
        opened = [words.say("next", rng, what) if place else words.say("open", rng, what)]
        thanks = [] if not place else (parts or [words.say("thanks", rng)])
        return _telling(fresh, first), " ".join((*thanks, *opened))


def _wish(domain: str, parts: Mapping[str, Any]) -> Wish:
    info, fail_info = (_said(parts.get(part), words.SEARCHED) for part in ("info", "fail_info"))
    bookable = language.BOOKED if domain != "attraction" else ()
    book, fail_book = (_said(parts.get(part), bookable) for part in ("book", "fail_book"))
    # A booking's number comes with it.
    asked = tuple(dict.fromkeys(name for name in parts.get("reqt") or () if plain(name) not in ("ref", "reference")))
    return Wish(domain, info, fail_info, book, fail_book, asked)


def _said(values: Mapping[str, Any] | None, known: Collection[str]) -> dict[str, str]:
    """Values that ask for something in particular, in the goal's own writing."""
    return {name: str(values[name]) for name in wanted(values) if name in known} if values else {}


def _lexicon(tool: Mapping[str, Any]) -> Lexicon:
    properties = tool["function"].get("parameters", {}).get("properties", {})
    return ear.lexicon(tuple((name, tuple(schema.get("enum") or ())) for name, schema in properties.items()))


def _fruitless(standing: Standing) -> Standing:
    return replace(standing, fruitless=standing.fruitless + 1)


def _telling(standing: Standing, values: Mapping[str, str]) -> Standing:
    return replace(standing, told=standing.told | values.keys())
