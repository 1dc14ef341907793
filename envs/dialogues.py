"""The world of imported dialogues that belong to no other world: it has no tasks to play and no prompts."""

from collections.abc import Sequence
from typing import Any

from josh.errors import UsageError
from josh.roles import BaseEnv, Task


class DialoguesEnv(BaseEnv):
    """Dialogues without tasks; the goal of each is that it succeeds, as its source or a rewards class says."""

    called = "dialogue"

    def tasks(self, split: str) -> Sequence[Task]:
        """Raises UsageError."""
        raise UsageError("the world of imported dialogues has no tasks to play; give another --env")

    def goals(self, task: Task) -> Sequence[Any]:
        """Returns one goal, that the dialogue succeeds."""
        return ["success"]

    def people(self, task: Task) -> Sequence[str]:
        """Returns the ids of the people that the source names."""
        return [str(one) for one in task.data.get("people", ())]
