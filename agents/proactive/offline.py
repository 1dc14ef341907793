"""Helpers whose words need no model: the offline helper, and the baselines, which also play with a model's words."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar

from josh.agents.proactive.deciding import fixed
from josh.agents.proactive.helper import Helper, Mainline
from josh.config import setting
from josh.envs.proactive.actions import LABELS, REPLY, RULE
from josh.envs.proactive.dialogue import StateWorld
from josh.envs.proactive.speech import offline_words
from josh.errors import UsageError
from josh.roles import BaseEnv, Task, TurnModel


@dataclass(frozen=True, slots=True)
class OfflineDecision(Mainline):
    """How an offline helper chooses an action."""

    decide: str = setting(
        RULE,
        "how the agent chooses: by the published rule, or by its model (--model), which writes no words: by a JSON "
        "reply, or by the probabilities of the two labels",
        choices=(RULE, REPLY, LABELS),
    )


class OfflineHelper(Helper):
    """Solves made-up states where their text has the fact, and asks for it; see `josh.envs.proactive.speech`."""

    needs_model: ClassVar[bool] = False
    may_ask: ClassVar[bool] = True
    Config: ClassVar[type] = OfflineDecision
    name = "offline_helper"

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Takes the request. Raises UsageError where the task has no state, or there is a model too many or too few."""
        super().start(task, env, options)
        if self.modelled and self.policy_name == RULE:
            raise UsageError(
                f"model is {options['model']!r}, but the agent 'offline_helper' asks no chat model with agent.decide "
                "'rule'; leave it out, or give --agent.decide labels"
            )

    async def words(self, action: str, world: Any, model: TurnModel) -> str:
        """Returns the words of a turn."""
        return offline_words(world.state, action, Random(model.draw()))


class Baseline(Helper):
    """A fixed policy. Its words are its model's, or an offline helper's where there is no model."""

    needs_model: ClassVar[bool] = False
    may_ask: ClassVar[bool] = True
    Config: ClassVar[type] = Mainline
    policy = RULE

    async def words(self, action: str, world: Any, model: TurnModel) -> str:
        """Returns the words of a turn; empty where the model said nothing."""
        if self.modelled:
            return await super().words(action, world, model)
        return offline_words(world.state, action, Random(model.draw()))


class Direct(Baseline):
    """Delivers at once."""

    name = "direct"

    def by_policy(self, world: StateWorld) -> str:
        """Returns `Execute`."""
        return fixed(False)


class ClarifyFirst(Baseline):
    """Asks in its first turn, and then delivers."""

    name = "clarify_first"

    def by_policy(self, world: StateWorld) -> str:
        """Returns `Clarify` in the first turn of a conversation, then `Execute`."""
        return fixed(not world.state.dialogue_turn and not world.state.prev_reject)


@dataclass(frozen=True, slots=True)
class Below(Mainline):
    """The settings of a threshold."""

    below: float = setting(0.5, "it asks in its first turn where the clarity is below this", least=0, most=1)


class Threshold(Baseline):
    """Asks in its first turn where the clarity is low, and then delivers; it does not read the request."""

    Config: ClassVar[type] = Below
    config: Below
    name = "threshold"

    def by_policy(self, world: StateWorld) -> str:
        """Returns `Clarify` in the first turn of a conversation with a low clarity, then `Execute`."""
        first = not world.state.dialogue_turn and not world.state.prev_reject
        return fixed(first and world.state.clarity < self.config.below)
