"""The settings of `josh train sft|dpo|kto`: a frozen dataclass, filled from flags, a TOML file and a named preset."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from josh.config import Schema, checked, listed, setting, settings_in
from josh.errors import UsageError

METHODS = {
    "sft": "learn the agent's turns of winning conversations (supervised)",
    "dpo": "prefer a winning turn to the losing one beside it",
    "kto": "prefer winning turns to losing turns, without pairs",
}


SCHEDULES = ("linear", "cosine", "constant")
TARGETS = ("known", "all-linear")
NO_WEIGHTS = "none"
WEIGHTS = (NO_WEIGHTS, "advantage")


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """The settings of `josh train`. A default applies if neither the user nor the preset gives a value.

    A resumable setting does not change the resulting adapter, so it does not change the adapter's name.
    """

    data: str = setting("", "the JSONL file made by `josh export`", resumable=True, aliases=("train_data",))
    eval_data: str | None = setting(
        None,
        "sft, dpo: a JSONL file of held-out rows; each epoch measures their loss, or counts how many pairs the model "
        "prefers",
        resumable=True,
        aliases=("val_data",),
    )
    model: str = setting("", "the folder or hub id of the model to tune", resumable=True)
    out: str = setting(
        "", "the folder in which the adapter's folder is made", resumable=True, aliases=("output", "output_dir")
    )
    name: str | None = setting(
        None, "the adapter's folder in --out (default: josh-METHOD-HASH, a hash of data, model and settings)"
    )
    preset: str | None = setting(None, "named hyperparameters (default: josh-sft, dpo or josh-kto)", resumable=True)
    base_adapter: str | None = setting(
        None, "adapter folder to continue training from, instead of a new adapter", resumable=True
    )
    epochs: float = setting(1.0, "passes over all rows", above=0)
    max_steps: int | None = setting(
        None, "optimizer steps after which training ends, instead of --epochs (default: epochs decide)", least=1
    )
    learning_rate: float = setting(1e-5, "peak learning rate", above=0, aliases=("lr",))
    batch_size: int = setting(1, "rows in one forward pass of one device", least=1)
    accumulation: int = setting(
        8, "forward passes per optimizer step", least=1, aliases=("gradient_accumulation_steps",)
    )
    max_length: int = setting(
        4096,
        "most tokens of a row; longer rows are left out and counted, never cut",
        least=1,
        aliases=("max_seq_length",),
    )
    chat_template: str | None = setting(
        None, "file with a chat template in place of the model's own (Jinja); the adapter's folder keeps it"
    )
    chat_template_kwargs: Mapping[str, Any] = setting(
        {}, "values for the chat template's variables, as a JSON object: '{\"enable_thinking\": false}'"
    )
    schedule: str = setting("linear", f"how the learning rate decays: {listed(SCHEDULES)}", choices=SCHEDULES)
    warmup: float = setting(
        0.0,
        "optimizer steps in which the learning rate rises; a value below 1 is a share of all steps",
        least=0,
        aliases=("warmup_steps",),
    )
    weight_decay: float = setting(0.0, "weight decay of AdamW", least=0)
    optimizer: str = setting(
        "adamw_torch",
        "its name in transformers; adamw_torch replaces 8-bit and paged optimizers that cannot run here",
    )
    lora_rank: int = setting(16, "rank of the adapter", least=1, aliases=("lora_r",))
    lora_alpha: int = setting(32, "scale of the adapter, times its rank", least=1)
    lora_dropout: float = setting(0.0, "dropout of the adapter", least=0, below=1)
    lora_targets: str = setting(
        "known",
        "layers that get an adapter: known (query, key, value, output, gate, up and down projections, by the names of "
        "Llama), or all-linear (all linear layers but the output layer, by any name)",
        choices=TARGETS,
    )
    beta: float = setting(
        0.1, "dpo, kto: strength of the penalty for moving away from the model that training started from", above=0
    )
    desirable_weight: float = setting(1.0, "kto: weight of winning turns", least=0)
    undesirable_weight: float = setting(1.0, "kto: weight of losing turns", least=0)
    weights: str = setting(
        "none",
        "sft: `advantage` learns a turn the more, the better it was than its siblings, from rows of `josh export "
        "--credit`; `none` learns all turns alike",
        choices=WEIGHTS,
    )
    load_in_4bit: bool = setting(
        False, "load the base model in 4 bits (QLoRA: needs CUDA and bitsandbytes)", aliases=("use_4bit",)
    )
    activation_checkpointing: bool = setting(False, "recompute activations: a fifth slower, with much less memory")
    merge: bool = setting(False, "write the whole tuned model instead of an adapter")
    seed: int = setting(42, "seed of every random choice", least=0)
    torch_threads: int | None = setting(
        None, "processor threads (default: torch's own)", resumable=True, least=1, most=1024
    )
    monitor_every: int = setting(
        25, "dpo, kto: optimizer steps between two checks of sampled replies; 0 for no checks", resumable=True, least=0
    )
    monitor_samples: int = setting(8, "dpo, kto: number of sampled replies in a check", resumable=True, above=0)
    monitor_drop: float = setting(
        2.0,
        "dpo, kto: most nats per token by which sampled replies may become less likely, under the model that training "
        "started from",
        resumable=True,
        above=0,
    )
    save_steps: int = setting(100, "optimizer steps between two checkpoints", resumable=True, least=1)
    logging_steps: int = setting(10, "optimizer steps between two logged losses", resumable=True, least=1)
    report_to: str = setting(
        "none",
        "trackers for the losses: trackio, wandb, tensorboard, or others of transformers, separated by commas",
        resumable=True,
    )
    resume: bool = setting(
        False, "go on from the last checkpoint, if a training of that name was interrupted", resumable=True
    )
    progress: bool = setting(False, "show the progress bar even if stderr is not a terminal", resumable=True)


TRAINING = Schema(settings_in(TrainSettings))
_READ_BY = {
    **dict.fromkeys(("beta", "monitor_every", "monitor_samples"), ("dpo", "kto")),
    **dict.fromkeys(("desirable_weight", "undesirable_weight"), ("kto",)),
    "eval_data": ("sft", "dpo"),
    "weights": ("sft",),
}
"""The methods that read a setting; all methods read the others."""

_JOSH = {
    "batch_size": 1,
    "lora_rank": 64,
    "lora_alpha": 64,
    "lora_dropout": 0.05,
    "optimizer": "adamw_8bit",
    "activation_checkpointing": True,
    "seed": 42,
}
_JOSH_SFT = {**_JOSH, "learning_rate": 2e-5, "warmup": 5, "weight_decay": 0.01, "epochs": 3}
# KTO needs batches of two or more, and the published batch is one; half the accumulation keeps the rows of a step.
_JOSH_KTO = {**_JOSH, "learning_rate": 5e-7, "schedule": "cosine", "warmup": 0.1, "batch_size": 2, "max_length": 5256}
_PBT = {
    "learning_rate": 5e-4,
    "schedule": "cosine",
    "warmup": 100,
    "optimizer": "paged_adamw_32bit",
    "lora_rank": 16,
    "lora_alpha": 32,
    "lora_dropout": 0.05,
    "lora_targets": "all-linear",
    "activation_checkpointing": True,
}
_TINY = {
    "batch_size": 8,
    "accumulation": 1,
    "max_length": 1024,
    "schedule": "cosine",
    "warmup": 0.05,
    "torch_threads": 1,
    "monitor_every": 10,
}
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "josh-sft": {"sft": {**_JOSH_SFT, "accumulation": 16, "max_length": 8264}},
    "josh-sft-successful": {"sft": {**_JOSH_SFT, "accumulation": 8, "max_length": 5256}},
    "josh-sft-turns": {
        "sft": {
            **_JOSH_SFT,
            "accumulation": 8,
            "max_length": 8264,
            "lora_rank": 8,
            "lora_alpha": 32,
            "learning_rate": 2e-4,
            "epochs": 2,
        }
    },
    "josh-kto": {
        "kto": {**_JOSH_KTO, "accumulation": 4, "beta": 0.03, "desirable_weight": 2.05, "undesirable_weight": 1.0}
    },
    "josh-kto-ft": {
        "kto": {**_JOSH_KTO, "accumulation": 8, "beta": 0.1, "desirable_weight": 1.0, "undesirable_weight": 2.71}
    },
    "dpo": {
        "dpo": {
            **_JOSH,
            "learning_rate": 5e-6,
            "schedule": "cosine",
            "warmup": 0.1,
            "accumulation": 8,
            "max_length": 5256,
            "beta": 0.1,
        }
    },
    "pbt-sft": {"sft": {**_PBT, "max_steps": 240, "batch_size": 8, "accumulation": 10, "max_length": 1024}},
    "pbt-dpo": {"dpo": {**_PBT, "epochs": 5, "batch_size": 7, "accumulation": 5, "max_length": 1000, "beta": 0.1}},
    "tiny": {
        "sft": {**_TINY, "learning_rate": 2e-3, "epochs": 7},
        "dpo": {**_TINY, "learning_rate": 1e-3, "epochs": 2, "beta": 0.3},
        "kto": {**_TINY, "learning_rate": 1e-3, "epochs": 3, "beta": 0.1},
    },
}
"""Hyperparameters by name and method.

