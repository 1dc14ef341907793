"""Reads text files of any origin: byte order marks, all encodings of Unicode, gzip, JSON lines and JSON arrays."""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from josh.errors import UsageError

_PACKED = {b"PK\x03\x04": "a zip file", b"BZh": "packed with bzip2", b"\xfd7zXZ": "packed with xz"}
_PACKED[b"\x28\xb5\x2f\xfd"] = "packed with zstd"


def read_text(path: Path) -> str:
    """Returns the text of a file, without a byte order mark and with line feeds as its line ends.

    The file may be packed with gzip, and be in UTF-8, UTF-16 or UTF-32.

    Raises:
        UsageError: the file cannot be read, is packed in another way, or is not text; the error says how to go on.
    """
    try:
        data = path.read_bytes()
        if data.startswith(b"\x1f\x8b"):
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
    packed = next((how for mark, how in _PACKED.items() if data.startswith(mark)), "")
    if packed:
        raise UsageError(f"cannot read {path}: it is {packed}; unpack it, and give the unpacked file or folder")
    encoding = json.detect_encoding(data)
    try:
        return data.decode(encoding).replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: OSError | UnicodeDecodeError) -> UsageError:
    """Returns the error for a text file that cannot be read, or is not UTF-8."""
    if isinstance(error, UnicodeDecodeError):
        return UsageError(f"cannot read {path}: it is not UTF-8 (byte {error.start + 1}); save it as UTF-8")
    return UsageError(f"cannot read {path}: {error.strerror or error}")


def json_of(text: str, place: str) -> Any:
    """Returns the value of a JSON text; NaN is read as a number. Raises UsageError, which names the place."""
    try:
        return json.loads(text)
    except RecursionError:
        raise UsageError(f"{place} is not JSON that can be read: it is nested too deeply") from None
    except ValueError as error:
        raise UsageError(f"{place} is not JSON: {error}") from None


def json_rows(path: Path) -> Iterator[tuple[str, Any]]:
    """Yields the values of a file of JSON lines, or the entries of a file with one JSON array.

    Yields:
        The value's place, for error messages, and the value. Empty lines are passed over.

    Raises:
        UsageError: as `read_text` does, or a line is not JSON.
    """
    text = read_text(path)
    values = _array(text)
    if values:
        yield from ((f"{path} entry {number}", value) for number, value in enumerate(values, start=1))
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            place = f"{path} line {number}"
            yield place, json_of(line, place)


def _array(text: str) -> list[Any]:
    """Returns the entries of a JSON array; empty where the text is anything else, such as lines of JSON."""
    try:
        values = json.loads(text) if text.lstrip().startswith("[") else []
    except (ValueError, RecursionError):
        return []
    assert isinstance(values, list)
    return values


def folders_below(given: Path, depth: int = 3) -> Iterator[Path]:
    """Yields a folder and those below it, upper ones first; hidden ones are left out.

    Args:
        given: the folder.
        depth: how many levels below it.

    Raises:
        UsageError: a folder cannot be read.
    """
    level = [given]
    for below in range(depth + 1):
        yield from level
        if below == depth:
            return
        try:
            level = [path for folder in level for path in sorted(folder.iterdir()) if _is_open(path)]
        except OSError as error:
            raise UsageError(f"cannot read {given}: {error.strerror}") from None


def _is_open(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith((".", "__"))
