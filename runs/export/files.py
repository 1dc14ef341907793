"""The files of an export: the rows, their manifest and LLaMA-Factory's list, written together or not at all."""

import errno
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from josh.errors import UsageError
from josh.runs.export.sharegpt import DATASETS
from josh.runs.record.folder import version
from josh.texts import json_fault

DATASET_INFO: Final = "dataset_info.json"
"""LLaMA-Factory's list of datasets; an export in one of its formats adds its file to it."""
MANIFEST: Final = ".manifest.json"
"""The end of the name of a manifest, after that of its file."""
_ABSOLUTE: Final = re.compile(r"(^|,|hf:)(?:/|~/|[A-Za-z]:[\\/])(?:[^,]*[\\/])?([^,\\/]+)")


def manifest_of(file: Path) -> Path:
    """Returns the path of an exported file's manifest."""
    return file.with_name(f"{file.name}{MANIFEST}")


def check_free(out: Path) -> Mapping[str, Any]:
    """Returns the manifest of the earlier export that would be replaced; empty for none, or a damaged one.

    Raises:
        UsageError: a file that is not an earlier export would be replaced.
    """
    if (out.exists() or out.is_symlink()) and not out.is_dir() and not manifest_of(out).exists():
        raise UsageError(
            f"{out} exists and is not an export: {manifest_of(out).name} is not beside it; give another --out, or "
            "move it away"
        )
    try:
        found = json.loads(manifest_of(out).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and out.exists() else {}


def print_written(manifest: Mapping[str, Any], out: Path, earlier: Mapping[str, Any]) -> None:
    """Print which files an export wrote, and which other rows it replaced.

    Args:
        manifest: its manifest.
        out: its file.
        earlier: the manifest of the export that was there before; empty for none.
    """
    if earlier and earlier.get("sha256") != manifest["sha256"]:
        rows = earlier.get("rows")
        print(f"replaced        {rows} row{'' if rows == 1 else 's'} of {earlier.get('format')}, an earlier export")
    info = [out.parent / DATASET_INFO] if manifest["format"] in DATASETS else []
    print(f"written to      {', '.join(map(str, (out, manifest_of(out), *info)))}")


@dataclass(frozen=True, slots=True)
class Spooled:
    """The position of a row in a temporary file."""

    start: int
    length: int


@dataclass(slots=True)
class Writing:
    """The files of one export while they are written.

    Attributes:
        rows: where the rows go.
        manifest: the manifest; the caller fills it, without the version of josh.
    """

    rows: Path
    manifest: dict[str, Any] = field(default_factory=dict)


@contextmanager
def writing(out: Path, form: str) -> Iterator[Writing]:
    """Write the files of an export under other names; when the block ends without an error, rename them.

    Raises:
        UsageError: a file cannot be written; all files are as before.
    """
    info = _dataset_info(out, DATASETS[form]) if form in DATASETS else None
    files = (out, manifest_of(out), *([out.parent / DATASET_INFO] if info else ()))
    parts = {path: path.with_name(f"{path.name}.part") for path in files}
    folder_there = next((path for path in parts if path.is_dir()), None)
    if folder_there is not None:
        raise UsageError(f"cannot write {folder_there}: {os.strerror(errno.EISDIR)}")
    export = Writing(parts[out])
    try:
        yield export
        export.manifest["josh"] = version("josh-dialogue")
        parts[manifest_of(out)].write_text(f"{json.dumps(export.manifest, indent=2)}\n", encoding="utf-8")
        if info:
            parts[out.parent / DATASET_INFO].write_text(f"{json.dumps(info, indent=2)}\n", encoding="utf-8")
        replace_all(parts)
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}") from None
    finally:
        for part in parts.values():
            with suppress(OSError):
                part.unlink()


def copy_rows(spool: BinaryIO, rows: Iterable[Spooled], path: Path) -> str:
    """Write rows of a temporary file to another one in the given order; returns the SHA-256 as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for row in rows:
            spool.seek(row.start)
            line = spool.read(row.length)
            digest.update(line)
            file.write(line)
    return digest.hexdigest()


def sources_in_manifest(runs: Sequence[Path], configs: Sequence[Mapping[str, Any]], home: Path) -> list[dict[str, Any]]:
    """Returns the runs of an export for its manifest.

    Args:
        runs: the runs' folders.
        configs: their `config.json`.
        home: the folder of the exported file.
    """
    return [
        {"run": folder.resolve().name, **relative(folder, home)}
        | {name: _portable(config[name]) for name in ("tasks_digest", "settings") if name in config}
        for folder, config in zip(runs, configs, strict=True)
    ]


def _dataset_info(out: Path, dataset: Mapping[str, Any]) -> dict[str, Any]:
    """Returns LLaMA-Factory's `dataset_info.json` with an entry for a file; entries of other files stay.

    Raises:
        UsageError: the file is there, and is not a JSON object.
    """
    path = out.parent / DATASET_INFO
    entry = {out.stem: {"file_name": out.name, **dataset}}
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return entry
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"cannot add {out.stem} to {path}: {json_fault(error)}; move the file away") from None
    if not isinstance(found, dict):
        raise UsageError(f"cannot add {out.stem} to {path}: it is not a JSON object; move the file away")
    return found | entry


def relative(folder: Path, home: Path) -> dict[str, str]:
    """Returns the path of a run from the folder of an exported file; empty if only the root is common to both."""
    here, there = home.resolve(), folder.resolve()
    try:
        common = Path(os.path.commonpath((here, there)))
    except ValueError:  # another drive
        return {}
    return {} if common == Path(common.anchor) else {"folder": os.path.relpath(there, here)}


def _portable(value: Any) -> Any:
    """Returns settings in which each absolute path of this machine is only its last name."""
    if isinstance(value, Mapping):
        return {name: _portable(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_portable(each) for each in value]
    if not isinstance(value, str):
        return value
    return _ABSOLUTE.sub(r"\1\2", value)


def replace_all(parts: Mapping[Path, Path]) -> None:
    """Move files to their final paths, all or none; existing files there are replaced.

    Args:
        parts: the current path of each file, by its final path.

    Raises:
        OSError: a file cannot be moved; all final paths are as before.
    """
    before = {path: path.with_name(f"{path.name}.before") for path in parts}
    done: list[Path] = []
    try:
        for path, part in parts.items():
            done.append(path)
            if path.exists():
                path.replace(before[path])
            part.replace(path)
    except BaseException:
        for path in done:
            if before[path].exists():
                before[path].replace(path)
            elif not parts[path].exists():
                path.unlink(missing_ok=True)
        raise
    for path in before.values():
        path.unlink(missing_ok=True)
