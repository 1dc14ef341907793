"""Chat messages: plain dicts in the chat-completions format, never changed once they are part of a history."""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

Message: TypeAlias = dict[str, Any]
"""`role` and `content`, and where they apply `tool_calls`, `tool_call_id`, `name`."""

OPENER = "(The chat is open. You write first.)"
"""Stands in for a user's first message, because many chat servers and templates refuse a conversation without one."""

_DEEPEST = 20


def text_of(message: Message) -> str:
    """Returns what a message says, empty where it only calls tools; of a list of parts, its texts one after another."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    return "".join(str(part.get("text") or "") if isinstance(part, dict) else str(part) for part in parts)


def with_opener(messages: Sequence[Message]) -> list[Message]:
    """Have the user write first: put `OPENER` after the system prompt unless a message of the user's stands there."""
    first = next((at for at, each in enumerate(messages) if each.get("role") != "system"), len(messages))
    if messages[first:] and messages[first].get("role") == "user":
        return list(messages)
    return [*messages[:first], {"role": "user", "content": OPENER}, *messages[first:]]


def trim_user_messages(messages: Sequence[Message]) -> list[Message]:
    """Drop the user messages at the end, so that a training example ends where the agent's own words end."""
    end = len(messages)
    while end and messages[end - 1].get("role") == "user":
        end -= 1
    return list(messages[:end])


def flip_roles(messages: Sequence[Message], defuse: Callable[[str], str] = str) -> list[Message]:
    """Show a conversation from the other side: the agent's words become `user`, the user's become `assistant`.

    Only text is carried over; tool calls and tool results are the agent's own business and are left out.

    Args:
        messages: the conversation as the agent sees it.
        defuse: changes the agent's words, such as tags that count in the user's words alone.
    """
    other = {"assistant": "user", "user": "assistant"}
    flipped = []
    for message in messages:
        role, words = message.get("role"), message.get("content")
        if role in other and words:
            read = defuse(words) if role == "assistant" and isinstance(words, str) else words
            flipped.append({"role": other[role], "content": read})
    return flipped


def same_words(some: Sequence[Message], others: Sequence[Message]) -> bool:
    """Whether two turns say and call the same; the ids of tool calls, which servers make up, do not count."""
    if some == others or len(some) != len(others):
        return some == others
    calls = any("tool_calls" in message or "tool_call_id" in message for message in some)
    return calls and dumps(list(map(without_ids, some))) == dumps(list(map(without_ids, others)))


def without_ids(message: Message) -> Message:
    """A message as it is compared: without the ids of tool calls, which servers make up."""
    message = {key: value for key, value in message.items() if key != "tool_call_id"}
    if message.get("tool_calls"):
        message["tool_calls"] = [dict(call, id="") for call in message["tool_calls"]]
    return message


def without_thoughts(text: str) -> str:
    """What is said aloud: no `<think>...</think>`, be it cut off at the end or opened by the chat template."""
    text = re.sub(r"<think>.*?</think>", "", text, flags=re.DOTALL)
    return text.rpartition("</think>")[2].partition("<think>")[0].strip()


def dumps(value: Any, *, sort_keys: bool = False) -> str:
    """`value` as JSON on one line; what JSON has no form for, which plug-ins may put anywhere, as its `repr`."""
    try:
        return json.dumps(value, ensure_ascii=False, sort_keys=sort_keys, default=_named, allow_nan=False)
    except (TypeError, ValueError):
        # Keys that are no text, numbers that are none, or values that hold themselves.
        return json.dumps(_plain(value, 0), ensure_ascii=False, sort_keys=sort_keys)


def _plain(value: Any, depth: int) -> Any:
    if isinstance(value, Mapping) and depth < _DEEPEST:
        return {str(key): _plain(each, depth + 1) for key, each in value.items()}
    if isinstance(value, list | tuple) and depth < _DEEPEST:
        return [_plain(each, depth + 1) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    return value if isinstance(value, str | int | float | None) else _named(value)


def _named(value: Any) -> str:
    """The `repr` of a value, without the address in memory that differs from run to run."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
