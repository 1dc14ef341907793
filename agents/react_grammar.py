"""The words in which a ReAct agent acts: plans, calls and speech, as lines that begin with PLAN, APICALL or SPEAK.

A block runs from its word to the next line that begins with one. The words count at the start of a line alone, in
capitals, and whole (`PLANETARIUM` is none), with or without a colon behind them.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

PLAN: Final = "PLAN"
CALL: Final = "APICALL"
SPEAK: Final = "SPEAK"
RETURN: Final = "APIRETURN"
"""What an answer to the agent begins with. In its own words it is made up, and ends a block."""

_WORD = re.compile(rf"^[ \t]*({PLAN}|{CALL}|{SPEAK}|{RETURN})(?::|(?=\s)|\Z)[ \t]*", re.MULTILINE)
_FENCE = re.compile(r"\s*(?:(`{1,3})\w*\s*)?")


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON number")


# A text in JSON may hold line breaks as they are: models write them so.
_JSON = json.JSONDecoder(strict=False, parse_constant=_refuse)


@dataclass(frozen=True, slots=True)
class Plan:
    """A thought, which nobody else hears.

    Attributes:
        text: the thought.
        end: where in the completion it ends.
    """

    text: str
    end: int


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool.

    Attributes:
        name: the tool's name.
        arguments: what is given for its arguments: an object, unless the agent erred.
        end: where in the completion it ends, a code fence around it included.
    """

    name: str
    arguments: Any
    end: int


@dataclass(frozen=True, slots=True)
class Speak:
    """A message to the user.

    Attributes:
        text: the message, without blanks around it; never empty.
        end: where in the completion it ends.
    """

    text: str
    end: int


@dataclass(frozen=True, slots=True)
class Malformed:
    """A completion that nobody can act on.

    Attributes:
        reason: what is wrong with it, in a sentence for the agent.
    """

    reason: str


Command: TypeAlias = Plan | Call | Speak


def parse(text: str) -> tuple[Command, ...] | Malformed:
    """Read a completion, as far as it can be acted on: up to the first call or speech.

    A call has to be answered and speech heard before anything else makes sense, so that what comes after either is not
    read. Words before the first block are a plan, where there is more to it than them.

    Args:
        text: the completion, without the thoughts of a reasoning model.

    Returns:
        At least one command: plans, then at most one call or speech.
    """
    commands: list[Command] = []
    words = list(_WORD.finditer(text))
    starts = [word.start() for word in words]
    if before := text[: starts[0]].rstrip() if words else "":
        commands.append(Plan(before.lstrip(), len(before)))
    for word, end in zip(words, [*starts[1:], len(text)], strict=False):
        block = text[word.end() : end].strip()
        if word[1] == CALL:
            call = _call(text, word.end())
            return call if isinstance(call, Malformed) else (*commands, call)
        if word[1] == SPEAK:
            return (*commands, Speak(block, len(text[:end].rstrip()))) if block else Malformed(f"{SPEAK} has no words")
        if word[1] == RETURN:
            # Whatever the agent goes on to say rests on an answer that nobody gave.
            break
        if block:
            commands.append(Plan(block, len(text[:end].rstrip())))
    if len(commands) > bool(before):
        return tuple(commands)
    return Malformed(f"there is nothing to do; begin a line with {PLAN}, {CALL} or {SPEAK}")


def _call(text: str, start: int) -> Call | Malformed:
    """The call whose JSON comes next, if it does."""
    opened = _FENCE.match(text, start)
    assert opened is not None
    try:
        found, end = _JSON.raw_decode(text, opened.end())
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "it is no JSON that can be read"
        return Malformed(f'{CALL} takes a JSON object such as {{"name": ..., "arguments": {{...}}}}; {reason}')
    name = found.get("name") if isinstance(found, dict) else None
    if not isinstance(name, str):
        return Malformed(f'{CALL} takes a JSON object with the "name" of a tool and its "arguments"')
    fence = opened[1] or ""
    closed = len(text[end:]) - len(text[end:].lstrip())
    if fence and text.startswith(fence, end + closed):
        end += closed + len(fence)
    return Call(name, found.get("arguments", found.get("parameters")), end)
