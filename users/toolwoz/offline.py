"""A user without a model: it has a goal in one or more domains, and pursues it with fixed phrases.

It knows its goal, in MultiWOZ's form (`goal` in the task's data), and the enums of the tools' schemas, by which it
notices an offer that does not fit. It never looks at the calls that earn a reward. It writes short, polite messages,
and leaves after a few fruitless turns.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final, TypeVar

from josh.envs.toolwoz import language
from josh.envs.toolwoz.values import constraints, normalize
from josh.errors import UsageError
from josh.roles import BaseEnv, BaseJOSHUser, Task, TurnModel
from josh.seeds import derive
from josh.users.toolwoz import phrases, reading
from josh.users.toolwoz.reading import Heard, Lexicon

T = TypeVar("T", bound="OfflineGoal")

PATIENCE: Final = 3
"""The number of fruitless turns of the assistant after which the user leaves (design)."""
TRUSTING: Final = 0.8
"""The probability that it believes in a booking without a reference number (design)."""


@dataclass(frozen=True, slots=True)
class Manner:
    """The user's habits, the same in all conversations on a task.

    Attributes:
        said_first: how many constraints its first message for a wish holds.
        together: whether it asks for details and for a booking in one message.
    """

    said_first: int
    together: bool


@dataclass(frozen=True, slots=True)
class Wish:
    """The user's wish in one domain, without values that accept anything; `josh.envs.toolwoz.tasks` has the parts."""

    domain: str
    info: Mapping[str, str]
    fail_info: Mapping[str, str]
    book: Mapping[str, str]
    fail_book: Mapping[str, str]
    details: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of the conversation.

    Attributes:
        place: index of the current wish; -1 at the start.
        stated: parameters of the search that the user has stated.
        settled: whether the user has given up the search that fails.
        accepted: whether the user has accepted an offer.
        to_ask: details that the user has not asked for yet.
        asked: details that the user asked for and has not got yet.
        reminded: whether the user has asked for these a second time.
        booking: whether the user has asked for the booking.
        rebooked: whether the user has given up the booking that fails.
        booked: whether the user believes that the booking is made.
        fruitless: number of fruitless turns of the assistant, in all wishes together.
    """

    place: int = -1
    stated: frozenset[str] = frozenset()
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
    """Pursues its wishes one after another.

    For each wish it states some constraints first and the others when they matter, accepts an offer that fits, asks for
    the booking and for details. When the assistant finds nothing or cannot book, it gives up the part of its goal that
    fails (`fail_info`, `fail_book`) for the part that does not. It leaves when it has everything, or after `PATIENCE`
    fruitless turns of the assistant.
    """

    shared = ("_wishes", "_lexicons")

    def __init__(self) -> None:
        self._wishes: tuple[Wish, ...] = ()
        self._lexicons: Mapping[str, Lexicon] = {}
        self._manner = Manner(2, True)
        self._progress = Progress()

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Takes the task's goal. Raises UsageError where there is none, or where it has an unknown domain."""
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
        """Returns a copy for a sibling branch. All attributes are values, so that the copy can share them."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    def step(self, agent: Any, *, model: TurnModel, **_: Any) -> tuple[Any, bool]:
        """Says one message. The conversation is over when all wishes are done, or after too many fruitless turns."""
        rng = Random(model.draw())
        last = agent.messages[-1] if agent.messages else {}
        said = (last.get("content") or "") if last.get("role") == "assistant" else ""
        self._progress, text = self._reply(said, rng)
        agent.add_message({"role": "user", "content": text})
        return agent, self._progress.place >= len(self._wishes) or self._progress.fruitless >= PATIENCE

    def _reply(self, said: str, rng: Random) -> tuple[Progress, str]:
        progress = self._progress
        if progress.place < 0:
            return self._next(progress, rng)
        wish, heard = self._wishes[progress.place], reading.read_message(said)
        progress = replace(progress, asked=tuple(each for each in progress.asked if not reading.mentions(heard, each)))
        after, parts = self._answer(wish, progress, heard, rng)
        text = " ".join(parts)
        if not parts:
            after, text = self._onward(wish, after, rng, is_offered=after.accepted and not progress.accepted)
        return after, phrases.say("leave", rng) if after.fruitless >= PATIENCE else text

    def _answer(self, wish: Wish, progress: Progress, heard: Heard, rng: Random) -> tuple[Progress, list[str]]:
        """Returns the state and the answer to the assistant's words; the answer is empty where they need none."""
        answers = {
            reading.REFUSED: self._refused,
            reading.BOOKED: self._booked,
            reading.NOTHING: self._nothing,
            reading.OFFER: self._offered,
            reading.QUESTION: self._questioned,
        }
        answer = answers.get(heard.kind)
        after, parts = answer(wish, progress, heard, rng) if answer else (progress, [])
        if parts or after.accepted:
            return after, parts
        return _fruitless(after), [phrases.say("which", rng, phrases.traits(self._sought(wish, after)))]

    def _sought(self, wish: Wish, progress: Progress) -> dict[str, str]:
        return dict(wish.info) if progress.settled else {**wish.info, **wish.fail_info}

    def _to_book(self, wish: Wish, progress: Progress) -> dict[str, str]:
        return dict(wish.book) if progress.rebooked else {**wish.book, **wish.fail_book}

    def _nothing(self, wish: Wish, progress: Progress, heard: Heard, rng: Random) -> tuple[Progress, list[str]]:
        sought = self._sought(wish, progress)
        if progress.settled or not wish.fail_info:
            unstated = {name: value for name, value in sought.items() if name not in progress.stated}
            after = progress if unstated else _fruitless(progress)
            return _stating(after, sought), [phrases.say("again", rng, phrases.traits(sought))]
        changed = {name: value for name, value in wish.info.items() if sought.get(name) != value}
        unstated = {
            name: value for name, value in wish.info.items() if name not in progress.stated and name not in changed
        }
        dropped = [name for name in wish.fail_info if name not in wish.info]
        parts = []
        if changed:
            parts.append(phrases.say("instead", rng, phrases.traits(changed)))
        if dropped:
            parts.append(phrases.indifferent(dropped))
        if unstated:
            parts.append(phrases.say("more", rng, phrases.traits(unstated)))
        return replace(_stating(progress, wish.info), settled=True), parts

    def _offered(self, wish: Wish, progress: Progress, heard: Heard, rng: Random) -> tuple[Progress, list[str]]:
        sought = self._sought(wish, progress)
        stated = {name: value for name, value in sought.items() if name in progress.stated}
        unstated = {name: value for name, value in sought.items() if name not in progress.stated}
        known = self._lexicons.get(wish.domain)
        said = known.said(heard) if known else {}
        wrong = [name for name, value in stated.items() if said.get(name) and not reading.fits(name, value, said[name])]
        if any(not said.get(name) or not reading.fits(name, value, said[name]) for name, value in unstated.items()):
            again = {name: sought[name] for name in wrong} | unstated
            return _stating(progress, sought), [phrases.say("more", rng, phrases.traits(again))]
        if wrong:
            traits = phrases.traits({name: sought[name] for name in wrong})
            return replace(_fruitless(progress), accepted=False), [phrases.say("object", rng, traits)]
        # The search that should fail has found something, so the user takes it. It does not ask for details that the
        # offer already holds.
        to_ask = tuple(name for name in progress.to_ask if not said.get(name))
        return replace(progress, accepted=True, settled=True, to_ask=to_ask), []

    def _booked(self, wish: Wish, progress: Progress, heard: Heard, rng: Random) -> tuple[Progress, list[str]]:
        if not progress.booking:
            return progress, []
        if progress.booked or reading.has_reference(heard) or rng.random() < TRUSTING:
            return replace(progress, booked=True), []
        return _fruitless(progress), [phrases.say("reference", rng)]

    def _refused(self, wish: Wish, progress: Progress, heard: Heard, rng: Random) -> tuple[Progress, list[str]]:
        if not progress.booking or progress.booked:
            return progress, []
        if wish.fail_book and not progress.rebooked:
            changed = {name: value for name, value in wish.book.items() if wish.fail_book.get(name, value) != value}
            said = language.booked_with(wish.domain, changed)
            return replace(progress, rebooked=True), [phrases.say("book instead", rng, said)]
        book = phrases.booking(wish.domain, self._to_book(wish, progress))
        return _fruitless(progress), [phrases.say("book again", rng, book)]

    def _questioned(self, wish: Wish, progress: Progress, heard: Heard, rng: Random) -> tuple[Progress, list[str]]:
        """Answers a question for parameters: of the booking after an accepted offer, else of the search."""
        if progress.accepted:
            if not progress.booking or progress.booked:
                return progress, []
            book = self._to_book(wish, progress)
            others = [name for name in heard.asked if name not in book]
            if others:
                return progress, [phrases.indifferent(others)]
            values = {name: book[name] for name in heard.asked}
            return _fruitless(progress), [phrases.say("book again", rng, phrases.booking(wish.domain, values))]
        sought = self._sought(wish, progress)
        asked = [name for name in heard.asked if name in sought]
        repeated = [name for name in asked if name in progress.stated]
        unstated = {name: value for name, value in sought.items() if name not in progress.stated}
        if repeated and len(repeated) == len(heard.asked):
            traits = phrases.traits({name: sought[name] for name in repeated})
            return _fruitless(progress), [phrases.say("again", rng, traits)]
        if unstated:
            return _stating(progress, sought), [phrases.say("more", rng, phrases.traits(unstated))]
        others = [name for name in heard.asked if name not in sought]
        return progress, [phrases.indifferent(others) if others else phrases.say("that is all", rng)]

    def _onward(self, wish: Wish, progress: Progress, rng: Random, *, is_offered: bool) -> tuple[Progress, str]:
        """Returns the next message when the assistant's words need no answer: details, a booking, or the next wish."""
        parts = []
        if progress.asked and not progress.reminded:
            details = phrases.details(progress.asked)
            return replace(_fruitless(progress), reminded=True), phrases.say("ask again", rng, details)
        progress = replace(progress, asked=())
        if is_offered:
            parts.append(phrases.say("like", rng))
        waits = wish.book and not progress.booked
        if progress.to_ask:
            parts.append(phrases.say("ask", rng, phrases.details(progress.to_ask)))
            progress = replace(progress, asked=progress.to_ask, to_ask=(), reminded=False)
            if not waits or progress.booking or not self._manner.together:
                return progress, " ".join(parts)
        if waits:
            again = progress.booking
            book = phrases.booking(wish.domain, self._to_book(wish, progress))
            parts.append(phrases.say("book again" if again else "book", rng, book))
            return replace(_fruitless(progress) if again else progress, booking=True), " ".join(parts)
        if is_offered and wish.domain != "attraction":
            parts.append(phrases.say("no booking", rng))
        return self._next(progress, rng, parts)

    def _next(self, progress: Progress, rng: Random, parts: list[str] | None = None) -> tuple[Progress, str]:
        """Opens the next wish, or says goodbye."""
        place = progress.place + 1
        if place >= len(self._wishes):
            return replace(progress, place=place), phrases.say("bye", rng)
        wish = self._wishes[place]
        fresh = Progress(place, to_ask=wish.details, fruitless=progress.fruitless)
        sought = self._sought(wish, fresh)
        names = ["name"] if "name" in sought else list(sought)[: self._manner.said_first]
        first = {name: sought[name] for name in names}
        what = phrases.thing(wish.domain, first)
        opened = [phrases.say("next", rng, what) if place else phrases.say("open", rng, what)]
        thanks = [] if not place else (parts or [phrases.say("thanks", rng)])
        return _stating(fresh, first), " ".join((*thanks, *opened))


