"""The results of a run, as numbers and as text for the terminal."""

from array import array
from collections import Counter
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import sqrt
from statistics import fmean
from typing import Any

from josh.dialogue import NO_USAGE, Outcome, Speaker, Usage
from josh.episode import UNSCORED
from josh.models.budget import NONE, Price, cost
from josh.outcomes import Episode
from josh.roles import BaseEnv, Task
from josh.runs.record.confirmed import Confirmed, ConfirmedTotals, confirmed_in, describe_confirmed
from josh.runs.record.flaws import Flaws
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
"""The words for a leaf's outcome in tables and on pages."""
UNRATED = "no reward"
"""The word for a conversation without a reward."""


def wilson(successes: float, trials: int) -> tuple[float, float]:
    """Returns the 95 % confidence interval of a share (Wilson, 1927, no continuity correction); (0, 1) for 0 trials."""
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
    """The figures of a finished task, without its tree; see `Episode` for their meaning."""

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
    flaws: Flaws = field(default_factory=Flaws)
    unread_tags: int = 0
    disputed_tags: int = 0
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Number of pairs of sibling turns, by label and note."""
    unrated: bool = False
    """Whether its conversations are sound, but have no reward (`Episode.unrated`)."""
    confirmed: Confirmed | None = None
    """How its wins fared with fresh users; None where none was confirmed."""


def result_of(episode: Episode) -> Result:
    """Returns an episode's figures."""
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
        Flaws.of(episode.tree),
        episode.unread_tags,
        episode.disputed_tags,
        Counter((pair.label, pair.note) for pair in episode.pairs),
        episode.unrated,
        confirmed_in(episode),
    )


def _by_model(episode: Episode) -> dict[str, Usage]:
    """Returns the usage by model name."""
    found: dict[str, Usage] = {}
    for node in (*episode.tree.nodes[1:], *episode.again):
        if node.turn.usage.calls:
            found[node.turn.model] = found.get(node.turn.model, NO_USAGE) + node.turn.usage
    return found


def person_of(task: Task, env: BaseEnv) -> str:
    """Returns the person that a task's conversations are about: the task's first person, else the task itself."""
    return str(next(iter(env.people(task)), alone(task.id)))


def alone(task: str) -> str:
    """Returns a name for the person of a task without people, by the task's id; no two tasks share it."""
    return f"task {task}"


