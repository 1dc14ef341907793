"""Asks the chat model of a simulated user for the user's next words."""

from collections.abc import Sequence

from josh.errors import TurnError
from josh.messages import Message
from josh.reading import read_text
from josh.roles import TurnModel

TRIES = 3
"""How many requests in a row may get an empty reply before the turn fails."""


async def ask_until_words(model: TurnModel, seen: Sequence[Message], who: str) -> str:
    """Returns one answer of a user's model, without thoughts and calls of tools; never empty.

    Args:
        model: the user's model.
        seen: the conversation as the user sees it.
        who: the name of the user for an error message.

    Raises:
        TurnError: the model gave `TRIES` empty replies in a row.
    """
    for _try in range(TRIES):
        text = read_text((await model.reply(seen)).text).speech
        if text:
            return text
    raise TurnError(f"the {who}'s model gave {TRIES} empty replies in a row")
