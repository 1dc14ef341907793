"""`josh export`: training files from recorded runs, each with a manifest that says what went into it."""

import errno
import hashlib
import json
import os
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
from josh.runs.export.formats import FORMATS, PAIRED, ExportRow, export_rows
from josh.runs.export.paths import GOLDEN, LOST, SUCCESSFUL, PathSelection, best_of_tasks
from josh.runs.record.folder import EPISODES, read_config, version
from josh.runs.record.stored import stored_episodes
from josh.runs.record.summary import counted

MIN_MARGIN: Final = 0.01


def manifest_of(file: Path) -> Path:
    """Where the manifest of an exported file stands."""
    return file.with_name(f"{file.name}.manifest.json")


class NoRowsError(UsageError):
    """There is nothing in the runs that could be exported so."""


def choose(
    form: str, paths: str | None, top: int | None, min_margin: float | None, learner: str = Speaker.AGENT
) -> PathSelection:
    """What to export: unless told otherwise, of conversations and verdicts every tree's best path, of pairs all wins.

    Raises:
        UsageError: a value makes no sense.
    """
    if form not in FORMATS:
        raise UsageError(f"no format named {form!r}; known: {', '.join(FORMATS)}")
    if paths not in (None, GOLDEN, SUCCESSFUL, LOST):
        raise UsageError(f"paths is {paths!r}; give {GOLDEN}, {SUCCESSFUL} or {LOST}")
    if paths == LOST and form in (*PAIRED, "kto"):
        raise UsageError(f"paths is {LOST!r}, but {form} sets losers against winners; give another format or {GOLDEN}")
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
    """Raises UsageError where what stands in an export's place is no earlier export."""
    if (out.exists() or out.is_symlink()) and not out.is_dir() and not manifest_of(out).exists():
        raise UsageError(
            f"{out} is there and is no export, for it has no {manifest_of(out).name} beside it; give another --out, or "
            "take it away"
        )


def export(runs: Sequence[Path], out: Path, form: str, choice: PathSelection, seed: int) -> dict[str, Any]:
    """Write the rows that some runs have to give, and their manifest; both whole or not at all.

    The trees are read one at a time, twice where they are ranked against each other. Rows stand in the order of the
    runs and their trees, those of `kto` shuffled.

    Args:
        runs: the runs' folders.
        out: the file to write; one that is there is replaced.
        form: see `rows.FORMATS`.
        choice: which parts of the trees.
        seed: of the order of shuffled rows.

    Returns:
        The manifest.

    Raises:
        UsageError: a folder is no run, there is no row to write, or the file cannot be written.
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

    parts = {path: path.with_name(f"{path.name}.part") for path in (out, manifest_of(out))}
    folder_there = next((path for path in parts if path.is_dir()), None)
    if folder_there is not None:
        raise UsageError(f"cannot write {folder_there}: {os.strerror(errno.EISDIR)}")
    try:
        with tempfile.TemporaryFile(dir=out.parent) as spool:
            entries = _kept(_spooled(spool, found()), dropped)
            if not entries:
                raise NoRowsError(f"{' and '.join(map(str, runs))}: no row for {form}{_because(dropped)}")
            if form == "kto":
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
                {"run": folder.resolve().name, "folder": str(folder.resolve())}
                | {name: config[name] for name in ("tasks_digest", "settings") if name in config}
                for folder, config in zip(runs, configs, strict=True)
            ],
            "josh": version("josh-dialogue"),
        }
        parts[manifest_of(out)].write_text(f"{json.dumps(manifest, indent=2)}\n", encoding="utf-8")
        replace_all(parts)
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}") from None
    finally:
        for part in parts.values():
            with suppress(OSError):
                part.unlink()
    return manifest


def _episodes(runs: Sequence[Path], dropped: Counter[str]) -> Iterator[tuple[int, Episode]]:
    """The whole episodes of some runs, with the number of their run."""
    for run, folder in enumerate(runs):
        damaged: list[int] = []
        for _, episode in stored_episodes(folder / EPISODES, damaged):
            yield run, episode
        dropped["damaged lines"] += len(damaged)


def replace_all(parts: Mapping[Path, Path]) -> None:
    """Put files in the places of others, or leave all as they were and raise OSError.

    Args:
        parts: the files by where they go.
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
    """A row's place in the spool, and what decides whether it is kept."""

    start: int
    length: int
    key: bytes
    contradicts: bytes | None
    label: bool | None


def _spooled(spool: BinaryIO, rows: Iterator[ExportRow]) -> Iterator[_Entry]:
    start = 0
    for candidate in rows:
        # Half a surrogate pair becomes an escape, which JSON has for it.
        line = f"{dumps(candidate.row)}\n".encode("utf-8", "backslashreplace")
        spool.write(line)
        yield _Entry(start, len(line), candidate.key, candidate.contradicts, candidate.row.get("label"))
        start += len(line)


def _kept(entries: Iterator[_Entry], dropped: Counter[str]) -> list[_Entry]:
    """The first of the rows that say the same, and none that another one contradicts."""
    first: dict[bytes, _Entry] = {}
    for entry in entries:
        if first.setdefault(entry.key, entry) is not entry:
            dropped["repeated rows"] += 1
    kept = [entry for entry in first.values() if entry.contradicts not in first]
    dropped["contradictory rows"] += len(first) - len(kept)
    return kept


def _copy(spool: BinaryIO, entries: Sequence[_Entry], path: Path) -> str:
    """Write rows to a file, in the order given; the file's SHA-256."""
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
    return f"; left out: {reasons}" if reasons else "; it holds no whole episode"


def print_summary(manifest: Mapping[str, Any], out: Path) -> None:
    """Print what was exported."""
    labels = ", ".join(f"{count} {label}" for label, count in manifest.get("labels", {}).items())
    trees = f"{counted(len(manifest['tasks']), 'task')}, {counted(manifest['trees'], 'tree')}"
    print(f"{manifest['format']:<15} {counted(manifest['rows'], 'row')}{f' ({labels})' if labels else ''} from {trees}")
    for reason, count in manifest["dropped"].items():
        print(f"left out        {reason}: {count}")
    print(f"written to      {out}, {manifest_of(out).name}")
