"""The command line: josh's commands with the flags of the plug-ins that the command line itself chooses.

The flags of settings come from the settings classes (`josh.config`). The flags of plug-ins depend on the chosen
plug-ins, so a command line is parsed in two steps:

1. `_choices` reads only the choice of plug-ins: from flags, from the TOML file, or from the run that is resumed.
2. `make_parser` adds the flags of these plug-ins (`josh/commands.py`), and parses everything.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from josh.commands import (
    RUN_COMMANDS,
    add_evaluation,
    add_models,
    add_probe,
    add_realism,
    add_records,
    add_schema,
    add_systems,
    add_terminal,
)
from josh.config import Schema, nearest
from josh.errors import UsageError
from josh.flags import FlagParser, add_settings
from josh.runs.evaluate.suites import chosen_by, suite_of
from josh.runs.record.settings_json import settings_in_folder
from josh.runs.registry import BEAM, ROLES
from josh.runs.resolve import as_published, read_toml
from josh.runs.settings import JOSH, choices_of, core, schema_of
from josh.runs.train.settings import TRAINING


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Returns the parsed command line.

    `command` is the command's name, `schema` the schema of its settings, if any, `spelled` the names of the given
    flags, and `typed` those that are not the setting's own name, by the setting's flag.

    Raises:
        UsageError: a flag belongs to a plug-in that is not chosen, or a chosen plug-in cannot be loaded.
        SystemExit: anything else is wrong, with exit code 2 and a message on stderr; or --help or --version is given.
    """
    written, arguments = arguments, list(map(_spelled, arguments))
    parser = make_parser(arguments)
    args: argparse.Namespace
    args, rest = parser.parse_known_args(arguments)
    args.spelled = _names_in(arguments)
    if rest:
        parser.error(_unknown(rest, args.command, getattr(args, "schema", None), args.known_flags), args.prog)
    args.typed = _other_names(written, getattr(args, "schema", core()))
    return args


def make_parser(arguments: Sequence[str] = ()) -> FlagParser:
    """Returns the parser of all commands, with the flags of the plug-ins that the arguments choose.

    Raises:
        UsageError: a chosen plug-in cannot be loaded, or the TOML file cannot be read.
    """
    parser = FlagParser(
        prog="josh",
        description="Teach a dialogue agent from its own best conversations.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and stop")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    command = arguments[0] if arguments else ""
    chosen = _choices(arguments) if command in RUN_COMMANDS else {}
    # Help without any choice shows the settings of every run, and saves the time to load the default plug-ins.
    sides = bool(chosen) or (bool(arguments) and not {"-h", "--help"} & set(arguments))
    for name, (about, add) in RUN_COMMANDS.items():
        usage = f"josh {name} [FLAGS]{' RUN' * (name == 'rescore')}"  # not the list of all flags, which the help has
        own = commands.add_parser(name, help=about, usage=usage, argument_default=argparse.SUPPRESS)
        own.set_defaults(command=name)
        if name == command:  # only the given command needs its flags
            add(own, chosen, sides)
    if command in {"", "-h", "--help"}:
        parser.epilog = _main_flags()
    for add_more in (add_records, add_schema, add_evaluation, add_probe, add_realism, add_terminal):
        add_more(commands)
    add_systems(commands, arguments)
    on_policy = list(arguments[:2]) == ["train", "grpo"]
    add_models(
        commands,
        training=command == "train",
        world=_choices([one for one in arguments if one != "--resume"]) if on_policy else None,
    )
    return parser


_MAIN = (
    "josh", "beam_size", "env", "agent", "model", "base_url", "temperature", "user", "user_model", "end_index", "seed",
    "max_cost", "log_dir",
)  # fmt: skip
"""The flags of `josh run` that the help of all commands shows."""


