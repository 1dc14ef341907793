"""The chat-model protocol: one request, one attempt to answer it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

from josh.config import part, setting
from josh.dialogue import Usage
from josh.errors import TurnError
from josh.messages import Message
from josh.roles import Reply


@dataclass(frozen=True, slots=True)
class Lesson:
    """A field of a request that an endpoint's model refuses, and the name it is sent under; empty to leave it out."""

    endpoint: str
    model: str
    field: str
    instead: str = ""


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's answer to one request.

    Attributes:
        replies: its replies.
        usage: the tokens they cost.
        lessons: the lessons that the request followed.
    """

    replies: tuple[Reply, ...]
    usage: Usage
    lessons: tuple[Lesson, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """The sampling of replies. Every field has flags, is recorded, and is sent under its own name."""

    temperature: float = setting(1.0, "{who} sampling temperature", least=0)
    top_p: float = setting(
        1.0, "{who} nucleus sampling: sample from the likeliest tokens with this total probability", above=0, most=1
    )
    min_p: float = setting(
        0.0, "{who} min-p sampling: least probability of a token, relative to the likeliest", least=0, most=1
    )
    max_tokens: int | None = setting(None, "most tokens of one of {who} replies (default: the server's)", least=1)
    stop: tuple[str, ...] = setting(
        (), 'text that ends {who} replies; several as a JSON list, such as \'["END", "###"]\'', flag="stop_at"
    )
    extra_body: Mapping[str, Any] = setting({}, "JSON object that is merged into {who} requests; null removes a field")
    leave_out: tuple[str, ...] = setting(
        (), "fields that {who} requests do not have, separated by commas, such as temperature,seed"
    )

    chat_template: str | None = setting(
        None, "file with a chat template (Jinja) for {who} model, in place of its own; for hf: models and vLLM"
    )
    chat_template_kwargs: Mapping[str, Any] = setting(
        {}, "values for the variables of {who} model's chat template, as a JSON object: '{\"enable_thinking\": false}'"
    )

    @property
    def as_the_model(self) -> bool:
        """Whether replies are sampled from the model's own distribution: at temperature 1 and without cuts."""
        return (self.temperature, self.top_p, self.min_p) == (1.0, 1.0, 0.0) and not self.extra_body

    def added_to(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the options of a request: the plug-in's options, and the fields here that differ from their default.

        An option of the plug-in overrides a field here, except for the texts that end a reply, which are joined.
        `temperature`, which every request has, is missing. `extra_body` and `leave_out` keep their names and change
        nothing here.
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
    """The chat model of one speaker: its name, its address, its key and its sampling."""

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
    """A request to a model.

    Attributes:
        messages: the conversation as the model's speaker sees it.
        sampling: the sampling of the replies.
        seed: seed of this request; it follows from the place in the tree.
        n: number of replies to sample.
        options: further fields of the chat-completions request, such as `tools`, `stop` or `max_tokens`.
        keep_samples: whether to return the tokens: `Reply.prompt_ids`, `token_ids` and `logprobs`. The replies do not
            depend on it. Servers are asked for them by the fields `SAMPLED`.
        lessons: what the endpoint refuses; the body follows them.
    """

    messages: Sequence[Message]
    sampling: Sampling
    seed: int
    n: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    keep_samples: bool = False
    lessons: tuple[Lesson, ...] = ()

    @property
    def has_system(self) -> bool:
        """Whether there is a system message."""
        return any(message.get("role") in ("system", "developer") for message in self.messages)

    @property
    def body(self) -> dict[str, Any]:
        """All fields of the chat-completions request except the model's name and the messages."""
        found = {"temperature": self.sampling.temperature, "seed": self.seed, **self.sampling.added_to(self.options)}
        if self.n > 1:
            found["n"] = self.n
        if self.keep_samples:
            found = dict.fromkeys(SAMPLED, True) | found
        extra, left_out = found.pop("extra_body", {}), found.pop("leave_out", ())
        found = {name: value for name, value in {**found, **extra}.items() if name not in extra or value is not None}
        for name in ",".join(left_out).split(",") if left_out else ():
            found.pop(name.strip(), None)
        for lesson in self.lessons:
            value = found.pop(lesson.field, None)
            if lesson.instead and value is not None:
                found[lesson.instead] = value
        return found


SAMPLED = ("logprobs", "return_token_ids")
"""The fields of a request that ask a server for log-probabilities and, as vLLM has it, for the tokens."""


class ModelError(TurnError):
    """A request that failed.

    Attributes:
        status: the HTTP status of the refusal; None where there was none.
        code: the provider's code of the error, such as `unsupported_parameter`; empty where it gives none.
        param: the field of the request that the provider names; empty where it names none.
        billed: the usage of an answer that could not be used, but was or may have been billed; None for none.
    """

    def __init__(
        self, text: str, status: int | None = None, code: str = "", param: str = "", billed: Usage | None = None
    ) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.param = param
        self.billed = billed


class ContextError(ModelError):
    """The conversation does not fit into the model's context. It ends there, at a limit, and is scored."""


class RetryableError(ModelError):
    """A request that failed with a transient error, so that a retry may succeed.

    Attributes:
        wait: seconds during which the endpoint asks for no further request; None where it does not ask.
        unreachable: whether no connection was made, so that no call of the endpoint can succeed now.
        late: whether the answer was not there in time, as from a server with too many calls at once.
    """

    def __init__(
        self,
        text: str,
        status: int | None = None,
        wait: float | None = None,
        *,
        unreachable: bool = False,
        late: bool = False,
        billed: Usage | None = None,
    ) -> None:
        super().__init__(text, status, billed=billed)
        self.wait = wait
        self.unreachable = unreachable
        self.late = late

    @property
    def throttled(self) -> bool:
        """Whether the endpoint refused the request because it gets too many."""
        return self.status == 429


class ChatModel(Protocol):
    """Messages in, replies out. The caller retries after a failure."""

    @property
    def name(self) -> str:
        """The model's name in records."""
        ...

    @property
    def endpoint(self) -> str:
        """The address of the server; models of the same endpoint share its limits."""
        ...

    @property
    def concurrency(self) -> int | None:
        """Most requests in flight, from the first request on; None to find the endpoint's level (`Limiter`)."""
        ...

    async def complete(self, request: Request) -> Completion:
        """Send a request once.

        Returns:
            At least one reply and at most `request.n`: fewer where the endpoint cannot give several per request.

        Raises:
            FatalError: every further call would fail as well.
            RetryableError: the error is transient; a retry may succeed.
            ModelError: the error is final for this request.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...
