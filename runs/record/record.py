"""Writes a run's folder: `replies.sqlite`, `episodes.jsonl` and `training_examples.jsonl`.

1. `Record.create` makes a new folder, or `Record.reopen` opens the folder of a run that is resumed.
2. `add` appends the lines of each task as soon as it is finished.
3. `close` sorts the lines by task and closes the files. `discard` deletes the folder instead.
"""

import contextlib
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from josh.dialogue import NO_USAGE, Usage
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
from josh.runs.record.lines import FORMAT_VERSION, JsonLines, as_bytes
from josh.runs.record.stored import stored_episodes
from josh.runs.record.summary import Result, counted, result_of
from josh.scoring import JUDGE

log = logging.getLogger("josh")


@dataclass(frozen=True, slots=True)
class TaskLines:
    """The lines of a finished task in a run's files, without line ends.

    Attributes:
        episode: its line in `episodes.jsonl`.
        examples: its lines in `training_examples.jsonl`.
        golden: number of those on a golden path.
    """

    episode: str
    examples: tuple[str, ...]
    golden: int

    @classmethod
    def of(cls, episode: Episode, line: str, collapses: bool) -> "TaskLines":
        """Returns the lines of an episode whose own line is known. Args: collapses: see `examples`."""
        tools = {"tools": list(episode.tools)} if episode.tools else {}
        found = tuple(examples(episode, collapses))
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
            for example in found
        ]
        return cls(line, tuple(map(dumps, rows)), sum(bool(example.is_golden_path) for example in found))


class Record:
    """The open files of a run.

    Attributes:
        folder: the run's folder.
        replies: the run's journal. While it is open, no other process writes to the folder.
        examples: number of training examples written so far.
        golden: number of those on a golden path.
    """

    def __init__(self, folder: Path, collapses: bool, redact: Callable[[str], str], *, again: bool) -> None:
        """Open the files in an existing folder; see `create` and `reopen`."""
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
        """Create a run's folder.

        Args:
            log_dir: the directory to create it in.
            name: the beginning of its name; a number is added where the name is taken.
            collapses: see `examples`.
            redact: removes secrets from an error's text.
            journal: folder of another run, whose journal is copied into the new folder; None for none.
            dated: add date and time to the name.

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
        cls,
        folder: Path,
        tasks: Sequence[Task],
        collapses: bool,
        redact: Callable[[str], str] = str,
        judge: str = "",
    ) -> tuple["Record", dict[int, Result]]:
        """Open the folder of a run that is resumed.

        Whole episodes without errors stay. The others are removed, because their tasks are played again; their replies
        are in the journal. The examples are written again from the episodes that stay.

        Args:
            folder: the run's folder.
            tasks: the run's tasks, in order.
            collapses: see `examples`.
            redact: removes secrets from an error's text.
            judge: the name of the judge's model; empty for none.

        Returns:
            The record, and the results of the episodes that stay, by the position of their task.

        Raises:
            UsageError: the folder is in use, cannot be read, or cannot be written. It is left as it was.
        """
        positions = {task.id: position for position, task in enumerate(tasks)}
        results: dict[int, Result] = {}
        if not (folder / FILE).exists() and not (folder / f"{FILE}-wal").exists():
            log.warning("%s: the journal is missing; the replies of unfinished tasks are requested again", folder)
        try:
            record = cls(folder, collapses, redact, again=True)
        except OSError as error:
            raise UsageError(f"cannot write to {folder}: {error.strerror}") from None
        try:
            damaged: list[int] = []
            spent: dict[str, Mapping[tuple[str, str], Usage]] = {}
            for line, episode in stored_episodes(folder / EPISODES, damaged, record.replies.checksums()):
                spent[episode.task.id] = _spent(episode, judge)
                position = positions.get(episode.task.id)
                if position is not None and position not in results and not episode.owed:
                    record.add_line(position, episode, line)
                    results[position] = result_of(episode)
            if damaged:
                numbers = ", ".join(map(str, damaged))
                log.warning("%s: line %s is damaged and left out", folder / EPISODES, numbers)
            lost = record.replies.carry(spent)
            if lost.calls:
                log.warning(
                    "%s: the replies to %s of finished tasks are missing; their cost still counts, and a task that is "
                    "played again pays for them again",
                    folder / FILE,
                    counted(lost.calls, "call"),
                )
            for lines in record._lines.values():
                lines.replace()
        except BaseException:
            record.abandon()
            raise
        return record, results

    def add(self, position: int, episode: Episode) -> None:
        """Write a finished task.

        Args:
            position: the task's place in the run, from 0.
            episode: its episode.

        Raises:
            UsageError: the disk is full, or gone. Earlier lines stay whole.
        """
        self.add_line(position, episode, dumps(to_json(episode, self._redact)))

    def add_line(self, position: int, episode: Episode, line: str) -> None:
        """Write a finished task whose line in `episodes.jsonl` is known; see `add`."""
        self.add_lines(position, episode.task.id, TaskLines.of(episode, line, self._collapses))

    def add_lines(self, position: int, task: str, lines: "TaskLines") -> None:
        """Write a finished task whose lines are known; see `add`. Args: task: its id."""
        # The episode is written last: its line marks the task as finished, examples included.
        self._lines[EXAMPLES].append(position, lines.examples)
        self.replies.vouch(task, as_bytes(lines.episode))
        self._lines[EPISODES].append(position, [lines.episode])
        self.examples += len(lines.examples)
        self.golden += lines.golden

    def close(self) -> None:
        """Sort the lines by task and close the files. Raises UsageError where they cannot be written."""
        try:
            for lines in self._lines.values():
                lines.close()
        finally:
            self.replies.close()

    def discard(self) -> None:
        """Close the files and delete the folder, for a run that failed before it paid for anything."""
        self.close()
        remove_folder(self.folder, self._made_log_dir)

    def abandon(self) -> None:
        """Close the files and leave a reopened folder as it was."""
        for lines in self._lines.values():
            lines.abandon()
        self.replies.close()


def _spent(episode: Episode, judge: str) -> dict[tuple[str, str], Usage]:
    """Returns what an episode cost, by speaker and model."""
    account: dict[tuple[str, str], Usage] = {}
    for node in (*episode.tree.nodes[1:], *episode.again):
        if node.turn.usage.calls:
            who = str(node.speaker), node.turn.model
            account[who] = account.get(who, NO_USAGE) + node.turn.usage
    return account | ({(JUDGE, judge): episode.judged} if episode.judged.calls and judge else {})


def archive_summary(folder: Path) -> None:
    """Rename the previous session's summary, so that it cannot pass for the summary of a session that is killed.

    Raises:
        UsageError: the file cannot be renamed.
    """
    try:
        with contextlib.suppress(FileNotFoundError):
            (folder / SUMMARY).replace(folder / BEFORE)
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}") from None


def retries_before(folder: Path) -> int:
    """Returns the number of retries in earlier sessions; a session that was killed does not count."""
    summary = read_summary(folder) or sound_summary(folder / BEFORE)
    return int(summary.get("retries", 0))
