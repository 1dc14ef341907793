"""Says what a file is that does not hold rows: packed, in another encoding, a manifest, or one JSON value."""

import codecs
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from josh.runs.export.files import MANIFEST

_PACKED: Final = {
    b"\x1f\x8b": "packed with gzip",
    b"PK\x03\x04": "a zip file",
    b"\x28\xb5\x2f\xfd": "packed with zstd",
    b"BZh": "packed with bzip2",
    b"\xfd7zXZ": "packed with xz",
}
_LARGEST: Final = 1 << 26
"""The largest file that is read as one value, in bytes."""


def packed_as(data: bytes) -> str:
    """Returns how a file is packed, or its encoding where that is not UTF-8, by its first bytes; empty for plain."""
    packed = next((how for mark, how in _PACKED.items() if data.startswith(mark)), "")
    return packed or _encoding(data)


def _encoding(data: bytes) -> str:
    """Returns `in UTF-16` or `in UTF-32` for text in these encodings that may be JSON; else an empty text."""
    encoding = json.detect_encoding(data[:4])
    start = data[: len(data) // 4 * 4][:4].decode(encoding, "replace").lstrip("\ufeff")[:1]
    marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE))
    likely = marked or start in ("{", "[", "\n", " ")
    return f"in UTF-{encoding[4:6]}" if likely and encoding[4:6] in ("16", "32") else ""


def instead_of_rows(path: Path, data: bytes) -> str:
    """Returns what a file is instead of lines of JSON objects, and what to do; empty where it may be such lines.

    Args:
        path: the file.
        data: its first line, or all of it.
    """
    if packed := packed_as(data):
        return f"{packed}; give it unpacked and in UTF-8"
    if data.lstrip().startswith(b"["):
        return "one JSON array; write one row per line"
    found = _object(data.strip().partition(b"\n")[0])
    lines = found is None and data.lstrip().startswith(b"{")
    if lines:
        found = _object(_content(path))
    if found is not None and (manifest := as_manifest(path, found)):
        return manifest
    return "one JSON object on several lines; write one row per line" if lines and found is not None else ""


def as_manifest(path: Path, found: Mapping[str, Any]) -> str:
    """Returns that a file is a manifest, and what to give; empty where its content is another one."""
    rows = path.with_name(path.name.removesuffix(MANIFEST))
    named = f", {rows}" if rows != path else ""
    return f"a manifest; give the file that it describes{named}" if {"sha256", "format"} <= found.keys() else ""


def _object(data: bytes) -> dict[str, Any] | None:
    """Returns a JSON object; None where the text is anything else."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _content(path: Path) -> bytes:
    """Returns the content of a file that is small enough for one JSON object; empty for another one."""
    try:
        return path.read_bytes() if path.stat().st_size < _LARGEST else b""
    except OSError:
        return b""
