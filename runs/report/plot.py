"""`josh plot`: draw figures of loops, runs and evaluations into files.

`rounds`: the rewards of a loop's models by round of training. `turns`: the round in which conversations are won.
`pareto`: mean reward against model calls. The numbers come from the folders; drawing needs matplotlib.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from josh.dialogue import Speaker
from josh.errors import UsageError
from josh.outcomes import Episode
from josh.roles import BaseEnv
from josh.runs.evaluate.scores import Metrics
from josh.runs.play.sub_runs import sub_run_from
from josh.runs.record.folder import (
    EPISODES,
    LOOP,
    PLAN,
    HowPlayed,
    how_played,
    read_config,
    read_settings,
    require_distinct,
    runs_in,
    who_played,
)
from josh.runs.record.stored import stored_episodes
from josh.runs.record.summary import person_of
from josh.runs.record.world import world_of
from josh.runs.registry import OFFLINE
from josh.runs.report.figures import PlottedRun, draw_pareto, draw_rounds, draw_turns
from josh.runs.settings import RunSettings
from josh.tree import walk

ROUNDS, TURNS, PARETO = "rounds", "turns", "pareto"
FORMATS = (".png", ".svg", ".pdf")


def plot(paths: Sequence[Path], out: Path | None = None, kind: str | None = None) -> Path:
    """Draw a figure.

    Args:
        paths: folders of runs, evaluations and loops.
        out: the file to write; by default `<kind>.png` in the current folder.
        kind: `rounds`, `turns` or `pareto`; by default `rounds` for a loop alone, `turns` for a run alone.

    Returns:
        The file.

    Raises:
        UsageError: the folders have nothing to plot, matplotlib is missing, or the file cannot be written.
    """
    need_matplotlib()
    require_distinct(paths)
    is_loop = [_is_loop(path) for path in paths]
    if kind is None:
        whole = len(paths) > 1 or (runs_in(paths[0]) and not is_loop[0])
        kind = PARETO if whole else ROUNDS if is_loop[0] else TURNS
    out = out or Path(f"{kind}.png")
    if out.suffix.lower() not in FORMATS:
        raise UsageError(f"out is {str(out)!r}; give a file that ends in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")
    if out.exists() and not out.is_dir() and b"josh" not in out.read_bytes():
        raise UsageError(f"{out} exists and is not a plot of josh; give another --out, or move it away")
    if kind == ROUNDS:
        if is_loop != [True]:
            raise UsageError(f"kind {ROUNDS} takes the folder of one loop, not {', '.join(map(str, paths))}")
        draw_rounds(_figures(paths[0]), out)
        return out
    found = [(run, path) for path in paths for run in _plotted_runs(path)]
    if not found:
        folders = ", ".join(map(str, paths))
        raise UsageError(f"{folders}: no conversation was scored, so there is nothing to plot; give other folders")
    runs = _with_distinct_labels(found)
    (draw_turns if kind == TURNS else draw_pareto)(runs, out)
    return out


def need_matplotlib() -> None:
    """Raises UsageError if matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        raise UsageError("a plot needs matplotlib: pip install -e '.[plot]' -c constraints.txt")


def _is_loop(folder: Path) -> bool:
    try:
        return "stages" in json.loads((folder / PLAN).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def _figures(folder: Path) -> Metrics:
    try:
        figures: Metrics = json.loads((folder / LOOP).read_text(encoding="utf-8"))
        figures["base"], figures["rounds"], figures["names"]["mean"], figures["names"]["rate"]
    except OSError:
        raise UsageError(f"{folder} has no {LOOP} yet; go on with: josh loop --resume {folder}") from None
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{folder / LOOP} is damaged; josh loop --resume {folder} writes it again") from None
    return figures


def _plotted_runs(folder: Path) -> list[PlottedRun]:
    """Returns the runs in a folder: the folder itself, or the scored runs of an evaluation or loop."""
    parts = runs_in(folder)
    if not parts:
        run = _plotted_run(folder)
        return [run] if run else []
    path = folder / PLAN
    plan = json.loads(path.read_text(encoding="utf-8"))
    whole = [sub_run_from(part, path) for part in plan["parts"] if part["folder"] in parts]
    if _is_loop(folder):
        # Only the user model of the training; `sample` exists only for the comparison with the first search.
        main = sub_run_from(plan["parts"][0], path).user
        whole = [part for part in whole if part.user == main and (part.policy or part.folder != "sample")]
    several = len({part.user for part in whole}) > 1
    found = []
    for part in whole:
        label = part.policy or part.folder
        if run := _plotted_run(folder / part.folder, f"{label}, user {part.user}" if several else label):
            found.append(run)
    return found


def _plotted_run(folder: Path, label: str = "") -> PlottedRun | None:
    """Returns one run; None if it has no scored conversation. Raises UsageError if the folder is not a run."""
    config = read_config(folder)
    settings = read_settings(folder, config)
    search = how_played(config, settings)
    env, rewards = world_of(settings, folder, careful=True)
    conversations: list[tuple[int, bool, float, str, str]] = []
    played: list[str] = []
    calls = turns = 0
    for _, episode in stored_episodes(folder / EPISODES, []):
        conversations += _conversations(episode, env)
        played.append(episode.task.id)
        calls += sum(episode.usage(speaker).calls for speaker in Speaker)
        turns += episode.agent_turns
    if not conversations:
        return None
    rounds, won, earned, people, ids = zip(*conversations, strict=True)
    return PlottedRun(
        label or _name(config, settings, search),
        search.searched,
        rounds,
        won,
        earned,
        people,
        ids,
        calls / len(played),
        turns / len(played),
        rewards.unit,
        {"rate": rewards.rate, "mean": rewards.mean},
        frozenset(played),
    )


def _conversations(episode: Episode, env: BaseEnv | None) -> list[tuple[int, bool, float, str, str]]:
    tree = episode.tree
    person = f"task {episode.task.id}" if env is None else person_of(episode.task, env)
    return [
        (
            sum(tree.nodes[index].speaker is Speaker.AGENT for index in walk(tree, leaf)[1:]),
            tree.is_won(leaf),
            reward,
            person,
            episode.task.id,
        )
        for leaf, reward in zip(episode.reported, episode.rewards, strict=True)
    ]


def _name(config: Mapping[str, Any], settings: RunSettings, search: HowPlayed) -> str:
    """Returns the default name of a run: its agent or model, and its search."""
    agent = str(who_played(config).get("agent", settings.agent.name)).rpartition(":")[2]
    name = agent if settings.agent.model == OFFLINE else settings.agent.model
    return f"{name}, {search.words.removeprefix('searched with ')}" if search.searched else name


def _with_distinct_labels(found: Sequence[tuple[PlottedRun, Path]]) -> list[PlottedRun]:
    """Returns runs with different labels: equal labels get the folder's name. Raises UsageError if rewards differ."""
    first = found[0][0]
    for run, path in found:
        if (run.unit, run.names) != (first.unit, first.names):
            names = f"{first.names['mean']} and {run.names['mean']}"
            raise UsageError(f"{found[0][1]} and {path} have different rewards, {names}; plot them separately")
    labels = [run.label for run, _ in found]
    return [
        replace(run, label=run.label if labels.count(run.label) == 1 else f"{run.label} ({path.resolve().name})")
        for run, path in found
    ]
