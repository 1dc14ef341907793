"""What agents that a chat model plays share: how they begin, and when they give up on completions without sense."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from josh.dialogue import Speaker
from josh.messages import with_opener
from josh.roles import AgentError, BaseEnv, BaseJOSHAgent, Task, TurnModel

UNREADABLE: Final = 3
"""How many completions in a row may be empty or unreadable before the agent gives up."""


class PromptedAgent(BaseJOSHAgent):
    """Shows its model the system prompt and, where the agent speaks first, an opening message of the user.

    `BaseJOSHAgent` does not do this, because an agent without a model needs no opener, and every message is recorded.

    Attributes:
        unread: the latest completions, as long as none could be read; empty after one that could.
    """

    needs_model: ClassVar[bool] = True
    shared: ClassVar[tuple[str, ...]] = ("unread",)  # a tuple never changes
    unread: tuple[str, ...] = ()

    def prompt(self, task: Task, env: BaseEnv) -> str:
        """Returns the system prompt, by default the world's. An empty text means no system prompt."""
        return env.agent_prompt(task)

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Takes the system prompt and the world's opening, and adds the opener where the agent speaks first."""
        prompt = self.prompt(task, env)
        if prompt:
            self.messages_internal.insert(0, {"role": "system", "content": prompt})
        self.take_opening(task, env)
        if env.opens is Speaker.AGENT:
            self.messages_internal = with_opener(self.messages_internal)

    def count_unread(self, text: str, model: TurnModel, what: str, hint: str = "") -> None:
        """Counts a completion that is empty or cannot be read.

        A model gets another chance, because sampling may give another completion; but only a few, because each is paid
        for. A completion that is read resets the count: set `unread` to `()`.

        Args:
            text: the completion.
            model: the turn's model.
            what: what the model did, for `AgentError`.
            hint: likewise.

        Raises:
            AgentError: it is the third in a row, or at temperature 0 the same as the one before.
        """
        again = self.unread[-1:] == (text,) and model.temperature == 0
        self.unread = (*self.unread, text)
        if again or len(self.unread) >= UNREADABLE:
            raise AgentError(what, hint)
