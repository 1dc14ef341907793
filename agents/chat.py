"""The persuader, played by a chat model."""

from collections.abc import Mapping
from typing import Any

from josh.messages import with_opener, without_thoughts
from josh.roles import BaseEnv, BaseJOSHAgent, Task, TurnModel
from josh.tree import Speaker


class Persuader(BaseJOSHAgent):
    """Says whatever its model replies, without the thoughts."""

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Take the system prompt, and the opener where the agent speaks first."""
        super().start(task, env, options)
        if env.opens is Speaker.AGENT:
            self.messages_internal = with_opener(self.messages_internal)

    async def step(self, *, model: TurnModel, **_: Any) -> bool:
        """Say one thing. False, to be asked again, when the model said nothing."""
        reply = await model.reply(self.messages_internal)
        text = without_thoughts(reply.text)
        if not text:
            return False
        self.add_message({"role": "assistant", "content": text})
        self.recent_actions = [text]
        return True
