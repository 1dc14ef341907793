"""A person at a terminal: texts made safe and wrapped for the screen, and lines read from the keyboard or a pipe."""

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from io import UnsupportedOperation
from shutil import get_terminal_size
from typing import TextIO
from unicodedata import category, east_asian_width

from josh.errors import FatalError, UsageError
from josh.messages import Message
from josh.roles import BaseEnv, HumanInput
from josh.threads import in_thread

PIPED = 100
"""Columns where the output is no terminal and `COLUMNS` is not set."""
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1bO.")
"""What arrow and function keys send."""
_ORDER = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that change the direction of what is written after them."""
_unread = bytearray()


def visible(text: str) -> str:
    """A text that a terminal takes for nothing but text: control characters, escape sequences among them, are spelt.

    Line breaks stay. So do letters of all scripts; what would turn the direction of the others is spelt, too.
    """
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n").replace("\t", "    ")
    return "".join(one if one == "\n" or not _acts(one) else one.encode("unicode_escape").decode() for one in text)


def in_a_line(text: str) -> str:
    """The same on one line."""
    return " ".join(line.strip() for line in visible(text).split("\n") if line.strip())


def _acts(one: str) -> bool:
    return category(one) in {"Cc", "Cs", "Zl", "Zp"} or one in _ORDER


def cells(text: str) -> int:
    """Columns that a text takes on the screen: two for wide characters, none for those that join the one before."""
    if text.isascii():
        return len(text)
    return sum(_cell(one) for one in text)


def _cell(one: str) -> int:
    return 0 if category(one) in {"Mn", "Me", "Cf"} else 2 if east_asian_width(one) in "WF" else 1


def wrap(text: str, width: int) -> list[str]:
    """Lines of at most `width` columns, broken between words where they can be; at least one line."""
    lines = []
    for paragraph in text.split("\n"):
        line, used = "", 0
        for word in paragraph.split():
            room = width - used - bool(line)
            if line and cells(word) > room:
                lines.append(line)
                line, used = "", 0
            while len(word) > 1 and cells(word) > width:
                fits = _fitting(word, width)
                lines.append(word[:fits])
                word = word[fits:]  # noqa: PLW2901
            line = f"{line} {word}" if line else word
            used = cells(line)
        lines.append(line)
    return lines


def _fitting(word: str, width: int) -> int:
    """How many characters of a word fit into `width` columns; at least one."""
    used = 0
    for place, one in enumerate(word):
        used += _cell(one)
        if used > width:
            return max(1, place)
    return len(word)


def shortened(text: str, width: int) -> str:
    """A text of at most `width` columns, 5 or more: a longer one lacks its middle."""
    if cells(text) <= width:
        return text
    half = (width - 3) // 2
    return f"{text[: _fitting(text, half)]}...{text[-_fitting(text[::-1], half) :]}"


def columns(stream: TextIO) -> int:
    """Columns of the terminal that a stream writes to; what `COLUMNS` says, or `PIPED`, where it is none."""
    return get_terminal_size((PIPED, 24)).columns if stream.isatty() or "COLUMNS" in os.environ else PIPED


def can_show(text: str, stream: TextIO) -> bool:
    """Whether a stream's encoding has all characters of a text."""
    try:
        text.encode(stream.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def encodable(text: str, stream: TextIO) -> str:
    """A text with what the stream's encoding lacks spelt out."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def in_colours(stream: TextIO, variables: Mapping[str, str]) -> bool:
    """Whether to write in colours: to a terminal that has them, unless `NO_COLOR` is set (https://no-color.org)."""
    return stream.isatty() and not variables.get("NO_COLOR") and variables.get("TERM") != "dumb"


def say(text: str) -> None:
    """Print a text at once, in lines of the terminal's width. Raises FatalError where nobody can read it."""
    for line in wrap(visible(text), max(20, columns(sys.stdout))):
        _put(f"{line}\n")


def _put(text: str) -> None:
    out = sys.stdout
    try:
        print(encodable(text, out), end="", file=out, flush=True)
    except OSError as error:
        # The interpreter must not try once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
        raise FatalError(f"nobody reads what is said here any more ({error.strerror})") from None


def show_messages(messages: Sequence[Message], names: Mapping[str, str]) -> None:
    """Print what was said, each message with its speaker's name; `names` has those of `agent` and `user`."""
    sides = {"assistant": "agent", "user": "user"}
    for message in messages:
        if message.get("role") in sides and message.get("content"):
            say(f"{names[sides[message['role']]]}: {text_of(message)}")


def text_of(message: Message) -> str:
    """What a message says, its parts together; empty for none."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    return " ".join(str(part.get("text", part)) if isinstance(part, dict) else str(part) for part in parts)


async def ask(prompt: str) -> str | None:
    """Have a person write a line; the loop goes on meanwhile.

    Returns:
        The line without what only a terminal understands; None at the end of the input (Ctrl-D), or after `/quit`.

    Raises:
        FatalError: the terminal is gone.
    """
    while True:
        _put(prompt)
        line = await in_thread(_read_line)
        if line is None or not sys.stdin.isatty():
            _put(f"{visible(line or '')}\n")  # nobody has seen it being typed
        if line is None or line == "/quit":
            return None
        if line:
            return line


def _read_line() -> str | None:
    """A line of the standard input; None at its end.

    It is read from the file itself: a thread that waits in `sys.stdin` would hold a lock that Python needs to exit.
    """
    if sys.stdin is None or sys.stdin.closed:
        return None
    while b"\n" not in _unread:
        try:
            got = os.read(sys.stdin.fileno(), 1 << 16)
        except UnsupportedOperation:  # no file at all
            got = b""
        except OSError as error:
            raise FatalError(f"the terminal is gone ({error.strerror})") from None
        if not got:
            break
        _unread.extend(got)
    if not _unread:
        return None
    line, _, rest = bytes(_unread).partition(b"\n")
    _unread[:] = rest
    text = _ESCAPES.sub("", line.decode(sys.stdin.encoding or "utf-8", "replace"))
    return "".join(one for one in text if category(one) != "Cc" or one == "\t").strip()


class Seat:
    """A person's place on one side of a conversation: what they have been shown, and how they are asked."""

    def __init__(self, title: str, side: str, env: BaseEnv, brief: str) -> None:
        """Take the place.

        Args:
            title: what the conversation is called.
            side: `agent` or `user`.
            env: where it takes place.
            brief: what a model on that side would be told.
        """
        self._title = title
        self._side = side
        self._names = dict(env.speakers)
        self._hint = env.hints.get(side, "")
        self._brief = brief
        self._shown = -1
        self._notes: list[str] = []

    def note(self, text: str) -> None:
        """Have the person read something before they are asked again."""
        self._notes.append(text)

    async def hear(
        self, messages: Sequence[Message], model: HumanInput, check: Callable[[str], None] | None = None
    ) -> str | None:
        """What the person says to a conversation; None where they leave.

        Args:
            messages: the conversation.
            model: the person's line.
            check: raises ValueError, in words for the person, for what cannot be taken; they are asked again.
        """
        return await model.hear(messages, lambda: self._ask(messages, check))

    async def _ask(self, messages: Sequence[Message], check: Callable[[str], None] | None) -> str | None:
        own = self._names[self._side]
        if self._shown < 0:
            say(f"--- {self._title}: you are the {own} ---\n{self._brief}\n---")
            say(f"{self._hint} /quit or Ctrl-D leaves, Ctrl-C breaks off to go on later.".strip())
            say("---")
            self._shown = 0
        show_messages(messages[self._shown :], self._names)
        for note in self._notes:
            say(note)
        self._notes = []
        # What is typed now stands on the screen already.
        self._shown = len(messages) + 1
        text = await self._checked(f"{own}> ", check)
        if text is None and self._side == "agent" and not any(each.get("role") == "assistant" for each in messages):
            raise UsageError(f"{self._title}: nothing was said, so there is nothing to record")
        return text

    async def _checked(self, prompt: str, check: Callable[[str], None] | None) -> str | None:
        while True:
            text = await ask(prompt)
            if text is None or check is None:
                return text
            try:
                check(text)
            except ValueError as error:
                say(f"({error})")
            else:
                return text
