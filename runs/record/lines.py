"""A file of JSON lines that grows as tasks finish, and is sorted by task at the end."""

import os
from collections.abc import Sequence
from pathlib import Path

from josh.errors import UsageError

FORMAT_VERSION = 2
"""The version of the format that this josh writes; `schema.py` describes it, and reads earlier versions too."""


def as_bytes(text: str) -> bytes:
    """Returns JSON as UTF-8; half a surrogate pair, which UTF-8 cannot encode, becomes a JSON escape."""
    return text.encode("utf-8", "backslashreplace")


class JsonLines:
    """A file of JSON lines, in blocks of one task each."""

    def __init__(self, path: Path, *, again: bool) -> None:
        """Create the file, or with `again` a new version of it; the old version stays until `replace`.

        Raises:
            OSError: the file cannot be created, or is there already and `again` is false.
        """
        self._path = path
        self._part = path.with_suffix(".part")
        self._file = (self._part if again else path).open("wb" if again else "xb", buffering=0)
        self._blocks: list[tuple[int, int, int]] = []
        self._size = 0

    def append(self, position: int, rows: Sequence[str]) -> None:
        """Append a task's lines, all of them or none.

        Args:
            position: the task's place in the run, from 0.
            rows: the lines, without line ends.

        Raises:
            UsageError: the disk is full, or gone.
        """
        data = as_bytes("".join(f"{row}\n" for row in rows))
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
        """Replace the old version by the new one; later lines are appended to it. Raises UsageError."""
        self._file.close()
        try:
            self._part.replace(self._path)
            self._file = self._path.open("ab", buffering=0)
        except OSError as error:
            raise UsageError(f"cannot write {self._path}: {error.strerror}") from None

    def abandon(self) -> None:
        """Delete the new version; the old one stays."""
        self._file.close()
        self._part.unlink(missing_ok=True)

    def close(self) -> None:
        """Sort the tasks' lines by position, and close the file. A second call does nothing. Raises UsageError."""
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
            raise UsageError(f"cannot sort {self._path}: {error.strerror}") from None
