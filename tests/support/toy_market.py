"""A world with tools, to be named on the command line: `--env toy_market:Market`.

A customer wants an apple. Looking for it and buying it are the goals.
"""

from josh import BaseEnv, BaseJOSHUser, BaseRewards
from josh.dialogue import Speaker
from josh.roles import Task, ToolError

PROMPT = "You sell fruit."
TOOLS = tuple(
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"Have a {name}.",
            "parameters": {"type": "object", "properties": {"fruit": {"type": "string"}}, "required": []},
        },
    }
    for name in ("look", "buy")
)


class Shop:
    """What there is can be looked up and bought; every branch has a basket of its own."""

    def __init__(self, basket=()):
        self.basket = basket

    def fork(self):
        return type(self)(self.basket)

    def call(self, name, arguments):
        if name not in ("look", "buy"):
            raise ToolError(f"no tool named {name!r}; known: look, buy")
        fruit = arguments.get("fruit")
        left = 3 - self.basket.count(fruit) if fruit == "apple" else 0
        if name == "look":
            return {"fruit": fruit, "left": left}
        if not left:
            raise ToolError(f"there is no {fruit}")
        self.basket = (*self.basket, fruit)
        return {"bought": fruit}


class Customer(BaseJOSHUser):
    def step(self, agent, **_):
        said = sum(message["role"] == "user" for message in agent.messages)
        agent.add_message({"role": "user", "content": f"An apple, please ({said})." if said < 4 else "Goodbye."})
        return agent, said == 4


class Sold(BaseRewards):
    def is_reward(self, agent_actions):
        done = [action["name"] for action in agent_actions if "result" in action]
        met = [goal for goal in self.rewards if goal in done]
        return bool(met), met


class Market(BaseEnv):
    opens = Speaker.USER
    max_rounds = 5
    users = {"offline": "toy_market:Customer"}  # noqa: RUF012
    rewards = "toy_market:Sold"

    def tasks(self, split):
        return [Task(f"task {index}", index, {"index": index}) for index in range(12)]

    def goals(self, task):
        return ["look", "buy"]

    def agent_prompt(self, task):
        return PROMPT

    def tools(self, task):
        return TOOLS

    def world(self, task):
        return Shop()


class Knock(Market):
    opens = Speaker.AGENT


class Bare(Market):
    def tools(self, task):
        return ()
