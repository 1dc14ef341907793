"""`josh train sft|dpo|kto`: tune a LoRA adapter on exported rows, by TRL's trainers.

Everything that can be wrong with the rows, the chat template or the settings is found before the first step. The
adapter is written to a `.part` folder and renamed when it is whole.
"""

import gc
import hashlib
import importlib.metadata
import json
import logging
import math
import os
import random
import shutil
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from josh.errors import FatalError, UsageError
from josh.runs.export.export import manifest_of
from josh.runs.train.data import Prepared, Template, fitting_template, prepare, read_rows
from josh.runs.train.monitor import Sampler, Watch, callbacks, spread
from josh.runs.train.settings import TRAINING, TrainSettings

CARD = "josh_adapter.json"
_NEEDED = ("torch", "transformers", "trl", "peft", "datasets", "accelerate")
_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_CHECKPOINTS = "checkpoints"
_MADE_OF = "made_of"
"""In a `.part` folder: the hash of what the training there is made of."""
_ENDS = 1 << 20
_READ_WHOLE = (
    "config.json",
    "adapter_config.json",
    "generation_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer*",
    "vocab.json",
    "merges.txt",
    "chat_template*",
)


def train(method: str, settings: TrainSettings) -> Path:
    """Train, and say on stdout what came of it.

    Under `accelerate launch` every process calls this; only the first one writes and prints.

    Args:
        method: one of `METHODS`.
        settings: see `resolve_training`.

    Returns:
        The adapter's folder, or the model's with `merge`.

    Raises:
        UsageError: something is wrong that was found before the first step.
        FatalError: the text fell apart, the loss is no number, or the memory is full. Nothing is left that looks
            finished.
    """
    began = time.monotonic()
    data = Path(settings.data)
    rows = read_rows(data, method)
    missing = next((name for name in _NEEDED if find_spec(name) is None), None)
    if missing:
        raise UsageError(f"training needs {missing}; pip install 'josh-dialogue[train]'")
    with _quiet():
        _check_machine(settings)
        template = _template(settings.model)
        own = template.text
        template = fitting_template(template, rows, _training_variant)
        if template.text != own:
            _note("the chat template rewrites earlier turns; training uses TRL's variant of it, which does not")
        prepared = prepare(rows, method, template, settings.max_length, data)
        if prepared.dropped["too_long"]:
            _note(f"{prepared.dropped['too_long']} of {len(rows)} rows are longer than {settings.max_length} tokens")
        sources = _sources(method, settings)
        made_of = _made_of(method, settings, sources)
        target = Path(settings.out) / (settings.name or f"josh-{method}-{made_of[:8]}")
        part = target.with_name(target.name + ".part")
        _claim(target, part, made_of, settings.resume)
        try:
            card = _tuned(method, settings, template, prepared, part)
            card = {"method": method, "name": target.name, **sources, **card}
            if _first():
                if settings.merge:
                    _merge(settings, part)
                template.tokenizer.save_pretrained(part)
                card["settings"] = asdict(settings)
                card["versions"] = {name: importlib.metadata.version(name) for name in ("josh-dialogue", *_NEEDED)}
                card["seconds"] = round(time.monotonic() - began, 1)
                (part / CARD).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
                if (part / _CHECKPOINTS / "runs").is_dir():  # what transformers told tensorboard
                    (part / _CHECKPOINTS / "runs").replace(part / "tensorboard")
                shutil.rmtree(part / _CHECKPOINTS, ignore_errors=True)
                (part / _MADE_OF).unlink()
                for weights in part.glob("*.safetensors"):
                    # They are written for their owner alone, and a server may be somebody else.
                    weights.chmod((part / CARD).stat().st_mode)
                part.replace(target)
        except BaseException as error:
            if _first():
                _leave(part, keep=not isinstance(error, FatalError))
            raise
    if _first():
        _report(target, settings, card)
    return target


