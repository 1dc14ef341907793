"""ToolWOZ's server: it answers the tool calls of one conversation and knows its goal (Lattimer et al., 2024).

With an ordinary database an agent could find the user's row by chance. This server returns that row to a search that
asks for everything the user wants, and makes only the bookings that the user wants.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

from josh.envs.toolwoz.database import KEYS, Database, is_time
from josh.envs.toolwoz.tools import PARAMETERS, domain_of
from josh.envs.toolwoz.values import constraints
from josh.roles import ToolError
from josh.seeds import derive

MOST_CALLS = 12
"""Default of the most calls in a turn; the offline agent makes up to 2."""
TOO_MANY = "the calls of this turn are more than"
"""The beginning of the refusal of a call above that number."""
_TIMES = frozenset(("arriveBy", "leaveAt", "time"))


@dataclass(frozen=True, slots=True)
class Booking:
    """A booking that was made.

    Attributes:
        tool: the tool that made it, such as `book_hotel`.
        arguments: the normalized arguments, in the order of the tool's parameters.
        reference: the reference number that the agent got.
    """

    tool: str
    arguments: tuple[tuple[str, str], ...]
    reference: str


class WozWorld:
    """The object that the tools of one branch act on.

    Siblings share the database and the task. They differ only in `bookings`, a value.

    Attributes:
        bookings: the bookings made in this branch, oldest first, each once.
    """

    __slots__ = ("_calls", "_database", "_domains", "_most", "bookings")

    def __init__(
        self,
        database: Database,
        targets: Sequence[Mapping[str, Any]],
        failures: Sequence[Mapping[str, Any]],
        most_calls: int = MOST_CALLS,
    ) -> None:
        """Takes a task's calls.

        Args:
            database: all places and trains.
            targets: the calls that earn, at most one of each tool: `domain`, `api`, `parameters`, and for a search the
                `id` of the row that the user will book (see `Database.row_id`); None where there is nothing to book.
            failures: the calls that must fail: `domain`, `api` and `parameters`.
            most_calls: the calls of one turn that are answered; further ones are refused.
        """
        self._database = database
        self._most = most_calls
        self._calls = 0
        self._domains = {domain: _domain(database, domain, targets, failures) for domain in KEYS}
        self.bookings: tuple[Booking, ...] = ()

    def fork(self) -> "WozWorld":
        """Returns a world for a sibling branch."""
        twin = object.__new__(type(self))
        twin._database = self._database
        twin._domains = self._domains
        twin._most = self._most
        twin._calls = self._calls
        twin.bookings = self.bookings
        return twin

    def call(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Calls one of the tools of `PARAMETERS`.

        A search returns a list of one row. The list is empty where nothing matches, or where the search must fail. No
        other search finds the rows of a failing search. Of the rows that match (see `Database.find`), a search returns

        - the row that the user will book, if the search asks for everything the user wants and that row matches;
        - a row that the user does not want, if the search asks only for a part of it; where there is no such row, the
          row to book;
        - the first row in all other cases.

        A booking returns `success`. A booking that asks for everything the user wants succeeds and has a `reference`,
        the same for the same booking in every branch. A booking that must fail has a `reason`. Any other booking has a
        `message` that says what to do.

        Returns:
            A value that JSON can hold. Rows are copies.

        Raises:
            ToolError: the tool or a parameter is unknown, a value is not a text or number, a time is malformed, the
                database does not have the thing to book, or the turn has had its calls.
        """
        self._calls += 1
        if self._calls > self._most:
            raise ToolError(f"{TOO_MANY} {self._most}; speak to the user before you call more tools")
        given = _checked(name, arguments)
        domain = domain_of(name)
        return self._search(domain, given) if name.startswith("search_") else self._book(domain, name, given)

    def observe(self) -> None:
        """Notes that a turn has ended; there is nothing to report."""
        self._calls = 0

    def _search(self, domain: str, given: Mapping[str, str]) -> list[Mapping[str, Any]]:
        database, goal = self._database, self._domains[domain]
        found = database.matches(domain, given) & ~goal.denied
        complete = goal.search is not None and goal.search.items() <= given.items()
        if _fails(given, goal.empty, goal.search if complete else None):
            return []
        best = found
        if complete:
            best = found & goal.booked
        elif goal.search is not None and given.items() <= goal.search.items():
            best = found & ~goal.fitting & ~goal.booked or found & goal.booked
        row = database.first(domain, best or found)
        return [] if row is None else [_copied(row)]

    def _book(self, domain: str, tool: str, given: Mapping[str, str]) -> dict[str, Any]:
        if domain == "attraction":
            return {"success": False, "message": "Attractions take no bookings; the user can just go there."}
        goal, key = self._domains[domain], KEYS[domain]
        if key not in given:
            raise ToolError(f"{tool} needs the {key} of a {domain}; search_{domain} gives it")
        if not self._database.matches(domain, {key: given[key]}):
            raise ToolError(
                f"there is no {domain} with the {key} {given[key]!r}; search_{domain} gives those there are"
            )
        complete = goal.booking is not None and goal.booking.items() <= given.items()
        if _fails(given, goal.refused, goal.booking if complete else None):
            return {"success": False, "reason": f"The {domain} is fully booked for what you asked."}
        if complete:
            return {"success": True, "reference": self._keep(tool, given)}
        missing = [name for name in PARAMETERS[tool] if name not in given]
        if missing:
            return {"success": False, "message": f"The booking needs {' and '.join(missing)} too."}
        return {"success": False, "message": "The booking was not made; go through its details with the user again."}

    def _keep(self, tool: str, given: Mapping[str, str]) -> str:
        arguments = tuple((name, given[name]) for name in PARAMETERS[tool] if name in given)
        booking = Booking(tool, arguments, f"{derive(tool, *arguments):08X}")
        if booking not in self.bookings:
            self.bookings = (*self.bookings, booking)
        return booking.reference


