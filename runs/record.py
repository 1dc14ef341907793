"""A run's folder on disk: `config.json`, `episodes.jsonl`, `training_examples.jsonl`, `summary.json`."""

import contextlib
import json
import os
import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from josh.errors import FatalError, UsageError
from josh.runs.episode import Episode, examples, to_json


class Record:
    """Writes a run down as its tasks finish, one line each, in the order of the tasks.

    Attributes:
        folder: the run's folder.
        examples: training examples written so far.
        golden: those on a golden path that end at a winner or a won conversation.
    """

    def __init__(self, log_dir: Path, name: str, searched: bool) -> None:
        """Make the run's folder.

        Args:
            log_dir: the folder it goes in.
            name: what its name starts with; the date and time follow.
            searched: see `runs.episode.examples`.

        Raises:
            UsageError: the folder cannot be made or written.
        """
        self.examples = 0
        self.golden = 0
        self._searched = searched
        self._waiting: dict[int, Episode] = {}
        self._next = 0
        self._made_log_dir = not log_dir.exists()
        stem = f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
        try:
            self.folder = _make_folder(log_dir, stem)
            self._files = {
                file: (self.folder / file).open("ab", buffering=0)
                for file in ("episodes.jsonl", "training_examples.jsonl")
            }
        except OSError as error:
            raise UsageError(f"cannot write to log_dir {str(log_dir)!r}: {error.strerror}") from None

    def add(self, position: int, episode: Episode) -> None:
        """Take a finished task; it is written once all tasks before it are.

        Args:
            position: its place in the run, from 0.
            episode: what came of it.

        Raises:
            FatalError: the disk is full, or gone. What was written before stays whole.
        """
        self._waiting[position] = episode
        while self._next in self._waiting:
            self._write(self._waiting.pop(self._next))
            self._next += 1

    def close(self) -> None:
        """Write what is still waiting (a run that was broken off leaves gaps) and close the files."""
        try:
            for position in sorted(self._waiting):
                self._write(self._waiting.pop(position))
        finally:
            for file in self._files.values():
                file.close()

    def discard(self) -> None:
        """Take the folder away again, for a run that turned out to be impossible before anything was finished."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._made_log_dir:
            with contextlib.suppress(OSError):
                self.folder.parent.rmdir()

    def write_json(self, file: str, content: Mapping[str, Any]) -> None:
        """Write a whole file, or leave the one that is there. Raises FatalError."""
        path = self.folder / file
        part = path.with_suffix(".part")
        try:
            part.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")
            part.replace(path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise FatalError(f"cannot write {path}: {error.strerror}") from None

    def _write(self, episode: Episode) -> None:
        rows = [
            {
                "task_id": episode.task.id,
                "node": example.node,
                "is_successful": example.is_successful,
                "is_golden_path": example.is_golden_path,
                "reward": episode.reward,
                "messages": example.messages,
            }
            for example in examples(episode, self._searched)
        ]
        # The episode goes last: its line says that the task is finished, examples included.
        self._append("training_examples.jsonl", rows)
        self._append("episodes.jsonl", [to_json(episode)])
        self.examples += len(rows)
        self.golden += sum(bool(row["is_golden_path"]) for row in rows)

    def _append(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Add lines to a file, all of them or none."""
        if not rows:
            return
        file = self._files[name]
        text = "".join(json.dumps(row, ensure_ascii=False, default=repr) + "\n" for row in rows)
        # Half a surrogate pair becomes an escape, which JSON has for it.
        data = text.encode("utf-8", "backslashreplace")
        size = os.fstat(file.fileno()).st_size
        try:
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
        except OSError as error:
            os.ftruncate(file.fileno(), size)
            raise FatalError(f"cannot write {self.folder / name}: {error.strerror}") from None


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
