"""Repeat `josh loop` with several seeds, and summarize whether training improves the model.

python -m josh.runs.experiments.replicate --out records/seeds --tiny --control --other_users A,B

Unknown flags are passed on to `josh loop`. Every seed has its own training tasks and held-out tasks, and with `--tiny`
its own model. Complete loops are not repeated, and interrupted loops are resumed. The users, the reference policies and
the names of the figures come from the loops' records.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from josh.runs.evaluate.table import format_interval, format_number
from josh.runs.record.folder import LOOP, write_json
from josh.terminal import align_columns

SEEDS = "1,2,3,4,5"
SUMMARY = "replicate.json"

Figures = Mapping[str, Any]


def loop_of(out: Path, seed: int, flags: Sequence[str]) -> Figures:
    """Play or resume a seed's loop. Returns its `loop.json`. Raises SystemExit if the loop fails."""
    log_dir = out / f"seed-{seed}"
    begun = sorted(log_dir.glob("loop-*"))
    if begun and (begun[0] / LOOP).exists():
        found: Figures = json.loads((begun[0] / LOOP).read_text(encoding="utf-8"))
        return found
    own = ["--seed", str(seed), "--log_dir", str(log_dir), *flags]
    command = [sys.executable, "-m", "josh", "loop", *(["--resume", str(begun[0])] if begun else own)]
    code = subprocess.run(command, check=False).returncode  # noqa: S603 (our own program)
    if code:
        raise SystemExit(code)
    return loop_of(out, seed, flags)


def table(loops: Mapping[int, Figures]) -> str:
    """Returns a Markdown table with a row for every seed."""
    found = list(loops.values())
    towards, control = better_references(found), all(one["control"] for one in found)
    ways = [f"of the way to {name}" for name in towards]
    head = ["seed", "base", "last round", "minus base", "gain", *ways, *["control minus base"] * control, "minutes"]
    lines = [head, ["---"] * len(head)]
    for seed, one in loops.items():
        last = one["rounds"][-1]
        gain = "-" if last["gain_percent"] is None else f"{last['gain_percent']:+.0f} %"
        cells = [str(seed), _cell(one["base"], one), _cell(last, one), _apart(last, one), gain]
        cells += [f"{100 * way(one, name):.0f} %" for name in towards]
        cells += [_apart(one["control"], one)] if control else []
        lines.append([*cells, f"{one['minutes']:.1f}"])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def better_references(found: Sequence[Figures]) -> list[str]:
    """Returns the reference policies that earn significantly more than the base with every seed."""
    return [name for name in found[0]["references"] if all(one["references"][name]["diff_ci"][0] > 0 for one in found)]


def way(found: Figures, reference: str) -> float:
    """Returns the gain of the last round over the base, as a share of the reference policy's; NaN if that is 0."""
    mean = found["names"]["mean"]
    base, last = found["base"][mean], found["rounds"][-1][mean]
    far = found["references"][reference][mean] - base
    return float((last - base) / far) if far else float("nan")


def _cell(one: Figures, loop: Figures) -> str:
    mean, rate = loop["names"]["mean"], loop["names"]["rate"]
    low, high = one[f"{mean}_ci"]
    return f"{format_interval({'value': one[mean], 'low': low, 'high': high}, loop['unit'])}, {one[rate]:.2f}"


def _apart(one: Figures, loop: Figures) -> str:
    low, high = one["diff_ci"]
    return format_interval({"value": one["diff"], "low": low, "high": high}, loop["unit"], "+")


