"""`josh proactive rewards`: from trajectories to preferences, without a call to a model.

1. Each trajectory gets its reward, `w_task * R_task - w_interrupt * C_interrupt` (`josh.envs.proactive.cost`).
2. Siblings with different actions become pairs, and pairs become rows of one kind (`proactive_pairs.py`).

The same file and settings give the same bytes. `josh rescore` of the run with the same settings gives the same pairs.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from josh.config import listed, settings_of_plug_in
from josh.envs.proactive.cost import require_priced
from josh.errors import UsageError
from josh.rewards.proactive import ProactiveRewards
from josh.runs.export.export import NoRowsError
from josh.runs.export.files import check_free, manifest_of, relative
from josh.runs.record.summary import counted
from josh.runs.systems.proactive_files import print_file, refuse_same, write_file
from josh.runs.systems.proactive_pairs import ACTION, CLASSIFICATION, KINDS, Scoring, action_pairs_of, rows_of_kind
from josh.runs.systems.proactive_rows import read_trajectories

_ROLE: Final = "rewards"
_TRAINED: Final = ("prompt", "chosen", "rejected", "margin")
"""The keys of a row that belong to its format; the others are columns."""


def add_rewards_flags(parser: argparse.ArgumentParser, _: Sequence[str] = ()) -> None:
    """Add the flags of `josh proactive rewards`."""
    parser.description = (
        "Computes the rewards of trajectories from what was stored, and writes preferences between the actions at each "
        "decision point. No model is asked."
    )
    parser.add_argument(
        "--trajectories", type=Path, metavar="FILE", help="trajectories of `josh proactive generate`, or published ones"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="the file to write, with FILE.manifest.json beside it")
    parser.add_argument(
        "--kind",
        default=ACTION,
        help="action: the prompt is the text of the state, and the answers are the two actions; text: the conversation "
        "and the two messages; classification: the text of the state and the better action (default: action)",
    )
    group = parser.add_argument_group("weights and scores")
    for one in settings_of_plug_in(ProactiveRewards, _ROLE):
        names = [f"--{name}" for name in dict.fromkeys((one.name, one.flag, one.dotted))]
        kind = {int: int, float: float}.get(one.kind, str)
        default = "" if one.default is None else f" (default: {one.default})"
        group.add_argument(*names, dest=one.flag, type=kind, help=f"{one.rule.help}{default}".replace("%", "%%"))


def run_rewards(args: argparse.Namespace) -> int:
    """Compute rewards and write preferences; print the number of each stage. Returns the exit code.

    Raises:
        UsageError: a flag or a row is wrong, code may not be run, or there is no pair; nothing is written.
    """
    for name in ("trajectories", "out"):
        if getattr(args, name) is None:
            raise UsageError(
                f"no {name} given; example: josh proactive rewards --trajectories logs/traj.jsonl --out dpo/prefs.jsonl"
            )
    if args.kind not in KINDS:
        raise UsageError(f"kind is {args.kind!r}; give {listed(tuple(KINDS))}")
    scoring = Scoring(_given(args))
    refuse_same("out", args.out, {"trajectories": args.trajectories})
    earlier = check_free(args.out)
    trajectories = list(read_trajectories(args.trajectories))
    none: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    pairs = list(action_pairs_of(scoring.scored(trajectories), none))
    rows = rows_of_kind(args.kind, pairs, dropped)
    if not rows:
        raise NoRowsError(_why_none(args.trajectories, len(trajectories), none, dropped))
    labels = Counter(one.action for one in rows)
    columns = [name for name in rows[0].row if name not in _TRAINED]
    manifest = {
        "format": CLASSIFICATION if args.kind == CLASSIFICATION else "dpo",
        "kind": args.kind,
        **({} if args.kind == CLASSIFICATION else {"columns": columns}),
        "labels": dict(sorted(labels.items())),
        "settings": _settings(scoring.weights),
        "trajectories": len(trajectories),
        "yields": {"pairs": len(pairs), "none": dict(sorted(none.items()))},
        "dropped": {reason: count for reason, count in sorted(dropped.items()) if count},
        "tasks": sorted({one.state_id for one in rows}),
        **_source(args.trajectories, args.out.parent),
    }
    manifest = write_file(args.out, (one.row for one in rows), manifest)
    _print(manifest, args.out)
    print_file(manifest, args.out, earlier)
    return 0


def _given(args: argparse.Namespace) -> dict[str, Any]:
    """Returns the settings of the rewards that are given, by name. Raises UsageError where one has no effect."""
    settings = settings_of_plug_in(ProactiveRewards, _ROLE)
    args.typed |= {one.flag: one.name for one in settings}
    found = {one.name: getattr(args, one.flag) for one in settings}
    given = {name: value for name, value in found.items() if value is not None}
    require_priced(given)
    return given


def _settings(weights: Any) -> dict[str, Any]:
    """Returns the settings for a manifest, without those that are not given and a folder of this machine."""
    found = {**asdict(weights), "w_interrupt": weights.interrupt, "grades": None}
    return {name: value for name, value in found.items() if value is not None}


def _source(path: Path, home: Path) -> dict[str, Any]:
    """Returns the file of trajectories for a manifest in the folder `home`, and the runs that it was made of."""
    found = {"source": path.name, **relative(path, home), "source_sha256": sha256(path.read_bytes()).hexdigest()}
    try:
        runs = json.loads(manifest_of(path).read_bytes()).get("runs") or []
        moved = [
            {**run, **relative(path.parent / run["folder"], home)} if "folder" in run else dict(run) for run in runs
        ]
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        moved = []
    return {**found, "runs": moved}


def _print(manifest: Mapping[str, Any], out: Path) -> None:
    to = sys.stderr if str(out) == "-" else sys.stdout
    yields = manifest["yields"]
    reasons = ", ".join(f"{count} {reason}" for reason, count in yields["none"].items())
    print(f"{'trajectories':<15} {manifest['trajectories']}", file=to)
    print(f"{'pairs':<15} {yields['pairs']}{f'; none: {reasons}' if reasons else ''}", file=to)
    for reason, count in manifest["dropped"].items():
        print(f"{'left out':<15} {reason}: {count}", file=to)
    labels = ", ".join(f"{count} {label}" for label, count in manifest["labels"].items())
    print(f"{manifest['kind']:<15} {counted(manifest['rows'], 'row')} ({labels})", file=to)


def _why_none(path: Path, count: int, none: Counter[str], dropped: Counter[str]) -> str:
    """Returns why there are no rows, in one line with a way out."""
    if not count:
        return f"{path} has no trajectories; write some with josh proactive generate"
    reasons = ", ".join(f"{reason} ({number})" for reason, number in (none + dropped).items())
    way = "give trajectories with both actions in the same state"
    if none["no task score"]:
        way = "give --planning_score, or --allow_exec for tests"
    return f"{path} has no pair of actions: {reasons}; {way}"
