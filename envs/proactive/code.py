"""Finds the code in a message, in any form that chat models use.

These forms are read:
    - fenced blocks, with backticks or tildes, with or without a language, indented, in one line, or never closed;
    - blocks in marks such as `[PYTHON] ... [/PYTHON]`, `[BEGIN] ... [DONE]` and `<code> ... </code>`;
    - plain code without any mark, between lines of prose.

A word in prose, such as "class" or "def", is never code. Nothing is removed from a block because of the words in it.
"""
# ruff: noqa: A005 - the module is used by its whole name

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import dedent
from typing import Final

PYTHON: Final = frozenset({"", "py", "py3", "python", "python2", "python3", "ipython", "pycon"})
"""Names of Python behind a fence; a block without a name counts as Python."""
_SHELLS = "output out console terminal shell sh bash zsh cmd powershell pip"
_TEXTS = "text txt plain plaintext json yaml yml toml xml csv markdown md diff none"
NO_PROGRAM: Final = frozenset(f"{_SHELLS} {_TEXTS}".split())
"""Names behind a fence of blocks that accompany a program."""

_OPEN = re.compile(r"^(?P<indent>[ \t>]*(?:(?:[-*+]|\d+[.)])[ \t]+)?)(?P<fence>`{3,}|~{3,})(?P<rest>[^\n]*)$")
_IN_LINE = re.compile(r"(?<!`)(`{3,})(?!`)(?P<inside>[^\n]+?)\1(?!`)")
_MARKS = (
    (re.compile(r"^[ \t]*\[PYTHON\][ \t]*", re.I | re.M), re.compile(r"\[/PYTHON\]", re.I)),
    (re.compile(r"^[ \t]*\[BEGIN\][ \t]*", re.M), re.compile(r"\[DONE\]|\[END\]")),
    (re.compile(r"(?:<pre>\s*)?<code[^>\n]*>", re.I), re.compile(r"</code>(?:\s*</pre>)?", re.I)),
)
_KEYWORDS = r"(?:def|class|async def|import|from|if|for|while|try|with)(?=\W)"
_ASSIGNS = r"[A-Za-z_]\w*\s*(?::[^=\n]+)?=(?!=)"
_BEGINS = re.compile(rf"^[ \t]*(?:{_KEYWORDS}|@|{_ASSIGNS})")
_DEFINES = re.compile(r"^[ \t]*(def|class|async def)\b.*[:(\\]\s*(#.*)?$", re.M)
_LANGUAGE = re.compile(r"^\{?\.?[A-Za-z][\w+#.-]*\}?$")
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_IMPORTS = (ast.Import, ast.ImportFrom)
_ASSIGNMENTS = (ast.Assign, ast.AnnAssign, ast.AugAssign)
_MAKES = (*_DEFINITIONS, *_IMPORTS, *_ASSIGNMENTS, ast.For, ast.While, ast.With, ast.If, ast.Try)
_STEPS = 400
"""At how many lines the search for plain code begins at most."""


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of code in a message.

    Attributes:
        language: its language in lower case, as the message names it; may be empty.
        text: the code without its fence, without common indentation.
    """

    language: str
    text: str


@dataclass(frozen=True, slots=True)
class Parts:
    """A message, divided.

    Attributes:
        prose: the text without the blocks; a line break stands for each block.
        blocks: the blocks in their order.
    """

    prose: str
    blocks: tuple[Block, ...]


def code_in(text: str) -> str | None:
    """Returns the program in a message, or None where it has none.

    Several blocks of Python are one program, in their order: a later definition replaces an earlier one of the same
    name. Blocks that define nothing, such as examples of calls and their output, are left out where another block
    defines something. A Python block with a fault is returned as it is. Code in another language is returned where the
    message has no Python.
    """
    blocks = parts(text).blocks
    python = [block.text for block in blocks if block.language in PYTHON]
    makers = [one for one in python if _any_of(_tree(one), _MAKES)]
    if any(_any_of(_tree(one), _DEFINITIONS) for one in makers):
        return "\n\n".join(makers)
    faulty = [block.text for block in blocks if _is_faulty_program(block)]
    if faulty or makers:
        return "\n\n".join(faulty or makers)
    running = [one for one in python if _any_of(_tree(one), (ast.stmt,))]
    others = [block.text for block in blocks if block.language not in PYTHON | NO_PROGRAM]
    return "\n\n".join(running or others) or None


def parts(text: str) -> Parts:
    """Returns a message's prose and its blocks of code."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    prose: list[str] = []
    blocks: list[Block] = []
    at = 0
    while at < len(lines):
        opened = _OPEN.match(lines[at])
        if opened is None or opened["fence"][0] in opened["rest"]:
            prose.append(lines[at])
            at += 1
            continue
        end = _end(lines, at, opened["fence"])
        language, first = _named(opened["rest"])
        inside = [*first, *lines[at + 1 : end]]
        if ">" in opened["indent"]:
            inside = [re.sub(r"^[ \t]*> ?", "", line) for line in inside]
        block = dedent("\n".join(inside)).strip("\n")
        at = end + 1
        if end == len(lines) and language in PYTHON and _tree(block) is None:  # never closed: prose may follow the code
            found = _plain(block.split("\n"))
            if found is not None and found[0] == 0:
                prose.extend(block.split("\n")[found[1] :])
                block = found[2]
        if block.strip():
            blocks.append(Block(language, block))
        prose.append("")
    return _without_fences("\n".join(prose), tuple(blocks))


