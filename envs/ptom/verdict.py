"""The person's verdict: `[ACCEPT]` or `[DECLINE]` in its own words. Other words decide nothing.

1. The last verdict of a message counts, as a person may mention one before it decides.
2. A verdict that is quoted or asked about does not count, nor an `[ACCEPT]` that is negated ("I will not [ACCEPT]").
3. In the persuader's words a verdict stands in round brackets before the person reads it.
"""

import re
from collections.abc import Iterator
from typing import Final
from unicodedata import normalize

from josh.tags import is_negated

ACCEPT, DECLINE = VERDICTS = ("accept", "decline")
_TAG: Final = re.compile(
    r"[\[\u3010\uff3b]([\s*_`]*(accept|decline)(?:e?d|s|ing)?[\s*_`.!]*)[\]\u3011\uff3d]", re.IGNORECASE
)
_QUOTED: Final = re.compile(r'"[^"\n]{0,400}"|\u201c[^\u201d\n]{0,400}\u201d|\u00ab[^\u00bb\n]{0,400}\u00bb')
_ASKED: Final = re.compile(r"[\"'*_`\u201d\u2019)\s]*\?")


def tag(verdict: str) -> str:
    """Returns the tag of a verdict, such as `[ACCEPT]`."""
    return f"[{verdict.upper()}]"


def verdict_in(text: str) -> str | None:
    """Returns the last verdict in the person's words, `accept` or `decline`; None without one."""
    found = list(_verdicts(normalize("NFKC", text)))
    return found[-1] if found else None


def without_verdicts(text: str) -> str:
    """Returns a text with all verdicts in round brackets, which decide nothing."""
    return _TAG.sub(r"(\1)", text)


def _verdicts(text: str) -> Iterator[str]:
    whole = text.strip()
    quoted = [match.span() for match in _QUOTED.finditer(text) if match[0] != whole]
    for match in _TAG.finditer(text):
        line = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
        verdict = match[2].lower()
        if line.lstrip().startswith(">") or _ASKED.match(text, match.end()):
            continue
        if any(start < match.start() and match.end() <= end for start, end in quoted):
            continue
        # "I will not take it: [DECLINE]" says so twice.
        if verdict == ACCEPT and is_negated(text, match.start()):
            continue
        yield verdict
