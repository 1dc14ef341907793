"""An agent that exists already and runs elsewhere: `--agent http://...`, without Python."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from josh.agents.function_calling import FunctionCalling
from josh.config import setting
from josh.forking import default_fork
from josh.messages import Message, text_of
from josh.models.service import is_service
from josh.roles import BaseEnv, Reply, Task, TurnModel


class ServiceAgent(FunctionCalling):
    """Says what a service answers, and calls the world's tools that it asks for.

    Every branch has a session of its own, so that a service that keeps conversations never mixes two branches. A
    session's id follows from its place in the tree. A branch that is forked starts a new session; every request has the
    whole conversation, from which a service can continue.

    The session's id is in the field `session_id`, and the user's last words are in `message`. A service that speaks
    OpenAI's chat completions gets the id as `user` instead.
    """

    @dataclass(frozen=True)
    class Config:
        """The settings of this agent."""

        prompt: bool = setting(False, "send the world's system prompt to the service as well")
        replay: bool = setting(
            False, "send the user's earlier messages to a new session first, for a service that only keeps sessions"
        )
        session_field: str = setting("session_id", "field of a request with the session's id")
        message_field: str = setting("message", "field of a request with the user's last words")

    def prompt(self, task: Task, env: BaseEnv) -> str:
        """Returns the world's prompt where the setting asks for it; a service has its own."""
        return super().prompt(task, env) if self.config.prompt else ""

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Starts without a session; the first step chooses its id."""
        super().start(task, env, options)
        self.session = ""
        self.session_field, self.message_field = "user", ""
        if is_service(str(options.get("model"))):
            self.session_field, self.message_field = self.config.session_field, self.config.message_field

    def fork(self) -> "ServiceAgent":
        """Returns a copy without a session, which starts its own."""
        twin = default_fork(self)
        twin.session = ""
        return twin

    async def step(self, *, model: TurnModel, env: Any = None, **_: Any) -> bool:
        """Sends the conversation, then speaks or calls tools; see `FunctionCalling.step`."""
        begins = not self.session
        if begins:
            self.session = f"josh-{model.draw():08x}"
        inside = _InSession(model, self)
        if begins and self.config.replay:
            heard = [at for at, message in enumerate(self.messages_internal) if message["role"] == "user"]
            for at in heard[:-1]:
                await inside.reply(self.messages_internal[: at + 1])
        return await super().step(model=inside, env=env)


class _InSession:
    """The model of a turn, whose requests name the agent's session."""

    def __init__(self, model: TurnModel, agent: ServiceAgent) -> None:
        self._model = model
        self._agent = agent

    @property
    def temperature(self) -> float:
        return self._model.temperature

    def draw(self) -> int:
        return self._model.draw()

    def shared_draw(self) -> int:
        return self._model.shared_draw()

    async def reply(self, messages: Sequence[Message], **options: Any) -> Reply:
        agent = self._agent
        named = {agent.session_field: agent.session}
        if agent.message_field:
            last = next((each for each in reversed(messages) if each["role"] == "user"), None)
            named[agent.message_field] = text_of(last) if last else ""
        return await self._model.reply(messages, **options, **named)
