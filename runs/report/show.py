"""`josh show`: print a run's tasks as a list, or the tree of one task in box characters."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from josh.errors import JoshError, UsageError
from josh.roles import BaseEnv, BaseRewards
from josh.runs.record.folder import EPISODES, how_played, ids_of_tasks, read_config, read_settings, runs_in
from josh.runs.record.headline import headline
from josh.runs.record.stored import stored_episodes
from josh.runs.record.summary import counted
from josh.runs.registry import rewards_class
from josh.runs.report.tree_text import Style, errors_in, tree_lines, verdict
from josh.runs.settings import env_of, environment
from josh.terminal import align_columns, columns, console_for, encodable, in_colours, shortened, visible

NARROWEST = 40
_DIGITS = 9
"""Most digits of a task's number."""
_ID = 12
"""Fewest columns of a task's id."""


def show(folder: Path, task: str | None = None, width: int | None = None, *, full: bool = False) -> None:
    """Print a run's tasks, or the tree of one of them.

    Args:
        folder: the run's folder.
        task: the id of a task, or its number in the list; None for the list.
        width: columns of a line; by default those of the terminal.
        full: print whole texts, and what only the agent saw.

    Raises:
        UsageError: there is no such run or task.
    """
    if width is not None and width < NARROWEST:
        raise UsageError(f"width is {width}; give {NARROWEST} or more")
    config = _config(folder)
    out = sys.stdout
    names, unit = _read_by(config, folder)
    console = console_for(out, width or max(NARROWEST, columns(out)), colours=in_colours(out, environment()))
    style = Style(console, full, names, unit)
    damaged: list[int] = []
    lines = _list(folder, config, style, damaged) if task is None else _task(folder, config, task, style, damaged)
    for line in lines:
        print(encodable(line, out), file=out)
    if damaged:
        print(f"josh: {folder / EPISODES}: line {', '.join(map(str, damaged))} is damaged", file=sys.stderr)


def _config(folder: Path) -> dict[str, Any]:
    """Returns a run's configuration; empty if only its episodes are left. Raises UsageError if it is not a run."""
    parts = runs_in(folder)
    if parts:
        raise UsageError(f"{folder} is made of several runs; give one of them: {', '.join(parts)}")
    try:
        return read_config(folder)
    except UsageError:
        if not (folder / EPISODES).exists():
            raise
        return {}


def _read_by(config: Mapping[str, Any], folder: Path) -> tuple[Mapping[str, str], str]:
    """Returns the names of the sides and the unit of rewards; defaults if the run's plug-ins cannot be loaded."""
    with suppress(JoshError, KeyError):
        settings = read_settings(folder, config)
        env = env_of(settings)
        with suppress(JoshError):
            return env.speakers, rewards_class(settings.rewards, env).unit
        return env.speakers, ""
    return BaseEnv.speakers, BaseRewards.unit


def _list(folder: Path, config: Mapping[str, Any], style: Style, damaged: list[int]) -> Iterator[str]:
    """Yields a title, a line for every task, and how to see one."""
    from rich.cells import cell_len

    found = {
        episode.task.id: [
            f"{style.unit}{episode.reward:.2f}" if episode.scored else "",
            f"{episode.rounds:.3g}" if episode.scored else "",
            verdict(episode),
            str(len(episode.tree.nodes) - 1),
            str(errors_in(episode)),
        ]
        for _, episode in stored_episodes(folder / EPISODES, damaged)
    }
    ids = list(dict.fromkeys([*ids_of_tasks(config), *found]))
    yield _title(folder, config, len(ids))
    if not ids:
        yield "no task was finished"
        return
    rows = [["", "task", "reward", "rounds", "outcome", "turns", "errors"]]
    rows += [
        [str(number), visible(task).replace("\n", r"\n"), *found.get(task, ["", "", "not finished", "", ""])]
        for number, task in enumerate(ids, 1)
    ]
    rest = max(map(cell_len, align_columns([row[0], "", *row[2:]] for row in rows)))
    room = max(_ID, style.console.width - rest)
    yield from ["", *align_columns([row[0], shortened(row[1], room), *row[2:]] for row in rows), ""]
    example = next((number for number, task in enumerate(ids, 1) if task in found), 1)
    yield f"see one of them, by number or id: josh show {folder} {example}"


def _title(folder: Path, config: Mapping[str, Any], tasks: int) -> str:
    name = folder.resolve().name
    with suppress(JoshError, KeyError, TypeError, AttributeError):
        settings = read_settings(folder, config)
        return visible(f"{name}: {headline(settings, config['plays'], how_played(config, settings), tasks)}")
    return f"{name}: {counted(tasks, 'task')}"


def _task(folder: Path, config: Mapping[str, Any], wanted: str, style: Style, damaged: list[int]) -> Iterator[str]:
    """Yields the tree of one task."""
    ids, number = ids_of_tasks(config), int(wanted) if wanted.isdecimal() and len(wanted) <= _DIGITS else 0
    if number and wanted not in ids and ids:
        if number > len(ids):
            raise UsageError(f"there is no task {number}; {folder} has tasks 1 to {len(ids)}")
        wanted = ids[number - 1]
    met = []
    for _, episode in stored_episodes(folder / EPISODES, damaged):
        met.append(episode.task.id)
        if wanted == episode.task.id or (not ids and number == len(met)):
            yield from tree_lines(episode, style)
            return
    if wanted in ids:
        raise UsageError(f"task {wanted} was not finished; go on with: josh --resume {folder}")
    known = ids or met
    near = [one for one in known if wanted in one][:5] or get_close_matches(wanted, known, 5)
    hint = f"near: {', '.join(near)}" if near else f"josh show {folder} lists them"
    raise UsageError(f"{folder} has no task {wanted!r:.80}; {hint}")
