"""From the chat messages of a file to the turns of a dialogue.

1. `plain_message` checks a message, and gives it josh's roles and fields.
2. `turns_of` makes turns of the messages: everything that one side says and does until the other side speaks.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from josh.dialogue import Speaker, Turn
from josh.errors import UsageError
from josh.messages import Message
from josh.tools import is_refusal, unreadable

ROLES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "customer", "client"), "user"),
    **dict.fromkeys(("assistant", "gpt", "bot", "chatbot", "model", "ai", "agent"), "assistant"),
    **dict.fromkeys(("tool", "function", "observation"), "tool"),
}
"""josh's role of each role that files use, in lower case."""
KINDS: Final = ("system", "user", "assistant", "tool")
_FIELDS: Final = frozenset(("role", "content", "name", "tool_calls", "tool_call_id"))
_NOT_TEXT: Final = "with messages that are not text"

Turns = list[tuple[Speaker, Turn]]


class PartlyUnreadableError(Exception):
    """A dialogue that is sound, but has no form in a tree; the text is the reason, as counts name it."""


def turns_of(messages: Any, place: str, roles: Mapping[str, str] = ROLES) -> tuple[Turn, Turns, int]:
    """Returns the turns of some chat messages.

    System messages before the first turn are the opening; later ones belong to the turn before. Neither side sees them
    in `messages`: only the agent's model is trained on them. A tool call and its result belong to the agent's turn.

    Args:
        messages: the messages, as the file has them.
        place: where they stand, for errors.
        roles: josh's role of each role in the file, in lower case.

    Returns:
        The opening, the turns, and the number of messages without a word, which are left out.

    Raises:
        UsageError: they are not chat messages; the text names the first fault.
        PartlyUnreadableError: a message has parts that are not text.
    """
    if not isinstance(messages, list):
        raise UsageError(f"{place}: its messages are {messages!r:.40}; give a list of objects with role and content")
    opening: list[Message] = []
    turns: Turns = []
    group: list[Message] = []
    side, empty = "", 0
    usual = roles is ROLES
    for number, raw in enumerate(messages, 1):
        if (
            usual
            and type(raw) is dict
            and len(raw) == 2
            and raw.get("role") in KINDS
            and type(raw.get("content")) is str
        ):
            message = raw
        else:
            message = plain_message(raw, f"{place} message {number}", roles)
        role = message["role"]
        if not message["content"] and role != "tool" and "tool_calls" not in message:
            empty += 1
            continue
        who = "user" if role == "user" else side if role == "system" else "assistant"
        if not who:
            opening.append(message)
        elif who == side:
            group.append(message)
        else:
            if group:
                turns.append(_turn(side, group))
            side, group = who, [message]
    if group:
        turns.append(_turn(side, group))
    return Turn(internal=tuple(opening)), turns, empty


def plain_message(raw: Any, place: str, roles: Mapping[str, str] = ROLES) -> Message:
    """Returns a message with josh's roles and fields.

    Raises:
        UsageError: it is not a chat message.
        PartlyUnreadableError: it has parts that are not text.
    """
    if type(raw) is not dict:
        raise UsageError(f"{place} is {raw!r:.40}; give an object with role and content")
    given, content = raw.get("role"), raw.get("content")
    role = roles.get(given.strip().lower()) if isinstance(given, str) else None
    if role is None:
        known = ", ".join(dict.fromkeys(roles))
        what = "no role" if given is None else f"role {given!r:.40}"
        raise UsageError(f"{place} has {what}; known: {known}; give --roles NAME=assistant,NAME=user for others")
    if isinstance(content, list):
        content = _text_of_parts(content, place)
    if not isinstance(content, str | None):
        raise UsageError(f"{place}: its content is {content!r:.40}; give a text")
    message = {name: value for name, value in raw.items() if name in _FIELDS and value is not None}
    message |= {"role": role, "content": content or ""}
    if raw.get("tool_calls") or raw.get("function_call"):
        message["tool_calls"] = _calls(raw, place)
    else:
        message.pop("tool_calls", None)
    return message


