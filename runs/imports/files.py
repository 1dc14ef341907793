"""Reads files row by row, so that a file of any size takes little memory: JSON lines, one JSON array, and CSV.

A file may be packed with gzip, and be in any encoding of Unicode. A row that cannot be read is yielded as its error, so
that the caller can leave it out and go on with the next one.
"""

import codecs
import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import file_digest
from io import BufferedReader, TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from josh.errors import UsageError
from josh.texts import json_fault, packed_as, unreadable

Row = tuple[str, Any]
"""The place of a value, for errors, and the value; or the UsageError where it cannot be read."""
_CHUNK: Final = 1 << 20
_SPACE: Final = " \t\r\n"


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, str]]:
    """Opens a file, and gives its bytes as they are when unpacked, and its encoding.

    Raises:
        UsageError: the file cannot be read, or is packed in another way than with gzip.
    """
    try:
        with path.open("rb") as raw:
            head = raw.read(4)
            raw.seek(0)
            if how := packed_as(head):
                raise UsageError(f"cannot read {path}: it is {how}; unpack it, and give the unpacked file")
            file = cast(BinaryIO, gzip.GzipFile(fileobj=raw) if head.startswith(b"\x1f\x8b") else raw)
            with BufferedReader(file, _CHUNK) as buffered:  # type: ignore[type-var]
                encoding = json.detect_encoding(buffered.peek(4)[:4])
                yield cast(BinaryIO, buffered), encoding
    except IsADirectoryError:
        raise UsageError(f"{path} is a folder; give its files") from None
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"cannot read {path}: {reason}") from None


def text_lines(path: Path) -> Iterator[tuple[int, str | UsageError]]:
    """Yields the lines of a text file with their numbers, from 1; the error of a line that is not UTF-8."""
    with opened(path) as (file, encoding):
        if not encoding.startswith("utf-8"):
            try:
                with TextIOWrapper(file, encoding, newline="") as text:
                    yield from enumerate(text, 1)
            except UnicodeDecodeError as error:
                raise unreadable(path, error) from None
            return
        for number, data in enumerate(file, 1):
            if number == 1:
                data = data.removeprefix(codecs.BOM_UTF8)  # noqa: PLW2901
            try:
                yield number, data.decode("utf-8")
            except UnicodeDecodeError as error:
                yield (
                    number,
                    UsageError(f"{path} line {number} is not UTF-8 (byte {error.start + 1}); save the file as UTF-8"),
                )


def json_values(path: Path) -> Iterator[Row]:
    """Yields the values of a file of JSON lines, or the entries of its one JSON array.

    Raises:
        UsageError: the file cannot be read, or has no value.
    """
    found = False
    for row in _entries(path) if _is_array(path) else _lines(path):
        found = True
        yield row
    if not found:
        raise UsageError(f"{path} is empty; give a file with a JSON object on each line")


def _is_array(path: Path) -> bool:
    """Returns whether a file is one JSON array, and not lines that hold arrays."""
    with opened(path) as (file, encoding), TextIOWrapper(file, encoding, errors="replace") as text:
        first = text.readline(_CHUNK).lstrip("\ufeff")
        if not first.lstrip().startswith("["):
            return False
        try:
            json.loads(first)
        except (ValueError, RecursionError):
            return True
        return not text.read(1)


def _lines(path: Path) -> Iterator[Row]:
    for number, line in text_lines(path):
        place = f"{path} line {number}"
        if isinstance(line, UsageError):
            yield place, line
        elif not line.isspace():
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield place, UsageError(f"{place} is not JSON: {json_fault(error)}")
            else:
                yield place, value


def _entries(path: Path) -> Iterator[Row]:
    """Yields the entries of a JSON array, without ever holding more text than an entry and a chunk."""
    decode = json.JSONDecoder().raw_decode
    with opened(path) as (file, encoding), TextIOWrapper(file, encoding) as text:
        try:
            rest = text.read(_CHUNK).lstrip("\ufeff" + _SPACE)[1:]
            number, more = 0, True
            while True:
                rest = rest.lstrip(_SPACE + ",")
                if rest.startswith("]"):
                    return
                place = f"{path} entry {number + 1}"
                try:
                    value, end = decode(rest)
                    if end == len(rest) and more:
                        raise ValueError("the entry may go on")
                except (ValueError, RecursionError) as error:
                    chunk = text.read(max(_CHUNK, len(rest))) if more else ""
                    if chunk:
                        rest += chunk
                        continue
                    if more:
                        more = False
                        continue
                    why = json_fault(error) if rest else "the array ends too early"
                    yield place, UsageError(f"{place} is not JSON: {why}")
                    return
                number += 1
                rest = rest[end:]
                yield place, value
        except UnicodeDecodeError as error:
            raise unreadable(path, error) from None


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 of a file. Raises UsageError."""
    try:
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
