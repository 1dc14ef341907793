"""What one turn of a dialogue is: who took it and what was said, done, earned, sampled and spent."""

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
    """How a leaf stands."""

    ALIVE = "alive"
    WON = "won"
    LOST = "lost"
    USER_LEFT = "user_left"
    TRUNCATED = "truncated"
    INFRA_ERROR = "infra_error"


@dataclass(frozen=True, slots=True)
class Usage:
    """What model calls cost."""

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
        step: which step of the turn, counted from 0.
        goals: the goals met, as the rewards class names them.
        value: what the hit is worth against other hits of the same phase (dollars, or 1.0 when goals are all alike).
    """

    step: int
    goals: tuple[Any, ...]
    value: float


@dataclass(frozen=True, slots=True)
class Sample:
    """What one request of a turn sampled, token by token; on-policy training needs it.

    The prompt is stored once per path: its first `prefix` tokens are those of the sequence (prompt and completion)
    that the same speaker's sample before it on the path ended with; `prompt_ids` holds the rest. It is the prompt that
    was sent: a directive is in it.

    Attributes:
        prefix: tokens of the prompt that the sample before it holds already; 0 for the first one of a path.
        prompt_ids: the other tokens of the prompt, in order.
        token_ids: the sampled tokens, the stop token included where one was sampled.
        logprobs: the log-probability of each sampled token in nats, under the model's whole softmax at the sampling
            temperature (at 1 where the temperature was 0), before top-p or min-p cut anything off. That is what a
            trainer computes again for its ratios. None where the model gives none.
        finish_reason: why the sampling ended (`stop`, `length`, ...).
        model: name of the model that was asked.
    """

    prefix: int
    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...] | None = None
    finish_reason: str = "stop"
    model: str = ""


@quick
@dataclass(frozen=True, slots=True)
class Turn:
    """What one speaker did with the floor; the driver reports one for each directive of an expansion.

    Attributes:
        messages: the messages both sides see.
        internal: the messages as the agent's model is trained on them (thoughts, tool calls, tool results).
        user_internal: the messages as the user's model is trained on them, its own words as `assistant`; None where
            they are `messages` with the two roles swapped.
        actions: what each step of the turn did, for the rewards to read.
        hits: the reward events, in the order of the steps.
        outcome: how the conversation stands after this turn.
        observed: what the world's `observe()` said when the turn ended, as JSON has it; None where it has none.
        value: what the rewards' `value()` says the conversation is worth so far, where the plan asked for it.
        samples: what was sampled for the turn, request by request; empty unless a run keeps samples.
        usage: model calls made for it.
        model: name of the model that spoke; empty when none was asked.
        seed: seed of the turn's first request; None when none was asked.
        choice: which reply to that request it was, counted from 0; siblings may share a request.
        duplicate: whether it says and does the same as an elder sibling, even on a second try.
        error: what went wrong, when the outcome is `infra_error`, or when a second try of a duplicate failed.
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

    def view(self, speaker: Speaker) -> tuple[Message, ...]:
        """The turn's messages as one speaker's model is trained on them."""
        if speaker is Speaker.AGENT:
            return self.internal
        return tuple(flip_roles(self.messages)) if self.user_internal is None else self.user_internal
