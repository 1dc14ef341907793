"""Two runs on the same tasks for one page: the paired difference, and the conversations that came out otherwise."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from josh.errors import UsageError
from josh.runs.compare import shared, sources_in, told_apart
from josh.runs.episode import Episode
from josh.runs.intervals import LEVEL
from josh.runs.record import EPISODES, stored_episodes
from josh.runs.report_data import Reading, groups_of, read, words
from josh.runs.scores import Figures, Sample, compared
from josh.tree import walk


@dataclass
class Comparison:
    """Two runs, and what sets them apart.

    Attributes:
        readings: the two runs' folders, opened.
        samples: their conversations, those they share.
        figures: the numbers of `josh compare`.
    """

    readings: tuple[Reading, Reading]
    samples: tuple[Sample, Sample]
    figures: Figures

    def __post_init__(self) -> None:
        self._flips: list[dict[str, Any]] = []

    def trees(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """The conversations that one run won and the other lost: a row for the list, and both, turn by turn."""
        flipped = list(self._flipped())
        talks = [self._conversations(side, {row["task"] for row in flipped}) for side in (0, 1)]
        for row in flipped:
            place = row["task"], row["path"]
            self._flips.append(row)
            yield row, {"task_id": row["task"], "sides": [one[place] for one in talks]}

    def _flipped(self) -> Iterator[dict[str, Any]]:
        first, second = self.samples
        for task, row in first.rows.items():
            for path, talk in row.talks.items():
                other = second.rows[task].talks.get(path)
                if other is not None and other.success != talk.success:
                    yield {
                        "task": task,
                        "path": path,
                        "won": int(other.success),
                        "rewards": [talk.reward, other.reward],
                        "rounds": [talk.rounds, other.rounds],
                        "groups": groups_of(row),
                    }

    def _conversations(self, side: int, tasks: set[str]) -> Mapping[tuple[str, str], list[dict[str, Any]]]:
        """The reported conversations of some tasks, by task and path."""
        reading, found = self.readings[side], {}
        for _, episode in stored_episodes(reading.folder / EPISODES, []):
            if episode.task.id in tasks:
                for leaf in episode.reported:
                    path = "" if reading.settings.josh else episode.tree.nodes[leaf].path
                    found[episode.task.id, path] = _turns(episode, leaf)
        return found

    def head(self) -> dict[str, Any]:
        """What the page shows first, once `trees` is through."""
        first, second = self.figures["results"]
        names = [reading.folder.resolve().name for reading in self.readings]
        return {
            "kind": "comparison",
            "id": " vs ".join(names),
            "runs": [
                {"name": name, "policy": cell["policy"], "user": cell["user"]}
                | {key: cell[key] for key in ("scored", "infra_errors", "success_rate", "average_reward", "usage")}
                for name, cell in zip(names, (first, second), strict=True)
            ],
            "searched": self.readings[0].settings.josh,
            "tasks_shared": self.figures["tasks"],
            "people": self.figures["people"],
            "each": self.figures["conversations_per_task"],
            "level": LEVEL,
            "unit": self.figures["unit"],
            "names": {"rate": words(self.readings[0].rewards.rate), "mean": words(self.readings[0].rewards.mean)},
            "difference": second["difference"],
            "notes": [],
            "flips": self._flips,
        }


def _turns(episode: Episode, leaf: int) -> list[dict[str, Any]]:
    """A conversation, turn by turn."""
    nodes = episode.tree.nodes
    return [
        {
            "speaker": nodes[index].speaker,
            "messages": list(nodes[index].turn.messages),
            "hits": [{"value": hit.value, "goals": list(hit.goals)} for hit in nodes[index].turn.hits],
        }
        for index in walk(episode.tree, leaf)
        if nodes[index].turn.messages
    ]


def against(first: Path, second: Path) -> Comparison:
    """Pair two runs. Raises UsageError where they have nothing in common, or were played on other terms."""
    sources = [sources_in(folder, searched=True) for folder in (first, second)]
    for folder, found in zip((first, second), sources, strict=True):
        if len(found) != 1:
            parts = ", ".join(str(source.run) for source in found)
            raise UsageError(f"{folder} has several runs; give one of them: {parts}")
    readings = read(first), read(second)
    if readings[0].settings.josh != readings[1].settings.josh:
        one, other = sorted((first, second), key=lambda folder: not read(folder).settings.josh)
        raise UsageError(
            f"not comparable: {one} is a search, whose best paths are no match for conversations of {other}"
        )
    base, tried = shared(told_apart([*sources[0], *sources[1]]))
    return Comparison(readings, (base, tried), compared([base, tried]))
