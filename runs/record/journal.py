"""The journal: every model reply of a run, in `replies.sqlite`, so that no reply is paid for twice.

It also has the checksum of each line of `episodes.jsonl`, by the id of its task. The checksum of a reply is the last
field of its JSON, and covers the whole row. Files of earlier versions have no checksums, and are taken as they are.
"""

import json
import logging
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from josh.dialogue import NO_USAGE, Usage
from josh.errors import UsageError
from josh.messages import dumps
from josh.models.chat import Lesson
from josh.models.reply_journal import JournalEntry, ReplyKey
from josh.roles import Reply
from josh.runs.record.checksum import checksum, row_checksum
from josh.runs.record.lock import FolderLock
from josh.runs.record.notes import add_lesson, add_unusable, has_table, lessons_in, unusable_in, unusable_rows
from josh.runs.record.wal import damage_of, log_of, loss_in

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
_EPISODES = "CREATE TABLE IF NOT EXISTS episodes (task TEXT PRIMARY KEY, checksum TEXT NOT NULL) WITHOUT ROWID"
_VOUCH = "INSERT OR REPLACE INTO episodes VALUES (?, ?)"
_CHECKSUMS = "SELECT task, checksum FROM episodes"
_TOKENS = ("prompt_ids", "token_ids", "logprobs", "model_logprobs", "likely")
_FIND = """
SELECT model, seed, choice, reply, calls, prompt_tokens, completion_tokens, seconds FROM replies
WHERE task = ? AND path = ? AND depth = ? AND speaker = ? AND draw = ? AND request = ?
"""
_OF_TASK = """
SELECT path, depth, speaker, draw, request, model, seed, choice, reply, calls, prompt_tokens, completion_tokens, seconds
FROM replies WHERE task = ? AND depth >= 0
"""
_KEEP = "INSERT INTO replies VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ALL = "SELECT * FROM replies"
_AT_ONCE = 10_000
"""Rows of another journal that are in memory at the same time."""
_TAKE_OVER = "INSERT OR IGNORE INTO replies VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_CARRY = "INSERT OR REPLACE INTO replies VALUES (?, '', -1, ?, 0, ?, ?, 0, 0, ?, ?, ?, ?, 0.0)"
_BY_TASK = """
SELECT task, speaker, model, sum(calls), sum(prompt_tokens), sum(completion_tokens) FROM replies GROUP BY 1, 2, 3
"""
_CHECKPOINT_SECONDS = 5.0
"""The replies of so many seconds may be in the log alone, which is lost where only the journal itself is copied."""
_SUFFIX = ', "crc32": "'
"""What stands before the checksum at the end of a reply; 8 hexadecimal digits, `"` and `}` follow."""
_LENGTH = len(_SUFFIX) + 10
_UNCOUNTED = "SELECT DISTINCT speaker, model FROM replies WHERE calls > 0 AND prompt_tokens = 0"
_SECONDS = "SELECT path, depth, speaker, sum(seconds) FROM replies WHERE task = ? GROUP BY 1, 2, 3"
_ACCOUNT = "SELECT speaker, model, sum(calls), sum(prompt_tokens), sum(completion_tokens) FROM replies GROUP BY 1, 2"


