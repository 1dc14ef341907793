"""The files of `josh proactive`: rows with a manifest, written together or not at all."""

import hashlib
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from josh.errors import UsageError
from josh.messages import dumps
from josh.runs.export.files import print_written, writing


def make_folder_of(out: Path) -> None:
    """Make the folder of a file. Raises UsageError where it cannot be made, or the file is a folder."""
    if out.is_dir():
        raise UsageError(f"out is {str(out)!r}, which is a folder; give a file, such as {out / 'rows.jsonl'}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}") from None


def refuse_same(name: str, out: Path | None, read: Mapping[str, Path | None]) -> None:
    """Raises UsageError where a file to write is one that is read, so that no conversation is lost.

    Args:
        name: the flag of the file to write.
        out: the file to write; None for none.
        read: the files and folders that are read, by flag.
    """
    for source, path in read.items():
        if out is not None and path is not None and path.exists() and out.exists() and out.samefile(path):
            raise UsageError(f"{name} is {str(out)!r}, which {source} reads; give another file")


def write_file(out: Path, rows: Iterable[Mapping[str, Any]], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Write rows and their manifest, both or neither; to stdout without a manifest where `out` is `-`.

    Args:
        out: the file; an existing one is replaced, and its folder is made.
        rows: the rows.
        manifest: the manifest without `rows` and `sha256`.

    Returns:
        The whole manifest.

    Raises:
        UsageError: the file cannot be written.
    """
    if str(out) == "-":
        lines = [f"{dumps(row)}\n" for row in rows]
        sys.stdout.write("".join(lines))
        return {**manifest, "rows": len(lines)}
    make_folder_of(out)
    with writing(out, manifest["format"]) as made:
        count, digest = 0, hashlib.sha256()
        with made.rows.open("wb") as file:
            for row in rows:
                line = f"{dumps(row)}\n".encode("utf-8", "backslashreplace")
                digest.update(line)
                file.write(line)
                count += 1
        made.manifest |= {**manifest, "rows": count, "sha256": digest.hexdigest()}
    return made.manifest


def print_file(manifest: Mapping[str, Any], out: Path, earlier: Mapping[str, Any]) -> None:
    """Print where a file was written, unless it went to stdout."""
    if str(out) != "-":
        print_written(manifest, out, earlier)
