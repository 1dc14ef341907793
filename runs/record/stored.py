"""Reading the episodes of a run back."""

import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path

from josh.errors import UsageError
from josh.outcomes import Episode
from josh.runs.record.episode_json import from_json
from josh.runs.record.folder import EXAMPLES


def stored_episodes(path: Path, damaged: list[int]) -> Iterator[tuple[str, Episode]]:
    """The whole lines of an `episodes.jsonl`, with what they say; of several about one task the first.

    Args:
        path: the file.
        damaged: takes the numbers of the lines that are left out, counted from 1.

    Raises:
        UsageError: the file cannot be read, or a newer josh wrote it.
    """
    from josh.runs.record.schema import EpisodeRow, UnknownVersionError, read_row  # with pydantic

    met: set[str] = set()
    try:
        with path.open("rb") as file:
            for number, data in enumerate(file, 1):
                try:
                    line = data.decode("utf-8")
                    if not line.endswith("\n"):
                        raise ValueError("the line is torn")
                    episode = from_json(read_row(EpisodeRow, data))
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


def count_examples(folder: Path, tasks: Collection[str]) -> tuple[int, int]:
    """How many examples a run's folder has of some tasks, and how many of them are on a golden path."""
    from josh.runs.record.schema import ExampleRow, read_row  # with pydantic

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
