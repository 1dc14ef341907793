"""Writes safe texts, tables and wrapped lines to a terminal; reads lines from the keyboard or a pipe."""

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO, UnsupportedOperation
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any, TextIO
from unicodedata import category

from josh.errors import FatalError, UsageError
from josh.messages import Message, text_of
from josh.roles import BaseEnv, HumanInput
from josh.threads import in_thread

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

PIPED = 100
"""Columns of a line if the output is not a terminal and `COLUMNS` is not set."""
WIDEST = 1000
"""Most columns of a line; `COLUMNS` may say anything, and much wider lines take minutes to lay out."""
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1bO.")
"""The bytes of arrow and function keys."""
_COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")
_ORDER = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that change the direction of the text after them."""
_NO_LIMIT = 1 << 20
_unread = bytearray()


def visible(text: str) -> str:
    """Returns a text that cannot control a terminal: control characters and escape sequences are written as escapes.

    Line breaks and the letters of all scripts stay. Characters that change the direction of text become escapes, too.
    """
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n").replace("\t", "    ")
    return "".join(one if one == "\n" or not _acts(one) else one.encode("unicode_escape").decode() for one in text)


class _Visible:
    """A terminal's stream that passes texts as `visible` gives them, and colours."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write("".join(one if _COLOUR.fullmatch(one) else visible(one) for one in _COLOUR.split(text)))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def only_visible() -> Iterator[None]:
    """Make what plug-ins print on a terminal safe: it often holds a model's words. Files and pipes get it unchanged."""
    if not sys.stdout.isatty():
        yield
        return
    stream: Any = _Visible(sys.stdout)
    with redirect_stdout(stream):
        yield


def in_a_line(text: str) -> str:
    """Returns the same text on one line."""
    return " ".join(line.strip() for line in visible(text).split("\n") if line.strip())


def _acts(one: str) -> bool:
    """Returns whether a terminal acts on a character instead of showing it."""
    return category(one) in {"Cc", "Cs", "Zl", "Zp"} or one in _ORDER


def console_for(stream: TextIO, width: int, *, colours: bool = False) -> "Console":
    """Returns a console that prints text literally: without markup, emoji codes and highlighting.

    Args:
        stream: its encoding decides between box characters and ASCII.
        width: columns of a line.
        colours: whether styles are written, as escape sequences.
    """
    from rich.console import Console

    system: Any = "standard" if colours else None
    return Console(file=stream, width=width, height=24, color_system=system, markup=False, emoji=False, highlight=False)


def rendered(content: "RenderableType", console: "Console") -> list[str]:
    """Returns the lines that a console would print, without spaces at their ends; it prints nothing."""
    with console.capture() as capture:
        console.print(content, crop=False)
    return [line.rstrip() for line in capture.get().split("\n")[:-1]]


def wrap(text: str, width: int) -> list[str]:
    """Returns lines of at most `width` columns, broken between words where they can be; at least one line."""
    from rich.text import Text

    return rendered(Text(text), console_for(StringIO(), width))


def shortened(text: str, width: int) -> str:
    """Returns a text of at most `width` columns, 5 or more; a longer text loses its middle."""
    from rich.cells import cell_len, split_text

    if cell_len(text) <= width:
        return text
    half = (width - 3) // 2
    return f"{split_text(text, half)[0].rstrip()}...{split_text(text, cell_len(text) - half)[1].lstrip()}"


def align_columns(rows: Iterable[Sequence[str]], width: int | None = None) -> list[str]:
    """Returns the lines of a table whose columns are as wide as their widest text.

    Args:
        rows: the table's cells, equally many in each row.
        width: most columns of a line; longer cells are wrapped. None for no limit.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for row in rows:
        table.add_row(*map(Text, row))
    return rendered(table, console_for(StringIO(), width or _NO_LIMIT))


def screen_width(stream: TextIO) -> int | None:
    """Returns the columns of the terminal that a stream writes to; None where the stream is not a terminal."""
    return min(get_terminal_size((PIPED, 24)).columns, WIDEST) if stream.isatty() else None


def columns(stream: TextIO) -> int:
    """Returns the columns of the terminal that a stream writes to; `COLUMNS` or `PIPED` where it is not a terminal."""
    known = stream.isatty() or "COLUMNS" in os.environ
    return min(get_terminal_size((PIPED, 24)).columns, WIDEST) if known else PIPED


def encodable(text: str, stream: TextIO) -> str:
    """Returns a text whose characters outside the stream's encoding are written as escapes."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def in_colours(stream: TextIO, variables: Mapping[str, str]) -> bool:
    """Returns whether to write colours: to a terminal that has them, unless `NO_COLOR` is set (no-color.org)."""
    return stream.isatty() and not variables.get("NO_COLOR") and variables.get("TERM") != "dumb"


