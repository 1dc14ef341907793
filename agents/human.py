"""The agent, played by a person at the terminal."""

from collections.abc import Mapping
from typing import Any

from josh.console import Seat
from josh.messages import with_opener
from josh.roles import BaseEnv, BaseJOSHAgent, PersonLine, Task
from josh.tree import Outcome, Speaker


class Human(BaseJOSHAgent):
    """Says what a person types, who is shown what the agent's model would be told."""

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Take the system prompt, as an agent with a model does. Raises UsageError where a person cannot play."""
        super().start(task, env, options)
        if env.opens is Speaker.AGENT:
            self.messages_internal = with_opener(self.messages_internal)
        self.seat = Seat(task.id, "agent", env, env.agent_prompt(task), options)

    async def step(self, *, model: PersonLine, **_: Any) -> bool | Outcome:
        """Say one thing; a person who leaves breaks the conversation off."""
        text = await self.seat.hear(self.messages, model)
        if text is None:
            return Outcome.TRUNCATED
        self.add_message({"role": "assistant", "content": text})
        self.recent_actions = [text]
        return True
