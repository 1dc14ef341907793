"""The grammar of a ReAct agent's completions: plans, calls and speech, in blocks.

A block begins with a line that starts with the keyword PLAN, APICALL, SPEAK or APIRETURN, and ends before the next
such line, or at `<COMMAND_END>`. A keyword counts only in capitals and as a whole word (`PLANETARIUM` does not count),
at the start of a line or after `<COMMAND_END>`. A colon may follow it, and Markdown may stand around it (`**SPEAK:**`).

The published form is one line: `PLAN greet. SPEAK Hello <COMMAND_END>`. So the last block, if it is a plan, is divided
at the first `APICALL {`, and at the first SPEAK that cannot be a word of the plan: one with a colon, or after the end
of a sentence, or before a word with a capital letter.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

PLAN: Final = "PLAN"
CALL: Final = "APICALL"
SPEAK: Final = "SPEAK"
RETURN: Final = "APIRETURN"
"""An answer to the agent begins with this. In the agent's own text it is an invented answer, and ends a block."""

_END: Final = "<COMMAND_END>"
_KEYWORD = rf"({PLAN}|{CALL}|{SPEAK}|{RETURN})"
_WORD = re.compile(
    rf"(?:^|(?<={_END}))[ \t]*((?:[*_`>]{{1,3}}|\#{{1,6}}[ \t])*)[ \t]*{_KEYWORD}"
    r"(?:([*_`]{0,3}):[*_`]{0,3}|[*_`]{0,3}(?=\s)|[*_`]{0,3}\Z)[ \t]*",
    re.MULTILINE,
)
_INLINE = re.compile(
    rf"(?<=\s)({CALL})(?::|(?=\s))(?=\s*`{{0,3}}(?:json)?\s*\{{)"
    rf"|(?<=\s)({SPEAK}):"
    rf"|(?<=[.!?:;)\]\"'\u201d\u2019]\s)({SPEAK})(?=\s)"
    rf"|(?<=\s)({SPEAK})(?=\s+[\"'\u201c\u2018]?[A-Z])"
)
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
    starts = list(_keywords(text))
    if before := text[: starts[0].start].rstrip() if starts else "":
        commands.append(Plan(before.lstrip(), len(before)))
    for begun, following in zip(starts, [*starts[1:], None], strict=False):
        end = len(text) if following is None else following.start
        block, closed = _block(text, begun, end)
        if begun.word == CALL:
            call = _call(text, begun.end)
            return call if isinstance(call, Malformed) else (*commands, call)
        if begun.word == SPEAK:
            return (*commands, Speak(block, closed)) if block else Malformed(f"{SPEAK} has no words")
        if begun.word == RETURN:
            # The text after it relies on an answer that no tool gave.
            break
        if block:
            commands.append(Plan(block, closed))
    if len(commands) > bool(before):
        return tuple(commands)
    return Malformed(f"there is nothing to do; begin a line with {PLAN}, {CALL} or {SPEAK}")


@dataclass(frozen=True, slots=True)
class _Keyword:
    """A keyword that begins a block: the word, where it starts and ends, and the Markdown that is open after it."""

    word: str
    start: int
    end: int
    open: str = ""


def _keywords(text: str) -> Iterator[_Keyword]:
    """Yields the keywords that begin a block, in order."""
    last = None
    for found in _WORD.finditer(text):
        # `**SPEAK: Hello.**`: the bold type ends behind the words.
        is_open = found[3] == "" and found[0].rstrip().endswith(":")
        last = _Keyword(found[2], found.start(), found.end(), found[1].strip("> #") if is_open else "")
        yield last
    if last is not None and last.word == PLAN:
        inside = _INLINE.search(text, last.end)
        if inside:
            word = CALL if inside[1] else SPEAK
            yield _Keyword(word, inside.start(), inside.end())


def _block(text: str, begun: _Keyword, end: int) -> tuple[str, int]:
    """Returns the words of a block, and where it ends; `end` is where the next block begins."""
    words, mark, _ = text[begun.end : end].partition(_END)
    block = words.strip()
    if begun.open:
        block = block.removesuffix(begun.open).rstrip()
    return block, begun.end + len(words) + len(mark) if mark else len(text[:end].rstrip())


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
    if text[end:].lstrip().startswith(_END):
        end = text.index(_END, end) + len(_END)
    return ToolCall(name, found.get("arguments", found.get("parameters")), end)