def say(text: str) -> None:
    """Print a text at once, in lines of the terminal's width. Raises FatalError if the output is closed."""
    for line in wrap(visible(text), max(20, columns(sys.stdout))):
        _put(f"{line}\n")


def _put(text: str) -> None:
    out = sys.stdout
    try:
        print(encodable(text, out), end="", file=out, flush=True)
    except OSError as error:
        # Otherwise the interpreter would try to write again when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
        raise FatalError(f"the output is closed ({error.strerror})") from None


def show_messages(messages: Sequence[Message], names: Mapping[str, str]) -> None:
    """Print the texts of both speakers, each after its speaker's name; `names` has the names of `agent` and `user`."""
    sides = {"assistant": "agent", "user": "user"}
    for message in messages:
        if message.get("role") in sides and message.get("content"):
            say(f"{names[sides[message['role']]]}: {text_of(message)}")


async def ask(prompt: str) -> str | None:
    """Ask a person for a line; the event loop continues while it waits.

    Returns:
        The line without escape sequences; None at the end of the input (Ctrl-D), or after `/quit`.

    Raises:
        FatalError: the terminal is gone.
    """
    while True:
        _put(prompt)
        line = await in_thread(_read_line)
        if line is None or not sys.stdin.isatty():
            _put(f"{visible(line or '')}\n")  # the terminal does not show piped input
        if line is None or line == "/quit":
            return None
        if line:
            return line


def _read_line() -> str | None:
    """Returns a line of the standard input; None at its end.

    It reads the file descriptor, because a thread that waits in `sys.stdin` holds a lock that Python needs to exit.
    """
    if sys.stdin is None or sys.stdin.closed:
        return None
    while b"\n" not in _unread:
        try:
            got = os.read(sys.stdin.fileno(), 1 << 16)
        except UnsupportedOperation:  # the input is not a file
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
    """A person on one side of a conversation: shows them the messages and asks them for lines."""

    def __init__(self, title: str, side: str, env: BaseEnv, brief: str) -> None:
        """Prepare a conversation with a person; nothing is printed yet.

        Args:
            title: the name of the conversation.
            side: `agent` or `user`.
            env: the environment.
            brief: the system prompt that a model on that side would get.
        """
        self._title = title
        self._side = side
        self._names = dict(env.speakers)
        self._hint = env.hints.get(side, "")
        self._brief = brief
        self._shown = -1
        self._notes: list[str] = []

    def note(self, text: str) -> None:
        """Show the person a text before the next question."""
        self._notes.append(text)

    async def hear(
        self, messages: Sequence[Message], model: HumanInput, check: Callable[[str], None] | None = None
    ) -> str | None:
        """Returns the person's next words in a conversation; None if they leave.

        Args:
            messages: the conversation.
            model: the person's model handle.
            check: raises ValueError, with a text for the person, for words that are not allowed.
        """
        return await model.hear(messages, lambda: self._ask(messages, check))

    async def _ask(self, messages: Sequence[Message], check: Callable[[str], None] | None) -> str | None:
        own = self._names[self._side]
        if self._shown < 0:
            say(f"--- {self._title}: you are the {own} ---\n{self._brief}\n---")
            say(f"{self._hint} /quit or Ctrl-D leaves the conversation, Ctrl-C stops so that you can resume.".strip())
            say("---")
            self._shown = 0
        show_messages(messages[self._shown :], self._names)
        for note in self._notes:
            say(note)
        self._notes = []
        # The line that the person types now is already on the screen.
        self._shown = len(messages) + 1
        text = await self._checked(f"{own}> ", check)
        if text is None and self._side == "agent" and not any(each.get("role") == "assistant" for each in messages):
            raise UsageError(f"{self._title}: the agent said nothing, so there is no conversation to record")
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
