"""Flags: a parser with josh's one-line errors, and the flags of settings, made from the settings classes."""

import argparse
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING
from math import isfinite
from pathlib import Path
from typing import Any, NoReturn

from josh.config import NOTHING, Rule, Schema, Setting, listed, nearest
from josh.runs.settings import PARTS
from josh.terminal import in_a_line

_SHOWN = 40
"""Characters of a wrong value that a message shows."""
_LIST, _OBJECT = """'["END", "###"]'""", """'{"top_k": 20}'"""
"""Examples of values in JSON."""


def _path(given: str) -> Path:
    """Returns a path of the command line; refuses an empty text, such as that of a variable that is not set."""
    if not given:
        raise argparse.ArgumentTypeError("the path is empty; give one, or leave it out")
    if "\0" in given:
        raise argparse.ArgumentTypeError(f"the path {given!r} has a null character")
    return Path(given)


def _whole(given: str) -> int:
    """Returns a whole number of the command line."""
    try:
        return int(given)
    except ValueError:
        raise argparse.ArgumentTypeError(f"is {_short(given)}; give a whole number") from None


def _number(given: str) -> float:
    """Returns a number of the command line."""
    try:
        found = float(given)
    except ValueError:
        raise argparse.ArgumentTypeError(f"is {_short(given)}; give a number") from None
    if not isfinite(found):
        raise argparse.ArgumentTypeError(f"is {_short(given)}; give a finite number")
    return found


def _short(given: str) -> str:
    return repr(given if len(given) <= _SHOWN else f"{given[:_SHOWN]}...")


def within(kind: type, **limits: Any) -> Callable[[str], Any]:
    """Returns the `type` of a flag without a setting: a number with limits.

    Args:
        kind: int or float.
        limits: `least`, `most`, `above` and `below` of `josh.config.Rule`.
    """
    rule = Rule(**limits)

    def read(given: str) -> Any:
        found = _whole(given) if kind is int else _number(given)
        if rule.refuses(found):
            raise argparse.ArgumentTypeError(f"is {given:.{_SHOWN}}; give {rule.wanted_instead(found)}")
        return found

    return read


class FlagParser(argparse.ArgumentParser):
    """Prints an error in one line, without the usage; refuses abbreviations, which could stand for another flag."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "allow_abbrev": False})
        for kind, read in ((Path, _path), (int, within(int)), (float, _number)):
            self.register("type", kind, read)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parses as usual, and adds the flags and the name of the innermost command: `known_flags` and `prog`."""
        found, rest = super().parse_known_args(args, namespace)
        if not hasattr(found, "known_flags"):
            found.prog = self.prog
            found.known_flags = [one for one in self._option_string_actions if one.startswith("--")]
        return found, rest

    def error(self, message: str, prog: str = "") -> NoReturn:
        """Ends the program with exit code 2, after one line on stderr.

        Args:
            message: the reason.
            prog: the command whose help explains it, such as `josh train sft`; empty for this parser's.
        """
        commands = next((one.choices for one in self._actions if isinstance(one, argparse._SubParsersAction)), None)
        if commands and message.startswith("the following arguments are required"):
            message = f"no command is given after {self.prog}; known: {', '.join(commands)}"
        self.exit(2, f"josh: {in_a_line(_in_plain_words(message))}; see {prog or self.prog} --help\n")


_WRONG_COMMAND = re.compile(r"argument (COMMAND|METHOD): invalid choice: '?(.*?)'? \(choose from (.*)\)$")
_FLAG = re.compile(r"argument -{1,2}([\w.]+)\S*: (.*)$", re.DOTALL)
_CHOICE = re.compile(r"invalid choice: (.*) \(choose from (.*)\)$")
_EXTRA = re.compile(r"ignored explicit argument (.*)$")


def _in_plain_words(message: str) -> str:
    """Returns argparse's message about a command or a flag in josh's form."""
    if found := _FLAG.match(message):
        return _of_flag(*found.groups())
    found = _WRONG_COMMAND.match(message)
    if found is None:
        return message
    kind, name, known = found[1].lower(), found[2], re.findall(r"[\w-]+", found[3])
    if name == "resume":
        return "no command named 'resume'; give josh --resume RUN"
    near = nearest(name, known)
    hint = f"; did you mean {near!r}?" if near else f"; known: {', '.join(known)}"
    return f"no {kind} named {name!r}{hint}"


def _of_flag(flag: str, why: str) -> str:
    """Returns the message about a flag's value."""
    if why.startswith("is "):
        return f"{flag} {why}"
    if why.startswith("expected"):
        return f"{flag} has no value; give one after --{flag}"
    if found := _EXTRA.match(why):
        hyphens = "--" if len(flag) > 1 else "-"
        return f"{hyphens}{flag} takes no value, but {found[1]} is given; leave the value out"
    if found := _CHOICE.match(why):
        choices = re.findall(r"[\w-]+", found[2])
        return f"{flag} is {found[1]}; give {listed(choices)}"
    return f"{flag}: {why}"


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
    kind = {bool: _truth, int: _whole, float: _number, tuple: _items, dict: _object, Path: str}.get(one.kind, one.kind)
    parser.add_argument(*names, dest=one.flag, type=kind, metavar=metavar, help=text)


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"is {text!r}; give true or false")
    return text == "true"


def _items(text: str) -> Any:
    """Returns a text unchanged, or the list where the text is a JSON list."""
    if not text.startswith("["):
        return text
    try:
        return json.loads(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"is {_short(text)}; give a text, or a list such as {_LIST}") from None


def _object(text: str) -> Any:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError(f"is {_short(text)}; give a JSON object, such as {_OBJECT}")
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
