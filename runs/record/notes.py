"""What a run's journal holds beside replies: lessons about its endpoints, and answers that could not be used.

The tables are made when the first row is written, so most journals have none.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any

from josh.dialogue import NO_USAGE, Usage
from josh.models.chat import Lesson

_LESSONS = """
CREATE TABLE IF NOT EXISTS lessons (
    number INTEGER PRIMARY KEY,                                                      -- the order they were learned in
    endpoint TEXT NOT NULL, model TEXT NOT NULL, field TEXT NOT NULL, instead TEXT NOT NULL
)
"""
_UNUSABLE = """
CREATE TABLE IF NOT EXISTS unusable (
    speaker TEXT NOT NULL, model TEXT NOT NULL,
    calls INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
    why TEXT NOT NULL
)
"""


def add_lesson(base: sqlite3.Connection, lesson: Lesson) -> None:
    """Store a lesson."""
    row = (lesson.endpoint, lesson.model, lesson.field, lesson.instead)
    _insert(base, _LESSONS, "INSERT INTO lessons (endpoint, model, field, instead) VALUES (?, ?, ?, ?)", row)


def lessons_in(base: sqlite3.Connection) -> list[Lesson]:
    """Returns the stored lessons, in order."""
    if not has_table(base, "lessons"):
        return []
    return [Lesson(*row) for row in base.execute("SELECT endpoint, model, field, instead FROM lessons ORDER BY number")]


def add_unusable(base: sqlite3.Connection, who: tuple[str, str], usage: Usage, why: str) -> None:
    """Store an answer that could not be used. Args: who: the speaker and the model's name."""
    row = (*who, usage.calls, usage.prompt_tokens, usage.completion_tokens, why)
    _insert(base, _UNUSABLE, "INSERT INTO unusable VALUES (?, ?, ?, ?, ?, ?)", row)


def unusable_in(base: sqlite3.Connection) -> dict[tuple[str, str], Usage]:
    """Returns the usage of the answers that could not be used, by speaker and model."""
    found: dict[tuple[str, str], Usage] = {}
    for who, usage, _ in unusable_rows(base):
        found[who] = found.get(who, NO_USAGE) + usage
    return found


def unusable_rows(base: sqlite3.Connection) -> list[tuple[tuple[str, str], Usage, str]]:
    """Returns speaker and model, usage and reason of each answer that could not be used."""
    if not has_table(base, "unusable"):
        return []
    return [
        ((speaker, model), Usage(*usage), why)
        for speaker, model, *usage, why in base.execute(
            "SELECT speaker, model, calls, prompt_tokens, completion_tokens, why FROM unusable"
        )
    ]


def has_table(base: sqlite3.Connection, table: str) -> bool:
    """Returns whether a journal has a table."""
    found = base.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)).fetchone()
    return found is not None


def _insert(base: sqlite3.Connection, table: str, insert: str, row: Sequence[Any]) -> None:
    """Write a row, and its table where it is the first one, in one transaction."""
    base.execute("BEGIN IMMEDIATE")
    try:
        base.execute(table)
        base.execute(insert, row)
        base.execute("COMMIT")
    except BaseException:
        if base.in_transaction:
            base.execute("ROLLBACK")
        raise
