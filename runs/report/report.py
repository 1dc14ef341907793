"""`josh report`: write a run, or the comparison of two runs, as one page for the browser.

The page of a small run holds its trees. The trees of a large run are in files beside the page, which loads a file when
a reader opens one of its trees. The names of these files hold a hash, so a page never loads the files of another page.
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
from josh.runs.record.folder import CONFIG, EPISODES, EVALUATION, LOOP, PLAN, SUMMARY, slug
from josh.runs.report.comparison import Comparison, against
from josh.runs.report.overview import REPORT, Overview, open_overview
from josh.runs.report.page_html import render, safe_json
from josh.runs.report.records import RecordsIndex, folders_in, holds_runs, left_out_in, left_out_line
from josh.runs.report.run_data import Reading, open_run
from josh.runs.settings import environment
from josh.terminal import in_a_line

INLINE: Final = 5_000_000
"""Most characters of data in a page; more data go to files beside it."""
CHUNK: Final = 1_000_000
"""Most characters of data in such a file, unless one task alone has more."""
_SOURCES: Final = (CONFIG, EPISODES, SUMMARY, PLAN, EVALUATION, LOOP)
QUICK: Final = 10_000_000
"""Most bytes of episodes for the page of an interrupted run: reading them takes a few seconds."""
_SIGNATURE: Final = " · josh"
"""The end of each page's title."""
_HEAD: Final = 4000
"""The title stands within so many bytes."""


def report(folders: Sequence[Path], out: Path | None = None, *, inline: int = INLINE, chunk: int = CHUNK) -> list[Path]:
    """Write the report of a run, an evaluation, a loop, every run in a folder, or of the comparison of two runs.

    Args:
        folders: one or two runs, or one folder: an evaluation, a loop, or a folder of all of these, such as
            `records/`. Of such a folder a page lists the runs; runs whose own page is missing or out of date get one.
        out: the page. By default it is `report.html` in the folder; for two runs it is `report-vs-B.html` in the
            first run's folder, where B is the path of the second run below the folder that holds both.
        inline: most characters of data in a page, see `INLINE`.
        chunk: most characters of data in a file beside it, see `CHUNK`.

    Returns:
        The pages.

    Raises:
        UsageError: a folder is not a run, two runs are not comparable, or the page cannot be written.
    """
    if len(folders) > 2:
        raise UsageError(f"{len(folders)} folders are given; give one run, or two to compare")
    if len(folders) == 2:
        first, second = folders
        comparison = against(first, second)
        return [_write(out or first / f"report-vs-{_way(first, second)}.html", comparison, inline, chunk)]
    (folder,) = folders
    if holds_runs(folder):
        return _write_records(folder, out, inline, chunk)
    runs = [] if (folder / CONFIG).exists() else sorted(path.parent for path in folder.glob(f"*/{EPISODES}"))
    if (runs or (folder / PLAN).exists()) and out is not None:
        raise UsageError(f"{folder} has several runs, and so several reports; give --out with one of its runs")
    overview = open_overview(folder)
    pages = [_write_run(run, out, inline, chunk) for run in runs or ([] if overview else [folder])]
    return [_write(folder / REPORT, overview, inline, chunk), *pages] if overview else pages


def _write_records(folder: Path, out: Path | None, inline: int, chunk: int) -> list[Path]:
    """Write the page that lists a folder of runs, and the pages of its runs that are missing or out of date."""
    made = []
    for each in folders_in(folder):
        page = each / REPORT
        files = [path for path in map(each.joinpath, _SOURCES) if path.is_file()]
        current = page.is_file() and all(path.stat().st_mtime_ns <= page.stat().st_mtime_ns for path in files)
        if not current:
            try:
                made += report([each], inline=inline, chunk=chunk)
            except UsageError as error:
                print(f"josh: {each}: no page: {in_a_line(str(error))}", file=sys.stderr)
    if left_out := left_out_line(left_out_in(folder)):
        print(f"josh: not listed: {in_a_line(left_out)}", file=sys.stderr)
    return [_write(out or folder / REPORT, RecordsIndex(folder), inline, chunk), *made]


