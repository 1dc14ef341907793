"""Read runs, measure their conversations, and compare policies.

A `PolicyResults` holds the conversations of one policy with one user model. A task and a path in its tree identify a
conversation and decide its seeds, so the results of two policies with the same settings are paired by them.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from josh.config import settings_of_plug_in
from josh.dialogue import Outcome, Speaker
from josh.errors import UsageError
from josh.messages import dumps
from josh.outcomes import Episode, metrics_of
from josh.roles import BaseEnv, BaseRewards, Task
from josh.runs.intervals import Estimate, mcnemar, mean, pass_at, pass_hat, ratio
from josh.runs.play.tasks import round_limit
from josh.runs.record.folder import EPISODES, HowPlayed, how_played, is_imported, read_config, read_settings, who_played
from josh.runs.record.stored import stored_episodes
from josh.runs.record.summary import alone, person_of
from josh.runs.record.world import world_of
from josh.runs.registry import guarded
from josh.runs.settings import RunSettings
from josh.tree import walk

Values = Mapping[str, Sequence[float]]
"""Numbers by the id of the task they belong to."""
Metrics = dict[str, Any]
"""Numbers by name, as JSON has them."""


@dataclass(frozen=True, slots=True)
class ScoredConversation:
    """The result of one conversation that ended without an error."""

    reward: float
    success: bool
    rounds: int
    metrics: Mapping[str, float]
    """The environment's metrics and the rewards' scores, by name."""
    scores: frozenset[str] = frozenset()
    """The names of the scores among the metrics."""

    def rounds_at_most(self, limit: int) -> int:
        """Returns the rounds to success, but at most the limit; without success it returns the limit."""
        return min(self.rounds, limit) if self.success else limit


@dataclass(frozen=True, slots=True)
class TaskResult:
    """The results of one task.

    Attributes:
        digest: a hash of the task's whole content.
        person: the person that its conversations are about; a task without people counts as a person of its own.
        groups: see `BaseEnv.groups`.
        limit: the most rounds of a conversation; longer ones are truncated.
        conversations: the conversations by path, without those that an error ended.
        reference: what people earned in the same task; None if unknown. See `BaseEnv.reference`.
    """

    digest: str
    person: str
    groups: Mapping[str, str]
    limit: int
    conversations: Mapping[str, ScoredConversation]
    reference: float | None = None


@dataclass(frozen=True, slots=True)
class PolicyResults:
    """The conversations of one policy with one user model.

    Attributes:
        policy: the policy's name.
        user: the user model's name.
        user_signature: the identity of the user model: its class, chat models, sampling and configuration.
        comparable_settings: the settings, by name, that must be equal for a comparison of samples.
        unit: the unit of rewards.
        paths: the paths that were played for every task.
        rows: the finished tasks, by id.
        usage: calls, tokens and cost, by side.
        unpriced: the models whose price is unknown.
        imported: whether the conversations were imported: they have no settings and no user model.
    """

    policy: str
    user: str
    user_signature: str
    comparable_settings: Mapping[str, Any]
    unit: str
    paths: tuple[str, ...]
    rows: Mapping[str, TaskResult]
    usage: Mapping[str, Mapping[str, Any]]
    unpriced: tuple[str, ...] = ()
    imported: bool = False

    def of(self, tasks: Iterable[str], paths: Iterable[str]) -> "PolicyResults":
        """Returns the part about some tasks and some paths. Every task must be in `rows`."""
        wanted = set(paths)
        kept = tuple(path for path in self.paths if path in wanted)
        rows = {task: self.rows[task] for task in tasks}
        short = {
            task: replace(row, conversations={path: talk for path, talk in row.conversations.items() if path in kept})
            for task, row in rows.items()
        }
        return replace(self, paths=kept, rows=short)


def read_policy_results(
    folder: Path, policy: str, user: str, summary: Mapping[str, Any], *, searched: bool = False
) -> PolicyResults:
    """Read the conversations of a run.

    Args:
        folder: the run's folder.
        policy: the name for its agent.
        user: the name for its user model.
        summary: the run's `summary.json`.
        searched: accept a search; the best path of each task is then its only conversation.

    Raises:
        UsageError: the folder is not a run; the run is a search and `searched` is false; or a line of its episodes is
            damaged.
    """
    config = read_config(folder)
    settings = read_settings(folder, config)
    search = how_played(config, settings)
    if search.searched and not searched:
        raise UsageError(
            f"{folder} is a search, whose best paths earn more than its agent alone; give a run without --josh (two "
            f"searches: josh report {folder} OTHER)"
        )
    env, rewards = world_of(settings, folder)
    damaged: list[int] = []
    rows = {}
    for _, episode in stored_episodes(folder / EPISODES, damaged):
        rows[episode.task.id] = guarded(
            f"task {episode.task.id}", partial(task_result_of, episode, settings, search, env)
        )
    if damaged:
        raise UsageError(f"{folder / EPISODES}: line {damaged[0]} is damaged; josh --resume {folder} repairs it")
    return policy_results_of(config, settings, rewards, rows, policy, user, summary)


def policy_results_of(
    config: Mapping[str, Any],
    settings: RunSettings,
    rewards: type[BaseRewards],
    rows: Mapping[str, TaskResult],
    policy: str,
    user: str,
    summary: Mapping[str, Any],
) -> PolicyResults:
    """Returns the conversations of a run whose tasks were read already.

    Args:
        config: the run's `config.json`.
        settings: the run's settings.
        rewards: the run's rewards class.
        rows: the results of its finished tasks, by id.
        policy: the name for its agent.
        user: the name for its user model.
        summary: the run's `summary.json`; empty if there is none.
    """
    plays = who_played(config)
    limits, user_side = settings.limits, settings.user
    # Settings of the environment are missing here: different tasks have different digests.
    comparable: dict[str, Any] = {
        "rewards": plays.get("rewards"),
        "env": settings.env.name,
        **{one.flag: one.found_in(settings) for one in settings_of_plug_in(rewards, "rewards")},
        "seed": settings.seed,
        "max_convo_turns": limits.max_convo_turns,
        "josh_agent_tries": limits.josh_agent_tries,
    }
    if is_imported(config):
        comparable = {name: comparable[name] for name in ("rewards", "env")}
    signature = f"{plays.get('user')} {user_side.model} at {user_side.sampling.temperature:g}"
    for name, value in {**user_side.sampling.added_to({}), **user_side.config}.items():
        signature += f", {name} {value:g}" if isinstance(value, float) else f", {name} {value}"
    paths = how_played(config, settings).paths
    usage = {side: dict(summary.get("usage", {}).get(side, {})) for side in map(str, Speaker)}
    unpriced = tuple(summary.get("unpriced", ()))
    return PolicyResults(
        policy, user, signature, comparable, rewards.unit, paths, rows, usage, unpriced, is_imported(config)
    )


def task_result_of(episode: Episode, settings: RunSettings, search: HowPlayed, env: BaseEnv) -> TaskResult:
    """Returns the results of a task. The best path of a search counts as its only conversation, with an empty path."""
    task, tree = episode.task, episode.tree
    talks = {}
    for leaf, reward in zip(episode.reported, episode.rewards, strict=True):
        rounds = sum(tree.nodes[index].speaker is Speaker.AGENT for index in walk(tree, leaf)[1:])
        scores = episode.scores.get(leaf, {})
        outcome = episode.outcomes.get(leaf, Outcome.ALIVE)
        metrics = {**metrics_of(env, task, tree, leaf, outcome), **scores}
        path = "" if search.searched else tree.nodes[leaf].path
        talks[path] = ScoredConversation(reward, tree.is_won(leaf), rounds, metrics, frozenset(scores))
    limit = round_limit(task, settings, env)
    return TaskResult(
        task_digest(task), person_of(task, env), dict(env.groups(task)), limit, talks, env.reference(task)
    )


def task_digest(task: Task) -> str:
    """Returns a hash of a task's id, data and metadata."""
    whole = dumps([task.id, task.data, task.metadata]).encode("utf-8", "backslashreplace")
    return hashlib.blake2b(whole, digest_size=8).hexdigest()


