"""Read a run for its report: figures with intervals, one row per task, and the trees one at a time."""

import json
import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from josh.errors import UsageError
from josh.outcomes import Episode
from josh.roles import BaseEnv, BaseRewards, Task
from josh.runs.evaluate.scores import (
    Metrics,
    PolicyResults,
    TaskResult,
    by_group,
    drawn_from,
    main_measures,
    measures,
    policy_results_of,
    task_result_of,
)
from josh.runs.record.flaws import describe_flaws
from josh.runs.record.folder import (
    EPISODES,
    SUMMARY,
    how_played,
    ids_of_tasks,
    is_imported,
    read_config,
    read_settings,
    read_summary,
    started,
    who_played,
)
from josh.runs.record.headline import headline
from josh.runs.record.journal import answer_times, stored_account
from josh.runs.record.stored import count_examples, stored_episodes
from josh.runs.record.summary import (
    Result,
    bill,
    counted,
    describe_left_out,
    result_of,
    summarize,
    wilson,
)
from josh.runs.registry import ROLES, new_rewards, rewards_class
from josh.runs.report.actions import ActionTally, done_in, name_acts
from josh.runs.report.annotations import Annotator, TurnTally
from josh.runs.report.tree_data import ATTEMPTS, CarefulEnv, Viewer, rewards_by_round
from josh.runs.report.tree_text import ending
from josh.runs.settings import JOSH, RunSettings, choices_of, env_of, options_of, schema_of
from josh.trust import UntrustedError

log = logging.getLogger("josh")


