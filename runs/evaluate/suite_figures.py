"""The numbers of a suite, from the conversations of its runs, and their table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from statistics import fmean
from typing import Any

from josh.loading import load
from josh.runs.evaluate.scores import Metrics, PolicyResults, by_group
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
            if suite.group:
                cell["groups"] = by_group(sample, lambda part: _values(suite, [(1.0, part)])).get(suite.group, {})
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
    if suite.group:
        found["group"] = suite.group
    if suite.by_number:
        found["by_number"] = True
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


def suite_output(suite: Suite, figures: Mapping[str, Any], samples: Sequence[PolicyResults]) -> Metrics:
    """Returns the results of a suite for a file of the user's.

    Args:
        suite: the suite.
        figures: those of the evaluation.
        samples: the conversations of its policies.

    Returns:
        `summary`: the suite's numbers of the first policy that is neither a baseline nor a reference;
        `policies`: those of all policies with their differences, see `suite_figures`;
        `detailed_results`: for each conversation `policy`, `user`, `task`, `groups`, `reward` and its `scores`.
    """
    results = figures["suite"]["results"]
    own = next((run["policy"] for run in figures["runs"] if run["run"].startswith("model")), results[0]["policy"])
    first = next(cell for cell in results if cell["policy"] == own)
    details = [
        {
            "policy": sample.policy,
            "user": sample.user,
            "task": task,
            "groups": dict(row.groups),
            "reward": talk.reward,
            "scores": dict(talk.metrics),
        }
        for sample in samples
        for task, row in sample.rows.items()
        for talk in row.conversations.values()
    ]
    counts = {name: first[name] for name in ("policy", "conversations", "scored")}
    summary = {**counts, **{name: first[name] for name in suite.columns}}
    return {"summary": summary, "policies": results, "detailed_results": details}


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


def suite_table(figures: Mapping[str, Any], width: int | None = None, *, groups: bool = False) -> str:
    """Returns a suite's numbers as text.

    Args:
        figures: those of the evaluation; `suite` has the suite's.
        width: most columns of a line; None for no limit.
        groups: also show the numbers by group, where the suite has them.
    """
    own, blocks = figures["suite"], []
    columns = own["columns"]
    for user in figures["users"]:
        cells = [cell for cell in own["results"] if cell["user"] == user]
        block = [f"user: {user}"] if len(figures["users"]) > 1 else []
        lines = [["", *columns], *([f"  {cell['policy']}{_left_out(cell)}", *_shown(cell, columns)] for cell in cells)]
        block += align_columns(_turned(lines, own), width)
        others = [cell for cell in cells if "difference" in cell]
        if others:
            block.append(f"less {', '.join(dict.fromkeys(cell['difference']['from'] for cell in others))}, paired")
            lines = [["", *columns]]
            lines += [[f"  {cell['policy']}", *_shown(cell["difference"], columns, "+")] for cell in others]
            block += align_columns(_turned(lines, own), width)
        for name in _group_names(cells) if groups else ():
            tasks = next(cell["groups"][name]["tasks"] for cell in cells if name in cell["groups"])
            block.append(f"{own['group']} {name}: {counted(tasks, figures['called'])}")
            lines = [["", *columns]]
            lines += [[f"  {cell['policy']}", *_shown(cell["groups"][name], columns)] for cell in cells]
            block += align_columns(_turned(lines, own), width)
        for gap in own.get("order_gap", ()):
            if gap["user"] == user:
                block.append(f"order gap  {gap['policy']}  {format_interval(gap)}")
        blocks.append("\n".join(block))
    if "further" in own:
        blocks.append("\n".join(own["further"]["lines"]))
    return "\n\n".join(blocks)


def _group_names(cells: Sequence[Metrics]) -> list[str]:
    return list(dict.fromkeys(name for cell in cells for name in cell.get("groups", ())))


def _turned(lines: Sequence[Sequence[str]], own: Mapping[str, Any]) -> list[list[str]]:
    """Returns the lines of a table; where the suite wants it, with its columns as lines."""
    if not own.get("by_number"):
        return [list(line) for line in lines]
    columns = zip(*lines, strict=True)
    return [[f"  {first}".rstrip(), *(cell.strip() for cell in others)] for first, *others in columns]


def _left_out(cell: Metrics) -> str:
    missing = cell["conversations"] - cell["scored"]
    return f" ({missing} of {cell['conversations']} not scored)" if missing else ""


def _shown(cell: Metrics, columns: Sequence[str], sign: str = "") -> list[str]:
    return [format_interval(cell[column], sign=sign) for column in columns]
