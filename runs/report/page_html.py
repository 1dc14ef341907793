"""The report's page as one file: it holds style, script and data, and its policy forbids every network request.

Models and people wrote the data. The page holds them as JSON without any character that could end a `<script>`, and
the script shows them as text, never as markup.
"""

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any, Final

from josh.messages import dumps

PAGE: Final = Path(__file__).parent / "page"
SCRIPTS: Final = (
    "dom", "data", "charts", "tasks", "tree", "turns", "pairs", "task", "actions", "turn_table", "run", "comparison",
    "overview", "index", "main",
)  # fmt: skip
_ESCAPES: Final = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"}


def safe_json(value: Any) -> str:
    """Returns a value as JSON that is safe inside a script of a page."""
    return dumps(value).translate(_ESCAPES)


def render(title: str, head: Any, chunks: Sequence[str], *, split: bool) -> str:
    """Returns the whole page.

    Args:
        title: the title of the browser's tab.
        head: what the page shows first.
        chunks: the data that the page reads on demand, from `safe_json`; empty if `split`.
        split: whether these data are in files beside the page.
    """
    style = (PAGE / "style.css").read_text(encoding="utf-8")
    script = '"use strict";\n(() => {\n' + "\n".join(map(_script, SCRIPTS)) + "})();\n"
    blocks = [_block("head", safe_json(head)), *(_block(f"chunk-{at}", chunk) for at, chunk in enumerate(chunks))]
    return Template((PAGE / "page.html").read_text(encoding="utf-8")).substitute(
        title=escape(title),
        policy=policy(script, style, split=split),
        style=style,
        data="\n".join(blocks),
        script=script,
    )


def policy(script: str, style: str, *, split: bool) -> str:
    """Returns the content security policy: the page may load its own script and style, by hash, and its data files."""
    files = " 'self'" if split else ""  # for a page on disk, this means the files beside it, in Chromium and Firefox
    return (
        f"default-src 'none'; script-src '{_hash(script)}'{files}; style-src '{_hash(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _script(name: str) -> str:
    return (PAGE / f"{name}.js").read_text(encoding="utf-8")


def _block(name: str, content: str) -> str:
    return f'<script type="application/json" id="{name}">{content}</script>'


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
