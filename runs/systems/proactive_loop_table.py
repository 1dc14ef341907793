"""The numbers of `josh proactive loop`, and their table."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from josh.errors import FatalError
from josh.runs.evaluate.scores import Metrics
from josh.runs.evaluate.table import format_interval
from josh.runs.export.files import manifest_of
from josh.runs.loop.processes import STAGES
from josh.runs.record.summary import counted
from josh.runs.systems.seed_loop import evaluation_in, seconds_of, spread
from josh.runs.train.tiny import MANIFEST
from josh.terminal import align_columns

MODEL, ADAPTER, EVALUATIONS = "model", "policy", "eval-proactive-*"
"""The folders of a seed's model and of its adapter, and the pattern of those of its evaluations."""
TRAJECTORIES, PREFERENCES = "trajectories.jsonl", "preferences.jsonl"
TRAINED: Final = "trained"
POLICIES: Final = (TRAINED, "direct", "clarify_first", "threshold", "prompt_only")
"""The policies, in the order of the evaluation: `prompt_only` is the model before the training."""
ACCURACY, UTILITY, SUCCESS = "action_accuracy", "utility", "success"
COLUMNS: Final = MappingProxyType(
    {
        ACCURACY: "action accuracy",
        UTILITY: "utility",
        SUCCESS: "task success",
        "clarify": "asked",
        "rejected": "rejected",
        "turns": "turns",
    }
)
ACCURATE: Final = 0.9
"""The action accuracy that the trained policy has to reach."""


def loop_figures(folder: Path, seeds: Mapping[int, Mapping[str, Sequence[str]]], most: int, seconds: float) -> Metrics:
    """Returns all numbers of a finished loop, as `table.json` has them.

    Args:
        folder: the loop's folder.
        seeds: for each seed its stages, and for each of these the stages that it needs.
        most: most stages at the same time.
        seconds: the wall-clock time of the loop, over all its sessions.

    Returns:
        `minutes`: the wall-clock time; `jobs`: most stages at the same time;
        `seeds`: for each seed the numbers of its policies, with 95 % intervals; `gains`: the utility of the trained
        policy less that of each baseline, paired; `holds`: see `holds_in`; the numbers of parameters, of preferences by
        label, and of states; and the seconds of its stages (see `seconds_of`);
        `mean`: mean and standard deviation over the seeds.

    Raises:
        FatalError: an evaluation scored nothing.
    """
    found = [_figures_of_seed(folder, seed, needs, most) for seed, needs in seeds.items()]
    means = {
        policy: {column: spread([one["results"][policy][column]["value"] for one in found]) for column in COLUMNS}
        for policy in POLICIES
    }
    return {"minutes": round(seconds / 60, 2), "jobs": most, "seeds": found, "mean": means}


def _figures_of_seed(folder: Path, seed: int, needs: Mapping[str, Sequence[str]], most: int) -> Metrics:
    home = folder / f"seed-{seed}"
    made = json.loads((home / MODEL / MANIFEST).read_text(encoding="utf-8"))
    rows = json.loads(manifest_of(home / PREFERENCES).read_text(encoding="utf-8"))
    evaluation = evaluation_in(home, EVALUATIONS, folder / STAGES / f"seed-{seed}-eval.json")
    cells = evaluation["suite"]["results"]
    results = {
        policy: {column: _interval(cell[column]) for column in COLUMNS}
        for policy, cell in zip(POLICIES, cells, strict=True)
    }
    if any(one[column]["value"] is None for one in results.values() for column in COLUMNS):
        raise FatalError(f"{home} has no number for some policy; see its {EVALUATIONS}")
    gains = {policy: _turned(cell["difference"][UTILITY]) for policy, cell in zip(POLICIES[1:], cells[1:], strict=True)}
    return {
        "seed": seed,
        "parameters": made["parameters"],
        **seconds_of(folder, needs, f"seed-{seed}-{MODEL}", most),
        "preferences": rows["labels"],
        "test_states": evaluation["tasks"],
        "results": results,
        "gains": gains,
        "holds": holds_in(results, gains),
    }


def _interval(estimate: Mapping[str, Any]) -> Metrics:
    return {name: estimate[name] for name in ("value", "low", "high")}


def _turned(estimate: Mapping[str, Any]) -> Metrics:
    """Returns the first less the second, from the second less the first."""
    turned = {"value": estimate["value"], "low": estimate["high"], "high": estimate["low"]}
    return {name: None if number is None else 0.0 - number for name, number in turned.items()}


def holds_in(results: Mapping[str, Metrics], gains: Mapping[str, Metrics]) -> dict[str, bool]:
    """Returns what holds for one seed.

    Args:
        results: for each policy its numbers.
        gains: for each baseline the utility of the trained policy less its own, paired.

    Returns:
        `accurate`: the trained policy's action accuracy is `ACCURATE` or more; `best`: its utility is higher than that
        of every baseline, beyond the interval of the paired difference.
    """
    return {
        "accurate": results[TRAINED][ACCURACY]["value"] >= ACCURATE,
        "best": all(gain["low"] is not None and gain["low"] > 0 for gain in gains.values()),
    }


def loop_text(figures: Metrics, width: int | None = None) -> str:
    """Returns the tables for the terminal: one per seed, and their mean.

    Args:
        figures: see `loop_figures`.
        width: most columns of a line; None for no limit.
    """
    blocks = [_seed_text(one, figures["jobs"], width) for one in figures["seeds"]]
    lines = [["", *COLUMNS.values()]]
    for policy in POLICIES:
        cells = [_mean_text(figures["mean"][policy][column]) for column in COLUMNS]
        lines.append([f"  {policy}", *cells])
    seeds = counted(len(figures["seeds"]), "seed")
    blocks.append("\n".join([f"mean of {seeds}, +- standard deviation", *align_columns(lines, width)]))
    holds = {name: sum(one["holds"][name] for one in figures["seeds"]) for name in ("accurate", "best")}
    blocks.append(
        f"trained has an action accuracy of {ACCURATE:g} or more: in {holds['accurate']} of {seeds}\n"
        f"trained has a higher utility than every baseline: in {holds['best']} of {seeds}"
    )
    blocks.append(f"{figures['minutes']:.1f} minutes by the clock for everything")
    return "\n\n".join(blocks)


def _seed_text(one: Metrics, most: int, width: int | None) -> str:
    labels = ", ".join(f"{count} {label}" for label, count in one["preferences"].items())
    head = (
        f"seed {one['seed']}: {one['parameters']:,} parameters, preferences: {labels}; {one['test_states']} held-out "
        "states, with 95 % intervals"
    )
    lines = [["", *COLUMNS.values(), "utility of trained less its own, paired"]]
    for policy in POLICIES:
        gain = one["gains"].get(policy)
        cells = (format_interval(one["results"][policy][column]) for column in COLUMNS)
        lines.append([f"  {policy}", *cells, "" if gain is None else format_interval(gain, sign="+")])
    made, rest, worked = (one[name] / 60 for name in ("pretraining_cpu_seconds", "seconds", "cpu_seconds"))
    minutes = f"minutes: {rest:.1f} by the clock with {counted(most, 'stage')} at the same time after pretraining; "
    minutes += f"of the processor: {worked:.1f}, and {made:.1f} for pretraining"
    return "\n".join([head, *align_columns(lines, width), minutes])


def _mean_text(spread: Mapping[str, float | None]) -> str:
    value, sd = spread["value"], spread["sd"]
    assert value is not None, "every seed has a value"
    return f"{value:.3f}" if sd is None else f"{value:.3f} +- {sd:.3f}"
