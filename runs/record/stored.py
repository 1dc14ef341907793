"""Reads the episodes of a recorded run."""

import contextlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from josh.errors import UsageError
from josh.outcomes import Episode
from josh.runs.record.checksum import checksum
from josh.runs.record.episode_json import from_json
from josh.runs.record.folder import EXAMPLES
from josh.runs.record.journal import episode_checksums


def stored_episodes(
    path: Path, damaged: list[int], checksums: Mapping[str, str] | None = None
) -> Iterator[tuple[str, Episode]]:
    """Yields the valid lines of an `episodes.jsonl`, without line ends, with their episodes.

    Where a task has several lines, only the first counts. A missing file has no lines.

    Args:
        path: the file.
        damaged: the numbers of damaged lines, counted from 1, are appended to it.
        checksums: the checksums of lines, by task; None for those in the journal beside the file. A line without one is
            taken as it is.

    Raises:
        UsageError: the file cannot be read, or a newer josh wrote it.
    """
    from josh.runs.record.schema import EpisodeRow, UnknownVersionError, read_row  # the import loads pydantic

    met: set[str] = set()
    known = episode_checksums(path.parent) if checksums is None else checksums
    try:
        with path.open("rb") as file:
            for number, data in enumerate(file, 1):
                try:
                    line = data.decode("utf-8")
                    if not line.endswith("\n"):
                        raise ValueError("the line is torn")
                    episode = from_json(read_row(EpisodeRow, data))
                    if known.get(episode.task.id, found := checksum(data[:-1])) != found:
                        raise ValueError("another checksum")
                except UnknownVersionError as error:
                    raise UsageError(f"{path} line {number}: {error}") from None
                except ValueError:
                    damaged.append(number)
                    continue
                if episode.task.id not in met:
                    met.add(episode.task.id)
                    yield line[:-1], episode
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None


def episode_in(line: str) -> Episode:
    """Returns the episode in a line of `episodes.jsonl` that this josh wrote."""
    from josh.runs.record.schema import EpisodeRow, read_row  # the import loads pydantic

    return from_json(read_row(EpisodeRow, line))


def count_examples(folder: Path, tasks: Collection[str]) -> tuple[int, int]:
    """Returns how many examples a run's folder has for some tasks, and how many of them are on a golden path."""
    from josh.runs.record.schema import ExampleRow, read_row  # the import loads pydantic

    found = golden = 0
    try:
        with (folder / EXAMPLES).open("rb") as file:
            for line in file:
                with contextlib.suppress(ValueError):
                    row = read_row(ExampleRow, line)
                    if row["task_id"] in tasks:
                        found, golden = found + 1, golden + row["is_golden_path"]
    except OSError:
        pass
    return found, golden
