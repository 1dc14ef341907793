"""Counts the questions of a message."""

import re
from typing import Final

from josh.envs.proactive.code import parts

WIDE: Final = "\uff1f"
"""The question mark of Chinese and Japanese texts."""

_IN_CODE = re.compile(r"(?<!`)(`{1,2})(?!`)[^`]+?\1(?!`)")
_IN_ADDRESS = re.compile(r"\b(?:https?|ftp)://[^\s?]+\?(?=[\w%&=])")


def question_acts(text: str) -> int:
    """Returns how many question marks, of either width, a message has outside its code and addresses.

    Code is every block that `code.parts` finds, and what stands between single or double backticks.
    """
    prose = _IN_ADDRESS.sub(" ", _IN_CODE.sub(" ", parts(text).prose))
    return prose.count("?") + prose.count(WIDE)
