"""The agent, played by a person at the terminal."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from josh.agents.prompted import PromptedAgent
from josh.dialogue import Outcome
from josh.messages import dumps
from josh.roles import BaseEnv, HumanInput, Task
from josh.terminal import Seat
from josh.tools import use

CALL = "/"
"""A line that calls a tool begins with this."""


class Human(PromptedAgent):
    """Says what a person types. The person sees what the agent's model would be shown.

    Where there are tools, `/search_hotel area=north stars=4` calls one. The call and its result are stored in the
    format of the agent with function calling. The turn goes on until the person says something.
    """

    shared = ("tools",)
    needs_model: ClassVar[bool] = False

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Takes the system prompt, as an agent with a model does. Raises UsageError where a person cannot play."""
        super().start(task, env, options)
        self.tools = list(env.tools(task))
        self.parameters = dict(map(_parameters, self.tools))
        brief = [env.agent_prompt(task)]
        if self.tools:
            brief.append("\nTools, to be called by a line such as the following, with the values filled in:")
            brief += [" ".join((CALL + name, *(f"{one}=" for one in known))) for name, known in self.parameters.items()]
        self.seat = Seat(task.id, "agent", env, "\n".join(brief))

    async def step(self, *, model: HumanInput, env: Any = None, **_: Any) -> bool | Outcome:
        """Says one message, after any number of calls.

        Returns:
            True, or `Outcome.TRUNCATED` where the person leaves.
        """
        done: list[Any] = []
        while True:
            text = await self.seat.hear(self.messages, model, self._check if self.tools else None)
            self.recent_actions = done
            if text is None:
                return Outcome.TRUNCATED
            if not (self.tools and text.startswith(CALL)):
                self.add_message({"role": "assistant", "content": text})
                done.append(text)
                return True
            done.append(await self._call(*self._read(text), env))

    async def _call(self, name: str, arguments: Mapping[str, str], world: Any) -> Mapping[str, Any]:
        """Calls a tool. Returns the action that the rewards read."""
        used = await use(world, name, arguments)
        number = f"call{sum(message['role'] == 'tool' for message in self.messages_internal):05}"
        call = {"id": number, "type": "function", "function": {"name": name, "arguments": dumps(arguments)}}
        self.messages_internal.append({"role": "assistant", "content": "", "tool_calls": [call]})
        self.messages_internal.append({"role": "tool", "tool_call_id": number, "content": used.text})
        self.seat.note(f"{name}: {used.text}")
        return used.action

    def _check(self, text: str) -> None:
        if text.startswith(CALL):
            self._read(text)

    def _read(self, text: str) -> tuple[str, dict[str, str]]:
        """Returns a tool's name and its arguments. Raises ValueError with a message for the person."""
        name, _, rest = text.removeprefix(CALL).partition(" ")
        if name not in self.parameters:
            raise ValueError(f"there is no tool {name!r}; known: {', '.join(self.parameters)}")
        known = self.parameters[name]
        # A value ends where the next parameter begins, so that no value needs quotes.
        before, *parts = re.split(r"(?:^|[\s,])(\w+)\s*=", rest)
        strange = before.strip() or next((one for one in parts[::2] if one not in known), "")
        if strange:
            form = " ".join(f"{one}=VALUE" for one in known)
            raise ValueError(f"what is {strange!r}? Write {CALL}{name} {form}")
        given = {one: value.strip().strip(',"').strip() for one, value in zip(parts[::2], parts[1::2], strict=True)}
        return name, {one: value for one, value in given.items() if value}


def _parameters(tool: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Returns a tool's name and the names of its parameters."""
    function = tool["function"]
    return function["name"], list(function.get("parameters", {}).get("properties", {}))
