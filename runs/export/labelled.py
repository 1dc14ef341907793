"""`josh export --label`: the files of an export of labelled pairs; `labels.py` says which pairs it takes.

The rows depend on the set of trees, the settings and the seed; neither the order of the sources nor their number
matters. So the shards of a run give the same bytes as the whole run.
"""

import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from josh.config import NOTHING
from josh.dialogue import Speaker
from josh.errors import UsageError
from josh.messages import dumps
from josh.outcomes import Episode
from josh.runs.export.export import NoRowsError
from josh.runs.export.files import Spooled, copy_rows, print_written, sources_in_manifest, writing
from josh.runs.export.labels import (
    DEFAULT_LABELS,
    FIXED,
    LABEL_FORMS,
    LabelForm,
    LabelledPair,
    LabelSelection,
    Yields,
    labelled_pairs,
    matched,
)
from josh.runs.record.folder import EPISODES, read_config, read_summary
from josh.runs.record.stored import stored_episodes
from josh.runs.record.summary import counted


class TreeSource(Protocol):
    """Trees with labelled pairs, such as those of a run."""

    @property
    def name(self) -> str:
        """Its name in messages."""
        ...

    @property
    def directives(self) -> Collection[str]:
        """The texts of its directives, which no row may hold."""
        ...

    def episodes(self, damaged: list[int]) -> Iterator[Episode]:
        """Yields its episodes; appends the numbers of damaged lines to `damaged`."""
        ...

    def manifest(self, home: Path) -> dict[str, Any]:
        """Returns its entry in the manifest of a file in the folder `home`."""
        ...


class RunSource:
    """The trees of a recorded run."""

    def __init__(self, folder: Path) -> None:
        """Args: folder: the run's folder. Raises UsageError where it is not a run."""
        self._folder = folder
        self._config = read_config(folder)

    @property
    def name(self) -> str:
        """The run's folder, as text."""
        return str(self._folder)

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self._folder

    @property
    def directives(self) -> Collection[str]:
        """The texts that the run recorded."""
        texts = self._config.get("directives")
        return [text for text in texts.values() if isinstance(text, str)] if isinstance(texts, Mapping) else ()

    def episodes(self, damaged: list[int]) -> Iterator[Episode]:
        """Yields the stored episodes."""
        return (episode for _, episode in stored_episodes(self._folder / EPISODES, damaged))

    def manifest(self, home: Path) -> dict[str, Any]:
        """Returns the run with its settings."""
        return sources_in_manifest([self._folder], [self._config], home)[0]


def labels_of(runs: Sequence[Path]) -> tuple[str, ...]:
    """Returns the labels of the pairs of some runs; `resist` and `accept` where the runs have no others."""
    found = {str(label) for run in runs for label in (read_summary(run).get("pairs") or {}).get("labels") or ()}
    return DEFAULT_LABELS if found <= set(DEFAULT_LABELS) else tuple(sorted(found))


@dataclass(frozen=True, slots=True)
class _Unit:
    """A pair whose rows are in the temporary file, with its rank among all pairs."""

    label: str
    part: str
    task: str
    questions: tuple[str, ...]
    key: bytes
    contradicts: bytes
    rank: tuple[bytes, bytes]
    rows: tuple[Spooled, ...]


