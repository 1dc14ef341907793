"""The state of a leaf during a search (`Branch`), the place of a turn (`TurnContext`), and one step (`Steps`)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from josh.dialogue import NO_USAGE, Sample, Usage
from josh.roles import BaseRewards, fork


@dataclass(slots=True)
class Branch:
    """The live objects of one leaf of the frontier.

    Attributes:
        agent: the agent; each branch has its own.
        user: the user; each branch has its own.
        world: the object that tools act on; each branch has its own. None where there are no tools.
        rewards: holds the goals that are still open. Branches share one object until one of them spends a goal.
        sequences: the tokens of each speaker's last sample, prompt and completion, by speaker; empty unless samples
            are kept.
        thoughts: each speaker's `TurnContext.thoughts`, by speaker; empty where no endpoint sends any.
    """

    agent: Any
    user: Any
    world: Any
    rewards: BaseRewards
    sequences: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    thoughts: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def fork(self) -> "Branch":
        """Returns a copy for a sibling: agent, user and world are forked, the rewards are shared."""
        world = None if self.world is None else fork(self.world)
        return Branch(fork(self.agent), fork(self.user), world, self.rewards, self.sequences, self.thoughts)


@dataclass(slots=True)
class TurnContext:
    """The place of a turn in the tree, and the account of the model calls made for it.

    Attributes:
        path: see `Node.path`.
        depth: see `Node.depth`.
        speaker: whose turn it is: a `Speaker`, or `judge`.
        directive: the instruction to the speaker, if the strategy gave one; a name or a text.
        instruction: its text, for a chat model.
        decision: the path of the parent; the same for all turns that continue it, also those of later plans.
        siblings: the paths of all turns that one plan adds to the parent under the same directive, this turn's path
            included; empty for a turn without siblings.
        common: a dict that these siblings share; it holds their common request.
        draws: number of seeds drawn so far in this turn.
        shared_draws: number of seeds drawn so far that siblings share.
        thoughts: the thoughts beside the speaker's tool calls on this path, in order (`models/sendable.py`).
        usage: what the turn's model calls cost so far.
        model: name of the model that was asked, if any.
        seed: seed of the first request, or the first seed drawn, if any.
        choice: index of the turn's reply among the replies to that request, from 0.
        sequence: the tokens of the speaker's last sample on this path, prompt included.
        samples: the samples of the turn's requests, where samples are kept.
        finishes: why each reply of the turn ended, in the server's terms.
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
    finishes: tuple[str, ...] = ()
    thoughts: tuple[Any, ...] = ()
    instruction: str | None = None


class Steps(Protocol):
    """Makes one step of the agent or the user; a step may return an awaitable."""

    def agent_step(self, branch: Branch, context: TurnContext) -> Any:
        """Make the agent act once; returns (agent, True | False | None), see `BaseJOSHAgent.step`."""
        ...

    def user_step(self, branch: Branch, context: TurnContext) -> Any:
        """Make the user answer; returns (agent, whether the conversation is over)."""
        ...

    def add_error_message(self, agent: Any, *, silent: bool, tries: int) -> Any:
        """Mark an agent that used up its tries without ending its turn; returns the agent.

        Args:
            agent: the agent.
            silent: whether it added no message to the conversation in this turn.
            tries: number of steps it took.
        """
        ...
