"""Prints `josh acts`: its flags are in `josh/commands.py`, its figures in `acts.py`."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from josh.errors import UsageError
from josh.runs.evaluate.scores import Metrics
from josh.runs.record.folder import EPISODES, read_config, read_settings, require_distinct
from josh.runs.record.stored import stored_episodes
from josh.runs.record.summary import counted
from josh.runs.record.world import world_of
from josh.runs.report.acts import LEVEL, Contrasts, acts_text, lens_of
from josh.runs.report.show import NARROWEST
from josh.runs.report.tree_data import CarefulEnv
from josh.runs.settings import environment
from josh.terminal import WIDEST, columns, console_for, encodable, in_colours, wrap


def show_acts(
    runs: Sequence[Path], lens: str | None, min_tasks: int, width: int | None, *, groups: bool, as_json: bool
) -> None:
    """Print which acts and choices of a search pay, from the siblings in the trees of some runs.

    Args:
        runs: the runs' folders, of worlds with the same unit of rewards.
        lens: what reads the acts; None for the world's own reader.
        min_tasks: tasks with such siblings that a comparison needs.
        width: columns of a line; None for those of the terminal.
        groups: compare in every group of people, too.
        as_json: print the figures as one JSON object, and nothing else.

    Raises:
        UsageError: a folder is not a run, the units differ, the lens cannot be used, or a value is wrong.
    """
    if min_tasks < 2:
        raise UsageError(f"min_tasks is {min_tasks}; give 2 or more")
    if width is not None and not NARROWEST <= width <= WIDEST:
        raise UsageError(f"width is {width}; give {NARROWEST} to {WIDEST}")
    require_distinct(runs)
    reader, found, units = None if lens is None else lens_of(lens), Contrasts(), dict[str, Path]()
    damaged: list[str] = []
    for folder in runs:
        env, rewards = world_of(read_settings(folder, read_config(folder)), folder, careful=True)
        units.setdefault(rewards.unit, folder)
        if len(units) > 1:
            one, other = units.values()
            raise UsageError(f"{one} and {other} have rewards of different units; give runs of one world")
        lines: list[int] = []
        careful = CarefulEnv(env)
        for _, episode in stored_episodes(folder / EPISODES, lines):
            found.add(episode, careful, reader, groups=groups)
        damaged += [f"{folder / EPISODES}: line {', '.join(map(str, lines))} is damaged"] if lines else []
    figures, (unit,) = found.figures(min_tasks), units
    if as_json:
        about = {"folders": list(map(str, runs)), "lens": lens or "world", "unit": unit}
        print(json.dumps({**about, **figures}, indent=1))
    else:
        out = sys.stdout
        room = console_for(out, width or max(NARROWEST, columns(out)), colours=in_colours(out, environment())).width
        title = f"{counted(figures['turns'], 'turn')} of the agent in {counted(figures['tasks'], 'tree')}"
        for line in [*wrap(title, room), "", *acts_text(figures, unit, room), "", *_explained(figures, room)]:
            print(encodable(line, out))
    for line in damaged:
        print(f"josh: {line}", file=sys.stderr)


def _explained(figures: Metrics, room: int) -> Iterator[str]:
    """Yields the meaning of the columns, and the number of comparisons."""
    for text in (
        "difference: the mean reward below the sibling that does more of it, less the other's, after the same words; "
        "95 % interval by task",
        f"{counted(figures['comparisons'], 'comparison')}; p by sign flips of whole tasks, p (Holm) corrected for that "
        f"number; * below {LEVEL:.2f}",
        f"not made: {counted(figures['too_few'], 'comparison')} with fewer than {figures['min_tasks']} tasks with such "
        "siblings",
    ):
        yield from wrap(text, room)
