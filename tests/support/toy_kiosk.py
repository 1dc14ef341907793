"""A kiosk that sells kites, with two tools, to be named by `env="toy_kiosk:Kiosk"`. Each child wants one colour."""

from collections.abc import Mapping
from random import Random

from josh import BaseEnv, BaseJOSHUser
from josh.dialogue import Speaker
from josh.roles import Task, ToolError

COLOURS = ("red", "blue", "green")


def tool(name, description, required=(), **properties):
    parameters = {"type": "object", "properties": properties, "required": list(required)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


LOOK = tool("look", "Look at the kites.", colour={"type": "string", "enum": list(COLOURS), "description": "its colour"})
SELL = tool(
    "sell",
    "Sell kites.",
    ["colour"],
    colour={"type": "string", "description": "their colour"},
    number={"type": "integer", "description": "how many"},
)


class Shelf:
    """The state of the kiosk in one branch."""

    def __init__(self):
        self.sold = []

    def call(self, name, arguments):
        if name not in {"look", "sell"}:
            raise ToolError(f"there is no tool {name!r}")
        if arguments.get("colour") not in COLOURS:
            raise ToolError(f"there is no {arguments.get('colour')} kite")
        if name == "sell":
            self.sold.append(arguments["colour"])
        return f"a {arguments['colour']} kite"


class Child(BaseJOSHUser):
    """Asks for a kite in words that depend on the seed, and leaves when somebody says goodbye or `fall over`."""

    def start(self, task, env, options):
        super().start(task, env, options)
        self.colour = task.data["colour"]

    def step(self, agent, *, model, **_):
        said = agent.messages[-1]["content"] if agent.messages else ""
        if "fall over" in said:
            raise RuntimeError("the child cries")
        over = "goodbye" in said.lower()
        luck = Random(model.draw()).randrange(1000)
        agent.add_message({"role": "user", "content": "Bye!" if over else f"A {self.colour} one, please! ({luck})"})
        return agent, over


class Asking(BaseJOSHUser):
    """A child whose words a chat model writes."""

    needs_model = True

    async def step(self, agent, *, model, **_):
        said = [*self.messages_internal, {"role": "user", "content": "Hello!"}][:50]
        agent.add_message({"role": "user", "content": (await model.reply(said)).text})
        return agent, False


class Kiosk(BaseEnv):
    """Sells kites."""

    opens = Speaker.USER
    agents: Mapping[str, str] = {"chat": "function_calling", "local": "react"}
    users: Mapping[str, str] = {"offline": "toy_kiosk:Child", "chat": "toy_kiosk:Asking"}
    rewards = "call_goals"
    max_rounds = 4

    def tasks(self, split):
        return [Task(f"child {at}", at, {"colour": colour}) for at, colour in enumerate(COLOURS)]

    def goals(self, task):
        return [{"name": name, "arguments": {"colour": task.data["colour"]}} for name in ("look", "sell")]

    def agent_prompt(self, task):
        return "You sell kites."

    def tools(self, task):
        return (LOOK, SELL)

    def world(self, task):
        return Shelf()


class Odd(Kiosk):
    """Tools whose names mean something else to a trainer or to Python."""

    def tools(self, task):
        text = {"type": "string"}
        names = ("reset", "get_reward", "_hidden", "talk_to_user", "tool_reset", "buy-kite")
        return [tool(name, "", **{"from": text, "self": text}) for name in names]

    def world(self, task):
        return Repeats()


class Repeats:
    """Says how it was called."""

    def call(self, name, arguments):
        return f"{name} {dict(arguments)}"


class Changing(Kiosk):
    """Each task has another `look`."""

    def tools(self, task):
        return (tool("look", task.id),)
