"""Users with a persona: rules decide whether they answer; their words are fixed ones, or a chat model's."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, ClassVar

from josh.envs.proactive.dialogue import StateWorld
from josh.envs.proactive.env import persona_of, state_of
from josh.envs.proactive.prompts import user_prompt
from josh.envs.proactive.reactions import (
    ANSWERED,
    closes,
    fixed_words,
    is_off_topic,
    kind_of,
    luck_of,
    meta_of,
)
from josh.envs.proactive.speech import offline_answer
from josh.errors import UsageError
from josh.messages import Message, flip_roles, text_of
from josh.roles import BaseEnv, BaseJOSHUser, Task, TurnModel
from josh.users.asking import ask_until_words


class OfflinePersona(BaseJOSHUser):
    """Answers questions with the probability of its patience, else rejects them.

    The luck of a round is the same in all branches of a task, so that they differ by what the agent does alone. The
    first answer discloses the hidden fact of a made-up state.
    """

    name: ClassVar[str] = "offline_persona"
    shared: ClassVar[tuple[str, ...]] = ("persona",)

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Takes the persona, and what the user knows. Raises UsageError where the task has no state."""
        self.domain = state_of(task).domain
        self.persona = persona_of(task)
        self.hidden = str(task.data.get("hidden") or "")
        self.task_id = task.id
        self.seed = int(options.get("seed") or 0)
        self.interactions = bool(getattr(env.config, "interactions", True))
        self.multi_turn = bool(getattr(env.config, "multi_turn", False))
        self.rounds = 0
        self.disclosed = False
        self.messages_internal = [{"role": "system", "content": user_prompt(task.data, self.persona)}]

    def hear(self, messages: Sequence[Message]) -> list[Message]:
        """Returns the agent's messages as `user`; the prompt already has the request."""
        return flip_roles([message for message in messages if message.get("role") == "assistant"])

    async def step(self, agent: Any, *, model: TurnModel, env: Any = None, **_: Any) -> tuple[Any, bool]:
        """Reacts to the agent's message. The conversation is over after its last turn; see `reactions.closes`.

        Raises:
            UsageError: the world has no state.
            TurnError: the user's model gave several empty replies in a row.
        """
        if not isinstance(env, StateWorld):
            raise UsageError(f"user {self.name} needs a world with a state; give --env proactive")
        before, action = env.state, env.action
        message = text_of(agent.messages[-1])
        luck = luck_of(self.seed, self.task_id, self.rounds)
        kind = kind_of(message, action, self.domain, self.persona, luck)
        words = await self.answer(model) if kind == ANSWERED else fixed_words(kind, self.domain)
        meta = meta_of(kind, self.persona, off_topic=is_off_topic(message, before.query, self.domain))
        self.rounds += 1
        self.disclosed = self.disclosed or kind == ANSWERED
        env.react(words, meta, message)
        agent.add_message({"role": "user", "content": words})
        return agent, self.interactions and closes(before, action, multi_turn=self.multi_turn)

    async def answer(self, model: TurnModel) -> str:
        """Returns the answer to a question."""
        return offline_answer(self.hidden, self.disclosed, self.persona, Random(model.draw()))


class PersonaUser(OfflinePersona):
    """The same user, whose answers a chat model writes."""

    needs_model: ClassVar[bool] = True
    name = "persona"

    async def answer(self, model: TurnModel) -> str:
        """Returns the answer of the user's model, which knows the request, the persona and the hidden fact."""
        return await ask_until_words(model, self.messages_internal, "persona")
