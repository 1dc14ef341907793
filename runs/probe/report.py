"""The numbers of a probe as text for the terminal. The last line is the answer."""

from collections.abc import Mapping
from typing import Any

from josh.runs.probe.figures import TOO_FEW, Figures
from josh.runs.probe.settings import BASELINE, JUDGE, MODEL, PAIRWISE, SINGLE
from josh.runs.record.summary import counted
from josh.terminal import align_columns

_OUTCOMES = ("win", "tie", "loss", "unreadable", "missing")
_MEASURES = {"items": "items", PAIRWISE: "comparisons", SINGLE: "scores"}


def sentence(figures: Figures) -> str:
    """Returns the answer of a probe in one line."""
    return f"no worse than the base by more than {figures['margin']:g}: {figures['no_worse']}"


def as_text(figures: Figures, folder: str, width: int | None = None) -> str:
    """Returns the numbers of a complete probe.

    Args:
        figures: the content of `probe.json`.
        folder: the probe's folder, in words; empty to leave it out.
        width: most columns of a table; None for no limit.
    """
    blocks = [
        "\n".join(["the model and its base, with 95 % intervals drawn over items", *_items(figures["items"], width)]),
        "\n".join(_drift(figures["drift"], width)),
    ]
    if PAIRWISE in figures:
        blocks.append("\n".join(_pairwise(figures, width)))
    if SINGLE in figures:
        blocks.append("\n".join(_single(figures, width)))
    rest = [
        f"model           {figures['model']}",
        f"base            {figures['baseline']}",
        *([f"judge           {figures['judge']}"] if figures["judge"] else []),
        *_notes(figures),
        f"calls           {_calls(figures)}",
        *([f"written to      {folder}/"] if folder else []),
    ]
    reasons = [
        f"{_MEASURES[name]}: {figures[name]['no_worse']}{_why(figures[name])}" for name in _MEASURES if name in figures
    ]
    return "\n\n".join([*blocks, "\n".join(rest), "\n".join([*reasons, sentence(figures)])])


def _items(items: Mapping[str, Any], width: int | None) -> list[str]:
    passed, change = items["passed"], items["difference"]
    rows = [["", "base", "model", "model less base"]]
    total = [interval(passed[BASELINE]), interval(passed[MODEL]), interval(change, "+")]
    rows.append([f"  passed, of {items['items']} items", *total])
    for kind, one in items["kinds"].items():
        rows.append([f"    {kind}, of {one['items']}", f"{one[BASELINE]:.0f}", f"{one[MODEL]:.0f}", ""])
    lost = (
        f"  only the base passes {items['lost']}, only the model {items['gained']} (McNemar p {items['mcnemar']:.2g})"
    )
    return [*align_columns(rows, width), lost]


def _drift(drift: Mapping[str, Any], width: int | None) -> list[str]:
    if "not_measured" in drift:
        return [f"drift: not measured; {drift['not_measured']}"]
    what = f"{drift['replies']} replies of the base with {counted(drift['tokens'], 'token')}"
    rows = [["", "base", "model", "model less base"]]
    nats = [interval(drift["nats"][side]) for side in (BASELINE, MODEL)]
    rows.append(["  nats per token of these", *nats, interval(drift["drift"], "+")])
    for name, words in (("different_tokens", "tokens"), ("different_pairs", "pairs of tokens")):
        own = [number(drift[name][side]) for side in (BASELINE, MODEL)]
        rows.append([f"  different {words}, in own replies", *own, ""])
    return [f"drift, on {what}", *align_columns(rows, width)]


