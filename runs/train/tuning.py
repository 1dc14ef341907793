"""The training itself: TRL's trainer for each method, and its results for the adapter's card."""

import math
import os
import random
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from josh.errors import FatalError
from josh.runs.play.trackers import PROJECT
from josh.runs.train.adapter_folder import CHECKPOINTS, last_checkpoint, resolve_base
from josh.runs.train.base import load_model
from josh.runs.train.data import Prepared
from josh.runs.train.held_out_loss import ROWS, HeldOutLoss, HeldOutRows
from josh.runs.train.machine import compute_dtype, is_first, note, one_line
from josh.runs.train.monitor import Course, Sampler, Watch, callbacks, spread
from josh.runs.train.preferences import PAIRS, HeldOut, Preferences, evaluation_callback
from josh.runs.train.settings import NO_WEIGHTS, TrainSettings
from josh.runs.train.template import Template
from josh.runs.train.weights import weighted

LARGEST = 100.0
"""Largest size of a weight of an adapter. Those of a sound training stay below ten. Its loss alone does not show it."""


def tuned(
    method: str,
    settings: TrainSettings,
    template: Template,
    prepared: Prepared,
    part: Path,
    held_out: HeldOut | HeldOutRows | None = None,
) -> dict[str, Any]:
    """Train, and write the adapter's files into the `.part` folder.

    Args:
        method: one of `METHODS`.
        settings: the training's settings.
        template: the chat template.
        prepared: the rows.
        part: the `.part` folder.
        held_out: pairs or rows to evaluate after every epoch; None for none.

    Returns:
        The results for the adapter's card: rows, losses, the monitor's measures, the evaluations, and the machine.

    Raises:
        FatalError: the memory is full, the model's text degenerated, or the loss is not finite.
    """
    import torch
    from transformers import set_seed

    set_seed(settings.seed)
    model, lora = load_model(settings)
    rows = list(prepared.rows)
    if method == "kto":
        # TRL's KTO takes the rows in order and compares neighbours, so labels must be mixed.
        random.Random(settings.seed).shuffle(rows)
    watch = None
    if method != "sft" and settings.monitor_every:
        prompts = spread(prepared.prompts, settings.monitor_samples)
        sampler = Sampler(template.tokenizer, prompts, tuple(template.stops), settings.seed)
        watch = Watch(sampler, settings.monitor_every, settings.monitor_drop)
    show = is_first() and (settings.progress or sys.stderr.isatty())
    course = Course(settings.monitor_drop if method == "sft" else None)
    try:
        trainer = _trainer(method, settings, model, lora, template.tokenizer, rows, part)
        for callback in callbacks(watch, course, show):
            trainer.add_callback(callback)
        if held_out is not None:
            pad = min(template.stops)
            batch = settings.batch_size
            measure: Preferences | HeldOutLoss = (
                HeldOutLoss(held_out, batch, pad)
                if isinstance(held_out, HeldOutRows)
                else Preferences(held_out, settings.beta, batch, pad)
            )
            trainer.add_callback(evaluation_callback(measure, trainer))
        trainer.train(resume_from_checkpoint=last_checkpoint(part) if settings.resume else None)
    except torch.OutOfMemoryError as error:
        raise FatalError(
            f"out of memory: {one_line(error)[:120]}; give a smaller batch_size with more accumulation, a smaller "
            "max_length, activation_checkpointing or load_in_4bit"
        ) from None
    losses = _losses(trainer.state.log_history)
    if watch is not None and watch.verdict:
        raise FatalError(
            f"{watch.verdict}; no adapter was written, give a lower learning_rate than {settings.learning_rate:g} or a "
            f"higher beta than {settings.beta:g}"
        )
    verdict = course.verdict or _diverged(trainer.model, losses)
    if verdict:
        raise FatalError(
            f"the training diverged: {verdict}; no adapter was written, give a lower learning_rate than "
            f"{settings.learning_rate:g}"
        )
    trainer.accelerator.wait_for_everyone()
    if is_first():
        tuned = trainer.accelerator.unwrap_model(trainer.model)
        tuned.save_pretrained(part, selected_adapters=["default"])
        (part / "README.md").unlink(missing_ok=True)  # PEFT writes an empty model card
        resolve_base(part)
    return {
        "rows": {"used": prepared.used, "examples": len(rows), "dropped": prepared.dropped, "tokens": prepared.tokens},
        "losses": losses | {"steps": trainer.state.global_step},
        "monitor": watch.written() if watch is not None else None,
        **({"evaluations": _evaluations(trainer.state.log_history)} if held_out is not None else {}),
        "devices": trainer.args.world_size,
        "dtype": str(tuned.dtype if is_first() else model.dtype).removeprefix("torch."),
        "revision": getattr(model.config, "_commit_hash", None),
    }


def _diverged(model: Any, losses: Mapping[str, Any]) -> str | None:
    """Returns which numbers are not finite, or too large, at the end of a training; None where all are sound."""
    if not math.isfinite(losses["last"]):
        return f"the last loss is {losses['last']}"
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    bad = sum(not bool(weight.isfinite().all()) for weight in weights)
    if bad:
        return f"{bad} of {len(weights)} trained tensors hold numbers that are not finite"
    largest = max((float(weight.detach().abs().max()) for weight in weights), default=0.0)
    return f"a trained weight is {largest:.3g}" if largest > LARGEST else None


