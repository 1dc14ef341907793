"""Chat messages: plain dicts in the chat-completions format, never changed once they are part of a history."""

import re
from collections.abc import Sequence
from typing import Any, TypeAlias

Message: TypeAlias = dict[str, Any]
"""`role` and `content`, and where they apply `tool_calls`, `tool_call_id`, `name`."""


def trim_user_messages(messages: Sequence[Message]) -> list[Message]:
    """Drop the user messages at the end, so that a training example ends where the agent's own words end."""
    end = len(messages)
    while end and messages[end - 1].get("role") == "user":
        end -= 1
    return list(messages[:end])


def flip_roles(messages: Sequence[Message]) -> list[Message]:
    """Show a conversation from the other side: the agent's words become `user`, the user's become `assistant`.

    Only text is carried over; tool calls and tool results are the agent's own business and are left out.
    """
    other = {"assistant": "user", "user": "assistant"}
    return [
        {"role": other[message["role"]], "content": message["content"]}
        for message in messages
        if message.get("role") in other and message.get("content")
    ]


def without_thoughts(text: str) -> str:
    """What is said aloud: no `<think>...</think>`, be it cut off at the end or opened by the chat template."""
    text = re.sub(r"<think>.*?</think>", "", text, flags=re.DOTALL)
    return text.rpartition("</think>")[2].partition("<think>")[0].strip()
