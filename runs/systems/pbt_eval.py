"""`josh pbt eval SUITE`: `josh evaluate --suite SUITE`, with the flags of PBT's evaluation scripts.

Every flag of `josh evaluate` works too, and `josh pbt eval SUITE --help` lists them.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from josh.errors import UsageError
from josh.runs.registry import SUITES

ALIASES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "extract_model": "judge_model",
        "extractor_model": "judge_model",
        "prefs_dir": "env.rows",
        "limit": "end_index",
        "valid_limit": "end_index",
        "output_dir": "log_dir",
        "out_dir": "log_dir",
        "out_path": "log_dir",
        "model_a": "model",
        "model_b": "user_model",
        "orig_model": "baseline",
        "both_do_first": "env.both_first",
    }
)
"""The published flags, and josh's names for them."""
_PARTS: Final[Mapping[str, str]] = MappingProxyType({"validation": "valid", "dev": "valid"})
_TURNS, _GREEDY = "max_turns", "deterministic"
_RENAMED: Final[Mapping[str, str]] = MappingProxyType({_TURNS: "max_convo_turns", "split": "task_split"})
_ELSEWHERE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "trajectory_dir": "write its rows by `josh pbt prefs DIR --split devtest --out rows.jsonl`, and give --file",
        "model_filtering": "`josh pbt prefs` filters pairs; leave it out",
        "filtering_model_name": "`josh pbt prefs` filters pairs; leave it out",
        "jsonl_file": "features asks the model itself; give --model and --file",
    }
)
"""Published flags that another command has, and the way out."""


def add_eval_flags(parser: argparse.ArgumentParser, _: Sequence[str] = ()) -> None:
    """Add the flags of `josh pbt eval`."""
    parser.usage = "josh pbt eval SUITE [FLAGS]"
    parser.add_argument("suite", metavar="SUITE", help=", ".join(SUITES))
    rest = parser.add_argument(
        "rest",
        nargs=argparse.REMAINDER,
        metavar="FLAGS",
        help=f"flags of josh evaluate, and: {', '.join(f'--{name}' for name in (*ALIASES, 'split', _TURNS, _GREEDY))}",
    )
    rest.required = False


def run_eval(args: argparse.Namespace) -> int:
    """Evaluate, by the command `args.main` runs.

    Args:
        args: the parsed flags; `main` is josh's command line, as a function of its arguments.

    Returns:
        The exit code.

    Raises:
        UsageError: the suite does not exist, or a flag belongs to another command.
    """
    names = [argument.removeprefix("--").partition("=")[0].replace("-", "_") for argument in args.rest]
    typed = {ALIASES.get(name, _RENAMED.get(name, name)): name for name in names if name in {**ALIASES, **_RENAMED}}
    code: int = args.main(["evaluate", "--suite", args.suite, *translated(args.suite, args.rest)], typed)
    return code


def translated(suite: str, arguments: Sequence[str]) -> list[str]:
    """Returns the arguments of `josh pbt eval` after the suite as those of `josh evaluate`. Raises UsageError."""
    return list(_translated(suite, list(arguments)))


def _translated(suite: str, arguments: list[str]) -> Iterator[str]:
    while arguments:
        argument = arguments.pop(0)
        name, equals, value = argument.removeprefix("--").partition("=")
        name = name.replace("-", "_")
        if not argument.startswith("--"):
            yield argument
        elif name in _ELSEWHERE:
            raise UsageError(f"{name} is given, but {_ELSEWHERE[name]}")
        elif name == _GREEDY:
            yield from ("--temperature", "0", *(("--user_temperature", "0") if suite == "team" else ()))
        elif name == _TURNS:
            number = value if equals else arguments.pop(0) if arguments else ""
            if not number.isdigit() or int(number) < 2 or int(number) % 2:
                raise UsageError(f"max_turns is {number!r}; give an even number of at least 2, such as 4")
            yield from ("--max_convo_turns", str(int(number) // 2))
        elif name in ("limit", "valid_limit"):
            number = value if equals else arguments.pop(0) if arguments else ""
            if not number.isdigit() or not int(number):
                raise UsageError(f"{name} is {number!r}; give a whole number, 1 or more")
            yield from (f"--{ALIASES[name]}", number)
        elif name == "split":
            part = value if equals else arguments.pop(0) if arguments else ""
            yield from ("--task_split", _PARTS.get(part, part))
        else:
            yield f"--{ALIASES.get(name, name)}{equals}{value}"