def _losses(history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    logged = [entry for entry in history if "loss" in entry]
    mean = next((entry["train_loss"] for entry in reversed(history) if "train_loss" in entry), math.nan)
    first, last = (logged[0]["loss"], logged[-1]["loss"]) if logged else (mean, mean)
    more = {key: value for key, value in (logged[-1] if logged else {}).items() if key.startswith("rewards/")}
    return {"first": float(first), "last": float(last), "mean": float(mean), **more}


def _evaluations(history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns the evaluations of held-out pairs or rows, in order, each with its step and epoch."""
    return [dict(entry) for entry in history if PAIRS in entry or ROWS in entry]


def tracker_settings(report_to: str, environment: MutableMapping[str, str]) -> dict[str, Any]:
    """Returns the arguments of a trainer that name its trackers and their project, which is that of runs.

    Args:
        report_to: the setting.
        environment: the variables of this process: transformers reads wandb's project from `WANDB_PROJECT`, and this
            function sets it where it is not set.
    """
    names = [name.strip() for name in report_to.split(",")]
    if "wandb" in names and not environment.get("WANDB_PROJECT"):
        environment["WANDB_PROJECT"] = PROJECT
    project = {"project": environment.get("TRACKIO_PROJECT") or PROJECT} if "trackio" in names else {}
    return {"report_to": names, **project}


def usable_optimizer(name: str) -> str:
    """Returns an optimizer's name in transformers, or `adamw_torch` where it cannot run on this machine."""
    import torch

    if ("8bit" in name or "paged" in name) and not (torch.cuda.is_available() and find_spec("bitsandbytes")):
        note(f"{name} needs CUDA and bitsandbytes; training uses adamw_torch instead")
        return "adamw_torch"
    return name


def _trainer(
    method: str, settings: TrainSettings, model: Any, lora: Any, tokenizer: Any, rows: list[dict[str, Any]], part: Path
) -> Any:
    import torch
    import trl
    from datasets import Dataset
    from transformers import PrinterCallback, ProgressCallback

    dtype = compute_dtype()
    common: dict[str, Any] = {
        "output_dir": str(part / CHECKPOINTS),
        "num_train_epochs": settings.epochs,
        "max_steps": settings.max_steps or -1,
        "learning_rate": settings.learning_rate,
        "per_device_train_batch_size": settings.batch_size,
        "gradient_accumulation_steps": settings.accumulation,
        "lr_scheduler_type": settings.schedule,
        "warmup_steps": settings.warmup,
        "weight_decay": settings.weight_decay,
        "optim": usable_optimizer(settings.optimizer),
        "seed": settings.seed,
        # Rows that are too long were left out already, so TRL must not truncate.
        "max_length": None,
        "use_cpu": not torch.cuda.is_available(),
        "bf16": dtype == torch.bfloat16,
        "fp16": dtype == torch.float16,
        "gradient_checkpointing": settings.activation_checkpointing,
        "ddp_find_unused_parameters": False,
        "dataloader_pin_memory": torch.cuda.is_available(),
        **tracker_settings(settings.report_to, os.environ),
        "logging_steps": settings.logging_steps,
        "logging_first_step": True,
        # Without this, a loss that is not a number is logged as 0.
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": settings.save_steps,
        "save_total_limit": 2,
        "disable_tqdm": True,
    }
    if method == "sft":
        config = trl.SFTConfig(**common)
        kind = weighted(trl.SFTTrainer) if settings.weights != NO_WEIGHTS else trl.SFTTrainer
    elif method == "dpo":
        config = trl.DPOConfig(beta=settings.beta, **common)
        kind = tokenized(trl.DPOTrainer)
    else:
        config = trl.KTOConfig(
            beta=settings.beta,
            desirable_weight=settings.desirable_weight,
            undesirable_weight=settings.undesirable_weight,
            train_sampling_strategy="sequential",
            **common,
        )
        kind = tokenized(trl.KTOTrainer)
        rows = with_mismatches(rows, settings.batch_size)
    dataset = Dataset.from_list(rows)
    trainer = kind(model=model, args=config, train_dataset=dataset, processing_class=tokenizer, peft_config=lora)
    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)
    return trainer


def tokenized(kind: type) -> type:
    """Returns TRL's trainer for preferences without its tokenization, because the rows are tokenized already.

    TRL renders a row once, as a whole. Where a template changes earlier turns, or writes more after the last one, the
    model would be trained on other text than it is asked with.
    """

    def _prepare_dataset(self: Any, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset

    return type(kind.__name__, (kind,), {"_prepare_dataset": _prepare_dataset})


def with_mismatches(rows: Sequence[Mapping[str, Any]], batch: int) -> list[dict[str, Any]]:
    """Returns KTO's examples with the completion of another one of the same batch, from which TRL estimates KL."""
    made = []
    for place, row in enumerate(rows):
        first = place - place % batch
        other = rows[place - 1] if place > first else rows[min(first + batch, len(rows)) - 1]
        made.append({**row, "KL_completion_ids": other["completion_ids"]})
    return made
