"""The settings of `josh train grpo`: the training's own; those of the world are the settings of `josh run`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from josh.config import Schema, checked, setting, settings_in
from josh.errors import UsageError
from josh.runs.settings import CONFIRMING, JOSH, SEARCHES, SHARDS, WORKERS
from josh.runs.train.settings import SCHEDULES, TARGETS

GROUPS = ("task", "siblings")
VLLM_MODES = ("colocate", "server")


@dataclass(frozen=True, kw_only=True)
class GrpoSettings:
    """The settings of a training on policy. A default applies if neither the user nor the preset gives a value.

    A resumable setting does not change the resulting model, so it does not change its name.
    """

    model: str = setting("", "the folder or hub id of the model to tune", resumable=True)
    out: str = setting(
        "", "the folder in which the model's or adapter's folder is made", resumable=True, aliases=("output_dir",)
    )
    name: str | None = setting(
        None, "that folder's name in --out (default: josh-grpo-HASH, a hash of model, world and settings)"
    )
    preset: str | None = setting(None, "named hyperparameters: josh-grpo or tiny (default: josh-grpo)", resumable=True)
    base_adapter: str | None = setting(
        None, "adapter folder to continue training from, instead of a new adapter", resumable=True
    )
    max_steps: int = setting(200, "optimizer steps", least=1)
    max_minutes: float | None = setting(None, "minutes after which training ends, if it is not over before", above=0)
    tasks_per_step: int = setting(8, "tasks of one optimizer step, over all devices", least=1)
    group_size: int = setting(
        8, "conversations of one group, whose rewards are compared", least=2, aliases=("num_generations",)
    )
    group: str = setting(
        "task",
        "a group: task (conversations from the start), or siblings (conversations from one place of a first one, whose "
        "later turns alone are learned)",
        choices=GROUPS,
    )
    batch_size: int | None = setting(
        None, "conversations in one forward pass of one device (default: all of a step)", least=1
    )
    learning_rate: float = setting(1e-6, "peak learning rate", above=0, aliases=("lr",))
    schedule: str = setting("constant", "how the learning rate decays", choices=SCHEDULES)
    warmup: float = setting(
        0.0, "optimizer steps in which the learning rate rises; a value below 1 is a share of all steps", least=0
    )
    weight_decay: float = setting(0.0, "weight decay of AdamW", least=0)
    optimizer: str = setting(
        "adamw_torch",
        "its name in transformers; adamw_torch replaces 8-bit and paged optimizers that cannot run here",
    )
    beta: float = setting(
        0.0, "strength of the penalty (KL) for moving away from the first model; 0 needs no second model", least=0
    )
    entropy_rise: float = setting(
        0.5,
        "end the training when the entropy of the replies, over ten steps, is above its first value by this share: the "
        "text begins to fall apart; 0 for never",
        least=0,
    )
    lora_rank: int = setting(
        16, "rank of the adapter; 0 to train all weights and write a whole model", least=0, aliases=("lora_r",)
    )
    lora_alpha: int = setting(32, "scale of the adapter, times its rank", least=1)
    lora_dropout: float = setting(0.0, "dropout of the adapter", least=0, below=1)
    lora_targets: str = setting(
        "known",
        "layers that get an adapter: known (by the names of Llama), or all-linear (all linear layers)",
        choices=TARGETS,
    )
    load_in_4bit: bool = setting(
        False, "load the base model in 4 bits (QLoRA: needs CUDA and bitsandbytes)", aliases=("use_4bit",)
    )
    activation_checkpointing: bool = setting(False, "recompute activations: slower, with much less memory")
    use_vllm: bool = setting(False, "sample with vLLM, as TRL does")
    vllm_mode: str = setting("colocate", "vLLM in this process, or a server of `trl vllm-serve`", choices=VLLM_MODES)
    vllm_server_base_url: str | None = setting(None, "address of that server", resumable=True)
    vllm_gpu_memory_utilization: float = setting(
        0.3, "share of the GPU's memory for vLLM in this process", above=0, most=1, resumable=True
    )
    seed: int = setting(42, "seed of every random choice", least=0)
    torch_threads: int | None = setting(
        None, "processor threads (default: 1 for small models, else torch's own)", resumable=True, least=1, most=1024
    )
    save_steps: int = setting(20, "optimizer steps between two checkpoints", resumable=True, least=1)
    logging_steps: int = setting(1, "optimizer steps between two logged values", resumable=True, least=1)
    report_to: str = setting(
        "none",
        "trackers for the values: trackio, wandb, tensorboard, or others of transformers, separated by commas",
        resumable=True,
    )
    resume: bool = setting(
        False, "go on from the last checkpoint, if a training of that name was interrupted", resumable=True
    )
    progress: bool = setting(False, "show the progress bar even if stderr is not a terminal", resumable=True)


GRPO = Schema(settings_in(GrpoSettings))
NOT_FOR_GRPO = (
    JOSH,
    "strategy",
    *SHARDS,
    *SEARCHES,
    *CONFIRMING,
    *WORKERS,
    "base_url",
    "api_key_var",
    "leave_out",
    "extra_body",
    "dtype",
    "keep_samples",
    "log_dir",
    "run_name",
    "single_replies",
    "judge_keep",
)
"""Settings of runs that a training on policy does not have, or sets itself; those of `GRPO` are its own."""

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "josh-grpo": {},
    "tiny": {"lora_rank": 0, "learning_rate": 4e-4, "max_steps": 80, "save_steps": 40, "torch_threads": 1},
}
"""Hyperparameters by name: `josh-grpo` for models of billions of parameters with an adapter, `tiny` for `josh tiny`."""


def resolve_grpo(given: Mapping[str, Any]) -> GrpoSettings:
    """Returns the settings of a training on policy: the given values, else the preset's, else the defaults.

    Raises:
        UsageError: a setting is missing or wrong, or two settings contradict each other.
    """
    for name in ("model", "out"):
        if not given.get(name):
            raise UsageError(f"no {name} is given; give --{name} {GRPO[name].rule.help}")
    empty = next((name for name, value in given.items() if value == ""), None)
    if empty:
        raise UsageError(f"{empty} is empty; give a value, or leave it out")
    preset = given.get("preset") or "josh-grpo"
    if preset not in PRESETS:
        raise UsageError(f"no preset named {preset!r} for grpo; known: {', '.join(PRESETS)}")
    settings: GrpoSettings = checked(GrpoSettings(**{**PRESETS[preset], **given, "preset": preset}))
    if settings.name is not None and (settings.name in {".", ".."} or Path(settings.name).name != settings.name):
        raise UsageError(f"name is {settings.name!r}; give a folder's name, without a path")
    if settings.base_adapter:
        lora = next((name for name in given if name.startswith("lora_")), None)
        if lora:
            raise UsageError(f"{lora} is given with base_adapter, which fixes it; leave one of them out")
    if settings.load_in_4bit and not settings.lora_rank:
        raise UsageError("lora_rank is 0 with load_in_4bit; weights in 4 bits cannot be trained, give a rank")
    total = settings.tasks_per_step * settings.group_size
    batch = settings.batch_size or total
    if total % batch:
        raise UsageError(f"batch_size is {batch}, but a step has {total} conversations; give a divisor of that")
    if settings.group == "siblings" and batch % settings.group_size and settings.batch_size:
        raise UsageError(f"batch_size is {batch} with group siblings; give a multiple of group_size")
    return settings
