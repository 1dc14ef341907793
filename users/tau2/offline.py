"""A user for τ²-bench without a model: it says what the scenario says, agrees, and does the user's golden actions."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from josh.dialogue import Speaker
from josh.envs.tau2.words import AGREED, ANYTHING_ELSE, STOP, TRANSFER
from josh.messages import dumps, text_of
from josh.roles import BaseEnv, BaseJOSHUser, Task
from josh.tools import use

AGREES: Final = "Yes, please."
PATIENCE: Final = 20
"""How often the user agrees before it leaves."""


class Tau2Offline(BaseJOSHUser):
    """Says why it calls and what it knows, once; then it agrees to everything.

    In domains with tools of the user it does its next golden action whenever it answers the agent, from its second
    turn on, and says what came of it; it does nothing where the agent asks for its agreement. It leaves when the agent
    asks whether there is anything else, or transfers it.
    """

    shared: ClassVar[tuple[str, ...]] = ("tools", "_actions")

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Reads the scenario and the user's golden actions."""
        super().start(task, env, options)
        self.tools = list(env.user_tools(task)) if hasattr(env, "user_tools") else []
        scenario = task.data["task"]["user_scenario"]["instructions"]
        keys = ("reason_for_call", "known_info")
        self._reason = (
            scenario if isinstance(scenario, str) else " ".join(scenario[key] for key in keys if scenario.get(key))
        )
        criteria = task.data["task"].get("evaluation_criteria") or {}
        self._actions: Sequence[Mapping[str, Any]] = [
            action for action in criteria.get("actions") or () if action.get("requestor") == "user"
        ]
        self._at = self._agreed = 0
        self._spoke = False

    async def step(self, agent: Any, *, env: Any = None, **_: Any) -> tuple[Any, bool]:
        """Answers once. The conversation is over when the answer is a marker."""
        heard = text_of(agent.messages[-1]) if agent.messages else ""
        text = await self._answer(heard, env)
        self.messages_internal.append({"role": "assistant", "content": text})
        agent.add_message({"role": "user", "content": text})
        return agent, text in (STOP, TRANSFER)

    async def _answer(self, heard: str, world: Any) -> str:
        if not self._spoke:
            self._spoke = True
            return self._reason
        if "transferred" in heard.lower():
            return TRANSFER
        if ANYTHING_ELSE.lower() in heard.lower() or "anything else" in heard.lower() or self._agreed >= PATIENCE:
            return STOP
        if self._at < len(self._actions) and AGREED not in heard:
            self._at += 1
            return await self._act(self._actions[self._at - 1], world)
        self._agreed += 1
        return AGREES

    async def _act(self, action: Mapping[str, Any], world: Any) -> str:
        used = await use(world, action["name"], action["arguments"], Speaker.USER)
        number = f"call{sum(message['role'] == 'tool' for message in self.messages_internal):05}"
        function = {"name": action["name"], "arguments": dumps(action["arguments"])}
        call = {"id": number, "type": "function", "function": function}
        self.messages_internal.append({"role": "assistant", "content": "", "tool_calls": [call]})
        self.messages_internal.append({"role": "tool", "tool_call_id": number, "content": used.text})
        return f"I did that: {used.text}"
