"""Load the model that a training starts from: tokenizer, chat template, weights and the adapter to train."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from josh.config import NOTHING
from josh.errors import UsageError
from josh.models.chat_template import ChatTemplate
from josh.models.hf_loading import missing_folder
from josh.runs.train.grpo_settings import GrpoSettings
from josh.runs.train.machine import compute_dtype, one_line
from josh.runs.train.settings import TrainSettings
from josh.runs.train.template import Template

_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def load_template(model: str, text: str | None = None, values: Mapping[str, Any] = NOTHING) -> Template:
    """Returns a model's tokenizer, chat template and stop tokens.

    Args:
        model: the model's folder or hub id.
        text: a chat template in place of the tokenizer's own.
        values: values for the template's variables.

    Raises:
        UsageError: they cannot be loaded, or do not fit each other.
    """
    from transformers import AutoConfig, AutoTokenizer, GenerationConfig

    findable(model)
    try:
        tokenizer = AutoTokenizer.from_pretrained(model)
        rows = AutoConfig.from_pretrained(model).get_text_config().vocab_size
    except (OSError, ValueError, ImportError) as error:
        raise UsageError(f"cannot load the tokenizer of {model}: {one_line(error)}") from None
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
    try:
        chat = ChatTemplate(tokenizer, text, values)
    except UsageError as error:
        raise UsageError(f"{model} {error}") from None
    return Template(chat, model, sorted(stop for stop in stops if stop is not None), rows)


def findable(model: str) -> None:
    """Raises UsageError if a model is neither the folder of a model nor a hub id."""
    folder = Path(model)
    if folder.is_dir():
        if not (folder / "config.json").exists():
            raise UsageError(f"{model} has no model (no config.json); give a model's folder or a hub id")
    elif model.count("/") != 1:
        raise UsageError(f"there is no folder {model}; give a model's folder or a hub id such as Qwen/Qwen3-4B")
    else:
        missing = missing_folder(model)
        if missing is not None:
            raise UsageError(missing)


def load_model(settings: TrainSettings | GrpoSettings, whole: bool = False) -> tuple[Any, Any]:
    """Load the model to train.

    Args:
        settings: the training's settings.
        whole: load the base model alone and never in 4 bits, to merge an adapter into it.

    Returns:
        The model, and the configuration of the adapter to add; None instead if the model has its adapter already, with
        `whole`, or where all weights are trained.

    Raises:
        UsageError: the model cannot be loaded, or `base_adapter` does not fit it.
    """
    import torch
    from peft import LoraConfig, PeftModel
    from transformers import AutoModelForCausalLM

    options: dict[str, Any] = {"dtype": compute_dtype()}
    if settings.load_in_4bit and not whole:
        from transformers import BitsAndBytesConfig

        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=compute_dtype(),
        )
        options["device_map"] = {"": int(os.environ.get("LOCAL_RANK", "0"))}
    try:
        model = AutoModelForCausalLM.from_pretrained(settings.model, **options)
    except (OSError, ValueError, ImportError) as error:
        raise UsageError(f"cannot load the model {settings.model}: {one_line(error)}") from None
    if whole:
        return model, None
    if settings.base_adapter:
        try:
            return PeftModel.from_pretrained(model, settings.base_adapter, is_trainable=True), None
        except (RuntimeError, ValueError, OSError) as error:
            raise UsageError(f"{settings.base_adapter} does not fit {settings.model}: {one_line(error)}") from None
    if not settings.lora_rank:
        return model, None
    ends = {name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, torch.nn.Module)}
    targets = [] if settings.lora_targets == "all-linear" else [name for name in _TARGETS if name in ends]
    lora = LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=targets or "all-linear",
        task_type="CAUSAL_LM",
    )
    return model, lora


def merge(settings: TrainSettings, part: Path) -> None:
    """Replace the adapter in a folder by the whole tuned model."""
    from peft import PeftModel

    # Weights in 4 bits have lost precision, so the model is loaded again in full.
    model, _ = load_model(settings, whole=True)
    merged = PeftModel.from_pretrained(model, part).merge_and_unload()
    for path in part.glob("adapter_*"):
        path.unlink()
    merged.save_pretrained(part)
