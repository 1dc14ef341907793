"""`josh export`: training files from recorded runs, each with a manifest of its runs, tasks and settings."""

import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any, BinaryIO, Final

from josh.config import NOTHING, listed
from josh.dialogue import Speaker
from josh.errors import UsageError
from josh.messages import dumps
from josh.outcomes import Episode
from josh.runs.export.files import Spooled, copy_rows, print_written, sources_in_manifest, writing
from josh.runs.export.formats import CREDITED, FORMATS, IN_TOKENS, LABELLED, PAIRED, ExportRow, export_rows
from josh.runs.export.paths import ALL, GOLDEN, LOST, SUCCESSFUL, PathSelection, best_of_tasks
from josh.runs.record.folder import EPISODES, is_imported, read_config
from josh.runs.record.stored import stored_episodes
from josh.runs.record.summary import counted
from josh.runs.registry import EXPORTS

MIN_MARGIN: Final = 0.01
"""Default minimum difference in reward between the two turns of a pair."""


class NoRowsError(UsageError):
    """The runs give no row in the chosen format."""


def choose(
    form: str,
    paths: str | None,
    top: int | None,
    min_margin: float | None,
    learner: str = Speaker.AGENT,
    min_confirmed: float | None = None,
    credit: bool = False,
) -> PathSelection:
    """Returns which paths to export.

    Args:
        form: the format, a key of `FORMATS`.
        paths: see `PathSelection`; None for `successful` in paired formats, `all` in tokens, else `golden`.
        top: see `PathSelection`.
        min_margin: see `PathSelection`; None for `MIN_MARGIN`.
        learner: the speaker to train, `agent` or `user`.
        min_confirmed: see `PathSelection`.
        credit: see `PathSelection`.

    Raises:
        UsageError: a value is invalid, alone or with another one.
    """
    if form not in FORMATS:
        raise UsageError(f"no format named {form!r}; known: {', '.join((*FORMATS, *EXPORTS))}")
    if paths not in (None, GOLDEN, SUCCESSFUL, LOST, ALL):
        raise UsageError(f"paths is {paths!r}; give {GOLDEN}, {SUCCESSFUL}, {LOST} or {ALL}")
    if paths in (LOST, ALL) and form in (*PAIRED, *LABELLED):
        raise UsageError(
            f"paths is {paths!r}, but {form} compares lost paths with wins; give another format or {GOLDEN}"
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
    paths = paths or (SUCCESSFUL if paired else ALL if form in IN_TOKENS else GOLDEN)
    if paths == GOLDEN and top not in (None, 1):
        raise UsageError(f"top is {top}, but a tree has one {GOLDEN} path; leave it out, or give --paths {SUCCESSFUL}")
    if min_confirmed is not None and not 0 < min_confirmed <= 1:
        raise UsageError(f"min_confirmed is {min_confirmed}; give a share above 0, at most 1")
    if min_confirmed is not None and paths in (LOST, ALL):
        raise UsageError(f"min_confirmed is {min_confirmed}, but paths is {paths!r}, and only wins are confirmed")
    if credit and form not in CREDITED:
        raise UsageError(f"credit is given, but a row of {form} has no place for it; give {listed(CREDITED)}")
    margin = MIN_MARGIN if min_margin is None else min_margin
    return PathSelection(paths, 1 if paths == GOLDEN else top, margin, Speaker(learner), min_confirmed, credit)


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
    if choice.min_confirmed is not None:
        _require_confirmed(runs, configs, choice.min_confirmed)
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

    with writing(out, form) as made, tempfile.TemporaryFile(dir=out.parent) as spool:
        entries = _kept(_spooled(spool, found(), LABELLED.get(form, ""), dropped), dropped)
        if not entries:
            way = _way_out(form, configs)
            raise NoRowsError(f"{' and '.join(map(str, runs))}: no row for {form}{because(dropped)}{way}")
        if form in LABELLED:
            Random(seed).shuffle(entries)
        digest = copy_rows(spool, entries, made.rows)
        labels = Counter(str(entry.label).lower() for entry in entries if entry.label is not None)
        settings = asdict(choice) | {"seed": seed}
        if form not in PAIRED:
            del settings["min_margin"]
        for name in ("min_confirmed", "credit"):
            if not settings[name]:
                del settings[name]
        made.manifest |= {
            "format": form,
            "rows": len(entries),
            **({"labels": dict(sorted(labels.items()))} if labels else {}),
            "sha256": digest,
            "settings": settings,
            "trees": trees,
            "dropped": {reason: count for reason, count in sorted(dropped.items()) if count},
            "tasks": list(tasks),
            "runs": sources_in_manifest(runs, configs, out.parent),
        }
    return made.manifest


def _require_confirmed(runs: Sequence[Path], configs: Sequence[Mapping[str, Any]], least: float) -> None:
    """Raises UsageError where a run has confirmed none of its wins."""
    for folder, config in zip(runs, configs, strict=True):
        if not config.get("settings", {}).get("confirming", {}).get("confirm"):
            raise UsageError(
                f"min_confirmed is {least}, but {folder} confirmed no win; search with --confirm K, or leave it out"
            )


def _way_out(form: str, configs: Sequence[Mapping[str, Any]]) -> str:
    """Returns what to do where runs that were imported give no row, as the end of an error's text; else nothing."""
    if not all(map(is_imported, configs)):
        return ""
    if form in PAIRED:
        return "; imported dialogues have one path each, so they make no pairs: give --format sft"
    if form in LABELLED:
        return "; only dialogues with rewards make such rows: give --format sft --paths all for the others"
    return "; give --paths all to take dialogues without a win, too"


def to_stream(stream: BinaryIO, runs: Sequence[Path], form: str, choice: PathSelection, seed: int) -> dict[str, Any]:
    """Write the rows of some runs to a stream, such as stdout; see `export`. Returns the manifest."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "rows.jsonl"
        manifest = export(runs, out, form, choice, seed)
        with out.open("rb") as rows:
            shutil.copyfileobj(rows, stream)
    stream.flush()
    return manifest


def _episodes(runs: Sequence[Path], dropped: Counter[str]) -> Iterator[tuple[int, Episode]]:
    """Yields the valid episodes of some runs, each with the index of its run; counts damaged lines in `dropped`."""
    for run, folder in enumerate(runs):
        damaged: list[int] = []
        for _, episode in stored_episodes(folder / EPISODES, damaged):
            yield run, episode
        dropped["damaged lines"] += len(damaged)


@dataclass(frozen=True, slots=True)
class _Entry(Spooled):
    """A row in the temporary file, and the keys that decide whether it is kept."""

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


def because(dropped: Mapping[str, int]) -> str:
    """Returns why there are no rows, as the end of an error's text."""
    reasons = ", ".join(f"{reason} ({count})" for reason, count in sorted(dropped.items()) if count)
    return f"; left out: {reasons}" if reasons else "; it has no whole episode"


def print_summary(manifest: Mapping[str, Any], out: Path | None, earlier: Mapping[str, Any] = NOTHING) -> None:
    """Print the numbers of rows, tasks and trees of an export, and where it was written.

    Args:
        manifest: the manifest.
        out: the file; None where the rows went to stdout, so that the summary goes to stderr.
        earlier: the manifest of the export that was there before; empty for none.
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
        print_written(manifest, out, earlier)
