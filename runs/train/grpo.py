"""`josh train grpo`: train a model on its own conversations, with TRL's GRPOTrainer (Shao et al., 2024, 2402.03300).

A training has four steps:

1. Set the world up (`josh.runs.play.seats`), and check the machine and the chat template.
2. Name the result after a hash of everything that determines it, and claim its folder (`adapter_folder.py`).
3. Train: each step plays conversations on several tasks (`on_policy.py`), compares the rewards within each group, and
   takes one optimizer step. It ends early where the text begins to fall apart.
4. Write the adapter, or the whole model, and a card that names its sources and the tasks; rename the folder.
"""

import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from statistics import fmean
from typing import Any

from josh.errors import FatalError, UsageError
from josh.models.hf_loading import PREFIX
from josh.runs.play.seats import Seats
from josh.runs.play.tasks import digest_of
from josh.runs.record.folder import version
from josh.runs.registry import needs_model
from josh.runs.settings import options_of
from josh.runs.train.adapter_folder import CHECKPOINTS, claim, complete, last_checkpoint, leave, resolve_base
from josh.runs.train.base import load_model, load_template
from josh.runs.train.grpo_settings import GRPO, GrpoSettings
from josh.runs.train.machine import (
    NEEDED,
    check_machine,
    compute_dtype,
    is_first,
    note,
    one_line,
    quiet,
    require_packages,
)
from josh.runs.train.on_policy import OnPolicy
from josh.runs.train.sources import fingerprint
from josh.runs.train.tuning import tracker_settings, usable_optimizer

WINDOW = 10
"""Steps over which means of rewards and entropies are taken."""
ON_POLICY: Mapping[str, Any] = {"trees": "played while it was trained"}
"""The entry of a card's manifest for conversations that no run recorded."""


def train_grpo(settings: GrpoSettings, world: Mapping[str, Any]) -> Path:
    """Train on policy, and print the result on stdout.

    Args:
        settings: the training's settings; see `resolve_grpo`.
        world: settings of `josh run`, by flag: the world, its tasks, the user, the rewards and the agent's sampling.

    Returns:
        The folder of the adapter, or of the whole model where all weights were trained.

    Raises:
        UsageError: the world, the machine or a setting is wrong; nothing was trained.
        FatalError: a number is not finite, the memory is full, or every conversation failed; nothing is written.
    """
    began = time.monotonic()
    require_packages("training on policy")
    given = {"temperature": 1.0, **world, "seed": settings.seed, "model": f"{PREFIX}{settings.model}"}
    with quiet():
        check_machine(settings)
        template = load_template(settings.model, world.get("chat_template"), world.get("chat_template_kwargs") or {})
        seats = Seats(given)
        sampling = seats.runtime.settings.agent.sampling
        _check_play(settings, seats)
        if settings.use_vllm and sampling.stop:
            raise UsageError(f"stop_at is {sampling.stop[0]!r} with use_vllm, which does not take it; leave it out")
        base = {"name": settings.model, "sha256": fingerprint(Path(settings.model))}
        made_of = _digest(settings, seats, base["sha256"])
        target = Path(settings.out) / (settings.name or f"josh-grpo-{made_of[:8]}")
        part = target.with_name(target.name + ".part")
        claim(target, part, made_of, settings.resume)
        try:
            results = _trained(settings, seats, template.tokenizer, part, began)
            if is_first():
                template.tokenizer.chat_template = template.chat.text
                template.tokenizer.save_pretrained(part)
                card = {
                    "method": "grpo",
                    "name": target.name,
                    "base": base,
                    "data": {"file": "", "sha256": digest_of(seats.runtime.tasks), "manifest": _manifest(seats)},
                    **results,
                    "settings": asdict(settings),
                    "world": _plain(options_of(seats.runtime.settings)),
                    "versions": {name: version(name) for name in ("josh-dialogue", *NEEDED)},
                    "seconds": round(time.monotonic() - began, 1),
                }
                complete(part, target, card)
        except BaseException as error:
            if is_first():
                leave(part, keep=not isinstance(error, FatalError))
            raise
    if is_first():
        _report(target, settings, card)
    return target


def _check_play(settings: GrpoSettings, seats: Seats) -> None:
    """Raises UsageError where the conversations of a training would have nothing to learn from."""
    agent = seats.runtime.settings.agent
    if agent.sampling.temperature == 0:
        raise UsageError("temperature is 0, at which the conversations of a group are alike; give more than 0")
    if agent.name is not None and not needs_model("agent", agent.name):
        raise UsageError(f"agent is {agent.name!r}, which asks no model, so nothing is sampled; leave it out")
    if settings.use_vllm and find_spec("vllm") is None:
        raise UsageError("use_vllm is given, but vllm is not installed; pip install vllm, or leave it out")


