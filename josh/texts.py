"""Reads text files of any origin: byte order marks, all encodings of Unicode, gzip, JSON lines and JSON arrays."""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from josh.errors import UsageError

_EXCERPT = 30
"""Characters of a fault that a message shows."""
_PACKED = {b"PK\x03\x04": "a zip file", b"BZh": "packed with bzip2", b"\xfd7zXZ": "packed with xz"}
_PACKED[b"\x28\xb5\x2f\xfd"] = "packed with zstd"


def read_text(path: Path) -> str:
    """Returns the text of a file, without a byte order mark and with line feeds as its line ends.

    The file may be packed with gzip, and be in UTF-8, UTF-16 or UTF-32.

    Raises:
        UsageError: the file cannot be read, is packed in another way, or is not text; the error says how to go on.
    """
    return _decoded(path)[0]


def _decoded(path: Path) -> tuple[str, str]:
    """Returns what `read_text` does, and the encoding."""
    try:
        data = path.read_bytes()
        if data.startswith(b"\x1f\x8b"):
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
    if packed := packed_as(data):
        raise UsageError(f"cannot read {path}: it is {packed}; unpack it, and give the unpacked file or folder")
    encoding = json.detect_encoding(data)
    try:
        return data.decode(encoding).replace("\r\n", "\n"), encoding
    except UnicodeDecodeError as error:
        raise unreadable(path, error) from None


def packed_as(data: bytes) -> str:
    """Returns how a file is packed that begins with some bytes, such as `a zip file`; empty for gzip and for none."""
    return next((how for mark, how in _PACKED.items() if data.startswith(mark)), "")


def unreadable(path: Path, error: OSError | UnicodeDecodeError) -> UsageError:
    """Returns the error for a text file that cannot be read, or is not UTF-8."""
    if isinstance(error, UnicodeDecodeError):
        return UsageError(f"cannot read {path}: it is not UTF-8 (byte {error.start + 1}); save it as UTF-8")
    return UsageError(f"cannot read {path}: {error.strerror or error}")


def json_of(text: str, place: str) -> Any:
    """Returns the value of a JSON text; NaN is read as a number. Raises UsageError, which names the place."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{place} is not JSON: {json_fault(error)}") from None


def json_fault(error: Exception) -> str:
    """Returns why a text is not JSON, from the parser's error: where the fault is, and the text there.

    Other errors of reading a file get the words of the system, without a class name.
    """
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 (byte {error.start + 1})"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return _fault(error) if isinstance(error, json.JSONDecodeError) else str(error)


def _fault(error: json.JSONDecodeError) -> str:
    rest = error.doc[error.pos :].strip()
    if not error.doc.strip():
        return "it is empty"
    if not rest or error.msg.startswith("Unterminated"):
        return "it ends too early"
    line = f"line {error.lineno}, " if "\n" in error.doc.strip() else ""
    excess = "something follows its end" if error.msg == "Extra data" else "it has a fault"
    return f"{excess} at {line}column {error.colno}: {rest.splitlines()[0][:_EXCERPT]!r}"


def json_rows(path: Path) -> Iterator[tuple[str, Any]]:
    """Yields the values of a file of JSON lines, or the entries of a file with one JSON array.

    Yields:
        The value's place, for error messages, and the value. Empty lines are passed over.

    Raises:
        UsageError: as `read_text` does, or a line is not JSON.
    """
    text, encoding = _decoded(path)
    values = _array(text)
    if values:
        yield from ((f"{path} entry {number}", value) for number, value in enumerate(values, start=1))
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            place = f"{path} line {number}"
            try:
                found = json_of(line, place)
            except UsageError as error:
                if encoding.startswith("utf-8"):
                    raise
                raise UsageError(f"{error}; the file was read as {encoding.upper()[:6]}: save it as UTF-8") from None
            yield place, found


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
