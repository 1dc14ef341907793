"""What a user's model says, for the users that are played by one."""

from collections.abc import Sequence

from josh.messages import Message, without_thoughts
from josh.roles import TurnModel

TRIES = 3
"""Times the model is asked for one answer before its silence counts as a failure."""


async def spoken(model: TurnModel, seen: Sequence[Message], who: str) -> str:
    """One answer of a user's model, without its thoughts.

    Args:
        model: the user's model.
        seen: the conversation as the user sees it.
        who: what to call the user in an error.

    Raises:
        RuntimeError: the model said nothing, `TRIES` times over.
    """
    for _try in range(TRIES):
        text = without_thoughts((await model.reply(seen)).text)
        if text:
            return text
    raise RuntimeError(f"the {who}'s model gave {TRIES} empty replies in a row")
