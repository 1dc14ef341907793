"""The tables behind ToolWOZ's tools: restaurants, hotels, attractions and trains.

They have the layout of MultiWOZ's database (Budzianowski et al., 2018, arXiv:1810.00278): a folder with one file of
JSON objects for each domain. josh has a small town of its own, for runs without such a folder.
"""

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import accumulate
from operator import or_
from pathlib import Path
from typing import Any

from josh.envs.toolwoz.values import constraints, normalize
from josh.errors import UsageError
from josh.texts import json_of, read_text

Row = Mapping[str, Any]

KEYS: Mapping[str, str] = {"restaurant": "name", "hotel": "name", "attraction": "name", "train": "trainID"}
"""The domains, each with the column that names an entity."""

SMALL = Path(__file__).parent / "small"
_NEEDED = {
    "restaurant": ("id", "name", "area", "food", "pricerange"),
    "hotel": ("id", "name", "area", "internet", "parking", "pricerange", "stars", "type"),
    "attraction": ("id", "name", "area", "type"),
    "train": ("trainID", "arriveBy", "day", "departure", "destination", "leaveAt"),
}
_TIME = re.compile(r"(?:[01]\d|2[0-4]):[0-5]\d")


def is_time(value: str) -> bool:
    """Returns whether a normalized value is a time of day, such as `09:15`; `24:08` is one, for a late train."""
    return _TIME.fullmatch(value) is not None


class Database:
    """Immutable tables, indexed by their columns.

    `matches` returns a set of rows as a whole number: bit n is set if row n of the table matches. Operations on such
    sets are fast, because they are integer arithmetic.
    """

    __slots__ = ("_tables",)

    def __init__(self, tables: Mapping[str, Sequence[Row]]) -> None:
        """Args: tables: rows by domain, for each domain of `KEYS`, with the columns that `load` needs."""
        self._tables = {domain: _Table(tuple(tables[domain])) for domain in KEYS}

    @classmethod
    def load(cls, folder: Path) -> "Database":
        """Reads a folder of `restaurant_db.json`, `hotel_db.json`, `attraction_db.json` and `train_db.json`.

        Raises:
            UsageError: a file is missing, or does not hold such a table.
        """
        return cls({domain: _read(Path(folder) / f"{domain}_db.json", domain) for domain in KEYS})

    @classmethod
    def small(cls) -> "Database":
        """Returns josh's own small town; the same object every time."""
        return _small()

    def __deepcopy__(self, memo: Mapping[int, Any]) -> "Database":
        return self

    def rows(self, domain: str) -> Sequence[Row]:
        """Returns all rows of a domain, in the order of the file, with all their columns. Never change a row."""
        return self._tables[domain].rows

    def find(self, domain: str, values: Mapping[str, Any]) -> list[Row]:
        """Returns the rows that meet all constraints, in the order of the file.

        Args:
            domain: one of `KEYS`.
            values: constraints by column. Values are compared in their normalized form; a value that accepts anything
                is ignored. A train meets `leaveAt` if it leaves then or later, and `arriveBy` if it arrives then or
                earlier; a train that arrives before it leaves arrives on the next day. No row meets a constraint on a
                missing column, or a time that is not a time of day.
        """
        rows = self._tables[domain].rows
        return [rows[place] for place in _places(self.matches(domain, constraints(values)))]

    def matches(self, domain: str, values: Mapping[str, str]) -> int:
        """Returns the rows that `find` returns, as a set of bits.

        Args:
            domain: one of `KEYS`.
            values: constraints by column, as `josh.envs.toolwoz.values.constraints` returns them.
        """
        table = self._tables[domain]
        found = table.all
        for column, value in values.items():
            found &= table.where(column, value)
        return found

    def first(self, domain: str, found: int) -> Row | None:
        """Returns the first row of a set of bits; None for the empty set."""
        return self._tables[domain].rows[(found & -found).bit_length() - 1] if found else None

    def row_id(self, domain: str, row: Row) -> str:
        """Returns the unique id of a row in its domain.

        It is the row's `id`, and for a train its `trainID`. Where several trains share a `trainID`, as in MultiWOZ, day
        and `leaveAt` follow it. A task should not book such a train, because a booking cannot name it.
        """
        if domain != "train":
            return str(row["id"])
        name = str(row["trainID"])
        alone = self._tables[domain].column("trainID")[normalize(name)].bit_count() == 1
        return name if alone else f"{name} {row['day']} {row['leaveAt']}"

    def known_as(self, domain: str, name: str) -> int:
        """Returns the rows with an id, as a set of bits: one row, all trains with the `trainID`, or no row."""
        table = self._tables[domain]
        if domain != "train":
            return table.column("id").get(normalize(name), 0)
        found = table.column("trainID").get(normalize(name), 0)
        number, *when = normalize(name).rsplit(" ", 2)
        if found or len(when) < 2:
            return found
        day, leaves = when
        return (
            table.column("trainID").get(number, 0)
            & table.column("day").get(day, 0)
            & table.column("leaveAt").get(leaves, 0)
        )

    def values(self, domain: str, column: str) -> tuple[str, ...]:
        """Returns the normalized values of a column, sorted, without empty values and `?`."""
        return tuple(sorted(value for value in self._tables[domain].column(column) if value not in ("", "?")))


