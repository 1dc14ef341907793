"""Methods made of tools' schemas, and the schemas that transformers reads from them."""

import inspect
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from josh.runs.train.tool_methods import hint_of, tool_method

pytest.importorskip("transformers", reason="transformers is not installed: pip install 'josh-dialogue[train]'")


def schema_of(name="look", description="Look.", required=(), **properties):
    parameters = {"type": "object", "properties": properties, **({"required": list(required)} if required else {})}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def read(schema):
    from transformers.utils import get_json_schema

    holder = type("Holder", (), {"tool": tool_method(schema, lambda holder, name, arguments: "")})()
    return get_json_schema(holder.tool)


SIMPLE = st.sampled_from([{"type": kind} for kind in ("string", "integer", "number", "boolean", "object", "array")])
ENUMS = st.lists(st.text("ab c", min_size=1), min_size=1, max_size=4, unique=True).map(
    lambda values: {"type": "string", "enum": values}
)
TYPES = st.recursive(
    SIMPLE | ENUMS | st.just({}),
    lambda inner: (
        inner.filter(bool).map(lambda one: {"type": "array", "items": one})
        | inner.filter(bool).map(lambda one: {"type": "object", "additionalProperties": one})
    ),
    max_leaves=4,
)


@settings(deadline=None, max_examples=50, derandomize=True)
@given(st.dictionaries(st.sampled_from("abcdef"), TYPES), st.data())
def test_transformers_reads_the_same_schema(properties, data):
    required = data.draw(st.lists(st.sampled_from(sorted(properties)), unique=True)) if properties else []
    described = {name: {**each, "description": f"the {name}: one"} for name, each in properties.items()}
    schema = schema_of(required=[name for name in properties if name in required], **described)
    assert read(schema) == schema


def test_unions_and_null_are_the_same_in_meaning():
    found = read(
        schema_of(
            a={"type": ["integer", "string"], "description": "a"},
            b={"anyOf": [{"type": "integer"}, {"type": "null"}], "description": "b"},
            c={"type": "string", "nullable": True, "description": "c"},
        )
    )
    assert found["function"]["parameters"]["properties"] == {
        "a": {"type": ["integer", "string"], "description": "a"},
        "b": {"type": "integer", "nullable": True, "description": "b"},
        "c": {"type": "string", "nullable": True, "description": "c"},
    }


def test_what_hints_cannot_say_is_in_the_description():
    fields = {"type": "object", "properties": {"id": {"type": "string"}}}
    found = read(
        schema_of(
            number={"type": "integer", "minimum": 1, "title": "Number", "description": "how many"},
            items={"type": "array", "items": fields},
            place={"$ref": "#/$defs/Place"},
        )
    )["function"]["parameters"]["properties"]
    assert found["number"] == {"type": "integer", "description": 'how many; JSON schema: {"minimum": 1}'}
    assert found["items"]["type"] == "array"
    assert json.loads(found["items"]["description"].partition("schema: ")[2]) == {"items": fields}
    assert found["place"] == {"description": 'place; JSON schema: {"$ref": "#/$defs/Place"}'}


@pytest.mark.parametrize(
    "text", ["Look.\n\nArgs:\n    x: what\n\nReturns:\n    it", "Raises: never", "Size (choices: small, big)", "", "  "]
)
def test_any_text_may_describe(text):
    found = read(schema_of("look", text, a={"type": "string", "description": text}, b={"type": "integer"}))["function"]
    assert list(found["parameters"]["properties"]) == ["a", "b"]
    assert found["parameters"]["properties"]["b"]["description"] == "b"
    assert found["description"].split()[0] == (text.split() or ["look"])[0].replace("Raises:", "Errors:")
    assert "enum" not in str(found)


def test_names_that_python_does_not_allow_are_spelled_otherwise_and_passed_on_as_they_are():
    names = ("from", "arrive-by", "self", "arrive_by", "1st")
    schema = schema_of("look", required=["from"], **{name: {"type": "string"} for name in names})
    method = tool_method(schema, lambda holder, name, arguments: f"{name} {arguments}")
    spelled = list(inspect.signature(method).parameters)[1:]
    assert spelled == ["from_", "arrive_by", "self_", "arrive_by_", "_1st"]
    assert list(read(schema)["function"]["parameters"]["properties"]) == spelled
    assert read(schema)["function"]["parameters"]["required"] == ["from_"]
    given = dict.fromkeys(spelled, "x")
    assert method(None, **given) == f"look {dict.fromkeys(names, 'x')}"
    assert method(None, unknown=1) == "look {'unknown': 1}"


def test_a_schema_without_a_type_is_anything():
    assert hint_of({"type": "date", "format": "iso"})[1] == {"type": "date", "format": "iso"}
    assert read(schema_of())["function"] == {
        "name": "look",
        "description": "Look.",
        "parameters": {"type": "object", "properties": {}},
    }
