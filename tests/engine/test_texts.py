"""Why a text is not JSON, and errors in plain words."""

import json

import pytest

from josh.errors import UsageError
from josh.texts import json_fault, json_rows
from josh.threads import plain


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty"),
        ('{"a": 1', "it ends too early"),
        ('{"a": "b', "it ends too early"),
        ('{"a": b}', "it has a fault at column 7: 'b}'"),
        ('{"a": 1} {"b": 2}', "something follows its end at column 10: '{\"b\": 2}'"),
        ('{\n"a": 1\n"b": 2}', "it has a fault at line 3, column 1: '\"b\": 2}'"),
        ("[" * 100_000, "it is nested too deeply"),
        (b"\xff", "it is not UTF-8 (byte 1)"),
    ],
)
def test_the_fault_of_a_text_is_shown_where_it_is(text, said):
    with pytest.raises((ValueError, RecursionError)) as found:
        json.loads(text if isinstance(text, str) else text.decode())
    assert json_fault(found.value) == said


def test_a_file_in_an_encoding_that_was_guessed_is_said_to_be(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes("no rows".encode("utf-16"))
    with pytest.raises(UsageError) as found:
        list(json_rows(path))
    fault = "it has a fault at column 1: 'no rows'"
    assert str(found.value) == f"{path} line 1 is not JSON: {fault}; the file was read as UTF-16: save it as UTF-8"


def test_an_error_of_the_system_or_a_library_is_said_without_its_class():
    assert plain(FileNotFoundError(2, "No such file or directory", "x")) == "No such file or directory: x"
    assert plain(OSError("x is not a model")) == "x is not a model"
    assert plain(ValueError("two\nlines")) == "two lines"
    assert plain(KeyError("x")) == "KeyError: 'x'"
    assert plain(RuntimeError()) == "RuntimeError"
