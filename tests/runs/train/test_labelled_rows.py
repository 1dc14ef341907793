"""From the trees of debates to an adapter: generate, prefs, SFT, then DPO with held-out pairs."""

import json
import re
from pathlib import Path

import pytest
from tuning import card, needs_trl

from josh.cli import main

# PEFT's own affair, whenever a model is wrapped outside `josh train`.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]


@needs_trl
def test_the_published_stages_run_one_after_the_other(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def josh(*words):
        assert main(list(map(str, words))) == 0, capsys.readouterr().err
        return capsys.readouterr().out.splitlines()

    josh("pbt", "generate", "--limit", 40, "--out_dir", "trees")
    for part, form in (("train", "sft"), ("train", "dpo"), ("valid", "dpo")):
        josh("pbt", "prefs", "trees", "--split", part, "--format", form, "--out", f"{part}-{form}.jsonl")
    common = ("--model", tiny, "--out", "adapters", "--torch_threads", 1, "--max_steps", 2, "--batch_size", 2)
    small = ("--accumulation", 1, "--warmup", 1)
    josh("train", "sft", "--preset", "pbt-sft", "--data", "train-sft.jsonl", "--max_length", 2000, *common, *small)
    (first,) = Path("adapters").iterdir()
    given = ("--data", "train-dpo.jsonl", "--eval_data", "valid-dpo.jsonl", "--base_adapter", first)
    limits = ("--max_length", 2000, "--monitor_every", 0)
    said = josh("train", "dpo", "--preset", "pbt-dpo", *given, *limits, *common, *small)
    (second,) = set(Path("adapters").iterdir()) - {first}
    (evaluation,) = card(second)["evaluations"]
    pairs = [json.loads(line) for line in Path("valid-dpo.jsonl").read_text().splitlines()]
    types = ("flip_correct_to_incorrect", "flip_incorrect_to_correct")
    shares = [evaluation[f"eval_accuracy/{kind}"] for kind in types]
    assert evaluation["eval_pairs"] == len(pairs) > 4
    assert evaluation["eval_balanced_accuracy"] == pytest.approx(sum(shares) / 2)
    assert any(re.match(r"epoch \d(\.\d\d?)? +balanced accuracy", line) for line in said)


@needs_trl
def test_pairs_about_the_questions_of_the_training_are_not_held_out(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["pbt", "generate", "--limit", "20"]) == 0
    assert main(["pbt", "prefs", "records/pbt", "--out", "all.jsonl"]) == 0
    count = len(Path("all.jsonl").read_text().splitlines())
    capsys.readouterr()
    flags = ["--data", "all.jsonl", "--eval_data", "all.jsonl", "--model", "nowhere", "--out", "adapters"]
    assert main(["train", "dpo", *flags]) == 2
    line = f"josh: {count} of {count} pairs of all.jsonl are about questions of all.jsonl; they are not held out"
    assert capsys.readouterr().err.splitlines()[0] == line
