"""Modules of plug-ins that cannot be imported because of their encoding."""

import pytest

from josh.errors import UsageError
from josh.loading import load


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("x = 1".encode("utf-16"), "it is in UTF-16; save it as UTF-8"),
        ("x = 1".encode("utf-16-le"), "it is in UTF-16; save it as UTF-8"),
        (b"x = '\xe9'\n", "it is not UTF-8 (byte 6); save it as UTF-8"),
        (b"# -*- coding: latin-1 -*-\nx = (", "SyntaxError: '(' was never closed (mine.py, line 2)"),
        (b"import other_in_latin", "other_in_latin.py is not UTF-8 (byte 6); save it as UTF-8"),
    ],
)
def test_the_encoding_of_a_plug_in_is_named(tmp_path, monkeypatch, content, said):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "other_in_latin.py").write_bytes(b"y = '\xe9'\n")
    path = tmp_path / "mine.py"
    path.write_bytes(content)
    with pytest.raises(UsageError) as found:
        load(f"{path}:A", {}, "agent")
    assert str(found.value).startswith(f"agent: {path} cannot be imported: ")
    assert str(found.value).endswith(said)


def test_a_plug_in_may_declare_another_encoding(tmp_path):
    path = tmp_path / "latin.py"
    path.write_bytes("# -*- coding: latin-1 -*-\nA = 'caf\xe9'\n".encode("latin-1"))
    assert load(f"{path}:A", {}, "agent") == "caf\xe9"