def export_labelled(
    sources: Sequence[TreeSource],
    out: Path,
    form: str,
    choice: LabelSelection,
    seed: int,
    forms: Mapping[str, LabelForm] = LABEL_FORMS,
) -> dict[str, Any]:
    """Write the rows of labelled pairs and their manifest, both or neither.

    Args:
        sources: where the trees come from.
        out: the file to write; an existing file is replaced.
        form: a key of `forms`.
        choice: which pairs.
        seed: decides which pairs are taken where there are too many, and the order of the rows.
        forms: the formats.

    Returns:
        The manifest; `yields` has the numbers of every stage.

    Raises:
        NoRowsError: there is no row to write.
        UsageError: a source cannot be read, or the file cannot be written.
    """
    yields = Yields(choice.known)
    damaged: list[int] = []
    with writing(out, form) as made, tempfile.TemporaryFile(dir=out.parent) as spool:
        units = _spooled(spool, _pairs(sources, forms[form], choice, yields, damaged), seed, yields)
        kept = _matched(_distinct(units, yields), choice, yields)
        if not kept:
            raise NoRowsError(f"{', '.join(one.name for one in sources)}: {_why_none(yields, choice, len(damaged))}")
        digest = copy_rows(spool, (row for unit in kept for row in unit.rows), made.rows)
        made.manifest |= {
            "format": form,
            "rows": sum(len(unit.rows) for unit in kept),
            "labels": {label: count for label, count in sorted(yields.taken.items()) if count},
            "sha256": digest,
            "settings": {name: value for name, value in asdict(choice).items() if value not in (None, {})}
            | {"seed": seed},
            "trees": yields.trees,
            "yields": yields.as_json(),
            "dropped": {"damaged lines": len(damaged)} if damaged else {},
            "tasks": sorted({unit.task for unit in kept}),
            "runs": [one.manifest(out.parent) for one in sources],
        }
        if not all("run" in one for one in made.manifest["runs"]):  # nobody can look up their questions in the runs
            made.manifest["questions"] = sorted({name for unit in kept for name in unit.questions})
    return made.manifest


def _pairs(
    sources: Sequence[TreeSource], form: LabelForm, choice: LabelSelection, yields: Yields, damaged: list[int]
) -> Iterator[LabelledPair]:
    """Yields the labelled pairs of all sources. Raises UsageError where both speakers have some."""
    learner: Speaker | None = None
    for source in sources:
        for episode in source.episodes(damaged):
            if episode.no_rows:
                yields.left_out[f"trees {episode.no_rows}"] += 1
                continue
            yield from labelled_pairs(form, episode, choice, source.directives, yields)
            speakers = {episode.tree.nodes[pair.better].speaker for pair in episode.pairs if pair.label}
            if choice.learner is None and len(speakers | ({learner} if learner else set())) > 1:
                raise UsageError(f"{source.name}: both speakers have labelled pairs; give --learner user or agent")
            learner = next(iter(speakers), learner)


def _spooled(spool: BinaryIO, pairs: Iterator[LabelledPair], seed: int, yields: Yields) -> Iterator[_Unit]:
    start = 0
    for pair in pairs:
        try:
            lines = [f"{dumps(row)}\n".encode() for row in pair.rows]
        except UnicodeEncodeError:
            yields.left_out["half of a surrogate pair, which is not text"] += 1
            continue
        rows = []
        for line in lines:
            spool.write(line)
            rows.append(Spooled(start, len(line)))
            start += len(line)
        # The second part decides between pairs of the same text with other columns.
        rank = _hash(str(seed).encode() + pair.place), _hash(b"".join(lines))
        yield _Unit(pair.label, pair.part, pair.task, pair.questions, pair.key, pair.contradicts, rank, tuple(rows))


