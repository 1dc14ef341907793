"""Reads tables of messages: CSV or TSV with a header and a row for each message, the rows of a conversation together.

| josh's name | columns that have it | meaning |
|---|---|---|
| id | id, conversation_id, dialogue_id, session_id, thread_id, task_id | the conversation |
| role | role, speaker, from, sender, author | who speaks |
| text | text, content, message, value, utterance | the words |
| reward | reward, score | optional: the reward of the conversation, in any of its rows |
| success | success | optional: whether it succeeded |
| person | person, user_id | optional: who answers the agent |

`--columns id=COLUMN,role=COLUMN,text=COLUMN` names other columns.
"""

import csv
import re
import sys
from collections.abc import Iterator, Mapping
from itertools import chain, groupby
from pathlib import Path
from typing import Any, Final

from josh.errors import UsageError
from josh.imported import DialogueLeftOut
from josh.runs.imports.files import text_lines
from josh.runs.imports.rows import Found, ReadOptions, dialogue_of
from josh.runs.imports.turns import PartlyUnreadableError

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "id": ("id", "conversation_id", "dialogue_id", "session_id", "thread_id", "task_id"),
    "role": ("role", "speaker", "from", "sender", "author"),
    "text": ("text", "content", "message", "value", "utterance"),
    "reward": ("reward", "score"),
    "success": ("success",),
    "person": ("person", "user_id"),
}
_NEEDED: Final = ("id", "role", "text")
_TRUTHS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_OWN: Final = frozenset(("id", "role", "text"))
_ADVICE: Final = ("give all of them", "put quotes around a text with commas")
_AFTER_CR: Final = re.compile(r"(?<=\r)(?!\n)")
_WORKBOOKS: Final = (".xlsx", ".xls", ".ods")


def read_table(path: Path, options: ReadOptions) -> Iterator[Found]:
    """Yields the conversations of a table; see the module.

    Raises:
        UsageError: the file cannot be read, or a column that is needed is not there.
    """
    if path.suffix.lower() in _WORKBOOKS:
        raise UsageError(f"{path} is a workbook; save its sheet as CSV, and give that file")
    met: set[str] = set()
    for name, group in groupby(_rows(path, options.columns), key=_group):
        if isinstance(name, UsageError):
            yield name
            continue
        rows = [row for row in group if not isinstance(row, UsageError)]
        place = rows[0][0]
        if name in met:
            yield UsageError(f"{place}: conversation {name!r:.40} began earlier; sort the file by conversation")
            continue
        met.add(name)
        try:
            yield _conversation(rows, place, options)
        except PartlyUnreadableError as reason:
            yield DialogueLeftOut(place, str(reason))
        except UsageError as error:
            yield error


def _group(row: tuple[str, dict[str, str]] | UsageError) -> str | UsageError:
    """Returns the conversation of a row; the error of a damaged row, which is a group of its own."""
    return row if isinstance(row, UsageError) else row[1]["id"]


def _conversation(rows: list[tuple[str, dict[str, str]]], place: str, options: ReadOptions) -> Found:
    facts: dict[str, Any] = {"id": rows[0][1]["id"]}
    for name in ("reward", "success", "person"):
        values = {row[name] for _, row in rows if row.get(name)}
        if len(values) > 1:
            raise UsageError(f"{place}: its {name} is {' and '.join(sorted(values)):.60}; give one for a conversation")
        if values:
            facts[name] = _fact(name, values.pop(), place)
    messages = [{"role": row["role"], "content": row["text"]} for _, row in rows]
    return dialogue_of(facts, messages, place, options, _OWN)


def _fact(name: str, value: str, place: str) -> Any:
    if name == "reward":
        try:
            return float(value)
        except ValueError:
            raise UsageError(f"{place}: its reward is {value!r:.40}; give a number") from None
    return _TRUTHS.get(value.strip().lower(), value) if name == "success" else value


def _rows(path: Path, columns: Mapping[str, str]) -> Iterator[tuple[str, dict[str, str]] | UsageError]:
    """Yields the rows by josh's names, each with its place."""
    csv.field_size_limit(min(sys.maxsize, 1 << 31 - 1))
    lines = (part for _, line in text_lines(path) for part in _split(line))
    header = next(lines, "")
    delimiter = max(",\t;", key=header.count)
    reader = csv.reader(chain([header], lines), delimiter=delimiter, strict=True)
    number = 1
    try:
        names = next(reader, [])
        places = _places([name.strip() for name in names], columns, path)
        number = reader.line_num + 1
        for values in reader:
            place, number = f"{path} line {number}", reader.line_num + 1
            if not values:
                continue
            if len(values) != len(names):
                yield UsageError(
                    f"{place} has {len(values)} of {len(names)} columns; {_ADVICE[len(values) > len(names)]}"
                )
                continue
            row = {name: values[at] for name, at in places.items()}
            if not row["id"].strip():
                yield UsageError(f"{place} has no id of its conversation")
                continue
            yield place, row
    except csv.Error as error:
        raise UsageError(f"{path} line {number}{_fault(error, number, reader.line_num)}") from None


def _fault(error: csv.Error, first: int, last: int) -> str:
    """Returns what is wrong with a row, by the first and the last line that were read for it."""
    if "end of data" in str(error) or ("expected after" in str(error) and last > first):
        return f": a quote is not closed{f', and its text goes on to line {last}' if last > first else ''}"
    if "expected after" in str(error):
        return ": a quoted text goes on after its quote; write a quote in it twice"
    return f" is not CSV: {error}"


def _split(line: str | UsageError) -> list[str]:
    """Returns the lines in a line that ends with LF: several in a file whose lines end with CR. Raises UsageError."""
    if isinstance(line, UsageError):
        raise line
    return [part for part in _AFTER_CR.split(line) if part] if "\r" in line else [line]


def _places(names: list[str], columns: Mapping[str, str], path: Path) -> dict[str, int]:
    """Returns the index of the column of each of josh's names. Raises UsageError where one is missing."""
    lower, found = [name.lower() for name in names], {}
    for name, usual in COLUMNS.items():
        wanted = columns.get(name)
        if wanted is not None and wanted not in names:
            raise UsageError(f"columns: {path} has no column {wanted!r:.40}; it has {', '.join(names):.200}")
        place = names.index(wanted) if wanted else next((lower.index(one) for one in usual if one in lower), None)
        if place is not None:
            found[name] = place
    missing = next((name for name in _NEEDED if name not in found), None)
    if missing:
        what = f"it has {', '.join(names):.200}" if any(names) else "it is empty"
        raise UsageError(f"{path} has no column for the {missing}; {what}: give --columns {missing}=COLUMN")
    return found
