"""Estimates a run before its first call: calls, tokens and US dollars, each as a range.

1. The strategy grows a tree of empty turns twice: once as if every conversation ended in its first round, and once as
   if none ended before the limit of rounds.
2. Every turn of a speaker with a chat model is a call. Its prompt is the speaker's system prompt and tools, which are
   known, and the turns before it.
3. A judge that finds facts may be asked once after every turn, or never.
4. Fresh users who confirm wins hear none, or each conversation that may win, to its limit of rounds.
5. A sample of real tasks narrows the range: `from_sample`.

Retries, empty replies and other calls of a judge are not counted.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from josh.calls import keyword_parameters
from josh.dialogue import Outcome, Speaker, Turn
from josh.messages import dumps
from josh.models.budget import Price
from josh.models.offline import OfflineModel
from josh.roles import BaseRewards, Task
from josh.runs.play.runtime import Runtime
from josh.search import Strategy, child_paths, grow
from josh.tree import Tree, walk

REPLY = 15, 120
"""Tokens of one reply, short and long."""
SIGNS_PER_TOKEN = 5.0, 3.0
"""Characters of a prompt in one token, many and few."""
STEPS_WITH_TOOLS = 1, 4
"""Calls in one turn of an agent that has tools, few and many."""
JUDGED = 300
"""Tokens of a judge's prompt, beside the turn that it judges, many."""
MEASURED_TASKS = 50
"""Most tasks whose prompts are measured; the others are like them."""
MOST_PHASES = 2000
"""Phases after which a strategy's tree is not grown further."""
Shape = Counter[tuple[Speaker, int, bool]]
"""Number of turns by speaker, by turns before them, and by whether an elder sibling shares the request."""


@dataclass(frozen=True, slots=True)
class Range:
    """A number between two ends, both included."""

    low: float
    high: float

    def __add__(self, other: "Range") -> "Range":
        return Range(self.low + other.low, self.high + other.high)

    def times(self, factor: float) -> "Range":
        """Returns the range, multiplied."""
        return Range(self.low * factor, self.high * factor)


NONE = Range(0, 0)


@dataclass(frozen=True, slots=True)
class Estimate:
    """The expected size of a run.

    Attributes:
        calls: calls of chat models.
        tokens: tokens of prompts and replies.
        cost: US dollars; None where a price is unknown.
        unpriced: the models without a known price.
    """

    calls: Range = NONE
    tokens: Range = NONE
    cost: Range | None = NONE
    unpriced: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Returns the estimate as JSON values; a range is a list of its two ends."""
        return {
            "calls": [round(self.calls.low), round(self.calls.high)],
            "tokens": [round(self.tokens.low), round(self.tokens.high)],
            "cost": None if self.cost is None else [round(self.cost.low, 6), round(self.cost.high, 6)],
            "unpriced": list(self.unpriced),
        }

    def __str__(self) -> str:
        if not self.calls.high:
            return "0 calls, $0.00; no side asks a chat model"
        text = f"{_ends(self.calls)} calls, {_ends(self.tokens)} tokens, "
        if self.cost is None:
            return f"{text}dollars unknown; give --price {self.unpriced[0]}=PROMPT/REPLY"
        return f"{text}{dollars(self.cost.low)} to {dollars(self.cost.high)}"


def estimate(runtime: Runtime) -> Estimate:
    """Returns the estimate of a run. The user's prices are those of its cheapest and of its dearest model."""
    tasks = runtime.tasks[:MEASURED_TASKS]
    shapes: dict[int, tuple[Shape, Shape]] = {}
    total = Estimate()
    for task in tasks:
        most = runtime.max_rounds(task)
        tree = runtime.search(task).tree
        if most not in shapes:
            shapes[most] = tuple(_shape(runtime.strategy, tree, most, ends=ends) for ends in (True, False))  # type: ignore[assignment]
        total = _plus(total, _of_task(runtime, task, *shapes[most]))
    factor = len(runtime.tasks) / len(tasks)
    cost = None if total.cost is None else total.cost.times(factor)
    return replace(total, calls=total.calls.times(factor), tokens=total.tokens.times(factor), cost=cost)


def from_sample(tasks: int, usage: Sequence[tuple[int, int]], cost: float | None, unpriced: Sequence[str]) -> Estimate:
    """Returns the estimate of a run from some of its tasks: from the smallest of them to the largest.

    Args:
        tasks: number of tasks of the run.
        usage: calls and tokens of each played task.
        cost: US dollars of all played tasks, which are shared out by tokens; None where a price is unknown.
        unpriced: the models without a known price.
    """
    calls, tokens = (Range(tasks * min(one), tasks * max(one)) for one in zip(*usage, strict=True))
    per_token = None if cost is None else cost / max(1, sum(used for _, used in usage))
    return Estimate(calls, tokens, None if per_token is None else tokens.times(per_token), tuple(unpriced))


def dollars(amount: float) -> str:
    """Returns an amount in US dollars, with two digits that count."""
    return f"${amount:.2f}" if amount >= 0.1 or not amount else f"${amount:.2g}"


