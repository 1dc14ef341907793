"""Dialogues from which a tiny model learns to plan in sections: the offline planner's, with its person."""

import asyncio
from collections.abc import Iterator

from josh.agents.ptom import offline, planner
from josh.agents.ptom.offline import OfflinePlanner
from josh.envs.ptom import env, hearing, made_up, rule, scenarios, sections
from josh.envs.ptom.env import PtomEnv
from josh.messages import OPENER, Message
from josh.roles import Task
from josh.runs.systems.tiny_persuader import Dice
from josh.runs.train.tiny import TinyDialogues
from josh.seeds import derive
from josh.users.ptom import person
from josh.users.ptom.person import PtomOffline


def dialogues(count: int, seed: int) -> Iterator[list[Message]]:
    """Yields conversations of the offline planner, without a system prompt, as its model sees them.

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
    agent, user, branch = OfflinePlanner(), PtomOffline(), world.world(task)
    agent.start(task, world, {"seed": 0})
    user.start(task, world, {"seed": 0})
    over = False
    while not over and len(agent.messages) < 2 * world.max_rounds:
        await agent.step(model=dice, env=branch)
        _, over = await user.step(agent, model=dice, env=branch)
    own = iter(message for message in agent.messages_internal if message["role"] == "assistant")
    heard = [next(own) if message["role"] == "assistant" else message for message in agent.messages]
    return [{"role": "user", "content": OPENER}, *heard]


DIALOGUES = TinyDialogues(
    dialogues, (offline, planner, person, env, hearing, made_up, rule, scenarios, sections), times=2
)
