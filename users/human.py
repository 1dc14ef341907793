"""The user, played by a person at the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from josh.messages import Message, flip_roles
from josh.roles import BaseEnv, BaseJOSHUser, HumanInput, Task
from josh.tags import RewardTag
from josh.terminal import Seat, say


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
        seen = [_defused(message, self.tag) for message in agent.messages]
        text = await self.seat.hear(seen, model, self._check)
        if text is None:
            return agent, True
        agent.add_message({"role": "user", "content": text})
        self._say_clamped(text)
        return agent, self.tag is not None and self.tag.read(text) is not None

    def hear(self, messages: Sequence[Message]) -> list[Message]:
        """Returns the messages with the two roles swapped, and the tags in the agent's words defused."""
        return flip_roles([_defused(message, self.tag) for message in messages])

    def _check(self, text: str) -> None:
        """Raises ValueError, with a text for the person, where the words hold a tag that could not be read."""
        tag = self.tag
        if tag is None or tag.stated(text) is not None:
            return
        if tag.disputed(text):
            raise ValueError("the tag is quoted, negated or asked about, so it does not count; write it plainly")
        if tag.unread(text):
            raise ValueError(f"this looks like a tag, and cannot be read; write it as {tag.write(tag.high)}")

    def _say_clamped(self, text: str) -> None:
        """Print the amount that counts, where the tag states more."""
        amount = None if self.tag is None else self.tag.stated(text)
        if self.tag is not None and amount is not None and amount > self.tag.high:
            say(f"(The tag says ${amount:.2f}, and the most is ${self.tag.high:.2f}, which counts.)")


def _defused(message: Message, tag: RewardTag | None) -> Message:
    if tag is None or message.get("role") != "assistant" or not isinstance(message.get("content"), str):
        return message
    return {**message, "content": tag.defuse(message["content"])}
