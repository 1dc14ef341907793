"""`josh proactive pareto`: cost against success, from stored trajectories and runs alone, with their Pareto front.

1. A policy is a run, or each run of an evaluation. It is one point: the mean cost of its conversations, and the share
   of them that solve the task. Tasks that nothing scores count as not solved.
2. Trajectories, and runs with branches, have both actions in the same states. They are the points `always Execute` and
   `always Clarify`, and for each lambda one point: in each state the action with the higher R_task - lambda * C. The
   choice knows how each conversation ended, so no policy can be better than these points with the same words.
3. The table has the utility of each point under each lambda. No model is asked.
"""

import argparse
import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from josh.config import settings_of_plug_in
from josh.envs.proactive.actions import ACTIONS, CLARIFY, EXECUTE
from josh.envs.proactive.cost import require_priced
from josh.errors import UsageError
from josh.rewards.proactive import ProactiveRewards
from josh.rewards.proactive_worth import scores_of, told_in
from josh.runs.evaluate.evaluate import read_evaluation_plan
from josh.runs.export.files import MANIFEST, manifest_of
from josh.runs.intervals import Estimate, mean
from josh.runs.record.folder import CONFIG, EPISODES, PLAN, read_config, read_settings, runs_in
from josh.runs.record.stored import stored_episodes
from josh.runs.record.summary import counted, person_of
from josh.runs.record.world import world_of
from josh.runs.report.figures import PlottedRun, draw_pareto, pareto_front
from josh.runs.report.plot import FORMATS, need_matplotlib
from josh.runs.systems.proactive_files import make_folder_of, refuse_same
from josh.runs.systems.proactive_pairs import Scoring
from josh.runs.systems.proactive_rows import read_trajectories
from josh.terminal import align_columns
from josh.tree import walk

LAMBDAS: Final = "0,.1,.3,1"
_ROLE: Final = "rewards"
_WITHOUT: Final = ("w_interrupt", "allow_exec", "grades")
"""Settings of the rewards that this command does not take: lambda is the weight of the cost, and nothing is run."""


@dataclass(frozen=True, slots=True)
class Talk:
    """One stored conversation.

    Attributes:
        task: the id of its state.
        person: what intervals are drawn over: the state, or the state that it repeats.
        action: the agent's first action.
        cost: C_interrupt.
        score: R_task; None where nothing scores it.
    """

    task: str
    person: str
    action: str | None
    cost: float
    score: float | None

    @property
    def success(self) -> float:
        """1 where R_task is 1, else 0."""
        return float(self.score == 1)

    def utility(self, w_task: float, weight: float) -> float:
        """Returns the reward under a weight of the cost; without R_task, minus the weighted cost."""
        return w_task * (self.score or 0.0) - weight * self.cost


@dataclass(frozen=True, slots=True)
class Point:
    """A point of the picture.

    Attributes:
        source: the file or folder that it comes from.
        label: the policy.
        weight: the lambda by which its actions were chosen; None for a policy.
        talks: its conversations, by state.
    """

    source: str
    label: str
    weight: float | None
    talks: Mapping[str, Sequence[Talk]]

    def estimate(self, of: Any) -> Estimate:
        """Returns the mean over states of a number of their conversations."""
        values = [(fmean(map(of, talks)), talks[0].person) for talks in self.talks.values()]
        return mean([value for value, _ in values], [person for _, person in values])


def add_pareto_flags(parser: argparse.ArgumentParser, _: Sequence[str] = ()) -> None:
    """Add the flags of `josh proactive pareto`."""
    parser.usage = "josh proactive pareto RUN... [FLAGS]"
    parser.description = (
        "Draws cost against success, from stored conversations alone. RUN is a file of trajectories, a run, an "
        "evaluation, or a folder of runs and evaluations."
    )
    parser.add_argument("paths", type=Path, nargs="+", metavar="RUN", help="file of trajectories, or folder")
    parser.add_argument(
        "--lambda", dest="weights", default=LAMBDAS, metavar="LIST", help=f"weights of the cost (default: {LAMBDAS})"
    )
    parser.add_argument("--out", type=Path, default=Path("pareto.png"), help="the picture (default: pareto.png)")
    parser.add_argument("--csv", type=Path, help="the table (default: beside the picture, with the ending .csv)")
    group = parser.add_argument_group("weights")
    for one in settings_of_plug_in(ProactiveRewards, _ROLE):
        if one.name not in _WITHOUT:
            kind = {int: int, float: float}.get(one.kind, str)
            default = "" if one.default is None else f" (default: {one.default})"
            group.add_argument(f"--{one.name}", type=kind, help=f"{one.rule.help}{default}".replace("%", "%%"))