def drawn_from(rows: Mapping[str, TaskResult]) -> str:
    """Returns the unit that the bootstrap draws: `people`, or `tasks` if the tasks have no people.

    Args:
        rows: the tasks, by id.
    """
    return "people" if any(row.person != alone(task) for task, row in rows.items()) else "tasks"


def compared(samples: Sequence[PolicyResults]) -> Metrics:
    """Measure samples: for each user model, every policy and its difference from the first policy.

    Args:
        samples: at least one for every pair of a policy and a user model, over the same tasks. Policies and users keep
            the order of their first samples.

    Returns:
        The numbers, as `evaluation.json` has them: `results` has an entry for each user model and policy.
    """
    tasks = samples[0].rows
    users = list(dict.fromkeys(sample.user for sample in samples))
    cells: list[Metrics] = []
    for user in users:
        first, *others = (sample for sample in samples if sample.user == user)
        cells.append(_cell(first))
        cells.extend(_cell(other) | {"difference": _difference(other, first)} for other in others)
    return {
        "unit": samples[0].unit,
        "tasks": len(tasks),
        "people": len({row.person for row in tasks.values()}),
        "drawn_from": drawn_from(tasks),
        "conversations_per_task": len(samples[0].paths),
        "reference": _reference(samples[0]),
        "policies": list(dict.fromkeys(sample.policy for sample in samples)),
        "users": users,
        "scores": sorted(
            {
                name
                for sample in samples
                for row in sample.rows.values()
                for one in row.conversations.values()
                for name in one.scores
            }
        ),
        "results": cells,
        "task_rows": [
            {"task": task, "person": row.person, "groups": row.groups, "max_rounds": row.limit}
            | ({} if row.reference is None else {"reference": row.reference})
            for task, row in tasks.items()
        ],
    }


