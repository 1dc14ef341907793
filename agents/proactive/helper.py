"""The helper, played by a chat model: it chooses an action by a field, and the model writes the words."""

from dataclasses import dataclass
from typing import Any, ClassVar

from josh.agents.proactive.deciding import Deciding
from josh.config import setting
from josh.envs.proactive.actions import ACTIONS, LABELS, REPLY, RULE
from josh.envs.proactive.prompts import INSTRUCTIONS
from josh.models.turn_model import with_directive
from josh.reading import read_text
from josh.roles import TurnModel


@dataclass(frozen=True, slots=True)
class Mainline:
    """The settings that all agents of this world have."""

    mainline_action: str | None = setting(
        None, "the action of the agent's first turn (default: the agent chooses it)", choices=ACTIONS
    )


@dataclass(frozen=True, slots=True)
class Decision(Mainline):
    """How a helper chooses an action."""

    decide: str = setting(
        RULE,
        "how the agent chooses: by the published rule, by a JSON reply of its model, or by the probabilities of "
        "the two labels (of an hf: model, or of an endpoint with top_logprobs)",
        choices=(RULE, REPLY, LABELS),
    )


class Helper(Deciding):
    """Says what its model replies under the instruction of the action; no view has the instruction."""

    needs_model: ClassVar[bool] = True
    Config: ClassVar[type] = Decision
    name = "helper"

    async def step(self, *, model: TurnModel, env: Any = None, directive: str | None = None, **_: Any) -> bool:
        """Says one message and returns True. Returns False, to be asked again, when the model said nothing.

        Raises:
            AgentError: the model said nothing several times in a row, or named no action.
        """
        action, _by = await self.choose(env, model, directive)
        words = await self.words(action, env, model)
        return self.say(env, words) if words else False

    async def words(self, action: str, world: Any, model: TurnModel) -> str:
        """Returns the words of a turn; empty where the model said nothing."""
        reply = await model.reply(with_directive(self.messages_internal, INSTRUCTIONS[self.domain][action]))
        said = read_text(reply.text)
        if not said.speech:
            self.count_unread(reply.text, model, "said nothing")
            return ""
        self.unread = ()
        return said.speech


class PromptOnly(Helper):
    """A chat model that is asked for the action by a prompt alone."""

    Config: ClassVar[type] = Mainline
    policy = REPLY
    name = "prompt_only"