def _pairwise(figures: Figures, width: int | None) -> list[str]:
    one = figures[PAIRWISE]
    rows = [["", *_OUTCOMES]]
    for name, counts in one["categories"].items():
        rows.append([f"  {name}", *(str(counts[outcome]) for outcome in _OUTCOMES)])
    for turn, counts in one["turns"].items():
        rows.append([f"  turn {turn}", *(str(counts[outcome]) for outcome in _OUTCOMES)])
    rows.append(["  all", *(str(one["counts"][outcome]) for outcome in _OUTCOMES)])
    same = one["counts"]["same"]
    lines = [
        f"comparisons by the judge, each in both orders: {counted(one['pairs'], 'pair')} of answers to "
        f"{counted(figures['questions'], 'question')}",
        *align_columns(rows, width),
        f"  both orders agree on {_share(one['consistency'])} of {counted(one['consistency_pairs'], 'pair')}; the "
        "others are ties",
        f"  points of the model (a tie is half a point) less .5: {interval(one['difference'], '+')}",
        f"  correlation of points with the length of the answer: {number(one['length_correlation'], '+')}",
    ]
    if same:
        lines.append(f"  {counted(same, 'tie')} because both answers are the same; the judge is not asked about them")
    return lines + _references(one)


def _single(figures: Figures, width: int | None) -> list[str]:
    one = figures[SINGLE]
    rows = [["", "pairs", "base", "model"]]
    for name, means in one["categories"].items():
        rows.append([f"  {name}", str(means["pairs"]), *(number(means[side]) for side in (BASELINE, MODEL))])
    for turn, means in one["turns"].items():
        rows.append([f"  turn {turn}", str(means["pairs"]), *(number(means[side]) for side in (BASELINE, MODEL))])
    own = [interval(one["scores"][side]) for side in (BASELINE, MODEL)]
    rows.append(["  all", str(one["pairs"]), *own])
    return [
        "scores by the judge, from 1 to 10",
        *align_columns(rows, width),
        f"  model less base: {interval(one['difference'], '+')} points; {interval(one['share'], '+')} of the scale",
        f"  unreadable scores: {one['unreadable']}; missing pairs: {one['missing']}",
        f"  correlation of scores with the length of the answer: {number(one['length_correlation'], '+')}",
        *_references(one),
    ]


def _references(one: Mapping[str, Any]) -> list[str]:
    count = one["without_reference"]
    if not count:
        return []
    return [f"  {counted(count, 'pair')} of math, reasoning or coding without a right answer; --references gives them"]


def _notes(figures: Figures) -> list[str]:
    notes = []
    cut = {side: count for side, count in figures["cut_off"].items() if count}
    if cut:
        names = {BASELINE: "base", MODEL: "model", JUDGE: "judge"}
        counts = ", ".join(f"{count} of the {names[side]}" for side, count in cut.items())
        notes.append(f"cut off         {counts}; --max_tokens gives replies more room")
    if figures["too_long"]:
        notes.append(f"too long        {counted(figures['too_long'], 'request')} did not fit into a model's context")
    if figures["failed"]:
        notes.append(f"failed          {counted(figures['failed'], 'request')}; the first: {figures['first_error']}")
    return notes


def _calls(figures: Figures) -> str:
    names = {BASELINE: "base", MODEL: "model", JUDGE: "judge"}
    parts = [f"{used['calls']} {names[side]}" for side, used in figures["usage"].items() if used["calls"]]
    cost = "cost unknown" if figures["cost"] is None else f"${figures['cost']:.2f}"
    return f"{', '.join(parts)}; {cost}"


def _why(one: Mapping[str, Any]) -> str:
    return f" ({one['why']})" if one["why"] and one["no_worse"] == TOO_FEW else ""


def interval(estimate: Mapping[str, Any], sign: str = "") -> str:
    """Returns an estimate with its interval; with `sign`, positive numbers get a plus."""
    value, low, high = (estimate[name] for name in ("value", "low", "high"))
    if low is None:
        return number(value, sign)
    return f"{number(value, sign)} [{number(low, sign)}, {number(high, sign)}]"


def number(value: float | None, sign: str = "") -> str:
    """Returns a number with two decimals; a dash for None."""
    if value is None:
        return "-"
    rounded = round(value, 2) + 0.0
    return f"{rounded:+.2f}" if sign and rounded > 0 else f"{rounded:.2f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
