"""An agent that calls a tool once more after its goal was met, and what another rewards class makes of it."""

from collections.abc import Mapping

from josh import BaseEnv, BaseJOSHAgent, BaseRewards
from josh.roles import Task

DONE = ("book", "", "find", "find", "find", "")


class Agent(BaseJOSHAgent):
    """Books before it says a word, then speaks; finds three times, then speaks."""

    at = 0

    def step(self, **_):
        name, self.at = DONE[self.at], self.at + 1
        if not name:
            self.add_message({"role": "assistant", "content": "There."})
            return True
        call = {"name": name, "arguments": '{"area": "north"}'}
        calls = [{"id": f"call-{self.at}", "type": "function", "function": call}]
        self.messages_internal.append({"role": "assistant", "content": None, "tool_calls": calls})
        self.messages_internal.append({"role": "tool", "tool_call_id": calls[0]["id"], "content": "done"})
        self.recent_actions = [name]
        return False


class World(BaseEnv):
    """One task with two goals, each the name of a tool."""

    agents: Mapping[str, str] = {"offline": "toy_twice:Agent"}
    users: Mapping[str, str] = {"offline": "josh:BaseJOSHUser"}
    max_rounds = 4

    def tasks(self, split):
        return [Task("one", 0, {})]

    def goals(self, task):
        return ["find", "book"]


class Odd(BaseRewards):
    """Three for coming, two for all that is to be earned."""

    def path_reward(self, goals, hits):
        return 3.0 + 2 * super().path_reward(goals, hits)
