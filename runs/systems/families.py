"""Families of commands, such as `josh pbt generate` and `josh pbt prefs`.

Each command is a module `FAMILY_NAME` with the functions `add_NAME_flags` and `run_NAME`. Only the module of the
command that is given is loaded.
"""

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any

from josh.config import Schema
from josh.flags import FlagParser
from josh.runs.registry import SystemCommand
from josh.runs.settings import schema_of


def family(name: str, text: str, commands: Mapping[str, str]) -> SystemCommand:
    """Returns a command that has commands of its own.

    Args:
        name: its name.
        text: its line in the list of commands.
        commands: the help texts of its commands, by name.
    """
    return SystemCommand(text, partial(_add_flags, name, commands), _run)


def _add_flags(
    family_name: str, commands: Mapping[str, str], parser: argparse.ArgumentParser, arguments: Sequence[str]
) -> None:
    """Add the commands, and the flags of the one that is given."""
    found = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    given = arguments[0] if arguments else ""
    for name, text in commands.items():
        own = found.add_parser(name, help=text, usage=f"josh {family_name} {name} [FLAGS]")
        if name == given:
            module = import_module(f"josh.runs.systems.{family_name}_{name}")
            getattr(module, f"add_{name}_flags")(own, arguments[1:])
            own.set_defaults(run_command=getattr(module, f"run_{name}"))


def _run(args: argparse.Namespace) -> int:
    code: int = args.run_command(args)
    return code


def schema_chosen_by(arguments: Sequence[str], chosen: Mapping[str, Any], names: Mapping[str, str]) -> Schema:
    """Returns the settings of a run with the speakers and rewards that a command's arguments choose.

    Args:
        arguments: the arguments.
        chosen: the plug-ins that the command itself chooses, by role.
        names: a further name of a flag, by flag.
    """
    peek = FlagParser(add_help=False, argument_default=argparse.SUPPRESS)
    for flag in ("agent", "user", "rewards", "model", "user_model"):
        peek.add_argument(*(f"--{name}" for name in (flag, names.get(flag)) if name), dest=flag)
    return schema_of({**vars(peek.parse_known_args(list(arguments))[0]), **chosen})
