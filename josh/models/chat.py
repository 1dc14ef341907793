"""The chat-model protocol: one request, one attempt to have it answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

from josh.config import part, setting
from josh.dialogue import Usage
from josh.messages import Message
from josh.roles import Reply


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model answered to one request: its replies, and the tokens they cost."""

    replies: tuple[Reply, ...]
    usage: Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How replies are drawn. A field that is added here has flags, is recorded, and is sent under its own name."""

    temperature: float = setting(1.0, "{who} sampling temperature", least=0)
    top_p: float = setting(
        1.0, "{who} model draws from the fewest tokens that are this likely together", above=0, most=1
    )
    min_p: float = setting(
        0.0, "{who} model draws from tokens so many times as likely as the likeliest, or more", least=0, most=1
    )
    max_tokens: int | None = setting(None, "most tokens of one of {who} replies (default: the server's)", least=1)
    stop: tuple[str, ...] = setting(
        (), 'text at which {who} replies end; several as a JSON list, such as \'["END", "###"]\'', flag="stop_at"
    )
    extra_body: Mapping[str, Any] = setting(
        {}, "JSON object that is merged into {who} requests; null takes a field out"
    )

    def added_to(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options of a request: what the plug-in asks for, and what else is set here and not left at its default.

        A plug-in's word counts more, but for texts that end a reply, where both count. `temperature`, which every
        request has, is missing, and `extra_body` stands under that name.
        """
        found = dict(options)
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name == "stop" and value:
                asked = options.get("stop") or ()
                asked = (asked,) if isinstance(asked, str) else tuple(asked)
                found["stop"] = list(dict.fromkeys((*asked, *value)))
            elif one.name != "temperature" and value and value != one.default:
                found = {one.name: value} | found
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """Which chat model speaks for somebody, where it is asked, and how its replies are drawn."""

    model: str = setting("offline", "{who} chat model, or `offline`")
    base_url: str | None = setting(
        None, "address of {who} model (default: OPENAI_BASE_URL, else OpenAI)", resumable=True
    )
    api_key_var: str | None = setting(
        None, "environment variable with the key of {who} model (default: OPENAI_API_KEY)", resumable=True
    )
    sampling: Sampling = part(Sampling)


@dataclass(frozen=True, slots=True)
class Request:
    """What a model is asked.

    Attributes:
        messages: the conversation as the model's speaker sees it.
        sampling: how to draw the replies.
        seed: seed of this request; it follows from the place in the tree.
        n: how many replies to draw.
        options: further fields of the chat-completions request, such as `tools`, `stop` or `max_tokens`.
        keep_samples: whether the tokens are wanted: `Reply.prompt_ids`, `token_ids` and `logprobs`. What is sampled
            does not depend on it.
    """

    messages: Sequence[Message]
    sampling: Sampling
    seed: int
    n: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    keep_samples: bool = False

    @property
    def body(self) -> dict[str, Any]:
        """All fields of the chat-completions request but the model's name and the messages."""
        found = {"temperature": self.sampling.temperature, "seed": self.seed, **self.sampling.added_to(self.options)}
        if self.n > 1:
            found["n"] = self.n
        extra = found.pop("extra_body", {})
        return {name: value for name, value in {**found, **extra}.items() if name not in extra or value is not None}


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
    def concurrency(self) -> int | None:
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