def _digest(settings: GrpoSettings, seats: Seats, base: str | None) -> str:
    """Returns a hash of everything that determines the result: model, tasks, world and settings."""
    own = {name: value for name, value in asdict(settings).items() if not GRPO[name].rule.resumable}
    world = seats.runtime.settings
    made_of = {
        "base": base or settings.model,
        "settings": own,
        "world": _plain(options_of(replace(world, output=type(world.output)()))),
        "tasks": seats.runtime.tasks_digest,
    }
    return hashlib.sha256(json.dumps(made_of, sort_keys=True, default=str).encode()).hexdigest()


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value not in (None, "", (), {}) and name != "model"}


def _manifest(seats: Seats) -> dict[str, Any]:
    """Returns what checks of held-out tasks read: the tasks and their people."""
    env = seats.runtime.env
    people = sorted({str(person) for task in seats.runtime.tasks for person in env.people(task)})
    return {"runs": [ON_POLICY], "tasks": sorted(seats.tasks), "people": people, "questions": []}


def _trained(settings: GrpoSettings, seats: Seats, tokenizer: Any, part: Path, began: float) -> dict[str, Any]:
    """Train, and write the weights into the `.part` folder; returns the results for the card."""
    import torch
    from datasets import Dataset
    from transformers import PrinterCallback, ProgressCallback, set_seed

    set_seed(settings.seed)
    model, lora = load_model(settings)
    policy = OnPolicy(seats, tokenizer, settings, seats.runtime.settings.agent.sampling)
    course = Course(settings, began)
    try:
        dataset = Dataset.from_list([{"prompt": f"group {number}"} for number in range(settings.tasks_per_step)])
        trainer = _trainer(settings, seats, model, lora, tokenizer, dataset, policy, part)
        for callback in (PrinterCallback, ProgressCallback):
            trainer.remove_callback(callback)
        trainer.add_callback(course.callback(is_first() and (settings.progress or sys.stderr.isatty())))
        trainer.train(resume_from_checkpoint=last_checkpoint(part) if settings.resume else None)
    except torch.OutOfMemoryError as error:
        raise FatalError(
            f"out of memory: {one_line(error)[:120]}; give a smaller batch_size, activation_checkpointing or "
            "load_in_4bit"
        ) from None
    finally:
        policy.close()
    if course.broken:
        raise FatalError(f"the training diverged: {course.broken}; give a lower learning_rate than it was")
    trainer.accelerator.wait_for_everyone()
    if is_first():
        tuned = trainer.accelerator.unwrap_model(trainer.model)
        if not all(bool(weight.isfinite().all()) for weight in tuned.parameters() if weight.requires_grad):
            raise FatalError("the training diverged: a weight is not finite; give a lower learning_rate")
        if lora is None and not settings.base_adapter:
            tuned.save_pretrained(part)
        else:
            tuned.save_pretrained(part, selected_adapters=["default"])
            (part / "README.md").unlink(missing_ok=True)  # PEFT writes an empty model card
            resolve_base(part)
    return {
        "steps": course.steps,
        "ended": course.ended,
        "conversations": course.conversations(settings),
        "failed": policy.failed,
        "several_rows": policy.several,
        "devices": trainer.args.world_size,
        "dtype": str(model.dtype).removeprefix("torch."),
        "revision": getattr(model.config, "_commit_hash", None),
    }


