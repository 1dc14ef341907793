"""Inside the sandbox: values and messages between a solution's process and its judge.

A message is a length of four bytes and JSON. The judge builds every value itself, out of Python's own types.
"""

import builtins
import json
import os
from collections import deque
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

Code = Callable[[Any], Any]
_PRECISE = 1 << 53  # JSON readers keep whole numbers below it
_Kind = tuple[type, Callable[[Any, Code], Any], Callable[[Any, Code], Any]]


class SolutionEnded(BaseException):
    """The solution's process ended, or does not follow the protocol. No test catches it as an `Exception`."""


def _series(kind: type) -> _Kind:
    return kind, lambda value, code: [code(one) for one in value], lambda data, code: kind(code(one) for one in data)


def _text(kind: type, read: Callable[[str], Any]) -> _Kind:
    return kind, lambda value, _code: str(value), lambda data, _code: read(data)


def _iso(kind: Any) -> _Kind:
    return kind, lambda value, _code: value.isoformat(), lambda data, _code: kind.fromisoformat(data)


def _hex(kind: Any) -> _Kind:
    return kind, lambda value, _code: value.hex(), lambda data, _code: kind.fromhex(data)


_KINDS: dict[str, _Kind] = {
    "int": (int, lambda value, _code: hex(value), lambda data, _code: int(data, 16)),
    "float": _hex(float),
    "str": (str, lambda value, _code: str.__str__(value), lambda data, _code: str(data)),
    "list": _series(list),
    "tuple": _series(tuple),
    "set": _series(set),
    "frozenset": _series(frozenset),
    "deque": _series(deque),
    "keys": (type({}.keys()), lambda value, code: [code(one) for one in value], lambda data, code: {*map(code, data)}),
    "dict": (
        dict,
        lambda value, code: [[code(key), code(one)] for key, one in value.items()],
        lambda data, code: {code(key): code(one) for key, one in data},
    ),
    "bytes": _hex(bytes),
    "bytearray": _hex(bytearray),
    "complex": (complex, lambda value, _code: [value.real, value.imag], lambda data, _code: complex(*data)),
    "range": (
        range,
        lambda value, code: [code(one) for one in (value.start, value.stop, value.step)],
        lambda data, code: range(*map(code, data)),
    ),
    "Decimal": _text(Decimal, Decimal),
    "Fraction": _text(Fraction, Fraction),
    "datetime": _iso(datetime),  # before `date`, which it is too
    "date": _iso(date),
    "time": _iso(time),
    "timedelta": (
        timedelta,
        lambda value, _code: [value.days, value.seconds, value.microseconds],
        lambda data, _code: timedelta(*data),
    ),
}
"""By name: a type, and how its values become JSON and come back. Values of a subclass become values of the type."""

_BUILT_IN = {name: one for name, one in vars(builtins).items() if isinstance(one, type)}


def encode(value: Any, refer: Callable[[Any], list[Any]]) -> Any:
    """Returns a value as JSON: simple ones as they are, all else as a list that begins with the name of its kind.

    Args:
        value: the value.
        refer: makes a reference of an object of any other type.
    """
    kind = type(value)
    if value is None or kind in (bool, str, float) or (kind is int and abs(value) < _PRECISE):
        return value
    if isinstance(value, type) and _BUILT_IN.get(value.__name__) is value:
        return ["type", value.__name__]
    for name, (of_kind, down, _up) in _KINDS.items():
        if isinstance(value, of_kind):
            return [name, down(value, lambda one: encode(one, refer))]
    return refer(value)


def decode(data: Any, resolve: Callable[[str, Any], Any]) -> Any:
    """Returns the value of its JSON, which may come from a hostile process.

    Args:
        data: the JSON.
        resolve: returns the object of a reference, by its first two elements.

    Raises:
        TypeError, ValueError, LookupError, AttributeError, ArithmeticError: the JSON is not made by `encode`.
    """
    if data is None or isinstance(data, bool | int | float | str):
        return data
    name, inside = data
    if name in _KINDS:
        return _KINDS[name][2](inside, lambda one: decode(one, resolve))
    if name == "type":
        return _BUILT_IN[inside]
    return resolve(name, inside)


def send(pipe: int, message: Any, largest: int | None = None) -> None:
    """Writes a message.

    Raises:
        ValueError: the message has more than `largest` bytes.
        SolutionEnded: nobody reads it.
    """
    data = json.dumps(message).encode()
    if largest is not None and len(data) > largest:
        raise ValueError(f"a value of more than {largest >> 10} KiB")
    data = len(data).to_bytes(4, "big") + data
    try:
        while data:
            data = data[os.write(pipe, data) :]
    except BrokenPipeError:
        raise SolutionEnded("its process ended") from None


def receive(pipe: int, largest: int | None = None) -> Any:
    """Returns the next message.

    Raises:
        SolutionEnded: there is none, or it is not JSON, or it has more than `largest` bytes.
    """
    size = int.from_bytes(_exactly(pipe, 4), "big")
    if largest is not None and size > largest:
        raise SolutionEnded(WRITES)
    try:
        return json.loads(_exactly(pipe, size))
    except (ValueError, RecursionError):
        raise SolutionEnded(WRITES) from None


WRITES = "it writes into the pipe of its process"
"""Why a message cannot be read."""


def _exactly(pipe: int, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        more = os.read(pipe, min(size - len(data), 1 << 16))
        if not more:
            raise SolutionEnded("its process ended")
        data += more
    return bytes(data)
