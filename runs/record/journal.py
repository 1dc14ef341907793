"""The journal: every reply a run was given, in `replies.sqlite`, so that none is ever paid for twice."""

import json
import logging
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from josh.dialogue import Usage
from josh.errors import UsageError
from josh.messages import dumps
from josh.models.reply_journal import JournalEntry, ReplyKey
from josh.roles import Reply

log = logging.getLogger("josh")

FILE = "replies.sqlite"
_TABLE = """
CREATE TABLE IF NOT EXISTS replies (
    task TEXT, path TEXT, depth INTEGER, speaker TEXT, draw INTEGER, request TEXT,  -- its place, and what was asked
    model TEXT NOT NULL, seed INTEGER NOT NULL, choice INTEGER NOT NULL,            -- where it came from
    reply TEXT NOT NULL,                                                            -- JSON
    calls INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
    seconds REAL NOT NULL,                                                          -- until the endpoint had answered
    PRIMARY KEY (task, path, depth, speaker, draw, request)
) WITHOUT ROWID
"""
_TOKENS = ("prompt_ids", "token_ids", "logprobs")
_FIND = """
SELECT model, seed, choice, reply, calls, prompt_tokens, completion_tokens FROM replies
WHERE task = ? AND path = ? AND depth = ? AND speaker = ? AND draw = ? AND request = ?
"""
_KEEP = "INSERT INTO replies VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_UNCOUNTED = "SELECT DISTINCT speaker, model FROM replies WHERE calls > 0 AND prompt_tokens = 0"
_SECONDS = "SELECT path, depth, speaker, sum(seconds) FROM replies WHERE task = ? GROUP BY 1, 2, 3"
_ACCOUNT = "SELECT speaker, model, sum(calls), sum(prompt_tokens), sum(completion_tokens) FROM replies GROUP BY 1, 2"


class Replies:
    """The journal of one run (`models.gateway.Journal`). While it is open, nobody else can open it.

    A reply that was kept survives the death of the process. After a power failure the last moments may be missing.
    """

    def __init__(self, folder: Path) -> None:
        """Open a run's journal, or begin one.

        Raises:
            UsageError: it is damaged, in use, or cannot be written.
        """
        self._path = folder / FILE
        self._check_files()
        with self._explained():
            self._base = sqlite3.connect(self._path, timeout=0, isolation_level=None)
        try:
            with self._explained():
                # The lock goes with the process, however it ends.
                self._base.execute("PRAGMA locking_mode = EXCLUSIVE")
                # Looked through before anything is written: a damaged file stays as it is.
                found = self._base.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise self._damaged(found)
            with self._explained():
                self._base.execute("PRAGMA journal_mode = WAL")
                self._base.execute("PRAGMA synchronous = NORMAL")
                self._base.execute("BEGIN IMMEDIATE")
                self._base.execute(_TABLE)
                self._base.execute("COMMIT")
        except BaseException:
            self._base.close()
            raise

    def _check_files(self) -> None:
        """Refuse what SQLite takes for a new journal though it was one, and tell where the end of one is missing."""
        log_file = self._path.with_name(f"{FILE}-wal")
        if self._path.exists() and not self._path.stat().st_size:
            raise self._damaged("it is empty")
        if self._path.exists():
            with self._path.open("rb") as file:
                page = int.from_bytes(file.read(18)[16:], "big")
            if page > 1 and self._path.stat().st_size % page:
                raise self._damaged("its end is missing")
        if not log_file.exists() or not log_file.stat().st_size:
            return
        if not self._path.exists():
            raise self._damaged("only its log is left")
        with log_file.open("rb") as file:
            page = int.from_bytes(file.read(12)[8:], "big")
        # A header of 32 bytes, and frames of one page each with a header of 24.
        if page and (log_file.stat().st_size - 32) % (page + 24):
            log.warning("%s: its end is missing; replies that stood there are asked for again", log_file)

    def find(self, key: ReplyKey) -> JournalEntry | None:
        """The answer kept under a key, if any."""
        with self._explained():
            row = self._base.execute(_FIND, key).fetchone()
        try:
            return None if row is None else _entry(row)
        except (TypeError, ValueError, KeyError, AttributeError):
            raise self._damaged(f"the reply to task {key.task} at {key.path or 'the root'}, turn {key.depth}") from None

    def keep(self, answers: Mapping[ReplyKey, JournalEntry], seconds: float) -> None:
        """Keep the answers to one request, all or none. Raises UsageError when the disk is full."""
        rows = [
            (
                *key,
                answer.model,
                answer.seed,
                answer.choice,
                _text(answer.reply),
                usage.calls,
                usage.prompt_tokens,
                usage.completion_tokens,
                seconds,
            )
            for key, answer in answers.items()
            for usage in (answer.usage,)
        ]
        with self._explained():
            self._base.execute("BEGIN")
            try:
                self._base.executemany(_KEEP, rows)
                self._base.execute("COMMIT")
            except BaseException:
                if self._base.in_transaction:
                    self._base.execute("ROLLBACK")
                raise

    def account(self) -> dict[tuple[str, str], Usage]:
        """What all replies cost, by speaker and model."""
        with self._explained():
            rows = self._base.execute(_ACCOUNT).fetchall()
        if not all(isinstance(name, str) for row in rows for name in row[:2]):
            raise self._damaged("a row of it makes no sense")
        return {(speaker, model): Usage(*usage) for speaker, model, *usage in rows}

    def uncounted(self) -> set[tuple[str, str]]:
        """The speakers and models of calls whose endpoint did not say how many tokens they took."""
        with self._explained():
            return set(self._base.execute(_UNCOUNTED).fetchall())

    def __len__(self) -> int:
        with self._explained():
            count: int = self._base.execute("SELECT count(*) FROM replies").fetchone()[0]
        return count

    def close(self) -> None:
        """Fold the log into the file and let go of it."""
        self._base.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", None)
            if code is not None:
                code &= 0xFF
            if code == sqlite3.SQLITE_BUSY:
                raise UsageError(f"{self._path.parent} is in use by another josh; wait for it, or stop it") from None
            if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}:
                raise self._damaged(str(error)) from None
            raise UsageError(f"cannot write {self._path}: {error}") from None

    def _damaged(self, what: str) -> UsageError:
        return UsageError(
            f"{self._path} is damaged ({' '.join(what.split())}); repair it with `sqlite3 {FILE} .recover`, or move it "
            "away to have its replies asked for again"
        )


