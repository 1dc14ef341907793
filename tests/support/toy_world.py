"""A world of random turns, to be named on the command line: `--env toy_world:World`.

Its agent meets goals, repeats itself, takes several steps, gives up and fails; its user donates, stays or leaves.
"""

from collections.abc import Mapping
from random import Random

from josh import BaseEnv, BaseJOSHAgent, BaseJOSHUser, BaseRewards, Outcome, Pair
from josh.roles import Task


class Doer(BaseJOSHAgent):
    def step(self, *, model):
        draw = Random(model.draw())
        word = draw.choice(["well", "so", "now"])
        chance = draw.random()
        if chance < 0.03:
            raise ConnectionError("the line is dead")
        if chance < 0.06:
            return None
        if chance < 0.3:
            self.messages_internal.append({"role": "assistant", "content": f"({word})"})
            self.recent_actions = draw.sample(["a", "b", "c"], 1)
            return False
        self.add_message({"role": "assistant", "content": word})
        self.recent_actions = draw.sample(["a", "b", "c", "d"], 1) if chance > 0.8 else []
        return True


class Talker(BaseJOSHUser):
    def step(self, agent, *, model):
        draw = Random(model.draw())
        chance = draw.random()
        words = draw.choice(["hm", "yes"])
        if chance < 0.15:
            words = f"{words} [DONATE ${draw.choice([0, 0.5, 1, 1.5, 2])}]"
        agent.add_message({"role": "user", "content": words})
        return agent, chance < 0.1 or chance > 0.95


class World(BaseEnv):
    agents: Mapping[str, str] = {"offline": "toy_world:Doer"}
    users: Mapping[str, str] = {"offline": "toy_world:Talker"}
    max_rounds = 5
    rewards = "goals"

    def tasks(self, split):
        return [Task(f"task {index}", index, {"index": index}) for index in range(12)]

    def goals(self, task):
        return ["a", "b", "b"][: 1 + task.index % 3]

    def metrics(self, task, messages):
        return {"words": float(len(messages))}


class OneGoal(World):
    def goals(self, task):
        return ["a"]


class PairDoer(Doer):
    def step(self, *, model):
        passed = super().step(model=model)
        self.recent_actions = [(action, 1) for action in self.recent_actions]
        return passed


class Pairs(World):
    agents: Mapping[str, str] = {"offline": "toy_world:PairDoer"}

    def goals(self, task):
        return [("a", 1), ("b", 1)]


class Nothing(BaseRewards):
    """Pays for nothing, so that everything is played to its end."""

    def is_reward(self, agent_actions):
        return False, []


class Counting(BaseRewards):
    """Facts after each turn, an ending by them, and pairs of the user's turns after one node."""

    def facts(self, task, conversation):
        turns = conversation.turns[1:]
        before = turns[-2].facts["letters"] if len(turns) > 1 else 0
        return {"letters": before + len(turns[-1].messages[-1]["content"])}

    def ended(self, facts):
        return Outcome.LOST if facts["letters"] % 3 == 0 else None

    def pairs(self, task, tree):
        for index, node in enumerate(tree.nodes[1:-1], 1):
            if tree.nodes[index + 1].parent == node.parent:
                yield Pair(index, index + 1, "longer" if node.turn.facts["letters"] % 2 else "", (1.0, 2.0), "counted")


class Broken(BaseRewards):
    def path_reward(self, goals, hits):
        raise ZeroDivisionError("no such sum")


class Caller(BaseJOSHAgent):
    """Looks things up before it speaks, now and then; ids of calls differ from branch to branch, as servers have it."""

    tools = ({"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}},)

    def step(self, *, model):
        draw = Random(model.draw())
        if draw.random() < 0.4:
            name = f"call-{draw.randrange(10**6)}"
            function = {"name": "look", "arguments": f'{{"at": "{draw.choice(["this", "that"])}"}}'}
            call = {"id": name, "type": "function", "function": function}
            self.messages_internal += [
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": name, "content": draw.choice(["red", "blue"])},
            ]
            return False
        self.add_message({"role": "assistant", "content": draw.choice(["well", "so", "now"])})
        self.recent_actions = draw.sample(["a", "b", "c", "d"], 1) if draw.random() > 0.7 else []
        return True


class Tools(World):
    agents: Mapping[str, str] = {"offline": "toy_world:Caller"}

    def agent_prompt(self, task):
        return f"You sell things, the {task.index}th time."
