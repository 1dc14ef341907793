"""Draw the figures of `josh plot` and `josh loop` with matplotlib: numbers in, a file out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from statistics import fmean
from typing import Any

from josh.errors import UsageError
from josh.runs.evaluate.scores import Metrics
from josh.runs.intervals import Estimate, mean
from josh.runs.record.summary import counted

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette for colour-blind readers, without its yellow, which is hard to see on white."""
_MARKS = ("o", "s", "^", "D", "v", "P", "X")
_FRONTS = ("--", ":", "-.", (0, (1, 3)))
"""The lines of the Pareto fronts of several sets of tasks."""
_LONGEST = 60
"""Most characters of a label; a longer label loses its middle."""
_BANDS = 4
"""Most runs whose intervals are drawn as bands; more bands would hide each other."""


@dataclass(frozen=True, slots=True)
class PlottedRun:
    """One plotted run.

    Attributes:
        label: its name in the legend.
        searched: its conversations are the best paths of searches; otherwise they are all of its conversations.
        rounds: the rounds of every scored conversation.
        won: whether each met all goals, in the same order.
        rewards: the reward of each, in the same order.
        people: the person of each, in the same order.
        task_ids: the task of each, in the same order.
        played: the ids of all its tasks; runs with the same tasks share a Pareto front.
        calls: model calls of both sides, in all branches, per task.
        turns: turns of the agent, in all branches, per task.
        unit: the unit of rewards.
        names: the names of the share of won conversations (`rate`) and of the mean reward (`mean`).
    """

    label: str
    searched: bool
    rounds: tuple[int, ...]
    won: tuple[bool, ...]
    rewards: tuple[float, ...]
    people: tuple[str, ...]
    task_ids: tuple[str, ...]
    calls: float
    turns: float
    unit: str
    names: Mapping[str, str]
    played: frozenset[str] = frozenset()

    @property
    def tasks(self) -> int:
        """The number of tasks with a scored conversation."""
        return len(set(self.task_ids))

    def by_round(self, limit: int) -> list[Estimate]:
        """Returns the share won up to the end of each round, from 0 to the limit; see `reward`."""
        return [self._share(lambda rounds, last=last: rounds <= last) for last in range(limit + 1)]  # type: ignore[misc]

    def in_round(self, number: int) -> float:
        """Returns the share won in a round."""
        return self._share(lambda rounds: rounds == number).value or 0.0

    def _share(self, when: Callable[[int], bool]) -> Estimate:
        return self._over_tasks([float(won and when(n)) for n, won in zip(self.rounds, self.won, strict=True)])

    @property
    def reward(self) -> Estimate:
        """The mean reward over tasks. Every task has the same weight: its value is the mean of its conversations."""
        return self._over_tasks(self.rewards)

    def _over_tasks(self, values: Sequence[float]) -> Estimate:
        found: dict[str, list[float]] = {}
        for task, value in zip(self.task_ids, values, strict=True):
            found.setdefault(task, []).append(value)
        people = dict(zip(self.task_ids, self.people, strict=True))
        return mean(list(map(fmean, found.values())), [people[task] for task in found])


def draw_rounds(figures: Metrics, path: Path) -> None:
    """Draw a loop: the mean reward and the share won by round of training, with 95 % intervals.

    Round 0 is the base. Horizontal lines are reference policies. Other user models have only the base and the last
    round.

    Args:
        figures: `loop.json`.
        path: the file to write.
    """
    rows = [figures["base"], *figures["rounds"]]
    numbers = [0, *(row["round"] for row in figures["rounds"])]
    apart = 0.01 * numbers[-1]  # marks of the same round must not hide each other
    figure = _figure(9.5, 4.6)
    for place, kind in enumerate(("mean", "rate")):
        name = figures["names"][kind]
        axes = figure.add_subplot(1, 2, place + 1)
        _bars(axes, numbers, [_estimate(row, name) for row in rows], COLOURS[0], "o", "tuned", "-")
        if figures["control"]:
            _bars(
                axes, [1 + apart], [_estimate(figures["control"], name)], COLOURS[1], "X", "control: losing paths", ""
            )
        for other, (user, cells) in enumerate(figures["other_users"].items()):
            ends = [_estimate(cells[which], name) for which in ("base", f"round {numbers[-1]}")]
            shift = apart * (other + 1)
            colour, mark = COLOURS[2 + other % 4], _MARKS[1 + other % 5]
            _bars(axes, [-shift, numbers[-1] - shift], ends, colour, mark, f"user {user}", "--")
        for shade, (label, cell) in enumerate(figures["references"].items()):
            style = (":", "-.", (0, (5, 5)), (0, (1, 4)))[shade % 4]
            axes.axhline(cell[name] or 0.0, color="#555555", linestyle=style, linewidth=1.2, label=label)
        axes.set_xticks(numbers, ["base", *map(str, numbers[1:])])
        axes.set_xlim(-5 * apart, numbers[-1] + 5 * apart)
        axes.set_xlabel("round of training")
        _count_from_nothing(axes, name, figures["unit"] if kind == "mean" else "")
    each = counted(figures["conversations_per_task"], "conversation")
    tasks = counted(figures["test_tasks"], "held-out task")
    figure.suptitle(f"{tasks}, {each} each, user {figures['user']}; 95 % intervals", fontsize="medium")
    _legend(figure, axes)
    _save(figure, path)


