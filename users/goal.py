"""The goal user: a chat model that knows what it wants, and talks until it has it."""

from collections.abc import Mapping, Sequence
from typing import Any

from josh.errors import UsageError
from josh.messages import Message, flip_roles, with_opener
from josh.roles import BaseEnv, BaseJOSHUser, Task, TurnModel
from josh.users.asking import spoken
from josh.users.ending import defuse, read, with_ending


class GoalUser(BaseJOSHUser):
    """Asks for what its prompt says it wants, and ends the conversation with `ending.END`.

    What its model is asked is what `messages_internal` holds; where the user speaks first, both a request and a
    training example have `messages.OPENER` before its first words. The marker stays in its own last words there.
    """

    def __init__(self) -> None:
        self.prompt = ""

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Take the system prompt, with how to end where it does not say. Raises UsageError where there is none."""
        prompt = env.user_prompt(task)
        if not prompt:
            raise UsageError(f"user goal: env {type(env).__name__} has no user_prompt for task {task.id}; give one")
        self.prompt = with_ending(prompt)
        self.messages_internal = [{"role": "system", "content": self.prompt}]

    async def step(self, agent: Any, *, model: TurnModel, **_: Any) -> tuple[Any, bool]:
        """Speak once. The conversation is over when the words hold the marker, which is taken out of them.

        Raises:
            RuntimeError: the model said nothing, three times over.
        """
        text = await spoken(model, self.view(agent.messages), "goal user")
        said, over = read(text)
        # Its model learns from what it said, the marker included.
        self.messages_internal.append({"role": "assistant", "content": text})
        agent.add_message({"role": "user", "content": said})
        return agent, over

    def view(self, messages: list[Message]) -> list[Message]:
        """The conversation as the user's model sees it; grows at its end as the conversation does."""
        return with_opener([{"role": "system", "content": self.prompt}, *self.hear(messages)])

    def hear(self, messages: Sequence[Message]) -> list[Message]:
        """Returns the messages with the two roles swapped, and the markers in the agent's words defused."""
        return flip_roles(messages, defuse)
