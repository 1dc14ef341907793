"""`josh show`: print a run's tasks as a list, or the tree of one task in box characters."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from josh.errors import JoshError, UsageError
from josh.outcomes import Episode
from josh.roles import BaseEnv, BaseRewards
from josh.runs.record.confirmed import confirmed_in
from josh.runs.record.folder import (
    CONFIG,
    EPISODES,
    how_played,
    ids_of_tasks,
    read_config,
    read_settings,
    require_run,
)
from josh.runs.record.headline import headline
from josh.runs.record.stored import stored_episodes
from josh.runs.record.summary import counted
from josh.runs.record.world import world_of
from josh.runs.report.annotations import Annotator, TurnTally, turn_table_text
from josh.runs.report.tree_text import Style, errors_in, tree_lines, verdict
from josh.runs.settings import core, environment
from josh.terminal import (
    WIDEST,
    align_columns,
    columns,
    console_for,
    encodable,
    in_a_line,
    in_colours,
    shortened,
    visible,
    wrap,
)

if TYPE_CHECKING:
    from rich.console import Console

NARROWEST = 40
_DIGITS = 9
"""Most digits of a task's number."""
_ID = 12
"""Fewest columns of a task's id."""


def show(
    folder: Path | None = None,
    task: str | None = None,
    width: int | None = None,
    *,
    full: bool = False,
    actions: bool = False,
    as_json: bool = False,
) -> None:
    """Print the runs in a folder, a run's tasks, the tree of one, or what the agent did on its branches.

    Args:
        folder: the run's folder, or a folder of runs; None for the folder where runs go by default.
        task: the id of a task, or its number in the list; None for the list.
        width: columns of a line; by default those of the terminal.
        full: print whole texts, and what only the agent saw.
        actions: print the table of acts, tools and instructions instead; `task` is then None.
        as_json: print the same as one JSON object, and nothing else. A task is then its line of `episodes.jsonl`.

    Raises:
        UsageError: there is no such run or task.
    """
    if actions and task is not None:
        raise UsageError(f"--actions is about all tasks of a run; leave out {task!r}")
    if width is not None and not NARROWEST <= width <= WIDEST:
        raise UsageError(f"width is {width}; give {NARROWEST} to {WIDEST}")
    if folder is None or (not (folder / CONFIG).exists() and _holds_runs(folder)):
        if task is not None or actions:
            require_run(folder or _records())
            raise UsageError(f"{folder or _records()} is a folder of runs; give one of its runs")
        _show_records(folder or _records(), width, as_json=as_json)
        return
    config = _config(folder)
    names, unit, annotator = _read_by(config, folder)
    damaged: list[int] = []
    if as_json:
        print(json.dumps(_content(folder, config, task, actions, unit, annotator, damaged), indent=1))
    else:
        style = Style(_console(width), full, names, unit, annotator)
        if actions:
            lines = _actions(folder, config, style, damaged)
        else:
            lines = (
                _list(folder, config, style, damaged) if task is None else _task(folder, config, task, style, damaged)
            )
        for line in lines:
            print(encodable(line, sys.stdout))
    if damaged:
        print(f"josh: {folder / EPISODES}: line {', '.join(map(str, damaged))} is damaged", file=sys.stderr)


def _records() -> Path:
    """Returns the folder where runs go by default."""
    return Path(str(core()["log_dir"].default))


def _console(width: int | None) -> "Console":
    out = sys.stdout
    return console_for(out, width or max(NARROWEST, columns(out)), colours=in_colours(out, environment()))


def _holds_runs(folder: Path) -> bool:
    # This imports numpy, which no other part of `josh show` needs.
    from josh.runs.report.records import holds_runs

    return holds_runs(folder)


def _show_records(records: Path, width: int | None, *, as_json: bool) -> None:
    """Print a line for every run, evaluation and loop in a folder."""
    from josh.runs.report.records import entries_in, left_out_in, left_out_line, lines_of

    entries = entries_in(records)
    if as_json:
        runs = [asdict(entry) for entry in entries]
        print(json.dumps({"folder": str(records), "runs": runs, "left_out": left_out_in(records)}, indent=1))
        return
    room = _console(width).width
    for entry in entries:
        first, *others = (in_a_line(line) for line in lines_of(entry))
        for line in [*wrap(first, room), *(f"  {part}" for other in others for part in wrap(other, room - 2))]:
            print(encodable(line, sys.stdout))
    if left_out := left_out_line(left_out_in(records)):
        print(encodable(f"\nnot listed: {in_a_line(left_out)}", sys.stdout))
    print(f"\nsee one of them: josh show {records / entries[0].name}; all on a page: josh report {records}")


