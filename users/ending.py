"""A chat model that plays a user ends a conversation with a marker in its own words, which the agent never sees.

In the agent's words the marker ends nothing, and is defused before the user's model reads them.
"""

import re

from josh.tags import is_negated

END = "END_CONVERSATION"
"""The marker."""
GOODBYE = "Goodbye."
"""The words of a user who writes only the marker."""

HOW_TO_END = f"""

Once you have all you want, or see that you cannot get it, take your leave with {END} in that message. It closes the \
conversation."""

_ANYWHERE = re.compile(r"END\\?_CONVERSATION", re.IGNORECASE)
_WORDS = r"(?:(?:END)+(?:\\?_CONVERSATION)+)+"
_BEGINS = r"(?<![^\W_])(?<![^\W_]_)(?<![^\W_]__)"
_ENDS = r"(?!_{0,2}[^\W_])"
_MARKER = re.compile(rf"{_BEGINS}{_WORDS}{_ENDS}", re.IGNORECASE)
"""The marker as a word of its own; also a marker inside a marker."""
_WITH_FRAME = re.compile(
    rf"(\s?)([\[(<{{*_`\"']{{0,4}}){_BEGINS}{_WORDS}{_ENDS}([\])>}}*_`\"']{{0,4}})[.!]?", re.IGNORECASE
)


def with_ending(prompt: str) -> str:
    """Returns the system prompt with `HOW_TO_END` added, unless it already names the marker."""
    return prompt if END in prompt else prompt + HOW_TO_END


def read_ending(text: str) -> tuple[str, bool]:
    """Separates the marker from the words of a user's model.

    Args:
        text: the words; not empty.

    Returns:
        The user's words without the marker and the brackets or quotation marks around it; never empty. And whether
        the text held the marker, which ends the conversation. A marker inside another word, or one that the user does
        not want yet ("I will not END_CONVERSATION"), ends nothing, and is written as plain words.
    """
    if not any(not is_negated(text, match.start()) for match in _MARKER.finditer(text)):
        return defuse(text), False
    said = defuse(_WITH_FRAME.sub(_without_marker, text)).strip()
    return said if any(map(str.isalnum, said)) else GOODBYE, True


def defuse(text: str) -> str:
    """Returns `text` with every marker as plain words, which end nothing."""
    return _ANYWHERE.sub(END.replace("_", " "), text)


def _without_marker(match: re.Match[str]) -> str:
    blanks, before, after = match.groups()
    # Pairs of brackets or marks around the marker are removed with it; the others belong to the words around it.
    pairs = min(len(before), len(after))
    before, after = before[: len(before) - pairs], after[pairs:]
    return blanks + before + after if before else after
