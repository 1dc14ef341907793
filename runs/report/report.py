"""`josh report`: a run, or two against each other, as a page for the browser that needs nothing but itself.

Trees of a small run are in the page. Those of a large one lie beside it, in files that the page loads one by one when
a tree is opened; their names have a hash in them, so that a page never meets the files of another.
"""

import hashlib
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from josh.errors import UsageError
from josh.redact import redactor
from josh.runs.record.folder import CONFIG, EPISODES, slug
from josh.runs.report.comparison import Comparison, against
from josh.runs.report.page_html import render, safe_json
from josh.runs.report.run_data import Reading, read
from josh.runs.settings import environment
from josh.terminal import in_a_line

REPORT: Final = "report.html"
INLINE: Final = 5_000_000
"""Characters of data that a page may hold; more lie in files beside it."""
CHUNK: Final = 1_000_000
"""Characters of data in such a file, where a single task has not more."""
QUICK: Final = 10_000_000
"""Bytes of episodes that are read in a few seconds: what an interrupted run takes the time for."""


def report(folders: Sequence[Path], out: Path | None = None, *, inline: int = INLINE, chunk: int = CHUNK) -> list[Path]:
    """Write the report of a run, of every run in a folder, or of two runs against each other.

    Args:
        folders: one or two; one that is no run is taken for a folder of runs, such as an evaluation or a loop.
        out: the page (default: `report.html` in the run's folder; of two `report-vs-B.html` in the first one's, where B
            stands for the way to the second one from the folder that both lie in).
        inline: most characters of data in a page, see `INLINE`.
        chunk: characters of data in a file beside it, see `CHUNK`.

    Returns:
        The pages.

    Raises:
        UsageError: a folder is no run, two cannot be compared, or the page cannot be written.
    """
    if len(folders) > 2:
        raise UsageError(f"{len(folders)} folders are given; give one run, or two to compare")
    if len(folders) == 2:
        first, second = folders
        comparison = against(first, second)
        return [_write(out or first / f"report-vs-{_way(first, second)}.html", comparison, inline, chunk)]
    (folder,) = folders
    runs = [] if (folder / CONFIG).exists() else sorted(path.parent for path in folder.glob(f"*/{EPISODES}"))
    if runs and out is not None:
        raise UsageError(f"{folder} has several runs, and so several reports; give --out with one of its runs")
    return [_write_run(run, out, inline, chunk) for run in runs or [folder]]


def _write_run(run: Path, out: Path | None, inline: int, chunk: int) -> Path:
    reading = read(run)
    page = _write(out or run / REPORT, reading, inline, chunk)
    if reading.damaged:
        numbers = ", ".join(map(str, reading.damaged))
        print(f"josh: {run / EPISODES}: line {numbers} is damaged and left out", file=sys.stderr)
    return page


def _way(first: Path, second: Path) -> str:
    """The second folder as a part of a file's name: its name, after those of folders that the first does not lie in."""
    one, other = first.resolve(), second.resolve()
    above = next(folder for folder in one.parents if folder in other.parents)
    return slug("-".join(other.relative_to(above).parts))[-150:]


def report_at_end(folder: Path, *, quick: bool = False) -> Path | None:
    """Write the report of a run that has just ended, whatever its plug-ins do: the run itself is safe on disk.

    Args:
        folder: the run's folder.
        quick: somebody waits for the process to end; leave out what takes more than a few seconds.

    Returns:
        The page; None where it was not written, which a line on stderr explains.
    """
    try:
        if quick and (folder / EPISODES).stat().st_size > QUICK:
            raise UsageError("it would take more than a moment")
        (page,) = report([folder])
    except Exception as error:
        why = in_a_line(redactor(environment())(str(error)))
        print(f"josh: no {REPORT} was written: {why}; make it with: josh report {folder}", file=sys.stderr)
        return None
    return page


def _write(page: Path, source: Reading | Comparison, inline: int, chunk: int) -> Path:
    """Write a page and its data, both whole or not at all. Raises UsageError."""
    if page.suffix != ".html":
        raise UsageError(f"out is {str(page)!r}; give a name that ends in .html")
    chunks = _Chunks(page.with_suffix(""), inline, chunk)
    part = page.with_name(f"{page.name}.part")
    try:
        try:
            for row, tree in source.trees():
                row["chunk"], row["place"] = chunks.add(safe_json(tree))
            chunks.close()
            head = source.head() | {"files": [f"{path.parent.name}/{path.name}" for path in chunks.files]}
            title = in_a_line(f"{head['id']} · josh")
            text = render(title, head, chunks.blocks, split=bool(chunks.files))
            # Half a surrogate pair becomes an escape, which JSON has for it.
            part.write_bytes(text.encode("utf-8", "backslashreplace"))
            part.replace(page)
        except BaseException:
            part.unlink(missing_ok=True)
            chunks.discard()
            raise
        chunks.sweep()
    except OSError as error:
        raise UsageError(f"cannot write {page}: {error.strerror}") from None
    return page


@dataclass
class _Chunks:
    """The trees of a page in pieces: kept, as long as they fit in the page, else written to files.

    Attributes:
        folder: where the files go.
        inline: most characters in the page.
        chunk: characters of a piece, where a single tree has not more.
        blocks: the pieces that go in the page.
        files: the files, in order; the page has no pieces if there are any.
    """

    folder: Path
    inline: int
    chunk: int
    blocks: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    _trees: list[str] = field(default_factory=list)
    _size: int = 0
    _total: int = 0
    _made: list[Path] = field(default_factory=list)

    def add(self, tree: str) -> tuple[int, int]:
        """Take a tree; the number of its piece, and its place in there."""
        if self._trees and self._size + len(tree) > self.chunk:
            self._end()
        self._trees.append(tree)
        self._size += len(tree)
        self._total += len(tree)
        return len(self.files) + len(self.blocks), len(self._trees) - 1

    def close(self) -> None:
        """Finish the last piece."""
        if self._trees:
            self._end()

    def _end(self) -> None:
        self.blocks.append(f"[{','.join(self._trees)}]")
        self._trees, self._size = [], 0
        if self._total > self.inline:
            for block in self.blocks:
                self._to_file(block)
            self.blocks = []

    def _to_file(self, block: str) -> None:
        data = f"joshChunk({len(self.files)}, {block});\n".encode("utf-8", "backslashreplace")
        digest = hashlib.blake2b(data, digest_size=4).hexdigest()
        path = self.folder / f"trees-{len(self.files):04d}-{digest}.js"
        self.files.append(path)
        if not path.exists():
            self.folder.mkdir(exist_ok=True)
            part = path.with_suffix(".part")
            self._made += [part, path]
            part.write_bytes(data)
            part.replace(path)

    def discard(self) -> None:
        """Take away what was written for a page that came to nothing."""
        self._remove(self._made)

    def sweep(self) -> None:
        """Take away the files of the page that stood here before."""
        self._remove(sorted(set(self.folder.glob("trees-*")) - set(self.files)))

    def _remove(self, paths: Sequence[Path]) -> None:
        for path in paths:
            path.unlink(missing_ok=True)
        if paths:
            with suppress(OSError):  # there is more in it
                self.folder.rmdir()


def tell(pages: Sequence[Path]) -> None:
    """Print where the pages are."""
    for page in pages:
        print(f"report          {page}")
