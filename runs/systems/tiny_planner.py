"""Dialogues from which a tiny model learns to ask and to recommend, but not when.

A tiny model does not see the prompt, so it knows neither facts nor options. Its turns have two sections, the belief
about what it heard and the action: it asks openly, asks about a dimension, or recommends option A. The offline person
accepts more often where it was asked for a core value first, so there is something to learn.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from random import Random

from josh.agents.ptom import offline, planner
from josh.agents.ptom.offline import OPEN_QUESTION, UNKNOWN, OfflinePlanner, belief_of
from josh.envs.ptom import env, hearing, made_up, rule, scenarios, sections
from josh.envs.ptom.env import PtomEnv
from josh.envs.ptom.hearing import spoken
from josh.envs.ptom.made_up import FACTS
from josh.envs.ptom.sections import ACT, ASK, Planned
from josh.messages import OPENER, Message
from josh.roles import Task
from josh.runs.systems.tiny_persuader import Dice
from josh.runs.train.tiny import TinyDialogues
from josh.seeds import derive
from josh.users.ptom import person
from josh.users.ptom.person import PtomOffline

_ACTS = 0.5
"""How often it recommends."""


class TinyPlanner(OfflinePlanner):
    """Asks or recommends, at random."""

    def choose(
        self, said: Sequence[str], desires: Mapping[str, float], temperature: float, rng: Random
    ) -> tuple[str, str]:
        """Returns what is done, and the words; they need neither the facts nor the names of the options."""
        if rng.random() < _ACTS:
            return ACT, f"I recommend Option {self.scenario.goal}."
        openly = rng.random() < 0.5
        return ASK, OPEN_QUESTION if openly else f"How much does {spoken(rng.choice(list(FACTS)))} matter to you?"

    def planned(self, kind: str, words: str, said: Sequence[str], desires: Mapping[str, float]) -> Planned:
        """Returns the turn with the dimensions of which something was heard."""
        known = {name: value for name, value in desires.items() if value != UNKNOWN}
        return Planned(kind, words, belief_of(known) if known else None)


def dialogues(count: int, seed: int) -> Iterator[list[Message]]:
    """Yields conversations, without a system prompt, as the model sees them.

    The scenarios occur in no run, because their seed is not a run's seed.

    Args:
        count: number of conversations.
        seed: their seed.
    """
    people = derive("tiny", seed)
    world = PtomEnv({"synthetic_tasks": count, "seed": people})
    for task in world.tasks("train"):
        yield asyncio.run(_talk(task, world, Dice(derive(people, task.id))))


async def _talk(task: Task, world: PtomEnv, dice: Dice) -> list[Message]:
    agent, user, branch = TinyPlanner(), PtomOffline(), world.world(task)
    agent.start(task, world, {"seed": 0})
    user.start(task, world, {"seed": 0})
    over = False
    while not over and len(agent.messages) < 2 * world.max_rounds:
        await agent.step(model=dice, env=branch)
        _, over = await user.step(agent, model=dice, env=branch)
    own = iter(message for message in agent.messages_internal if message["role"] == "assistant")
    heard = [next(own) if message["role"] == "assistant" else message for message in agent.messages]
    return [{"role": "user", "content": OPENER}, *heard]


DIALOGUES = TinyDialogues(dialogues, (offline, planner, person, env, hearing, made_up, rule, scenarios, sections))