class Replies:
    """The journal of one run (`models.gateway.Journal`). While it is open, no other process can open it.

    A stored reply survives a crash of the process. After a power failure the last replies may be missing.
    """

    def __init__(self, folder: Path) -> None:
        """Open a run's journal, or create it.

        Args:
            folder: the run's folder.

        Raises:
            UsageError: the journal is damaged, in use, or cannot be written.
        """
        self._path = folder / FILE
        self._explained = _Explained(self._path)
        self._lock = FolderLock(folder)
        try:
            self._open()
        except BaseException:
            self._lock.release()
            raise

    def _open(self) -> None:
        if damage := damage_of(self._path):
            raise self._damaged(damage)
        log_file = log_of(self._path)
        if loss := loss_in(log_file):
            log.warning("%s: %s; the replies there are requested again", log_file, loss)
        if self._lock.left and self._path.exists() and not log_file.exists():
            log.warning("%s is missing, although the run was killed; the replies in it are requested again", log_file)
        with self._explained:
            self._base = sqlite3.connect(self._path, timeout=0, isolation_level=None)
        try:
            with self._explained:
                # The system releases the lock when the process ends, even by a crash.
                self._base.execute("PRAGMA locking_mode = EXCLUSIVE")
                # The check comes before the first write, so that a damaged file stays as it is.
                found = self._base.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise self._damaged(found)
            with self._explained:
                self._base.execute("PRAGMA journal_mode = WAL")
                self._base.execute("PRAGMA synchronous = NORMAL")
                self._base.execute("BEGIN IMMEDIATE")
                self._base.execute(_TABLE)
                self._base.execute(_EPISODES)
                self._base.execute("COMMIT")
            self._merged = time.monotonic()
        except BaseException:
            self._base.close()
            raise

    @property
    def failed(self) -> bool:
        """Whether the journal could not be read or written, as on a full disk."""
        return self._explained.met

    def find(self, key: ReplyKey) -> JournalEntry | None:
        """Returns the entry stored under a key, or None. Raises UsageError where the entry is damaged."""
        with self._explained:
            row = self._base.execute(_FIND, key).fetchone()
        try:
            return None if row is None else _entry(key, row)
        except (TypeError, ValueError, KeyError, AttributeError):
            raise self._damaged(f"the reply to task {key.task} at {key.path or 'the root'}, turn {key.depth}") from None

    def of_task(self, task: str) -> dict[ReplyKey, JournalEntry]:
        """Returns the entries of a task, by key. Raises UsageError where one is damaged."""
        with self._explained:
            rows = self._base.execute(_OF_TASK, (task,)).fetchall()
        found: dict[ReplyKey, JournalEntry] = {}
        for row in rows:
            key = ReplyKey(task, *row[:5])
            try:
                found[key] = _entry(key, row[5:])
            except (TypeError, ValueError, KeyError, AttributeError):
                raise self._damaged(f"the reply to task {task} at {key.path or 'the root'}, turn {key.depth}") from None
        return found

    def keep(self, entries: Mapping[ReplyKey, JournalEntry], seconds: float) -> None:
        """Store the replies to one request, all or none.

        Args:
            entries: the replies, by key.
            seconds: the time until the endpoint answered.

        Raises:
            UsageError: the disk is full, or the journal cannot be written.
        """
        rows = [_row(key, entry, seconds) for key, entry in entries.items()]
        self._write(_KEEP, rows)
        if time.monotonic() - self._merged > _CHECKPOINT_SECONDS:
            self.merge()

    def merge(self) -> None:
        """Copy the replies in the log into the journal itself. `keep` does this every few seconds."""
        with self._explained:
            self._base.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        self._merged = time.monotonic()

    def take_over(self, folder: Path) -> None:
        """Copy what another run's journal holds, except for its checksums; nothing is written to that run's folder.

        Raises:
            UsageError: that journal is damaged, or as `keep` does.
        """
        with _read_only(folder) as base:
            try:
                lessons, unusable = lessons_in(base), unusable_rows(base)
                found = base.execute(_ALL) if has_table(base, "replies") else iter(())
                while rows := list(islice(found, _AT_ONCE)):
                    self._write(_TAKE_OVER, rows)
            except (sqlite3.Error, TypeError) as error:
                raise _damaged(folder / FILE, str(error)) from None
        known = self.lessons()
        for lesson in lessons:
            if lesson not in known:
                self.learn(lesson)
        for who, usage, why in unusable:
            self.spoil(who, usage, why)

    def vouch(self, task: str, line: bytes) -> None:
        """Store the checksum of a task's line in `episodes.jsonl`. Raises UsageError as `keep` does."""
        self._write(_VOUCH, [(task, checksum(line))])

    def checksums(self) -> dict[str, str]:
        """Returns the checksums of the lines of `episodes.jsonl`, by task."""
        with self._explained:
            return dict(self._base.execute(_CHECKSUMS).fetchall())

    def carry(self, spent: Mapping[str, Mapping[tuple[str, str], Usage]]) -> Usage:
        """Add to the account what finished tasks cost, where the replies that it was paid for are lost.

        Args:
            spent: the usage of tasks as `episodes.jsonl` has it, by task, then by speaker and model.

        Returns:
            The usage that was added.

        Raises:
            UsageError: as `keep` does.
        """
        with self._explained:
            known = {tuple(row[:3]): row[3:] for row in self._base.execute(_BY_TASK).fetchall()}
        total, rows = NO_USAGE, []
        for task, account in spent.items():
            for (speaker, model), usage in account.items():
                kept = Usage(*known.get((task, speaker, model), (0, 0, 0)))
                pairs = zip(_numbers(usage), _numbers(kept), strict=True)
                lost = Usage(*(max(0, wanted - found) for wanted, found in pairs))
                if lost != NO_USAGE:
                    total += lost
                    # What an earlier session added stays; a second loss is another row.
                    mark = f"lost {checksum(repr((kept, usage)).encode())}"
                    rows.append((task, speaker, mark, model, '{"text": ""}', *_numbers(lost)))
        self._write(_CARRY, rows)
        return total

    def _write(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """Write rows, all or none."""
        with self._explained:
            self._base.execute("BEGIN")
            try:
                self._base.executemany(statement, rows)
                self._base.execute("COMMIT")
            except BaseException:
                if self._base.in_transaction:
                    self._base.execute("ROLLBACK")
                raise

    def account(self) -> dict[tuple[str, str], Usage]:
        """Returns the usage of all replies, by speaker and model."""
        with self._explained:
            rows = self._base.execute(_ACCOUNT).fetchall()
        if not all(isinstance(name, str) for row in rows for name in row[:2]):
            raise self._damaged("a row is invalid")
        return {(speaker, model): Usage(*usage) for speaker, model, *usage in rows}

    def uncounted(self) -> set[tuple[str, str]]:
        """Returns speaker and model of calls whose endpoint did not report token counts."""
        with self._explained:
            return set(self._base.execute(_UNCOUNTED).fetchall())

    def learn(self, lesson: Lesson) -> None:
        """Store what an endpoint refuses. Raises UsageError where the journal cannot be written."""
        with self._explained:
            add_lesson(self._base, lesson)

    def lessons(self) -> list[Lesson]:
        """Returns what the endpoints refused so far, in order."""
        with self._explained:
            return lessons_in(self._base)

    def spoil(self, who: tuple[str, str], usage: Usage, why: str) -> None:
        """Store an answer that cannot be used, but was or may have been billed.

        Args:
            who: the speaker and the model's name.
            usage: what it cost, as far as the answer says so.
            why: what is wrong with it.

        Raises:
            UsageError: the journal cannot be written.
        """
        with self._explained:
            add_unusable(self._base, who, usage, why)

    def unusable(self) -> dict[tuple[str, str], Usage]:
        """Returns the usage of the answers that could not be used, by speaker and model."""
        with self._explained:
            return unusable_in(self._base)

    def __len__(self) -> int:
        with self._explained:
            count: int = self._base.execute("SELECT count(*) FROM replies").fetchone()[0]
        return count

    def close(self) -> None:
        """Merge the log into the file, close it, and release the folder."""
        self._base.close()
        self._lock.release()

    def _damaged(self, what: str) -> UsageError:
        return _damaged(self._path, what)


class _Explained:
    """A context that turns SQLite's errors into errors about a journal.

    Attributes:
        met: whether there was an error.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.met = False

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if not isinstance(error, sqlite3.Error):
            return
        self.met = True
        code = getattr(error, "sqlite_errorcode", None)
        if code is not None:
            code &= 0xFF
        if code == sqlite3.SQLITE_BUSY:
            raise UsageError(f"{self._path.parent} is in use by another josh; wait for it, or stop it") from None
        if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}:
            raise _damaged(self._path, str(error)) from None
        raise UsageError(f"cannot write {self._path}: {error}") from None


def _damaged(path: Path, what: str) -> UsageError:
    return UsageError(
        f"{path} is damaged ({' '.join(what.split())}); repair it with `sqlite3 {FILE} .recover`, or move it "
        "away to request its replies again"
    )


def stored_account(folder: Path) -> dict[tuple[str, str], Usage]:
    """Returns the usage of a run's replies, by speaker and model; empty where the journal is missing or damaged.

    Another process may have the journal open. Nothing is written to the folder.
    """
    with _read_only(folder) as base:
        try:
            rows = base.execute(_ACCOUNT).fetchall()
            return {(str(speaker), str(model)): Usage(*map(int, usage)) for speaker, model, *usage in rows}
        except (sqlite3.Error, TypeError, ValueError):
            return {}


def episode_checksums(folder: Path) -> dict[str, str]:
    """Returns the checksums of the lines of a run's `episodes.jsonl`, by task.

    The result is empty where the journal is missing, damaged, or of an earlier version, and while the run is playing.
    """
    if log_of(folder / FILE).exists():
        return {}
    with _read_only(folder) as base:
        try:
            return {str(task): str(found) for task, found in base.execute(_CHECKSUMS).fetchall()}
        except sqlite3.Error:
            return {}


@contextmanager
def answer_times(folder: Path) -> Iterator[Callable[[str], Mapping[tuple[str, int, str], float]]]:
    """Read the response times of the endpoints from a run's journal; nothing is written to the folder.

    Args:
        folder: the run's folder.

    Yields:
        A function from a task's id to the seconds of its turns, by path, depth and speaker. Turns without a call are
        left out. The result is empty where the journal is missing or damaged.
    """
    with _read_only(folder) as base:

        def of_task(task: str) -> dict[tuple[str, int, str], float]:
            try:
                rows = base.execute(_SECONDS, (task,)).fetchall()
                return {(str(path), int(depth), str(speaker)): float(spent) for path, depth, speaker, spent in rows}
            except (sqlite3.Error, TypeError, ValueError):
                return {}

        yield of_task


def stored_lessons(folder: Path) -> list[Lesson]:
    """Returns what the endpoints of a run refused, in order; empty where its journal is missing or damaged."""
    with _read_only(folder) as base:
        try:
            return lessons_in(base)
        except (sqlite3.Error, TypeError):
            return []


@contextmanager
def stored_replies(folder: Path) -> Iterator[Callable[[ReplyKey], JournalEntry | None]]:
    """Read replies from a run's journal; nothing is written to the folder.

    Yields:
        A function from a key to its entry; it returns None where the entry is missing or cannot be read.
    """
    with _read_only(folder) as base:

        def find(key: ReplyKey) -> JournalEntry | None:
            try:
                row = base.execute(_FIND, key).fetchone()
                return None if row is None else _entry(key, row)
            except (sqlite3.Error, TypeError, ValueError, KeyError, AttributeError):
                return None

        yield find


@contextmanager
def _read_only(folder: Path) -> Iterator[sqlite3.Connection]:
    """Open a run's journal, or a copy of it, for reading; an empty database where it is missing."""
    with tempfile.TemporaryDirectory() as copies:
        path = folder / FILE
        try:
            if path.with_name(f"{FILE}-wal").exists():  # the run was killed, or is playing now
                for file in folder.glob(f"{FILE}*"):
                    shutil.copy(file, copies)
                base = sqlite3.connect(Path(copies) / FILE)
            else:  # without `immutable`, SQLite creates files beside the journal
                base = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
        except (OSError, sqlite3.Error):
            base = sqlite3.connect(":memory:")
        with closing(base):
            yield base


def _entry(key: ReplyKey, row: Sequence[Any]) -> JournalEntry:
    """The answer in a row of the table. A damaged one raises TypeError, ValueError, KeyError or AttributeError."""
    model, seed, choice, reply, *usage, seconds = row
    if reply.startswith(_SUFFIX, -_LENGTH):
        found, reply = reply[-10:-2], reply[:-_LENGTH]
        if found != row_checksum(key, model, reply, (seed, choice, *usage, seconds)):
            raise ValueError("another checksum")
        reply += "}"
    elif not isinstance(model, str) or not all(isinstance(number, int) for number in (seed, choice, *usage)):
        raise TypeError("a value of another type")
    return JournalEntry(_reply(reply), model, seed, choice, Usage(*usage))


def _row(key: ReplyKey, entry: JournalEntry, seconds: float) -> tuple[Any, ...]:
    """Returns a row of the table; its reply ends with the checksum of the row."""
    reply, usage = _text(entry.reply)[:-1], _numbers(entry.usage)
    found = row_checksum(key, entry.model, reply, (entry.seed, entry.choice, *usage, seconds))
    return *key, entry.model, entry.seed, entry.choice, f'{reply}{_SUFFIX}{found}"}}', *usage, seconds


def _numbers(usage: Usage) -> tuple[int, int, int]:
    return usage.calls, usage.prompt_tokens, usage.completion_tokens


def _text(reply: Reply) -> str:
    """Returns a reply as JSON, without the fields that the server did not send.

    Half a surrogate pair, which UTF-8 cannot encode, becomes an escape.
    """
    fields: dict[str, Any] = {"text": reply.text, "finish_reason": reply.finish_reason}
    if reply.tool_calls:
        fields["tool_calls"] = reply.tool_calls
    if reply.thoughts:
        fields["thoughts"] = reply.thoughts
    fields |= {name: value for name in _TOKENS if (value := getattr(reply, name)) is not None}
    return dumps(fields).encode("utf-8", "backslashreplace").decode()


def _reply(text: str) -> Reply:
    fields = json.loads(text)
    if not isinstance(fields["text"], str):
        raise TypeError("the text is not a string")
    fields.pop("checksum", None)  # of another kind, which one version wrote
    if len(fields) > 2:
        fields |= {name: tuple(fields[name]) for name in ("tool_calls", *_TOKENS) if name in fields}
    return Reply(**fields)
