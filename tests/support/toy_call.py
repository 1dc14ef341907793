"""A world of two models that talk on the phone, to be named on the command line: `--env toy_call:Call`."""

from collections.abc import Mapping

from josh import BaseEnv, BaseJOSHAgent, BaseJOSHUser
from josh.roles import Task


class Caller(BaseJOSHAgent):
    async def step(self, *, model):
        reply = await model.reply([{"role": "system", "content": "Sell."}, *self.messages])
        self.add_message(reply.message)
        self.recent_actions = [word for word in ("deal",) if word in reply.text]
        return True


class Called(BaseJOSHUser):
    async def step(self, agent, *, model):
        reply = await model.reply([{"role": "system", "content": "Buy."}, *agent.messages])
        agent.add_message({"role": "user", "content": reply.text})
        return agent, "bye" in reply.text


class Call(BaseEnv):
    agents: Mapping[str, str] = {"chat": "toy_call:Caller"}
    users: Mapping[str, str] = {"chat": "toy_call:Called"}
    max_rounds = 4
    rewards = "goals"

    def tasks(self, split):
        return [Task(f"call {index}", index, {"number": index}) for index in range(4)]

    def goals(self, task):
        return ["deal", "deal"]
