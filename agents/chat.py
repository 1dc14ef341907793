"""The persuader, played by a chat model."""

from typing import Any

from josh.agents.prompted import PromptedAgent
from josh.messages import without_thoughts
from josh.roles import TurnModel


class Persuader(PromptedAgent):
    """Says what its model replies, without the thoughts."""

    async def step(self, *, model: TurnModel, **_: Any) -> bool:
        """Says one message and returns True. Returns False, to be asked again, when the model said nothing."""
        reply = await model.reply(self.messages_internal)
        text = without_thoughts(reply.text)
        if not text:
            return False
        self.add_message({"role": "assistant", "content": text})
        self.recent_actions = [text]
        return True
