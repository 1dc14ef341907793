"""Evaluation files for slime, in its own schema and in that of its persuasion example."""

import pytest

from josh.errors import UsageError
from josh.runs.train.slime_eval import eval_config, main

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")


def test_the_examples_form_becomes_slimes(tmp_path, capsys):
    file, out = tmp_path / "eval_config.yaml", tmp_path / "slime.yaml"
    file.write_text("test:\n  prompt_data: data/test.jsonl\n  metadata_overrides:\n    persuadee_model: m\n")
    assert main([str(file), "--out", str(out)]) == 0
    (one,) = yaml.safe_load(out.read_text())["eval"]["datasets"]
    assert (one["name"], one["path"], one["metadata_overrides"]) == (
        "test",
        "data/test.jsonl",
        {"persuadee_model": "m"},
    )
    assert (one["input_key"], one["label_key"], one["metadata_key"]) == ("prompt", "label", "metadata")
    assert eval_config(out) == yaml.safe_load(out.read_text()), "slime's own form stays"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1, 2]", "holds no data sets"),
        ("{}", "holds no data sets"),
        ("test: {path: x}", "test has no prompt_data"),
        ("test: [", "cannot be read"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, capsys, text, said):
    file = tmp_path / "e.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=said):
        eval_config(file)
    assert main([str(file), "--out", str(tmp_path / "o.yaml")]) == 2
    assert not (tmp_path / "o.yaml").exists()
    assert capsys.readouterr().err.count("\n") == 1


def test_a_place_that_cannot_be_written_is_one_line(tmp_path, capsys):
    file = tmp_path / "e.yaml"
    file.write_text("test:\n  prompt_data: data/test.jsonl\n")
    assert main([str(file), "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"josh: cannot write {tmp_path}: Is a directory\n"
