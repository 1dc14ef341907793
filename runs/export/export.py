"""`josh export`: training files from recorded runs, each with a manifest of its runs, tasks and settings."""

import errno
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any, BinaryIO, Final

from josh.dialogue import Speaker
from josh.errors import UsageError
from josh.messages import dumps
from josh.outcomes import Episode
from josh.runs.export.formats import FORMATS, LABELLED, PAIRED, ExportRow, export_rows
from josh.runs.export.paths import GOLDEN, LOST, SUCCESSFUL, PathSelection, best_of_tasks
from josh.runs.export.sharegpt import DATASETS
from josh.runs.record.folder import EPISODES, read_config, version
from josh.runs.record.stored import stored_episodes
from josh.runs.record.summary import counted

MIN_MARGIN: Final = 0.01
"""Default minimum difference in reward between the two turns of a pair."""
DATASET_INFO: Final = "dataset_info.json"
"""LLaMA-Factory's list of datasets; an export in one of its formats adds its file to it."""
_ABSOLUTE: Final = re.compile(r"(^|,|hf:)(?:/|~/|[A-Za-z]:[\\/])(?:[^,]*[\\/])?([^,\\/]+)")


def manifest_of(file: Path) -> Path:
    """Returns the path of an exported file's manifest."""
    return file.with_name(f"{file.name}.manifest.json")


class NoRowsError(UsageError):
    """The runs give no row in the chosen format."""


def choose(
    form: str, paths: str | None, top: int | None, min_margin: float | None, learner: str = Speaker.AGENT
) -> PathSelection:
    """Returns which paths to export.

    Args:
        form: the format, a key of `FORMATS`.
        paths: see `PathSelection`; None for `successful` in paired formats, else `golden`.
        top: see `PathSelection`.
        min_margin: see `PathSelection`; None for `MIN_MARGIN`.
        learner: the speaker to train, `agent` or `user`.

    Raises:
        UsageError: a value is invalid, alone or with another one.
    """
    if form not in FORMATS:
        raise UsageError(f"no format named {form!r}; known: {', '.join(FORMATS)}, inspect")
    if paths not in (None, GOLDEN, SUCCESSFUL, LOST):
        raise UsageError(f"paths is {paths!r}; give {GOLDEN}, {SUCCESSFUL} or {LOST}")
    if paths == LOST and form in (*PAIRED, *LABELLED):
        raise UsageError(
            f"paths is {LOST!r}, but {form} compares lost paths with wins; give another format or {GOLDEN}"
        )
    if top is not None and top < 1:
        raise UsageError(f"top is {top}; give 1 or more")
    if min_margin is not None and not 0 <= min_margin < float("inf"):
        raise UsageError(f"min_margin is {min_margin}; give 0 or more")
    if learner not in tuple(Speaker):
        raise UsageError(f"learner is {learner!r}; give {' or '.join(Speaker)}")
    paired = form in PAIRED
    if min_margin is not None and not paired:
        raise UsageError(f"min_margin is given, but {form} has no pairs; leave it out")
    paths = paths or (SUCCESSFUL if paired else GOLDEN)
    if paths == GOLDEN and top not in (None, 1):
        raise UsageError(f"top is {top}, but a tree has one {GOLDEN} path; leave it out, or give --paths {SUCCESSFUL}")
    margin = MIN_MARGIN if min_margin is None else min_margin
    return PathSelection(paths, 1 if paths == GOLDEN else top, margin, Speaker(learner))


def check_free(out: Path) -> None:
    """Raises UsageError where a file that is not an earlier export would be overwritten."""
    if (out.exists() or out.is_symlink()) and not out.is_dir() and not manifest_of(out).exists():
        raise UsageError(
            f"{out} exists and is not an export: {manifest_of(out).name} is not beside it; give another --out, or "
            "move it away"
        )


def export(runs: Sequence[Path], out: Path, form: str, choice: PathSelection, seed: int) -> dict[str, Any]:
    """Write the rows of some runs and their manifest, both or neither.

    One tree is in memory at a time; the trees are read twice where their paths are ranked across runs. The rows are in
    the order of the runs and their trees; rows with labels are shuffled.

    Args:
        runs: the runs' folders.
        out: the file to write; an existing file is replaced.
        form: see `formats.FORMATS`.
        choice: which paths of the trees.
        seed: seed of the shuffling.

    Returns:
        The manifest.

    Raises:
        NoRowsError: there is no row to write.
        UsageError: a folder is not a run, or the file cannot be written.
    """
    configs = [read_config(folder) for folder in runs]
    dropped: Counter[str] = Counter()
    tasks: dict[str, None] = {}
    trees = 0

    def found() -> Iterator[ExportRow]:
        nonlocal trees
        ranked = choice.paths == SUCCESSFUL and choice.top is not None
        best = best_of_tasks(_episodes(runs, Counter()), choice) if ranked else {}
        for run, episode in _episodes(runs, dropped):
            trees += 1
            only = best.get((run, episode.task.id), frozenset()) if ranked else None
            for candidate in export_rows(form, episode, choice, dropped, only):
                tasks[episode.task.id] = None
                yield candidate

    info = _dataset_info(out, DATASETS[form]) if form in DATASETS else None
    files = (out, manifest_of(out), *([out.parent / DATASET_INFO] if info else ()))
    parts = {path: path.with_name(f"{path.name}.part") for path in files}
    folder_there = next((path for path in parts if path.is_dir()), None)
    if folder_there is not None:
        raise UsageError(f"cannot write {folder_there}: {os.strerror(errno.EISDIR)}")
    try:
        with tempfile.TemporaryFile(dir=out.parent) as spool:
            entries = _kept(_spooled(spool, found(), LABELLED.get(form, ""), dropped), dropped)
            if not entries:
                raise NoRowsError(f"{' and '.join(map(str, runs))}: no row for {form}{_because(dropped)}")
            if form in LABELLED:
                Random(seed).shuffle(entries)
            digest = _copy(spool, entries, parts[out])
        labels = Counter(str(entry.label).lower() for entry in entries if entry.label is not None)
        settings = asdict(choice) | {"seed": seed}
        if form not in PAIRED:
            del settings["min_margin"]
        manifest = {
            "format": form,
            "rows": len(entries),
            **({"labels": dict(sorted(labels.items()))} if labels else {}),
            "sha256": digest,
            "settings": settings,
            "trees": trees,
            "dropped": {reason: count for reason, count in sorted(dropped.items()) if count},
            "tasks": list(tasks),
            "runs": [
                {"run": folder.resolve().name, **_relative(folder, out.parent)}
                | {name: _portable(config[name]) for name in ("tasks_digest", "settings") if name in config}
                for folder, config in zip(runs, configs, strict=True)
            ],
            "josh": version("josh-dialogue"),
        }
        parts[manifest_of(out)].write_text(f"{json.dumps(manifest, indent=2)}\n", encoding="utf-8")
        if info:
            parts[out.parent / DATASET_INFO].write_text(f"{json.dumps(info, indent=2)}\n", encoding="utf-8")
        replace_all(parts)
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}") from None
    finally:
        for part in parts.values():
            with suppress(OSError):
                part.unlink()
    return manifest