def _reference(sample: PolicyResults) -> Metrics | None:
    """Returns the mean that people earned in the same tasks; None if that is known of no task."""
    known = [(row.reference, row.person) for row in sample.rows.values() if row.reference is not None]
    return _plain(mean([value for value, _ in known], [person for _, person in known])) if known else None


def _less_reference(sample: PolicyResults) -> Metrics | None:
    """Returns the paired difference from what people earned, over the tasks where that is known."""
    values = {
        task: [talk.reward - row.reference for talk in row.conversations.values()]
        for task, row in sample.rows.items()
        if row.reference is not None
    }
    return _over_tasks(values, sample.rows) if values else None


def _cell(sample: PolicyResults) -> Metrics:
    """Returns the numbers of one policy with one user model.

    Means are over tasks, and all tasks have the same weight. The value of a task is the mean of its conversations;
    truncated conversations count. Conversations that an error ended do not count; `success_rate_bounds` are the success
    rates if all of them had failed, and if all had succeeded.
    """
    rows = sample.rows.values()
    talks = [talk for row in rows for talk in row.conversations.values()]
    owed = len(rows) * len(sample.paths)
    won = sum(talk.success for talk in talks)
    return {
        "policy": sample.policy,
        "user": sample.user,
        "conversations": owed,
        "scored": len(talks),
        "infra_errors": owed - len(talks),
        "tasks_without_score": sum(not row.conversations for row in rows),
        **measures(sample),
        "success_rate_bounds": [won / owed, (won + owed - len(talks)) / owed] if owed else None,
        "average_reward_if_errors_earned_nothing": sum(talk.reward for talk in talks) / owed if owed else None,
        "less_reference": _less_reference(sample),
        "usage": {side: dict(used) for side, used in sample.usage.items()},
        "unpriced": list(sample.unpriced),
        "groups": by_group(sample, main_measures),
        "rows": {
            task: [_conversation_row(row.conversations.get(path)) for path in sample.paths]
            for task, row in sample.rows.items()
        },
    }


def _conversation_row(talk: ScoredConversation | None) -> list[float] | None:
    return None if talk is None else [talk.reward, float(talk.success), talk.rounds]


def measures(sample: PolicyResults) -> Metrics:
    """Returns all measures of a sample, with intervals clustered by person.

    Returns:
        `success_rate`, `average_reward`, `mean_rounds`;
        `rounds_to_success`: over the conversations that succeeded;
        `restricted_rounds_to_success`: over all conversations, where one without success counts with the round limit
        (the restricted mean of survival analysis);
        `pass_hat` and `pass_at`: by k, over the tasks with at least k conversations;
        `metrics`: the environment's metrics and the rewards' scores, by name.
    """
    rows = sample.rows
    wins = [(talk, row.person) for row in rows.values() for talk in row.conversations.values() if talk.success]
    counts = {
        task: (sum(talk.success for talk in row.conversations.values()), len(row.conversations))
        for task, row in rows.items()
    }
    names = sorted({name for row in rows.values() for talk in row.conversations.values() for name in talk.metrics})
    ks = range(1, len(sample.paths) + 1)

    def each(of: Callable[[ScoredConversation, TaskResult], float | None]) -> Metrics:
        values = {
            task: [value for talk in row.conversations.values() if (value := of(talk, row)) is not None]
            for task, row in rows.items()
        }
        return _over_tasks(values, rows)

    def passed(count: Callable[[int, int, int], float], k: int) -> Metrics:
        # An imported conversation stands beside several, and says nothing about several of its own.
        most = 1 if sample.imported else k
        return _over_tasks({task: [count(c, n, k)] for task, (c, n) in counts.items() if k <= min(n, most)}, rows)

    return {
        **main_measures(sample),
        "mean_rounds": each(lambda talk, _: talk.rounds),
        "rounds_to_success": _plain(
            ratio([talk.rounds for talk, _ in wins], [1] * len(wins), [who for _, who in wins])
        ),
        "restricted_rounds_to_success": each(lambda talk, row: talk.rounds_at_most(row.limit)),
        "pass_hat": {str(k): passed(pass_hat, k) for k in ks},
        "pass_at": {str(k): passed(pass_at, k) for k in ks},
        "metrics": {name: each(lambda talk, _, name=name: talk.metrics.get(name)) for name in names},  # type: ignore[misc]
    }


