"""A run's folder: `config.json`, `replies.sqlite`, `episodes.jsonl`, `training_examples.jsonl`, `summary.json`."""

import contextlib
import logging
import shutil
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from josh.errors import UsageError
from josh.messages import dumps
from josh.outcomes import Episode
from josh.roles import Task
from josh.runs.record.episode_json import to_json
from josh.runs.record.examples import examples
from josh.runs.record.folder import (
    BEFORE,
    EPISODES,
    EXAMPLES,
    SUMMARY,
    make_folder,
    read_summary,
    remove_folder,
    sound_summary,
)
from josh.runs.record.journal import FILE, Replies
from josh.runs.record.lines import FORMAT_VERSION, JsonLines
from josh.runs.record.stored import stored_episodes
from josh.runs.record.summary import Result, result_of

log = logging.getLogger("josh")


class Record:
    """Writes a run down: a line for every task as it finishes, put in the order of the tasks when the run ends.

    Attributes:
        folder: the run's folder.
        replies: the run's journal. While it is open, nobody else writes to the folder.
        examples: training examples written so far.
        golden: those of them on a golden path.
    """

    def __init__(self, folder: Path, collapses: bool, redact: Callable[[str], str], *, again: bool) -> None:
        """Open a folder that is there; see `create` and `reopen`."""
        self.folder = folder
        self.examples = 0
        self.golden = 0
        self._collapses = collapses
        self._redact = redact
        self._made_log_dir = False
        self.replies = Replies(folder)
        try:
            self._lines = {file: JsonLines(folder / file, again=again) for file in (EPISODES, EXAMPLES)}
        except BaseException:
            self.replies.close()
            raise

    @classmethod
    def create(
        cls,
        log_dir: Path,
        name: str,
        collapses: bool,
        redact: Callable[[str], str] = str,
        journal: Path | None = None,
        *,
        dated: bool = True,
    ) -> "Record":
        """Make a run's folder.

        Args:
            log_dir: the folder it goes in.
            name: what its name starts with; a number follows where there is such a folder already.
            collapses: see `examples`.
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
            record = cls(folder, collapses, redact, again=False)
        except (OSError, UsageError) as error:
            remove_folder(folder, made)
            raise UsageError(str(error).replace(str(folder), str(journal or folder))) from None
        record._made_log_dir = made
        return record

    @classmethod
    def reopen(
        cls, folder: Path, tasks: Sequence[Task], collapses: bool, redact: Callable[[str], str] = str
    ) -> tuple["Record", dict[int, Result]]:
        """Open a run's folder again, to go on where it was broken off.

        Episodes that are whole and had no errors stay; the others are taken out, for they are owed again, and what they
        were made of is in the journal. The examples are made anew from the episodes that stay.

        Args:
            folder: the run's folder.
            tasks: the run's tasks, in order.
            collapses: see `examples`.
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
            record = cls(folder, collapses, redact, again=True)
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
                "version": FORMAT_VERSION,
                "task_id": episode.task.id,
                "node": example.node,
                "is_successful": example.is_successful,
                "is_golden_path": example.is_golden_path,
                "messages": example.messages,
                **tools,
            }
            for example in examples(episode, self._collapses)
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
        remove_folder(self.folder, self._made_log_dir)

    def abandon(self) -> None:
        """Leave a folder that was opened again as it was."""
        for lines in self._lines.values():
            lines.abandon()
        self.replies.close()


def set_aside(folder: Path) -> None:
    """Keep the last session's summary from passing for that of a session that is killed. Raises UsageError."""
    try:
        with contextlib.suppress(FileNotFoundError):
            (folder / SUMMARY).replace(folder / BEFORE)
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}") from None


def retries_before(folder: Path) -> int:
    """The retries of the sessions before this one, as far as they came to an end."""
    summary = read_summary(folder) or sound_summary(folder / BEFORE)
    return int(summary.get("retries", 0))
