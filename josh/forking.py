"""The default fork: copies an object of a branch, so that siblings cannot change each other's state."""

import copy
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

from josh.errors import UsageError

T = TypeVar("T")
_HISTORIES = ("messages", "messages_internal", "recent_actions")
_ATOMS = frozenset((str, int, float, bool, bytes, type(None)))


def default_fork(thing: T) -> T:
    """Returns a copy for a sibling branch; see `Forkable.fork`.

    Raises:
        UsageError: an attribute cannot be copied; the text names it.
    """
    state = getattr(thing, "__dict__", {})
    kind: Any = type(thing)
    shared = _shared(thing)
    if _is_plain(kind):
        twin = _quickly(thing, state, shared)
        if twin is not None:
            return twin
    # Deepcopy uses the memo's object instead of a copy, so shared attributes and messages stay the same objects.
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


@cache
def _is_plain(kind: type) -> bool:
    """Returns whether a class keeps its whole state in `__dict__` and does not customize copying."""
    usual = ("__new__", "__reduce_ex__", "__reduce__", "__getstate__")
    return (
        all(getattr(kind, name) is getattr(object, name) for name in usual)
        and not any(hasattr(kind, name) for name in ("__deepcopy__", "__setstate__"))
        and not any("__slots__" in vars(base) for base in kind.__mro__)
    )


def _shared(thing: Any) -> tuple[str, ...]:
    """Returns the attributes to share in this copy: those that the plug-in names, and its settings if it has any."""
    names: tuple[str, ...] = getattr(thing, "shared", ())
    return (*names, "config") if getattr(thing, "Config", None) is not None else names


def _quickly(thing: T, state: Mapping[str, Any], shared: tuple[str, ...]) -> T | None:
    """Returns the copy where only message histories have to be copied, else None.

    It exists because `deepcopy` is slow.
    """
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
    """Returns the name of the attribute that cannot be copied, with the way out."""
    for name, value in state.items():
        try:
            copy.deepcopy(value, dict(memo))
        except TypeError:
            return f"{kind}.{name} (name it in {kind}.shared)"
    return f"a {kind} (give it a fork())"
