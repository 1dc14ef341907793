"""A run's folder on disk: `config.json`, `episodes.jsonl`, `training_examples.jsonl`, `summary.json`."""

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from josh.errors import UsageError
from josh.messages import dumps
from josh.runs.episode import Episode, examples, to_json


class Record:
    """Writes a run down: a line for every task as it finishes, put in the order of the tasks when the run ends.

    Attributes:
        folder: the run's folder.
        examples: training examples written so far.
        golden: those of them on a golden path.
    """

    def __init__(self, log_dir: Path, name: str, searched: bool, redact: Callable[[str], str] = str) -> None:
        """Make the run's folder.

        Args:
            log_dir: the folder it goes in.
            name: what its name starts with; the date and time follow.
            searched: see `runs.episode.examples`.
            redact: takes secrets out of an error's text.

        Raises:
            UsageError: the folder cannot be made or written.
        """
        self.examples = 0
        self.golden = 0
        self._made_log_dir = not log_dir.exists()
        self._searched = searched
        self._redact = redact
        stem = f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
        try:
            self.folder = _make_folder(log_dir, stem)
            self._lines = {file: _Lines(self.folder / file) for file in ("episodes.jsonl", "training_examples.jsonl")}
        except OSError as error:
            raise UsageError(f"cannot write to log_dir {str(log_dir)!r}: {error.strerror}") from None

    def add(self, position: int, episode: Episode) -> None:
        """Write a finished task.

        Args:
            position: its place in the run, from 0.
            episode: what came of it.

        Raises:
            UsageError: the disk is full, or gone. What was written before stays whole.
        """
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
        self._lines["training_examples.jsonl"].append(position, rows)
        self._lines["episodes.jsonl"].append(position, [to_json(episode, self._redact)])
        self.examples += len(rows)
        self.golden += sum(bool(row["is_golden_path"]) for row in rows)

    def close(self) -> None:
        """Put the lines in the order of the tasks and close the files. Raises UsageError."""
        for lines in self._lines.values():
            lines.close()

    def discard(self) -> None:
        """Take the folder away again, for a run that turned out to be impossible before anything was finished."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._made_log_dir:
            with contextlib.suppress(OSError):
                self.folder.parent.rmdir()

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


class _Lines:
    """A file of JSON lines, in blocks of one task each."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("xb", buffering=0)
        self._blocks: list[tuple[int, int, int]] = []
        self._size = 0

    def append(self, position: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add a task's lines, all of them or none."""
        # Half a surrogate pair becomes an escape, which JSON has for it.
        data = "".join(dumps(row) + "\n" for row in rows).encode("utf-8", "backslashreplace")
        try:
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            os.ftruncate(self._file.fileno(), self._size)
            raise UsageError(f"cannot write {self._path}: {error.strerror}") from None
        self._blocks.append((position, self._size, len(data)))
        self._size += len(data)

    def close(self) -> None:
        self._file.close()
        if self._blocks == sorted(self._blocks):
            return
        part = self._path.with_suffix(".part")
        try:
            with self._path.open("rb") as unsorted, part.open("wb") as file:
                for _, start, length in sorted(self._blocks):
                    unsorted.seek(start)
                    file.write(unsorted.read(length))
            part.replace(self._path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise UsageError(f"cannot put {self._path} in order: {error.strerror}") from None


def _make_folder(log_dir: Path, stem: str) -> Path:
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
