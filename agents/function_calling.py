"""An agent that calls tools in the chat-completions format, as chat models with function calling do."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from josh.agents.prompted import PromptedAgent
from josh.messages import Message, dumps, without_thoughts
from josh.roles import BaseEnv, Task, TurnModel
from josh.tools import read_arguments, sendable, use


class FunctionCalling(PromptedAgent):
    """Calls the tools that its model asks for, in order. When the model calls none, says what the model says.

    Text that the model writes beside a call goes into `messages_internal` only. Every call gets an answer; the answer
    to a call that makes no sense says what is wrong with it.
    """

    shared = ("tools",)

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Takes the system prompt and the tools, and adds the opener where the agent speaks first."""
        super().start(task, env, options)
        self.tools = list(env.tools(task))

    async def step(self, *, model: TurnModel, env: Any = None, **_: Any) -> bool:
        """Sends one request, then speaks or calls tools.

        Returns:
            True after speech, which ends the turn. False after tool calls, or when the model said nothing.
        """
        options = {"tools": self.tools} if self.tools else {}
        reply = await model.reply(_readable(self.messages_internal), **options)
        text = without_thoughts(reply.text)
        if not reply.tool_calls:
            if text:
                self.add_message({"role": "assistant", "content": text})
            return bool(text)
        calls = list(_whole(reply.tool_calls, self.messages_internal))
        self.messages_internal.append({"role": "assistant", "content": text, "tool_calls": calls})
        self.recent_actions = []
        for call in calls:
            used = await use(env, call["function"]["name"], call["function"]["arguments"])
            self.messages_internal.append({"role": "tool", "tool_call_id": call["id"], "content": used.text})
            self.recent_actions.append(used.action)
        return False


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


def _readable(messages: Sequence[Message]) -> list[Message]:
    """Returns the messages as they are sent.

    Servers parse the arguments of earlier calls, and fail where these are not a JSON object; such arguments are empty.
    """
    return [_with_readable_calls(message) if message.get("tool_calls") else message for message in messages]


def _with_readable_calls(message: Message) -> Message:
    calls = message["tool_calls"]
    if all(_is_readable(call) for call in calls):
        return message
    emptied = [
        call if _is_readable(call) else {**call, "function": {**call["function"], "arguments": "{}"}} for call in calls
    ]
    return {**message, "tool_calls": emptied}


def _is_readable(call: Mapping[str, Any]) -> bool:
    try:
        read_arguments(call["function"]["arguments"])
    except ValueError:
        return False
    return True
