"""A debater that answers, played by a chat model."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from josh.dialogue import Speaker
from josh.envs.debate.prompts import answers_unheard, history, opening, text, view
from josh.messages import Message, flip_roles
from josh.roles import BaseEnv, BaseJOSHUser, Task, TurnModel
from josh.users.asking import ask_until_words


class DebatingUser(BaseJOSHUser):
    """What users in a debate share: how they see the conversation.

    The partner's first words come with the prompt and the question, in one `user` message. With `both_first` the model
    is asked for its first turn with the prompt and the question alone; its view has the partner's words nevertheless,
    as every later request does.
    """

    name: ClassVar[str] = ""

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Takes the question, and the turns that the task begins with. Raises UsageError where it has no question."""
        self.opening = opening(task.data, f"user {self.name}")
        self.both_first = answers_unheard(task, env)
        self.messages_internal = []
        if env.opens is Speaker.USER and not history(task.data):
            self.messages_internal = view(self.opening, (), begins=True)

    def hear(self, messages: Sequence[Message]) -> list[Message]:
        """Returns a turn of the partner as one `user` message, the first one with the prompt in front.

        Turns that the task begins with come all at once, the user's own as `assistant`.
        """
        flipped = flip_roles(messages)
        if not flipped:
            return []
        if not self.messages_internal:
            return view(self.opening, flipped, begins=True)
        return [{"role": "user", "content": text(flipped)}]

    def asked(self) -> list[Message]:
        """Returns the messages with which a model is asked for the next turn."""
        spoke = any(message["role"] == "assistant" for message in self.messages_internal)
        return view(self.opening, (), begins=True) if self.both_first and not spoke else self.messages_internal


class Debater(DebatingUser):
    """Says what its model replies."""

    needs_model: ClassVar[bool] = True
    name = "debater"

    async def step(self, agent: Any, *, model: TurnModel, **_: Any) -> tuple[Any, bool]:
        """Answers once; the debate ends by the rewards' facts.

        Raises:
            TurnError: the model gave several empty replies in a row.
        """
        words = await ask_until_words(model, self.asked(), "debater")
        agent.add_message({"role": "user", "content": words})
        return agent, False
