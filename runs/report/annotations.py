"""What a report says of a tree beside its words: facts of the turns, labels of pairs, and the table of turns.

Facts and pairs are in the record. The words for facts, and the table, are those of the run's rewards class
(`BaseRewards.fact_words`, `turn_cells`); where this class is gone, facts have plain words, and there is no table.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from josh.calls import contained
from josh.outcomes import Episode
from josh.roles import BaseRewards, TurnTable
from josh.runs.evaluate.scores import Metrics
from josh.runs.record.summary import wilson
from josh.runs.registry import PlugIn, new_rewards
from josh.terminal import align_columns, shortened, visible
from josh.tree import Node

_NAME: Final = 40


@dataclass(frozen=True, slots=True)
class Annotator:
    """Asks a rewards object for its words; errors of the class are caught, and give plain words and no table.

    Attributes:
        rewards: the object, with its settings, not started on a task.
    """

    rewards: BaseRewards = field(default_factory=lambda: BaseRewards(()))

    @classmethod
    def of(cls, kind: type[BaseRewards], chosen: PlugIn) -> "Annotator":
        """Returns the annotator of a run's rewards class, with the run's settings of it."""
        try:
            with contained():
                return cls(new_rewards(kind, chosen, []))
        except Exception:
            return cls()

    @property
    def table(self) -> TurnTable | None:
        """The table of turns; None for none."""
        found = getattr(self.rewards, "turn_table", None)
        return found if isinstance(found, TurnTable) else None

    def words(self, node: Node) -> str:
        """Returns the facts after a turn in words; empty for none."""
        facts = node.turn.facts
        if facts is None:
            return ""
        try:
            with contained():
                return str(self.rewards.fact_words(facts, node.speaker))
        except Exception:
            return BaseRewards(()).fact_words(facts, node.speaker)

    def cells(self, episode: Episode) -> Sequence[tuple[int, str, str]]:
        """Returns node, row and column of each turn that the table counts."""
        if self.table is None or not episode.scored:
            return ()
        try:
            with contained():
                given = self.rewards.turn_cells(episode.task, episode.tree)
                found = [(int(node), str(row), str(column)) for node, row, column in given]
        except Exception:
            return ()
        return [each for each in found if each[1] in self.table.rows and each[2] in self.table.columns]


def pair_words(episode: Episode) -> Mapping[int, Sequence[str]]:
    """Returns what the labelled pairs say of each turn, such as `resist: chosen`, by node; each once."""
    found: dict[int, dict[str, None]] = {}
    for pair in episode.pairs:
        if pair.label:
            found.setdefault(pair.better, {})[f"{pair.label}: chosen"] = None
            found.setdefault(pair.worse, {})[f"{pair.label}: rejected"] = None
    return {node: list(words) for node, words in found.items()}


class TurnTally:
    """The table of a run's turns (`TurnTable`), counted episode by episode, and by directive."""

    def __init__(self, annotator: Annotator) -> None:
        """Args: annotator: names the table and its cells."""
        self._annotator = annotator
        self._counts: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self._tasks: defaultdict[tuple[str, str], set[str]] = defaultdict(set)

    def add(self, episode: Episode) -> None:
        """Add an episode."""
        for node, row, column in self._annotator.cells(episode):
            directive = episode.tree.nodes[node].directive
            for under in dict.fromkeys(("", directive or "")):
                self._counts[under, row][column] += 1
                self._tasks[under, row].add(episode.task.id)

    def figures(self) -> Metrics | None:
        """Returns the table; None where the rewards have none, or no turn is counted.

        Returns:
            `title`, `about`, `columns`;
            `rows`: those of all turns, and then those under each directive. Each has its `row` and `directive` (empty
            for all turns), the numbers of its `turns` and `tasks`, and `cells`, one for each column: the `count` of
            turns, and their share of the row (`value`) with its Wilson interval (`low`, `high`). Turns of one task are
            not independent, so the interval is as wide as that of one turn a task.
        """
        table = self._annotator.table
        if table is None or not self._counts:
            return None
        directives = sorted({directive for directive, _ in self._counts})
        rows = [
            self._row(directive, row, table.columns)
            for directive in directives
            for row in table.rows
            if self._counts.get((directive, row))
        ]
        return {"title": table.title, "about": table.about, "columns": list(table.columns), "rows": rows}

    def _row(self, directive: str, row: str, columns: Iterable[str]) -> Metrics:
        counts, tasks = self._counts[directive, row], len(self._tasks[directive, row])
        turns, cells = counts.total(), []
        for column in columns:
            share = counts[column] / turns
            low, high = wilson(share * tasks, tasks)
            cells.append(
                {"count": counts[column], "value": round(share, 6), "low": round(low, 6), "high": round(high, 6)}
            )
        return {"row": row, "directive": directive, "turns": turns, "tasks": tasks, "cells": cells}


def turn_table_text(figures: Metrics, width: int) -> list[str]:
    """Returns the table of `TurnTally.figures` as lines for the terminal."""
    lines: list[str] = []
    for directive in dict.fromkeys(row["directive"] for row in figures["rows"]):
        rows = [row for row in figures["rows"] if row["directive"] == directive]
        name = shortened(visible(directive).replace("\n", " "), _NAME)
        head = [f"under {name}" if name else "all turns", "turns", *map(visible, figures["columns"])]
        body = [[visible(row["row"]), str(row["turns"]), *(_cell_text(cell) for cell in row["cells"])] for row in rows]
        lines += [*align_columns([head, *body], width), ""]
    return lines[:-1]


def _cell_text(cell: Mapping[str, Any]) -> str:
    return f"{cell['value']:.2f} [{cell['low']:.2f}, {cell['high']:.2f}]" if cell["count"] else "0"
