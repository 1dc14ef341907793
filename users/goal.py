"""The goal user: a chat model that has a goal, and talks until it has reached it."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from josh.errors import UsageError
from josh.messages import Message, flip_roles, with_opener
from josh.roles import BaseEnv, BaseJOSHUser, Task, TurnModel
from josh.users.asking import ask_until_words
from josh.users.ending import defuse, read_ending, with_ending


class GoalUser(BaseJOSHUser):
    """Asks for what its prompt says, and ends the conversation with `ending.END`.

    Its model is asked with the messages of `messages_internal`. There the user's last words keep the marker. Where the
    user speaks first, `messages.OPENER` stands before its first words, in requests and in training examples.
    """

    needs_model: ClassVar[bool] = True

    def __init__(self) -> None:
        self.prompt = ""

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Takes the system prompt, and adds how to end. Raises UsageError where the world gives no prompt."""
        prompt = env.user_prompt(task)
        if not prompt:
            raise UsageError(f"user goal: env {type(env).__name__} has no user_prompt for task {task.id}; give one")
        self.prompt = with_ending(prompt)
        self.messages_internal = [{"role": "system", "content": self.prompt}]

    async def step(self, agent: Any, *, model: TurnModel, **_: Any) -> tuple[Any, bool]:
        """Speaks once. The conversation is over when the words hold the marker, which is removed from them.

        Raises:
            RuntimeError: the model gave three empty replies in a row.
        """
        text = await ask_until_words(model, self.view(agent.messages), "goal user")
        said, over = read_ending(text)
        # Its model is trained on its own words, including the marker.
        self.messages_internal.append({"role": "assistant", "content": text})
        agent.add_message({"role": "user", "content": said})
        return agent, over

    def view(self, messages: list[Message]) -> list[Message]:
        """Returns the conversation as the user's model sees it. It only grows at its end."""
        return with_opener([{"role": "system", "content": self.prompt}, *self.hear(messages)])

    def hear(self, messages: Sequence[Message]) -> list[Message]:
        """Returns the messages with the two roles swapped, and the markers in the agent's words defused."""
        return flip_roles(messages, defuse)