@dataclass(frozen=True, slots=True)
class _Domain:
    """A task's calls in one domain. Values are normalized, and rows are sets of bits.

    Attributes:
        search: the parameters of the search that earns; None without one.
        fitting: the rows that meet them.
        booked: the row that the user will book.
        booking: the parameters of the booking that earns; None without one.
        empty: the parameters of searches that must fail.
        denied: the rows that these would find, without the row to book; no search of this task finds them.
        refused: the parameters of bookings that must fail.
    """

    search: Mapping[str, str] | None
    fitting: int
    booked: int
    booking: Mapping[str, str] | None
    empty: tuple[Mapping[str, str], ...]
    denied: int
    refused: tuple[Mapping[str, str], ...]


def _domain(
    database: Database, domain: str, targets: Sequence[Mapping[str, Any]], failures: Sequence[Mapping[str, Any]]
) -> _Domain:
    goals = {target["api"]: target for target in targets}
    search, booking = goals.get(f"search_{domain}"), goals.get(f"book_{domain}")
    parameters = None if search is None else constraints(search["parameters"])
    row = None if search is None else search.get("id")
    fails = [(failure["api"], constraints(failure["parameters"])) for failure in failures]
    booked = 0 if row is None else database.known_as(domain, str(row))
    empty = tuple(asked for api, asked in fails if asked and api == f"search_{domain}")
    return _Domain(
        search=parameters,
        fitting=0 if parameters is None else database.matches(domain, parameters),
        booked=booked,
        booking=None if booking is None else constraints(booking["parameters"]),
        empty=empty,
        denied=reduce(or_, (database.matches(domain, asked) for asked in empty), 0) & ~booked,
        refused=tuple(asked for api, asked in fails if asked and api == f"book_{domain}"),
    )


def _fails(given: Mapping[str, str], failures: Sequence[Mapping[str, str]], complete: Mapping[str, str] | None) -> bool:
    """Returns whether a call must fail.

    A call that asks for everything the user wants fails only if the failing call asks for more than that, which is a
    wish that the user then gives up.

    Args:
        given: the normalized arguments of the call.
        failures: the parameters of calls that must fail.
        complete: the parameters of the call that earns, if `given` has all of them; else None.
    """
    return any(
        failure.items() <= given.items() and not (complete is not None and failure.items() <= complete.items())
        for failure in failures
    )


def _copied(row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a copy of a row that an agent may change without changing its siblings' rows."""
    return {name: value.copy() if isinstance(value, list | dict) else value for name, value in row.items()}


def _checked(name: str, arguments: Mapping[str, Any]) -> dict[str, str]:
    """Returns the normalized constraints of a call. Raises ToolError where they do not fit the tool."""
    known = PARAMETERS.get(name)
    if known is None:
        raise ToolError(f"there is no tool {name!r}; known: {', '.join(PARAMETERS)}")
    for parameter, value in arguments.items():
        if parameter not in known:
            raise ToolError(f"{name} takes no {parameter!r}; known: {', '.join(known)}")
        if isinstance(value, bool) or not (value is None or isinstance(value, str | int | float)):
            raise ToolError(f"{parameter} of {name} is no text or number; give one, or leave it out")
    given = constraints(arguments)
    for parameter, text in given.items():
        if parameter in _TIMES and not is_time(text):
            raise ToolError(f"{parameter} of {name} is {text!r}; give a time such as 09:15")
    return given
