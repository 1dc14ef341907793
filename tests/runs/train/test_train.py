"""`josh train` makes adapters that have learned what the rows want."""

import json
import os
import re
import subprocess
import sys
from hashlib import sha256

import pytest
from local_models import ask
from tuning import ASK, DPO, MORE, PLAIN, ROWS, THANKS, card, likelihood, needs_trl, says, write

from josh.models.chat import Request, Sampling
from josh.models.hf import HFChat
from josh.runs.train.settings import PRESETS
from josh.runs.train.sources import fingerprint

# PEFT's own affair, whenever a model is wrapped outside `josh train`.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]


@needs_trl
@pytest.mark.parametrize(
    ("method", "wanted", "unwanted"), [("sft", MORE, None), ("dpo", THANKS, MORE), ("kto", THANKS, MORE)]
)
def test_a_model_learns_what_the_rows_want(tune, tiny, method, wanted, unwanted):
    code, said, (adapter,) = tune(method, "--learning_rate", 5e-3, *(("--epochs", 8) if method == "sft" else ()))
    assert code == 0, said.err
    assert said.err == "", "quiet without a terminal"
    assert said.out.splitlines()[-2].split()[1] == str(adapter)
    assert said.out.splitlines()[-1] == f"use it with --model hf:{tiny}+{adapter}"
    assert likelihood(tiny, adapter, wanted) > likelihood(tiny, None, wanted)
    if unwanted:
        assert likelihood(tiny, adapter, unwanted) < likelihood(tiny, None, unwanted)


