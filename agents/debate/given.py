"""An agent that says what a row of a file says that a model said, so that it can be scored without the model."""

from collections.abc import Mapping
from typing import Any

from josh.agents.debate.debater import add, begin
from josh.errors import UsageError
from josh.messages import Message
from josh.roles import BaseEnv, BaseJOSHAgent, Task


class Given(BaseJOSHAgent):
    """Says the row's `generation`."""

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Takes the row. Raises UsageError where it has no generation."""
        begin(self, task, env, "agent given")
        words = task.data.get("generation")
        if words is None:
            raise UsageError(
                f"row {task.id} has no generation to score; give --model, whose turns are then scored, or --agent"
            )
        self.words = words

    def add_message(self, message: Message) -> None:
        """Adds a message; see `Debater.add_message`."""
        add(self, message)

    def step(self, **_: Any) -> bool:
        """Says the generation. Returns True: the turn is over."""
        self.add_message({"role": "assistant", "content": self.words})
        return True
