"""A run's folder: `config.json`, `replies.sqlite`, `episodes.jsonl`, `training_examples.jsonl`, `summary.json`."""

import contextlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from josh.errors import UsageError
from josh.messages import dumps
from josh.roles import Task
from josh.runs.record.episode import Episode, examples, from_json, to_json
from josh.runs.record.journal import FILE, Replies
from josh.runs.record.summary import Result, result_of

log = logging.getLogger("josh")

EPISODES, EXAMPLES, SUMMARY = "episodes.jsonl", "training_examples.jsonl", "summary.json"
BEFORE = "summary.before.json"
"""The summary of the session before, while a run that was resumed goes on: it says nothing of the present state."""


class Record:
    """Writes a run down: a line for every task as it finishes, put in the order of the tasks when the run ends.

    Attributes:
        folder: the run's folder.
        replies: the run's journal. While it is open, nobody else writes to the folder.
        examples: training examples written so far.
        golden: those of them on a golden path.
    """

    def __init__(self, folder: Path, searched: bool, redact: Callable[[str], str], *, again: bool) -> None:
        """Open a folder that is there; see `create` and `reopen`."""
        self.folder = folder
        self.examples = 0
        self.golden = 0
        self._searched = searched
        self._redact = redact
        self._made_log_dir = False
        self.replies = Replies(folder)
        try:
            self._lines = {file: _Lines(folder / file, again=again) for file in (EPISODES, EXAMPLES)}
        except BaseException:
            self.replies.close()
            raise

    @classmethod
    def create(
        cls,
        log_dir: Path,
        name: str,
        searched: bool,
        redact: Callable[[str], str] = str,
        journal: Path | None = None,
        *,
        dated: bool = True,
    ) -> "Record":
        """Make a run's folder.

        Args:
            log_dir: the folder it goes in.
            name: what its name starts with; a number follows where there is such a folder already.
            searched: see `runs.episode.examples`.
            redact: takes secrets out of an error's text.
            journal: a run's folder, a copy of whose journal to begin with.
            dated: have the date and time follow the name.

        Raises:
            UsageError: the folder cannot be made or written, or the journal is damaged.
        """
        made = not log_dir.exists()
        try:
            folder = make_folder(log_dir, f"{name}-{datetime.now():%Y%m%d-%H%M%S}" if dated else name)
        except OSError as error:
            raise UsageError(f"cannot write to log_dir {str(log_dir)!r}: {error.strerror}") from None
        try:
            for file in sorted(journal.glob(f"{FILE}*")) if journal else ():
                shutil.copyfile(file, folder / file.name)
            record = cls(folder, searched, redact, again=False)
        except (OSError, UsageError) as error:
            _remove(folder, made)
            raise UsageError(str(error).replace(str(folder), str(journal or folder))) from None
        record._made_log_dir = made
        return record

    @classmethod
    def reopen(
        cls, folder: Path, tasks: Sequence[Task], searched: bool, redact: Callable[[str], str] = str
    ) -> tuple["Record", dict[int, Result]]:
        """Open a run's folder again, to go on where it was broken off.

        Episodes that are whole and had no errors stay; the others are taken out, for they are owed again, and what they
        were made of is in the journal. The examples are made anew from the episodes that stay.

        Args:
            folder: the run's folder.
            tasks: the run's tasks, in order.
            searched: see `runs.episode.examples`.
            redact: takes secrets out of an error's text.

        Returns:
            The record, and the results that stand, by the place of their task.

        Raises:
            UsageError: the folder is in use, damaged beyond help, or cannot be written. It is left as it was.
        """
        positions = {task.id: position for position, task in enumerate(tasks)}
        results: dict[int, Result] = {}
        if not (folder / FILE).exists() and not (folder / f"{FILE}-wal").exists():
            log.warning(
                "%s: the journal is gone; what it cost is forgotten, and its replies are asked for again", folder
            )
        try:
            record = cls(folder, searched, redact, again=True)
        except OSError as error:
            raise UsageError(f"cannot write to {folder}: {error.strerror}") from None
        try:
            damaged: list[int] = []
            for line, episode in stored_episodes(folder / EPISODES, damaged):
                position = positions.get(episode.task.id)
                if position is not None and position not in results and not episode.owed:
                    record._add(position, episode, line)
                    results[position] = result_of(episode)
            if damaged:
                numbers = ", ".join(map(str, damaged))
                log.warning("%s: line %s is damaged and left out", folder / EPISODES, numbers)
            for lines in record._lines.values():
                lines.replace()
        except BaseException:
            record.abandon()
            raise
        return record, results

    def add(self, position: int, episode: Episode) -> None:
        """Write a finished task.

        Args:
            position: its place in the run, from 0.
            episode: what came of it.

        Raises:
            UsageError: the disk is full, or gone. What was written before stays whole.
        """
        self._add(position, episode, dumps(to_json(episode, self._redact)))

    def _add(self, position: int, episode: Episode, line: str) -> None:
        tools = {"tools": list(episode.tools)} if episode.tools else {}
        rows = [
            {
                "task_id": episode.task.id,
                "node": example.node,
                "is_successful": example.is_successful,
                "is_golden_path": example.is_golden_path,
                "messages": example.messages,
                **tools,
            }
            for example in examples(episode, self._searched)
        ]
        # The episode goes last: its line says that the task is finished, examples included.
        self._lines[EXAMPLES].append(position, [dumps(row) for row in rows])
        self._lines[EPISODES].append(position, [line])
        self.examples += len(rows)
        self.golden += sum(bool(row["is_golden_path"]) for row in rows)

    def close(self) -> None:
        """Put the lines in the order of the tasks and close the files. Raises UsageError."""
        try:
            for lines in self._lines.values():
                lines.close()
        finally:
            self.replies.close()

    def discard(self) -> None:
        """Take the folder away again, for a run that turned out to be impossible before anything was paid for."""
        self.close()
        _remove(self.folder, self._made_log_dir)

    def abandon(self) -> None:
        """Leave a folder that was opened again as it was."""
        for lines in self._lines.values():
            lines.abandon()
        self.replies.close()

    def write_json(self, file: str, content: Mapping[str, Any]) -> None:
        """Write a whole file, or leave the one that is there. Raises UsageError."""
        path = self.folder / file
        part = path.with_suffix(".part")
        try:
            part.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")
            part.replace(path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise UsageError(f"cannot write {path}: {error.strerror}") from None


def stored_episodes(path: Path, damaged: list[int]) -> Iterator[tuple[str, Episode]]:
    """The whole lines of an `episodes.jsonl`, with what they say; of several about one task the first.

    Args:
        path: the file.
        damaged: takes the numbers of the lines that are left out, counted from 1.

    Raises:
        UsageError: the file cannot be read.
    """
    met: set[str] = set()
    try:
        with path.open("rb") as file:
            for number, data in enumerate(file, 1):
                try:
                    line = data.decode("utf-8")
                    if not line.endswith("\n"):
                        raise ValueError("the line is torn")
                    episode = from_json(json.loads(line))
                except ValueError:
                    damaged.append(number)
                    continue
                if episode.task.id not in met:
                    met.add(episode.task.id)
                    yield line[:-1], episode
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None


def count_examples(folder: Path, tasks: Collection[str]) -> tuple[int, int]:
    """How many examples a run's folder has of some tasks, and how many of them are on a golden path."""
    found = golden = 0
    try:
        with (folder / EXAMPLES).open("rb") as file:
            for line in file:
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    row = json.loads(line)
                    if row["task_id"] in tasks:
                        found, golden = found + 1, golden + bool(row["is_golden_path"])
    except OSError:
        pass
    return found, golden


def set_aside(folder: Path) -> None:
    """Keep the last session's summary from passing for that of a session that is killed. Raises UsageError."""
    try:
        with contextlib.suppress(FileNotFoundError):
            (folder / SUMMARY).replace(folder / BEFORE)
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}") from None


