"""The start of an agent that a chat model plays: a system prompt and, where it speaks first, an opener."""

from collections.abc import Mapping
from typing import Any

from josh.dialogue import Speaker
from josh.messages import with_opener
from josh.roles import BaseEnv, BaseJOSHAgent, Task


class PromptedAgent(BaseJOSHAgent):
    """Shows its model the system prompt, and a first message of the user where the agent speaks first.

    It is not the default of `BaseJOSHAgent`, because agents without a model have no use for an opener, and what they
    show is recorded.
    """

    def prompt(self, task: Task, env: BaseEnv) -> str:
        """The system prompt; by default the world's. Empty for none."""
        return env.agent_prompt(task)

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Take the system prompt, and the opener where the agent speaks first."""
        prompt = self.prompt(task, env)
        if prompt:
            self.messages_internal.insert(0, {"role": "system", "content": prompt})
        if env.opens is Speaker.AGENT:
            self.messages_internal = with_opener(self.messages_internal)
