"""The persuader, played by a chat model."""

from typing import Any, ClassVar

from josh.agents.prompted import PromptedAgent
from josh.reading import read_text
from josh.roles import TurnModel


class Persuader(PromptedAgent):
    """Says what its model replies, without thoughts and without calls of tools, which it does not have."""

    calls_tools: ClassVar[bool] = False

    async def step(self, *, model: TurnModel, **_: Any) -> bool:
        """Says one message and returns True. Returns False, to be asked again, when the model said nothing.

        Raises:
            AgentError: the model said nothing several times in a row; see `PromptedAgent.count_unread`.
        """
        reply = await model.reply(self.messages_internal)
        said = read_text(reply.text)
        if not said.speech:
            self.count_unread(reply.text, model, "only called tools, and has none" if said.calls else "said nothing")
            return False
        self.unread = ()
        self.add_message({"role": "assistant", "content": said.speech})
        self.recent_actions = [said.speech]
        return True
