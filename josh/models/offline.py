"""Chat models without a server: the model of `--model offline`, and the models of a recorded run."""

from josh.errors import UsageError
from josh.models.chat import Completion, ModelError, Request


class OfflineModel:
    """A model that cannot reply: offline agents and users need only its seeds and temperature."""

    name = "offline"
    endpoint = "offline"
    concurrency = None

    async def complete(self, request: Request) -> Completion:
        """Always raises UsageError."""
        raise UsageError(
            "this agent or user asks a chat model, and `offline` cannot reply; give --model or --user_model"
        )

    async def aclose(self) -> None:
        """Does nothing: the model has no connections."""


class RecordedModel:
    """A model of a run that is replayed: the journal holds all its replies."""

    endpoint = "recorded"
    concurrency = None

    def __init__(self, name: str) -> None:
        """Args: name: the model's name in the run."""
        self.name = name

    async def complete(self, request: Request) -> Completion:
        """Always raises ModelError: the journal has no reply to this request."""
        raise ModelError(f"the journal has no reply of {self.name} to this request of {len(request.messages)} messages")

    async def aclose(self) -> None:
        """Does nothing: the model has no connections."""
