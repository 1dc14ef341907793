"""Forks and compares the environments of τ²-bench: a branch copies only the rows that it touches.

1. The databases of some domains have large tables, from a key to a row, and their tools reach a row that they change by
   its key alone. A fork shares all rows; a row is copied when it is reached by its key for the first time.
2. At a fork both sides stop owning their rows, because each row is now shared. Otherwise the next write of one side
   would show in the other.
3. The databases of the other domains are small, and are copied whole.
4. Two environments of one origin are in the same state if the rows that they do not share are the same as JSON, which
   is what the benchmark's own hash of a whole database compares.
"""

import copy
import json
from collections.abc import Mapping
from typing import Any, Final

LARGE: Final = frozenset(("retail", "airline"))
"""The domains whose tools reach the rows that they change by key. Their loops over rows only read."""
_KITS: Final = ("tools", "user_tools")


class Rows(dict[Any, Any]):
    """A table that shares its rows with its forks, and copies a row when it is reached by its key."""

    __slots__ = ("_own",)

    def __init__(self, rows: Mapping[Any, Any]) -> None:
        """Args: rows: the rows to share. A table that is forked gives up the rows that it owns."""
        super().__init__(rows)
        self._own: set[Any] = set()
        if isinstance(rows, Rows):
            rows._own = set()

    def __getitem__(self, key: Any) -> Any:
        row = super().__getitem__(key)
        if key not in self._own:
            row = copy.deepcopy(row)
            super().__setitem__(key, row)
            self._own.add(key)
        return row

    def __setitem__(self, key: Any, row: Any) -> None:
        super().__setitem__(key, row)
        self._own.add(key)

    def get(self, key: Any, default: Any = None) -> Any:
        """Returns a row that belongs to this table alone."""
        if key not in self:
            return default
        return self[key]

    def pop(self, key: Any, *default: Any) -> Any:
        """Removes a row, and returns a copy that nobody shares."""
        if key in self:
            row = self[key]
            del self[key]
            return row
        return super().pop(key, *default)

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """Returns a row that belongs to this table alone; adds it first where there is none."""
        if key not in self:
            self[key] = default
        return self[key]

    def __deepcopy__(self, memo: dict[int, Any]) -> "Rows":
        return Rows({key: copy.deepcopy(row, memo) for key, row in self.items()})

    def __reduce__(self) -> tuple[Any, ...]:
        return Rows, (dict(self),)


def forked(environment: Any) -> Any:
    """Returns a fork of an environment; neither side sees the other's later writes."""
    twin = copy.copy(environment)
    memo: dict[int, Any] = {}
    large = environment.domain_name in LARGE
    for name in _KITS:
        kit = getattr(environment, name)
        if kit is not None:
            setattr(twin, name, _forked_kit(kit, memo, large))
    return twin


def _forked_kit(kit: Any, memo: dict[int, Any], large: bool) -> Any:
    """Returns a fork of a set of tools; two sets that share a database share the fork of it, too."""
    twin = copy.copy(kit)
    for name, value in vars(kit).items():
        if name != "db" or not large or value is None:
            vars(twin)[name] = copy.deepcopy(value, memo)
        elif id(value) in memo:
            vars(twin)[name] = memo[id(value)]
        else:
            memo[id(value)] = vars(twin)[name] = _forked_database(value)
    return twin


def _forked_database(database: Any) -> Any:
    fields = {
        name: Rows(value) if isinstance(value, dict) else copy.deepcopy(value) for name, value in vars(database).items()
    }
    return type(database).model_construct(**fields)


def same_state(one: Any, other: Any) -> bool:
    """Returns whether two environments have equal databases, of the agent's tools and of the user's."""
    if one.domain_name not in LARGE:
        return bool(one.get_db_hash() == other.get_db_hash() and one.get_user_db_hash() == other.get_user_db_hash())
    return all(_same_database(getattr(one, name), getattr(other, name)) for name in _KITS)


def _same_database(one: Any, other: Any) -> bool:
    if one is None or other is None or one.db is None or other.db is None:
        return (one is None or one.db is None) == (other is None or other.db is None)
    mine, its = vars(one.db), vars(other.db)
    return mine.keys() == its.keys() and all(_same_field(value, its[name]) for name, value in mine.items())


def _same_field(mine: Any, its: Any) -> bool:
    if not isinstance(mine, dict) or not isinstance(its, dict):
        return mine is its or _as_json(mine) == _as_json(its)
    if mine.keys() != its.keys():
        return False
    rows = zip(mine.items(), (dict.__getitem__(its, key) for key in mine), strict=True)  # without copying a row
    return all(row is twin or _as_json(row) == _as_json(twin) for (_, row), twin in rows)


def _as_json(value: Any) -> str:
    plain = value.model_dump() if hasattr(value, "model_dump") else value
    return json.dumps(plain, sort_keys=True, default=str)
