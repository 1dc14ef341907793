"""`josh plot`: figures of loops, runs and evaluations, as files.

`rounds`: what a loop's models earn, by round of training. `turns`: in which round of a conversation people are won.
`pareto`: mean reward against model calls. The numbers are read back from the folders; drawing needs matplotlib.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from josh.episode import Episode
from josh.errors import JoshError, UsageError
from josh.roles import BaseEnv, BaseRewards
from josh.runs.evaluate.scores import Figures
from josh.runs.play.sub_runs import part_from
from josh.runs.record.folder import CONFIG, EPISODES, LOOP, PLAN, read_config, runs_in, who_played
from josh.runs.record.stored import stored_episodes
from josh.runs.record.summary import person_of
from josh.runs.registry import env_class, plugged, rewards_class
from josh.runs.report.figures import Line, draw_pareto, draw_rounds, draw_turns
from josh.runs.settings import BEST, OFFLINE, RunSettings, recorded
from josh.tree import Speaker, walk

ROUNDS, TURNS, PARETO = "rounds", "turns", "pareto"
FORMATS = (".png", ".svg", ".pdf")


def plot(paths: Sequence[Path], out: Path | None = None, kind: str | None = None) -> Path:
    """Draw a figure.

    Args:
        paths: folders of runs, evaluations and loops.
        out: the file to write; by default it is called by its kind, a PNG in the current folder.
        kind: `rounds`, `turns` or `pareto`; by default `rounds` for a loop alone, `turns` for a run alone.

    Returns:
        The file.

    Raises:
        UsageError: the folders hold nothing of the kind, matplotlib is missing, or the file cannot be written.
    """
    need_matplotlib()
    is_loop = [_is_loop(path) for path in paths]
    if kind is None:
        whole = len(paths) > 1 or (runs_in(paths[0]) and not is_loop[0])
        kind = PARETO if whole else ROUNDS if is_loop[0] else TURNS
    out = out or Path(f"{kind}.png")
    if out.suffix.lower() not in FORMATS:
        raise UsageError(f"out is {str(out)!r}; give a file that ends in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")
    if kind == ROUNDS:
        if is_loop != [True]:
            raise UsageError(f"kind {ROUNDS} takes the folder of one loop, not {', '.join(map(str, paths))}")
        draw_rounds(_figures(paths[0]), out)
        return out
    found = [(line, path) for path in paths for line in _lines(path)]
    if not found:
        raise UsageError(f"no conversation came to an end in {', '.join(map(str, paths))}; there is nothing to plot")
    lines = _told_apart(found)
    (draw_turns if kind == TURNS else draw_pareto)(lines, out)
    return out


def need_matplotlib() -> None:
    """Raises UsageError where matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        raise UsageError("a plot needs matplotlib: pip install 'josh-dialogue[plot]'")


def _is_loop(folder: Path) -> bool:
    try:
        return "stages" in json.loads((folder / PLAN).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def _figures(folder: Path) -> Figures:
    try:
        figures: Figures = json.loads((folder / LOOP).read_text(encoding="utf-8"))
        figures["base"], figures["rounds"], figures["names"]["mean"], figures["names"]["rate"]
    except OSError:
        raise UsageError(f"{folder} has no {LOOP} yet; go on with: josh loop --resume {folder}") from None
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{folder / LOOP} is damaged; josh loop --resume {folder} writes it anew") from None
    return figures


def _lines(folder: Path) -> list[Line]:
    """The runs in a folder: itself, or those of an evaluation or loop that have something to show."""
    parts = runs_in(folder)
    if not parts:
        line = _line(folder)
        return [line] if line else []
    path = folder / PLAN
    plan = json.loads(path.read_text(encoding="utf-8"))
    whole = [part_from(part, path) for part in plan["parts"] if part["folder"] in parts]
    if _is_loop(folder):
        # Against the user model that it trained against; the plain conversations beside the first search are for that.
        main = part_from(plan["parts"][0], path).user
        whole = [part for part in whole if part.user == main and (part.policy or part.folder != "sample")]
    several = len({part.user for part in whole}) > 1
    found = []
    for part in whole:
        label = part.policy or part.folder
        if line := _line(folder / part.folder, f"{label}, user {part.user}" if several else label):
            found.append(line)
    return found


def _line(folder: Path, label: str = "") -> Line | None:
    """One run, read back; None where no conversation came to an end. Raises UsageError where it is no run."""
    config = read_config(folder)
    settings = RunSettings(**recorded(config["settings"], folder / CONFIG))
    env, rewards = None, BaseRewards
    with suppress(JoshError):
        env = plugged("env", lambda: env_class(settings.env)(asdict(settings)))
        rewards = rewards_class(settings, env)
    talks: list[tuple[int, bool, float, str, str]] = []
    tasks = calls = turns = 0
    for _, episode in stored_episodes(folder / EPISODES, []):
        talks += _talks(episode, env)
        tasks += 1
        calls += sum(episode.usage(speaker).calls for speaker in Speaker)
        turns += episode.agent_turns
    if not talks:
        return None
    rounds, won, earned, people, ids = zip(*talks, strict=True)
    return Line(
        label or _name(config, settings),
        settings.josh,
        rounds,
        won,
        earned,
        people,
        ids,
        calls / tasks,
        turns / tasks,
        rewards.unit,
        {"rate": rewards.rate, "mean": rewards.mean},
    )


def _talks(episode: Episode, env: BaseEnv | None) -> list[tuple[int, bool, float, str, str]]:
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


def _name(config: Mapping[str, Any], settings: RunSettings) -> str:
    """What a run is called by itself: who plays, and how."""
    agent = str(who_played(config).get("agent", settings.agent)).rpartition(":")[2]
    name = agent if settings.model == OFFLINE else settings.model
    if settings.josh:
        name += f", beam {settings.beam_size}{' to the end' if settings.stop == BEST else ''}"
    return name


def _told_apart(found: Sequence[tuple[Line, Path]]) -> list[Line]:
    """The lines, with the folder's name where two would be called the same. Raises UsageError for other rewards."""
    first = found[0][0]
    for line, path in found:
        if (line.unit, line.names) != (first.unit, first.names):
            names = f"{first.names['mean']} and {line.names['mean']}"
            raise UsageError(f"{found[0][1]} and {path} count different rewards, {names}; plot them apart")
    labels = [line.label for line, _ in found]
    return [
        replace(line, label=line.label if labels.count(line.label) == 1 else f"{line.label} ({path.resolve().name})")
        for line, path in found
    ]