def _report(target: Path, settings: TrainSettings, card: Mapping[str, Any]) -> None:
    losses = card["losses"]
    print(f"rows      {card['rows']['used']} used, {card['rows']['dropped']['too_long']} too long")
    print(f"steps     {losses['steps']}, loss {losses['first']:.3f} at first, {losses['last']:.3f} at last")
    print(f"{'model' if settings.merge else 'adapter'}   {target}")


def _note(text: str) -> None:
    if _first():
        print(f"josh: {text}", file=sys.stderr)


def _first() -> bool:
    """Whether this process is the one that writes and prints."""
    return os.environ.get("RANK", "0") == "0"


def _check_machine(settings: TrainSettings) -> None:
    """Set the number of threads. Raises UsageError where the machine cannot do what is asked."""
    import torch

    if settings.torch_threads:
        torch.set_num_threads(settings.torch_threads)
    if settings.load_in_4bit and not (torch.cuda.is_available() and find_spec("bitsandbytes")):
        lacking = "bitsandbytes is not installed" if torch.cuda.is_available() else "this machine has no CUDA device"
        raise UsageError(f"load_in_4bit is given, but {lacking}; leave it out, or train where both are there")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' warnings and bars, which speak of their own plans, out of the user's sight."""
    import datasets
    from transformers.utils import logging as transformers_logging

    level = transformers_logging.get_verbosity()
    trl = logging.getLogger("trl")
    trl_level = trl.level
    transformers_logging.set_verbosity_error()
    trl.setLevel(logging.ERROR)
    if not sys.stderr.isatty() or not _first():
        transformers_logging.disable_progress_bar()
    datasets.disable_progress_bars()
    try:
        with warnings.catch_warnings():
            for module in ("transformers", "trl", "peft", "accelerate", "torch", "datasets"):
                warnings.filterwarnings("ignore", module=rf"{module}\..*")
            yield
    finally:
        transformers_logging.set_verbosity(level)
        trl.setLevel(trl_level)
        gc.collect()


def _template(model: str) -> Template:
    """A model's tokenizer and template. Raises UsageError."""
    from transformers import AutoTokenizer, GenerationConfig

    findable(model)
    try:
        tokenizer = AutoTokenizer.from_pretrained(model)
    except (OSError, ValueError, ImportError) as error:
        raise UsageError(f"cannot load the tokenizer of {model}: {_line(error)}") from None
    if not tokenizer.is_fast:
        raise UsageError(f"{model} has no fast tokenizer (tokenizer.json), which the assistant mask needs")
    stops = {tokenizer.eos_token_id}
    try:
        ends = GenerationConfig.from_pretrained(model).eos_token_id
        stops |= set(ends) if isinstance(ends, list) else {ends}
    except OSError:
        pass
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return Template(tokenizer, model, sorted(stop for stop in stops if stop is not None))


def findable(model: str) -> None:
    """Raise UsageError for what is neither a folder nor a hub id."""
    folder = Path(model)
    if folder.is_dir():
        if not (folder / "config.json").exists():
            raise UsageError(f"{model} holds no model (no config.json); give a model's folder or a hub id")
    elif folder.is_absolute() or model.startswith(".") or model.count("/") != 1:
        raise UsageError(f"there is no folder {model}; give a model's folder or a hub id such as Qwen/Qwen3-4B")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


def _training_variant(tokenizer: Any) -> str | None:
    """TRL's variant of a template, for the families that it knows."""
    try:
        from trl.chat_template_utils import get_training_chat_template

        text: str | None = get_training_chat_template(tokenizer)
    except (ImportError, ValueError, TypeError, KeyError):
        return None
    return text


def _sources(method: str, settings: TrainSettings) -> dict[str, Any]:
    """What an adapter is made of: base, earlier adapter, data."""
    data = Path(settings.data)
    digest = hashlib.sha256(data.read_bytes()).hexdigest()
    sources: dict[str, Any] = {
        "base": {"name": settings.model, "sha256": fingerprint(Path(settings.model))},
        "data": {"file": str(data), "sha256": digest, "manifest": _manifest(data, digest)},
    }
    if settings.base_adapter:
        folder = Path(settings.base_adapter)
        if not (folder / "adapter_config.json").exists():
            raise UsageError(f"base_adapter is {folder}, which holds no adapter (no adapter_config.json)")
        sources["base_adapter"] = {"name": str(folder), "sha256": fingerprint(folder)}
    return sources


