"""What came of a run, as numbers and as a few lines for the terminal."""

from collections import Counter
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import sqrt
from statistics import fmean
from typing import Any

from josh.dialogue import NO_USAGE, Outcome, Speaker, Usage
from josh.models.budget import Price, cost
from josh.outcomes import Episode
from josh.roles import BaseEnv, Task
from josh.scoring import JUDGE
from josh.terminal import in_a_line

OUTCOME_WORDS = {
    Outcome.WON: "won",
    Outcome.LOST: "lost",
    Outcome.USER_LEFT: "user left",
    Outcome.TRUNCATED: "limit",
    Outcome.INFRA_ERROR: "error",
    Outcome.ALIVE: "alive",
}
"""How a leaf stands, as a person reads it."""


def wilson(successes: float, trials: int) -> tuple[float, float]:
    """95 % confidence interval of a share (Wilson, 1927, without continuity correction); (0, 1) for no trials."""
    if not trials:
        return 0.0, 1.0
    z = 1.959964
    share = successes / trials
    centre = share + z * z / (2 * trials)
    half = z * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


@dataclass(frozen=True, slots=True)
class Result:
    """A finished task's figures, without its tree; see `Episode` for what they mean."""

    reward: float
    success: float
    rounds: float
    ending: str
    error: str
    metrics: Mapping[str, float]
    conversations: int
    turns: int
    outcomes: Counter[str]
    usage: Mapping[str, Usage]
    models: Mapping[str, Usage]
    owed: bool = False
    has_goals: bool = True
    scores: Mapping[str, float] = field(default_factory=dict)
    judged: Usage = NO_USAGE


def result_of(episode: Episode) -> Result:
    """An episode's figures."""
    return Result(
        episode.reward,
        episode.success,
        episode.rounds,
        episode.ending,
        episode.error,
        episode.metrics,
        len(episode.reported),
        len(episode.tree.nodes) - 1,
        Counter(map(str, episode.outcomes.values())),
        {str(speaker): episode.usage(speaker) for speaker in Speaker},
        _by_model(episode),
        episode.owed,
        bool(episode.tree.goals),
        episode.mean_scores,
        episode.judged,
    )


def _by_model(episode: Episode) -> dict[str, Usage]:
    """Model calls by the name of the model."""
    found: dict[str, Usage] = {}
    for node in episode.tree.nodes[1:]:
        if node.turn.usage.calls:
            found[node.turn.model] = found.get(node.turn.model, NO_USAGE) + node.turn.usage
    return found


def person_of(task: Task, env: BaseEnv) -> str:
    """Whom a task's conversations are about: its first person, or itself."""
    return str(next(iter(env.people(task)), alone(task.id)))


def alone(task: str) -> str:
    """Whom a task without people is about, by its id: nobody that any other task is."""
    return f"task {task}"


def summarize(results: Sequence[Result], people: Sequence[Hashable], tasks: int, retries: int) -> dict[str, Any]:
    """A run's numbers. Tasks that an error ended are counted, and left out of every mean.

    Args:
        results: of the finished tasks, in their order.
        people: whom each of them is about, see `person_of`; the interval of the mean reward is clustered by them.
        tasks: how many there were to play.
        retries: model calls that were repeated.
    """
    from josh.runs.intervals import mean  # with numpy, for which the first result does not wait

    scored = [result for result in results if result.conversations]
    count = len(scored)
    about = [person for result, person in zip(results, people, strict=True) if result.conversations]
    reward = mean([result.reward for result in scored], about)
    with_goals = [result for result in scored if result.has_goals]
    success, asked = sum(result.success for result in with_goals), len(with_goals)
    judged = sum((result.judged for result in results), NO_USAGE)
    kinds = [result.metrics for result in scored], [result.scores for result in scored]
    metrics, scores = map(_means, kinds)
    return {
        "tasks": tasks,
        "finished": len(results),
        "complete": len(results) == tasks,
        "scored": count,
        "conversations": sum(result.conversations for result in scored),
        "infra_errors": len(results) - count,
        "owed": sum(result.owed for result in results),
        "average_reward": reward.value,
        "average_reward_ci95": None if reward.low is None else [reward.low, reward.high],
        # Nobody can succeed at a task without goals.
        "success_rate": success / asked if asked else None,
        "success_rate_ci95": list(wilson(success, asked)) if asked or not count else None,
        "mean_rounds": _mean([result.rounds for result in scored]),
        "endings": dict(sorted(Counter(result.ending for result in results).items())),
        "leaf_outcomes": dict(sorted(sum((result.outcomes for result in results), Counter[str]()).items())),
        "turns": sum(result.turns for result in results),
        "metrics": metrics,
        **({"scores": scores} if scores else {}),
        "usage": {
            str(speaker): asdict(sum((result.usage[speaker] for result in results), NO_USAGE)) for speaker in Speaker
        }
        | ({JUDGE: asdict(judged)} if judged.calls else {}),
        "retries": retries,
        "first_error": next((result.error for result in results if result.error), ""),
    }


