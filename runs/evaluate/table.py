"""Format the figures of an evaluation or a comparison as tables for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from josh.runs.evaluate.scores import Metrics
from josh.terminal import align_columns


def as_table(figures: Metrics, *, groups: bool = False, width: int | None = None) -> str:
    """Returns the figures as text: a block for every user model, with a line for every policy and the differences.

    Args:
        figures: those of `compared`; a user's note in `user_notes` is shown beside its name.
        groups: show the breakdown by group too.
        width: most columns of a line; None for no limit.
    """
    unit, blocks = figures["unit"], []
    k = figures["conversations_per_task"]
    for user in figures["users"]:
        cells = [cell for cell in figures["results"] if cell["user"] == user]
        note = figures.get("user_notes", {}).get(user)
        head = ["", "success rate", "mean reward", "rounds to success", f"pass^{k}", "model calls"]
        lines = [head] + [[f"  {cell['policy']}", *_columns(cell, unit, k)] for cell in cells]
        others = [cell for cell in cells if "difference" in cell]
        changes = [["", "success rate", "mean reward", "rounds to success", f"pass^{k}", "McNemar"]] + [
            [f"  {cell['policy']}", *_change_columns(cell["difference"], unit, k)] for cell in others
        ]
        if figures.get("reference"):
            lines.append(["  people in these tasks", "", format_interval(figures["reference"], unit), "", "", ""])
        block = [f"user: {user}{f' ({note})' if note else ''}", *align_columns(lines, width)]
        if others:
            block += [f"less {cells[0]['policy']}, paired", *align_columns(changes, width)]
        block += _score_lines(cells, figures.get("scores", ()), width)
        if groups:
            block += _group_lines(cells, unit, width)
        blocks.append("\n".join(block))
    if len(figures["users"]) > 1 and len(figures["policies"]) > 1:
        blocks.append("\n".join(_matrix(figures, width)))
    return "\n\n".join(blocks)


def _matrix(figures: Metrics, width: int | None) -> list[str]:
    """Returns a table of the mean rewards: a line for each policy, a column for each user model."""
    unit, users = figures["unit"], figures["users"]
    cells = {(cell["policy"], cell["user"]): cell for cell in figures["results"]}
    lines = [["", *users]]
    for policy in figures["policies"]:
        row = [cells.get((policy, user), {}) for user in users]
        means = [cell.get("average_reward") for cell in row]
        changes = [cell.get("difference", {}).get("average_reward") for cell in row]
        lines.append([f"  {policy}", *(format_interval(one, unit) if one else "" for one in means)])
        if any(changes):
            less = (format_interval(one, unit, "+") if one else "" for one in changes)
            lines.append(["    less the first", *less])
    if figures.get("reference"):
        lines.append(["  people in these tasks", *[format_interval(figures["reference"], unit)] * len(users)])
    return ["mean reward of every policy with every user model", *align_columns(lines, width)]


def _columns(cell: Metrics, unit: str, k: int) -> list[str]:
    won, restricted = (
        format_number(cell[name]["value"], 1) for name in ("rounds_to_success", "restricted_rounds_to_success")
    )
    agent, user = (cell["usage"].get(side, {}) for side in ("agent", "user"))
    calls = "none"
    if agent.get("calls", 0) + user.get("calls", 0):
        calls = f"{agent['calls']} agent, {user['calls']} user; {_cost(agent)} and {_cost(user)}"
    passed = format_number(cell["pass_hat"][str(k)]["value"])
    return [
        f"{format_interval(cell['success_rate'])}{_unscored(cell)}",
        f"{format_interval(cell['average_reward'], unit)}{_of_scored(cell)}",
        f"{won} ({restricted})",
        passed,
        calls,
    ]


def _change_columns(change: Metrics, unit: str, k: int) -> list[str]:
    speed, passed = change["restricted_rounds_to_success"], change["pass_hat"][str(k)]
    return [
        f"{format_interval(change['success_rate'], sign='+')}{_unpaired(change)}",
        format_interval(change["average_reward"], unit, "+"),
        f"({format_number(speed['value'], 1, '+')})",
        format_number(passed["value"], sign="+"),
        "p < 0.001" if change["mcnemar"]["p"] < 0.001 else f"p = {change['mcnemar']['p']:.2g}",
    ]


def _score_lines(cells: Sequence[Metrics], names: Sequence[str], width: int | None) -> list[str]:
    """Returns a line for each policy with its mean scores; no lines if there are no scores."""
    lines = [["scores", *names]]
    for cell in cells:
        found = map(cell["metrics"].get, names)  # a policy may lack a score that another one has
        lines.append([f"  {cell['policy']}", *("-" if one is None else format_interval(one) for one in found)])
    return align_columns(lines, width) if names else []


def _group_lines(cells: Sequence[Metrics], unit: str, width: int | None) -> list[str]:
    lines = [["group", "tasks", *(str(cell["policy"]) for cell in cells)]]
    for kind, parts in cells[0]["groups"].items():
        for name, part in parts.items():
            rewards = [format_interval(cell["groups"][kind][name]["average_reward"], unit) for cell in cells]
            lines.append([f"  {kind}: {name}", str(part["tasks"]), *rewards])
    return ["mean reward by group", *align_columns(lines, width)]


def _of_scored(cell: Metrics) -> str:
    """Returns ` of` the number of conversations behind a mean, where it leaves some out; else nothing."""
    return f" of {cell['scored']}" if cell["infra_errors"] else ""


def _unscored(cell: Metrics) -> str:
    """Returns what a success rate leaves out, and between which rates it would be if that counted; else nothing."""
    if not cell["infra_errors"]:
        return ""
    low, high = cell["success_rate_bounds"]
    missing = f"{cell['infra_errors']} of {cell['conversations']} not scored"
    return f"{_of_scored(cell)}; {missing}: between {low:.2f} and {high:.2f}"


def _unpaired(change: Metrics) -> str:
    """Returns the same of a difference between two policies."""
    low, high = change["success_rate_bounds"]
    if high <= low:  # every pair is there
        return ""
    return f" of {change['pairs']} pairs; the others make it {low:+.2f} to {high:+.2f}"


def format_interval(estimate: Metrics, unit: str = "", sign: str = "") -> str:
    """Returns an estimate with its interval; with `sign`, positive numbers get a plus."""
    value, low, high = (estimate[name] for name in ("value", "low", "high"))
    if low is None:
        return format_number(value, 2, sign, unit)
    return f"{format_number(value, 2, sign, unit)} [{format_number(low, 2, sign)}, {format_number(high, 2, sign)}]"


def format_number(value: float | None, digits: int = 2, sign: str = "", unit: str = "") -> str:
    """Returns a number as text; a dash for None."""
    if value is None:
        return "-"
    rounded = round(value, digits) + 0.0
    before = "-" if rounded < 0 else "+" if sign and rounded > 0 else ""
    return f"{before}{unit}{abs(rounded):.{digits}f}"


def _cost(used: Mapping[str, Any]) -> str:
    cost = used.get("cost")
    return "unknown cost" if cost is None else f"${cost:.4f}" if 0 < cost < 1 else f"${cost:.2f}"