def retries_before(folder: Path) -> int:
    """The retries of the sessions before this one, as far as they came to an end."""
    for file in (SUMMARY, BEFORE):
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            return int(json.loads((folder / file).read_text(encoding="utf-8"))["retries"])
    return 0


class _Lines:
    """A file of JSON lines, in blocks of one task each."""

    def __init__(self, path: Path, *, again: bool) -> None:
        """Begin a new file, or a new version of one: the old one stays until `replace`."""
        self._path = path
        self._part = path.with_suffix(".part")
        self._file = (self._part if again else path).open("wb" if again else "xb", buffering=0)
        self._blocks: list[tuple[int, int, int]] = []
        self._size = 0

    def append(self, position: int, rows: Sequence[str]) -> None:
        """Add a task's lines, all of them or none."""
        # Half a surrogate pair becomes an escape, which JSON has for it.
        data = "".join(f"{row}\n" for row in rows).encode("utf-8", "backslashreplace")
        try:
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            os.ftruncate(self._file.fileno(), self._size)
            raise UsageError(f"cannot write {self._path}: {error.strerror}") from None
        self._blocks.append((position, self._size, len(data)))
        self._size += len(data)

    def replace(self) -> None:
        """Put the new version in the place of the old one, and go on in it."""
        self._file.close()
        try:
            self._part.replace(self._path)
            self._file = self._path.open("ab", buffering=0)
        except OSError as error:
            raise UsageError(f"cannot write {self._path}: {error.strerror}") from None

    def abandon(self) -> None:
        """Forget the new version."""
        self._file.close()
        self._part.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file, its blocks in order. A second time, this does nothing."""
        if self._file.closed:
            return
        self._file.close()
        if self._blocks == sorted(self._blocks):
            return
        try:
            with self._path.open("rb") as unsorted, self._part.open("wb") as file:
                for _, start, length in sorted(self._blocks):
                    unsorted.seek(start)
                    file.write(unsorted.read(length))
            self._part.replace(self._path)
        except OSError as error:
            self._part.unlink(missing_ok=True)
            raise UsageError(f"cannot put {self._path} in order: {error.strerror}") from None


def _remove(folder: Path, and_parent: bool) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if and_parent:
        with contextlib.suppress(OSError):
            folder.parent.rmdir()


def make_folder(log_dir: Path, stem: str) -> Path:
    """Make a folder of a name, with a number behind it where there is one already. Raises OSError."""
    for number in range(1, 1000):
        folder = log_dir / (stem if number == 1 else f"{stem}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            if not log_dir.is_dir():
                raise
        else:
            return folder
    raise AssertionError("a thousand runs in one second")