def draw_turns(runs: Sequence[PlottedRun], path: Path) -> None:
    """Draw when conversations are won: the share won up to each round, with 95 % intervals, and in each round.

    Args:
        runs: the runs.
        path: the file to write.
    """
    figure = _figure(7.5, 6.0 + 0.22 * len(runs))
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    limit = max(rounds for run in runs for rounds in run.rounds)
    wide = 0.8 / len(runs)
    for place, run in enumerate(runs):
        colour = COLOURS[place % len(COLOURS)]
        style = ("-", "--", ":")[place // len(COLOURS) % 3]
        shares = run.by_round(limit)
        conversations = counted(len(run.rounds), "best path" if run.searched else "conversation")
        label = f"{_short(run.label)} (n = {counted(run.tasks, 'task')}, {conversations})"
        steps = range(limit + 1)
        # The last value is repeated, so that the last round is as wide as the others.
        ends = [*steps, limit + 1]
        values = [share.value or 0.0 for share in (*shares, shares[-1])]
        above.step(ends, values, where="mid", color=colour, linestyle=style, linewidth=1.8, label=label)
        if len(runs) <= _BANDS and shares[0].low is not None:
            low, high = ([getattr(share, end) for share in (*shares, shares[-1])] for end in ("low", "high"))
            above.fill_between(ends, low, high, step="mid", color=colour, alpha=0.15, linewidth=0)
        spots = [number + (place - (len(runs) - 1) / 2) * wide for number in steps[1:]]
        below.bar(
            spots,
            [run.in_round(number) for number in steps[1:]],
            wide,
            facecolor="white" if place >= len(COLOURS) else colour,
            edgecolor=colour,
            linestyle=style,
            linewidth=0.8,
        )
    what = runs[0].names["rate"].replace("_", " ")
    above.set_ylim(0, 1.02)
    if len(runs) <= _BANDS:
        above.set_title("bands: 95 % intervals", fontsize="medium")
    above.set_ylabel(f"{what}\nup to this round")
    below.set_ylabel(f"{what}\nin this round")
    below.set_ylim(bottom=0)
    below.set_xlabel("round of the conversation (a turn of each side)")
    below.set_xlim(0.4, limit + 0.6)
    below.set_xticks(range(1, limit + 1, 1 + limit // 25))
    for axes in (above, below):
        _grid(axes)
    figure.legend(loc="outside lower center", frameon=False, fontsize="small")
    _save(figure, path)


def draw_pareto(runs: Sequence[PlottedRun], path: Path, across: str = "") -> None:
    """Draw mean reward, with 95 % intervals, against model calls per task; the Pareto fronts are marked.

    Only runs on the same tasks are compared, so each set of tasks has a front of its own. If no run asked a model, the
    horizontal axis counts the agent's turns. Points that would hide each other stand side by side, such as several
    policies without calls.

    Args:
        runs: the runs.
        path: the file to write.
        across: the name of the horizontal axis, where `calls` are another cost; empty for model calls.
    """
    asked = bool(across) or any(run.calls for run in runs)
    costs = [run.calls if asked else run.turns for run in runs]
    rewards = [run.reward for run in runs]
    sets = list(dict.fromkeys(run.played for run in runs))
    figure = _figure(9.5, max(4.6, 1.2 + 0.27 * (len(runs) + len(sets))))
    axes = figure.add_subplot()
    log = min(costs) > 0 and max(costs) > 20 * min(costs)
    spots = costs if log else side_by_side(costs, apart=0.012 * (max(costs) or 1))
    front: set[int] = set()
    for number, tasks in enumerate(sets):
        own = [place for place, run in enumerate(runs) if run.played == tasks]
        best = [own[at] for at in pareto_front([(costs[place], rewards[place].value or 0.0) for place in own])]
        front.update(best)
        corners = [(spots[place], rewards[place].value) for place in best]
        name = f", tasks {_letter(number)}" if len(sets) > 1 else ""
        axes.step(
            *zip(*corners, strict=True),
            where="post",
            color="#999999",
            linestyle=_FRONTS[number % len(_FRONTS)],
            linewidth=1.2,
            zorder=1,
            label=f"Pareto front{name} (filled marks)",
        )
    for place, (run, spot, reward) in enumerate(zip(runs, spots, rewards, strict=True)):
        colour, mark = COLOURS[place % len(COLOURS)], _MARKS[(place + place // len(COLOURS)) % len(_MARKS)]
        of = f" {_letter(sets.index(run.played))}" if len(sets) > 1 else ""
        label = f"{_short(run.label)}{', best path' if run.searched else ''} ({counted(run.tasks, 'task')}{of})"
        _bars(axes, [spot], [reward], colour, mark, label, "", hollow=place not in front)
    if log:
        axes.set_xscale("log")
    else:
        axes.set_xlim(min(spots) - 0.03 * (max(costs) or 1), max(spots) + 0.06 * (max(costs) or 1))
    axes.set_xlabel(
        across or "model calls per task, both sides"
        if asked
        else "turns of the agent per task, all branches (no model was asked)"
    )
    _count_from_nothing(axes, runs[0].names["mean"], runs[0].unit)
    axes.set_ylim(bottom=-0.02 * axes.get_ylim()[1])
    apart = f"; {len(sets)} sets of tasks, not comparable with each other" if len(sets) > 1 else ""
    axes.set_title(f"bars: 95 % intervals{apart}", fontsize="medium")
    _legend(figure, axes)
    _save(figure, path)


def side_by_side(spots: Sequence[float], apart: float) -> list[float]:
    """Returns places at which no point hides another: equal ones are moved apart, in their order, around their place.

    Args:
        spots: the places of the points.
        apart: the distance between neighbours.
    """
    groups: dict[float, list[int]] = {}
    for place, spot in enumerate(spots):
        groups.setdefault(spot, []).append(place)
    moved = list(spots)
    for spot, places in groups.items():
        for at, place in enumerate(places):
            moved[place] = spot + (at - (len(places) - 1) / 2) * apart
    return moved


def _letter(number: int) -> str:
    return chr(ord("A") + number) if number < 26 else f"set {number + 1}"


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Returns the places of the points on the Pareto front, the cheapest first.

    A point is on the front if no point of the same or a lower cost has a higher reward.

    Args:
        points: the cost and the reward of each.
    """
    front: list[int] = []
    for place in sorted(range(len(points)), key=lambda place: (points[place][0], -points[place][1])):
        if not front or points[place][1] > points[front[-1]][1]:
            front.append(place)
    return front


def _estimate(row: Metrics, name: str) -> Estimate:
    low, high = row[f"{name}_ci"]
    return Estimate(row[name], low, high, 0, 0)


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _bars(
    axes: Any,
    spots: Sequence[float],
    estimates: Sequence[Estimate],
    colour: str,
    mark: str,
    label: str,
    line: str,
    *,
    hollow: bool = False,
) -> None:
    """Draw points with their intervals."""
    values = [one.value or 0.0 for one in estimates]
    lows, highs = (
        [abs(value - (end if end is not None else value)) for value, end in zip(values, ends, strict=True)]
        for ends in ([one.low for one in estimates], [one.high for one in estimates])
    )
    axes.errorbar(
        spots,
        values,
        yerr=[lows, highs],
        color=colour,
        marker=mark,
        markersize=7,
        markerfacecolor="white" if hollow else colour,
        linestyle=line,
        linewidth=1.5,
        elinewidth=1.2,
        capsize=3,
        label=label,
        zorder=2,
    )


def _count_from_nothing(axes: Any, name: str, unit: str) -> None:
    axes.set_ylabel(f"{name.replace('_', ' ')}{f' ({unit})' if unit else ''}")
    axes.set_ylim(bottom=0)
    _grid(axes)


def _grid(axes: Any) -> None:
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _legend(figure: Any, axes: Any) -> None:
    """Draw the legend beside the axes, the points before the lines."""
    handles, labels = axes.get_legend_handles_labels()
    pairs = sorted(zip(handles, labels, strict=True), key=lambda pair: not hasattr(pair[0], "has_yerr"))
    figure.legend(*zip(*pairs, strict=True), loc="outside right center", frameon=False, fontsize="small")


def _short(label: str) -> str:
    half = _LONGEST // 2 - 1
    return label if len(label) <= _LONGEST else f"{label[:half]}...{label[-half:]}"


def _save(figure: Any, path: Path) -> None:
    """Write a figure; the same numbers give the same bytes. Raises UsageError."""
    from matplotlib import rc_context

    # Without a date the same figure has the same bytes; by the name, `josh plot` knows its own files.
    about: dict[str, dict[str, Any]] = {
        ".png": {"Software": "josh"},
        ".svg": {"Date": None, "Creator": "josh"},
        ".pdf": {"CreationDate": None, "Creator": "josh"},
    }
    kind, drawn = path.suffix.lower(), BytesIO()
    # A dollar sign must not start a formula.
    with rc_context({"svg.hashsalt": "josh", "svg.fonttype": "none", "text.parse_math": False}):
        figure.savefig(drawn, format=kind[1:], dpi=140, metadata=about.get(kind))
    try:
        path.write_bytes(drawn.getvalue())
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