def means(loops: Mapping[int, Figures]) -> str:
    """Returns means over seeds as text: each policy with each user model, and the search beside plain conversations."""
    found = list(loops.values())
    names = found[0]["names"]["mean"], found[0]["names"]["rate"]
    lines = [["mean over seeds", *(name.replace("_", " ") for name in names)]]

    def line(name: str, cells: Sequence[Figures]) -> list[str]:
        return [name, *(format_number(fmean(one[kind] for one in cells)) for kind in names)]

    lines.append(line("base", [one["base"] for one in found]))
    for place, last in enumerate(found[0]["rounds"]):
        lines.append(line(f"round {last['round']}", [one["rounds"][place] for one in found]))
    if all(one["control"] for one in found):
        lines.append(line("control: losing paths", [one["control"] for one in found]))
    lines += [line(name, [one["references"][name] for one in found]) for name in found[0]["references"]]
    for user, cells in found[0]["other_users"].items():
        lines += [line(f"{user}: {name}", [one["other_users"][user][name] for one in found]) for name in cells]
    if all(one["search"] for one in found):
        lines += [["", "", ""], ["first search", "tasks won", "reward"]]
        for name, key in (("beam", "beam"), ("best of n", "best_of_n"), ("plain conversations", "plain")):
            cells = [one["search"][key] for one in found]
            values = [format_number(fmean(cell[kind]["value"] for cell in cells)) for kind in ("tasks_won", "reward")]
            lines.append([f"{name}, {fmean(cell['replies'] for cell in cells):.0f} replies", *values])
    return "\n".join(align_columns(lines))


def verdicts(loops: Mapping[int, Figures]) -> str:
    """Returns the results over all seeds, a line for each question."""
    found = list(loops.values())
    mean = found[0]["names"]["mean"]
    gains = [one["rounds"][-1]["gain_percent"] for one in found]
    base, last = fmean(one["base"][mean] for one in found), fmean(one["rounds"][-1][mean] for one in found)
    over = 100 * (last / base - 1) if base else float("nan")
    gained = fmean(one["rounds"][-1]["diff"] for one in found) or float("nan")
    kept = {user: fmean(_gain(one, user) for one in found) / gained for user in found[0]["other_users"]}
    ways = {name: 100 * fmean(way(one, name) for one in found) for name in better_references(found)}
    lines = [
        f"gain of the {mean.replace('_', ' ')}, all seeds together: {over:+.0f} %; of each: "
        + ", ".join("-" if gain is None else f"{gain:+.0f}" for gain in gains),
        f"seeds whose interval of the difference excludes 0: {_clear(one['rounds'][-1] for one in found)}",
    ]
    if ways:
        text = ", ".join(f"{name}: {share:.0f} %" for name, share in ways.items())
        lines.append(f"of the way from the base to better references: {text}")
    if kept:
        text = ", ".join(f"{user} {share:.2f}" for user, share in kept.items())
        lines.append(f"gain kept against users not trained against: {text}")
    if all(one["control"] for one in found):
        lines.append(f"seeds whose control improves: {_clear(one['control'] for one in found)}")
    if all(one["search"] for one in found):
        beam = fmean(one["search"]["beam_less_best_of_n"]["tasks_won"]["value"] for one in found)
        lines.append(f"tasks won by the beam minus best of n: {beam:+.3f}")
    return "\n".join([*lines, "minutes: " + ", ".join(f"{one['minutes']:.1f}" for one in found)])


def _clear(cells: Iterable[Figures]) -> str:
    """Returns how many are significantly above the base."""
    above = [one["diff_ci"][0] > 0 for one in cells]
    return f"{sum(above)} of {len(above)}"


def _gain(found: Figures, user: str) -> float:
    cells = found["other_users"][user]
    return float(cells[f"round {found['rounds'][-1]['round']}"]["diff"])


def main(argv: Sequence[str] | None = None) -> None:
    """Play the loops and print their results. Unknown flags go to `josh loop`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    parser.add_argument("--out", type=Path, required=True, help=f"folder for the loops and {SUMMARY}")
    parser.add_argument("--seeds", default=SEEDS, help=f"seeds, separated by commas (default: {SEEDS})")
    args, flags = parser.parse_known_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    loops = {int(seed): loop_of(args.out, int(seed), flags) for seed in args.seeds.split(",")}
    write_json(args.out / SUMMARY, {str(seed): found for seed, found in loops.items()})
    print(f"\n{table(loops)}\n\n{means(loops)}\n\n{verdicts(loops)}")


if __name__ == "__main__":
    main()