def _content(
    folder: Path,
    config: Mapping[str, Any],
    task: str | None,
    actions: bool,
    unit: str,
    annotator: Annotator,
    damaged: list[int],
) -> dict[str, Any]:
    """Returns the content of `josh show --json`: that of a run, of a task, or of the table of actions."""
    if task is not None:
        for line, _ in _wanted(folder, config, task, damaged):
            found: dict[str, Any] = json.loads(line)
            return found
    if actions:
        return {"folder": str(folder), "unit": unit, **_tallied(folder, config, annotator, damaged)}
    episodes = {episode.task.id: episode for _, episode in stored_episodes(folder / EPISODES, damaged)}
    ids = list(dict.fromkeys([*ids_of_tasks(config), *episodes]))
    tasks = [_task_content(number, name, episodes.get(name)) for number, name in enumerate(ids, 1)]
    return {"folder": str(folder), "title": _title(folder, config, len(ids)), "unit": unit, "tasks": tasks}


def _task_content(number: int, task: str, episode: Episode | None) -> dict[str, Any]:
    shown: dict[str, Any] = {"number": number, "task": task, "outcome": "not finished"}
    if episode is None:
        return shown | dict.fromkeys(("reward", "success", "rounds", "turns", "errors"))
    scored = episode.scored
    return shown | {
        "outcome": verdict(episode),
        "reward": episode.reward if scored else None,
        "success": episode.success if scored else None,
        "rounds": episode.rounds if scored else None,
        "turns": len(episode.tree.nodes) - 1,
        "errors": errors_in(episode),
        **({} if (share := _again(episode)) is None else {"wins_again": share}),
    }


def _again(episode: Episode) -> float | None:
    """Returns the share of fresh users with whom a task's golden path won again; None where it was not confirmed."""
    found = confirmed_in(episode)
    return None if found is None else found.share


def _config(folder: Path) -> dict[str, Any]:
    """Returns a run's configuration; empty if only its episodes are left. Raises UsageError if it is not a run."""
    try:
        return read_config(folder)
    except UsageError:
        if not (folder / EPISODES).exists():
            raise
        return {}


def _read_by(config: Mapping[str, Any], folder: Path) -> tuple[Mapping[str, str], str, Annotator]:
    """Returns the names of the sides, the unit of rewards, and the words for facts; defaults without the plug-ins."""
    with suppress(JoshError, KeyError):
        settings = read_settings(folder, config)
        env, rewards = world_of(settings, folder, careful=True)
        return env.speakers, rewards.unit, Annotator.of(rewards, settings.rewards)
    return BaseEnv.speakers, BaseRewards.unit, Annotator()


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
            "" if (share := _again(episode)) is None else f"{share:.2f}",
        ]
        for _, episode in stored_episodes(folder / EPISODES, damaged)
    }
    ids = list(dict.fromkeys([*ids_of_tasks(config), *found]))
    yield _title(folder, config, len(ids))
    if not ids:
        yield "no task was finished"
        return
    rows = [["", "task", "reward", "rounds", "outcome", "turns", "errors", "wins again"]]
    rows += [
        [str(number), visible(task).replace("\n", r"\n"), *found.get(task, ["", "", "not finished", "", "", ""])]
        for number, task in enumerate(ids, 1)
    ]
    if not any(row[-1] for row in rows[1:]):
        rows = [row[:-1] for row in rows]
    rest = max(map(cell_len, align_columns([row[0], "", *row[2:]] for row in rows)))
    room = max(_ID, style.console.width - rest)
    yield from ["", *align_columns([row[0], shortened(row[1], room), *row[2:]] for row in rows), ""]
    example = next((number for number, task in enumerate(ids, 1) if task in found), 1)
    yield f"see one of them, by number or id: josh show {folder} {example}"


