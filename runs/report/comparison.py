"""Two runs on the same tasks for one page: the paired difference, and the conversations that ended differently."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from josh.errors import UsageError
from josh.messages import text_of
from josh.outcomes import Episode
from josh.runs.evaluate.compare import (
    beside_played,
    names_of,
    shared,
    sources_in,
    temperature_note,
    with_distinct_names,
)
from josh.runs.evaluate.scores import Metrics, PolicyResults, compared
from josh.runs.intervals import LEVEL
from josh.runs.record.folder import EPISODES, read_summary, who_played
from josh.runs.record.stored import stored_episodes
from josh.runs.record.summary import counted
from josh.runs.report.run_data import Reading, groups_of, open_run, words
from josh.runs.report.tree_data import Earned
from josh.tree import walk

MOVED: Final = 100
"""Most conversations that the page shows because their reward changed and their outcome did not."""


LABEL: Final = 30
"""Most characters of a setting's name, and of its value, in the label of a run."""
LAST: Final = 140
"""Most characters of a conversation's last words in the list."""


@dataclass
class Comparison:
    """Two runs and their differences.

    Attributes:
        readings: the two runs' folders, opened.
        names: the names of the two runs.
        played: how many tasks each has finished.
        samples: the conversations of each run that both runs have.
        figures: the numbers of `josh compare`.
        temperatures: a line about the runs' temperatures, where they differ; else empty.
    """

    readings: tuple[Reading, Reading]
    names: tuple[str, str]
    played: tuple[int, int]
    samples: tuple[PolicyResults, PolicyResults]
    figures: Metrics
    temperatures: str = ""

    def __post_init__(self) -> None:
        self._changes: list[dict[str, Any]] = []
        self._moved = 0

    def trees(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Yields the conversations that ended differently: a row for the list, and both conversations, turn by turn.

        First come the conversations that one run won and the other lost, in the order of the tasks. Then come at most
        `MOVED` others whose reward changed, the largest change first.
        """
        pairs = sorted(self._pairs(), key=lambda row: self.readings[0].place(row["task"]))
        flipped = [row for row in pairs if row["won"][0] != row["won"][1]]
        moved = [row for row in pairs if row["won"][0] == row["won"][1] and _moved(row) > 0]
        self._moved = len(moved)
        changed = flipped + sorted(moved, key=_moved, reverse=True)[:MOVED]
        talks = [self._conversations(side, {row["task"] for row in changed}) for side in (0, 1)]
        for row in changed:
            place = row["task"], row["path"]
            # An imported conversation stands beside all conversations on its task.
            sides = [one.get(place) or one[row["task"], ""] for one in talks]
            row["last"] = list(map(_last_words, sides))
            self._changes.append(row)
            yield row, {"task_id": row["task"], "sides": sides}

    def _pairs(self) -> Iterator[dict[str, Any]]:
        """Yields every conversation that was scored in both runs."""
        first, second = self.samples
        for task, row in first.rows.items():
            for path, talk in row.conversations.items():
                other = second.rows[task].conversations.get(path)
                if other is not None:
                    yield {
                        "task": task,
                        "path": path,
                        "won": [int(talk.success), int(other.success)],
                        "rewards": [talk.reward, other.reward],
                        "rounds": [talk.rounds, other.rounds],
                        "groups": groups_of(row),
                    }

    def _conversations(self, side: int, tasks: set[str]) -> Mapping[tuple[str, str], list[dict[str, Any]]]:
        """Returns the reported conversations of some tasks, by task and path."""
        reading, found = self.readings[side], {}
        for _, episode in stored_episodes(reading.folder / EPISODES, []):
            if episode.task.id in tasks:
                earned = reading.viewer.earned(episode)
                for leaf in episode.reported:
                    path = "" if reading.search.searched else episode.tree.nodes[leaf].path
                    found[episode.task.id, path] = _turns(episode, leaf, earned)
        return found

    def head(self) -> dict[str, Any]:
        """Returns what the page shows first; call it when `trees` is exhausted."""
        first, second = self.figures["results"]
        summaries = [read_summary(reading.folder) for reading in self.readings]
        return {
            "kind": "comparison",
            "id": " vs ".join(self.names),
            "runs": [
                {"name": name, "label": label, "policy": cell["policy"].removesuffix(f" ({name})")}
                | {key: cell[key] for key in ("user", "scored", "infra_errors", "success_rate", "average_reward")}
                | _cost(reading.spent(summary))
                for name, label, cell, reading, summary in zip(
                    self.names, self._labels(first, second), (first, second), self.readings, summaries, strict=True
                )
            ],
            "speakers": dict(self.readings[0].viewer.env.speakers),
            "searched": self.readings[0].search.searched,
            "tasks_shared": self.figures["tasks"],
            "people": self.figures["people"],
            "drawn_from": self.figures["drawn_from"],
            "each": self.figures["conversations_per_task"],
            "level": LEVEL,
            "unit": self.figures["unit"],
            "names": {"rate": words(self.readings[0].rewards.rate), "mean": words(self.readings[0].rewards.mean)},
            "difference": second["difference"],
            "notes": self._notes(),
            "settings": self._settings(),
            "changes": self._changes,
            "moved": self._moved,
        }

    def _labels(self, *cells: Metrics) -> list[str]:
        """Returns short names of the runs: their policies, else the one setting that differs, else their own names."""
        policies = [cell["policy"].removesuffix(f" ({name})") for cell, name in zip(cells, self.names, strict=True)]
        if len(set(policies)) == len(policies):
            return policies
        differ = self._settings()
        if len(differ) == 1 and max(map(len, differ[0])) <= LABEL:
            name, *values = differ[0]
            return [f"{name} {value}" for value in values]
        return list(self.names)

    def _notes(self) -> list[str]:
        """Returns what a reader must know about the two runs and their common tasks."""
        notes = [self.temperatures] if self.temperatures else []
        for name, reading, played in zip(self.names, self.readings, self.played, strict=True):
            tasks = int(reading.config.get("tasks", played))
            if played < tasks:
                notes.append(f"{name} is not finished: {played} of {counted(tasks, 'task')}")
            notes += [f"{name}: {note}" for note in reading.notes]
        left_out = [played - self.figures["tasks"] for played in self.played]
        if any(left_out):
            each = " and ".join(
                f"{counted(count, 'task')} of {name}" for count, name in zip(left_out, self.names, strict=True) if count
            )
            notes.append(f"Left out, because the other run has not finished them: {each}")
        return notes

    def _settings(self) -> list[tuple[str, str, str]]:
        """Returns the settings that differ, each with its value in both runs."""
        first, second = (
            # The classes that played, however the settings named them.
            who_played(reading.config) | reading.shown_settings() | who_played(reading.config)
            for reading in self.readings
        )
        names = dict.fromkeys([*first, *second])
        both = [(name, first.get(name, ""), second.get(name, "")) for name in names]
        return [(name, _plain(one), _plain(two)) for name, one, two in both if one != two]


def _moved(row: Mapping[str, Any]) -> float:
    """Returns the size of the change of a conversation's reward; rounding errors are not a change."""
    one, other = map(float, row["rewards"])
    return round(abs(other - one), 6)


def _last_words(turns: Sequence[Mapping[str, Any]]) -> str:
    """Returns the beginning of the last words of a conversation."""
    said = [text for turn in turns for message in turn["messages"] if (text := " ".join(text_of(message).split()))]
    last = said[-1] if said else ""
    return last if len(last) <= LAST else f"{last[: LAST - 3].rstrip()}..."


def _cost(spent: Mapping[str, Any]) -> Metrics:
    """Returns the calls and US dollars of both sides over all tasks of a run; None for unknown."""
    sides = spent.get("usage", {}).values()
    return {"calls": sum(side["calls"] for side in sides) if spent else None, "cost": spent.get("cost")}


def _plain(value: Any) -> str:
    return "none" if value in (None, "") else str(value)


def _turns(episode: Episode, leaf: int, earned: Mapping[int, Sequence[Earned]]) -> list[dict[str, Any]]:
    """Returns a conversation, turn by turn."""
    nodes = episode.tree.nodes
    return [
        {
            "speaker": nodes[index].speaker,
            "messages": list(nodes[index].turn.messages),
            "hits": [asdict(each) for each in earned.get(index, ())],
        }
        for index in walk(episode.tree, leaf)
        if nodes[index].turn.messages
    ]


def against(first: Path, second: Path) -> Comparison:
    """Pair two runs. Raises UsageError if they are one run, share no task, or have settings that are not comparable."""
    one, other = names_of((first, second))
    sources = [sources_in(folder, searched=True) for folder in (first, second)]
    for folder, found in zip((first, second), sources, strict=True):
        if len(found) != 1:
            parts = ", ".join(str(source.run) for source in found)
            raise UsageError(f"{folder} has several runs; give one of them: {parts}")
    readings = open_run(first), open_run(second)
    if readings[0].search.searched != readings[1].search.searched:
        search, plain = (first, second) if readings[0].search.searched else (second, first)
        raise UsageError(
            f"not comparable: {search} is a search and {plain} is not; give two searches, or two runs without --josh"
        )
    named = with_distinct_names(beside_played([*sources[0], *sources[1]]))
    base, tried = shared(named)
    played = len(sources[0][0].sample.rows), len(sources[1][0].sample.rows)
    return Comparison(readings, (one, other), played, (base, tried), compared([base, tried]), temperature_note(named))
