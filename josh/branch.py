"""What a leaf carries while a search goes on, where a turn is taken, and how a step of either side is made."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from josh.dialogue import NO_USAGE, Sample, Usage
from josh.roles import BaseRewards, fork


@dataclass(slots=True)
class Branch:
    """What one leaf of the frontier carries.

    Attributes:
        agent: the agent; each branch has its own.
        user: the user; each branch has its own.
        world: what tools act on; each branch has its own, None where there is nothing.
        rewards: the goals still open. Branches share one object until goals are spent on a path of its own.
        sequences: the tokens that each speaker's last sample ended with, prompt included, by speaker; empty unless
            samples are kept.
    """

    agent: Any
    user: Any
    world: Any
    rewards: BaseRewards
    sequences: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def fork(self) -> "Branch":
        """Returns the same for a sibling."""
        world = None if self.world is None else fork(self.world)
        return Branch(fork(self.agent), fork(self.user), world, self.rewards, self.sequences)


@dataclass(slots=True)
class TurnContext:
    """Where in the tree a turn is taken, and the account of the model calls made for it.

    Attributes:
        path: see `Node.path`.
        depth: see `Node.depth`.
        speaker: whose turn it is: a `Speaker`, or `judge`.
        directive: the instruction to the speaker, if the strategy gave one.
        decision: the path of the parent; the same for all turns that continue it, those of later plans included.
        siblings: the paths of all turns taken fresh from the same parent under the same directive, this one's
            included; empty where there is nothing to share between them.
        common: what these siblings share.
        draws: seeds drawn so far in this turn.
        shared_draws: seeds drawn so far that siblings share.
        usage: what the turn's model calls cost so far.
        model: name of the model asked, if any.
        seed: seed of the first request, or the first seed drawn, if any.
        choice: which reply to that request the turn was given.
        sequence: the tokens of the speaker's last sample on this path, prompt included.
        samples: what the turn's requests sampled, where samples are kept.
    """

    path: str
    depth: int
    speaker: str
    directive: str | None = None
    draws: int = 0
    usage: Usage = NO_USAGE
    model: str = ""
    seed: int | None = None
    choice: int = 0
    siblings: tuple[str, ...] = ()
    common: dict[str, Any] = field(default_factory=dict)
    decision: str = ""
    sequence: tuple[int, ...] = ()
    samples: tuple[Sample, ...] = ()
    shared_draws: int = 0


class Steps(Protocol):
    """How one step of either side is made; steps may return awaitables."""

    def agent_step(self, branch: Branch, context: TurnContext) -> Any:
        """Let the agent act once; (agent, True | False | None) as `BaseJOSHAgent.step` says."""
        ...

    def user_step(self, branch: Branch, context: TurnContext) -> Any:
        """Let the user answer; (agent, whether the conversation is over)."""
        ...

    def add_error_message(self, agent: Any, *, silent: bool, tries: int) -> Any:
        """Mark an agent that used up its tries without ending its turn; returns the agent.

        Args:
            agent: the agent.
            silent: whether it added nothing at all to the conversation in this turn.
            tries: how many steps it took.
        """
        ...
