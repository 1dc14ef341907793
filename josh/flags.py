"""Flags: a parser with josh's one-line errors, and the flags of settings, made from the settings classes."""

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from josh.config import NOTHING, Schema, Setting
from josh.runs.settings import PARTS
from josh.terminal import in_a_line


def _path(given: str) -> Path:
    """Returns a path of the command line; refuses an empty text, such as that of a variable that is not set."""
    if not given:
        raise argparse.ArgumentTypeError("the path is empty; give one, or leave it out")
    if "\0" in given:
        raise argparse.ArgumentTypeError(f"the path {given!r} has a null character")
    return Path(given)


class FlagParser(argparse.ArgumentParser):
    """Prints an error in one line, without the usage; refuses abbreviations, which could stand for another flag."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "allow_abbrev": False})
        self.register("type", Path, _path)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parses as usual, and adds `known_flags`: the flags of the innermost command."""
        found, rest = super().parse_known_args(args, namespace)
        if not hasattr(found, "known_flags"):
            found.known_flags = [one for one in self._option_string_actions if one.startswith("--")]
        return found, rest

    def error(self, message: str) -> NoReturn:
        """Ends the program with exit code 2, after one line on stderr."""
        commands = next((one.choices for one in self._actions if isinstance(one, argparse._SubParsersAction)), None)
        if commands and message.startswith("the following arguments are required"):
            message = f"no command is given after {self.prog}; known: {', '.join(commands)}"
        message = _with_command(message)
        self.exit(2, f"josh: {in_a_line(message)}; see josh --help\n")


_WRONG_COMMAND = re.compile(r"argument (COMMAND|METHOD): invalid choice: '?(.*?)'? \(choose from (.*)\)$")
_WITH_VALUE = re.compile(r"argument (--[\w.]+).*: ignored explicit argument (.*)$")
_WRONG_VALUE = re.compile(r"argument (--[\w.]+).*: invalid (int|float) value: (.*)$")


def _with_command(message: str) -> str:
    """Returns argparse's message about a command or a number in josh's form."""
    if found := _WRONG_VALUE.match(message):
        flag, kind, value = found.groups()
        return (
            f"argument {flag}: invalid {kind} value: {value}; give {'a whole number' if kind == 'int' else 'a number'}"
        )
    if found := _WITH_VALUE.match(message):
        return f"{found[1]} takes no value, but {found[2]} is given; leave the value out"
    found = _WRONG_COMMAND.match(message)
    if found is None:
        return message
    kind, name, known = found[1].lower(), found[2], re.findall(r"[\w-]+", found[3])
    if name == "resume":
        return "no command named 'resume'; give josh --resume RUN"
    near = get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"
    return f"no {kind} named {name!r}{hint}"


def add_settings(
    parser: Any,
    schema: Mapping[str, Setting],
    defaults: Mapping[str, Any] = NOTHING,
    *,
    hidden: Sequence[str] = (),
    without: Sequence[str] = (),
    title: str = "",
) -> None:
    """Add flags for settings, grouped under the titles of their parts.

    Args:
        parser: gets the flags.
        schema: the settings.
        defaults: defaults that the help shows instead of the settings' own, by flag; None to show none.
        hidden: flags that the parser accepts and the help omits.
        without: flags to leave out.
        title: one title for all of them; empty to use the titles of the parts.
    """
    groups: dict[str, Any] = {}
    known = schema if isinstance(schema, Schema) else Schema(schema.values())
    for flag, one in schema.items():
        if flag in without:
            continue
        heading = title or PARTS.get(one.path[0] if one.path else "strategy", "")
        if heading and heading not in groups:
            groups[heading] = parser.add_argument_group(heading)
        text = one.rule.help
        if flag in defaults:
            text = f"{text.partition(' (default')[0]}{_default(defaults[flag])}"
        else:
            text += _default(one.default)
        names = [one.dotted] if one.of_plug_in and one.dotted != flag and known.find(one.dotted) is one else []
        _add_flag(
            groups.get(heading, parser),
            [f"--{name}" for name in (flag, *names, *one.rule.aliases)],
            one,
            argparse.SUPPRESS if flag in hidden else text.replace("%", "%%"),
        )


def _add_flag(parser: Any, names: Sequence[str], one: Setting, text: str) -> None:
    """Add the flag of one setting."""
    if one.kind is bool and one.default is not True:
        parser.add_argument(*names, dest=one.flag, action="store_true", help=text)
        return
    metavar = {tuple: "TEXT", dict: "JSON", Path: "PATH"}.get(one.kind, one.kind.__name__.upper())
    kind = {bool: _truth, tuple: _items, dict: _object, Path: str}.get(one.kind, one.kind)
    parser.add_argument(*names, dest=one.flag, type=kind, metavar=metavar, help=text)


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text == "true"


def _items(text: str) -> Any:
    """Returns a text unchanged, or the list where the text is a JSON list."""
    if not text.startswith("["):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a JSON list: {error}") from None


def _object(text: str) -> Any:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError(f"{text!r} is not a JSON object")
    return found


def _default(value: object) -> str:
    nothing = value is None or value is False or value is MISSING or value in ("", ()) or value == {}
    return "" if nothing else f" (default: {value})"


def add_trust(command: Any, *, plays: bool = False) -> None:
    """Add `--trust`, where `plays` is true for a command that plays or scores a recorded run."""
    text = "run the code that a recorded run names"
    more = ", and send keys to the addresses that it names: for runs that you know"
    command.add_argument("--trust", action="store_true", default=False, help=text + more * plays)


def add_json(command: Any) -> None:
    """Add `--json`."""
    command.add_argument("--json", action="store_true", default=False, help="print one JSON object, and nothing else")