class _Table:
    """One domain's rows, with an index for each column, which is built when it is first needed."""

    __slots__ = ("_columns", "_times", "all", "rows")

    def __init__(self, rows: tuple[Row, ...]) -> None:
        self.rows = rows
        self.all = (1 << len(rows)) - 1
        self._columns: dict[str, dict[str, int]] = {}
        self._times: dict[str, tuple[list[str], list[int]]] = {}

    def where(self, column: str, value: str) -> int:
        """Returns the rows with a normalized value in a column; for a time, those that are early or late enough."""
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
        """Returns the rows of each normalized value of a column, as sets of bits. Lists and objects do not count."""
        if name not in self._columns:
            self._columns[name] = _index(
                self.rows, lambda row: normalize(row[name]) if _is_value(row.get(name)) else None
            )
        return self._columns[name]

    def _by_time(self, column: str) -> tuple[list[str], list[int]]:
        """Returns the n sorted times of a column, and n + 1 sets of bits; set i has the rows of the first i times."""
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
    """Returns a row's time as text that sorts; a time of arrival before the departure has 24 hours added."""
    time, leaves = normalize(row.get(column)), normalize(row.get("leaveAt"))
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
    """Reads a table from its file, and checks that it has the columns that the tools need."""
    try:
        rows = json_of(read_text(path), str(path))
    except UsageError as error:
        if not path.exists():
            files = ", ".join(f"{each}_db.json" for each in KEYS)
            raise UsageError(f"no file {path}; give a folder that holds {files}") from None
        reason = str(error).removeprefix(f"cannot read {path}: ").removeprefix(f"{path} is ")
        raise UsageError(f"cannot read {path}: {reason}; give MultiWOZ's {path.name}") from None
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise UsageError(f"{path} is not a list of JSON objects; give MultiWOZ's {path.name}")
    for number, row in enumerate(rows, start=1):
        missing = [column for column in _NEEDED[domain] if not _is_value(row.get(column))]
        if missing:
            raise UsageError(
                f"{path}: row {number} has no {missing[0]}; every {domain} needs {', '.join(_NEEDED[domain])}"
            )
        late = [
            column for column in ("arriveBy", "leaveAt") if domain == "train" and not is_time(normalize(row[column]))
        ]
        if late:
            raise UsageError(f"{path}: row {number} has {late[0]} {row[late[0]]!r}; give a time such as 09:15")
    unique = ("trainID", "day", "leaveAt") if domain == "train" else ("id",)
    (place, count), *_ = Counter(tuple(str(row[column]) for column in unique) for row in rows).most_common(1)
    if count > 1:
        raise UsageError(f"{path}: {count} rows have {' and '.join(unique)} {', '.join(place)}; give each its own")
    return rows
