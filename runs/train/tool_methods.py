"""Makes Python methods of tools' JSON schemas, for trainers that read a tool's schema from a method.

`transformers.utils.get_json_schema` reads a method's name, its type hints and its docstring in Google's style. The
methods made here give it back the schema that they were made of. Where type hints cannot say something, such as a
minimum or the fields of an object, the parameter's description ends with it as JSON.
"""

import inspect
import keyword
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Optional, Union

from josh.messages import dumps

_TYPES: Mapping[str, Any] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "null": type(None),
    "array": list,
    "object": dict,
}
_SCALARS = (str, int, float, bool, type(None))
_SECTIONS = {"Args:": "Arguments:", "Returns:": "Return value:", "Raises:": "Errors:"}
"""Words that begin a section of a docstring, and what stands for them in a description."""
_CHOICES = re.compile(r"\(choices:[^\n]*\)\s*$", re.IGNORECASE)
"""The end of a description that transformers would read as an enumeration."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a tool.

    Attributes:
        name: its name in the schema.
        python: its name in Python: the same, unless Python does not allow it.
        hint: its type.
        described: its description, in one line.
        required: whether a call must have it.
    """

    name: str
    python: str
    hint: Any
    described: str
    required: bool


def tool_method(schema: Mapping[str, Any], call: Callable[[Any, str, dict[str, Any]], str]) -> Callable[..., str]:
    """Returns a method for a tool. It takes arguments by keyword, and passes on those that it is given.

    Args:
        schema: the tool's schema in the chat-completions format.
        call: calls the tool; it gets the object that has the method, the tool's name and the arguments.
    """
    function = schema.get("function", schema)
    name = str(function["name"])
    parameters = parameters_of(function.get("parameters") or {})
    spelled = {each.python: each.name for each in parameters}

    def method(self: Any, /, **arguments: Any) -> str:
        return call(self, name, {spelled.get(key, key): value for key, value in arguments.items()})

    method.__name__ = method.__qualname__ = name
    method.__doc__ = _docstring(function, name, parameters)
    method.__annotations__ = {each.python: each.hint for each in parameters}
    kind, empty = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.empty
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    given = [
        inspect.Parameter(each.python, kind, default=empty if each.required else None, annotation=each.hint)
        for each in parameters
    ]
    method.__signature__ = inspect.Signature([own, *given])  # type: ignore[attr-defined]
    return method


def parameters_of(schema: Mapping[str, Any]) -> list[Parameter]:
    """Returns the parameters of a tool, by the JSON schema of its arguments."""
    found: list[Parameter] = []
    taken = {"self"}
    for name, each in (schema.get("properties") or {}).items():
        python = re.sub(r"\W", "_", name)
        if not python.isidentifier():
            python = f"_{python}"
        while keyword.iskeyword(python) or python in taken:
            python = f"{python}_"
        taken.add(python)
        described = dict(each) if isinstance(each, Mapping) else {}
        text = _plain(" ".join(str(described.pop("description", None) or "").split()) or name)
        hint, rest = hint_of(described)
        if rest:
            text = f"{text}; JSON schema: {_plain(dumps(rest))}"
        found.append(Parameter(name, python, hint, text, name in (schema.get("required") or ())))
    return found


def hint_of(schema: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Returns the type hint of a JSON schema, and the part of the schema that the hint does not say.

    Titles are left out of both.
    """
    rest = {key: value for key, value in schema.items() if key != "title"}
    hint = _hint(rest)
    if rest.get("nullable") is True and hint is not Any:
        del rest["nullable"]
        hint = Optional[hint]  # noqa: UP045  # a hint that is made here may be anything
    return hint, rest


def _hint(rest: dict[str, Any]) -> Any:
    """Returns a type hint, and takes out of the schema what it says."""
    kind, values = rest.get("type"), rest.get("enum")
    if isinstance(values, list) and values and all(type(value) in _SCALARS for value in values):
        del rest["enum"]
        rest.pop("type", None)
        return Literal[tuple(values)]
    either = rest.get("anyOf")
    if isinstance(either, list) and either and all(isinstance(each, Mapping) for each in either):
        hints = [hint_of(each) for each in either]
        if not any(left for _, left in hints):
            del rest["anyOf"]
        return _union([hint for hint, _ in hints])
    if isinstance(kind, list) and kind and all(each in _TYPES for each in kind):
        del rest["type"]
        return _union([_TYPES[each] for each in kind])
    if not isinstance(kind, str) or kind not in _TYPES:
        return Any
    del rest["type"]
    inside = {"array": "items", "object": "additionalProperties"}.get(kind, "")
    inner = rest.get(inside)
    if not isinstance(inner, Mapping) or not inner:
        return _TYPES[kind]
    hint, left = hint_of(inner)
    if not left:
        del rest[inside]
    return list[hint] if kind == "array" else dict[str, hint]  # type: ignore[valid-type]


def _union(hints: Sequence[Any]) -> Any:
    return Any if Any in hints else Union[tuple(hints)]  # noqa: UP007


def _docstring(function: Mapping[str, Any], name: str, parameters: Sequence[Parameter]) -> str:
    text = _plain(str(function.get("description") or "").strip() or name)
    definitions = {key: value for key, value in (function.get("parameters") or {}).items() if key == "$defs"}
    if definitions:
        text = f"{text}\n{_plain(dumps(definitions))}"
    lines = [f"    {each.python}: {each.described}" for each in parameters]
    return "\n".join([text, *(["", "Args:", *lines] if lines else [])])


def _plain(text: str) -> str:
    """Returns a description without what has a meaning of its own in a docstring."""
    for section, instead in _SECTIONS.items():
        text = text.replace(section, instead)
    return f"{text}." if _CHOICES.search(text) else text