def _without_fences(text: str, fenced: tuple[Block, ...]) -> Parts:
    """Returns the rest of a message's parts: code in a line of its own fence, in marks, or without either."""
    blocks = list(fenced)

    def in_line(found: re.Match[str]) -> str:
        words = found["inside"].strip()
        language, _, rest = words.partition(" ")
        if language.lower() in PYTHON and rest:
            words = rest.strip()
        if _any_of(_tree(words), _MAKES):
            blocks.append(Block("", words))
        return " "

    text = _IN_LINE.sub(in_line, text)
    for opens, closes in _MARKS:
        while (opened := opens.search(text)) is not None:
            closed = closes.search(text, opened.end())
            inside = dedent(text[opened.end() : closed.start() if closed else len(text)]).strip("\n")
            if inside.strip() and (_tree(inside) is not None or "\n" in inside):
                blocks.append(Block("", inside))
            text = text[: opened.start()] + "\n" + (text[closed.end() :] if closed else "")
    if not blocks:
        lines = text.split("\n")
        found = _plain(lines)
        if found is not None:
            start, end, code = found
            return Parts("\n".join([*lines[:start], "", *lines[end:]]), (Block("", code),))
    return Parts(text, tuple(blocks))


def _end(lines: list[str], at: int, fence: str) -> int:
    """Returns the line of the fence that closes the block at `at`: the first one at which it is whole Python.

    Where it is whole at none, the first one; the number of lines where no fence closes it.
    """
    close = re.compile(rf"^[ \t>]*{re.escape(fence[0])}{{{len(fence)},}}[ \t]*$")
    ends = [number for number in range(at + 1, len(lines)) if close.match(lines[number])]
    if not ends:
        return len(lines)
    if lines[at].strip()[len(fence) :].strip().lower() not in PYTHON:
        return ends[0]
    quoted = '"""', "'''"
    if sum("\n".join(lines[at + 1 : ends[0]]).count(mark) for mark in quoted) % 2:  # a fence inside a docstring
        whole = (end for end in ends[1:] if _tree(dedent("\n".join(lines[at + 1 : end]))) is not None)
        return next(whole, ends[0])
    return ends[0]


def _named(rest: str) -> tuple[str, list[str]]:
    """Returns the language behind a fence, and the code that stands in the fence's line."""
    words = rest.strip()
    name, _, more = words.partition(" ")
    if name.lower() in PYTHON and _any_of(_tree(more.strip()), (*_DEFINITIONS, *_IMPORTS)):
        return name.lower(), [more.strip()]
    if _LANGUAGE.match(name) and name not in {"def", "class", "import", "from", "async", "return"}:
        return name.lower().strip("{.}"), []
    return "", [words] if words and not words.startswith("{") else []


def _is_faulty_program(block: Block) -> bool:
    """Returns whether a block is meant as Python, and has a fault."""
    if block.language not in PYTHON or _tree(block.text) is not None:
        return False
    return bool(block.language) or bool(_DEFINES.search(block.text))


def _plain(lines: list[str]) -> tuple[int, int, str] | None:
    """Returns the longest code without a fence: its first line, the line behind its last, and the code."""
    best: tuple[int, int, str] | None = None
    beyond = 0
    for start in list(_beginnings(lines))[:_STEPS]:
        if start < beyond:
            continue
        found = _from(lines, start)
        if found is None:
            continue
        end, code = found
        if best is None or end - start > best[1] - best[0]:
            best = start, end, code
        beyond = end
    if best is None and _any_of(_tree(whole := "\n".join(lines).strip()), (ast.Call, *_MAKES)):
        return 0, len(lines), whole
    return best


def _beginnings(lines: list[str]) -> Iterator[int]:
    """Yields the lines at which code can begin."""
    yield from (number for number, line in enumerate(lines) if _BEGINS.match(line))


def _from(lines: list[str], start: int) -> tuple[int, str] | None:
    """Returns the end and the text of the code that begins at a line and defines something, or None."""
    indent = len(lines[start]) - len(lines[start].lstrip())
    end = start
    while end < len(lines) and (not lines[end].strip() or lines[end][:indent].strip() == ""):
        end += 1
    while end > start:
        code = dedent("\n".join(lines[start:end])).strip("\n")
        try:
            tree = _parsed(code)
        except SyntaxError as error:
            # The fault is in the line that the parser names, or begins there; lines in front of it may be whole.
            end = min(end - 1, start + max((error.lineno or 1) - 1, 0))
            continue
        except (ValueError, RecursionError, MemoryError):
            return None
        body = tree.body
        while body and isinstance(body[-1], ast.Expr) and not isinstance(body[-1].value, ast.Call | ast.Constant):
            body = body[:-1]  # a word of prose, such as "Enjoy"
        if not any(isinstance(one, _DEFINITIONS) or _is_lambda(one) for one in body):
            return None
        last = body[-1].end_lineno or 1
        return start + last, "\n".join(code.split("\n")[:last])
    return None


def _is_lambda(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Lambda)


def _any_of(tree: ast.Module | None, kinds: tuple[type[ast.AST], ...]) -> bool:
    """Returns whether a statement of a program is of one of some kinds, or an expression of one."""
    body = tree.body if tree is not None else []
    return any(isinstance(one, kinds) or (isinstance(one, ast.Expr) and isinstance(one.value, kinds)) for one in body)


def _tree(code: str) -> ast.Module | None:
    """Returns a program's syntax tree; None where it has a fault or no statement."""
    try:
        tree = _parsed(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return tree if tree.body else None


def _parsed(code: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about escapes in its texts
        return ast.parse(code)
