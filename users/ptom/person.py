"""The person who chooses: by the rule of `josh.envs.ptom.rule`, or played by a chat model."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, ClassVar

from josh.envs.ptom.dialogue import GameWorld
from josh.envs.ptom.env import scenario_of
from josh.envs.ptom.prompts import person_prompt
from josh.envs.ptom.rule import answer, chance_to_accept
from josh.envs.ptom.verdict import ACCEPT, DECLINE, tag, verdict_in, without_verdicts
from josh.errors import UsageError
from josh.messages import Message, flip_roles, text_of
from josh.roles import BaseEnv, BaseJOSHUser, Task, TurnModel
from josh.users.asking import ask_until_words


class PtomHuman(BaseJOSHUser):
    """A chat model that hears the whole conversation and decides by a verdict of its own; see `verdict.py`."""

    needs_model: ClassVar[bool] = True
    name: ClassVar[str] = "ptom_human"
    shared: ClassVar[tuple[str, ...]] = ("scenario",)

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Takes the scenario, and what the person knows. Raises UsageError where the task has none."""
        self.scenario = scenario_of(task)
        self.messages_internal = [{"role": "system", "content": person_prompt(self.scenario)}]

    def hear(self, messages: Sequence[Message]) -> list[Message]:
        """Returns the messages with the two roles swapped, and verdicts in the persuader's words defused."""
        return flip_roles(messages, without_verdicts)

    async def step(self, agent: Any, *, model: TurnModel, env: Any = None, **_: Any) -> tuple[Any, bool]:
        """Answers once. The conversation is over with a verdict.

        Raises:
            UsageError: the world has no scenario.
            TurnError: the person's model gave several empty replies in a row.
        """
        if not isinstance(env, GameWorld):
            raise UsageError(f"user {self.name} needs a world with a scenario; give --env ptom")
        said, heard = (
            [text_of(one) for one in agent.messages if one["role"] == role] for role in ("assistant", "user")
        )
        env.hear(said[-1])
        words = await self.answer(said, heard, env, model)
        agent.add_message({"role": "user", "content": words})
        return agent, verdict_in(words) is not None

    async def answer(self, said: Sequence[str], heard: Sequence[str], world: GameWorld, model: TurnModel) -> str:
        """Returns the person's words.

        Args:
            said: the persuader's messages.
            heard: the person's own.
            world: knows what is recommended.
            model: the person's model.
        """
        return await ask_until_words(model, self.messages_internal, self.name)


class PtomOffline(PtomHuman):
    """Answers by fixed rules, and decides at the first recommendation."""

    needs_model: ClassVar[bool] = False
    name = "ptom_offline"

    async def answer(self, said: Sequence[str], heard: Sequence[str], world: GameWorld, model: TurnModel) -> str:
        """Returns what the person says about its preferences; its verdict where an option is recommended."""
        rng = Random(model.draw())
        if world.option is not None:
            accepts = rng.random() < chance_to_accept(self.scenario, said, world.option)
            return f"Good, I take it. {tag(ACCEPT)}" if accepts else f"No, that is not for me. {tag(DECLINE)}"
        return answer(self.scenario, said, heard) or rng.choice(_LISTENS)


_LISTENS = ("I see.", "Go on.", "All right.")
