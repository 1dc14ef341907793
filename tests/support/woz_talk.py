"""ToolWOZ's assistant and user without a model, and what they do in tests."""

import asyncio

from p4g_figures import Dice

from josh.agents.toolwoz.offline import OfflineToolAgent
from josh.agents.toolwoz.reading import Reader
from josh.clock import TaskClock
from josh.envs.toolwoz.database import Database
from josh.envs.toolwoz.env import ToolwozEnv
from josh.envs.toolwoz.tools import tools_of
from josh.episode import play_search
from josh.roles import Task
from josh.runs.play.runtime import Runtime
from josh.runs.resolve import resolve
from josh.scoring import Scorer
from josh.tree import leaves
from josh.users.toolwoz.offline import OfflineGoal

ENV = ToolwozEnv({"synthetic_tasks": 60, "seed": 3})
TASKS = ENV.tasks("train")
HARD = next(task for task in TASKS if len(task.data["targets"]) == 5)
TABLE = {
    "info": {"food": "italian", "area": "north"},
    "fail_info": {"food": "korean", "area": "north"},
    "book": {"people": "3", "day": "sunday", "time": "18:15"},
    "fail_book": {"day": "friday"},
    "reqt": ["phone"],
}


class Desk:
    """An assistant that says what a test has it say."""

    def __init__(self):
        self.messages = []

    def add_message(self, message):
        self.messages.append(message)


def agent_of(task=HARD):
    agent = OfflineToolAgent()
    agent.start(task, ENV, {})
    return agent


def user_of(**goal):
    """A user with a goal, written as MultiWOZ has it."""
    user = OfflineGoal()
    user.start(Task("wished", 0, {"goal": goal, "message": ["You want what is listed."]}), ENV, {})
    return user


def answers(user, *said, seed=1):
    """What a user says to begin with and to each of an assistant's messages, and whether it then leaves."""
    desk, line = Desk(), Dice(seed)
    _, over = user.step(desk, model=line)
    for words in said:
        assert not over
        desk.add_message({"role": "assistant", "content": words})
        _, over = user.step(desk, model=line)
    return [message["content"] for message in desk.messages if message["role"] == "user"], over


def step(agent, world, line):
    async def waiting():
        done = agent.step(model=line, env=world)
        return done if isinstance(done, bool) else await done

    return asyncio.run(waiting())


def turn(agent, said, world, seed=1, temperature=0.0):
    """Have the assistant answer: the calls that it makes, as name and arguments, and its words."""
    agent.add_message({"role": "user", "content": said})
    calls, line = [], Dice(seed, temperature)
    while not step(agent, world, line):
        calls.extend((action["name"], action["arguments"]) for action in agent.recent_actions)
        agent.recent_actions = []
    return calls, agent.messages[-1]["content"]


def trees(**settings):
    """The finished tree of every task of a run."""
    runtime = Runtime(resolve({"env": "toolwoz", **settings}, {}))

    async def playing():
        searches = [runtime.search(task) for task in runtime.tasks]
        for search, task in zip(searches, runtime.tasks, strict=True):
            await play_search(search, task, runtime.env, clock=TaskClock(600.0), scorer=Scorer(task))
        return [search.tree for search in searches]

    return list(zip(runtime.tasks, asyncio.run(playing()), strict=True))


def success(played):
    return sum(not tree.nodes[tree.root or max(leaves(tree))].open for _, tree in played) / len(played)


def world_of(task):
    return ENV.world(task)


# What it understands

READER = Reader(tools_of(Database.small()))
