"""The tables that ToolWOZ's tools look things up in: restaurants, hotels, attractions and trains.

They are laid out as MultiWOZ's database is (Budzianowski et al., 2018, arXiv:1810.00278): a folder with one file of
JSON objects for each domain. A small town of our own comes with josh, for when there is no such folder.
"""

import json
import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import accumulate
from operator import or_
from pathlib import Path
from typing import Any

from josh.envs.toolwoz.values import plain, wanted
from josh.errors import UsageError

Row = Mapping[str, Any]

KEYS: Mapping[str, str] = {"restaurant": "name", "hotel": "name", "attraction": "name", "train": "trainID"}
"""The domains, with the column that says which entity is meant."""

SMALL = Path(__file__).parent / "small"
_NEEDED = {
    "restaurant": ("id", "name", "area", "food", "pricerange"),
    "hotel": ("id", "name", "area", "internet", "parking", "pricerange", "stars", "type"),
    "attraction": ("id", "name", "area", "type"),
    "train": ("trainID", "arriveBy", "day", "departure", "destination", "leaveAt"),
}
_TIME = re.compile(r"(?:[01]\d|2[0-4]):[0-5]\d")


def is_time(value: str) -> bool:
    """Whether a plain value is a time of day (`09:15`); a train that arrives after midnight may do so at `24:08`."""
    return _TIME.fullmatch(value) is not None


class Database:
    """Tables that nobody changes, indexed by their columns.

    What matches is also told as a whole number, `matches`, with bit n set where row n of the table does; such sets
    are cut, joined and counted at the speed of arithmetic.
    """

    __slots__ = ("_tables",)

    def __init__(self, tables: Mapping[str, Sequence[Row]]) -> None:
        """Args: tables: rows by domain, each domain of `KEYS` with the columns that `load` asks for."""
        self._tables = {domain: _Table(tuple(tables[domain])) for domain in KEYS}

    @classmethod
    def load(cls, folder: Path) -> "Database":
        """Read a folder of `restaurant_db.json`, `hotel_db.json`, `attraction_db.json` and `train_db.json`.

        Raises:
            UsageError: a file is not there, or does not hold such a table.
        """
        return cls({domain: _read(Path(folder) / f"{domain}_db.json", domain) for domain in KEYS})

    @classmethod
    def small(cls) -> "Database":
        """The town that comes with josh; the same object every time."""
        return _small()

    def __deepcopy__(self, memo: Mapping[int, Any]) -> "Database":
        return self

    def rows(self, domain: str) -> Sequence[Row]:
        """All rows of a domain, in the order of the file, with everything they hold. Nobody may change them."""
        return self._tables[domain].rows

    def find(self, domain: str, constraints: Mapping[str, Any]) -> list[Row]:
        """The rows that meet all constraints, in the order of the file.

        Values are compared as `values.plain` has them, and those that ask for nothing in particular are passed
        over. `leaveAt` is met by trains that leave then or later, `arriveBy` by those that arrive then or earlier,
        where what arrives before it leaves arrives on the next day. A column that is not there, and a time that is
        none, is met by nothing.
        """
        rows = self._tables[domain].rows
        return [rows[place] for place in _places(self.matches(domain, wanted(constraints)))]

    def matches(self, domain: str, values: Mapping[str, str]) -> int:
        """Which rows `find` gives for values as `josh.envs.toolwoz.values.wanted` has them, as a set of bits."""
        table = self._tables[domain]
        found = table.all
        for column, value in values.items():
            found &= table.where(column, value)
        return found

    def first(self, domain: str, found: int) -> Row | None:
        """The first row of a set, if any."""
        return self._tables[domain].rows[(found & -found).bit_length() - 1] if found else None

    def row_id(self, domain: str, row: Row) -> str:
        """What a row, and no other of its domain, is known by.

        That is its `id`, and of a train its `trainID`. Some of MultiWOZ's trains share one: theirs is followed by day
        and `leaveAt`. As nobody can say which of them is to be booked, tasks do better with the others.
        """
        if domain != "train":
            return str(row["id"])
        name = str(row["trainID"])
        alone = self._tables[domain].column("trainID")[plain(name)].bit_count() == 1
        return name if alone else f"{name} {row['day']} {row['leaveAt']}"

    def known_as(self, domain: str, name: str) -> int:
        """Which rows a row's id stands for, as a set of bits: one, or all trains with a `trainID`, or none."""
        table = self._tables[domain]
        if domain != "train":
            return table.column("id").get(plain(name), 0)
        found = table.column("trainID").get(plain(name), 0)
        number, *when = plain(name).rsplit(" ", 2)
        if found or len(when) < 2:
            return found
        day, leaves = when
        return (
            table.column("trainID").get(number, 0)
            & table.column("day").get(day, 0)
            & table.column("leaveAt").get(leaves, 0)
        )

    def values(self, domain: str, column: str) -> tuple[str, ...]:
        """The values of a column as they are compared, sorted, without `?` and those that say nothing."""
        return tuple(sorted(value for value in self._tables[domain].column(column) if value not in ("", "?")))


