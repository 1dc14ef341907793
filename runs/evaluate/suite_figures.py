"""The numbers of a suite, from the conversations of its runs, and their table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from statistics import fmean
from typing import Any

from josh.loading import load
from josh.runs.evaluate.scores import Metrics, PolicyResults
from josh.runs.evaluate.suites import Suite
from josh.runs.evaluate.table import format_interval
from josh.runs.intervals import Estimate, combination
from josh.runs.record.summary import counted
from josh.terminal import align_columns

Term = tuple[float, PolicyResults, str]
"""A weight, a sample, and the name of a score."""


def suite_figures(suite: Suite, samples: Sequence[PolicyResults]) -> Metrics:
    """Returns the numbers of a suite, as `evaluation.json` has them under `suite`.

    Args:
        suite: the suite.
        samples: those of `scores.compared`, in the same order; with two orders, both of each policy in turn.
    """
    results: list[Metrics] = []
    gaps: list[Metrics] = []
    orders = 1 if suite.second is None else 2
    for user in dict.fromkeys(sample.user for sample in samples):
        own = [sample for sample in samples if sample.user == user]
        for place, sample in enumerate(own):
            first = own[place % orders]
            cell = _counts(sample) | _values(suite, [(1.0, sample)])
            if sample is not first:
                pair = _shared(sample, first)
                cell["difference"] = {"from": first.policy} | _values(suite, [(1.0, pair[0]), (-1.0, pair[1])])
            results.append(cell)
        if suite.gap:
            gaps += [_gap(suite, *own[place : place + 2]) for place in range(0, len(own), 2)]
    found: Metrics = {
        "name": suite.name,
        "clusters": suite.clusters,
        "columns": list(suite.columns),
        "results": results,
    }
    if gaps:
        found["order_gap"] = gaps
    if suite.further:
        of: Callable[[Sequence[PolicyResults]], Metrics] = load(suite.further, {}, "figures")
        found["further"] = of(samples)
    return found


def _counts(sample: PolicyResults) -> Metrics:
    owed = len(sample.rows) * len(sample.paths)
    scored = sum(len(row.conversations) for row in sample.rows.values())
    return {"policy": sample.policy, "user": sample.user, "conversations": owed, "scored": scored}


def _values(suite: Suite, samples: Sequence[tuple[float, PolicyResults]]) -> Metrics:
    """Returns each number of a suite, for a weighted sum of samples."""
    return {
        column: rounded(
            estimate([(sign * weight, sample, score) for sign, sample in samples for score, weight in weights.items()])
        )
        for column, weights in suite.columns.items()
    }


def estimate(terms: Sequence[Term]) -> Estimate:
    """Returns a weighted sum of mean scores; a task's value is the mean of its conversations that have the score."""
    return combination([(weight, *_observed(sample, score)) for weight, sample, score in terms])


def _observed(sample: PolicyResults, score: str) -> tuple[list[float], list[str]]:
    values, people = [], []
    for row in sample.rows.values():
        found = [talk.metrics[score] for talk in row.conversations.values() if score in talk.metrics]
        if found:
            values.append(fmean(found))
            people.append(row.person)
    return values, people


def _shared(one: PolicyResults, other: PolicyResults) -> tuple[PolicyResults, PolicyResults]:
    """Returns two samples with the conversations that ended in both."""

    def within(sample: PolicyResults, kept: PolicyResults) -> PolicyResults:
        rows = {
            task: replace(
                row,
                conversations={
                    path: talk for path, talk in row.conversations.items() if path in kept.rows[task].conversations
                },
            )
            for task, row in sample.rows.items()
            if task in kept.rows
        }
        return replace(sample, rows=rows)

    return within(one, other), within(other, one)


def _gap(suite: Suite, first: PolicyResults, second: PolicyResults) -> Metrics:
    """Returns the order gap of a policy: how much the order decides, whichever order is the better one."""
    one, other = _shared(first, second)
    signs = ((1.0, one), (-1.0, other))
    found = estimate([(sign * weight, each, score) for sign, each in signs for score, weight in _gap_terms(suite)])
    signed = rounded(found)
    value, low, high = (signed[name] for name in ("value", "low", "high"))
    sizes = sorted(abs(end) for end in (low, high)) if low is not None else [None, None]
    if low is not None and low <= 0 <= high:
        sizes[0] = 0.0
    gap = {"value": None if value is None else abs(value), "low": sizes[0], "high": sizes[1]}
    policy = first.policy.rpartition(" ")[0]
    return {"policy": policy, "user": first.user, **signed, **gap, "first_less_second": signed}


def _gap_terms(suite: Suite) -> list[tuple[str, float]]:
    return list(suite.columns[suite.gap].items())


def rounded(found: Estimate) -> Metrics:
    """Returns an estimate as JSON, with six decimals."""
    return {name: round(one, 6) + 0.0 if isinstance(one, float) else one for name, one in asdict(found).items()}


def suite_headline(suite: Suite, figures: Mapping[str, Any]) -> str:
    """Returns the first line above a suite's table.

    Args:
        suite: the suite.
        figures: those of the evaluation.
    """
    each = counted(figures["conversations_per_task"], "conversation")
    about = f", {figures['people']} {suite.clusters}" if figures["drawn_from"] == "people" else ""
    split = figures["settings"]["task_split"]
    order = ", in both orders" if suite.second is not None else ""
    return (
        f"{suite.name}: {counted(figures['tasks'], figures['called'])} (split {split}{about}), {each} each{order}; "
        f"95 % intervals, drawn over {suite.clusters}"
    )


def suite_table(figures: Mapping[str, Any], width: int | None = None) -> str:
    """Returns a suite's numbers as text.

    Args:
        figures: those of the evaluation; `suite` has the suite's.
        width: most columns of a line; None for no limit.
    """
    own, blocks = figures["suite"], []
    for user in figures["users"]:
        cells = [cell for cell in own["results"] if cell["user"] == user]
        block = [f"user: {user}"] if len(figures["users"]) > 1 else []
        lines = [["", *own["columns"]]]
        lines += [[f"  {cell['policy']}{_left_out(cell)}", *_shown(cell, own["columns"])] for cell in cells]
        block += align_columns(lines, width)
        others = [cell for cell in cells if "difference" in cell]
        if others:
            block.append(f"less {', '.join(dict.fromkeys(cell['difference']['from'] for cell in others))}, paired")
            lines = [["", *own["columns"]]]
            lines += [[f"  {cell['policy']}", *_shown(cell["difference"], own["columns"], "+")] for cell in others]
            block += align_columns(lines, width)
        for gap in own.get("order_gap", ()):
            if gap["user"] == user:
                block.append(f"order gap  {gap['policy']}  {format_interval(gap)}")
        blocks.append("\n".join(block))
    if "further" in own:
        blocks.append("\n".join(own["further"]["lines"]))
    return "\n\n".join(blocks)


def _left_out(cell: Metrics) -> str:
    missing = cell["conversations"] - cell["scored"]
    return f" ({missing} of {cell['conversations']} not scored)" if missing else ""


def _shown(cell: Metrics, columns: Sequence[str], sign: str = "") -> list[str]:
    return [format_interval(cell[column], sign=sign) for column in columns]
