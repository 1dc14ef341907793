"""The chat model that is none: what `--model offline` stands for."""

from collections.abc import Callable

from josh.errors import UsageError
from josh.models.chat import Completion, Request


class OfflineModel:
    """Gives an agent or user its seeds and temperature, but no words: those that play offline have their own."""

    name = "offline"

    async def complete(self, request: Request, on_retry: Callable[[], None]) -> Completion:
        """Always raises UsageError."""
        raise UsageError("this agent or user asks a chat model, and `offline` is none; give --model or --user_model")

    async def aclose(self) -> None:
        """Nothing to let go of."""
