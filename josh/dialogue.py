"""One turn of a dialogue as data: its speaker, messages, actions, rewards, samples and cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from josh.messages import Message, flip_roles
from josh.quick import quick


class Speaker(StrEnum):
    """Who took a turn."""

    AGENT = "agent"
    USER = "user"

    @property
    def other(self) -> "Speaker":
        """The other side."""
        return Speaker.USER if self is Speaker.AGENT else Speaker.AGENT


class Outcome(StrEnum):
    """The state of a leaf."""

    ALIVE = "alive"
    WON = "won"
    LOST = "lost"
    USER_LEFT = "user_left"
    TRUNCATED = "truncated"
    INFRA_ERROR = "infra_error"


@dataclass(frozen=True, slots=True)
class Usage:
    """The cost of model calls: their number and their tokens."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )


NO_USAGE = Usage()


@dataclass(frozen=True, slots=True)
class Hit:
    """A reward event: the goals that one step of a turn met.

    Attributes:
        step: index of the step in the turn, from 0.
        goals: the goals met, as the rewards class names them.
        value: compares the hit with other hits of the same phase (dollars, or 1.0 when all goals are alike).
    """

    step: int
    goals: tuple[Any, ...]
    value: float


@dataclass(frozen=True, slots=True)
class Sample:
    """The tokens of one request of a turn; on-policy training needs them.

    The prompt is stored once per path: its first `prefix` tokens equal the first tokens of the sequence (prompt and
    completion) of the same speaker's previous sample on the path; `prompt_ids` holds the rest. It is the prompt that
    was sent, so it contains a directive.

    Attributes:
        prefix: number of prompt tokens that the previous sample already holds; 0 for the first one of a path.
        prompt_ids: the other tokens of the prompt, in order.
        token_ids: the sampled tokens, with the stop token where one was sampled.
        logprobs: the log-probability of each sampled token in nats, under the distribution that it was sampled from:
            with the temperature, and after top-p and min-p removed tokens (0 at temperature 0). Importance ratios
            divide by it. None where it is not known.
        model_logprobs: the log-probability of each sampled token in nats under the model's own softmax, at temperature
            1 and before any token was removed. None where it is not known.
        finish_reason: why sampling ended (`stop`, `length`, ...).
        model: name of the model that was asked.
    """

    prefix: int
    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...] | None = None
    finish_reason: str = "stop"
    model: str = ""
    model_logprobs: tuple[float, ...] | None = None


@quick
@dataclass(frozen=True, slots=True)
class Turn:
    """One speaker's turn; the driver makes one for each directive of an expansion.

    Attributes:
        messages: the messages both sides see.
        internal: the messages as the agent's model is trained on them (thoughts, tool calls, tool results).
        user_internal: the messages as the user's model is trained on them, its own words as `assistant`; None where
            they are `messages` with the two roles swapped.
        actions: the actions of each step of the turn, which the rewards read.
        hits: the reward events, in the order of the steps.
        outcome: the state of the conversation after this turn.
        observed: the result of the world's `observe()` at the end of the turn, as JSON; None where it has none.
        value: the result of the rewards' `value()` for the conversation so far, where the plan asked for it.
        samples: the tokens sampled for the turn, request by request; empty unless a run keeps samples.
        usage: the cost of the turn's model calls.
        model: name of the model that spoke; empty when no model was asked.
        seed: seed of the turn's first request; None when no model was asked.
        choice: index of its reply among the replies to that request, from 0; siblings may share a request.
        duplicate: whether it says and does the same as an elder sibling, even after it was resampled.
        error: what failed, when the outcome is `infra_error`, or when resampling a duplicate failed.
        cut: why the speaker's last reply was cut off: `length` or `content_filter`; empty where it was not.
        failure: what ended the conversation by the speaker's own fault, as a predicate (`said nothing`), with a hint
            behind a semicolon where there is one; the outcome is then `lost` or `truncated`, and counts.
        facts: the result of the rewards' `facts()` for the conversation so far, as JSON; None where it has none.
    """

    messages: tuple[Message, ...] = ()
    internal: tuple[Message, ...] = ()
    actions: tuple[tuple[Any, ...], ...] = ()
    hits: tuple[Hit, ...] = ()
    outcome: Outcome = Outcome.ALIVE
    observed: Any = None
    value: float | None = None
    samples: tuple[Sample, ...] = ()
    user_internal: tuple[Message, ...] | None = None
    usage: Usage = NO_USAGE
    model: str = ""
    seed: int | None = None
    choice: int = 0
    duplicate: bool = False
    error: str = ""
    cut: str = ""
    failure: str = ""
    facts: Mapping[str, Any] | None = None

    @property
    def calls_in_text(self) -> bool:
        """Whether a server left a call of the turn in the text (`josh.tools.call_in_text`)."""
        actions = (action for step in self.actions for action in step)
        return any(isinstance(action, Mapping) and action.get("name") == "" and "text" in action for action in actions)

    @property
    def flawed(self) -> bool:
        """Whether the turn holds what its speaker must not learn: a cut-off or unreadable reply, or a failure."""
        unread = any(
            isinstance(action, Mapping) and action.get("name") == "" and "error" in action
            for step in self.actions
            for action in step
        )
        return bool(self.cut or self.failure) or unread

    def view(self, speaker: Speaker) -> tuple[Message, ...]:
        """Returns the turn's messages as one speaker's model is trained on them."""
        if speaker is Speaker.AGENT:
            return self.internal
        return tuple(flip_roles(self.messages)) if self.user_internal is None else self.user_internal
