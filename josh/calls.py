"""Calling a plug-in's methods: which arguments they take, and waiting where they wait."""

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any


def keyword_parameters(method: Callable[..., Any]) -> frozenset[str] | None:
    """Returns the names of the arguments that a method takes by keyword; None where it takes any."""
    parameters = inspect.signature(method).parameters.values()
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return None
    return frozenset(one.name for one in parameters)


@cache
def _has_parameter(function: Callable[..., Any], name: str) -> bool:
    return name in inspect.signature(function).parameters


def has_parameter(method: Callable[..., Any], name: str) -> bool:
    """Whether a method has a parameter of this very name; `**kwargs` does not count."""
    return _has_parameter(getattr(method, "__func__", method), name)


async def awaited(result: Any) -> Any:
    """Returns a result, or what it comes to where it has to be awaited."""
    return await result if inspect.isawaitable(result) else result