def _text_of_parts(parts: Sequence[Any], place: str) -> str:
    texts = []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif isinstance(part, dict) and isinstance(part.get("type"), str):
            raise PartlyUnreadableError(_NOT_TEXT)
        else:
            raise UsageError(f"{place}: a part of its content is {part!r:.40}; give texts, or objects with a text")
    return "".join(texts)


def _calls(raw: Mapping[str, Any], place: str) -> list[dict[str, Any]]:
    """Returns the tool calls of a message in the chat-completions format. Raises UsageError."""
    given = raw.get("tool_calls") or [{"function": raw.get("function_call")}]
    if not isinstance(given, list):
        raise UsageError(f"{place}: its tool_calls are {given!r:.40}; give a list")
    calls = []
    for number, call in enumerate(given):
        function = call.get("function", call) if isinstance(call, dict) else None
        if isinstance(function, str):  # inspect_ai has the name there, and the arguments beside it
            function = {"name": function, "arguments": call.get("arguments")}
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise UsageError(f"{place}: a tool call is {call!r:.60}; give an object whose function has a name")
        arguments = function.get("arguments")
        text = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False)
        name = call.get("id") if isinstance(call.get("id"), str) and call["id"] else f"call{number:05}"
        calls.append({"id": name, "type": "function", "function": {"name": function["name"], "arguments": text}})
    return calls


def _turn(side: str, group: Sequence[Message]) -> tuple[Speaker, Turn]:
    said = tuple(group)
    for message in said:
        if message["role"] != side or "tool_calls" in message:
            break
    else:
        if side == "user":
            return Speaker.USER, Turn(said, said)
        return Speaker.AGENT, Turn(said, said, tuple([(message["content"],) for message in said]))
    if side == "user":
        return Speaker.USER, Turn(tuple(message for message in said if message["role"] == "user"), said)
    seen = tuple(
        {"role": "assistant", "content": message["content"]}
        for message in group
        if message["role"] == "assistant" and message["content"] and not message.get("tool_calls")
    )
    return Speaker.AGENT, Turn(seen, tuple(group), _actions(group))


def _actions(group: Sequence[Message]) -> tuple[tuple[Any, ...], ...]:
    """Returns the actions of an agent's turn with tool calls: a step for each message of the agent."""
    steps: list[list[dict[str, Any]] | tuple[str]] = []
    open_calls: list[tuple[str, dict[str, Any]]] = []
    for message in group:
        if message["role"] == "tool":
            wanted = message.get("tool_call_id")
            action = next((one for name, one in open_calls if name == wanted), None)
            if action is None and open_calls:
                action = open_calls[0][1]
            if action is not None:
                open_calls = [each for each in open_calls if each[1] is not action]
                _answer(action, message["content"])
        elif message.get("tool_calls"):
            actions = [_action(call["function"]) for call in message["tool_calls"]]
            open_calls = [(call["id"], one) for call, one in zip(message["tool_calls"], actions, strict=True)]
            steps.append(actions)
        elif message["role"] == "assistant":
            steps.append((message["content"],))
    return tuple(map(tuple, steps))


def _action(function: Mapping[str, Any]) -> dict[str, Any]:
    try:
        arguments = json.loads(function["arguments"] or "{}")
    except (ValueError, RecursionError):
        return unreadable("the arguments are not JSON")
    return {"name": function["name"], "arguments": arguments}


def _answer(action: dict[str, Any], text: str) -> None:
    """Add a tool's answer to an action: as its result, or as its error where the tool refused the call."""
    if "error" in action:
        return
    if is_refusal(text):
        action["error"] = text
        return
    try:
        action["result"] = json.loads(text)
    except (ValueError, RecursionError):
        action["result"] = text
