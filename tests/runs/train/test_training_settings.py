"""What is checked before the first step: rows, flags, presets and the recipes' commands."""

import json
import re
import shlex

import pytest
from places import ROOT
from tuning import DPO, LOST, SFT, WON, needs_trl, says

from josh.cli import main
from josh.errors import UsageError
from josh.parser import parse
from josh.runs.train.data import read_rows
from josh.runs.train.preferences import preference_metrics
from josh.runs.train.settings import PRESETS, resolve_training
from josh.runs.train.sources import adapter_digest
from josh.runs.train.tuning import tracker_settings

# PEFT's own affair, whenever a model is wrapped outside `josh train`.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


@pytest.mark.parametrize(
    ("method", "rows", "sentence"),
    [
        ("sft", ["not json"], "line 1: it is not a JSON object"),
        ("sft", [SFT, DPO], "line 2: no 'messages', which sft rows have; it is a row for `josh train dpo`"),
        ("sft", [{"messages": [says("user", "hello")]}], "line 1: messages have no assistant turn"),
        ("sft", [{"messages": [{"role": "robot", "content": ""}]}], "line 1: messages is not a list of messages"),
        ("sft", [SFT, "[" * 100_000], "line 2: it is not a JSON object"),
        ("sft", [{"messages": [{"role": [], "content": ""}]}], "line 1: messages is not a list of messages"),
        ("sft", [{"messages": [{**SFT["messages"][2], "tool_calls": "zz"}]}], "line 1: messages is not a list"),
        (
            "sft",
            [{"messages": [{**SFT["messages"][2], "tool_calls": [{"id": "1"}]}]}],
            "line 1: messages is not a list",
        ),
        ("sft", [{"messages": [says("assistant", "\ud800")]}], "line 1: it has half of a surrogate pair"),
        ("sft", [{**SFT, "tools": "not json"}], "line 1: tools is not a list of schemas"),
        ("kto", [{**WON, "tools": [5]}], "line 1: tools is not a list of schemas"),
        ("dpo", [{**DPO, "rejected": DPO["chosen"]}], "line 1: chosen and rejected say the same"),
        ("dpo", [{**DPO, "chosen": DPO["prompt"]}], "line 1: chosen is not one assistant message"),
        ("dpo", [{**DPO, "prompt": DPO["chosen"]}], "line 1: prompt ends with a turn of the assistant"),
        ("kto", [WON, {**LOST, "label": "no"}], "line 2: label is 'no'; give true or false"),
        ("kto", [WON, WON], "has only winning turns"),
        ("kto", [{"prompt": WON["prompt"], "completion": WON["completion"]}], "it is a row for `josh train sft`"),
        ("sft", [WON], "line 1: no 'messages', which sft rows have; it is a row for `josh train kto`"),
        ("sft", [{"prompt": WON["prompt"], "completion": []}], "line 1: completion is not a list of messages"),
        ("dpo", [{**DPO, "type": 3}], "line 1: type is 3; give a text, or leave it out"),
        ("kto", [], "has no rows"),
    ],
)
def test_rows_that_do_not_fit_are_named(method, rows, sentence, tmp_path):
    data = tmp_path / "rows.jsonl"
    data.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    with pytest.raises(UsageError) as error:
        read_rows(data, method)
    assert sentence in str(error.value)


@needs_trl
@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--data", "nowhere.jsonl"), "cannot read nowhere.jsonl: No such file"),
        (("--model", "/nowhere/model"), "there is no folder /nowhere/model"),
        (("--max_length", "5"), "longer than max_length, 5 tokens"),
        (("--load_in_4bit",), "this machine has no CUDA device"),
        (("--base_adapter", "nowhere"), "has no adapter"),
        (("--preset", "josh-kto"), "preset 'josh-kto' has no values for sft; give one of josh-sft,"),
        (("--preset", "best"), "no preset named 'best'"),
        (("--epochs", "0"), "epochs is 0.0; give a number above 0"),
        (("--name", "../up"), "give a folder's name"),
    ],
)
def test_what_cannot_be_is_said_in_a_line_and_nothing_is_left(tune, flags, sentence):
    code, said, made = tune("sft", *flags)
    assert code == 2
    assert made == []
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert sentence in said.err


def test_kto_needs_two_rows_in_a_batch():
    with pytest.raises(UsageError, match="batch_size is 1; KTO compares"):
        resolve_training("kto", {"data": "d", "model": "m", "out": "o", "batch_size": 1})


# Presets and recipes


