"""Helpers to call a plug-in's methods: which arguments a method takes, and a result that may be awaitable."""

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any


def keyword_parameters(method: Callable[..., Any]) -> frozenset[str] | None:
    """Returns the names of the arguments that a method takes by keyword; None where it takes any (`**kwargs`)."""
    parameters = inspect.signature(method).parameters.values()
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return None
    return frozenset(one.name for one in parameters)


@cache
def _has_parameter(function: Callable[..., Any], name: str) -> bool:
    return name in inspect.signature(function).parameters


def has_parameter(method: Callable[..., Any], name: str) -> bool:
    """Returns whether a method has a parameter of this name; `**kwargs` does not count."""
    return _has_parameter(getattr(method, "__func__", method), name)


async def awaited(result: Any) -> Any:
    """Returns a result; awaits it first where it is awaitable."""
    return await result if inspect.isawaitable(result) else result
