"""A file of JSON lines that grows task by task and ends in their order."""

import os
from collections.abc import Sequence
from pathlib import Path

from josh.errors import UsageError

FORMAT_VERSION = 2
"""The format of the lines that this josh writes; `schema.py` says what is in it, and reads those before it as well."""


class JsonLines:
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
