"""The chat-model protocol: one request, one attempt to have it answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from josh.messages import Message
from josh.roles import Reply
from josh.tree import Usage


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model answered to one request: its replies, and the tokens they cost."""

    replies: tuple[Reply, ...]
    usage: Usage


@dataclass(frozen=True, slots=True)
class Request:
    """What a model is asked.

    Attributes:
        messages: the conversation as the model's speaker sees it.
        temperature: sampling temperature, 0 or more.
        seed: seed of this request; it follows from the place in the tree.
        n: how many replies to draw.
        options: further fields of the chat-completions request, such as `tools`, `stop` or `max_tokens`.
        keep_samples: whether the tokens are wanted: `Reply.prompt_ids`, `token_ids` and `logprobs`. What is sampled
            does not depend on it.
    """

    messages: Sequence[Message]
    temperature: float
    seed: int
    n: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    keep_samples: bool = False


class ModelError(Exception):
    """A request that failed.

    Attributes:
        status: the HTTP status it was refused with; None where there was none.
    """

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


class RetryableError(ModelError):
    """A request that failed for a reason that may pass, so that it is worth asking again.

    Attributes:
        wait: seconds that the endpoint asks everybody to stay away; None where it asks for nothing.
    """

    def __init__(self, text: str, status: int | None = None, wait: float | None = None) -> None:
        super().__init__(text, status)
        self.wait = wait

    @property
    def throttled(self) -> bool:
        """Whether the endpoint said that it gets too many requests."""
        return self.status == 429


class ChatModel(Protocol):
    """Messages in, replies out. Asking again after a failure is the caller's part."""

    @property
    def name(self) -> str:
        """The name it is recorded under."""
        ...

    @property
    def endpoint(self) -> str:
        """Where it is served; models of the same endpoint share its limits."""
        ...

    @property
    def at_once(self) -> int | None:
        """How many requests to send it at a time, from the first on; None for as many as it turns out to bear."""
        ...

    async def complete(self, request: Request) -> Completion:
        """Send a request once.

        Returns:
            At least one reply and at most `request.n`: fewer where the endpoint cannot give several at a time.

        Raises:
            FatalError: every further call would fail as well.
            RetryableError: asking again may help.
            ModelError: this request failed for good.
        """
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...