class Totals:
    """The sums behind a run's numbers, task by task, so that a run of any size takes little memory."""

    def __init__(self) -> None:
        self._rewards, self._rounds = array("d"), array("d")
        self._about: list[Hashable] = []
        self._metrics: dict[str, array[float]] = {}
        self._scores: dict[str, array[float]] = {}
        self._finished = self._conversations = self._unrated = self._owed = self._turns = self._with_goals = 0
        self._doubtful = self._unread = self._disputed = self._paired = 0
        self._success = 0.0
        self._endings, self._outcomes = Counter[str](), Counter[str]()
        self._pairs = Counter[tuple[str, str]]()
        self._usage = dict.fromkeys(map(str, Speaker), NO_USAGE)
        self._judged = NO_USAGE
        self._flaws = Flaws()
        self._first_error = ""
        self._confirmed = ConfirmedTotals()

    def add(self, result: Result, person: Hashable) -> None:
        """Add a finished task.

        Args:
            result: its figures.
            person: its person, see `person_of`; the interval of the mean reward is clustered by person.
        """
        self._finished += 1
        self._unrated += result.unrated
        if result.conversations:
            self._rewards.append(result.reward)
            self._rounds.append(result.rounds)
            self._about.append(person)
            self._conversations += result.conversations
            if result.has_goals:
                self._success += result.success
                self._with_goals += 1
            for into, values in ((self._metrics, result.metrics), (self._scores, result.scores)):
                for name, value in values.items():
                    into.setdefault(name, array("d")).append(value)
        self._owed += result.owed
        self._turns += result.turns
        self._endings[result.ending] += 1
        for outcome, number in result.outcomes.items():
            self._outcomes[outcome] += number
        for side, used in result.usage.items():
            if used is not NO_USAGE:
                self._usage[side] += used
        if result.judged is not NO_USAGE:
            self._judged += result.judged
        self._first_error = self._first_error or result.error
        if result.flaws.spoken:
            self._flaws.add(result.flaws)
        self._unread += result.unread_tags
        self._disputed += result.disputed_tags
        self._doubtful += bool(result.unread_tags or result.disputed_tags)
        if result.pairs:
            self._pairs += result.pairs
            self._paired += 1
        if result.confirmed is not None:
            self._confirmed.add(result.confirmed)

    def summary(self, tasks: int, retries: int) -> dict[str, Any]:
        """Returns a run's numbers, as in `summary.json`; see `summarize`."""
        from josh.runs.intervals import mean  # loads numpy, which is not needed before the end of a run

        count = len(self._rewards)
        reward = mean(self._rewards, self._about)
        success, asked = self._success, self._with_goals
        metrics, scores = map(_means, (self._metrics, self._scores))
        return {
            "tasks": tasks,
            "finished": self._finished,
            "complete": self._finished == tasks,
            "scored": count,
            "conversations": self._conversations,
            "infra_errors": self._finished - count - self._unrated,
            **({"unrated": self._unrated} if self._unrated else {}),
            "owed": self._owed,
            "average_reward": reward.value,
            "average_reward_ci95": None if reward.low is None else [reward.low, reward.high],
            # A task without goals cannot succeed, so it does not count.
            "success_rate": success / asked if asked else None,
            "success_rate_ci95": list(wilson(success, asked)) if asked or not count else None,
            "mean_rounds": _mean(self._rounds),
            "endings": dict(sorted(self._endings.items())),
            "leaf_outcomes": dict(sorted(self._outcomes.items())),
            "turns": self._turns,
            "metrics": metrics,
            **({"scores": scores} if scores else {}),
            **self._pair_rows(),
            **self._confirmed.rows(),
            **self._tag_rows(),
            "usage": {side: asdict(used) for side, used in self._usage.items()}
            | ({JUDGE: asdict(self._judged)} if self._judged.calls else {}),
            "retries": retries,
            "first_error": self._first_error,
            **self._flaws.rows(),
        }

    def _pair_rows(self) -> dict[str, dict[str, Any]]:
        """Returns the numbers of pairs of sibling turns, as `schema.PairsRow` has them; without a key for none."""
        if not self._pairs:
            return {}
        labels, unlabelled = Counter[str](), Counter[str]()
        for (label, note), number in self._pairs.items():
            if label:
                labels[label] += number
            else:
                unlabelled[note] += number
        found = {
            "tasks": self._paired,
            "pairs": self._pairs.total(),
            "labels": dict(sorted(labels.items())),
            "unlabelled": dict(sorted(unlabelled.items())),
        }
        return {"pairs": found}

    def _tag_rows(self) -> dict[str, int]:
        """Returns the numbers of the user's tags that did not count, without those that are 0."""
        found = {
            "unread_tags": self._unread,
            "disputed_tags": self._disputed,
            "doubtful_tasks": self._doubtful,
        }
        return {name: number for name, number in found.items() if number}


def summarize(results: Sequence[Result], people: Sequence[Hashable], tasks: int, retries: int) -> dict[str, Any]:
    """Returns a run's numbers, as in `summary.json`. Tasks that ended with an error count, but not in the means.

    Args:
        results: results of the finished tasks, in task order.
        people: the person of each result, see `person_of`; the interval of the mean reward is clustered by person.
        tasks: number of tasks to play.
        retries: number of repeated model calls.
    """
    totals = Totals()
    for result, person in zip(results, people, strict=True):
        totals.add(result, person)
    return totals.summary(tasks, retries)


def describe_pairs(pairs: Mapping[str, Any]) -> str:
    """Returns the numbers of pairs in words, such as `6: 3 resist, 2 accept, 1 without a label (1 both right)`."""
    parts = [f"{number} {label}" for label, number in pairs["labels"].items()]
    if without := sum(pairs["unlabelled"].values()):
        notes = ", ".join(f"{number} {note or 'without a reason'}" for note, number in pairs["unlabelled"].items())
        parts.append(f"{without} without a label ({notes})")
    return f"{pairs['pairs']} in {counted(pairs['tasks'], 'task')}: {', '.join(parts)}"