`josh-*` are the published values (github.com/asappresearch/josh-llm-simulation-training). Their names stand for these
scripts: sft is sft_agent_final_mod, sft-successful is sft_agent_successful, sft-turns is sft_agent, kto is
finetune_agent, kto-ft is kto_ft. That project published no values for DPO. `pbt-*` are the published values for models
of 8 billion parameters (Stengel-Eskin et al., 2024, arXiv:2410.14596), but with adapters on all linear layers: its code
names the layers of GPT-J. `tiny` is for models of about a million parameters.
"""


def refuse_unread_by(method: str, given: Mapping[str, Any]) -> None:
    """Raises UsageError for a given setting that the training method does not read; 0 is not refused."""
    for name, value in given.items():
        readers = _READ_BY.get(name, (method,))
        if value and method not in readers:
            raise UsageError(
                f"{name} is {value}, but {method} does not read it; leave it out, or train {listed(readers)}"
            )


def resolve_training(method: str, given: Mapping[str, Any]) -> TrainSettings:
    """Returns the settings of a training: the given values, otherwise those of the preset, otherwise the defaults.

    Args:
        method: one of `METHODS`.
        given: settings by name.

    Raises:
        UsageError: a setting is missing or wrong, or two settings contradict each other.
    """
    for name in ("data", "model", "out"):
        if not given.get(name):
            raise UsageError(f"no {name} is given; give --{name} {TRAINING[name].rule.help.split(';')[0]}")
    empty = next((name for name, value in given.items() if value == ""), None)
    if empty:
        raise UsageError(f"{empty} is empty; give a value, or leave it out")
    preset = given.get("preset") or next(name for name, methods in PRESETS.items() if method in methods)
    if preset not in PRESETS:
        raise UsageError(f"no preset named {preset!r}; known: {', '.join(PRESETS)}")
    if method not in PRESETS[preset]:
        fitting = ", ".join(name for name, methods in PRESETS.items() if method in methods)
        raise UsageError(f"preset {preset!r} has no values for {method}; give one of {fitting}")
    settings: TrainSettings = checked(TrainSettings(**{**PRESETS[preset][method], **given, "preset": preset}))
    _check(method, settings, given)
    return settings


def _check(method: str, settings: TrainSettings, given: Mapping[str, Any]) -> None:
    if settings.name is not None and (settings.name in {".", ".."} or Path(settings.name).name != settings.name):
        raise UsageError(f"name is {settings.name!r}; give a folder's name, without a path")
    if method == "kto" and settings.batch_size < 2:
        raise UsageError(
            "batch_size is 1; KTO compares the rows of a batch with each other, give 2 or more and less accumulation"
        )
    if settings.base_adapter:
        lora = [name for name in given if name.startswith("lora_")]
        if lora:
            raise UsageError(f"{lora[0]} is given with base_adapter, which fixes it; leave one of them out")
