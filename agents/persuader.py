"""The persuader, played by a chat model."""

from collections.abc import Mapping
from typing import Any

from josh.messages import without_thoughts
from josh.roles import BaseEnv, BaseJOSHAgent, Line, Task

OPENER = "(The chat is open. You write first.)"
"""Stands in for a user's first message, because many chat servers and templates refuse a conversation without one."""


class Persuader(BaseJOSHAgent):
    """Says whatever its model replies, without the thoughts."""

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Take the system prompt, and the opener unless the user has spoken already."""
        super().start(task, env, options)
        first = next((at for at, each in enumerate(self.messages_internal) if each["role"] != "system"), None)
        if first is None:
            self.messages_internal.append({"role": "user", "content": OPENER})
        elif self.messages_internal[first]["role"] != "user":
            self.messages_internal.insert(first, {"role": "user", "content": OPENER})

    async def step(self, *, model: Line, **_: Any) -> bool:
        """Say one thing. False, to be asked again, when the model said nothing."""
        reply = await model.reply(self.messages_internal)
        text = without_thoughts(reply.text)
        if not text:
            return False
        self.add_message({"role": "assistant", "content": text})
        self.recent_actions = [text]
        return True
