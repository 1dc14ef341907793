"""The script user: repeats what a human said, and ignores the agent's answers."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from josh.errors import UsageError
from josh.messages import Message
from josh.roles import BaseEnv, BaseJOSHUser, Task


def human_dialogue(task: Task, user: str) -> Sequence[Message]:
    """Returns the turns of the human dialogue that a task comes from, without empty turns.

    Args:
        task: the task.
        user: short name of the user that needs the dialogue, for the error message.

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
    """Says the human user's turns one after another, and leaves after the answer to the last one. Needs no model."""

    shared: ClassVar[tuple[str, ...]] = ("lines",)

    def __init__(self) -> None:
        self.lines: Sequence[str] = ()

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Takes the human user's turns. Raises UsageError where there are none."""
        super().start(task, env, options)
        self.lines = [turn["content"] for turn in human_dialogue(task, "script") if turn["role"] == "user"]

    def step(self, agent: Any, **_: Any) -> tuple[Any, bool]:
        """Says the next turn of the human user, or leaves without a word."""
        said = sum(message.get("role") == "user" for message in agent.messages)
        if said >= len(self.lines):
            return agent, True
        agent.add_message({"role": "user", "content": self.lines[said]})
        return agent, False
