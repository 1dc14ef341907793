"""Copying what a branch carries, so that its siblings do not meddle with each other."""

import copy
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

from josh.errors import UsageError

T = TypeVar("T")
_HISTORIES = ("messages", "messages_internal", "recent_actions")
_ATOMS = frozenset((str, int, float, bool, bytes, type(None)))


def default_fork(thing: T) -> T:
    """The default `fork`. Raises UsageError, with the attribute's name, where something cannot be copied."""
    state = getattr(thing, "__dict__", {})
    kind: Any = type(thing)
    shared = _shared(thing)
    if _is_plain(kind):
        twin = _quickly(thing, state, shared)
        if twin is not None:
            return twin
    # What the memo holds already, deepcopy takes from there, wherever it comes across it.
    memo: dict[int, Any] = {}
    for name in _HISTORIES:
        history = state.get(name)
        if type(history) is list:
            memo.update((id(message), message) for message in history)
            memo[id(history)] = history.copy()
    memo.update((id(state[name]), state[name]) for name in shared if name in state)
    try:
        return copy.deepcopy(thing, memo)
    except TypeError as error:
        raise UsageError(f"{_culprit(kind.__name__, state, memo)} cannot be copied for a branch ({error})") from error


def shared_of(thing: Any) -> tuple[str, ...]:
    """The names of the attributes that all branches use together; the settings are always among them."""
    return (*getattr(thing, "shared", ()), "config")


@cache
def _is_plain(kind: type) -> bool:
    """Whether all that an object of a class is stands in its `__dict__`, and nothing has a say in its copying."""
    usual = ("__new__", "__reduce_ex__", "__reduce__", "__getstate__")
    return (
        all(getattr(kind, name) is getattr(object, name) for name in usual)
        and not any(hasattr(kind, name) for name in ("__deepcopy__", "__setstate__"))
        and not any("__slots__" in vars(base) for base in kind.__mro__)
    )


def _shared(thing: Any) -> tuple[str, ...]:
    """The attributes that branches have in common: those that the plug-in names, and its settings."""
    names: tuple[str, ...] = getattr(thing, "shared", ())
    return (*names, "config") if getattr(thing, "Config", None) is not None else names


def _quickly(thing: T, state: Mapping[str, Any], shared: tuple[str, ...]) -> T | None:
    """The copy where nothing but histories has to be copied; None where something else does. `deepcopy` is slow."""
    copies: dict[int, Any] = {}
    for name, value in state.items():
        if name in _HISTORIES and type(value) is list:
            copies.setdefault(id(value), value.copy())
        elif name not in shared and type(value) not in _ATOMS:
            return None
    twin = object.__new__(type(thing))
    twin.__dict__.update(
        (name, value if name in shared else copies.get(id(value), value)) for name, value in state.items()
    )
    return twin


def _culprit(kind: str, state: Mapping[str, Any], memo: Mapping[int, Any]) -> str:
    """What it is that cannot be copied, with the way out."""
    for name, value in state.items():
        try:
            copy.deepcopy(value, dict(memo))
        except TypeError:
            return f"{kind}.{name} (name it in {kind}.shared)"
    return f"a {kind} (give it a fork())"
