"""Dialogues from which a tiny model learns to persuade, badly.

They hold two of the offline persuader's phrases for each act, acts drawn uniformly, answered by the offline donor:
fluent and mediocre, so that a search has something to find. Two phrases, because a model has to learn of each by itself
what it is worth: with all of them (five or six) it takes three times the searching to learn the same.
"""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from josh.agents.persuasion import offline
from josh.agents.persuasion.offline import UniformPersuader
from josh.envs.persuasion import acts, env, personas
from josh.envs.persuasion.env import PersuasionEnv
from josh.messages import OPENER, Message
from josh.runs.train.tiny import TinyDialogues
from josh.seeds import derive
from josh.users.persuasion import donor, donor_phrases
from josh.users.persuasion.donor import Donor


class TwoPhrasePersuader(UniformPersuader):
    """The persuader of the dialogues."""

    variety = 2


def dialogues(count: int, seed: int) -> Iterator[list[Message]]:
    """Conversations of a persuader who draws its acts uniformly, as its model sees them, without a system prompt.

    No run meets the people in them, whatever its seed.
    """
    people = derive("tiny", seed)
    world = PersuasionEnv({"synthetic_tasks": count, "seed": people})
    for task in world.tasks("train"):
        agent, user = TwoPhrasePersuader(), Donor()
        user.start(task, world, {"seed": people})
        dice = _Dice(derive(people, task.id))
        over = False
        while not over and len(agent.messages) < 2 * world.max_rounds:
            agent.step(model=dice)
            _, over = user.step(agent, model=dice)
        yield [{"role": "user", "content": OPENER}, *agent.messages]


DIALOGUES = TinyDialogues(dialogues, (offline, donor, donor_phrases, acts, personas, env))


class _Dice:
    """What offline speakers ask of a chat model: a temperature, and seeds."""

    temperature = 1.0

    def __init__(self, seed: int) -> None:
        self._rng = Random(seed)

    def draw(self) -> int:
        return self._rng.randrange(1, 2**31)

    def shared_draw(self) -> int:
        return self.draw()

    async def reply(self, messages: Sequence[Message], **options: Any) -> Any:
        raise NotImplementedError("offline speakers have words of their own")
