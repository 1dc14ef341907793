"""The persuadee, played by a chat model."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from josh.envs.persuasion.donation import DONATION
from josh.messages import Message, flip_roles
from josh.roles import BaseEnv, BaseJOSHUser, Task, TurnModel
from josh.users.asking import ask_until_words


class Persuadee(BaseJOSHUser):
    """Answers as its persona would, and ends the conversation with a donation tag.

    Tags in the persuader's words are defused before the model sees them. The model is asked with the messages of
    `messages_internal`.
    """

    needs_model: ClassVar[bool] = True

    def __init__(self) -> None:
        self.prompt = ""

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Takes the system prompt, which the persuader never sees."""
        self.prompt = env.user_prompt(task)
        self.messages_internal = [{"role": "system", "content": self.prompt}]

    async def step(self, agent: Any, *, model: TurnModel, **_: Any) -> tuple[Any, bool]:
        """Answers once. The conversation is over when the answer holds a tag.

        Raises:
            RuntimeError: the model gave three empty replies in a row.
        """
        text = await ask_until_words(model, self.view(agent.messages), "persuadee")
        agent.add_message({"role": "user", "content": text})
        return agent, DONATION.read(text) is not None

    def view(self, messages: list[Message]) -> list[Message]:
        """Returns the conversation as the persuadee's model sees it. It only grows at its end."""
        return [{"role": "system", "content": self.prompt}, *self.hear(messages)]

    def hear(self, messages: Sequence[Message]) -> list[Message]:
        """Returns the messages with the two roles swapped, and the tags in the persuader's words defused."""
        return flip_roles(messages, DONATION.defuse)
