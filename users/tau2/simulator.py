"""The user of τ²-bench, played by a chat model with the benchmark's own prompt and tools."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from josh.dialogue import Speaker
from josh.envs.tau2.env import Tau2Env
from josh.envs.tau2.words import ends
from josh.errors import TurnError, UsageError
from josh.messages import dumps
from josh.reading import read_text
from josh.roles import BaseEnv, BaseJOSHUser, Task, TurnModel
from josh.tools import sendable, use
from josh.users.asking import TRIES

MOST_CALLS: Final = 20
"""Most requests of one turn."""


class Tau2User(BaseJOSHUser):
    """Follows the benchmark's guidelines and the task's scenario, and ends the conversation by one of its markers.

    The conversation keeps the marker, as in the benchmark. Calls of the user's own tools and their results are in
    `messages_internal` alone: the agent does not see them.
    """

    needs_model: ClassVar[bool] = True
    shared: ClassVar[tuple[str, ...]] = ("tools",)

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Takes the prompt and the user's tools. Raises UsageError in another world."""
        if not isinstance(env, Tau2Env):
            raise UsageError(f"user tau2_user plays the tasks of env tau2 alone; env {type(env).__name__} has others")
        super().start(task, env, options)
        self.tools = list(env.user_tools(task))

    async def step(self, agent: Any, *, model: TurnModel, env: Any = None, **_: Any) -> tuple[Any, bool]:
        """Calls tools as long as the model asks for them, then speaks once.

        Raises:
            TurnError: the model gave `TRIES` empty replies in a row, or called tools `MOST_CALLS` times.
        """
        options = {"tools": self.tools} if self.tools else {}
        empty = 0
        for _request in range(MOST_CALLS):
            reply = await model.reply(self.messages_internal, **options)
            if reply.tool_calls and self.tools:
                await self._call(reply.text, reply.tool_calls, env)
                continue
            said = read_text(reply.text).speech
            if said:
                self.messages_internal.append({"role": "assistant", "content": said})
                agent.add_message({"role": "user", "content": said})
                return agent, ends(said)
            empty += 1
            if empty == TRIES:
                raise TurnError(f"the user's model gave {TRIES} empty replies in a row")
        raise TurnError(f"the user's model called tools {MOST_CALLS} times without a word")

    async def _call(self, text: str, asked: Sequence[Mapping[str, Any]], world: Any) -> None:
        taken = sum(message["role"] == "tool" for message in self.messages_internal)
        calls, answers = [], []
        for number, one in enumerate(asked, taken):
            function = one.get("function") or {}
            name, given = str(function.get("name") or ""), function.get("arguments")
            used = await use(world, name, given, Speaker.USER)
            call = f"call{number:05}"
            arguments = sendable(given) if isinstance(given, str) and given.strip() else dumps(given or {})
            calls.append({"id": call, "type": "function", "function": {"name": used.name, "arguments": arguments}})
            answers.append({"role": "tool", "tool_call_id": call, "content": used.text})
        self.messages_internal += [{"role": "assistant", "content": text, "tool_calls": calls}, *answers]
