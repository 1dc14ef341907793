"""The users of a debate: their contract, and that they answer as the agents of the same names do."""

import pytest

from josh.agents.debate.offline import Keeper as AgentKeeper
from josh.envs.debate.env import DebateEnv
from josh.errors import UsageError
from josh.roles import Task
from josh.testing import FixedModel, UserConformance
from josh.users.debate.debater import Debater
from josh.users.debate.offline import Doubter, Keeper, OfflineDebater, Oracle, Yielder

ENV = DebateEnv({"synthetic_tasks": 1})
OPEN = DebateEnv({"synthetic_tasks": 1, "env.both_first": False})
DATA = {"question": "Which colour?", "gold": ["red"], "choices": ["red", "blue", "green", "white"], "source": "test"}
TASK = Task("q", 0, {**DATA, "first": {"agent": "green", "user": "blue"}})


def started(kind, env=ENV):
    user = kind()
    user.start(TASK, env, {})
    return user


def partner():
    agent = AgentKeeper()
    agent.start(TASK, ENV, {})
    agent.step(model=FixedModel())
    return agent


class Conformance(UserConformance):
    kind = Keeper

    def make(self):
        return started(self.kind)

    def line(self):
        return FixedModel(["Final answer: red."])

    def agent(self):
        return partner()


class TestDebater(Conformance):
    kind = Debater


class TestOfflineDebater(Conformance):
    kind = OfflineDebater


class TestKeeper(Conformance):
    kind = Keeper


class TestYielder(Conformance):
    kind = Yielder


class TestOracle(Conformance):
    kind = Oracle


class TestDoubter(Conformance):
    kind = Doubter


@pytest.mark.parametrize(
    ("kind", "env", "said"),
    [
        (Keeper, ENV, ["blue", "blue"]),
        (Yielder, ENV, ["blue", "green"]),
        (Yielder, OPEN, ["green", "green"]),
        (Oracle, ENV, ["red", "red"]),
        (Doubter, ENV, ["blue", "white"]),
    ],
)
def test_a_scripted_user_answers_by_its_script(kind, env, said):
    agent, user = partner(), started(kind, env)
    answers = []
    for _ in said:
        user.step(agent, model=FixedModel())
        answers.append(agent.messages[-1]["content"].rpartition("Final answer: ")[2].rstrip("."))
        agent.step(model=FixedModel())
    assert answers == said


def test_a_user_needs_a_question():
    with pytest.raises(UsageError, match="user keeper needs tasks with a question"):
        Keeper().start(Task("p", 0, {"persuadee": {}}), ENV, {})