def _write_run(run: Path, out: Path | None, inline: int, chunk: int) -> Path:
    reading = open_run(run)
    page = _write(out or run / REPORT, reading, inline, chunk)
    if reading.damaged:
        numbers = ", ".join(map(str, reading.damaged))
        print(f"josh: {run / EPISODES}: line {numbers} is damaged and left out", file=sys.stderr)
    return page


def _way(first: Path, second: Path) -> str:
    """Returns the path of the second folder below the folder that holds both, as a part of a file name."""
    one, other = first.resolve(), second.resolve()
    above = next(folder for folder in one.parents if folder in other.parents)
    return slug("-".join(other.relative_to(above).parts))[-150:]


def report_at_end(folder: Path, *, quick: bool = False) -> Path | None:
    """Write the report of a run that has just ended. No error of a plug-in escapes, because the run itself is complete.

    Args:
        folder: the run's folder.
        quick: write no page that takes more than a few seconds, because somebody waits for the process to end.

    Returns:
        The page; None if it was not written. A line on stderr says why.
    """
    try:
        if quick and (folder / EPISODES).stat().st_size > QUICK:
            raise UsageError("it would take more than a few seconds")
        page = report([folder])[0] if not (folder / PLAN).exists() else _overview_at_end(folder)
    except Exception as error:
        why = in_a_line(redactor(environment())(str(error)))
        print(f"josh: no {REPORT} was written: {why}; make it with: josh report {folder}", file=sys.stderr)
        return None
    return page


def _overview_at_end(folder: Path) -> Path:
    """Write the page of an evaluation or loop, and those of its runs if that takes a few seconds only."""
    if sum(path.stat().st_size for path in folder.glob(f"*/{EPISODES}")) <= QUICK:
        return report([folder])[0]
    overview = open_overview(folder)
    assert overview is not None, "the folder has a plan"
    return _write(folder / REPORT, overview, INLINE, CHUNK)


def _write(page: Path, source: Reading | Comparison | Overview | RecordsIndex, inline: int, chunk: int) -> Path:
    """Write a page and its data, both completely or neither. Raises UsageError."""
    if page.suffix != ".html":
        raise UsageError(f"out is {str(page)!r}; give a name that ends in .html")
    if page.is_file() and _SIGNATURE.encode() not in page.read_bytes()[:_HEAD]:
        raise UsageError(f"{page} exists and is not a page of josh; give another --out, or move it away")
    chunks = _Chunks(page.with_suffix(""), inline, chunk)
    part = page.with_name(f"{page.name}.part")
    try:
        try:
            for row, tree in source.trees():
                row["chunk"], row["place"] = chunks.add(safe_json(tree))
            chunks.close()
            head = source.head() | {"files": [f"{path.parent.name}/{path.name}" for path in chunks.files]}
            title = in_a_line(f"{head['id']}{_SIGNATURE}")
            text = render(title, head, chunks.blocks, split=bool(chunks.files))
            # Half of a surrogate pair becomes the JSON escape for it.
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
    """The trees of a page in pieces: in the page while they fit there, otherwise in files.

    Attributes:
        folder: the folder of the files.
        inline: most characters in the page.
        chunk: most characters of a piece, unless one tree alone has more.
        blocks: the pieces in the page.
        files: the files, in order; if there are any, `blocks` is empty.
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
        """Add a tree. Returns the number of its piece, and its place in the piece."""
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
        """Delete the files of a page that could not be written."""
        self._remove(self._made)

    def sweep(self) -> None:
        """Delete the files of an earlier page."""
        self._remove(sorted(set(self.folder.glob("trees-*")) - set(self.files)))

    def _remove(self, paths: Sequence[Path]) -> None:
        for path in paths:
            path.unlink(missing_ok=True)
        if paths:
            with suppress(OSError):  # the folder holds other files
                self.folder.rmdir()


def print_pages(pages: Sequence[Path]) -> None:
    """Print the paths of the pages."""
    for page in pages:
        print(f"report          {page}")
