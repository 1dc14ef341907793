"""Makes a conversation sendable: what a model said goes back in a form that every endpoint takes.

Models call tools that do not exist, servers choose long ids and add fields of their own, and the next request, or the
next endpoint, refuses all of it. Every request passes here; the conversation itself stays as it is.

1. Arguments that are not a JSON object are sent as an empty one (`with_readable_calls`).
2. A tool's name has 1 to 64 letters, digits, `_` and `-`; other characters become `_`.
3. An id has 1 to 40 characters and occurs once. Another one is replaced by nine letters and digits, as Mistral wants,
   in the call and in its answer.
4. A call has its id, its type and its function, and the fields that some providers want back (Gemini's
   `extra_content`). Its message has the thoughts beside it (`reasoning_content`, `thinking_blocks`, ...), which are in
   the journal only: no plug-in, record or training row sees them. An endpoint that does not take these fields back is
   noticed (`lessons.py`).
"""

import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any

from josh.messages import Message, dumps
from josh.roles import Reply
from josh.tools import read_arguments

THOUGHTS = ("reasoning_content", "reasoning", "reasoning_details", "thinking_blocks", "provider_specific_fields")
"""Fields of a reply that some endpoints want back beside its tool calls."""
LONGEST_NAME, LONGEST_ID = 64, 40
_WANTED_BACK = ("extra_content", "provider_specific_fields")
ADDED = (*THOUGHTS, *_WANTED_BACK)
"""Fields beside those of the format."""
_SIGNED = "__thought__"
"""Litellm writes Gemini's signatures into ids, and reads them from there."""
NINE = re.compile(r"[A-Za-z0-9]{9}")

Kept = tuple[str, Mapping[str, Any]]
"""A reply that calls tools: its calls, as `_named` has them, and its thoughts."""


