"""Commands of Persuasion for Good: write task files from its corpus, and search for the best fixed script.

python -m josh.runs.systems.persuasion prepare --corpus DIR --output_dir OUT    (also: josh prepare)
python -m josh.runs.systems.persuasion best_script --acts 1
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from josh.errors import UsageError
from josh.runs.registry import SystemCommand
from josh.runs.settings import core


def add_prepare_flags(parser: argparse.ArgumentParser, _: Sequence[str] = ()) -> None:
    """Add the flags of `prepare`."""
    parser.add_argument("--corpus", "--corpus_path", type=Path, required=True, help="folder of the corpus")
    parser.add_argument("--output_dir", type=Path, help="folder for the task files (default: the corpus's)")
    parser.add_argument(
        "--split", choices=("train", "test", "both"), default="both", help="split to write (default: both)"
    )
    parser.add_argument(
        "--split_rule", default="convokit", help="convokit, annotated or user_disjoint (default: convokit)"
    )
    parser.add_argument("--include_bad", action="store_true", help="keep the dialogues that the corpus marks as bad")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace task files that were changed or are not josh's"
    )
    parser.add_argument("--train_limit", type=int, help="most training tasks")
    parser.add_argument("--test_limit", type=int, help="most test tasks")


def run_prepare(args: argparse.Namespace) -> int:
    """Write the task files, and print how many tasks each holds. Raises UsageError."""
    from josh.envs.persuasion.prepare import prepare

    limits = args.train_limit, args.test_limit
    out = args.output_dir or args.corpus
    if args.output_dir is None and not out.is_dir():
        raise UsageError(f"{out} is not a folder, and output_dir is not given; give --output_dir")
    counts = prepare(args.corpus, out, args.split, args.split_rule, *limits, args.include_bad, args.overwrite)
    for split, count in counts.items():
        print(f"{out / f'{split}_tasks.jsonl'}: {count} tasks")
    return 0


def add_best_script_flags(parser: argparse.ArgumentParser, _: Sequence[str] = ()) -> None:
    """Add the flags of `best_script`."""
    parser.add_argument("--acts", type=int, default=1, help="most acts of a turn (default: 1)")
    parser.add_argument("--people", type=int, default=200, help="people of the training split (default: 200)")
    parser.add_argument("--rollouts", type=int, default=2, help="conversations with each person (default: 2)")
    parser.add_argument("--starts", type=int, default=3, help="number of starts (default: all 3)")
    parser.add_argument(
        "--seed",
        type=int,
        default=core()["seed"].default,
        help="seed of people and conversations (default: that of runs)",
    )


def run_best_script(args: argparse.Namespace) -> int:
    """Search for the best script and print it; every sweep prints a line on stderr."""
    from josh.runs.systems.best_script import search

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    found = search(
        acts=args.acts,
        people=args.people,
        rollouts=args.rollouts,
        most_starts=args.starts,
        seed=args.seed,
        say=say,
    )
    print(f"${found.gift:.3f} per conversation with {args.people} people, {args.rollouts} conversations each")
    for acts in found.script:
        print(f"    {acts},")
    return 0


PREPARE = SystemCommand(
    "write train_tasks.jsonl and test_tasks.jsonl from the real corpus", add_prepare_flags, run_prepare
)
BEST_SCRIPT = SystemCommand(
    "search for the best fixed script against the offline donor", add_best_script_flags, run_best_script
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, command in {"prepare": PREPARE, "best_script": BEST_SCRIPT}.items():
        own = commands.add_parser(name, help=command.help)
        command.add_flags(own, ())
        own.set_defaults(run=command.run)
    args = parser.parse_args(argv)
    code: int = args.run(args)
    return code


if __name__ == "__main__":
    sys.exit(main())
