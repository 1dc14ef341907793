"""The grammar of a ReAct agent's completions: plans, calls and speech, in blocks.

A block begins with a line that starts with the keyword PLAN, APICALL, SPEAK or APIRETURN, and ends before the next such
line. A keyword counts only at the start of a line, in capitals, and as a whole word (`PLANETARIUM` does not count). A
colon may follow it.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

PLAN: Final = "PLAN"
CALL: Final = "APICALL"
SPEAK: Final = "SPEAK"
RETURN: Final = "APIRETURN"
"""An answer to the agent begins with this. In the agent's own text it is an invented answer, and ends a block."""

_WORD = re.compile(rf"^[ \t]*({PLAN}|{CALL}|{SPEAK}|{RETURN})(?::|(?=\s)|\Z)[ \t]*", re.MULTILINE)
_FENCE = re.compile(r"\s*(?:(`{1,3})\w*\s*)?")


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not a JSON number")


# `strict=False` accepts unescaped line breaks inside JSON strings, because models write them.
_JSON = json.JSONDecoder(strict=False, parse_constant=_refuse)


@dataclass(frozen=True, slots=True)
class Plan:
    """A thought, which the user does not see.

    Attributes:
        text: the thought.
        end: where in the completion it ends.
    """

    text: str
    end: int


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool.

    Attributes:
        name: the tool's name.
        arguments: the arguments as the agent wrote them; an object, unless the agent made a mistake.
        end: where in the completion it ends, including a code fence around it.
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
    """A completion that cannot be acted on.

    Attributes:
        reason: what is wrong with it, in a sentence for the agent.
    """

    reason: str


Command: TypeAlias = Plan | ToolCall | Speak


def parse(text: str) -> tuple[Command, ...] | Malformed:
    """Reads a completion up to and including its first call or speech.

    Text after a call or speech is ignored, because the call needs an answer, or the speech a reply, before more text
    makes sense. Words before the first block are a plan, if at least one block follows them.

    Args:
        text: the completion, without the thoughts of a reasoning model.

    Returns:
        At least one command: plans, then at most one call or speech. Or `Malformed`.
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
            # The text after it relies on an answer that no tool gave.
            break
        if block:
            commands.append(Plan(block, len(text[:end].rstrip())))
    if len(commands) > bool(before):
        return tuple(commands)
    return Malformed(f"there is nothing to do; begin a line with {PLAN}, {CALL} or {SPEAK}")


def _call(text: str, start: int) -> ToolCall | Malformed:
    """Returns the call whose JSON begins at `start`; `Malformed` where there is none."""
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
    return ToolCall(name, found.get("arguments", found.get("parameters")), end)
