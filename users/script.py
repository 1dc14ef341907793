"""The script user: says what a human said, whatever the agent answers."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from josh.errors import UsageError
from josh.messages import Message
from josh.roles import BaseEnv, BaseJOSHUser, Task


def human_dialogue(task: Task, user: str) -> Sequence[Message]:
    """The turns of the human dialogue that a task comes from, without empty ones.

    Args:
        task: the task.
        user: short name of the user who needs it, for the error.

    Raises:
        UsageError: the task has no dialogue, or its user says nothing.
    """
    turns = [turn for turn in task.data.get("dialogue") or () if turn["content"].strip()]
    if not any(turn["role"] == "user" for turn in turns):
        raise UsageError(
            f"user {user} needs tasks with a human dialogue, and {task.id} has none; "
            "give --data with dialogues, or --user_mode goal"
        )
    return turns


class ScriptUser(BaseJOSHUser):
    """Says the human user's turns one after another, and leaves when the last has been answered.

    Needs no model.
    """

    shared: ClassVar[tuple[str, ...]] = ("lines",)

    def __init__(self) -> None:
        self.lines: Sequence[str] = ()

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Take the human user's turns. Raises UsageError where there are none."""
        super().start(task, env, options)
        self.lines = [turn["content"] for turn in human_dialogue(task, "script") if turn["role"] == "user"]

    def step(self, agent: Any, **_: Any) -> tuple[Any, bool]:
        """Say the turn that comes next in this conversation, or leave without a word."""
        said = sum(message.get("role") == "user" for message in agent.messages)
        if said >= len(self.lines):
            return agent, True
        agent.add_message({"role": "user", "content": self.lines[said]})
        return agent, False