def _wish(domain: str, parts: Mapping[str, Any]) -> Wish:
    info, fail_info = (_said(parts.get(part), phrases.SEARCHED) for part in ("info", "fail_info"))
    bookable = language.BOOKED if domain != "attraction" else ()
    book, fail_book = (_said(parts.get(part), bookable) for part in ("book", "fail_book"))
    # The user does not ask for the reference number, because a booking's answer holds it.
    asked = tuple(
        dict.fromkeys(name for name in parts.get("reqt") or () if normalize(name) not in ("ref", "reference"))
    )
    return Wish(domain, info, fail_info, book, fail_book, asked)


def _said(values: Mapping[str, Any] | None, known: Collection[str]) -> dict[str, str]:
    """Returns the values of known parameters that do not accept anything, written as in the goal."""
    return {name: str(values[name]) for name in constraints(values) if name in known} if values else {}


def _lexicon(tool: Mapping[str, Any]) -> Lexicon:
    properties = tool["function"].get("parameters", {}).get("properties", {})
    return reading.lexicon(tuple((name, tuple(schema.get("enum") or ())) for name, schema in properties.items()))


def _fruitless(progress: Progress) -> Progress:
    return replace(progress, fruitless=progress.fruitless + 1)


def _stating(progress: Progress, values: Mapping[str, str]) -> Progress:
    return replace(progress, stated=progress.stated | values.keys())