def _manifest(data: Path, digest: str) -> dict[str, Any] | None:
    """The manifest beside exported rows; None where there is none, or one of other rows. Raises UsageError."""
    path = manifest_of(data)
    try:
        manifest = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        manifest = None
    if not isinstance(manifest, dict):
        raise UsageError(f"{path} is no manifest that can be read; export the rows again, or remove it")
    if manifest.get("sha256") != digest:
        _note(f"{path.name} is not of this {data.name} (other sha256); it is left out of the adapter's card")
        return None
    return manifest


def fingerprint(folder: Path) -> str | None:
    """A hash of a model's or an adapter's folder; None for a hub id.

    It is of configuration, tokenizer and chat template, and of every weights file's name, size, first and last
    mebibyte: a large model is not read whole.
    """
    if not folder.is_dir():
        return None
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file() and any(fnmatchcase(path.name, pattern) for pattern in _READ_WHOLE):
            digest.update(f"{path.name} {path.stat().st_size}".encode())
            digest.update(path.read_bytes())
        elif path.suffix in {".safetensors", ".bin"}:
            size = path.stat().st_size
            digest.update(f"{path.name} {size}".encode())
            with path.open("rb") as file:
                digest.update(file.read(_ENDS))
                file.seek(max(0, size - _ENDS))
                digest.update(file.read(_ENDS))
    return digest.hexdigest()


def _made_of(method: str, settings: TrainSettings, sources: Mapping[str, Any]) -> str:
    """A hash of everything that makes another adapter of it."""
    made_of = {
        "method": method,
        "hashes": [one["sha256"] for one in sources.values()],
        "model": settings.model if sources["base"]["sha256"] is None else None,
        "settings": {name: value for name, value in asdict(settings).items() if not TRAINING[name].rule.resumable},
    }
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


def _claim(target: Path, part: Path, made_of: str, resume: bool) -> None:
    """Make the `.part` folder, in the first process only. Raises UsageError."""
    if _first():
        if target.exists():
            raise UsageError(
                f"{target} is there already; "
                "take it as it is (the same data, model and settings have the same name), or remove it"
            )
        if part.exists() and not resume:
            raise UsageError(f"{part} is there, of a training that was broken off; go on with --resume, or remove it")
        if resume and _last_checkpoint(part) is None:
            _note(f"{part} has no checkpoint to go on from; the training begins anew")
        elif resume and _made_of_in(part) != made_of:
            raise UsageError(
                f"{part} is of other data, another model or other settings; go on with those, or remove it"
            )
        try:
            part.mkdir(parents=True, exist_ok=True)
            (part / _MADE_OF).write_text(made_of, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"cannot write to out {str(part.parent)!r}: {error.strerror}") from None
    if "RANK" in os.environ:
        from accelerate import PartialState

        _state(PartialState)


def _made_of_in(part: Path) -> str | None:
    try:
        return (part / _MADE_OF).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _state(partial_state: Any) -> None:
    """Have the other processes wait for the first."""
    import torch

    partial_state(cpu=not torch.cuda.is_available()).wait_for_everyone()


def _leave(part: Path, keep: bool) -> None:
    """Clean up after a training that was broken off: what has a checkpoint stays, unless it is not worth keeping."""
    if keep and _last_checkpoint(part):
        print(f"josh: {part} has a checkpoint; go on from it with --resume", file=sys.stderr)
    else:
        shutil.rmtree(part, ignore_errors=True)


def _last_checkpoint(part: Path) -> str | None:
    """The newest checkpoint that is whole: one that a training was writing when it was broken off is not."""
    found = sorted((part / _CHECKPOINTS).glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    return next((str(path) for path in reversed(found) if _is_whole(path)), None)


def _is_whole(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))  # transformers writes it last
    except (OSError, ValueError):
        return False
    return True


