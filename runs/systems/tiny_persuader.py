"""Dialogues from which a tiny model learns to persuade, but not well.

The persuader draws its acts uniformly, and has two of the offline persuader's phrases for each act; the offline donor
answers. So the model becomes fluent and mediocre, and a search can find better turns. There are only two phrases per
act, because the model must learn the effect of each phrase separately: with all five or six, it needs three times as
much search to learn the same.
"""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from josh.agents.persuasion import offline
from josh.agents.persuasion.offline import UniformPersuader
from josh.envs.persuasion import acts, amounts, cues, english, env, personas, reading
from josh.envs.persuasion.env import PersuasionEnv
from josh.messages import OPENER, Message
from josh.runs.train.tiny import TinyDialogues
from josh.seeds import derive
from josh.users.persuasion import donor, donor_phrases, figures, person
from josh.users.persuasion.donor import Donor


class TwoPhrasePersuader(UniformPersuader):
    """The persuader of the dialogues, with two phrases for each act."""

    variety = 2


def dialogues(count: int, seed: int) -> Iterator[list[Message]]:
    """Yields conversations of a persuader that draws its acts uniformly, without a system prompt.

    Messages are as the agent's model sees them. The people occur in no run, because their seed is not a run's seed.

    Args:
        count: number of conversations.
        seed: their seed.
    """
    people = derive("tiny", seed)
    world = PersuasionEnv({"synthetic_tasks": count, "seed": people})
    for task in world.tasks("train"):
        agent, user = TwoPhrasePersuader(), Donor()
        user.start(task, world, {"seed": people})
        dice = Dice(derive(people, task.id))
        over = False
        while not over and len(agent.messages) < 2 * world.max_rounds:
            agent.step(model=dice)
            _, over = user.step(agent, model=dice)
        yield [{"role": "user", "content": OPENER}, *agent.messages]


_DONOR = (donor, person, figures, donor_phrases, reading, english, acts, cues, amounts)
DIALOGUES = TinyDialogues(dialogues, (offline, *_DONOR, personas, env))


class Dice:
    """The part of a model handle that offline speakers use: a temperature and seeds."""

    temperature = 1.0

    def __init__(self, seed: int) -> None:
        self._rng = Random(seed)

    def draw(self) -> int:
        """Returns a seed."""
        return self._rng.randrange(1, 2**31)

    def shared_draw(self) -> int:
        """Returns a seed."""
        return self.draw()

    async def reply(self, messages: Sequence[Message], **options: Any) -> Any:
        """Raises NotImplementedError."""
        raise NotImplementedError("offline speakers do not ask a model")