def bill(
    account: Mapping[tuple[str, str], Usage],
    prices: Mapping[str, Price | None],
    uncounted: Collection[tuple[str, str]] = (),
    unusable: Mapping[tuple[str, str], Usage] = NONE,
) -> dict[str, Any]:
    """Returns the cost of a run so far, unfinished tasks included: calls, tokens and US dollars, by speaker.

    Other speakers, such as the judge, are included where they were called. Tokens and dollars include those of unusable
    answers.

    Args:
        account: usage by speaker and model name.
        prices: prices by model name; None where a price is unknown, which makes every sum with it None.
        uncounted: keys of the account whose token counts are unknown.
        unusable: the usage of the answers that could not be used, by speaker and model name.
    """
    usage: dict[str, Any] = {}
    whole = {who: account.get(who, NO_USAGE) + unusable.get(who, NO_USAGE) for who in (*account, *unusable)}
    dollars = {
        who: None if (price := prices.get(who[1])) is None or who in uncounted else cost(used, price)
        for who, used in whole.items()
        if used.calls
    }
    sides = list(map(str, Speaker))
    for speaker in (*sides, *sorted({side for side, _ in whole}.difference(sides))):
        spent = sum((used for (side, _), used in whole.items() if side == speaker), NO_USAGE)
        lost = sum(used.calls for (side, _), used in unusable.items() if side == speaker)
        usage[speaker] = asdict(replace(spent, calls=spent.calls - lost)) | ({"unusable": lost} if lost else {})
        usage[speaker]["cost"] = _sum([dollars[who] for who in dollars if who[0] == speaker])
    return {
        "usage": usage,
        "cost": _sum(list(dollars.values())),
        "unpriced": sorted({model for (_, model), amount in dollars.items() if amount is None}),
    }


def warn_of_tags(summary: Mapping[str, Any]) -> str:
    """Returns one line about the user's tags that did not count; empty where all did."""
    unread, disputed = summary.get("unread_tags", 0), summary.get("disputed_tags", 0)
    parts = [
        f"{counted(unread, 'reward tag')} of the user could not be read" if unread else "",
        f"{counted(disputed, 'reward tag')} of the user did not count (quoted, negated or asked about)"
        if disputed
        else "",
    ]
    where = f", in {summary.get('doubtful_tasks', 0)} of {summary['finished']} tasks"
    return " and ".join(filter(None, parts)) + where if unread or disputed else ""


def _sum(dollars: Sequence[float | None]) -> float | None:
    known = [amount for amount in dollars if amount is not None]
    return sum(known) if len(known) == len(dollars) else None