@dataclass
class Reading:
    """A run's folder, read once.

    Attributes:
        folder: the run's folder.
        config: its `config.json`.
        settings: its settings.
        viewer: the environment and the user's side.
        rewards: its rewards class.
        notes: what a reader must know about the report, such as lines that it leaves out.
        rows: the results of its tasks, by id; `trees` fills them.
        damaged: the numbers of the lines of `episodes.jsonl` that are left out; `trees` fills them.
    """

    folder: Path
    config: Mapping[str, Any]
    settings: RunSettings
    viewer: Viewer
    rewards: type[BaseRewards]
    notes: list[str]
    rows: dict[str, TaskResult] = field(default_factory=dict)
    damaged: list[int] = field(default_factory=list)
    _results: list[Result] = field(default_factory=list)
    _leaves: Counter[str] = field(default_factory=Counter)
    _no_rows: Counter[str] = field(default_factory=Counter)
    _tasks: list[dict[str, Any]] = field(default_factory=list)
    _rounds: list[tuple[int, float]] = field(default_factory=list)
    _actions: ActionTally = field(default_factory=ActionTally)

    def __post_init__(self) -> None:
        self._turns = TurnTally(self.viewer.annotator)
        self.search = how_played(self.config, self.settings)
        self._places = {task: place for place, task in enumerate(ids_of_tasks(self.config))}

    def trees(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Yields every finished task: its row for the list of tasks, and its tree.

        Raises:
            UsageError: the episodes cannot be read.
        """
        with answer_times(self.folder) as times:
            for line, episode in stored_episodes(self.folder / EPISODES, self.damaged):
                row = task_result_of(episode, self.settings, self.search, self.viewer.env)
                earned = self.viewer.earned(episode)
                tree = self.viewer.tree(json.loads(line), episode, times(episode.task.id), earned)
                done = done_in(episode, self.viewer.env)
                name_acts(tree["nodes"], episode, done)
                self._actions.add(episode, done)
                self._turns.add(episode)
                self.rows[episode.task.id] = row
                self._results.append(result_of(episode))
                self._no_rows.update([episode.no_rows] if episode.no_rows else [])
                self._leaves.update(ending(episode, leaf) for leaf in episode.outcomes)
                self._rounds += rewards_by_round(episode, earned)
                self._tasks.append(_task_row(episode, row, tree))
                yield self._tasks[-1], tree
        if self.damaged:
            self.notes.append(f"line {', '.join(map(str, self.damaged))} of {EPISODES} is damaged and left out")
        if failed := self.viewer.env.failed:
            first, why = next(iter(failed.items()))
            tasks = counted(len(failed), "task")
            self.notes.append(f"{tasks} shown incompletely, because plug-ins failed; the first, {first}: {why}")

    def head(self) -> dict[str, Any]:
        """Returns what the page shows first; call it when `trees` is exhausted."""
        summary = read_summary(self.folder)
        tasks = int(self.config.get("tasks", len(self._results)))
        people = [row.person for row in self.rows.values()]
        figures = summarize(self._results, people, tasks, int(summary.get("retries") or 0))
        sample = policy_results_of(self.config, self.settings, self.rewards, self.rows, "", "", summary)
        measured = measures(sample)
        return {
            "kind": "run",
            "id": self.folder.resolve().name,
            "headline": headline(
                self.settings, {"agent": "agent", "user": "user"} | who_played(self.config), self.search, tasks
            ),
            "speakers": dict(self.viewer.env.speakers),
            "played": self._played(),
            "names": {"rate": words(self.rewards.rate), "mean": words(self.rewards.mean)},
            "unit": self.rewards.unit,
            "searched": self.search.searched,
            "drawn_from": drawn_from(self.rows),
            "tagged": self.viewer.env.tagged,
            "notes": self._state(figures, summary) + list(map(sentence, self.notes)),
            "counts": {name: figures[name] for name in ("tasks", "finished", "scored", "conversations", "turns")}
            | self._examples(summary),
            "rate": _rate(figures["success_rate"], figures["success_rate_ci95"]),
            "mean": measured["average_reward"],
            "mean_rounds": measured["mean_rounds"],
            "measures": _others(measured),
            "confirmed": figures.get("confirmed"),
            "leaves": dict(sorted(self._leaves.items())),
            "rounds": _by_round(self._rounds),
            "actions": self._actions.figures(),
            "turn_table": self._turns.figures(),
            "groups": _groups(sample),
            "costs": self._costs(summary, figures),
            "settings": self._settings(),
            "tasks": sorted(self._tasks, key=lambda row: self.place(row["id"])),
        }

    def place(self, task: str) -> int:
        """Returns a task's place in the run's order; unfinished runs write tasks in another order."""
        return self._places.get(task, len(self._places))

    def _examples(self, summary: Mapping[str, Any]) -> Metrics:
        """Returns the numbers of examples, all and on golden paths."""
        names = ("training_examples", "golden_examples")
        counts = [summary[name] for name in names] if summary else count_examples(self.folder, self.rows)
        return dict(zip(names, counts, strict=True))

    def spent(self, summary: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns what the run cost, from its summary; from its journal, without prices, if the run was killed."""
        account = {} if summary else stored_account(self.folder)
        return bill(account, {}) | {"unpriced": []} if account else summary

    def _costs(self, summary: Mapping[str, Any], figures: Metrics) -> Metrics:
        spent = self.spent(summary) or figures
        return {
            "sides": [{"side": side} | dict(used) for side, used in spent["usage"].items()],
            "cost": spent.get("cost"),
            "retries": summary.get("retries"),
            "damaged": not summary and (self.folder / SUMMARY).exists(),
            "unpriced": list(spent.get("unpriced", ())),
        }

    def _state(self, figures: Metrics, summary: Mapping[str, Any]) -> list[str]:
        notes = []
        if not summary and (self.folder / SUMMARY).exists():
            notes.append(f"{SUMMARY} is damaged and left out")
        if summary.get("truncated"):
            notes.append(f"Its budget was spent: {summary['truncated']}")
        if not figures["complete"]:
            notes.append(f"Not finished: {figures['finished']} of {counted(figures['tasks'], 'task')}")
        if figures["infra_errors"]:
            errors = counted(figures["infra_errors"], "task")
            notes.append(f"{errors} left out of every mean because of an error; the first: {figures['first_error']}")
        if unrated := figures.get("unrated"):
            notes.append(f"{counted(unrated, 'conversation')} without a reward, which no mean counts")
        notes += describe_flaws(figures)
        left_out = self.config.get("left_out")
        if is_imported(self.config):
            notes += [self._origin(), *_not_imported(left_out)]
        elif isinstance(left_out, dict) and left_out:
            notes.append(f"Left out are {describe_left_out(left_out)}")
        notes += [f"{counted(number, 'task')} {why}, and no training rows" for why, number in self._no_rows.items()]
        if "rescored_from" in self.config:
            notes.append(f"Rescored from {self.config['rescored_from']}")
        return notes

    def _origin(self) -> str:
        """Returns a note on the files of an imported run, and on the personal data that was masked."""
        files = ", ".join(str(each.get("file")) for each in self.config["imported_from"] if isinstance(each, dict))
        masked = self.config.get("masked") or {}
        kinds = ", ".join(f"{number} {kind}" for kind, number in masked.items())
        return f"Imported from {files}{f'; masked: {kinds}' if kinds else ''}"

    def _played(self) -> list[tuple[str, str]]:
        """Returns when the run was played, and the settings that decide how its conversations differ."""
        settings, names = self.settings, self.viewer.env.speakers
        if is_imported(self.config):
            when = started(self.folder, self.config)
            return [("imported", when)] * bool(when)
        sides = {"agent": settings.agent, "user": settings.user}
        shown = [("played", when) for when in [started(self.folder, self.config)] if when]
        shown += [("seed", str(settings.seed))]
        shown += [(f"{names[side]}'s temperature", f"{each.sampling.temperature:g}") for side, each in sides.items()]
        if split := options_of(settings).get("task_split"):
            shown.append(("split", str(split)))
        return shown

    def _settings(self) -> list[tuple[str, str]]:
        """Returns the settings that differ from their defaults."""
        known = schema_of(choices_of(self.settings), missing=ROLES)
        shown = self.shown_settings().items()
        return [(name, str(value)) for name, value in shown if name not in known or value != known[name].default]

    def shown_settings(self) -> dict[str, Any]:
        """Returns settings and versions, without addresses, folders and the names of key variables."""
        shown = {
            name: value
            for name, value in options_of(self.settings).items()
            if not name.endswith(("base_url", "api_key_var")) and name not in ("log_dir", JOSH)
        }
        return shown | dict(self.config.get("versions", {}))


def open_run(folder: Path) -> Reading:
    """Open a run's folder. Plug-ins that cannot be loaded give a note. Raises UsageError if the folder is not a run."""
    config = read_config(folder)
    settings = read_settings(folder, config)
    notes = []
    try:
        env = env_of(settings)
    except UsageError as error:
        env = BaseEnv({})
        notes.append(f"people and groups are missing, because the environment cannot be loaded: {error}")
        _warn(folder, error)
    try:
        rewards = rewards_class(settings.rewards, env)
    except (UsageError, AttributeError) as error:
        rewards = BaseRewards
        notes.append(f"rewards have their plain names, because their class cannot be loaded: {error}")
        _warn(folder, error)
    started_on = partial(_started, rewards, env, settings, options_of(settings))
    viewer = Viewer(CarefulEnv(env), started_on, Annotator.of(rewards, settings.rewards), rewards.unit)
    return Reading(folder, config, settings, viewer, rewards, notes)


def _warn(folder: Path, error: Exception) -> None:
    """Log that a report has plain names, where the run names code that this command may not run."""
    if isinstance(error, UntrustedError):
        log.warning("%s is reported with plain names: %s", folder, error, extra={"once": True})


def _started(
    kind: type[BaseRewards],
    env: BaseEnv,
    settings: RunSettings,
    options: Mapping[str, Any],
    task: Task,
    goals: Sequence[Any],
) -> BaseRewards:
    rewards = new_rewards(kind, settings.rewards, list(goals))
    rewards.start(task, env, options)
    return rewards


def _not_imported(left_out: Any) -> list[str]:
    """Returns a note on what an import left out, if it did."""
    if not isinstance(left_out, dict) or not left_out:
        return []
    return [f"Left out: {', '.join(f'{number} {reason}' for reason, number in left_out.items())}"]


def _task_row(episode: Episode, row: TaskResult, tree: Mapping[str, Any]) -> dict[str, Any]:
    nodes = episode.tree.nodes
    state = "unrated" if episode.unrated else "error" if not episode.scored else "won" if episode.success else "lost"
    return {
        "id": episode.task.id,
        "state": state,
        "ending": episode.ending,
        "success": round(episode.success, 4),
        "reward": round(episode.reward, 6) if episode.scored else None,
        "rounds": round(episode.rounds, 2) if episode.scored else None,
        "turns": len(nodes) - 1,
        "wins": sum(map(episode.tree.is_won, episode.outcomes)),
        "pairs": len(tree["pairs"]),
        "errors": sum(bool(node.turn.error) for node in nodes) or int(bool(episode.error)),
        "duplicates": sum(node.turn.duplicate for node in nodes),
        "attempts": sum(int(node.get(ATTEMPTS.removeprefix("tag_"), 0)) for node in tree["nodes"]),
        "groups": groups_of(row),
    }


def groups_of(row: TaskResult) -> list[str]:
    """Returns the groups of a task, as the page shows them."""
    return [f"{words(kind)}: {name}" for kind, name in row.groups.items()]


def words(name: str) -> str:
    """Returns a name as the page shows it."""
    return name.replace("_", " ")


def sentence(note: str) -> str:
    """Returns a note with a capital first letter."""
    return note[:1].upper() + note[1:]


def _rate(value: float | None, interval: Sequence[float]) -> Metrics:
    """Returns a share with its interval; all are None if nothing was scored."""
    low, high = interval if value is not None else (None, None)
    return {"value": value, "low": low, "high": high}


def _others(measured: Metrics) -> list[Metrics]:
    """Returns the measures beside the three main ones, as rows of a table."""
    found = [{"name": words(name)} | value for name, value in measured["metrics"].items()]
    speed = {"rounds to success": "rounds_to_success", "rounds, at most the limit": "restricted_rounds_to_success"}
    found += [{"name": name} | measured[key] for name, key in speed.items()]
    for kind in ("pass_hat", "pass_at"):
        sign = {"pass_hat": "^", "pass_at": "@"}[kind]
        found += [{"name": f"pass{sign}{k}"} | value for k, value in measured[kind].items() if k != "1"]
    return found


def _by_round(events: Sequence[tuple[int, float]]) -> list[Metrics]:
    earned: defaultdict[int, list[float]] = defaultdict(list)
    for at, reward in events:
        earned[at].append(reward)
    rounds = range(1, max(earned, default=0) + 1)
    return [{"round": at, "count": len(earned[at]), "reward": round(sum(earned[at]), 6)} for at in rounds]


def _groups(sample: PolicyResults) -> list[Metrics]:
    """Returns the rate and the mean of every group; the interval of the rate is computed as for the whole run."""

    def measure(part: PolicyResults) -> Metrics:
        talks = [row.conversations.values() for row in part.rows.values() if row.conversations]
        shares = [fmean(talk.success for talk in each) for each in talks]
        value = fmean(shares) if shares else None
        mean = main_measures(part)["average_reward"]
        return {"rate": _rate(value, wilson(sum(shares), len(shares))), "mean": mean}

    groups = by_group(sample, measure)
    return [
        {"kind": words(kind), "name": name} | part for kind, parts in groups.items() for name, part in parts.items()
    ]