def run_pareto(args: argparse.Namespace) -> int:
    """Draw the picture, and write the table. Returns the exit code. Raises UsageError; nothing is written."""
    weights = _lambdas(args.weights)
    names = [one.name for one in settings_of_plug_in(ProactiveRewards, _ROLE) if one.name not in _WITHOUT]
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    require_priced(given)
    scoring = Scoring(given)
    table = args.csv or args.out.with_suffix(".csv")
    if args.out.suffix.lower() not in FORMATS:
        raise UsageError(f"out is {str(args.out)!r}; give a file that ends in {', '.join(FORMATS)}")
    if args.out == table:
        raise UsageError(f"csv is {str(table)!r}, and so is out; give another file")
    for name, path in (("out", args.out), ("csv", table)):
        for one in args.paths:
            refuse_same(name, path, {"pareto": one})
        if path.is_file() and (path.name.endswith(MANIFEST) or manifest_of(path).exists()):
            raise UsageError(f"{name} is {str(path)!r}, which is of an export; give another file")
    need_matplotlib()
    sources = [source for path in args.paths for source in sources_in(path, scoring)]
    points = [point for name, label, talks in sources for point in points_of(name, label, talks, weights, scoring)]
    for path in (args.out, table):
        make_folder_of(path)
    rows = table_rows(points, weights, scoring.weights.w_task)
    _write(table, rows)
    draw_pareto([_plotted(point) for point in points], args.out, "cost of a conversation: mean C_interrupt")
    unscored = sum(talk.score is None for _, _, talks in sources for talk in talks)
    if unscored:
        print(f"josh: {counted(unscored, 'conversation')} without R_task count as not solved")
    shown = [["", "cost", "success", "front"]]
    shown += [[f"  {row['policy']}", row["cost"], row["success"], row["front"]] for row in rows[:: len(weights)]]
    print("\n".join(align_columns(shown)))
    print(f"written to      {args.out}, {table}")
    return 0


def _lambdas(text: str) -> list[float]:
    try:
        found = [float(one) for one in text.split(",")]
    except ValueError:
        found = []
    if not found or not all(0 <= one < float("inf") for one in found):
        raise UsageError(f"lambda is {text!r}; give numbers of 0 or more, with commas, such as {LAMBDAS}")
    return list(dict.fromkeys(found))


# Reading


Source = tuple[str, str, list[Talk]]
"""A file or folder, the name of its policy (empty where it has both actions), and its conversations."""


def sources_in(path: Path, scoring: Scoring) -> Iterator[Source]:
    """Yields the conversations of a file of trajectories, a run, an evaluation, or a folder of these.

    Raises:
        UsageError: it is none of these, or a run is of another world.
    """
    if path.is_file():
        yield str(path), "", list(_in_trajectories(path, scoring))
    elif (path / CONFIG).is_file():
        talks = list(_in_run(path, scoring))
        yield str(path), "" if _branches(talks) else path.resolve().name, talks
    elif (path / PLAN).is_file() and runs_in(path):
        for part in read_evaluation_plan(path)["parts"]:
            if (path / part.folder / CONFIG).is_file():
                yield str(path), part.policy, list(_in_run(path / part.folder, scoring))
    elif path.is_dir():
        inside = sorted(one for one in path.iterdir() if (one / EPISODES).is_file() or (one / PLAN).is_file())
        if not inside:
            raise UsageError(f"{path} has no run and no evaluation; give one, or a file of trajectories")
        for one in inside:
            yield from sources_in(one, scoring)
    else:
        raise UsageError(f"{path} does not exist; give a file of trajectories, or the folder of a run")


def _in_trajectories(path: Path, scoring: Scoring) -> Iterator[Talk]:
    for one in scoring.scored(read_trajectories(path)):
        trajectory = one.trajectory
        if not trajectory.point and not trajectory.turn:
            yield Talk(trajectory.state.id, trajectory.state.id, trajectory.action, one.cost, one.task)


def _in_run(folder: Path, scoring: Scoring) -> Iterator[Talk]:
    settings = read_settings(folder, read_config(folder))
    env, _ = world_of(settings, folder)
    for _, episode in stored_episodes(folder / EPISODES, []):
        tree = episode.tree
        begun: set[int] = set()
        for leaf in episode.reported:
            path = walk(tree, leaf)[1:]
            if path[0] in begun:
                continue  # a later branch of the same first message
            begun.add(path[0])
            nodes = [tree.nodes[index] for index in path]
            told = told_in([(node.speaker, node.turn.facts, node.turn.observed) for node in nodes])
            if not told or "delivers" not in told[0][0]:
                raise UsageError(f"{folder} is not a run of the proactive world; give one of --env proactive")
            found = scores_of(told, scoring.weights)
            action = told[0][0].get("action")
            yield Talk(episode.task.id, person_of(episode.task, env), action, found["interrupt"], found.get("task"))