def _tuned(method: str, settings: TrainSettings, template: Template, prepared: Prepared, part: Path) -> dict[str, Any]:
    """Train, and leave the adapter's files in the `.part` folder; returns what the card says of it."""
    import torch
    from transformers import set_seed

    set_seed(settings.seed)
    model, lora = _model(settings)
    rows = list(prepared.rows)
    if method == "kto":
        # TRL's KTO goes through the rows in order and pairs neighbours, which must not be of one kind.
        random.Random(settings.seed).shuffle(rows)
    watch = None
    if method != "sft" and settings.monitor_every:
        prompts = spread(prepared.prompts, settings.monitor_samples)
        sampler = Sampler(template.tokenizer, prompts, tuple(template.stops), settings.seed)
        watch = Watch(sampler, settings.monitor_every, settings.monitor_drop)
    show = _first() and (settings.progress or sys.stderr.isatty())
    own = template.tokenizer.chat_template
    template.tokenizer.chat_template = template.text
    try:
        trainer = _trainer(method, settings, model, lora, template.tokenizer, rows, part)
        for callback in callbacks(watch, show):
            trainer.add_callback(callback)
        trainer.train(resume_from_checkpoint=_last_checkpoint(part) if settings.resume else None)
    except torch.OutOfMemoryError as error:
        raise FatalError(
            f"out of memory: {_line(error)[:120]}; give a smaller batch_size with more accumulation, a smaller "
            "max_length, activation_checkpointing or load_in_4bit"
        ) from None
    finally:
        template.tokenizer.chat_template = own
    losses = _losses(trainer.state.log_history)
    if watch is not None and watch.verdict:
        raise FatalError(
            f"{watch.verdict}; no adapter was written, give a lower learning_rate than {settings.learning_rate:g} or a "
            f"higher beta than {settings.beta:g}"
        )
    if not math.isfinite(losses["last"]):
        raise FatalError(
            f"the loss became {losses['last']}; no adapter was written, give a lower learning_rate than "
            f"{settings.learning_rate:g}"
        )
    trainer.accelerator.wait_for_everyone()
    if _first():
        tuned = trainer.accelerator.unwrap_model(trainer.model)
        tuned.save_pretrained(part, selected_adapters=["default"])
        (part / "README.md").unlink(missing_ok=True)  # an empty form
    return {
        "rows": {"used": len(rows), "dropped": prepared.dropped, "tokens": prepared.tokens},
        "losses": losses | {"steps": trainer.state.global_step},
        "monitor": watch.written() if watch is not None else None,
        "devices": trainer.args.world_size,
        "dtype": str(tuned.dtype if _first() else model.dtype).removeprefix("torch."),
        "revision": getattr(model.config, "_commit_hash", None),
    }


def _losses(history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    logged = [entry for entry in history if "loss" in entry]
    mean = next((entry["train_loss"] for entry in reversed(history) if "train_loss" in entry), math.nan)
    first, last = (logged[0]["loss"], logged[-1]["loss"]) if logged else (mean, mean)
    more = {key: value for key, value in (logged[-1] if logged else {}).items() if key.startswith("rewards/")}
    return {"first": float(first), "last": float(last), "mean": float(mean), **more}


def _model(settings: TrainSettings, whole: bool = False) -> tuple[Any, Any]:
    """The model to train, and the adapter to put on it, None if it has one; `whole` means never in 4 bits."""
    import torch
    from peft import LoraConfig, PeftModel
    from transformers import AutoModelForCausalLM

    options: dict[str, Any] = {"dtype": _dtype()}
    if settings.load_in_4bit and not whole:
        from transformers import BitsAndBytesConfig

        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=_dtype(),
        )
        options["device_map"] = {"": int(os.environ.get("LOCAL_RANK", "0"))}
    try:
        model = AutoModelForCausalLM.from_pretrained(settings.model, **options)
    except (OSError, ValueError, ImportError) as error:
        raise UsageError(f"cannot load the model {settings.model}: {_line(error)}") from None
    if whole:
        return model, None
    if settings.base_adapter:
        try:
            return PeftModel.from_pretrained(model, settings.base_adapter, is_trainable=True), None
        except (RuntimeError, ValueError, OSError) as error:
            raise UsageError(f"{settings.base_adapter} does not fit {settings.model}: {_line(error)}") from None
    ends = {name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, torch.nn.Module)}
    targets = [name for name in _TARGETS if name in ends]
    lora = LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=targets or "all-linear",
        task_type="CAUSAL_LM",
    )
    return model, lora


