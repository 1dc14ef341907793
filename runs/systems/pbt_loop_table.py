"""The numbers of `josh pbt loop`, and their table beside the published one.

`+ -> -` is the accuracy where the model was right and its partner is wrong (resisting), `- -> +` where it was wrong and
its partner is right (accepting), and `overall` is the mean of both (Stengel-Eskin et al., NAACL 2025, table 1).
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from josh.errors import FatalError
from josh.runs.evaluate.scores import Metrics
from josh.runs.loop.processes import STAGES
from josh.runs.record.summary import counted
from josh.runs.systems.seed_loop import evaluation_in, seconds_of, spread
from josh.runs.train.adapter_folder import CARD
from josh.runs.train.tiny import MANIFEST
from josh.terminal import align_columns

MODES: Final = ("accept", "resist", "balanced")
"""The sets of pairs that an adapter is trained on."""
MODEL, EVALUATIONS = "model", "eval-flipflop-*"
"""The folder of a seed's model, and the pattern of those of its evaluations."""
POLICIES: Final = ("base", *MODES)
COLUMNS: Final = MappingProxyType({"resisting": "acc_on_cti", "accepting": "acc_on_itc", "overall": "balanced"})
"""The columns, by the names that the suite `flipflop` gives them."""
PUBLISHED: Final[Mapping[str, tuple[float, float, float]]] = MappingProxyType(
    {
        "base": (27.1, 59.2, 43.2),
        "accept": (27.6, 57.4, 42.5),
        "resist": (54.7, 19.4, 37.1),
        "balanced": (61.7, 60.2, 61.0),
    }
)
"""Published numbers of Llama-3.1-8B in percent, in the order of `COLUMNS`; means of three seeds."""
_HEADS: Final = ("+ -> - (resisting)", "- -> + (accepting)", "overall")
_NAMES: Final = MappingProxyType(
    {"base": "base", "accept": "accept-only", "resist": "resist-only", "balanced": "balanced (PBT)"}
)


def adapter_of(home: Path, mode: str, method: str) -> Path:
    """Returns the folder of an adapter of one seed, whose folder is `home`."""
    return home / "adapters" / f"{mode}-{method}"


def loop_figures(folder: Path, seeds: Mapping[int, Mapping[str, Sequence[str]]], most: int, seconds: float) -> Metrics:
    """Returns all numbers of a finished loop, as `table.json` has them.

    Args:
        folder: the loop's folder.
        seeds: for each seed its stages, and for each of these the stages that it needs.
        most: most stages at the same time.
        seconds: the wall-clock time of the loop, over all its sessions.

    Returns:
        `minutes`: the wall-clock time; `jobs`: most stages at the same time;
        `seeds`: for each seed its models' numbers with 95 % intervals and paired differences from the base, the `shape`
        (see `shape_of`), the sizes of model and sets, and the seconds of its stages (of a stage that was interrupted,
        those since it went on): `pretraining_seconds` by the clock; `seconds` that all other stages of this seed take
        by the clock, `jobs` at the same time (see `by_clock`); `cpu_seconds` of the processor for these;
        `mean`: mean and standard deviation over the seeds; `published`: the published table.

    Raises:
        FatalError: an evaluation scored nothing.
    """
    found = [_figures_of_seed(folder, seed, needs, most) for seed, needs in seeds.items()]
    means = {
        policy: {column: spread([one["results"][policy][column]["value"] for one in found]) for column in COLUMNS}
        for policy in POLICIES
    }
    return {
        "minutes": round(seconds / 60, 2),
        "jobs": most,
        "seeds": found,
        "mean": means,
        "published": {policy: dict(zip(COLUMNS, numbers, strict=True)) for policy, numbers in PUBLISHED.items()},
    }


def _figures_of_seed(folder: Path, seed: int, needs: Mapping[str, Sequence[str]], most: int) -> Metrics:
    home = folder / f"seed-{seed}"
    made = json.loads((home / MODEL / MANIFEST).read_text(encoding="utf-8"))
    pairs = {}
    for mode in MODES:
        card = json.loads((adapter_of(home, mode, "dpo") / CARD).read_text(encoding="utf-8"))
        pairs[mode] = card["rows"]["used"]
    evaluation = evaluation_in(home, EVALUATIONS, folder / STAGES / f"seed-{seed}-flipflop.json")
    cells = evaluation["suite"]["results"]
    results = dict(zip(POLICIES, map(_result, cells), strict=True))
    if any(one[column]["value"] is None for one in results.values() for column in COLUMNS):
        raise FatalError(f"{home} has no accuracy for some model; see its {EVALUATIONS}")
    return {
        "seed": seed,
        "parameters": made["parameters"],
        **seconds_of(folder, needs, f"seed-{seed}-{MODEL}", most),
        "pairs": pairs,
        "test_rows": evaluation["tasks"],
        "results": results,
        "shape": shape_of(results),
    }