def _hash(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()


def _distinct(units: Iterator[_Unit], yields: Yields) -> list[_Unit]:
    """Returns one of equal pairs, that with the lowest rank, and no pair that another one contradicts; by rank."""
    first: dict[bytes, _Unit] = {}
    for unit in units:
        known = first.setdefault(unit.key, unit)
        if known is not unit:
            yields.repeated += 1
            first[unit.key] = min(known, unit, key=lambda one: one.rank)
    kept = [unit for unit in first.values() if unit.contradicts not in first]
    yields.contradictory += len(first) - len(kept)
    return sorted(kept, key=lambda unit: unit.rank)


def _matched(units: Sequence[_Unit], choice: LabelSelection, yields: Yields) -> list[_Unit]:
    """Returns the pairs of the chosen parts, each set cut to its size, in the given order."""
    for unit in units:
        yields.parts[unit.part][unit.label] += 1
    room = {part: matched(yields.parts[part], choice, part) for part in choice.parts}
    kept = []
    for unit in units:
        if room.get(unit.part, {}).get(unit.label, 0):
            room[unit.part][unit.label] -= 1
            yields.taken[unit.label] += 1
            kept.append(unit)
    return kept


def _why_none(yields: Yields, choice: LabelSelection, damaged: int) -> str:
    """Returns why an export has no rows, in one line with a way out.

    Args:
        yields: the numbers of the stages.
        choice: the export.
        damaged: number of lines that are no JSON.
    """
    counts = yields.as_json()
    if not yields.trees:
        return f"no whole episode to export{f'; damaged lines: {damaged}' if damaged else ''}"
    if yields.given_up == yields.trees:
        return (
            f"errors ended all of its {counted(yields.trees, 'tree')}; go on with the run (josh --resume), then export"
        )
    if not yields.pairs:
        return (
            f"the speakers agree in {yields.agreed} of {counted(yields.trees, 'tree')}, so there is no pair to label"
            if yields.agreed
            else "no pairs of turns are labelled; search a world whose rewards label them, with a strategy in which "
            "the learner's turns branch (--strategy fan_out)"
        )
    if not yields.labels:
        others = [reason for reason in yields.none if reason.startswith("turns of the ")]
        way = "; leave --learner out, or give the other speaker" if others else ""
        return f"none of the {counted(yields.pairs, 'pair')} has a label: {_listed(counts['none'])}{way}"
    if yields.left_out.total() == yields.labels.total():
        return f"no labelled pair can be a row; left out: {_listed(counts['left_out'])}"
    there = {part: counts["parts"][part] for part in choice.parts}
    where = ", ".join(f"{part} has {_numbers(one, ' and ')}" for part, one in there.items())
    way = "give more trees, or --match none"
    if not any(sum(one.values()) for one in there.values()):
        way = "give trees of its questions too, or another part"
    return f"no {choice.label} pairs to match in {choice.part}: {where}; {way}"


def _numbers(counts: Mapping[str, int], between: str) -> str:
    return between.join(f"{count} {label}" for label, count in counts.items())


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} ({count})" for reason, count in counts.items())


def labelled_to_stream(
    stream: BinaryIO,
    sources: Sequence[TreeSource],
    form: str,
    choice: LabelSelection,
    seed: int,
    forms: Mapping[str, LabelForm] = LABEL_FORMS,
) -> dict[str, Any]:
    """Write the rows to a stream, such as stdout; see `export_labelled`. Returns the manifest."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "rows.jsonl"
        manifest = export_labelled(sources, out, form, choice, seed, forms)
        stream.write(out.read_bytes())
    stream.flush()
    return manifest


def print_yields(manifest: Mapping[str, Any], out: Path | None, earlier: Mapping[str, Any] = NOTHING) -> None:
    """Print the numbers of every stage of a labelled export, and where it was written.

    Args:
        manifest: the manifest.
        out: the file; None where the rows went to stdout, so that the numbers go to stderr.
        earlier: the manifest of the export that was there before; empty for none.
    """
    to = sys.stdout if out else sys.stderr
    yields = manifest["yields"]
    for name, text in _stages(yields):
        print(f"{name:<15} {text}", file=to)
    for reason, count in {**yields["left_out"], **manifest["dropped"]}.items():
        print(f"{'left out':<15} {reason}: {count}", file=to)
    taken = ", ".join(f"{count} {label}" for label, count in manifest["labels"].items())
    print(f"{manifest['format']:<15} {counted(manifest['rows'], 'row')} ({taken})", file=to)
    if out:
        print_written(manifest, out, earlier)


def _stages(yields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields the stages before the rows, as names and texts."""
    given_up = f", {yields['given_up']} given up" if yields["given_up"] else ""
    agreed = f", {yields['without_disagreement']} without disagreement" if set(DEFAULT_LABELS) <= yields.keys() else ""
    trees = f"{counted(yields['trees'], 'tree')}{agreed}{given_up}"
    yield "questions", f"{yields['questions']} in {trees}"
    labels = _numbers({label: yields[label] for label in (*yields["matched"], FIXED) if label in yields}, ", ")
    reasons = ", ".join(f"{count} {reason}" for reason, count in yields["none"].items())
    none = sum(yields["none"].values())
    yield "sibling pairs", f"{yields['sibling_pairs']}: {labels}, {none} none{f' ({reasons})' if reasons else ''}"
    yield "repeated", f"{yields['repeated']}, contradictory {yields['contradictory']}"
    yield "parts", "; ".join(f"{part} {_numbers(counts, ', ')}" for part, counts in yields["parts"].items())