def _actions(folder: Path, config: Mapping[str, Any], style: Style, damaged: list[int]) -> Iterator[str]:
    """Yields a title, the table of `ActionTally`, and the meaning of its columns."""
    from josh.runs.report.actions import EXPLAINED, actions_text

    figures = _tallied(folder, config, style.annotator, damaged)
    room = style.console.width
    yield from wrap(_title(folder, config, figures["tasks"]), room)
    about = f"{counted(figures['turns'], 'turn')} of the {style.names['agent']} in {counted(figures['tasks'], 'task')}"
    unknown = figures["unknown"]
    cut = f"; {unknown} of them have no reward below, because a win cut them off, or an error" if unknown else ""
    yield from ["", *wrap(about + cut, room), "", *actions_text(figures, style.unit, room), ""]
    yield from (line for text in EXPLAINED for line in wrap(text, room))
    if table := figures.get("turn_table"):
        yield from ["", *wrap(table["title"], room), "", *turn_table_text(table, room), "", *wrap(table["about"], room)]


def _tallied(folder: Path, config: Mapping[str, Any], annotator: Annotator, damaged: list[int]) -> dict[str, Any]:
    """Returns the figures of `ActionTally` and, as `turn_table`, of `TurnTally` for a run."""
    # This imports numpy, which other parts of `josh show` do not need.
    from josh.runs.report.actions import ActionTally, done_in
    from josh.runs.report.tree_data import CarefulEnv

    env = BaseEnv({})
    with suppress(JoshError, KeyError):
        env, _ = world_of(read_settings(folder, config), folder, careful=True)
    tally, careful, turns = ActionTally(), CarefulEnv(env), TurnTally(annotator)
    for _, episode in stored_episodes(folder / EPISODES, damaged):
        tally.add(episode, done_in(episode, careful))
        turns.add(episode)
    table = turns.figures()
    return {**tally.figures(), **({"turn_table": table} if table else {})}


def _title(folder: Path, config: Mapping[str, Any], tasks: int) -> str:
    name = folder.resolve().name
    with suppress(JoshError, KeyError, TypeError, AttributeError):
        settings = read_settings(folder, config)
        return visible(f"{name}: {headline(settings, config['plays'], how_played(config, settings), tasks)}")
    return f"{name}: {counted(tasks, 'task')}"


def _task(folder: Path, config: Mapping[str, Any], wanted: str, style: Style, damaged: list[int]) -> Iterator[str]:
    """Yields the tree of one task."""
    for _, episode in _wanted(folder, config, wanted, damaged):
        yield from tree_lines(episode, style)


def _wanted(
    folder: Path, config: Mapping[str, Any], wanted: str, damaged: list[int]
) -> Iterator[tuple[str | bytes, Episode]]:
    """Yields the line and the episode of one task. Raises UsageError if the run does not have it."""
    ids, number = ids_of_tasks(config), int(wanted) if wanted.isdecimal() and len(wanted) <= _DIGITS else 0
    if wanted == "0" and wanted not in ids:
        raise UsageError(f"{folder} has no task 0; the numbers of tasks begin with 1")
    if number and wanted not in ids and ids:
        if number > len(ids):
            raise UsageError(f"there is no task {number}; {folder} has tasks 1 to {len(ids)}")
        wanted = ids[number - 1]
    met = []
    for line, episode in stored_episodes(folder / EPISODES, damaged):
        met.append(episode.task.id)
        if wanted == episode.task.id or (not ids and number == len(met)):
            yield line, episode
            return
    if wanted in ids:
        if damaged:
            lines = ", ".join(map(str, damaged))
            raise UsageError(
                f"task {wanted} is not in the lines that can be read; line {lines} of {folder / EPISODES} is damaged, "
                f"and josh --resume {folder} repairs it"
            )
        raise UsageError(f"task {wanted} was not finished; go on with: josh --resume {folder}")
    known = ids or met
    near = [one for one in known if wanted in one][:5] or get_close_matches(wanted, known, 5)
    hint = f"near: {', '.join(near)}" if near else f"josh show {folder} lists them"
    raise UsageError(f"{folder} has no task {wanted!r:.80}; {hint}")
