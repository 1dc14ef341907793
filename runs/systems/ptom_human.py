"""`josh ptom human`: tries the simulated human: a scripted persuader plays a scenario with it, which is printed."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from josh.runs.registry import OFFLINE
from josh.runs.systems.ptom_evaluate import model_name


def add_human_flags(parser: argparse.ArgumentParser, _: Sequence[str] = ()) -> None:
    """Add the flags of `josh ptom human`."""
    parser.description = (
        "A script asks, discloses what matters and recommends; the human answers. To talk to it yourself: josh play "
        "--env ptom --as agent."
    )
    parser.add_argument("--test", action="store_true", help="play a scenario with the script, which is the default")
    parser.add_argument(
        "--human_agent",
        "--user_model",
        dest="human_agent",
        default=OFFLINE,
        help="the human's model (default: offline)",
    )
    parser.add_argument("--scenarios", type=Path, metavar="FILE", help="file of scenarios (default: a made-up one)")
    parser.add_argument("--seed", type=int, help="random seed")


def run_human(args: argparse.Namespace) -> int:
    """Play a scenario and print it, by the commands that `args.main` runs. Returns the exit code."""
    which = ["--synthetic_tasks", "1"]
    if args.scenarios is not None:
        which = ["--scenarios", str(args.scenarios), "--task_split", "all", "--end_index", "1"]
    seed = [] if args.seed is None else ["--seed", str(args.seed)]
    cast = ["--agent", "ask_first", "--user_model", model_name(args.human_agent)]
    with TemporaryDirectory() as folder:
        code: int = args.main(["run", "--env", "ptom", *cast, *which, *seed, "--log_dir", folder])
        run = next(Path(folder).iterdir(), None)
        if run is None:  # the run said why
            return code
        return code or int(args.main(["show", str(run), "1", "--full"]))
