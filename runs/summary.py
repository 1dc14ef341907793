"""What came of a run, as numbers and as a few lines for the terminal."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from math import sqrt
from typing import Any

from josh.runs.episode import Episode
from josh.tree import NO_USAGE, Speaker


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


def summarize(episodes: Sequence[Episode], tasks: int) -> dict[str, Any]:
    """A run's numbers. Tasks that an error ended are counted, and left out of every mean.

    Args:
        episodes: the finished tasks.
        tasks: how many there were to play.
    """
    scored = [episode for episode in episodes if episode.scored]
    count = len(scored)
    success = sum(episode.success for episode in scored)
    metrics = sorted({name for episode in scored for name in episode.metrics})
    usage = {
        str(speaker): asdict(sum((episode.usage(speaker) for episode in episodes), NO_USAGE)) for speaker in Speaker
    }

    def mean(values: Sequence[float]) -> float | None:
        return sum(values) / len(values) if values else None

    return {
        "tasks": tasks,
        "finished": len(episodes),
        "scored": count,
        "conversations": sum(len(episode.reported) for episode in scored),
        "infra_errors": len(episodes) - count,
        "average_reward": mean([episode.reward for episode in scored]),
        "success_rate": success / count if count else None,
        "success_rate_ci95": list(wilson(success, count)),
        "mean_rounds": mean([episode.rounds for episode in scored]),
        "endings": dict(sorted(Counter(episode.ending for episode in episodes).items())),
        "leaf_outcomes": dict(
            sorted(Counter(str(outcome) for episode in episodes for outcome in episode.outcomes.values()).items())
        ),
        "turns": sum(len(episode.tree.nodes) - 1 for episode in episodes),
        "metrics": {
            name: mean([episode.metrics[name] for episode in scored if name in episode.metrics]) for name in metrics
        },
        "usage": usage,
        "first_error": next((episode.error for episode in episodes if episode.error), ""),
    }


def as_text(summary: dict[str, Any], *, searched: bool, unit: str) -> str:
    """The summary for the terminal, a line per fact."""
    if not summary["scored"]:
        return f"no task was scored; the first error: {summary['first_error'] or 'none'}"
    low, high = summary["success_rate_ci95"]
    agent, user = summary["usage"]["agent"], summary["usage"]["user"]
    of = "the best path of each search" if searched else counted(summary["conversations"], "conversation")
    lines = [
        f"average reward  {unit}{summary['average_reward']:.2f}   ({of}, {counted(summary['scored'], 'task')})",
        f"success rate    {summary['success_rate']:.2f}   (95 % interval {low:.2f} to {high:.2f})",
        f"mean rounds     {summary['mean_rounds']:.1f}",
        f"turns played    {summary['turns']}",
        f"model calls     {agent['calls']} agent, {user['calls']} user; "
        f"tokens {_tokens(agent)} agent, {_tokens(user)} user; {agent['retries'] + user['retries']} retries",
    ]
    if summary["infra_errors"]:
        lines.append(
            f"errors          {counted(summary['infra_errors'], 'task')} could not be scored: {summary['first_error']}"
        )
    return "\n".join(lines)


def counted(number: int, thing: str) -> str:
    """`1 task`, `2 tasks`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _tokens(usage: dict[str, int]) -> int:
    return usage["prompt_tokens"] + usage["completion_tokens"]
