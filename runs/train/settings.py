"""The settings of `josh train sft|dpo|kto`: a frozen dataclass, filled from flags, a TOML file and a named preset."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import inf
from pathlib import Path
from typing import Any

from josh.errors import UsageError

METHODS = {
    "sft": "learn the agent's turns of winning conversations (supervised)",
    "dpo": "prefer a winning turn to the losing one beside it",
    "kto": "tell winning turns from losing ones",
}


def _flag(default: Any, text: str, *, free: bool = False) -> Any:
    """A setting; a free one changes nothing about the adapter that comes out, and so nothing about its name."""
    return field(default=default, metadata={"help": text, "aliases": (), "free": free})


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """What `josh train` can be told. The numbers stand for what neither a preset nor the user says."""

    data: str = _flag("", "the JSONL file made by `josh export`", free=True)
    model: str = _flag("", "the folder or hub id of the model to tune", free=True)
    out: str = _flag("", "the folder in which the adapter's folder is made", free=True)
    name: str | None = _flag(
        None, "the adapter's folder in --out (default: josh-METHOD-HASH, HASH being of data, model and settings)"
    )
    preset: str | None = _flag(None, "named hyperparameters (default: josh-sft, dpo or josh-kto)", free=True)
    base_adapter: str | None = _flag(None, "adapter folder to go on from, instead of a new adapter", free=True)
    epochs: float = _flag(1.0, "times that every row is seen")
    learning_rate: float = _flag(1e-5, "peak learning rate")
    batch_size: int = _flag(1, "rows in one forward pass of one device")
    accumulation: int = _flag(8, "passes to one optimizer step")
    max_length: int = _flag(4096, "tokens; longer rows are left out and counted, never cut")
    schedule: str = _flag("linear", "how the learning rate falls: linear, cosine or constant")
    warmup: float = _flag(0.0, "optimizer steps in which the learning rate rises; below 1, their share of all")
    weight_decay: float = _flag(0.0, "AdamW's")
    optimizer: str = _flag(
        "adamw_torch", "as transformers names it; 8-bit ones become adamw_torch where they cannot be"
    )
    lora_rank: int = _flag(16, "rank of the adapter")
    lora_alpha: int = _flag(32, "its scale, times rank")
    lora_dropout: float = _flag(0.0, "its dropout")
    beta: float = _flag(0.1, "dpo, kto: how strongly the model is held to the one it started as")
    desirable_weight: float = _flag(1.0, "kto: weight of winning turns")
    undesirable_weight: float = _flag(1.0, "kto: weight of losing turns")
    load_in_4bit: bool = _flag(False, "hold the base model in 4 bits (QLoRA: needs CUDA and bitsandbytes)")
    activation_checkpointing: bool = _flag(False, "recompute activations: a fifth slower, much less memory")
    merge: bool = _flag(False, "write the whole tuned model instead of an adapter")
    seed: int = _flag(42, "every random choice follows from it")
    torch_threads: int | None = _flag(None, "processor threads (default: torch's own)", free=True)
    monitor_every: int = _flag(25, "dpo, kto: optimizer steps between two looks at samples; 0 for none", free=True)
    monitor_samples: int = _flag(8, "dpo, kto: how many replies are sampled", free=True)
    monitor_drop: float = _flag(
        2.0,
        "dpo, kto: nats per token that samples may be less likely, to the model it started as, than its own",
        free=True,
    )
    save_steps: int = _flag(100, "optimizer steps between two checkpoints", free=True)
    logging_steps: int = _flag(10, "optimizer steps between two logged losses", free=True)
    report_to: str = _flag(
        "none",
        "where losses are logged: trackio, wandb, tensorboard, or what else transformers knows, several by commas",
        free=True,
    )
    resume: bool = _flag(False, "go on from the last checkpoint, if a training of that name was broken off", free=True)
    progress: bool = _flag(False, "show the progress bar even when stderr is no terminal", free=True)


TRAIN_FIELDS = {one.name: one for one in fields(TrainSettings)}

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
# The published batch of one is below KTO's least; half the accumulation keeps the step's rows.
_JOSH_KTO = {**_JOSH, "learning_rate": 5e-7, "schedule": "cosine", "warmup": 0.1, "batch_size": 2, "max_length": 5256}
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
    "tiny": {
        "sft": {**_TINY, "learning_rate": 2e-3, "epochs": 4},
        "dpo": {**_TINY, "learning_rate": 1e-3, "epochs": 2, "beta": 0.3},
        "kto": {**_TINY, "learning_rate": 1e-3, "epochs": 3, "beta": 0.1},
    },
}
"""Hyperparameters by name and method. `josh-*` are the published ones (github.com/asappresearch/josh-llm-simulation-
training), named after their scripts: sft is sft_agent_final_mod, sft-successful and sft-turns are sft_agent_successful
and sft_agent, kto is finetune_agent, kto-ft is kto_ft. That project published none for DPO. `tiny` is for models of
about a million parameters."""


def resolve_training(method: str, given: Mapping[str, Any]) -> TrainSettings:
    """Put settings together: what was given, else what the preset says, else the default.

    Args:
        method: one of `METHODS`.
        given: settings by name.

    Raises:
        UsageError: something is missing or makes no sense, alone or with another.
    """
    for name in ("data", "model", "out"):
        if not given.get(name):
            raise UsageError(f"no {name} is given; give --{name} {TRAIN_FIELDS[name].metadata['help'].split(';')[0]}")
    empty = next((name for name, value in given.items() if value == ""), None)
    if empty:
        raise UsageError(f"{empty} is empty; give a value, or leave it out")
    preset = given.get("preset") or next(name for name, methods in PRESETS.items() if method in methods)
    if preset not in PRESETS:
        raise UsageError(f"no preset named {preset!r}; known: {', '.join(PRESETS)}")
    if method not in PRESETS[preset]:
        fitting = ", ".join(name for name, methods in PRESETS.items() if method in methods)
        raise UsageError(f"preset {preset!r} has no values for {method}; give one of {fitting}")
    settings = TrainSettings(**{**PRESETS[preset][method], **given, "preset": preset})
    _check(method, settings, given)
    return settings


def _check_fractions(settings: TrainSettings) -> None:
    for name in ("warmup", "weight_decay", "desirable_weight", "undesirable_weight", "monitor_every", "seed"):
        if not 0 <= getattr(settings, name) < inf:
            raise UsageError(f"{name} is {getattr(settings, name)}; give 0 or more")
    if not 0 <= settings.lora_dropout < 1:
        raise UsageError(f"lora_dropout is {settings.lora_dropout}; give 0 or more, below 1")


def _check(method: str, settings: TrainSettings, given: Mapping[str, Any]) -> None:
    for name in ("batch_size", "accumulation", "max_length", "lora_rank", "lora_alpha", "save_steps", "logging_steps"):
        if getattr(settings, name) < 1:
            raise UsageError(f"{name} is {getattr(settings, name)}; give 1 or more")
    for name in ("epochs", "learning_rate", "beta", "monitor_samples", "monitor_drop"):
        if not 0 < getattr(settings, name) < inf:
            raise UsageError(f"{name} is {getattr(settings, name)}; give a number above 0")
    _check_fractions(settings)
    if settings.torch_threads is not None and settings.torch_threads < 1:
        raise UsageError(f"torch_threads is {settings.torch_threads}; give 1 or more")
    if settings.schedule not in {"linear", "cosine", "constant"}:
        raise UsageError(f"schedule is {settings.schedule!r}; give linear, cosine or constant")
    if settings.name is not None and (settings.name in {".", ".."} or Path(settings.name).name != settings.name):
        raise UsageError(f"name is {settings.name!r}; give a folder's name, without a path")
    if method == "kto" and settings.batch_size < 2:
        raise UsageError(
            "batch_size is 1; KTO compares the rows of a batch with each other, give 2 or more and less accumulation"
        )
    if settings.base_adapter:
        lora = [name for name in given if name.startswith("lora_")]
        if lora:
            raise UsageError(f"{lora[0]} is given with base_adapter, which has its own; leave one of them out")
