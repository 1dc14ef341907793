"""`josh pbt`: the commands of Persuasion-Balanced Training (Stengel-Eskin et al., NAACL 2025, arXiv:2410.14596).

Each command is a module `pbt_NAME` with the functions `add_NAME_flags` and `run_NAME`. Only the module of the command
that is given is loaded.
"""

import argparse
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import Final

from josh.runs.registry import SystemCommand

FAMILY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "generate": "grow the trees of debates in which both speakers branch, in shards if wanted",
        "prefs": "make training rows of the trees: accept, resist or balanced",
        "eval": "measure a model: flipflop, ays, team, misinformation or features",
        "loop": "make a tiny model, train it on accept, resist and balanced rows, and compare them, with several seeds",
    }
)
"""The commands, each with its help text."""


def add_pbt_flags(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> None:
    """Add the commands, and the flags of the one that is given."""
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    given = arguments[0] if arguments else ""
    for name, text in FAMILY.items():
        own = commands.add_parser(name, help=text, usage=f"josh pbt {name} [FLAGS]")
        if name == given:
            module = import_module(f"josh.runs.systems.pbt_{name}")
            getattr(module, f"add_{name}_flags")(own, arguments[1:])
            own.set_defaults(run_command=getattr(module, f"run_{name}"))


def run_pbt(args: argparse.Namespace) -> int:
    """Run the command that is given, and return its exit code."""
    code: int = args.run_command(args)
    return code


PBT = SystemCommand(
    "trees of debates, preferences and evaluations of Persuasion-Balanced Training", add_pbt_flags, run_pbt
)
