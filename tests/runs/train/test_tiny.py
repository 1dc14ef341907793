"""The small language model of our own."""

import json
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from josh.agents.persuasion.offline import PHRASES
from josh.cli import main
from josh.envs.persuasion import acts as strategies
from josh.errors import UsageError
from josh.messages import OPENER
from josh.runs.systems.tiny_persuader import dialogues
from josh.runs.train.tiny import MANIFEST, Tiny, build, manifest

TEMPLATE_TEXTS = [
    {"role": "system", "content": "You are a crowd worker."},
    {"role": "user", "content": OPENER},
    {"role": "assistant", "content": "Hello! How are you today?"},
    {"role": "user", "content": "Good."},
]


def tokenizer_of(folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def test_its_dialogues_are_what_a_persuader_of_that_name_would_see():
    said = list(dialogues(30, seed=1))
    known = sorted((phrase for phrases in PHRASES.values() for phrase in phrases), key=len, reverse=True)
    assert said == list(dialogues(30, seed=1)) != list(dialogues(30, seed=2))
    for messages in said:
        assert messages[0] == {"role": "user", "content": OPENER}
        for message in messages[1:]:
            rest = message["content"]
            for phrase in known if message["role"] == "assistant" else ():
                rest = rest.replace(phrase, "")
            assert message["role"] == "user" or not rest.strip()
        assert 3 <= len(messages) <= 21
    spoken = " ".join(message["content"] for messages in said for message in messages if message["role"] == "assistant")
    assert all(sum(phrase in spoken for phrase in phrases) <= 2 for phrases in PHRASES.values())
    acts = {act for messages in said for act in strategies.acts(messages[3]["content"] if len(messages) > 3 else "")}
    assert len(acts) > 8


def test_model_and_tokenizer_load_from_the_folder_with_no_network(tiny_model, monkeypatch):
    from transformers import AutoModelForCausalLM

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny_model), tokenizer_of(tiny_model)
    assert model.config.vocab_size == len(tokenizer) == 512
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert json.loads((tiny_model / MANIFEST).read_text())["parameters"] == model.num_parameters() < 40_000


def test_its_template_keeps_prefixes_and_leaves_the_system_prompt_out(tiny_model):
    tokenizer = tokenizer_of(tiny_model)
    texts = [
        tokenizer.apply_chat_template(TEMPLATE_TEXTS[: end + 1], tokenize=False) for end in range(len(TEMPLATE_TEXTS))
    ]
    assert texts[0] == ""
    assert all(longer.startswith(shorter) for shorter, longer in pairwise(texts))
    prompt = tokenizer.apply_chat_template(TEMPLATE_TEXTS[:2], tokenize=False, add_generation_prompt=True)
    assert texts[2] == f"{prompt}Hello! How are you today?<|end|>"


def test_its_template_marks_what_the_assistant_says_and_its_end(tiny_model):
    tokenizer = tokenizer_of(tiny_model)
    given = tokenizer.apply_chat_template(
        TEMPLATE_TEXTS, return_dict=True, return_assistant_tokens_mask=True, add_generation_prompt=False
    )
    spoken = [one for one, mine in zip(given["input_ids"], given["assistant_masks"], strict=True) if mine]
    assert tokenizer.decode(spoken) == "Hello! How are you today?<|end|>"


def test_its_template_numbers_the_assistants_turns_up_to_ten(tiny_model):
    tokenizer = tokenizer_of(tiny_model)
    said = [TEMPLATE_TEXTS[1], *[TEMPLATE_TEXTS[2], TEMPLATE_TEXTS[3]] * 12]
    for turns in (0, 1, 9, 10, 12):
        prompt = tokenizer.apply_chat_template(said[: 2 * turns + 1], tokenize=False, add_generation_prompt=True)
        ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        assert tokenizer.convert_ids_to_tokens(ids[-2:]) == ["<|assistant|>", f"<|{min(turns + 1, 10)}|>"]
        assert tokenizer(f"{prompt}50 cents", add_special_tokens=False)["input_ids"][: len(ids)] == ids


