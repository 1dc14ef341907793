"""`josh proactive states`: writes a file of states for `josh proactive generate --dataset_path`."""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from josh.config import listed
from josh.envs.proactive.env import BOTH
from josh.envs.proactive.states import DOMAINS
from josh.envs.proactive.synthetic import made_up_states
from josh.errors import UsageError
from josh.runs.export.files import check_free
from josh.runs.record.summary import counted
from josh.runs.settings import core
from josh.runs.systems.proactive_files import print_file, write_file

FORMAT: Final = "states"
SYNTHETIC: Final = "synthetic"
N_STATES: Final = 50
_SPLITS: Final = ("train", "valid", "test", "all")


def add_states_flags(parser: argparse.ArgumentParser, _: Sequence[str] = ()) -> None:
    """Add the flags of `josh proactive states`."""
    parser.description = "Writes a file of states, one JSON object on each line."
    parser.add_argument("--out", type=Path, metavar="FILE", help="the file to write, with FILE.manifest.json beside it")
    parser.add_argument("--dataset", default=SYNTHETIC, help="synthetic: made-up states (default: synthetic)")
    parser.add_argument(
        "--n_states", "--limit", type=int, metavar="INT", help=f"number of states (default: {N_STATES})"
    )
    parser.add_argument("--domain", default=BOTH, help="coding, planning or both (default: both)")
    parser.add_argument(
        "--split", default="train", help="train, valid, test or all, by the hash of the ids (default: train)"
    )
    parser.add_argument("--seed", type=int, default=core()["seed"].default, help="seed of the order (default: 10)")


def run_states(args: argparse.Namespace) -> int:
    """Write the states. Returns the exit code. Raises UsageError; nothing is written."""
    if args.out is None:
        raise UsageError("no out given; example: josh proactive states --n_states 50 --out seeds/states.jsonl")
    for name, known in (("dataset", (SYNTHETIC,)), ("domain", (*DOMAINS, BOTH)), ("split", _SPLITS)):
        if getattr(args, name) not in known:
            raise UsageError(f"{name} is {getattr(args, name)!r}; give {listed(known)}")
    count = N_STATES if args.n_states is None else args.n_states
    if count < 1:
        raise UsageError(f"n_states is {count}; give 1 or more")
    args.typed["synthetic_tasks"] = "n_states"
    earlier = check_free(args.out)
    domains = DOMAINS if args.domain == BOTH else (args.domain,)
    found = made_up_states(args.seed, None if args.split == "all" else args.split, count, domains)
    rows = [one.row for one in found]
    settings = {"dataset": args.dataset, "domain": args.domain, "split": args.split, "seed": args.seed}
    manifest = write_file(args.out, rows, {"format": FORMAT, "settings": settings})
    domains_of = ", ".join(f"{number} {domain}" for domain, number in Counter(row["domain"] for row in rows).items())
    print(f"{'states':<15} {counted(manifest['rows'], 'state')} ({domains_of})")
    print_file(manifest, args.out, earlier)
    return 0