def _trainer(
    settings: GrpoSettings,
    seats: Seats,
    model: Any,
    lora: Any,
    tokenizer: Any,
    dataset: Any,
    policy: OnPolicy,
    part: Path,
) -> Any:
    import torch
    import trl

    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    dtype = compute_dtype()
    sampling = seats.runtime.settings.agent.sampling
    total = settings.tasks_per_step * settings.group_size
    world = int(os.environ.get("WORLD_SIZE", "1"))
    batch = settings.batch_size or total // world
    if total % (batch * world) or (settings.group == "siblings" and total // world % settings.group_size):
        raise UsageError(
            f"{total} conversations of a step do not fit {world} processes with batch_size {batch}; give another "
            "tasks_per_step"
        )
    vllm = {
        "use_vllm": settings.use_vllm,
        "vllm_mode": settings.vllm_mode,
        "vllm_server_base_url": settings.vllm_server_base_url,
        "vllm_gpu_memory_utilization": settings.vllm_gpu_memory_utilization,
    }
    config = trl.GRPOConfig(
        output_dir=str(part / CHECKPOINTS),
        max_steps=settings.max_steps,
        num_generations=settings.group_size,
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=total // (batch * world),
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.schedule,
        warmup_steps=settings.warmup,
        weight_decay=settings.weight_decay,
        optim=usable_optimizer(settings.optimizer),
        beta=settings.beta,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        min_p=sampling.min_p or None,
        seed=settings.seed,
        use_cpu=not torch.cuda.is_available(),
        bf16=dtype == torch.bfloat16,
        fp16=dtype == torch.float16,
        gradient_checkpointing=settings.activation_checkpointing,
        ddp_find_unused_parameters=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        logging_steps=settings.logging_steps,
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=settings.save_steps,
        save_total_limit=2,
        disable_tqdm=True,
        **tracker_settings(settings.report_to, os.environ),
        **(vllm if settings.use_vllm else {}),
    )
    return trl.GRPOTrainer(
        model=model,
        reward_funcs=reward,
        args=config,
        train_dataset=dataset,
        processing_class=tokenizer,
        rollout_func=policy,
        peft_config=lora,
    )


def reward(prompts: Any, completions: Any, reward: Sequence[float | None], **_: Any) -> list[float | None]:
    """Returns the rewards that the conversations earned; see TRL's reward functions."""
    return list(reward)


class Course:
    """The course of a training: its logged steps, and when it ends.

    Attributes:
        steps: for each logged step its number, seconds since the beginning, mean reward, success, rounds and entropy.
        ended: why the training ended before its last step; empty where it did not.
        broken: why the result is of no use; empty where it is.
    """

    def __init__(self, settings: GrpoSettings, began: float) -> None:
        """Args: settings: the training's settings; began: the monotonic time at which it began."""
        self.steps: list[dict[str, float]] = []
        self.ended = ""
        self.broken = ""
        self._settings = settings
        self._began = began

    def logged(self, step: int, logs: Mapping[str, Any]) -> bool:
        """Note a step's values; returns whether the training goes on."""
        names = ("reward", "success", "rounds", "entropy", "kl", "completions/mean_length")
        values = {name.rpartition("/")[2]: float(logs[name]) for name in names if name in logs}
        self.steps.append({"step": step, "seconds": round(time.monotonic() - self._began, 1), **values})
        if "loss" in logs and not math.isfinite(float(logs["loss"])):
            self.broken = f"the loss is {logs['loss']} at step {step}"
        entropies = [one["entropy"] for one in self.steps if "entropy" in one]
        rise = self._settings.entropy_rise
        if rise and len(entropies) > WINDOW:
            now, first = fmean(entropies[-WINDOW:]), fmean(entropies[:WINDOW])
            if now > first * (1 + rise):
                self.ended = f"at step {step} the entropy of the replies is {now:.2f}, {first:.2f} at first"
        return not (self.broken or self.ended)

    def in_time(self) -> bool:
        """Returns whether there is time for another step."""
        most = self._settings.max_minutes
        if most is None or time.monotonic() - self._began < most * 60:
            return True
        self.ended = f"{most:g} minutes are over"
        return False

    def conversations(self, settings: GrpoSettings) -> int:
        """Returns the number of conversations that were played."""
        last = int(self.steps[-1]["step"]) if self.steps else 0
        return last * settings.tasks_per_step * settings.group_size

    def words(self) -> str:
        """Returns the state of the training in a line."""
        last, recent = self.steps[-1], [one["reward"] for one in self.steps if "reward" in one][-WINDOW:]
        minutes, seconds = divmod(int(last["seconds"]), 60)
        return (
            f"step {last['step']:g} of {self._settings.max_steps}, {minutes}:{seconds:02}: reward {fmean(recent):.2f} "
            f"over {len(recent)} steps, {last.get('rounds', 0):.1f} rounds, entropy {last.get('entropy', 0):.2f}"
        )

    def callback(self, show: bool) -> Any:
        """Returns the callback for transformers' trainer. With `show` it prints the state after each logged step."""
        from transformers import TrainerCallback

        course = self

        class Follow(TrainerCallback):  # type: ignore[misc]
            def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
                if logs and "reward" in logs:
                    if not course.logged(state.global_step, logs):
                        control.should_training_stop = True
                    if show:
                        print(f"\r{course.words()}\033[K", end="", file=sys.stderr, flush=True)
                    elif is_first() and state.global_step % WINDOW == 0:
                        note(course.words())

            def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                if not course.in_time():
                    control.should_training_stop = True

            def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                if show:
                    print(file=sys.stderr)

        return Follow()


def _report(target: Path, settings: GrpoSettings, card: Mapping[str, Any]) -> None:
    rewards = [one["reward"] for one in card["steps"] if "reward" in one]
    if card["ended"]:
        note(f"the training ended early: {card['ended']}")
    if card["failed"]:
        note(f"{card['failed']} conversations failed and were not learned from")
    if card["several_rows"]:
        note(
            f"in {card['several_rows']} conversations the chat template or the agent wrote earlier turns otherwise "
            "than they were sampled; of each, one part was learned"
        )
    first, last = rewards[:WINDOW], rewards[-WINDOW:]
    steps = f"{len(rewards)} steps, {card['conversations']} conversations, {card['seconds']:.0f} s"
    print(f"trained   {steps}")
    print(f"reward    {fmean(first):.2f} over the first {len(first)} steps, {fmean(last):.2f} over the last")
    whole = not settings.lora_rank and not settings.base_adapter
    print(f"{'model' if whole else 'adapter'}   {target}")
    name = target if whole else f"{settings.model}+{target}"
    print(f"use it with --model {quote(f'{PREFIX}{name}')}")
