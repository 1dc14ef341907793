"""A persuader that repeats what the persuader of the same dialogue of the corpus said; the answers do not matter.

It lets a user simulator meet the words of people, so that `josh realism` compares both under the same conditions.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from josh.dialogue import Outcome
from josh.envs.persuasion.acts import CLOSING, acts
from josh.errors import UsageError
from josh.roles import BaseEnv, BaseJOSHAgent, Task

GOODBYE: Final = "It was nice talking to you, goodbye!"
"""Added to the last turn, so that the partner knows that it is the last one; left out where it says goodbye itself."""


class ReplayedPersuader(BaseJOSHAgent):
    """Says the human persuader's turns that were answered, one after another; then the conversation ends undecided."""

    shared: ClassVar[tuple[str, ...]] = ("lines",)
    calls_tools: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self.lines: Sequence[str] = ()
        self.said = 0

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Takes the persuader's turns. Raises UsageError where the task is not a dialogue of the corpus."""
        super().start(task, env, options)
        spoken = getattr(env, "answered", None)
        if spoken is None or getattr(env.config, "corpus", None) is None:
            raise UsageError("agent replayed_persuader repeats the persuaders of the corpus; give --corpus DIR")
        self.lines = spoken(task)

    def step(self, **_: Any) -> Any:
        """Says the next turn; returns `Outcome.TRUNCATED` after the last."""
        if self.said >= len(self.lines):
            return Outcome.TRUNCATED
        text = self.lines[self.said]
        self.said += 1
        if self.said == len(self.lines) and CLOSING not in acts(text):
            text = f"{text} {GOODBYE}"
        self.add_message({"role": "assistant", "content": text})
        self.recent_actions = sorted(acts(text))
        return True