def main_measures(sample: PolicyResults) -> Metrics:
    """Returns `success_rate` and `average_reward`."""
    values = {
        "success_rate": {
            task: [float(talk.success) for talk in row.conversations.values()] for task, row in sample.rows.items()
        },
        "average_reward": {
            task: [talk.reward for talk in row.conversations.values()] for task, row in sample.rows.items()
        },
    }
    return {name: _over_tasks(one, sample.rows) for name, one in values.items()}


def _difference(sample: PolicyResults, first: PolicyResults) -> Metrics:
    """Returns the paired differences of a sample from the first, over the conversations that both finished."""
    pairs = {
        task: [
            (row.conversations[path], first.rows[task].conversations[path])
            for path in sample.paths  # in one order, whichever of the two comes first
            if path in row.conversations and path in first.rows[task].conversations
        ]
        for task, row in sample.rows.items()
    }
    rows = sample.rows
    names = sorted({name for both in pairs.values() for one, _ in both for name in one.metrics})
    k = len(sample.paths)

    def less(of: Callable[[ScoredConversation, TaskResult], float]) -> Metrics:
        values = {
            task: [of(one, rows[task]) - of(two, rows[task]) for one, two in both] for task, both in pairs.items()
        }
        return _over_tasks(values, rows)

    def all_passed(both: Sequence[tuple[ScoredConversation, ScoredConversation]], side: int) -> float:
        return float(all(pair[side].success for pair in both))

    whole = {task: [all_passed(both, 0) - all_passed(both, 1)] for task, both in pairs.items() if len(both) == k}
    if k > 1 and (sample.imported or first.imported):
        whole = {}
    main: dict[str, Callable[[ScoredConversation, TaskResult], float]] = {
        "success_rate": lambda talk, _: float(talk.success),
        "average_reward": lambda talk, _: talk.reward,
    }
    # One pair per person, because McNemar's test needs independent pairs.
    singles: dict[str, tuple[ScoredConversation, ScoredConversation]] = {}
    for task, both in pairs.items():
        if both:
            singles.setdefault(rows[task].person, both[0])
    ahead = sum(one.success > two.success for one, two in singles.values())
    behind = sum(one.success < two.success for one, two in singles.values())
    missing = len(rows) * k - sum(map(len, pairs.values()))
    gained = sum(one.success - two.success for both in pairs.values() for one, two in both)
    return {
        "from": first.policy,
        "pairs": sum(map(len, pairs.values())),
        **{name: less(of) for name, of in main.items()},
        "success_rate_bounds": [(gained - missing) / (len(rows) * k), (gained + missing) / (len(rows) * k)],
        "restricted_rounds_to_success": less(lambda talk, row: talk.rounds_at_most(row.limit)),
        "pass_hat": {str(k): _over_tasks(whole, rows)},
        "metrics": {
            name: _over_tasks(
                {
                    task: [
                        one.metrics[name] - two.metrics[name]
                        for one, two in both
                        if name in one.metrics and name in two.metrics
                    ]
                    for task, both in pairs.items()
                },
                rows,
            )
            for name in names
        },
        "mcnemar": {
            "only_here": ahead,
            "only_there": behind,
            "people": len(singles),
            "p": float(f"{mcnemar(ahead, behind):.4g}"),
        },
        "groups": by_group(
            sample,
            lambda part: {
                name: _over_tasks(
                    {
                        task: [of(one, rows[task]) - of(two, rows[task]) for one, two in pairs[task]]
                        for task in part.rows
                    },
                    rows,
                )
                for name, of in main.items()
            },
        ),
    }


def by_group(sample: PolicyResults, measure: Callable[[PolicyResults], Metrics]) -> Metrics:
    """Returns the same numbers for every group of every kind, ordered by name; `tasks` counts tasks with a score."""
    kinds = sorted({kind for row in sample.rows.values() for kind in row.groups})
    found: Metrics = {}
    for kind in kinds:
        names = sorted({row.groups[kind] for row in sample.rows.values() if kind in row.groups})
        parts = {name: [task for task, row in sample.rows.items() if row.groups.get(kind) == name] for name in names}
        found[kind] = {
            name: {"tasks": sum(bool(sample.rows[task].conversations) for task in part)}
            | measure(sample.of(part, sample.paths))
            for name, part in parts.items()
        }
    return found


def _over_tasks(values: Values, rows: Mapping[str, TaskResult]) -> Metrics:
    """Returns the mean over tasks of the mean of each task; tasks without a value do not count."""
    means = [(fmean(found), rows[task].person) for task, found in values.items() if found]
    return _plain(mean([value for value, _ in means], [person for _, person in means]))


def _plain(estimate: Estimate) -> Metrics:
    return {name: _round(value) for name, value in asdict(estimate).items()}


def _round(value: Any) -> Any:
    """Returns a value with six decimals, because further decimals depend on the machine's order of additions."""
    return round(value, 6) + 0.0 if isinstance(value, float) else value
