"""How a chat model that plays a user closes a conversation: with a marker in its own words, which the agent never sees.

In the agent's words the marker means nothing, and is defused before the user's model reads them.
"""

import re

END = "END_CONVERSATION"
"""The marker."""
GOODBYE = "Goodbye."
"""Stands for the words of a user who writes nothing but the marker."""

HOW_TO_END = f"""

Once you have all you want, or see that you cannot get it, take your leave with {END} in that message. It closes the \
conversation."""

_WORDS = r"END\\?_CONVERSATION"
_MARKER = re.compile(_WORDS, re.IGNORECASE)
_WITH_FRAME = re.compile(rf"(\s?)([\[(<{{*_`\"']{{0,4}}){_WORDS}([\])>}}*_`\"']{{0,4}})[.!]?", re.IGNORECASE)


def with_ending(prompt: str) -> str:
    """Returns a user's system prompt that says how to end, unless it does already."""
    return prompt if END in prompt else prompt + HOW_TO_END


def read(text: str) -> tuple[str, bool]:
    """Read what a user's model wrote.

    Args:
        text: its words, which are not empty.

    Returns:
        What the user says: the words without the marker and the brackets or quotation marks around it; never empty.
        And whether the marker was there, which closes the conversation.
    """
    if not _MARKER.search(text):
        return text, False
    said = _WITH_FRAME.sub(_without_marker, text).strip()
    return said if any(map(str.isalnum, said)) else GOODBYE, True


def defuse(text: str) -> str:
    """`text` with every marker as plain words, which close nothing."""
    return _MARKER.sub(END.replace("_", " "), text)


def _without_marker(match: re.Match[str]) -> str:
    blanks, before, after = match.groups()
    # What opens before the marker and closes after it goes with it; the rest belongs to the words around.
    pairs = min(len(before), len(after))
    before, after = before[: len(before) - pairs], after[pairs:]
    return blanks + before + after if before else after