def test_the_presets_are_the_published_hyperparameters():
    kto, sft = PRESETS["josh-kto"]["kto"], PRESETS["josh-sft"]["sft"]
    assert (kto["learning_rate"], kto["beta"], kto["desirable_weight"], kto["undesirable_weight"]) == (
        5e-7,
        0.03,
        2.05,
        1,
    )
    assert (sft["learning_rate"], sft["lora_rank"], sft["lora_alpha"], sft["epochs"]) == (2e-5, 64, 64, 3)
    for method, rows in (("sft", 16), ("kto", 8)):
        settings = resolve_training(method, {"data": "d", "model": "m", "out": "o"})
        assert settings.batch_size * settings.accumulation == rows
    files = {"data": "d", "model": "m", "out": "o"}
    sft = resolve_training("sft", {**files, "preset": "pbt-sft"})
    dpo = resolve_training("dpo", {**files, "preset": "pbt-dpo", "base_adapter": "a"})
    for one in (sft, dpo):
        assert (one.lora_rank, one.lora_alpha, one.lora_dropout, one.lora_targets) == (16, 32, 0.05, "all-linear")
        assert (one.learning_rate, one.schedule, one.warmup) == (5e-4, "cosine", 100)
    assert (sft.max_steps, sft.batch_size, sft.accumulation, sft.max_length) == (240, 8, 10, 1024)
    assert (dpo.beta, dpo.epochs, dpo.batch_size, dpo.accumulation, dpo.max_length) == (0.1, 5, 7, 5, 1000)


def test_settings_that_were_added_later_leave_the_names_of_adapters_as_they_were():
    def digest(**given):
        settings = resolve_training("dpo", {"data": "d", "model": "m", "out": "o", "preset": "tiny", **given})
        return adapter_digest("dpo", settings, {"base": {"sha256": "1"}, "data": {"sha256": "2"}})

    assert digest().startswith("f18307de37ac")
    assert digest(eval_data="valid.jsonl") == digest()
    assert len({digest(), digest(max_steps=3), digest(lora_targets="all-linear")}) == 3


@pytest.mark.parametrize(
    ("margins", "types", "found"),
    [
        ((1.0, -1.0), (None, None), {"eval_accuracy": 0.5}),
        (
            (2.0, 0.0, 1.0, -3.0),
            ("resist", "resist", "accept", None),
            {
                "eval_accuracy": 0.5,
                "eval_accuracy/resist": 0.5,
                "eval_accuracy/accept": 1.0,
                "eval_balanced_accuracy": 0.75,
            },
        ),
    ],
)
def test_balanced_accuracy_is_the_mean_of_the_types(margins, types, found):
    common = {"eval_pairs": len(margins), "eval_margin": 0.0}
    assert preference_metrics(margins, types) == common | found


def test_held_out_rows_are_for_sft_and_dpo(capsys):
    assert main(["train", "kto", "--data", "d", "--model", "m", "--out", "o", "--val-data", "e"]) == 2
    assert "but kto does not read it; leave it out, or train sft or dpo" in capsys.readouterr().err


def recipe_lines():
    for path in sorted((ROOT / "runs" / "recipes").glob("*.md")):
        for block in re.findall(r"^```bash\n(.*?)^```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if "josh" in words:
                    yield pytest.param(words[words.index("josh") + 1 :], id=f"{path.stem}: {line[:60]}")


@pytest.mark.parametrize("words", list(recipe_lines()))
def test_the_commands_of_the_recipes_parse(words):
    words = ["run", *words] if words[0].startswith("-") else words
    assert parse(words).command == words[0]


def test_trackers_of_a_training_have_the_project_of_runs():
    variables = {}
    found = tracker_settings("wandb, trackio", variables)
    assert found == {"report_to": ["wandb", "trackio"], "project": "josh"}
    assert variables == {"WANDB_PROJECT": "josh"}
    named = {"WANDB_PROJECT": "mine", "TRACKIO_PROJECT": "ours"}
    assert tracker_settings("trackio", named)["project"] == "ours"
    assert tracker_settings("wandb", named) == {"report_to": ["wandb"]}
    assert named["WANDB_PROJECT"] == "mine"
    assert tracker_settings("none", {}) == {"report_to": ["none"]}


def test_the_flags_of_published_scripts_are_those_of_a_training():
    words = (
        "train sft --model M --train-data D --output-dir O --epochs 3 --batch-size 4 --gradient-accumulation-steps 2 "
        "--learning-rate 2e-4 --max-seq-length 2048 --warmup-steps 100 --lora-r 8 --lora-alpha 32 --lora-dropout 0.05 "
        "--use-4bit --use-wandb --wandb-project mine"
    )
    found = parse(words.split())
    own = "--data D --out O --accumulation 2 --max_length 2048 --warmup 100 --lora_rank 8 --load_in_4bit"
    same = parse(
        f"train sft --model M {own} --epochs 3 --batch_size 4 --learning_rate 2e-4 --lora_alpha 32 --lora_dropout 0.05 "
        "--report_to wandb".split()
    )
    assert {name: vars(found)[name] for name in same.schema if name in vars(found)} == {
        name: vars(same)[name] for name in same.schema if name in vars(same)
    }
    assert found.wandb_project == "mine"