def _shape(strategy: Strategy, tree: Tree, most_rounds: int, *, ends: bool) -> Shape:
    """Returns the turns of a tree that a strategy grows when no turn earns a reward.

    Args:
        strategy: the strategy.
        tree: the tree to begin with.
        most_rounds: the limit of rounds.
        ends: every conversation ends with its first round, else at the limit.
    """
    found: Shape = Counter()
    for _ in range(MOST_PHASES):
        going = [leaf for leaf in tree.frontier if _goes_on(tree, leaf, 1 if ends else most_rounds)]
        plan = strategy.plan(replace(tree, frontier=tuple(going))) if going else ()
        if not plan:
            break
        turns = [Turn(outcome=Outcome.ALIVE, value=0.0 if one.value else None) for one in plan for _ in one.directives]
        for one in plan:
            depth = tree.nodes[one.node].depth
            found.update((one.speaker, depth, place > 0) for place in range(len(one.directives)))
        tree = strategy.update(grow(tree, plan, turns, child_paths(tree, plan)))
    return found


def _goes_on(tree: Tree, leaf: int, most_rounds: int) -> bool:
    rounds = sum(tree.nodes[place].speaker is Speaker.AGENT for place in walk(tree, leaf)[1:])
    return rounds < most_rounds or (rounds == most_rounds and tree.nodes[leaf].speaker is Speaker.AGENT)


def _of_task(runtime: Runtime, task: Task, few: Shape, many: Shape) -> Estimate:
    """Returns the estimate of one task, from the shapes of its smallest and its largest tree."""
    search = runtime.search(task)
    branch = next(iter(search.branches.values()))
    found = Estimate()
    for speaker, side in ((Speaker.AGENT, branch.agent), (Speaker.USER, branch.user)):
        names = runtime.asked_by(task, speaker)
        if not names:
            continue
        tools = list(getattr(side, "tools", ()) or ())
        signs = len(dumps([list(getattr(side, "messages_internal", ()) or ()), tools]))
        prices = [runtime.prices.get(name) for name in names]
        low = _spent(few, speaker, signs, 0, bool(tools), share=not runtime.settings.traffic.single_replies)
        high = _spent(many, speaker, signs, 1, bool(tools), share=False)
        unpriced = tuple(name for name, price in zip(names, prices, strict=True) if price is None)
        if speaker is Speaker.USER:
            high = _with_fresh_users(runtime, task, many, signs, high)
        cost = None if unpriced else Range(*(_dollars(spent, prices, end) for spent, end in ((low, min), (high, max))))
        found = _plus(found, Estimate(Range(low[0], high[0]), Range(sum(low[1:]), sum(high[1:])), cost, unpriced))
    judge = runtime.judge_model
    if judge is None or isinstance(judge, OfflineModel) or not _judges_turns(runtime.rewards_type):
        return found
    turns, price = sum(many.values()), runtime.prices.get(judge.name)
    spent = float(turns), turns * (JUDGED + REPLY[1]), turns * float(REPLY[0])
    cost, unpriced = (Range(0, _dollars(spent, [price], max)), ()) if price else (None, (judge.name,))
    return _plus(found, Estimate(Range(0, turns), Range(0, sum(spent[1:])), cost, unpriced))


def _with_fresh_users(
    runtime: Runtime, task: Task, shape: Shape, signs: int, spent: tuple[float, float, float]
) -> tuple[float, float, float]:
    """Returns what the user's side spends at most (calls, prompt tokens, reply tokens) with confirmations of wins.

    A win is confirmed once for each task, or, before it counts, once for each conversation that reaches the last round.
    """
    rule, rounds = runtime.settings.confirming, runtime.max_rounds(task)
    if not rule.confirm:
        return spent
    last = max((depth for who, depth, _ in shape if who is Speaker.USER), default=0)
    ends = sum(number for (who, depth, _), number in shape.items() if who is Speaker.USER and depth == last)
    times = rule.confirm * (1 if rule.confirm_first is None else max(1, ends))
    one = Counter({(Speaker.USER, 2 * number + 1, False): 1 for number in range(rounds)})
    more = _spent(one, Speaker.USER, signs, 1, False, share=False)
    calls, prompts, replies = (had + times * new for had, new in zip(spent, more, strict=True))
    return calls, prompts, replies


def _judges_turns(rewards: type[BaseRewards]) -> bool:
    takes = keyword_parameters(rewards.facts)
    return takes is None or "judge" in takes


def _spent(
    shape: Shape, speaker: Speaker, signs: int, end: int, tools: bool, *, share: bool
) -> tuple[float, float, float]:
    """Returns the calls, prompt tokens and reply tokens of one speaker; `end` 0 is the low end, 1 the high one."""
    steps = STEPS_WITH_TOOLS[end] if tools else 1
    calls = prompts = replies = 0.0
    for (who, depth, sibling), number in shape.items():
        if who is not speaker:
            continue
        asked = 0 if sibling and share else number * steps
        calls += asked
        prompts += asked * (signs / SIGNS_PER_TOKEN[end] + (depth + (steps - 1) / 2) * REPLY[end])
        replies += number * steps * REPLY[end]
    return calls, prompts, replies


def _dollars(spent: tuple[float, float, float], prices: Sequence[Price | None], end: Any) -> float:
    _, prompts, replies = spent
    known = [price for price in prices if price is not None]
    return float(end(prompts * price.prompt + replies * price.completion for price in known))


def _plus(one: Estimate, other: Estimate) -> Estimate:
    cost = None if one.cost is None or other.cost is None else one.cost + other.cost
    unpriced = tuple(dict.fromkeys((*one.unpriced, *other.unpriced)))
    return Estimate(one.calls + other.calls, one.tokens + other.tokens, cost, unpriced)


def _ends(span: Range) -> str:
    low, high = map(_rounded, (span.low, span.high))
    return low if low == high else f"{low} to {high}"


def _rounded(number: float) -> str:
    return f"{number / 1e6:.1f} million" if number >= 1e6 else f"{round(number):,}"
