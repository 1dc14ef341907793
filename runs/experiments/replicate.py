"""Whether the loop teaches anything: `josh loop --tiny` with several seeds, and what they come to together.

python -m josh.runs.experiments.replicate --out records/five-seeds

Every seed has a small model, training people and held-out people of its own. Loops that are done are not done again,
and those that were broken off are gone on with. Everything runs on a processor, without a network.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from josh.runs.evaluate.table import format_interval, format_number
from josh.terminal import align_columns

SEEDS = "1,2,3,4,5"
OTHERS = "donor_mild,donor_firm"
GAIN = 74.0
"""Per cent by which JOSH's best training raised its base (Lattimer et al., 2024): Llama-3-8B on ToolWOZ."""
SCRIPTS = ("best script, 1 act a turn", "best script, 3 acts a turn")

Figures = Mapping[str, Any]


def loop_of(out: Path, seed: int, flags: Sequence[str]) -> Figures:
    """Do a seed's loop, or what is left of it; its `loop.json`. Raises SystemExit where it fails."""
    place = out / f"seed-{seed}"
    begun = sorted(place.glob("loop-*"))
    if begun and (begun[0] / "loop.json").exists():
        found: Figures = json.loads((begun[0] / "loop.json").read_text(encoding="utf-8"))
        return found
    own = ["--tiny", "--control", "--other_users", OTHERS, "--seed", str(seed), "--log_dir", str(place), *flags]
    command = [sys.executable, "-m", "josh", "loop", *(["--resume", str(begun[0])] if begun else own)]
    code = subprocess.run(command, check=False).returncode  # noqa: S603 (this very program)
    if code:
        raise SystemExit(code)
    return loop_of(out, seed, flags)


def table(loops: Mapping[int, Figures]) -> str:
    """A line for every seed, as Markdown."""
    head = [
        "seed",
        "base",
        "last round",
        "less base",
        "gain",
        "of the way to the script of 1 act",
        "control less base",
        "minutes",
    ]
    lines = [head, ["---"] * len(head)]
    for seed, found in loops.items():
        last = found["rounds"][-1]
        lines.append(
            [
                str(seed),
                _cell(found["base"]),
                _cell(last),
                _apart(last),
                f"{last['gain_percent']:+.0f} %",
                f"{100 * way(found, SCRIPTS[0]):.0f} %",
                _apart(found["control"]),
                f"{found['minutes']:.1f}",
            ]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def way(found: Figures, script: str) -> float:
    """How much of the distance from the base to a script the last round has gone."""
    base, last = _ends(found)
    far = found["references"][script]["mean_donation"] - base["mean_donation"]
    return float((last["mean_donation"] - base["mean_donation"]) / far) if far else float("nan")


def _cell(one: Figures) -> str:
    low, high = one["mean_donation_ci"]
    return (
        f"{format_interval({'value': one['mean_donation'], 'low': low, 'high': high}, '$')}, {one['donation_rate']:.2f}"
    )


def _apart(one: Figures) -> str:
    return format_interval({"value": one["diff"], "low": one["diff_ci"][0], "high": one["diff_ci"][1]}, "$", "+")


def means(loops: Mapping[int, Figures]) -> str:
    """Means over the seeds: every policy against every user model, and the search against plain conversations."""
    found = list(loops.values())
    policies = ["base", *(f"round {one['round']}" for one in found[0]["rounds"])]
    lines = [["mean over seeds", "mean donation", "donation rate"]]

    def line(name: str, cells: Sequence[Figures]) -> list[str]:
        return [
            name,
            *(format_number(fmean(one[kind] for one in cells)) for kind in ("mean_donation", "donation_rate")),
        ]

    for place, name in enumerate(policies):
        lines.append(line(name, [one["base"] if not place else one["rounds"][place - 1] for one in found]))
    lines.append(line("control: losing paths", [one["control"] for one in found]))
    lines += [line(name, [one["references"][name] for one in found]) for name in found[0]["references"]]
    for user in found[0]["other_users"]:
        for name in found[0]["other_users"][user]:
            lines.append(line(f"{user}: {name}", [one["other_users"][user][name] for one in found]))
    lines.append(["", "", ""])
    lines.append(["first search", "tasks won", "reward"])
    for name, key in (("beam of 8", "beam"), ("best of n", "best_of_n"), ("plain conversations", "plain")):
        cells = [one["search"][key] for one in found]
        values = [format_number(fmean(cell[kind]["value"] for cell in cells)) for kind in ("tasks_won", "reward")]
        lines.append([f"{name}, {fmean(cell['replies'] for cell in cells):.0f} replies", *values])
    return "\n".join(align_columns(lines))


def verdicts(loops: Mapping[int, Figures]) -> str:
    """What was hoped for, and whether it came so."""
    found = list(loops.values())
    gains = [one["rounds"][-1]["gain_percent"] for one in found]
    base, last = (
        fmean(one["mean_donation"] for one in ones) for ones in zip(*[_ends(one) for one in found], strict=True)
    )
    over = 100 * (last / base - 1)
    gained = fmean(one["rounds"][-1]["diff"] for one in found) or float("nan")
    kept = {user: fmean(_gain(one, user) for one in found) / gained for user in found[0]["other_users"]}
    clear = sum(one["rounds"][-1]["diff_ci"][0] > 0 for one in found)
    control = sum(one["control"]["diff_ci"][0] > 0 for one in found)
    beam = fmean(one["search"]["beam_less_best_of_n"]["tasks_won"]["value"] for one in found)
    lines = [
        f"gain of the mean donation, all seeds together: {over:+.0f} % ({GAIN:.0f} hoped for); of each: "
        + ", ".join(f"{gain:+.0f}" for gain in gains),
        f"seeds whose interval of the difference excludes 0: {clear} of {len(found)}",
        "of the way from the base to the "
        + ", ".join(f"{script}: {100 * fmean(way(one, script) for one in found):.0f} %" for script in SCRIPTS),
        "gain kept against users not trained against: "
        + ", ".join(f"{user} {part:.2f}" for user, part in kept.items()),
        f"seeds whose control improves: {control} of {len(found)}",
        f"tasks won by the beam less best of n: {beam:+.3f}",
        "minutes: " + ", ".join(f"{one['minutes']:.1f}" for one in found),
    ]
    return "\n".join(lines)


def _ends(found: Figures) -> tuple[Figures, Figures]:
    return found["base"], found["rounds"][-1]


def _gain(found: Figures, user: str) -> float:
    cells = found["other_users"][user]
    return float(cells[f"round {found['rounds'][-1]['round']}"]["diff"])


def main() -> None:
    """Do the loops, and print what they came to. Further flags go to `josh loop`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the loops and five_seeds.json")
    parser.add_argument("--seeds", default=SEEDS, help=f"by commas (default: {SEEDS})")
    args, flags = parser.parse_known_args()
    args.out.mkdir(parents=True, exist_ok=True)
    loops = {int(seed): loop_of(args.out, int(seed), flags) for seed in args.seeds.split(",")}
    (args.out / "five_seeds.json").write_text(json.dumps(loops, indent=1) + "\n", encoding="utf-8")
    print(f"\n{table(loops)}\n\n{means(loops)}\n\n{verdicts(loops)}")


if __name__ == "__main__":
    main()
