"""The user, played by a person at the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from josh.messages import Message, flip_roles
from josh.roles import BaseEnv, BaseJOSHUser, HumanInput, Task
from josh.tags import RewardTag
from josh.terminal import Seat


class Human(BaseJOSHUser):
    """Answers with what a person types. The person sees what the user's model would be shown.

    The environment's tags in the agent's words are defused before the person sees them, and in `messages_internal`.
    """

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Takes the system prompt. Raises UsageError where a person cannot play."""
        super().start(task, env, options)
        self.tag = env.tag
        self.seat = Seat(task.id, "user", env, env.user_prompt(task))

    async def step(self, agent: Any, *, model: HumanInput, **_: Any) -> tuple[Any, bool]:
        """Answers once. The conversation is over when the answer holds the environment's tag, or the person leaves."""
        text = await self.seat.hear([_defused(message, self.tag) for message in agent.messages], model)
        if text is None:
            return agent, True
        agent.add_message({"role": "user", "content": text})
        return agent, self.tag is not None and self.tag.read(text) is not None

    def hear(self, messages: Sequence[Message]) -> list[Message]:
        """Returns the messages with the two roles swapped, and the tags in the agent's words defused."""
        return flip_roles([_defused(message, self.tag) for message in messages])


def _defused(message: Message, tag: RewardTag | None) -> Message:
    if tag is None or message.get("role") != "assistant" or not isinstance(message.get("content"), str):
        return message
    return {**message, "content": tag.defuse(message["content"])}
