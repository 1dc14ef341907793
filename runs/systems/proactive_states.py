"""`josh proactive states`: writes a file of states for `josh proactive generate --dataset_path`."""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from josh.config import listed
from josh.envs.proactive.env import ALL, BOTH
from josh.envs.proactive.mbpp import LAYOUTS, SPLITS, load_mbpp
from josh.envs.proactive.states import CODING, DOMAINS
from josh.envs.proactive.synthetic import made_up_states
from josh.errors import UsageError
from josh.runs.export.files import check_free
from josh.runs.export.labels import PARTS
from josh.runs.record.summary import counted
from josh.runs.settings import core
from josh.runs.systems.proactive_files import print_file, write_file

FORMAT: Final = "states"
SYNTHETIC, MBPP = "synthetic", "mbpp"
DATASETS: Final = (SYNTHETIC, MBPP)
N_STATES: Final = 50
"""Made-up states that are written where no number is given."""
_ONLY: Final = {SYNTHETIC: ("domain", "seed"), MBPP: ("path", "layout")}
"""Flags that belong to one data set."""


def add_states_flags(parser: argparse.ArgumentParser, _: Sequence[str] = ()) -> None:
    """Add the flags of `josh proactive states`."""
    parser.description = "Writes a file of states, one JSON object on each line."
    parser.add_argument("--out", type=Path, metavar="FILE", help="the file to write, with FILE.manifest.json beside it")
    parser.add_argument(
        "--dataset",
        default=SYNTHETIC,
        help="synthetic: made-up states; mbpp: tasks with tests, of a file or of datasets (default: synthetic)",
    )
    parser.add_argument(
        "--n_states", "--limit", type=int, metavar="INT", help=f"number of states (default: {N_STATES}; all of mbpp)"
    )
    parser.add_argument(
        "--split",
        help=f"of made-up states {', '.join(PARTS)} or all, by the hash of their ids (default: train); of mbpp "
        f"{', '.join(SPLITS)} or all (default: test)",
    )
    parser.add_argument("--domain", help="of made-up states: coding, planning or both (default: both)")
    parser.add_argument("--seed", type=int, help=f"of made-up states: their order (default: {core()['seed'].default})")
    parser.add_argument("--path", type=Path, metavar="FILE", help="of mbpp: its JSON file (default: datasets)")
    parser.add_argument("--layout", help="of mbpp without --path: full or sanitized (default: full)")


def run_states(args: argparse.Namespace) -> int:
    """Write the states. Returns the exit code. Raises UsageError; nothing is written."""
    if args.out is None:
        raise UsageError("no out given; example: josh proactive states --n_states 50 --out seeds/states.jsonl")
    if args.dataset not in DATASETS:
        raise UsageError(f"dataset is {args.dataset!r}; give {listed(DATASETS)}")
    for other in (name for name in DATASETS if name != args.dataset):
        taken = next((flag for flag in _ONLY[other] if getattr(args, flag) is not None), None)
        if taken is not None:
            raise UsageError(
                f"{taken} is given, but dataset is {args.dataset!r}; leave it out, or give --dataset {other}"
            )
    if args.n_states is not None and args.n_states < 1:
        raise UsageError(f"n_states is {args.n_states}; give 1 or more")
    earlier = check_free(args.out)
    settings, rows = _mbpp(args) if args.dataset == MBPP else _made_up(args)
    manifest = write_file(args.out, rows, {"format": FORMAT, "settings": {"dataset": args.dataset, **settings}})
    domains = Counter(row["domain"] for row in rows)
    numbers = ", ".join(f"{number} {domain}" for domain, number in domains.items())
    print(f"{'states':<15} {counted(manifest['rows'], 'state')} ({numbers})")
    print_file(manifest, args.out, earlier)
    return 0


def _made_up(args: argparse.Namespace) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    args.typed["synthetic_tasks"] = "n_states"
    domain, split = args.domain or BOTH, args.split or PARTS[0]
    for name, value, known in (("domain", domain, (*DOMAINS, BOTH)), ("split", split, (*PARTS, ALL))):
        if value not in known:
            raise UsageError(f"{name} is {value!r}; give {listed(known)}")
    seed = core()["seed"].default if args.seed is None else args.seed
    found = made_up_states(
        seed,
        None if split == ALL else split,
        N_STATES if args.n_states is None else args.n_states,
        DOMAINS if domain == BOTH else (domain,),
    )
    return {"domain": domain, "split": split, "seed": seed}, [one.row for one in found]


def _mbpp(args: argparse.Namespace) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    split, layout = args.split or "test", args.layout or LAYOUTS[0]
    found = load_mbpp(args.path, split, args.n_states, layout)
    source = {"layout": layout} if args.path is None else {"path": args.path.name}
    return {"domain": CODING, "split": split, **source}, [state.row for state in found]
