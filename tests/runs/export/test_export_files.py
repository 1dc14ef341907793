"""What an export writes beside its rows, and where."""

import json
from pathlib import Path

import pytest
from exporting import stored

from josh.cli import main
from josh.runs.export.files import manifest_of

pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.fixture
def run():
    assert main(["--josh", "--synthetic_tasks", "4"]) == 0
    (folder,) = Path("records").iterdir()
    return folder


def test_rows_go_to_stdout_and_their_numbers_to_stderr(run, capfdbinary):
    assert main(["export", str(run), "--format", "sft", "--out", "sft.jsonl"]) == 0
    capfdbinary.readouterr()
    assert main(["export", str(run), "--format", "sft", "--out", "-"]) == 0
    out, err = capfdbinary.readouterr()
    assert out == Path("sft.jsonl").read_bytes()
    assert err.startswith(b"sft  ")
    assert b"written to" not in err
    assert not Path("-").exists()


def test_a_manifest_has_no_folder_of_this_machine(run, tmp_path):
    Path("data").mkdir()
    config = json.loads((run / "config.json").read_text())
    config["settings"]["agent"]["model"] = "hf:/home/ann/models/mine,gpt-4o"
    config["settings"]["output"]["log_dir"] = str(tmp_path / "records")
    (run / "config.json").write_text(json.dumps(config))
    assert main(["export", str(run.resolve()), "--format", "sft", "--out", str(tmp_path / "data" / "sft.jsonl")]) == 0
    text = manifest_of(Path("data/sft.jsonl")).read_text()
    (named,) = json.loads(text)["runs"]
    assert named["folder"] == f"../records/{run.name}"
    assert named["settings"]["agent"]["model"] == "hf:mine,gpt-4o"
    assert named["settings"]["output"]["log_dir"] == "records"
    assert "/home/ann" not in text
    assert str(tmp_path) not in text


def test_llama_factory_finds_every_column(run, capsys):
    Path("dataset_info.json").write_text('{"other": {"file_name": "other.json"}}')
    for _ in range(2):
        assert main(["export", str(run), "--format", "sharegpt", "--out", "talk.jsonl"]) == 0
    assert "written to      talk.jsonl, talk.jsonl.manifest.json, dataset_info.json" in capsys.readouterr().out
    assert json.loads(Path("dataset_info.json").read_text()) == {
        "other": {"file_name": "other.json"},
        "talk": {
            "file_name": "talk.jsonl",
            "formatting": "sharegpt",
            "columns": {"messages": "conversations", "system": "system", "tools": "tools"},
        },
    }


@pytest.mark.parametrize(
    ("form", "more", "columns"),
    [
        ("sharegpt-dpo", {"ranking": True}, {"chosen": "chosen", "rejected": "rejected"}),
        ("sharegpt-kto", {}, {"kto_tag": "kto_tag"}),
    ],
)
def test_llama_factory_finds_pairs_and_verdicts(form, more, columns, run, capsys):
    assert main(["export", str(run), "--format", form, "--out", "rows.jsonl"]) == 0
    assert "written to      rows.jsonl, rows.jsonl.manifest.json, dataset_info.json" in capsys.readouterr().out
    assert json.loads(Path("dataset_info.json").read_text())["rows"] == {
        "file_name": "rows.jsonl",
        "formatting": "sharegpt",
        **more,
        "columns": {"messages": "conversations", "system": "system", "tools": "tools", **columns},
    }
    manifest = json.loads(manifest_of(Path("rows.jsonl")).read_text())
    assert set(manifest.get("labels", {})) == ({"true", "false"} if form == "sharegpt-kto" else set())
    manifest_of(Path("rows.jsonl")).unlink()
    assert main(["export", "--check", "rows.jsonl"]) == 0


def test_a_list_of_datasets_that_cannot_be_read_is_left_alone(run, capsys):
    Path("dataset_info.json").write_text("[1")
    assert main(["export", str(run), "--format", "sharegpt", "--out", "talk.jsonl"]) == 2
    assert "cannot add talk to dataset_info.json" in capsys.readouterr().err
    assert Path("dataset_info.json").read_text() == "[1"
    assert not Path("talk.jsonl").exists()


def test_a_row_that_is_not_text_is_left_out_and_counted(run, tmp_path, capsys):
    lines = (run / "episodes.jsonl").read_text().splitlines()
    said = json.loads(lines[0])["nodes"][1]["messages"][0]["content"]
    spoilt = lines[0].replace(json.dumps(said, ensure_ascii=False), '"Hi \\ud83d"')
    assert spoilt != lines[0]
    whole, part = stored(tmp_path / "given", lines, [spoilt, *lines[1:]])
    counts = []
    for number, folder in enumerate((whole, part)):
        assert (
            main(["export", str(folder), "--format", "sft", "--paths", "successful", "--out", f"{number}.jsonl"]) == 0
        )
        counts.append(json.loads(manifest_of(Path(f"{number}.jsonl")).read_text()))
    lost = counts[1]["dropped"]["half of a surrogate pair, which is not text"]
    assert counts[1]["rows"] + lost == counts[0]["rows"]
    assert main(["export", "--check", "1.jsonl"]) == 0
