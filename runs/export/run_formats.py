"""Formats that hold whole runs, such as the logs of another tool: a file for each run, with all that was played."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from josh.errors import UsageError

SUFFIX = ".json"


@dataclass(frozen=True, slots=True)
class RunFormat:
    """A format of whole runs, for `josh export --format NAME`.

    Attributes:
        write: writes runs to a folder, or one run to a `.json` file; returns the number of entries, by file. Raises
            UsageError.
        entries: what an entry is called, such as `samples`.
        seen_with: the command that shows the files; `{folder}` and `{file}` stand for the folder and the first file.
    """

    write: Callable[[Sequence[Path], Path], Mapping[Path, int]]
    entries: str
    seen_with: str


def files_for(runs: Sequence[Path], out: Path, stem: Callable[[Path], str]) -> dict[Path, Path]:
    """Returns the file of each run, by file; makes the folder.

    Args:
        runs: the runs' folders.
        out: a folder, or, for one run, a file whose name ends in `.json`.
        stem: returns the name of a run's file in a folder, without its ending.

    Raises:
        UsageError: several runs do not fit into one file, or the folder cannot be made.
    """
    if out.suffix == SUFFIX:
        if len(runs) > 1:
            raise UsageError(f"out is {str(out)!r}, but {len(runs)} runs give several files; give a folder")
        return {out: runs[0]}
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write to {out}: {error.strerror}") from None
    found: dict[Path, Path] = {}
    for run in runs:
        names = (f"{stem(run)}{f'-{number}' * (number > 1)}{SUFFIX}" for number in count(1))
        found[next(out / name for name in names if out / name not in found)] = run
    return found


def write_file(out: Path, content: Mapping[str, Any], is_ours: Callable[[Any], bool], what: str) -> None:
    """Write a file, whole or not at all.

    Args:
        out: the file; an earlier export is replaced.
        content: its content.
        is_ours: returns whether the content of an existing file is an earlier export; may raise KeyError or TypeError.
        what: what such a file is called, with its article.

    Raises:
        UsageError: another file is in the way, or the file cannot be written.
    """
    if out.exists() and not _holds(out, is_ours):
        raise UsageError(f"{out} exists and is not {what} of josh; give another --out, or move it away")
    part = out.with_name(f"{out.name}.part")
    try:
        part.write_text(f"{json.dumps(content, indent=1)}\n", encoding="utf-8")
        part.replace(out)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UsageError(f"cannot write {out}: {error.strerror}") from None


def _holds(path: Path, is_ours: Callable[[Any], bool]) -> bool:
    try:
        return is_ours(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
