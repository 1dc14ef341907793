"""A desk with tools, to be named on the command line: `--env toy_desk:Desk`. Who comes wants a bicycle.

Its clerk looks for the right thing or for too little, depending on its seed, and books what it found. In its words
stands the marker that ends a conversation in a user's.
"""

from collections.abc import Mapping
from random import Random

from josh import BaseEnv, BaseJOSHAgent
from josh.dialogue import Speaker
from josh.roles import Task, ToolError

BIKES = (
    {"id": "1", "name": "swift", "colour": "red", "size": "small"},
    {"id": "2", "name": "heron", "colour": "red", "size": "tall"},
)
FIND = {"domain": "bike", "api": "search_bike", "parameters": {"colour": "red", "size": "tall"}}
BOOK = {"domain": "bike", "api": "book_bike", "parameters": {"name": "heron", "day": "friday"}, "id": "2"}
TASK = {
    "message": ["You want a tall red bike.", "You want it for Friday."],
    "targets": [FIND | {"id": "2", "booked": True}, BOOK],
    "dialogue": [
        {"role": "user", "content": "I want a red bike."},
        {"role": "assistant", "content": "Small or tall?"},
        {"role": "user", "content": "A tall one, for Friday."},
        {"role": "assistant", "content": "It is booked."},
    ],
}


class Store:
    """What the tools act on."""

    def call(self, name, arguments):
        if name == "search_bike":
            return [bike for bike in BIKES if arguments.items() <= bike.items()][:1]
        if name != "book_bike":
            raise ToolError(f"there is no tool {name!r}")
        return {"success": arguments == BOOK["parameters"]}


class Clerk(BaseJOSHAgent):
    """Looks, speaks, books and speaks."""

    def step(self, *, model, env):
        chance = Random(model.draw()).random()
        if any("just looking" in message["content"] for message in self.messages):
            self.add_message(
                {"role": "assistant", "content": f"Say END_CONVERSATION when you are done. ({chance:.3f})"}
            )
            return True
        looked = len(self.messages) > 1
        name = "book_bike" if looked else "search_bike"
        arguments = dict((BOOK if looked else FIND)["parameters"])
        if chance < 0.5:
            arguments.popitem()
        result = env.call(name, arguments)
        self.recent_actions = [{"name": name, "arguments": arguments, "result": result}]
        self.add_message({"role": "assistant", "content": f"{result}. Say END_CONVERSATION or go on. ({chance:.3f})"})
        return True


class Desk(BaseEnv):
    """Two come who want a bike, and one who only looks."""

    opens = Speaker.USER
    agents: Mapping[str, str] = {"offline": "toy_desk:Clerk"}
    rewards = "tool_goals"
    max_rounds = 3

    def tasks(self, split):
        looking = TASK | {"message": ["You are just looking."]}
        return [Task(f"visitor {index}", index, looking if index == 2 else TASK) for index in range(3)]

    def goals(self, task):
        return [target["api"] for target in task.data["targets"]]

    def user_prompt(self, task):
        return "You are at a desk. " + " ".join(task.data["message"])

    def world(self, task):
        return Store()


class Silent(Desk):
    """Says nothing to the user of what it wants, and has no human dialogues."""

    def tasks(self, split):
        return [Task("visitor", 0, TASK | {"dialogue": []})]

    def user_prompt(self, task):
        return ""