def _main_flags() -> str:
    """Returns the text after the list of commands: the main flags of `josh run`."""
    parser = FlagParser(usage=argparse.SUPPRESS, add_help=False, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.epilog = "All flags: josh run --help. Those of another command: josh COMMAND --help."
    schema = schema_of({}, strategies=(BEAM,), sides=False)
    shown = {flag: schema[flag] for flag in _MAIN}
    title = "main flags of run (without a command, flags mean run: josh --josh --beam_size 8)"
    add_settings(parser, Schema(shown.values()), title=title)
    return parser.format_help()


def _spelled(argument: str) -> str:
    """Spell an argument as the parser does: `--beam-size=8` as `--beam_size=8`, `--agent.model` as `--model`."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument[2:].partition("=")
    one = core().find(name) if "." in name else None
    return f"--{name.replace('-', '_') if one is None else one.flag}{equals}{value}"


def _names_in(arguments: Sequence[str]) -> frozenset[str]:
    """Returns the names of the flags in some arguments, without hyphens and values."""
    return frozenset(one[2:].partition("=")[0] for one in arguments if one.startswith("--"))


def _other_names(arguments: Sequence[str], schema: Schema) -> dict[str, str]:
    """Returns the names of given flags that are not the setting's own, such as `agent.stop`, by the setting's flag."""
    found = {}
    for name in (name.replace("-", "_") for name in _names_in(arguments)):
        one = schema.find(name)
        if one is not None and one.flag != name:
            found[one.flag] = name
    return found


_OTHER_NAMES = {
    "lr": "learning_rate",
    "output": "out",
    "output_dir": "out",
    "train_data": "data",
    "peft_dir": "model hf:BASE+ADAPTER",
    "eval_config": "config",
    "limit": "end_index",
    "n": "rollouts",
    "api_key": "api_key_var",
    "key": "api_key_var",
    "url": "base_url",
    "max_turns": "max_convo_turns",
    "concurrency": "max_concurrency",
    "max_new_tokens": "max_tokens",
}
"""Names that other tools give to a flag, and josh's name for it."""


def _near(name: str, known: Sequence[str]) -> str:
    """Returns the flag that an unknown name probably means, without hyphens; empty where none is near."""
    flags = {one[2:] for one in known}
    other = _OTHER_NAMES.get(name, "")
    if other.partition(" ")[0] in flags:
        return other
    longer = sorted(one for one in flags if len(name) > 2 and one.startswith(f"{name}_"))
    return longer[0] if longer else nearest(name, sorted(flags))


def _unknown(rest: Sequence[str], command: str, schema: Schema | None, known: Sequence[str]) -> str:
    """Returns the error message for unknown arguments. Raises UsageError where a plug-in not chosen has the flag."""
    message = f"unrecognized arguments: {' '.join(rest)}"
    flag = next((one[2:].partition("=")[0] for one in rest if one.startswith("--")), "")
    if not flag:
        return message
    if schema is not None:
        if schema.find(flag) is not None:
            raise UsageError(f"{flag} is given, but `josh {command}` does not take it; leave it out")
        why = schema.refusal(flag)
        if " is given, but " in why:
            raise UsageError(why)
    if near := _near(flag, known):
        return f"{message}; did you mean --{near}?"
    trained = TRAINING.find(_OTHER_NAMES.get(flag, flag))
    return message if trained is None else f"{message}; `josh train` has --{trained.flag}"


def _choices(arguments: Sequence[str]) -> dict[str, Any]:
    """Returns the plug-ins and models that the arguments choose: by flag, else by TOML file, else by a recorded run."""
    peek = FlagParser(add_help=False, argument_default=argparse.SUPPRESS)
    known = [*ROLES, JOSH, "model", "user_model"]
    add_settings(peek, {name: core()[name] for name in known})
    peek.add_argument("--config", type=Path)
    peek.add_argument("--resume", type=Path)
    peek.add_argument("--suite")
    peek.add_argument("--strategies")
    flags = vars(peek.parse_known_args(arguments)[0])
    resumed, config = flags.pop("resume", None), flags.pop("config", None)
    suite = flags.pop("suite", None) if arguments[0] == "evaluate" else None
    if arguments[0] == "rescore":
        resumed = next(filter(Path.is_dir, map(Path, arguments[1:])), None)
    strategies = flags.pop("strategies", None) if arguments[0] == "race" else None
    found: dict[str, Any] = {} if strategies is None else {"strategies": strategies}
    if resumed and (settings := settings_in_folder(resumed)) is not None:
        found |= choices_of(settings)
    in_file = read_toml(config) if config else {}
    for name, value in in_file.items():
        one = core().find(name)
        if one is not None and one.flag in known:
            found[one.flag] = value
    found |= flags
    if suite is not None:
        found = chosen_by(suite_of(suite), found)
    if not resumed:
        found, _ = as_published(found, _names_in(arguments) | set(in_file))
    several = ("model",) if arguments[0] == "evaluate" else ()
    for name in ("agent", "user", *several):  # an evaluation may have several; the first one chooses the flags
        if isinstance(found.get(name), str):
            found[name] = found[name].partition(",")[0].strip()
    return found


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from josh.runs.record.folder import version

        print(f"josh {version('josh-dialogue')}")
        parser.exit()
