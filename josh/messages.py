"""Chat messages: plain dicts in the chat-completions format. A message in a history never changes."""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from josh.reading import without_thoughts as without_thoughts  # noqa: PLC0414 (its former place)

Message: TypeAlias = dict[str, Any]
"""It has `role` and `content`, and where they apply `tool_calls`, `tool_call_id` and `name`."""

OPENER = "(The chat is open. You write first.)"
"""Replaces a missing first user message, because many chat servers and templates refuse a conversation without one."""

_SYSTEM = ("system", "developer")
_DEEPEST = 20


def text_of(message: Message) -> str:
    """Returns a message's text; empty where it only calls tools, the parts' joined texts where it has parts."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    return "".join(str(part.get("text") or "") if isinstance(part, dict) else str(part) for part in parts)


def with_opener(messages: Sequence[Message]) -> list[Message]:
    """Returns the messages with `OPENER` after the system prompt, unless the user's message follows the prompt."""
    first = next((at for at, each in enumerate(messages) if each.get("role") != "system"), len(messages))
    if messages[first:] and messages[first].get("role") == "user":
        return list(messages)
    return [*messages[:first], {"role": "user", "content": OPENER}, *messages[first:]]


def fold_system(messages: Sequence[Message]) -> list[Message]:
    """Returns the messages without the roles `system` and `developer`, for models that know only user and assistant.

    The text of such a message is put before the text of the user message that follows it, otherwise after that of the
    user message before it. Where there is neither, it becomes a user message.
    """
    folded: list[Message] = []
    waiting: list[Message] = []
    for message in messages:
        if message.get("role") in _SYSTEM:
            waiting.append(message)
        elif waiting and message.get("role") == "user":
            folded.append({**message, "content": _joined([*waiting, message])})
            waiting = []
        else:
            folded = [*_ended(folded, waiting), message]
            waiting = []
    return _ended(folded, waiting)


def _ended(folded: list[Message], waiting: Sequence[Message]) -> list[Message]:
    if waiting and folded and folded[-1].get("role") == "user":
        return [*folded[:-1], {**folded[-1], "content": _joined([folded[-1], *waiting])}]
    return [*folded, {"role": "user", "content": _joined(waiting)}] if waiting else folded


def _joined(messages: Sequence[Message]) -> str:
    return "\n\n".join(text for text in map(text_of, messages) if text)


def trim_user_messages(messages: Sequence[Message]) -> list[Message]:
    """Returns the messages without the user messages at the end, so that a training example ends with the agent."""
    end = len(messages)
    while end and messages[end - 1].get("role") == "user":
        end -= 1
    return list(messages[:end])


def flip_roles(messages: Sequence[Message], defuse: Callable[[str], str] = str) -> list[Message]:
    """Returns a conversation from the other side: the agent's messages become `user`, the user's become `assistant`.

    It keeps text only; the agent's tool calls and tool results are left out.

    Args:
        messages: the conversation as the agent sees it.
        defuse: changes the agent's text, such as tags that count only in the user's text.
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
    """Returns whether two turns have the same texts and tool calls; the ids of tool calls are ignored."""
    if some == others or len(some) != len(others):
        return some == others
    calls = any("tool_calls" in message or "tool_call_id" in message for message in some)
    return calls and dumps(list(map(without_ids, some))) == dumps(list(map(without_ids, others)))


def snapshot(message: Message) -> Message:
    """Returns a copy of a message that later changes of the message do not reach."""
    return {name: value if type(value) is str else _copied(value) for name, value in message.items()}


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copied(part) for name, part in value.items()}
    return [_copied(part) for part in value] if isinstance(value, list) else value


def without_ids(message: Message) -> Message:
    """Returns a message without the ids of tool calls, which servers choose at random."""
    message = {key: value for key, value in message.items() if key != "tool_call_id"}
    if message.get("tool_calls"):
        message["tool_calls"] = [dict(call, id="") for call in message["tool_calls"]]
    return message


def dumps(value: Any, *, sort_keys: bool = False) -> str:
    """Returns `value` as JSON on one line; objects of plug-ins that JSON cannot represent are written as `repr`."""
    try:
        return (_SORTED if sort_keys else _ENCODER).encode(value)
    except (TypeError, ValueError):
        # Keys that are not text, NaN or infinite numbers, or values that contain themselves.
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
    """Returns the `repr` of a value without its memory address, which differs from run to run."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


_ENCODER, _SORTED = (
    json.JSONEncoder(ensure_ascii=False, sort_keys=sort_keys, default=_named, allow_nan=False)
    for sort_keys in (False, True)
)