def thoughts_of(message: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the thoughts beside the tool calls of an answer's message; empty where it calls none."""
    if not message.get("tool_calls"):
        return {}
    return {name: message[name] for name in THOUGHTS if message.get(name)}


def kept_of(reply: Reply) -> Kept | None:
    """Returns what to keep of a reply for the next requests on its path; None for nothing."""
    return (_named(reply.tool_calls), reply.thoughts) if reply.tool_calls and reply.thoughts else None


def with_readable_calls(messages: Sequence[Message]) -> list[Message]:
    """Returns the messages with the arguments of their calls readable: those that are not a JSON object are empty."""
    return [_with_readable(message) if message.get("tool_calls") else message for message in messages]


def sendable(
    messages: Sequence[Message], kept: Sequence[Kept] = (), tools: Collection[str] = (), *, nine: bool = False
) -> list[Message]:
    """Returns the messages in a form that every endpoint takes.

    Args:
        messages: the conversation.
        kept: the thoughts beside the calls in it, in order.
        tools: names of the tools that the request offers; these stay as they are.
        nine: whether every id must have nine letters and digits.
    """
    if not any("tool_calls" in message or "tool_call_id" in message for message in messages):
        return list(messages)
    left, taken, sent = list(kept), set[str](), []
    ids: dict[str, list[str]] = {}
    for message in messages:
        calls = message.get("tool_calls")
        if calls:
            found = next((one for one in left if one[0] == _named(calls)), None) if left else None
            if found is not None:
                left.remove(found)
            ids = {}
            plain = [_call(call, taken, ids, tools, nine=nine) for call in calls]
            sent.append({**message, "tool_calls": plain, **(found[1] if found is not None else {})})
        elif message.get("role") == "tool":
            sent.append(_answer(message, ids, tools))
        else:
            sent.append({name: value for name, value in message.items() if name != "tool_calls"})
    return sent


def tool_names(options: Mapping[str, Any]) -> list[str]:
    """Returns the names of the tools that a request offers."""
    tools = options.get("tools") or ()
    return [str(tool["function"].get("name")) for tool in tools if isinstance(tool.get("function"), Mapping)]


def without_fields(messages: Sequence[Message], fields: Collection[str]) -> list[Message]:
    """Returns the messages without some of the fields that this module adds: in messages, calls and functions."""
    return [_without(message, fields) if message.get("tool_calls") else message for message in messages]


def _without(message: Message, fields: Collection[str]) -> Message:
    def rest(values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in values.items() if name not in fields}

    calls = [rest(call) | {"function": rest(call["function"])} for call in message["tool_calls"]]
    return rest(message) | {"tool_calls": calls}


def fields_added(messages: Sequence[Message]) -> set[str]:
    """Returns the fields of providers that messages have beside those of the format."""
    found: set[str] = set()
    for message in messages:
        for call in message.get("tool_calls") or ():
            found |= {name for name in (*message, *call, *call["function"]) if name in ADDED}
    return found


def plain_call(call: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a call with the fields of the format only, in their order, and a name that every endpoint takes."""
    given = call.get("function") or {}
    needed = {"name": sendable_name(str(given.get("name") or "")), "arguments": given.get("arguments", "{}")}
    function = {name: needed[name] for name in given if name in needed} | needed
    whole = {"id": call.get("id"), "type": "function", "function": function}
    return {name: whole[name] for name in call if name in whole} | whole


@lru_cache(1024)
def sendable_name(name: str) -> str:
    """Returns a tool's name that every endpoint takes."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:LONGEST_NAME] or "unnamed"


def sendable_id(given: Any, taken: set[str], *, nine: bool = False) -> str:
    """Returns an id that every endpoint takes, and adds it to the ids that are taken.

    Args:
        given: the call's id.
        taken: the ids of earlier calls.
        nine: whether it must have nine letters and digits.
    """
    name = given if isinstance(given, str) else ""
    short = 0 < len(name) <= LONGEST_ID and name.isascii() and name.isprintable() and " " not in name
    if nine:
        short = bool(NINE.fullmatch(name))
    if name in taken or not (short or _SIGNED in name):
        number = len(taken)
        while (name := f"call{number:05}") in taken:
            number += 1
    taken.add(name)
    return name


def _call(
    call: Mapping[str, Any],
    taken: set[str],
    ids: dict[str, list[str]],
    tools: Collection[str],
    *,
    nine: bool,
) -> dict[str, Any]:
    """Returns a call as it is sent, and notes its id, old and new, for its answer."""
    plain = plain_call(call)
    function = call.get("function") or {}
    if function.get("name") in tools:
        plain["function"]["name"] = function["name"]
    old = call.get("id")
    plain["id"] = sendable_id(old, taken, nine=nine)
    ids.setdefault(str(old), []).append(plain["id"])
    plain["function"] |= {name: function[name] for name in _WANTED_BACK if function.get(name)}
    return plain | {name: call[name] for name in _WANTED_BACK if call.get(name)}


def _answer(message: Message, ids: Mapping[str, list[str]], tools: Collection[str]) -> Message:
    """Returns a tool's answer with the id of its call, and with a name that every endpoint takes."""
    found = ids.get(str(message.get("tool_call_id")))
    if found:
        # Calls of one message may have one id: their answers come in the same order.
        message = {**message, "tool_call_id": found.pop(0) if len(found) > 1 else found[0]}
    name = message.get("name")
    if isinstance(name, str) and name not in tools and sendable_name(name) != name:
        message = {**message, "name": sendable_name(name)}
    return message


def _with_readable(message: Message) -> Message:
    calls = message["tool_calls"]
    if all(map(_is_readable, calls)):
        return message
    emptied = [
        call if _is_readable(call) else {**call, "function": {**(call.get("function") or {}), "arguments": "{}"}}
        for call in calls
    ]
    return {**message, "tool_calls": emptied}


def _is_readable(call: Mapping[str, Any]) -> bool:
    arguments = (call.get("function") or {}).get("arguments")
    # A conversation is sent again with every request, so its arguments are read once.
    return _is_object(arguments) if isinstance(arguments, str) else arguments is None or isinstance(arguments, Mapping)


@lru_cache(4096)
def _is_object(text: str) -> bool:
    try:
        read_arguments(text)
    except ValueError:
        return False
    return True


def _named(calls: Sequence[Mapping[str, Any]]) -> str:
    """Returns the names and arguments of calls as one text; a plug-in may write other ids and fields."""
    found = []
    for call in calls:
        function = call.get("function") or {}
        try:
            arguments: Any = dict(read_arguments(function.get("arguments")))
        except ValueError:
            arguments = None
        found.append([str(function.get("name") or ""), arguments])
    return dumps(found, sort_keys=True)
