"""A searched run of ToolWOZ, and what is trained on it."""

import json
import shutil

import pytest
from tuning import needs_trl
from woz_talk import ENV, HARD

from josh.cli import main

TOOLED = (
    "{% if tools %}<|system|>{% for tool in tools %}{{ tool['function']['name'] }} {% endfor %}<|end|>{% endif %}"
    "{% for m in messages %}{% if m['role'] == 'assistant' %}<|assistant|>{% generation %}{{ m['content'] }}"
    "{% for call in m['tool_calls'] or [] %}{{ call['id'] }} {{ call['function'] | tojson }}{% endfor %}<|end|>"
    "{% endgeneration %}{% elif m['role'] == 'tool' %}<|user|>{{ m['tool_call_id'] }} {{ m['content'] }}<|end|>"
    "{% elif m['role'] == 'user' %}<|user|>{{ m['content'] }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
"""A chat template that shows tools, calls and answers; it leaves system messages out, to be short."""


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """A searched run's training files, by format."""
    folder = tmp_path_factory.mktemp("run")
    assert main(["--env", "toolwoz", "--josh", "--synthetic_tasks", "12", "--log_dir", str(folder)]) == 0
    [run] = folder.iterdir()
    files = {form: folder / f"{form}.jsonl" for form in ("sft", "kto", "dpo")}
    for form, path in files.items():
        assert main(["export", str(run), "--format", form, "--out", str(path)]) == 0
    return files


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("form", ["sft", "kto", "dpo"])
def test_training_rows_are_sound_and_carry_the_tools(rows, form, capsys):
    assert main(["export", "--check", str(rows[form])]) == 0
    assert "sound" in capsys.readouterr().out
    called = 0
    for row in read(rows[form]):
        assert [tool["function"]["name"] for tool in row["tools"]] == [
            tool["function"]["name"] for tool in ENV.tools(HARD)
        ]
        said = row.get("messages") or row["prompt"]
        calls = [call["id"] for message in said for call in message.get("tool_calls", ())]
        assert calls == [message["tool_call_id"] for message in said if message["role"] == "tool"]
        called += len(calls)
    assert called > len(read(rows[form])) / 2


def test_pairs_set_a_good_call_against_a_bad_one(rows):
    calls = [[row[side][0].get("tool_calls") for side in ("chosen", "rejected")] for row in read(rows["dpo"])]
    assert any(good and not bad for good, bad in calls), "a call against empty words"
    assert any(good and bad for good, bad in calls), "a call against one that leaves something out"


@pytest.mark.slow
@needs_trl
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("form", ["sft", "kto", "dpo"])
def test_a_model_whose_template_shows_tools_is_trained_on_them(rows, form, tiny_model, tmp_path, capsys):
    model, data = shutil.copytree(tiny_model, tmp_path / "model"), tmp_path / f"{form}.jsonl"
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 4096}))
    called = [row for row in sorted(read(rows[form]), key=lambda row: len(str(row))) if "tool_calls" in str(row)]
    few = [row for label in (True, False) for row in called if row.get("label", label) is label][: len(called)]
    few = few[:3] + few[-3:] if form == "kto" else few[:4]
    data.write_text("".join(f"{json.dumps(row)}\n" for row in few))
    flags = ["--data", str(data), "--model", str(model), "--preset", "tiny", "--torch_threads", "1"]
    assert main(["train", form, *flags, "--out", str(tmp_path / "blind"), "--max_length", "4000"]) == 2
    assert "leaves out tool calls" in capsys.readouterr().err
    (model / "chat_template.jinja").write_text(TOOLED)
    assert main(["train", form, *flags, "--out", str(tmp_path / "out"), "--max_length", "4000"]) == 0
    said = capsys.readouterr()
    assert f"{len(few)} used, 0 too long" in said.err + said.out
    assert len(list((tmp_path / "out").iterdir())) == 1


@needs_trl
def test_trl_gets_every_call_with_its_own_arguments_and_no_others(rows):
    from datasets import Dataset

    wanted = [{key: row[key] for key in ("prompt", "completion", "label")} for row in read(rows["kto"])]
    assert list(Dataset.from_list(wanted, on_mixed_types="use_json")) == wanted