def stored_account(folder: Path) -> dict[tuple[str, str], Usage]:
    """What the replies of a run cost, by speaker and model, as its journal has it; empty where that is gone or damaged.

    Nobody needs to let go of the journal, and nothing is written to the folder.
    """
    with _looked_into(folder) as base:
        try:
            rows = base.execute(_ACCOUNT).fetchall()
            return {(str(speaker), str(model)): Usage(*map(int, usage)) for speaker, model, *usage in rows}
        except (sqlite3.Error, TypeError, ValueError):
            return {}


@contextmanager
def answer_times(folder: Path) -> Iterator[Callable[[str], Mapping[tuple[str, int, str], float]]]:
    """Look up how long the endpoints took, in a journal that nobody has open; nothing is written to the folder.

    Args:
        folder: the run's folder.

    Yields:
        A function from a task's id to the seconds of its turns, by path, depth and speaker. A turn without a call has
        none; neither has any turn where the journal is gone or damaged.
    """
    with _looked_into(folder) as base:

        def of_task(task: str) -> dict[tuple[str, int, str], float]:
            try:
                rows = base.execute(_SECONDS, (task,)).fetchall()
                return {(str(path), int(depth), str(speaker)): float(spent) for path, depth, speaker, spent in rows}
            except (sqlite3.Error, TypeError, ValueError):
                return {}

        yield of_task


@contextmanager
def stored_replies(folder: Path) -> Iterator[Callable[[ReplyKey], JournalEntry | None]]:
    """Look replies up in a journal that nobody has open; nothing is written to the folder.

    Yields:
        A function from a key to the answer kept under it; None where there is none that can be read.
    """
    with _looked_into(folder) as base:

        def find(key: ReplyKey) -> JournalEntry | None:
            try:
                row = base.execute(_FIND, key).fetchone()
                return None if row is None else _entry(row)
            except (sqlite3.Error, TypeError, ValueError, KeyError, AttributeError):
                return None

        yield find


@contextmanager
def _looked_into(folder: Path) -> Iterator[sqlite3.Connection]:
    """A run's journal, or a copy of it, to read from; an empty base where there is none."""
    with tempfile.TemporaryDirectory() as copies:
        path = folder / FILE
        try:
            if path.with_name(f"{FILE}-wal").exists():  # of a run that was killed, or goes on
                for file in folder.glob(f"{FILE}*"):
                    shutil.copy(file, copies)
                base = sqlite3.connect(Path(copies) / FILE)
            else:  # anything less than immutable has SQLite make files beside it
                base = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
        except (OSError, sqlite3.Error):
            base = sqlite3.connect(":memory:")
        with closing(base):
            yield base


def _entry(row: Sequence[Any]) -> JournalEntry:
    """The answer in a row of the table. A damaged one raises TypeError, ValueError, KeyError or AttributeError."""
    model, seed, choice, reply, *usage = row
    if not isinstance(model, str) or not all(isinstance(number, int) for number in (seed, choice, *usage)):
        raise TypeError("a value of another type")
    return JournalEntry(_reply(reply), model, seed, choice, Usage(*usage))


def _text(reply: Reply) -> str:
    """A reply as JSON, without what the server did not give; half a surrogate pair becomes an escape."""
    fields: dict[str, Any] = {"text": reply.text, "finish_reason": reply.finish_reason}
    if reply.tool_calls:
        fields["tool_calls"] = reply.tool_calls
    fields |= {name: value for name in _TOKENS if (value := getattr(reply, name)) is not None}
    return dumps(fields).encode("utf-8", "backslashreplace").decode()


def _reply(text: str) -> Reply:
    fields = json.loads(text)
    if not isinstance(fields["text"], str):
        raise TypeError("the text is none")
    lists = {name: tuple(fields[name]) for name in ("tool_calls", *_TOKENS) if name in fields}
    return Reply(**fields | lists)