def _means(values: Mapping[str, Sequence[float]]) -> dict[str, float | None]:
    """Returns the mean of the values of each name, in the order of the names."""
    return {name: _mean(values[name]) for name in sorted(values)}


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def as_text(summary: dict[str, Any], *, searched: bool, unit: str) -> str:
    """Returns the summary as text for the terminal, one fact per line.

    Args:
        summary: see `summarize` and `bill`.
        searched: whether the result of a task is the best path of a search.
        unit: unit of the rewards, as a prefix.
    """
    lines = []
    if summary["scored"]:
        success = []
        if summary["success_rate"] is not None:
            low, high = map(_share, summary["success_rate_ci95"])
            between = _bounds(summary)
            success = [f"success rate    {summary['success_rate']:.2f}   (95 % interval {low} to {high}{between})"]
        of = "the best path of each search" if searched else counted(summary["conversations"], "conversation")
        lines += [
            f"average reward  {unit}{summary['average_reward']:.2f}   "
            f"({_ends(summary['average_reward_ci95'], unit)}{of}, {_scored_of(summary)})",
            *success,
            f"mean rounds     {summary['mean_rounds']:.1f}",
        ]
        if scores := summary.get("scores"):
            means = ", ".join(f"{name} {mean:.2f}" for name, mean in scores.items())
            lines.append(f"scores          {in_a_line(means)}")
        if pairs := summary.get("pairs"):
            lines.append(f"sibling pairs   {in_a_line(describe_pairs(pairs))}")
        if confirmed := summary.get("confirmed"):
            lines.append(f"wins again      {describe_confirmed(confirmed, unit)}")
    elif summary.get("unrated"):
        lines.append("no task was scored; the source gives no reward")
    else:
        why = f"the first error: {in_a_line(summary['first_error'])}" if summary["finished"] else "no task was finished"
        lines.append(f"no task was scored; {why}")
    sides = {side: summary["usage"][side] for side in (*map(str, Speaker), JUDGE) if side in summary["usage"]}
    calls = ", ".join(f"{side['calls']} {name}" for name, side in sides.items())
    tokens = ", ".join(f"{_tokens(side)} {name}" for name, side in sides.items())
    lost = ", ".join(f"{side['unusable']} {name}" for name, side in sides.items() if side.get("unusable"))
    lines += [
        f"turns played    {summary['turns']}",
        f"model calls     {calls}; tokens {tokens}; {summary['retries']} retries",
        *([f"unusable        answers that were or may have been billed: {lost}"] if lost else []),
    ]
    priced = {name: side for name, side in sides.items() if "cost" in side}
    if any(side["calls"] or side.get("unusable") for side in priced.values()):
        why = (
            f" (no price or token counts for {in_a_line(', '.join(summary['unpriced']))}; see --price)"
            if summary.get("unpriced")
            else ""
        )
        costs = ", ".join(f"{_dollars(side['cost'])} {name}" for name, side in priced.items())
        lines.append(f"cost            {costs}{why}")
    if summary["infra_errors"] and summary["scored"]:
        why = in_a_line(summary["first_error"]).removeprefix(UNSCORED)
        lines.append(f"errors          {counted(summary['infra_errors'], 'task')} could not be scored: {why}")
    return "\n".join(lines)


def _scored_of(summary: Mapping[str, Any]) -> str:
    """Returns the number of tasks behind the means, and of how many, where some could not be scored."""
    if not summary["infra_errors"]:
        return counted(summary["scored"], "task")
    return f"{summary['scored']} of {counted(summary['finished'], 'task')}"


def _bounds(summary: Mapping[str, Any]) -> str:
    """Returns between which rates the success rate would be if unscored tasks had failed, or succeeded."""
    missing, scored = summary["infra_errors"], summary["scored"]
    if not missing:
        return ""
    won, all_tasks = summary["success_rate"] * scored, scored + missing
    low, high = won / all_tasks, (won + missing) / all_tasks
    return f"; {missing} of {all_tasks} tasks not scored: between {low:.2f} and {high:.2f}"


def _ends(interval: Sequence[float] | None, unit: str) -> str:
    if interval is None:
        return ""
    low, high = interval
    # Where all rewards are equal, the bootstrap interval has zero width, which would look like certainty.
    return "all alike; " if low == high else f"95 % interval {unit}{low:.2f} to {unit}{high:.2f}; "


def _share(value: float) -> str:
    """Returns a share with two decimals, or up to four where two would round it to 0 or 1."""
    digits, value = 2, round(value, 9)  # sums of floats may miss 1 by a little
    while 0 < value < 1 and round(value, digits) in (0, 1) and digits < 4:
        digits += 1
    return f"{value:.{digits}f}"


def describe_left_out(counts: Mapping[str, int]) -> str:
    """Returns `BaseEnv.left_out` as a phrase; empty where no row is left out."""
    reasons = ", ".join(f"{number} {reason}" for reason, number in counts.items())
    return f"{counted(sum(counts.values()), 'row')} of the data, in all splits: {reasons}" if counts else ""


def _dollars(amount: float | None) -> str:
    if amount is None:
        return "unknown"
    return f"${amount:.2g}" if 0 < amount < 0.01 else f"${amount:.2f}"


def counted(number: int, thing: str) -> str:
    """Returns a number with its noun, such as `1 task` or `2 tasks`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _tokens(usage: dict[str, int]) -> int:
    return usage["prompt_tokens"] + usage["completion_tokens"]
