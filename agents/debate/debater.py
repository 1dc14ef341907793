"""A debater that speaks first, played by a chat model."""

from collections.abc import Mapping
from typing import Any

from josh.agents.chat import Persuader
from josh.dialogue import Speaker
from josh.envs.debate.prompts import exact_view, history, opening, view
from josh.messages import Message
from josh.roles import BaseEnv, Task


class Debater(Persuader):
    """Says what its model replies. Its first message is a `user` message with the prompt and the question."""

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Takes the question, and the turns that the task begins with. Raises UsageError where it has no question."""
        begin(self, task, env, "agent debater")

    def add_message(self, message: Message) -> None:
        """Adds a message; the partner's first words get the prompt in front, where the partner speaks first."""
        add(self, message)


def begin(agent: Any, task: Task, env: BaseEnv, who: str) -> None:
    """Gives a debating agent the question, and the turns that the task begins with.

    Args:
        agent: the agent; it gets an attribute `opening`.
        task: the task.
        env: its environment.
        who: the agent's short name, for the error message.

    Raises:
        UsageError: the task is not a question.
    """
    agent.opening = opening(task.data, who)
    agent.messages = history(task.data)
    shown = exact_view(task.data)
    agent.messages_internal = shown or view(agent.opening, agent.messages, env.opens is Speaker.AGENT)


def add(agent: Any, message: Message) -> None:
    """Adds a message to both histories of a debating agent."""
    agent.messages.append(message)
    first = not agent.messages_internal
    agent.messages_internal += view(agent.opening, [message], begins=True) if first else [message]
