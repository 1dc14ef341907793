"""Calls a tool of the branch's world and writes its result for the caller; for agents and users that use tools."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from josh.calls import awaited, has_parameter
from josh.dialogue import Speaker
from josh.messages import dumps
from josh.roles import ToolError

_REFUSED = "Error: "
_SHOWN = 200
"""Most characters of wrong arguments that an error quotes."""


@dataclass(frozen=True, slots=True)
class Used:
    """One call of a tool and its result.

    Attributes:
        name: the tool's name, as the caller gave it.
        arguments: the arguments, parsed; empty where they could not be parsed.
        result: the tool's result; None where the call was refused.
        error: why the call was refused, for the caller; None where it was not refused.
    """

    name: str
    arguments: Mapping[str, Any]
    result: Any = None
    error: str | None = None

    @property
    def action(self) -> dict[str, Any]:
        """The call as an entry of `recent_actions`, which the rewards read."""
        outcome = {"result": self.result} if self.error is None else {"error": self.error}
        return {"name": self.name, "arguments": dict(self.arguments), **outcome}

    @property
    def text(self) -> str:
        """The result for the caller: text unchanged, another value as JSON on one line, or `Error: ` and the reason."""
        if self.error is not None:
            return f"{_REFUSED}{self.error}"
        return sendable(self.result) if isinstance(self.result, str) else dumps(self.result)


def unreadable(reason: str) -> dict[str, Any]:
    """Returns the entry of `recent_actions` for a completion that could not be read.

    It counts as a refused call without a name, so that no completion like it becomes a positive example.

    Args:
        reason: what is wrong with it.
    """
    return {"name": "", "arguments": {}, "error": reason}


def call_in_text(text: str) -> dict[str, Any]:
    """Returns the entry of `recent_actions` for a completion with a call that the server left in its text.

    It is not a refused call, because neither the conversation nor a training example has the completion.
    """
    return {"name": "", "arguments": {}, "text": text}


def is_refusal(shown: Any) -> bool:
    """Returns whether a result for the caller (`Used.text`) says that the call was refused."""
    return isinstance(shown, str) and shown.startswith(_REFUSED)


async def use(world: Any, name: str, arguments: Any, caller: Speaker = Speaker.AGENT) -> Used:
    """Call a tool.

    A refusal is part of the conversation: the world raised a `ToolError`, the arguments are not a JSON object, or the
    branch has no tools. Any other exception is a failure of the world, and is not caught.

    Args:
        world: the branch's `ToolWorld`, whose `call` may be async; None for a branch without tools.
        name: the tool's name.
        arguments: a mapping, or the text of a JSON object, as models write it.
        caller: who calls; passed to the world where its `call` takes `caller`.
    """
    name = sendable(name)
    try:
        given = read_arguments(arguments)
    except ValueError as error:
        return Used(name, {}, error=str(error))
    if world is None:
        return Used(name, given, error="there are no tools here")
    try:
        known = {"caller": caller} if has_parameter(world.call, "caller") else {}
        return Used(name, given, await awaited(world.call(name, given, **known)))
    except ToolError as error:
        return Used(name, given, error=str(error) or f"{name} refused the call")


def read_arguments(arguments: Any) -> Mapping[str, Any]:
    """Returns the parsed arguments of a call; no arguments are an empty object. Raises ValueError for the caller."""
    if isinstance(arguments, str):
        text = sendable(arguments.strip())
        try:
            arguments = json.loads(text, parse_constant=_refuse) if text else {}
        except (ValueError, RecursionError) as error:
            raise ValueError(f"the arguments are no JSON ({error}): {_short(text)}") from None
    if arguments is None:
        return {}
    if not isinstance(arguments, Mapping):
        raise ValueError(f"the arguments are no JSON object: {_short(sendable(dumps(arguments)))}")
    text = dumps(arguments)
    cleaned: Mapping[str, Any] = arguments if sendable(text) == text else json.loads(sendable(text))
    return cleaned


def sendable(text: str) -> str:
    """Returns a text without halves of surrogate pairs: JSON can hold them, but UTF-8 cannot encode them."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON number")


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
