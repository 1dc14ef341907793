"""Chat models without a server: the one that `--model offline` stands for, and recorded ones."""

from josh.errors import UsageError
from josh.models.chat import Completion, ModelError, Request


class OfflineModel:
    """Gives an agent or user its seeds and temperature, but no words: those that play offline have their own."""

    name = "offline"
    endpoint = "offline"
    concurrency = None

    async def complete(self, request: Request) -> Completion:
        """Always raises UsageError."""
        raise UsageError("this agent or user asks a chat model, and `offline` is none; give --model or --user_model")

    async def aclose(self) -> None:
        """Nothing to let go of."""


class RecordedModel:
    """A model of a run that is replayed: all it ever said is in the journal."""

    endpoint = "recorded"
    concurrency = None

    def __init__(self, name: str) -> None:
        """Args: name: the name it had in the run."""
        self.name = name

    async def complete(self, request: Request) -> Completion:
        """Always raises ModelError: the journal has no reply to this request."""
        raise ModelError(f"the journal has no reply of {self.name} to this request of {len(request.messages)} messages")

    async def aclose(self) -> None:
        """Nothing to let go of."""