class _Table:
    """One domain's rows, and for each column the rows of each value; made when first asked for."""

    __slots__ = ("_columns", "_times", "all", "rows")

    def __init__(self, rows: tuple[Row, ...]) -> None:
        self.rows = rows
        self.all = (1 << len(rows)) - 1
        self._columns: dict[str, dict[str, int]] = {}
        self._times: dict[str, tuple[list[str], list[int]]] = {}

    def where(self, column: str, value: str) -> int:
        """The rows with a plain value in a column, or with a time that is as early or late as asked."""
        if column not in ("arriveBy", "leaveAt"):
            return self.column(column).get(value, 0)
        if not is_time(value):
            return 0
        if column not in self._times:
            self._times[column] = self._by_time(column)
        times, reached = self._times[column]
        if column == "arriveBy":
            return reached[bisect_right(times, value)]
        return self.all & ~reached[bisect_left(times, value)]

    def column(self, name: str) -> dict[str, int]:
        """The rows of each plain value of a column, as sets of bits. Lists and objects are no values."""
        if name not in self._columns:
            self._columns[name] = _index(self.rows, lambda row: plain(row[name]) if _is_value(row.get(name)) else None)
        return self._columns[name]

    def _by_time(self, column: str) -> tuple[list[str], list[int]]:
        """The times of a column in order, and before each of them and after the last, the rows that came by then."""
        by_time = _index(self.rows, lambda row: _time(row, column))
        times = sorted(by_time)
        return times, list(accumulate((by_time[time] for time in times), or_, initial=0))


@cache
def _small() -> Database:
    return Database.load(SMALL)


def _index(rows: Sequence[Row], value_of: Callable[[Row], str | None]) -> dict[str, int]:
    index: dict[str, int] = {}
    for place, row in enumerate(rows):
        value = value_of(row)
        if value is not None:
            index[value] = index.get(value, 0) | 1 << place
    return index


def _time(row: Row, column: str) -> str | None:
    """A row's time as text that sorts: what arrives before it leaves has 24 hours added."""
    time, leaves = plain(row.get(column)), plain(row.get("leaveAt"))
    if not is_time(time):
        return None
    return f"{int(time[:2]) + 24}{time[2:]}" if column == "arriveBy" and time < leaves else time


def _places(found: int) -> Iterator[int]:
    while found:
        lowest = found & -found
        yield lowest.bit_length() - 1
        found ^= lowest


def _is_value(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _read(path: Path, domain: str) -> list[Row]:
    """A table from its file, whole enough for the tools to be answered from it."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        files = ", ".join(f"{each}_db.json" for each in KEYS)
        raise UsageError(f"no file {path}; give a folder that holds {files}") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path}: {error}; give MultiWOZ's {path.name}") from error
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise UsageError(f"{path} is no list of JSON objects; give MultiWOZ's {path.name}")
    for number, row in enumerate(rows, start=1):
        missing = [column for column in _NEEDED[domain] if not _is_value(row.get(column))]
        if missing:
            raise UsageError(
                f"{path}: row {number} has no {missing[0]}; every {domain} needs {', '.join(_NEEDED[domain])}"
            )
        late = [column for column in ("arriveBy", "leaveAt") if domain == "train" and not is_time(plain(row[column]))]
        if late:
            raise UsageError(f"{path}: row {number} has {late[0]} {row[late[0]]!r}; give a time such as 09:15")
    unique = ("trainID", "day", "leaveAt") if domain == "train" else ("id",)
    (place, count), *_ = Counter(tuple(str(row[column]) for column in unique) for row in rows).most_common(1)
    if count > 1:
        raise UsageError(f"{path}: {count} rows have {' and '.join(unique)} {', '.join(place)}; give each its own")
    return rows
