"""How an agent that a chat model plays begins: with a system prompt and, where it speaks first, an opener."""

from collections.abc import Mapping
from typing import Any, ClassVar

from josh.dialogue import Speaker
from josh.messages import with_opener
from josh.roles import BaseEnv, BaseJOSHAgent, Task


class PromptedAgent(BaseJOSHAgent):
    """Shows its model the system prompt and, where the agent speaks first, an opening message of the user.

    `BaseJOSHAgent` does not do this, because an agent without a model needs no opener, and every message is recorded.
    """

    needs_model: ClassVar[bool] = True

    def prompt(self, task: Task, env: BaseEnv) -> str:
        """Returns the system prompt, by default the world's. An empty text means no system prompt."""
        return env.agent_prompt(task)

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Takes the system prompt, and adds the opener where the agent speaks first."""
        prompt = self.prompt(task, env)
        if prompt:
            self.messages_internal.insert(0, {"role": "system", "content": prompt})
        if env.opens is Speaker.AGENT:
            self.messages_internal = with_opener(self.messages_internal)
