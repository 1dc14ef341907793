"""What josh ships passes the tests that josh ships for plug-ins."""

import asyncio

import pytest

from josh.agents.chat import Persuader
from josh.agents.persuasion.offline import OfflinePersuader
from josh.agents.persuasion.scripts import ScriptPersuader
from josh.envs.persuasion.env import PersuasionEnv
from josh.rewards.donation import DonationRewards
from josh.roles import BaseJOSHAgent, BaseJOSHUser, BaseRewards, Reply
from josh.testing import (
    AgentConformance,
    EnvConformance,
    FixedModel,
    RewardsConformance,
    ScriptedAgent,
    ScriptedModel,
    ScriptedUser,
    UserConformance,
)
from josh.users.persuasion.donor import Donor
from josh.users.persuasion.persuadee import Persuadee

ENV = PersuasionEnv({"seed": 1})
TASK = ENV.tasks("train")[0]


def started(role):
    role.start(TASK, ENV, {"seed": 1})
    return role


class TestBaseAgent(AgentConformance):
    def make(self):
        return BaseJOSHAgent()


class TestPersuader(AgentConformance):
    def make(self):
        return started(Persuader())


class TestOfflinePersuader(AgentConformance):
    def make(self):
        return started(OfflinePersuader())


class TestScriptPersuader(AgentConformance):
    def make(self):
        return started(ScriptPersuader())


class TestScriptedAgent(AgentConformance):
    def make(self):
        return ScriptedAgent(lambda messages, seed: (f"hello {seed}", ["greet"]))


class TestBaseUser(UserConformance):
    def make(self):
        return BaseJOSHUser()


class TestPersuadee(UserConformance):
    def make(self):
        return started(Persuadee())


class TestDonor(UserConformance):
    def make(self):
        return started(Donor())


class TestScriptedUser(UserConformance):
    def make(self):
        return ScriptedUser()


class TestBaseRewards(RewardsConformance):
    def make(self):
        return BaseRewards(["greet", "greet", "leave"])

    def winning(self):
        return ["greet"]


class TestDonationRewards(RewardsConformance):
    def make(self):
        return started(DonationRewards(["donation"]))

    def winning(self):
        return ["All right. [GIVE $0.75]"]


class TestPersuasionEnv(EnvConformance):
    def make(self):
        return ENV


class Sticky(BaseJOSHAgent):
    """Breaks the contract: all forks share one list."""

    def fork(self):
        return self


def test_a_broken_agent_does_not_conform():
    class Conformance(AgentConformance):
        def make(self):
            return Sticky()

    with pytest.raises(AssertionError):
        Conformance().test_a_fork_goes_its_own_way_and_shares_the_messages()


def test_a_scripted_model_repeats_its_lines_and_notes_its_requests():
    line = FixedModel(["one", "two"], temperature=0.5, seed=7)

    async def talk():
        return [(await line.reply([{"role": "user", "content": "hi"}], stop="x")).text for _ in range(3)]

    assert asyncio.run(talk()) == ["one", "two", "one"]
    assert [request.seed for request in line.model.requests] == [7, 8, 9]
    assert line.model.requests[0].options == {"stop": "x"}
    assert ScriptedModel(lambda messages, seed: str(seed)).name == "scripted"


def test_a_scripted_model_can_call_tools():
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    line = FixedModel(["Wait.", Reply("", (call,))])
    replies = [asyncio.run(line.reply([])) for _ in range(2)]
    assert [reply.tool_calls for reply in replies] == [(), (call,)]