def _branches(talks: Iterable[Talk]) -> bool:
    """Returns whether some state has conversations that begin with different actions."""
    first: dict[str, str | None] = {}
    return any(first.setdefault(talk.task, talk.action) != talk.action for talk in talks)


# Points


def points_of(
    source: str, label: str, talks: Sequence[Talk], weights: Sequence[float], scoring: Scoring
) -> Iterator[Point]:
    """Yields the points of a source; see the head of this file. Raises UsageError where it has no conversation."""
    by_task: dict[str, list[Talk]] = {}
    for talk in talks:
        by_task.setdefault(talk.task, []).append(talk)
    if not by_task:
        raise UsageError(f"{source} has no conversation; play it first")
    if label:
        yield Point(source, label, None, by_task)
        return
    both = {task: acting for task, found in by_task.items() if len(acting := _by_action(found)) == len(ACTIONS)}
    if not both:
        raise UsageError(f"{source} has no state with both actions; give trajectories with branches")
    for action in (EXECUTE, CLARIFY):
        yield Point(source, f"always {action}", None, {task: acting[action] for task, acting in both.items()})
    for weight in weights:

        def worth(found: Sequence[Talk], weight: float = weight) -> float:
            return fmean(talk.utility(scoring.weights.w_task, weight) for talk in found)

        chosen = {task: max((acting[EXECUTE], acting[CLARIFY]), key=worth) for task, acting in both.items()}
        yield Point(source, f"best action, lambda {weight:g}", weight, chosen)


def _by_action(talks: Iterable[Talk]) -> dict[str, list[Talk]]:
    found: dict[str, list[Talk]] = {}
    for talk in talks:
        if talk.action in ACTIONS:
            found.setdefault(str(talk.action), []).append(talk)
    return found


def table_rows(points: Sequence[Point], weights: Sequence[float], w_task: float) -> list[dict[str, str]]:
    """Returns a row for each point and each lambda; numbers have six decimals.

    Args:
        points: the points. Those over the same states share a front.
        weights: the lambdas.
        w_task: the weight of R_task.

    Returns:
        `source`, `policy`, `lambda`, `states`, and `cost`, `success`, `utility`, each with the ends of its interval
        (`_low`, `_high`); `front`: 1 where no point of the same or a lower cost has a higher success.
    """
    places = [(point.estimate(lambda talk: talk.cost), point.estimate(lambda talk: talk.success)) for point in points]
    spots = [
        (frozenset(point.talks), cost.value or 0.0, success.value or 0.0)
        for point, (cost, success) in zip(points, places, strict=True)
    ]
    front: set[tuple[frozenset[str], float, float]] = set()
    for states in dict.fromkeys(one for one, _, _ in spots):
        own = [spot for spot in spots if spot[0] == states]
        front |= {own[at] for at in pareto_front([spot[1:] for spot in own])}
    rows = []
    for place, point in enumerate(points):
        for weight in weights:
            utility = point.estimate(lambda talk, weight=weight: talk.utility(w_task, weight))
            numbers = dict(zip(("cost", "success", "utility"), (*places[place], utility), strict=True))
            rows.append(
                {
                    "source": point.source,
                    "policy": point.label,
                    "lambda": f"{weight:g}",
                    "states": str(len(point.talks)),
                    **{key: text for name, one in numbers.items() for key, text in _texts(name, one).items()},
                    "front": str(int(spots[place] in front)),
                }
            )
    return rows


def _texts(name: str, one: Estimate) -> dict[str, str]:
    ends = {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high}
    return {key: "" if number is None else f"{number + 0.0:.6f}" for key, number in ends.items()}


def _plotted(point: Point) -> PlottedRun:
    tasks = list(point.talks)
    cost = point.estimate(lambda talk: talk.cost).value or 0.0
    values = tuple(fmean(talk.success for talk in point.talks[task]) for task in tasks)
    people = tuple(point.talks[task][0].person for task in tasks)
    names = {"rate": "task success", "mean": "task success"}
    return PlottedRun(point.label, False, (), (), values, people, tuple(tasks), cost, 0.0, "", names, frozenset(tasks))


def _write(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    try:
        path.write_text(text.getvalue(), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