def _result(cell: Mapping[str, Any]) -> Metrics:
    """Returns a model's numbers by the names of `COLUMNS`, with those of `difference` where it has a baseline."""
    found: Metrics = {column: _interval(cell[name]) for column, name in COLUMNS.items()}
    if "difference" in cell:
        found["difference"] = {column: _interval(cell["difference"][name]) for column, name in COLUMNS.items()}
    return found


def _interval(estimate: Mapping[str, Any]) -> Metrics:
    return {name: estimate[name] for name in ("value", "low", "high")}


def shape_of(results: Mapping[str, Metrics]) -> dict[str, bool]:
    """Returns which statements of the paper hold for one seed.

    Args:
        results: for each policy its numbers, see `loop_figures`.

    Returns:
        `accept`: accept-only accepts more than the base, beyond the interval of the paired difference, and does not
        resist more; `resist`: resist-only the other way round; `balanced`: balanced is better overall than each of the
        others, and better than the base beyond the interval.
    """

    def raised(policy: str, column: str) -> bool:
        low = results[policy]["difference"][column]["low"]
        return low is not None and low > 0

    overall = {policy: one["overall"]["value"] for policy, one in results.items()}
    return {
        "accept": raised("accept", "accepting") and not raised("accept", "resisting"),
        "resist": raised("resist", "resisting") and not raised("resist", "accepting"),
        "balanced": raised("balanced", "overall")
        and all(overall["balanced"] > value for policy, value in overall.items() if policy != "balanced"),
    }


def loop_text(figures: Metrics, width: int | None = None) -> str:
    """Returns the tables for the terminal: one per seed, their mean, and the published one beside it.

    Args:
        figures: see `loop_figures`.
        width: most columns of a line; None for no limit.
    """
    blocks = [_seed_text(one, figures["jobs"], width) for one in figures["seeds"]]
    lines = [["", *_HEADS, "Llama-3.1-8B, published"]]
    for policy in POLICIES:
        cells = [_mean_text(figures["mean"][policy][column]) for column in COLUMNS]
        published = " / ".join(f"{figures['published'][policy][column]:.1f}" for column in COLUMNS)
        lines.append([f"  {_NAMES[policy]}", *cells, published])
    seeds = counted(len(figures["seeds"]), "seed")
    blocks.append("\n".join([f"mean of {seeds}, in %, +- standard deviation", *align_columns(lines, width)]))
    holds = {name: sum(one["shape"][name] for one in figures["seeds"]) for name in MODES}
    blocks.append(
        "\n".join(
            f"{text}: in {holds[name]} of {seeds}"
            for name, text in (
                ("accept", "accept-only accepts more than the base, and does not resist more"),
                ("resist", "resist-only resists more than the base, and does not accept more"),
                ("balanced", "balanced is the best overall"),
            )
        )
    )
    blocks.append(f"{figures['minutes']:.1f} minutes by the clock for everything")
    return "\n\n".join(blocks)


def _seed_text(one: Metrics, most: int, width: int | None) -> str:
    pairs = sorted(set(one["pairs"].values()))
    sets = " or ".join(map(str, pairs))
    head = (
        f"seed {one['seed']}: {one['parameters']:,} parameters, {sets} pairs in each set, {one['test_rows']} held-out "
        f"debates; in %, with 95 % intervals"
    )
    lines = [["", *_HEADS]]
    for policy in POLICIES:
        lines.append([f"  {_NAMES[policy]}", *(_cell_text(one["results"][policy][column]) for column in COLUMNS)])
    lines.append(["  less base, paired", "", "", ""])
    for policy in MODES:
        less = one["results"][policy]["difference"]
        lines.append([f"  {_NAMES[policy]}", *(_cell_text(less[column], "+") for column in COLUMNS)])
    pretraining, rest, worked = (one[name] / 60 for name in ("pretraining_seconds", "seconds", "cpu_seconds"))
    minutes = f"minutes without pretraining: {rest:.1f} by the clock with {counted(most, 'stage')} at the same time, "
    minutes += f"{worked:.1f} of the processor; pretraining: {pretraining:.1f}"
    return "\n".join([head, *align_columns(lines, width), minutes])


def _cell_text(estimate: Mapping[str, float | None], sign: str = "") -> str:
    value, low, high = (estimate[name] for name in ("value", "low", "high"))
    if value is None:
        return "-"
    if low is None or high is None:
        return f"{100 * value:{sign}.1f}"
    return f"{100 * value:{sign}.1f} ({100 * low:{sign}.1f} to {100 * high:{sign}.1f})"


def _mean_text(spread: Mapping[str, float | None]) -> str:
    value, sd = spread["value"], spread["sd"]
    assert value is not None, "every seed has a value"
    return f"{100 * value:.1f}" if sd is None else f"{100 * value:.1f} +- {100 * sd:.1f}"
