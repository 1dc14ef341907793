"""Messages in the form of the rows of training files."""

import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final, TypeAlias

from josh.dialogue import Speaker
from josh.messages import Message, dumps, text_of
from josh.models.sendable import ADDED, sendable, without_fields

Row: TypeAlias = dict[str, Any]
Tools: TypeAlias = Sequence[Mapping[str, Any]]

_FIELDS: Final = ("role", "content", "name", "tool_calls", "tool_call_id")
ROLES: Final = ("system", "user", "assistant", "tool")


class UnexportableError(Exception):
    """A conversation or message cannot be written in a format; the text is the reason, a key of `dropped`."""


def check_prompt(prompt: Sequence[Message], learner: Speaker) -> None:
    """Raises UnexportableError where the next message is not the learner's: the last one is not of user or tool."""
    if not prompt or prompt[-1].get("role") not in ("user", "tool"):
        raise UnexportableError(f"messages right after another of the {learner}'s")


def check_plain(messages: Sequence[Message]) -> None:
    """Raises UnexportableError where a message has an unknown role, is not text, or has neither words nor calls."""
    for message in messages:
        if message.get("role") not in ROLES:
            raise UnexportableError("messages of an unknown role")
        if not isinstance(message.get("content"), str | None):
            raise UnexportableError("messages that are no plain text")
        if message["role"] != "tool" and not text_of(message).strip() and not message.get("tool_calls"):
            raise UnexportableError("messages without words")


def portable(messages: Sequence[Message]) -> list[Message]:
    """Returns a conversation with the fields of the format only: names and ids that every format takes, no thoughts.

    See `josh/models/sendable.py`.
    """
    plain = without_fields(sendable(messages), ADDED)
    return [{name: value for name, value in message.items() if name in _FIELDS} for message in plain]


def for_trl(message: Message) -> Message:
    """Returns a message as chat templates need it: with the arguments of tool calls as objects."""
    return _with_calls(message, _as_object)


def for_openai(message: Message) -> Message:
    """Returns a message as OpenAI needs it: with the arguments of tool calls as text."""
    return _with_calls(message, lambda given: given if _as_object(given) is not given else dumps(given))


def _as_object(arguments: Any) -> Any:
    """Returns the arguments of a call, parsed where they are text. Raises ValueError where they are not an object."""
    found = json.loads(arguments, parse_constant=_refuse) if isinstance(arguments, str) else arguments
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not a JSON number")


def _with_calls(message: Message, convert: Callable[[Any], Any]) -> Message:
    calls = message.get("tool_calls")
    if not calls:
        return {name: value for name, value in message.items() if name != "tool_calls"}
    try:
        converted = [
            {**call, "function": {**call["function"], "arguments": convert(call["function"]["arguments"])}}
            for call in calls
        ]
    except (KeyError, TypeError, ValueError, RecursionError):
        raise UnexportableError("tool calls that make no sense") from None
    return {**message, "tool_calls": converted}


def with_tools(tools: Tools) -> Row:
    """Returns the keys of a row for the tools' schemas; empty where there are no tools."""
    return {"tools": list(tools)} if tools else {}


def hashed(value: Any) -> bytes:
    """Returns a hash of 16 bytes of a JSON value, equal for equal values."""
    return blake2b(dumps(value, sort_keys=True).encode("utf-8", "backslashreplace"), digest_size=16).digest()
