"""A phone whose owner repairs it while an agent helps, to be named on the command line: `--env toy_phone:Phone`.

Both sides have a tool. The phone works once its owner has switched mobile data on, whatever the agent does.
"""

from collections.abc import Mapping
from random import Random

from josh import BaseEnv, BaseJOSHAgent, BaseJOSHUser, BaseRewards, Expand, Strategy
from josh.dialogue import Speaker
from josh.messages import dumps
from josh.roles import Task, ToolError
from josh.tools import use


def tool(name):
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}


TOOLS = {Speaker.AGENT: tool("read_signal"), Speaker.USER: tool("switch_data")}


class Handset:
    """What the tools act on."""

    def __init__(self):
        self.data = False
        self.callers = ()

    def call(self, name, arguments, caller):
        self.callers = (*self.callers, str(caller))
        if name != TOOLS[caller]["function"]["name"]:
            raise ToolError(f"the {caller} has no {name}")
        if caller is Speaker.AGENT:
            return {"bars": 3}
        self.data = bool(arguments.get("on"))
        return f"Mobile data is {'on' if self.data else 'off'}.\nRestart: not needed."

    def observe(self):
        return {"data": self.data, "calls": len(self.callers)}


class Helper(BaseJOSHAgent):
    """Reads the signal, and has a word."""

    async def step(self, *, model, env):
        used = await use(env, "read_signal", {})
        self.recent_actions = [used.action]
        self.add_message({"role": "assistant", "content": f"Switch it on. ({model.draw() % 1000}, {used.text})"})
        return True


class Owner(BaseJOSHUser):
    """Switches data on or off, or reaches for a tool of the agent's, and says what came of it."""

    tools = (TOOLS[Speaker.USER],)

    async def step(self, agent, *, model, env):
        chance = Random(model.draw()).random()
        name, on = ("read_signal" if chance < 0.2 else "switch_data"), chance > 0.6
        used = await use(env, name, {"on": on}, Speaker.USER)
        number = f"call{sum(message['role'] == 'tool' for message in self.messages_internal):05}"
        function = {"name": name, "arguments": dumps({"on": on})}
        call = {"id": number, "type": "function", "function": function}
        said = f"I tried. ({chance:.3f})"
        self.messages_internal += [
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": number, "content": used.text},
            {"role": "assistant", "content": said},
        ]
        agent.add_message({"role": "user", "content": said})
        return agent, False


class Works(BaseRewards):
    """The goal is a state of the phone."""

    def is_reward(self, agent_actions, *, observed=None):
        met = [goal for goal in self.rewards if observed is not None and observed["data"]]
        return bool(met), met


class OnlyWorks(BaseRewards):
    """Data decides; that the agent was thanked as well is a goal that may stay open."""

    def is_reward(self, agent_actions, *, observed=None):
        met = ["data"] if "data" in self.rewards and observed is not None and observed["data"] else []
        return bool(met), met

    def won(self, open_goals, hits):
        return "data" not in open_goals


class Phone(BaseEnv):
    agents: Mapping[str, str] = {"offline": "toy_phone:Helper"}
    users: Mapping[str, str] = {"offline": "toy_phone:Owner"}
    rewards = "toy_phone:Works"
    max_rounds = 3

    def tasks(self, split):
        return [Task(f"phone {index}", index, {}) for index in range(6)]

    def goals(self, task):
        return ["data"]

    def user_prompt(self, task):
        return f"Your phone, the {task.index}th, has no mobile data."

    def world(self, task):
        return Handset()


class Thanked(Phone):
    rewards = "toy_phone:OnlyWorks"

    def goals(self, task):
        return ["data", "thanks"]


class UserBranches(Strategy):
    """Two answers of the user to each turn of the agent's, as long as there is room for four."""

    def plan(self, tree):
        return tuple(
            Expand(
                leaf,
                tree.nodes[leaf].speaker.other,
                (None,) * (2 if tree.nodes[leaf].speaker is Speaker.AGENT and len(tree.frontier) < 4 else 1),
            )
            for leaf in tree.frontier
        )
