"""A plug-in that holds up a run is named, with the way out."""

import asyncio
import time

import pytest

from josh import BaseEnv, BaseJOSHAgent, BaseJOSHUser, BaseRewards, Task
from josh.episode import play
from josh.runs.play.watchdog import watched
from josh.strategies.rollouts import Rollouts
from josh.tools import use

TASK, ONE = Task("t1", 0, {}), Rollouts(Rollouts.Config())


class Talker(BaseJOSHAgent):
    async def step(self, **_):
        self.add_message({"role": "assistant", "content": "hello"})
        return True


class Sleeper(Talker):
    async def step(self, **given):
        nap()
        return await super().step(**given)


class Caller(Talker):
    async def step(self, *, env, **given):
        await use(env, "look", {})
        return await super().step(**given)


class Waiter(Talker):
    async def step(self, **given):
        await asyncio.sleep(1.0)
        return await super().step(**given)


class Threaded(Talker):
    blocking = True

    def step(self, **_):
        time.sleep(1.0)
        self.add_message({"role": "assistant", "content": "hello"})
        return True


class Quiet(BaseJOSHUser):
    def step(self, agent, **_):
        agent.add_message({"role": "user", "content": "bye"})
        return agent, True


class Slow(BaseRewards):
    def score(self, task, conversation):
        nap()
        return {"points": 1.0}


class Desk:
    def call(self, name, arguments):
        nap()
        return "nothing"


class Plain(BaseEnv):
    max_rounds = 1

    def goals(self, task):
        return ["a sale"]


class WithDesk(Plain):
    def world(self, task):
        return Desk()


def nap():
    time.sleep(1.0)


def warnings(caplog, **cast):
    async def played():
        with watched(0.3):
            return await play(TASK, **{"env": Plain({}), "agent": Talker, "user": Quiet, "strategy": ONE, **cast})

    assert asyncio.run(played()).scored
    return [record.getMessage() for record in caplog.records]


HELD = "has held up the whole run for 0.3 seconds, and --task_timeout cannot end it; wait with `await`"
STOP = "(Ctrl-C twice ends the run)"


@pytest.mark.parametrize(
    ("cast", "line"),
    [
        (
            {"agent": Sleeper},
            f"task t1: agent at the root, turn 1: Sleeper.step() {HELD}, "
            f"or in a plain `def step` of a class with `blocking = True` {STOP}",
        ),
        ({"agent": Caller, "env": WithDesk({})}, f"task t1: agent at the root, turn 1: Desk.call() {HELD} {STOP}"),
        ({"rewards": Slow}, f"task t1: Slow.score() {HELD} {STOP}"),
    ],
)
def test_a_method_that_holds_up_the_run_is_named_once(cast, line, caplog):
    assert warnings(caplog, **cast) == [line]


@pytest.mark.parametrize("agent", [Waiter, Threaded])
def test_a_plug_in_that_waits_as_it_should_is_not_named(agent, caplog):
    assert warnings(caplog, agent=agent) == []
