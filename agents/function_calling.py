"""An agent that calls tools in the chat-completions format, as chat models with function calling do."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from josh.agents.prompted import PromptedAgent
from josh.messages import Message, dumps
from josh.reading import HOW_TO_SERVE, Reading, read_text
from josh.roles import BaseEnv, Task, TurnModel
from josh.tools import call_in_text, read_arguments, sendable, use

log = logging.getLogger("josh")

AS_TEXT: Final = "the call is written into the text and was not made; call tools by the function-calling interface"
"""Why a call was not made, for the model that wrote it as text."""


class FunctionCalling(PromptedAgent):
    """Calls the tools that its model asks for, in order. When the model calls none, says what the model says.

    Text that the model writes beside a call goes into `messages_internal` only. Every call gets an answer; the answer
    to a call that makes no sense says what is wrong with it. A call that the server left in the text is one of these:
    it is neither made nor said, and once the model has done better it is forgotten, so that nobody learns it.

    Attributes:
        pending: calls that the server left in the text, and their answers, until the model does better; they are sent
            after `messages_internal`.
    """

    shared = ("tools", "unread", "pending")
    pending: tuple[Message, ...] = ()

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Takes the system prompt and the tools, and adds the opener where the agent speaks first."""
        super().start(task, env, options)
        self.tools = list(env.tools(task))

    async def step(self, *, model: TurnModel, env: Any = None, **_: Any) -> bool:
        """Sends one request, then speaks or calls tools.

        Returns:
            True after speech, which ends the turn. False after tool calls, or when the model said nothing.

        Raises:
            AgentError: nothing could be read several times in a row; see `PromptedAgent.count_unread`.
        """
        options = {"tools": self.tools} if self.tools else {}
        reply = await model.reply([*self.messages_internal, *self.pending], **options)
        said = read_text(reply.text, [str(tool.get("function", tool).get("name")) for tool in self.tools])
        if reply.tool_calls:
            await self._call(reply.tool_calls, said.speech, model, env)
            return False
        if said.calls and self.tools:
            self._answer_text_call(said, model)
            return False
        if not said.speech:
            self.count_unread(reply.text, model, "only called tools, and has none" if said.calls else "said nothing")
            return False
        self._forget()
        self.add_message({"role": "assistant", "content": said.speech})
        return True

    async def _call(self, asked: Sequence[Mapping[str, Any]], text: str, model: TurnModel, env: Any) -> None:
        """Calls the tools, and adds their answers."""
        calls = list(_whole(asked, self.messages_internal))
        self.messages_internal.append({"role": "assistant", "content": text, "tool_calls": calls})
        self.recent_actions = []
        for call in calls:
            used = await use(env, call["function"]["name"], call["function"]["arguments"])
            self.messages_internal.append({"role": "tool", "tool_call_id": call["id"], "content": used.text})
            self.recent_actions.append(used.action)
        if any(map(_is_readable, calls)):
            self._forget()
        else:
            written = dumps([call["function"] for call in calls])
            self.count_unread(written, model, "called tools with arguments that cannot be read")

    def _answer_text_call(self, said: Reading, model: TurnModel) -> None:
        """Answers a call that the server left in the text, as one that cannot be read."""
        way_out = HOW_TO_SERVE.format(parser=said.parser)
        if not any(message.get("role") == "assistant" for message in self.messages_internal):
            log.warning("the first reply holds a tool call as text; %s", way_out, extra={"once": True})
        written = "\n".join(filter(None, (said.speech, *said.calls)))
        answer = {"role": "user", "content": f"Error: {AS_TEXT}"}
        self.pending = (*self.pending, {"role": "assistant", "content": written}, answer)
        self.recent_actions = [call_in_text(written)]
        self.count_unread(written, model, "wrote its calls as text", way_out)

    def _forget(self) -> None:
        """Forgets the completions that could not be read."""
        self.unread = self.pending = ()


def _whole(calls: Sequence[Mapping[str, Any]], before: Sequence[Message]) -> Iterator[dict[str, Any]]:
    """Yields the tool calls with every field that the format needs.

    An id that is missing or already used is replaced by the number of the call in the conversation, written as nine
    letters and digits, because Mistral's templates accept nothing else. Arguments stay as the model wrote them.
    """
    taken = {call["id"] for message in before for call in message.get("tool_calls") or ()}
    for number, call in enumerate(calls, len(taken)):
        function = call.get("function") or {}
        given = function.get("arguments")
        arguments = (given if given.strip() else "{}") if isinstance(given, str) else dumps(given or {})
        name = call.get("id")
        if not isinstance(name, str) or not name or name in taken:
            name = _free(number, taken)
        taken.add(name)
        function = {**function, "name": sendable(str(function.get("name") or "")), "arguments": sendable(arguments)}
        yield {**call, "id": name, "type": "function", "function": function}


def _free(number: int, taken: set[str]) -> str:
    while (name := f"call{number:05}") in taken:
        number += 1
    return name


def _is_readable(call: Mapping[str, Any]) -> bool:
    try:
        read_arguments(call["function"]["arguments"])
    except ValueError:
        return False
    return True