def bill(
    account: Mapping[tuple[str, str], Usage],
    prices: Mapping[str, Price | None],
    uncounted: Collection[tuple[str, str]] = (),
) -> dict[str, Any]:
    """What a run has cost so far, unfinished tasks included: calls, tokens and US dollars, by side; the judge's if any.

    Args:
        account: what was spent, by speaker and model name.
        prices: what the models cost; None where that is not known, and so is every sum that it is part of.
        uncounted: those of the account whose tokens are not known.
    """
    usage: dict[str, Any] = {}
    dollars = {
        who: None if (price := prices.get(who[1])) is None or who in uncounted else cost(used, price)
        for who, used in account.items()
        if used.calls
    }
    for speaker in (*map(str, Speaker), *({JUDGE} & {side for side, _ in account})):
        spent = sum((used for (side, _), used in account.items() if side == speaker), NO_USAGE)
        usage[speaker] = asdict(spent) | {"cost": _sum([dollars[who] for who in dollars if who[0] == speaker])}
    return {
        "usage": usage,
        "cost": _sum(list(dollars.values())),
        "unpriced": sorted({model for (_, model), amount in dollars.items() if amount is None}),
    }


def _sum(dollars: Sequence[float | None]) -> float | None:
    known = [amount for amount in dollars if amount is not None]
    return sum(known) if len(known) == len(dollars) else None


def _means(ones: Sequence[Mapping[str, float]]) -> dict[str, float | None]:
    """The mean of each number over those that have it, by name."""
    names = sorted({name for one in ones for name in one})
    return {name: _mean([one[name] for one in ones if name in one]) for name in names}


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def as_text(summary: dict[str, Any], *, searched: bool, unit: str) -> str:
    """The summary for the terminal, a line per fact."""
    lines = []
    if summary["scored"]:
        success = []
        if summary["success_rate"] is not None:
            low, high = map(_share, summary["success_rate_ci95"])
            success = [f"success rate    {summary['success_rate']:.2f}   (95 % interval {low} to {high})"]
        of = "the best path of each search" if searched else counted(summary["conversations"], "conversation")
        lines += [
            f"average reward  {unit}{summary['average_reward']:.2f}   "
            f"({_ends(summary['average_reward_ci95'], unit)}{of}, {counted(summary['scored'], 'task')})",
            *success,
            f"mean rounds     {summary['mean_rounds']:.1f}",
        ]
        if scores := summary.get("scores"):
            means = ", ".join(f"{name} {mean:.2f}" for name, mean in scores.items())
            lines.append(f"scores          {in_a_line(means)}")
    else:
        why = f"the first error: {in_a_line(summary['first_error'])}" if summary["finished"] else "none was finished"
        lines.append(f"no task was scored; {why}")
    sides = {side: summary["usage"][side] for side in (*map(str, Speaker), JUDGE) if side in summary["usage"]}
    calls = ", ".join(f"{side['calls']} {name}" for name, side in sides.items())
    tokens = ", ".join(f"{_tokens(side)} {name}" for name, side in sides.items())
    lines += [
        f"turns played    {summary['turns']}",
        f"model calls     {calls}; tokens {tokens}; {summary['retries']} retries",
    ]
    priced = {name: side for name, side in sides.items() if "cost" in side}
    if any(side["calls"] for side in priced.values()):
        why = (
            f" (no price or token counts for {in_a_line(', '.join(summary['unpriced']))}; see --price)"
            if summary.get("unpriced")
            else ""
        )
        costs = ", ".join(f"{_dollars(side['cost'])} {name}" for name, side in priced.items())
        lines.append(f"cost            {costs}{why}")
    if summary["infra_errors"] and summary["scored"]:
        why = in_a_line(summary["first_error"])
        lines.append(f"errors          {counted(summary['infra_errors'], 'task')} could not be scored: {why}")
    return "\n".join(lines)


def _ends(interval: Sequence[float] | None, unit: str) -> str:
    if interval is None:
        return ""
    low, high = interval
    # A bootstrap knows nothing but what it saw: where all earned alike, its interval must not read like certainty.
    return "all alike; " if low == high else f"95 % interval {unit}{low:.2f} to {unit}{high:.2f}; "


def _share(value: float) -> str:
    """A share with two decimals, or as many as it takes to tell it from 0 or 1, up to four."""
    digits, value = 2, round(value, 9)  # sums end a little beside 1
    while 0 < value < 1 and round(value, digits) in (0, 1) and digits < 4:
        digits += 1
    return f"{value:.{digits}f}"


def describe_left_out(counts: Mapping[str, int]) -> str:
    """What `BaseEnv.left_out` says, as a phrase; empty for nothing."""
    reasons = ", ".join(f"{number} {reason}" for reason, number in counts.items())
    return f"{counted(sum(counts.values()), 'row')} of the data, in all splits: {reasons}" if counts else ""


def _dollars(amount: float | None) -> str:
    if amount is None:
        return "unknown"
    return f"${amount:.2g}" if 0 < amount < 0.01 else f"${amount:.2f}"


def counted(number: int, thing: str) -> str:
    """`1 task`, `2 tasks`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _tokens(usage: dict[str, int]) -> int:
    return usage["prompt_tokens"] + usage["completion_tokens"]
