"""What a leaf carries while a search goes on, and how a step of either side is made."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from josh.roles import BaseRewards, fork
from josh.tree import NO_USAGE, Speaker, Usage


@dataclass(slots=True)
class Branch:
    """What one live leaf carries. The rewards are shared until goals are spent on a path of its own."""

    agent: Any
    user: Any
    world: Any
    rewards: BaseRewards

    def fork(self) -> "Branch":
        """The same for a sibling."""
        world = None if self.world is None else fork(self.world)
        return Branch(fork(self.agent), fork(self.user), world, self.rewards)


@dataclass(slots=True)
class TurnContext:
    """Where in the tree a turn is taken, and the account of the model calls made for it.

    Attributes:
        path: see `Node.path`.
        depth: see `Node.depth`.
        speaker: whose turn it is.
        directive: the instruction to the speaker, if the strategy gave one.
        draws: seeds drawn so far in this turn.
        usage: what the turn's model calls cost so far.
        model: name of the model asked, if any.
        seed: seed of the first request, or the first seed drawn, if any.
        choice: which reply to that request the turn was given.
        siblings: the paths of all turns taken fresh from the same parent, this one's included; empty where there is
            nothing to share between them.
        common: whatever they want to share.
    """

    path: str
    depth: int
    speaker: Speaker
    directive: str | None = None
    draws: int = 0
    usage: Usage = NO_USAGE
    model: str = ""
    seed: int | None = None
    choice: int = 0
    siblings: tuple[str, ...] = ()
    common: dict[str, Any] = field(default_factory=dict)


class Steps(Protocol):
    """How one step of either side is made; steps may return awaitables."""

    def agent_step(self, branch: Branch, place: TurnContext) -> Any:
        """Have the agent act once; (agent, True | False | None) as `BaseJOSHAgent.step` says."""
        ...

    def user_step(self, branch: Branch, place: TurnContext) -> Any:
        """Have the user answer; (agent, whether the conversation is over)."""
        ...

    def add_error_message(self, agent: Any, *, silent: bool, tries: int) -> Any:
        """Mark an agent that used up its tries without ending its turn; returns the agent.

        Args:
            agent: the agent.
            silent: whether it added nothing at all to the conversation in this turn.
            tries: how many steps it took.
        """
        ...