@pytest.mark.slow
def test_the_same_settings_make_the_same_bytes(tiny_model, tmp_path):
    build(tmp_path / "again", Tiny("nano"))
    build(tmp_path / "other", Tiny("nano", seed=1))
    weights, again, other = (
        (folder / "model.safetensors").read_bytes() for folder in (tiny_model, tmp_path / "again", tmp_path / "other")
    )
    assert weights == again != other
    assert (tiny_model / "tokenizer.json").read_bytes() == (tmp_path / "again" / "tokenizer.json").read_bytes()


@pytest.mark.slow
def test_it_is_made_once_unless_forced(tiny_model, tmp_path, capsys):
    out = tmp_path / "model"
    arguments = ["tiny", "--out", str(out), "--size", "nano"]
    assert main(arguments) == 0
    made = (out / MANIFEST).stat().st_mtime_ns
    assert main(arguments) == 0
    assert (out / MANIFEST).stat().st_mtime_ns == made
    said = capsys.readouterr()
    assert "29," in said.out
    assert said.err.splitlines()[-1].startswith("josh: pretraining 20 of 20 steps, loss ")
    assert len(said.err.splitlines()) == 10
    assert "\r" not in said.err, "stderr is not a terminal"
    assert (out / "model.safetensors").stat().st_mode == (out / MANIFEST).stat().st_mode
    assert main([*arguments, "--force"]) == 0
    assert (out / MANIFEST).stat().st_mtime_ns != made
    assert main([*arguments, "--seed", "3"]) == 0
    assert manifest(out)["seed"] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_nothing_else_is_overwritten(tmp_path):
    (tmp_path / "thesis.tex").write_text("\\documentclass{article}")
    with pytest.raises(UsageError, match="is not a tiny model; give another --out"):
        build(tmp_path, Tiny("nano"))
    assert (tmp_path / "thesis.tex").exists()


def test_what_lies_beside_a_tiny_model_is_never_removed(tiny_model, tmp_path, capsys):
    out = tmp_path / "model"
    shutil.copytree(tiny_model, out)
    (out / "adapters").mkdir()
    (out / "adapters" / "mine").write_text("weeks of work")
    assert main(["tiny", "--out", str(out), "--size", "nano"]) == 0, "it is there already"
    capsys.readouterr()
    for more in ("--force", "--seed=3"):
        assert main(["tiny", "--out", str(out), "--size", "nano", more]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"{out} also has adapters, which does not belong to a tiny model" in line
    assert (out / "adapters" / "mine").exists()
    assert (out / "model.safetensors").exists()


def test_a_model_that_is_not_whole_is_made_anew(tiny_model, tmp_path):
    out = tmp_path / "model"
    shutil.copytree(tiny_model, out)
    (out / "model.safetensors").unlink()
    build(out, Tiny("nano"))
    assert (out / "model.safetensors").read_bytes() == (tiny_model / "model.safetensors").read_bytes()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "model", Path("/proc/model"), tmp_path / ("x" * 300)):
        assert main(["tiny", "--out", str(out), "--size", "nano"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith((f"josh: cannot write to {out}: ", f"josh: {out} exists and is not a tiny model"))
        assert "give another --out" in line


@pytest.mark.parametrize(
    ("settings", "words"), [({"size": "huge"}, "known: small, nano"), ({"threads": 0}, "give 1 to 1024")]
)
def test_wrong_settings_are_named(settings, words):
    with pytest.raises(UsageError, match=words):
        Tiny(**settings)


def test_a_world_that_offers_no_dialogues_is_named(tmp_path, capsys):
    assert main(["tiny", "--out", str(tmp_path / "model"), "--size", "nano", "--env", "toolwoz"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "josh: env 'toolwoz' has no dialogues for a tiny model to learn from; give another --env"
    assert not (tmp_path / "model").exists()
