"""The result of a race as a table for the terminal, as CSV, and as curves."""

import csv
from collections.abc import Mapping
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any, Final

from josh.errors import UsageError
from josh.terminal import align_columns

_MEASURES: Final = ("success", "reward", "first_win", "distinct_wins")
_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_BANDS: Final = 4
"""Most searches whose intervals are drawn; more would hide each other."""
_MARKS: Final = ("o", "s", "^", "D", "v", "P", "X")


def printed(figures: Mapping[str, Any], width: int | None = None) -> str:
    """Returns the result as text: for each budget a line of each search, and the differences from the reference.

    Args:
        figures: those of `race_figures`.
        width: most columns of a line; None for no limit.
    """
    unit, counts = figures["unit"], {cell["scored"] for cell in figures["results"]}
    tasks = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    blocks = [
        f"{tasks} {figures['called']}s, {len(figures['searches'])} searches at temperature "
        f"{figures['temperature']:g}, seed {figures['seed']}; 95 % intervals"
    ]
    heads = ["", "success", "reward", "first win", "distinct wins", "sft", "dpo", "turns", "seconds"]
    changes = ["", "success", "reward", "first win", "won/lost only", "McNemar"]
    for budget in figures["budgets"]:
        lines = [heads]
        for cell in (one for one in figures["results"] if one["budget"] == budget):
            seconds = "" if cell["seconds"] is None else f"{cell['seconds']:.0f}"
            lines.append(
                [
                    f"  {cell['search']}",
                    _span(cell["success"], 3),
                    _span(cell["reward"], 2, unit),
                    _number(cell["first_win"]["value"], 1),
                    _number(cell["distinct_wins"]["value"], 1),
                    *(str(cell["rows"][form]) for form in ("sft", "dpo")),
                    _number(cell["turns"], 1),
                    seconds,
                ]
            )
        block = [f"budget {budget} {_words(figures)}", *align_columns(lines, width)]
        others = [one for one in figures["pairs"] if one["budget"] == budget and one["less"] == figures["reference"]]
        if others:
            rows = [changes]
            for one in others:
                p = "" if one["p"] is None else f"p = {one['p']:.3f}" if one["p"] >= 0.001 else "p < 0.001"
                rows.append(
                    [
                        f"  {one['search']}",
                        _span(one["success"], 3, "", "+"),
                        _span(one["reward"], 2, unit, "+"),
                        _span(one["first_win"], 1, "", "+"),
                        f"{one['won_only']} / {one['lost_only']}",
                        p,
                    ]
                )
            block += [f"less {figures['reference']}, paired", *align_columns(rows, width)]
        blocks.append("\n".join(block))
    tests = sum(one["p"] is not None and one["less"] == figures["reference"] for one in figures["pairs"])
    if tests > 1:
        blocks.append(f"{tests} tests are shown, and no p value is adjusted for their number.")
    return "\n\n".join(blocks)


def _words(figures: Mapping[str, Any]) -> str:
    unit = figures["budget_unit"]
    return "turns of the agent" if unit == "turns" else str(unit)


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _span(estimate: Mapping[str, Any], digits: int, unit: str = "", sign: str = "") -> str:
    """Returns an estimate with its interval."""
    value, low, high = (estimate[name] for name in ("value", "low", "high"))
    if value is None:
        return ""

    def words(number: float) -> str:
        text = f"{abs(number):.{digits}f}"
        before = "-" if number < 0 and float(text) else sign
        return f"{before}{unit}{text}"

    return words(value) if low is None else f"{words(value)} ({words(low)} to {words(high)})"


def write_csv(figures: Mapping[str, Any], path: Path) -> None:
    """Write one line for each search and budget. Raises UsageError where the file cannot be written."""
    spans = [f"{name}{end}" for name in _MEASURES for end in ("", "_low", "_high")]
    names = ["search", "budget", "scored", *spans, "agent_turns", "turns", "calls", "tokens", "sft", "dpo", "seconds"]
    text = StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(names)
    for cell in figures["results"]:
        ends = [cell[name][end] for name in _MEASURES for end in ("value", "low", "high")]
        costs = [cell[name] for name in ("agent_turns", "turns", "calls", "tokens")]
        rows.writerow(
            [cell["search"], cell["budget"], cell["scored"], *ends, *costs, *cell["rows"].values(), cell["seconds"]]
        )
    try:
        path.write_text(text.getvalue(), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None


def draw(figures: Mapping[str, Any], path: Path) -> bool:
    """Draw the measures against the budget. Returns whether matplotlib is there to draw."""
    if find_spec("matplotlib") is None:
        return False
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    unit, words = figures["unit"], _words(figures)
    titles = {
        "success": f"share of tasks won ({figures['rate']})",
        "reward": f"reward of the best conversation{f' ({unit})' if unit else ''}",
        "first_win": "turns of the agent to the first win",
        "distinct_wins": "distinct winning plays of a task",
    }
    figure = Figure(figsize=(11, 8), layout="constrained")
    axes = figure.subplots(2, 2).flatten()
    for axis, (name, title) in zip(axes, titles.items(), strict=True):
        for place, search in enumerate(figures["searches"]):
            cells = [
                cell for cell in figures["results"] if cell["search"] == search and cell[name]["value"] is not None
            ]
            budgets = [cell["budget"] for cell in cells]
            values = [cell[name]["value"] for cell in cells]
            colour, mark = _COLOURS[place % len(_COLOURS)], _MARKS[place % len(_MARKS)]
            axis.plot(budgets, values, color=colour, marker=mark, label=search, linewidth=1.6, markersize=5)
            ends = [(cell[name]["low"], cell[name]["high"]) for cell in cells]
            if len(figures["searches"]) <= _BANDS and all(low is not None for low, _ in ends):
                axis.fill_between(budgets, *zip(*ends, strict=True), color=colour, alpha=0.1, linewidth=0)
        axis.set_title(title)
        axis.set_xlabel(f"budget per task, in {words}")
        if len(figures["budgets"]) > 1:
            axis.set_xscale("log")
        axis.set_xticks(figures["budgets"], list(map(str, figures["budgets"])))
        axis.minorticks_off()
        axis.grid(alpha=0.25)
    axes[0].legend()
    try:
        with rc_context({"text.parse_math": False}):  # a dollar sign must not start a formula
            figure.savefig(path, dpi=120, metadata={"Software": "josh"})
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
    return True