def to_stream(stream: BinaryIO, runs: Sequence[Path], form: str, choice: PathSelection, seed: int) -> dict[str, Any]:
    """Write the rows of some runs to a stream, such as stdout; see `export`. Returns the manifest."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "rows.jsonl"
        manifest = export(runs, out, form, choice, seed)
        with out.open("rb") as rows:
            shutil.copyfileobj(rows, stream)
    stream.flush()
    return manifest


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
        raise UsageError(f"cannot add {out.stem} to {path}: {error}; move the file away") from None
    if not isinstance(found, dict):
        raise UsageError(f"cannot add {out.stem} to {path}: it is not a JSON object; move the file away")
    return found | entry


def _relative(folder: Path, home: Path) -> dict[str, str]:
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


def _episodes(runs: Sequence[Path], dropped: Counter[str]) -> Iterator[tuple[int, Episode]]:
    """Yields the valid episodes of some runs, each with the index of its run; counts damaged lines in `dropped`."""
    for run, folder in enumerate(runs):
        damaged: list[int] = []
        for _, episode in stored_episodes(folder / EPISODES, damaged):
            yield run, episode
        dropped["damaged lines"] += len(damaged)


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


@dataclass(frozen=True, slots=True)
class _Entry:
    """The position of a row in the temporary file, and the keys that decide whether it is kept."""

    start: int
    length: int
    key: bytes
    contradicts: bytes | None
    label: bool | None


def _spooled(spool: BinaryIO, rows: Iterator[ExportRow], label: str, dropped: Counter[str]) -> Iterator[_Entry]:
    start = 0
    for candidate in rows:
        try:
            line = f"{dumps(candidate.row)}\n".encode()
        except UnicodeEncodeError:
            dropped["half of a surrogate pair, which is not text"] += 1
            continue
        spool.write(line)
        yield _Entry(start, len(line), candidate.key, candidate.contradicts, candidate.row.get(label))
        start += len(line)


def _kept(entries: Iterator[_Entry], dropped: Counter[str]) -> list[_Entry]:
    """Returns the first of equal rows, and no row that another row contradicts; counts the others in `dropped`."""
    first: dict[bytes, _Entry] = {}
    for entry in entries:
        if first.setdefault(entry.key, entry) is not entry:
            dropped["repeated rows"] += 1
    kept = [entry for entry in first.values() if entry.contradicts not in first]
    dropped["contradictory rows"] += len(first) - len(kept)
    return kept


def _copy(spool: BinaryIO, entries: Sequence[_Entry], path: Path) -> str:
    """Write rows to a file in the given order; returns the file's SHA-256 as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for entry in entries:
            spool.seek(entry.start)
            line = spool.read(entry.length)
            digest.update(line)
            file.write(line)
    return digest.hexdigest()


def _because(dropped: Mapping[str, int]) -> str:
    reasons = ", ".join(f"{reason} ({count})" for reason, count in sorted(dropped.items()) if count)
    return f"; left out: {reasons}" if reasons else "; it has no whole episode"


def print_summary(manifest: Mapping[str, Any], out: Path | None) -> None:
    """Print the numbers of rows, tasks and trees of an export, and where it was written.

    Args:
        manifest: the manifest.
        out: the file; None where the rows went to stdout, so that the summary goes to stderr.
    """
    to = sys.stdout if out else sys.stderr
    labels = ", ".join(f"{count} {label}" for label, count in manifest.get("labels", {}).items())
    trees = f"{counted(len(manifest['tasks']), 'task')}, {counted(manifest['trees'], 'tree')}"
    print(
        f"{manifest['format']:<15} {counted(manifest['rows'], 'row')}{f' ({labels})' if labels else ''} from {trees}",
        file=to,
    )
    for reason, count in manifest["dropped"].items():
        print(f"left out        {reason}: {count}", file=to)
    if out:
        info = f", {DATASET_INFO}" if manifest["format"] in DATASETS else ""
        print(f"written to      {out}, {manifest_of(out).name}{info}")