def _dtype() -> Any:
    """What this machine computes in: bf16 or fp16 on CUDA, else 32 bits."""
    import torch

    if not torch.cuda.is_available():
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def _trainer(
    method: str, settings: TrainSettings, model: Any, lora: Any, tokenizer: Any, rows: list[dict[str, Any]], part: Path
) -> Any:
    import torch
    import trl
    from datasets import Dataset
    from transformers import PrinterCallback, ProgressCallback

    dtype = _dtype()
    optimizer = settings.optimizer
    if "8bit" in optimizer and not (torch.cuda.is_available() and find_spec("bitsandbytes")):
        _note(f"{optimizer} needs CUDA and bitsandbytes; adamw_torch takes its place")
        optimizer = "adamw_torch"
    common: dict[str, Any] = {
        "output_dir": str(part / _CHECKPOINTS),
        "num_train_epochs": settings.epochs,
        "learning_rate": settings.learning_rate,
        "per_device_train_batch_size": settings.batch_size,
        "gradient_accumulation_steps": settings.accumulation,
        "lr_scheduler_type": settings.schedule,
        "warmup_steps": settings.warmup,
        "weight_decay": settings.weight_decay,
        "optim": optimizer,
        "seed": settings.seed,
        # Too long rows are gone already: nothing is cut.
        "max_length": None,
        "use_cpu": not torch.cuda.is_available(),
        "bf16": dtype == torch.bfloat16,
        "fp16": dtype == torch.float16,
        "gradient_checkpointing": settings.activation_checkpointing,
        "ddp_find_unused_parameters": False,
        "dataloader_pin_memory": torch.cuda.is_available(),
        "report_to": [name.strip() for name in settings.report_to.split(",")],
        "logging_steps": settings.logging_steps,
        "logging_first_step": True,
        "save_strategy": "steps",
        "save_steps": settings.save_steps,
        "save_total_limit": 2,
        "disable_tqdm": True,
    }
    if method == "sft":
        config = trl.SFTConfig(**common)
        kind, mixed = trl.SFTTrainer, None
    elif method == "dpo":
        config = trl.DPOConfig(beta=settings.beta, **common)
        kind, mixed = trl.DPOTrainer, "use_json"
    else:
        config = trl.KTOConfig(
            beta=settings.beta,
            desirable_weight=settings.desirable_weight,
            undesirable_weight=settings.undesirable_weight,
            train_sampling_strategy="sequential",
            **common,
        )
        kind, mixed = trl.KTOTrainer, "use_json"
    # As JSON, messages keep their own keys; Arrow would give every message and tool call those of all others.
    dataset = Dataset.from_list(rows, on_mixed_types=mixed)
    trainer = kind(model=model, args=config, train_dataset=dataset, processing_class=tokenizer, peft_config=lora)
    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)
    return trainer


def _merge(settings: TrainSettings, part: Path) -> None:
    """Turn the adapter in the folder into the whole tuned model."""
    from peft import PeftModel

    # A model in 4 bits would be merged with what it lost; it is loaded anew.
    model, _ = _model(settings, whole=True)
    merged = PeftModel.from_pretrained(model, part).merge_and_unload()
    for path in part.glob("adapter_*"):
        path.unlink()
    merged.save_pretrained(part)