@needs_trl
def test_the_adapter_says_what_it_was_made_of(tune, tiny, tmp_path):
    long = {**DPO, "prompt": [says("user", ASK * 9)]}
    rows = [*ROWS["dpo"], long]
    digest = sha256(write(tmp_path / "dpo.jsonl", rows).read_bytes()).hexdigest()
    write(tmp_path / "dpo.jsonl.manifest.json", [{"sha256": digest}])
    code, said, (adapter,) = tune("dpo", "--max_length", 60, rows=rows)
    assert code == 0, said.err
    assert "1 of 17 rows are longer than 60 tokens" in said.err
    noted = card(adapter)
    assert adapter.name == noted["name"] == f"josh-dpo-{noted['name'][-8:]}"
    assert noted["base"]["name"] == str(tiny)
    assert len(noted["base"]["sha256"]) == len(noted["data"]["sha256"]) == 64
    assert noted["data"]["manifest"] == {"sha256": digest}
    assert noted["rows"]["used"] == 16
    assert noted["rows"]["examples"] == 16
    assert noted["rows"]["dropped"] == {"too_long": 1, "control_tokens": 0, "refused": 0}
    assert noted["settings"]["beta"] == 0.3
    assert noted["settings"]["preset"] == "tiny"
    assert noted["versions"]["trl"]
    assert noted["losses"]["last"] < noted["losses"]["first"]
    assert noted["losses"]["rewards/accuracies"] > 0.5
    assert [look["step"] for look in noted["monitor"]] == [0, 4]
    assert {path.name for path in adapter.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "chat_template.jinja",
        "josh_adapter.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    config = json.loads((adapter / "adapter_config.json").read_text())
    assert set(config["target_modules"]) == {
        *("q_proj", "k_proj", "v_proj", "o_proj"),
        *("gate_proj", "up_proj", "down_proj"),
    }


@needs_trl
def test_a_manifest_of_other_rows_is_left_out_and_one_that_is_none_is_refused(tune, tmp_path):
    manifest = tmp_path / "sft.jsonl.manifest.json"
    write(manifest, [{"sha256": "0" * 64, "runs": []}])
    code, said, (adapter,) = tune("sft", "--epochs", 1)
    assert code == 0
    assert "sft.jsonl.manifest.json belongs to other rows than sft.jsonl" in said.err
    assert card(adapter)["data"]["manifest"] is None
    for garbage in ("{", "[]", "[" * 100_000):
        manifest.write_text(garbage)
        code, said, made = tune("sft", out="none")
        assert (code, made) == (2, [])
        (line,) = said.err.splitlines()
        assert f"{manifest} is not a readable manifest" in line


@needs_trl
def test_what_a_tracker_writes_to_files_stays_with_the_adapter(tune):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: pip install 'josh-dialogue[dev]'")
    code, said, (adapter,) = tune("sft", "--report_to", "tensorboard")
    assert code == 0, said.err
    assert list((adapter / "tensorboard").rglob("events.out.*"))
    assert not (adapter / "checkpoints").exists()


@needs_trl
def test_the_same_training_has_the_same_name_and_the_same_bytes(tune):
    _, _, (one,) = tune("sft", out="one")
    _, _, (other,) = tune("sft", out="other")
    assert one.name == other.name
    weights = "adapter_model.safetensors"
    assert (one / weights).read_bytes() == (other / weights).read_bytes()
    code, said, made = tune("sft", out="one")
    assert code == 2
    assert made == [one]
    assert "exists already" in said.err
    _, _, made = tune("sft", "--seed", 7, out="one")
    assert len(made) == 2, "another seed is another adapter"


@pytest.mark.parametrize(
    "name",
    [
        *("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json"),
        *("generation_config.json", "adapter_config.json", "model.safetensors"),
    ],
)
def test_whatever_makes_another_model_makes_another_fingerprint(tmp_path, name):
    (tmp_path / name).write_text("one")
    one = fingerprint(tmp_path)
    assert one == fingerprint(tmp_path)
    (tmp_path / name).write_text("two")
    assert fingerprint(tmp_path) != one


@needs_trl
def test_an_adapter_can_be_trained_on_and_merged(tune, tiny, tmp_path):
    code, said, (first,) = tune("sft", "--name", "first", out="a")
    assert (code, first.name) == (0, "first"), said.err
    code, said, (whole,) = tune("dpo", "--base_adapter", first, "--merge", "--learning_rate", 5e-3, out="b")
    assert code == 0, said.err
    assert card(whole)["base_adapter"]["name"] == str(first)
    assert (whole / "config.json").exists()
    assert not (whole / "adapter_config.json").exists()
    assert likelihood(whole, None, THANKS) > likelihood(tiny, first, THANKS)
    code, said, _ = tune("sft", "--base_adapter", first, "--lora_rank", 4)
    assert code == 2
    assert "lora_rank is given with base_adapter" in said.err


@needs_trl
def test_two_processes_make_one_adapter(tiny, tmp_path):
    data = write(tmp_path / "dpo.jsonl", ROWS["dpo"])
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "josh"]
    flags = ["--data", data, "--model", tiny, "--out", tmp_path / "out", "--preset", "tiny", "--batch_size", "4"]
    done = subprocess.run(
        [*launch, "train", "dpo", *map(str, flags)],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    (adapter,) = (tmp_path / "out").iterdir()
    noted = card(adapter)
    assert noted["devices"] == 2
    assert noted["losses"]["steps"] == 4
    assert [look["step"] for look in noted["monitor"]] == [0, 4]
    assert [line.split()[-1] for line in done.stdout.splitlines() if line.startswith("adapter")] == [str(adapter)]
    assert likelihood(tiny, adapter, THANKS) > likelihood(tiny, None, THANKS)


@needs_trl
def test_settings_come_from_a_file_and_flags_win(tune, tmp_path):
    (tmp_path / "mine.toml").write_text("epochs = 1\nlora-rank = 4\nlearning_rate = 0.1\n")
    code, said, (adapter,) = tune("sft", "--config", tmp_path / "mine.toml", "--learning_rate", 1e-3)
    assert code == 0, said.err
    noted = card(adapter)
    assert noted["losses"]["steps"] == 2
    assert [noted["settings"][name] for name in ("lora_rank", "learning_rate")] == [4, 1e-3]


@needs_trl
@pytest.mark.parametrize(("method", "rate"), [("sft", 1), ("sft", 100), ("sft", 1e9), ("dpo", 100), ("dpo", 1e9)])
def test_a_training_that_diverges_fails_and_leaves_no_adapter(tune, method, rate):
    code, said, made = tune(method, "--learning_rate", rate, "--monitor_every", 0, "--epochs", 8)
    assert code == 1
    assert made == []
    (line,) = said.err.splitlines()
    assert line.startswith("josh: the training diverged: ")
    assert line.endswith(f"no adapter was written, give a lower learning_rate than {rate:g}")


@needs_trl
def test_a_loss_that_ends_above_its_beginning_is_said(tune):
    code, said, _ = tune("sft", "--learning_rate", 0.05, "--monitor_drop", 50, "--schedule", "constant")
    assert code == 0
    first, last = (float(number) for number in re.findall(r"(\d+\.\d+) at", said.out))
    assert (last > first) == ("the last loss is above the first" in said.err)


@needs_trl
def test_an_adapter_is_found_with_its_base_from_every_folder(tune, tiny, tmp_path, monkeypatch):
    from peft import AutoPeftModelForCausalLM

    monkeypatch.chdir(tiny.parent)
    code, said, (adapter,) = tune("sft", "--model", tiny.name)
    assert code == 0, said.err
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["base_model_name_or_path"] == str(tiny.resolve())
    monkeypatch.chdir(tmp_path)
    assert AutoPeftModelForCausalLM.from_pretrained(adapter) is not None


@needs_trl
def test_an_adapter_carries_the_template_that_it_was_trained_with(tune, tiny, tmp_path):
    template = tmp_path / "own.jinja"
    template.write_text(PLAIN.replace("{% for", "{% if loud %}<|system|>{% endif %}{% for", 1), encoding="utf-8")
    flags = ["--chat_template", template, "--chat_template_kwargs", '{"loud": true}']
    code, said, (adapter,) = tune("sft", *flags)
    assert code == 0, said.err
    assert template.read_text(encoding="utf-8") in (adapter / "chat_template.jinja").read_text(encoding="utf-8")
    assert card(adapter)["settings"]["chat_template_kwargs"] == {"loud": True}
    chat = HFChat(f"hf:{tiny}+{adapter}", threads=1)
    [given] = ask(chat, Request([says("user", ASK)], Sampling(max_tokens=4), 1))
    assert chat._tokenizer.decode(list(given.replies[0].prompt_ids)) == f"<|system|><|user|>{ASK}<|end|>\n<|assistant|>"


@needs_trl
def test_of_a_row_with_a_completion_only_the_completion_is_learned(tune, tiny):
    earlier = [says("user", ASK), says("assistant", THANKS), says("user", ASK)]
    row = {"prompt": earlier, "completion": [says("assistant", MORE)], "question": "?", "code": "agree"}
    code, said, (adapter,) = tune("sft", "--learning_rate", 5e-3, "--epochs", 8, rows=[row] * 16)
    assert (code, said.err) == (0, "")
    assert likelihood(tiny, adapter, MORE) > likelihood(tiny, None, MORE)
    assert likelihood(tiny, adapter, THANKS) < likelihood(tiny, None, THANKS)


RESIST, ACCEPT = "flip_correct_to_incorrect", "flip_incorrect_to_correct"
"""The types of held-out pairs."""


@needs_trl
def test_held_out_pairs_give_the_balanced_accuracy_of_every_epoch_and_change_no_bytes(tune, tiny, tmp_path):
    from transformers import AutoTokenizer

    other = {**DPO, "chosen": DPO["rejected"], "rejected": DPO["chosen"]}
    held_out = write(tmp_path / "valid.jsonl", [{**DPO, "type": RESIST}] * 3 + [{**other, "type": ACCEPT}])
    flags = ("--learning_rate", 5e-3, "--epochs", 2, "--lora_dropout", 0.1)
    _, _, (plain,) = tune("dpo", *flags)
    code, said, (adapter,) = tune("dpo", *flags, "--eval_data", held_out, "--report_to", "tensorboard", out="other")
    assert code == 0
    assert "4 of 4 pairs of " in said.err and said.err.endswith("; they are not held out\n")
    of_both = f"{RESIST} 1.000, {ACCEPT} 0.000"
    assert f"epoch 2   balanced accuracy 0.500 on 4 pairs ({of_both})" in said.out.splitlines()
    first, last = card(adapter)["evaluations"]
    assert (first["epoch"], last["epoch"]) == (1, 2)
    assert (last["eval_accuracy"], last["eval_balanced_accuracy"]) == (0.75, 0.5)
    assert (last[f"eval_accuracy/{RESIST}"], last[f"eval_accuracy/{ACCEPT}"]) == (1, 0)
    assert last["eval_margin"] > first["eval_margin"] > 0
    tokens = AutoTokenizer.from_pretrained(tiny)
    gains = [
        (likelihood(tiny, adapter, said) - likelihood(tiny, None, said)) * len(tokens(f"{said}<|end|>")["input_ids"])
        for said in (THANKS, MORE)
    ]
    margin = PRESETS["tiny"]["dpo"]["beta"] * (gains[0] - gains[1])
    assert last["eval_margin"] == pytest.approx((3 * margin - margin) / 4, rel=1e-3)
    assert adapter.name == plain.name
    weights = [folder / "adapter_model.safetensors" for folder in (plain, adapter)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert any(b"eval/balanced_accuracy" in log.read_bytes() for log in adapter.rglob("events.*"))


@needs_trl
def test_training_ends_after_the_steps_that_are_given_and_adapts_all_linear_layers(tune):
    code, said, (adapter,) = tune("dpo", "--max_steps", 3, "--epochs", 9, "--lora_targets", "all-linear")
    assert (code, said.err) == (0, "")
    assert card(adapter)["losses"]["steps"] == 3
    targets = json.loads((adapter / "adapter_config.json").read_text())["target_modules"]
    names = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    assert {name.rpartition(".")[2] for name in targets} == set(names)
