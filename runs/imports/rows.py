"""From a row of a file to a dialogue: its id, its result and its task, by the keys that rows have in every format."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, Final

from josh.dialogue import Speaker, Turn
from josh.errors import UsageError
from josh.imported import DialogueLeftOut, ImportedDialogue
from josh.outcomes import Episode
from josh.runs.imports.files import json_values
from josh.runs.imports.turns import ROLES, PartlyUnreadableError, Turns, turns_of

Found = ImportedDialogue | Episode | DialogueLeftOut | UsageError
"""What a reader finds in a row: a dialogue or a whole tree, why it is left out, or the error of a damaged row."""
IDS: Final = ("id", "task_id", "conversation_id", "dialogue_id", "example_id", "game_id")
REWARDS: Final = ("reward", "score")
SUCCESSES: Final = ("success", "is_successful", "successful")
PEOPLE: Final = ("people", "person", "user_id")
SILENT: Final = "without a word of the agent"
EMPTY_MESSAGES: Final = "empty messages"


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What a reader is asked to do beside reading.

    Attributes:
        roles: josh's role of each role in the file, in lower case.
        columns: for CSV: the file's column of each of josh's names.
        slots: for PBT's trees: how they hold the answers, `speaker` or `pbt`.
    """

    roles: Mapping[str, str] = field(default_factory=lambda: ROLES)
    columns: Mapping[str, str] = field(default_factory=dict)
    slots: str = "speaker"


Reader = Callable[[Path, ReadOptions], Iterator[Found]]
"""Yields what is in the rows of a file, in their order. Raises UsageError where the file itself cannot be read."""


def each_row(
    path: Path, convert: Callable[[Any, str], Iterator[ImportedDialogue | DialogueLeftOut]]
) -> Iterator[Found]:
    """Yields what is in the rows of a file of JSON.

    Args:
        path: the file.
        convert: yields the dialogues of a row, from its value and its place; may raise UsageError and
            PartlyUnreadableError.
    """
    for place, value in json_values(path):
        if isinstance(value, UsageError):
            yield value
            continue
        try:
            yield from convert(value, place)
        except PartlyUnreadableError as reason:
            yield DialogueLeftOut(place, str(reason))
        except UsageError as error:
            yield error


def require_object(value: Any, place: str, keys: str) -> dict[str, Any]:
    """Returns a row that is an object. Raises UsageError; `keys` says what it must have."""
    if not isinstance(value, dict):
        raise UsageError(f"{place} is {value!r:.40}; give an object with {keys}")
    return value


def object_in(value: Any, name: str) -> dict[str, Any]:
    """Returns the object under a key of an object; empty where there is none."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def dialogue_of(
    row: Mapping[str, Any],
    messages: Any,
    place: str,
    options: ReadOptions,
    own: frozenset[str],
    **fields: Any,
) -> ImportedDialogue | DialogueLeftOut:
    """Returns the dialogue of a row.

    Args:
        row: the row.
        messages: its messages.
        place: where it stands, for errors.
        options: see `ReadOptions`.
        own: the keys of the row that the format reads by itself; other keys that nothing reads are its metadata.
        fields: attributes of the dialogue that replace those of the row.

    Raises:
        UsageError: a value is wrong.
        PartlyUnreadableError: its messages have no form in a tree.
    """
    opening, turns, empty = turns_of(messages, place, options.roles)
    return dialogue_from(row, opening, turns, place, own, empty=empty, **fields)


def dialogue_from(
    row: Mapping[str, Any],
    opening: Turn,
    turns: Turns,
    place: str,
    own: frozenset[str],
    *,
    empty: int = 0,
    **fields: Any,
) -> ImportedDialogue | DialogueLeftOut:
    """Returns the dialogue of a row whose turns are known; see `dialogue_of`."""
    if not any(speaker is Speaker.AGENT for speaker, _ in turns):
        return DialogueLeftOut(place, SILENT if turns else "without messages")
    task = row.get("task")
    data, name = None, first_of(row, IDS)
    if isinstance(task, dict) and isinstance(task.get("data"), dict):
        data, name = task["data"], name if name is not None else task.get("id")
    if name is not None and (isinstance(name, bool) or not isinstance(name, str | int)):
        raise UsageError(f"{place}: its id is {name!r:.40}; give a text or a whole number")
    known: dict[str, Any] = {
        "id": "" if name is None else str(name),
        "opening": opening,
        "data": data,
        "parts_left_out": {EMPTY_MESSAGES: empty} if empty else {},
    }
    if not _RESULTS.isdisjoint(row):
        known |= {"reward": _number(row, place), "success": _truth(row, place), "people": _people(row, place)}
    if "tools" in row:
        known["tools"] = _tools(row["tools"], place)
    known |= fields
    if "metadata" not in fields:
        extra = row.get("metadata")
        more = dict(extra) if isinstance(extra, dict) else {}
        rest = {key: value for key, value in row.items() if key not in own and key not in _READ}
        known["metadata"] = rest | more
    return ImportedDialogue(place, turns=turns, **known)


_RESULTS: Final = frozenset((*REWARDS, *SUCCESSES, *PEOPLE))
_READ: Final = frozenset((*IDS, *REWARDS, *SUCCESSES, *PEOPLE, "tools", "task", "metadata"))


def first_of(row: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """Returns the value of the first of some keys that a row has; None for none."""
    for name in names:
        if (value := row.get(name)) is not None:
            return value
    return None


def _number(row: Mapping[str, Any], place: str) -> float | None:
    value = first_of(row, REWARDS)
    if value is None:
        return None
    if not isinstance(value, int | float) or not isfinite(value):
        raise UsageError(f"{place}: its reward is {value!r:.40}; give a number, or null for none")
    return float(value)


def _truth(row: Mapping[str, Any], place: str) -> bool | None:
    value = first_of(row, SUCCESSES)
    if value is None or isinstance(value, bool):
        return value
    if value in (0, 1):
        return bool(value)
    raise UsageError(f"{place}: its success is {value!r:.40}; give true or false")


def _people(row: Mapping[str, Any], place: str) -> tuple[str, ...]:
    value = first_of(row, PEOPLE)
    if value is None:
        return ()
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(one, str | int) and not isinstance(one, bool) for one in values):
        raise UsageError(f"{place}: its people are {value!r:.40}; give a text, or a list of texts")
    return tuple(map(str, values))


def _tools(value: Any, place: str) -> tuple[Mapping[str, Any], ...]:
    if not value:
        return ()
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise UsageError(f"{place}: its tools are {value!r:.40}; give a list of JSON schemas")
    return tuple(value)
