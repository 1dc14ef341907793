"""Finds, checks and loads a local model of transformers."""

import json
import warnings
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from josh.config import listed, setting
from josh.errors import UsageError
from josh.models.chat_template import ChatTemplate
from josh.threads import plain

PREFIX = "hf:"
"""The prefix of the names of local models."""
DTYPES = ("auto", "float32", "bfloat16", "float16")
_USUAL = ("models", "model", "adapters", "adapter", "checkpoints", "weights", "out", "output", "records", "runs")
"""Names of folders in which models and adapters usually lie."""
PROBE = "josh"
"""A text to try out a tokenizer, a chat template and a model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalModel:
    """The settings of models that run in this process."""

    dtype: str = setting("auto", f"number format of a local model (hf:...): {listed(DTYPES)}", choices=DTYPES)
    load_in_4bit: bool = setting(False, "hold a local model's weights in 4 bits; needs CUDA and bitsandbytes")
    batch_size: int = setting(64, "most replies in a batch of a local model", least=1, resumable=True)
    torch_threads: int | None = setting(
        None,
        "CPU threads of a local model (default: 1 for a small one, else torch's)",
        least=1,
        most=1024,
        resumable=True,
    )


def is_local(name: str) -> bool:
    """Returns whether a name is that of a local model."""
    return name.startswith(PREFIX)


def base_and_adapter(name: str) -> tuple[str, str | None]:
    """Returns the base and the adapter in a local model's name; a folder's own name may contain a plus sign."""
    where = name.removeprefix(PREFIX)
    if Path(where).expanduser().is_dir():
        return where, None
    base, plus, adapter = where.rpartition("+")
    return (base, adapter) if plus else (where, None)


def look_for(name: str, load_in_4bit: bool = False) -> None:
    """Raises UsageError where a local model lacks a package, a GPU, a folder or a file; it does not load the model."""
    torch, transformers = _found(name, *base_and_adapter(name))
    if load_in_4bit:
        _four_bits(name, torch, transformers, "auto")


def _found(name: str, base: str, adapter: str | None) -> tuple[Any, Any]:
    """Returns torch and transformers. Raises UsageError where they or a model's folder are missing."""
    wanted = {"config.json": base} | ({} if adapter is None else {"adapter_config.json": adapter})
    on_hub = [config for config, where in wanted.items() if isinstance(_folder(name, where, config), str)]
    packages = _packages(name)
    for config in on_hub:
        _look_on_hub(name, wanted[config], config)
    return packages


def _packages(name: str) -> tuple[Any, Any]:
    try:
        import torch
        import transformers
    except ImportError as error:
        raise UsageError(f"model {name!r} needs {error.name}: pip install -e '.[train]' -c constraints.txt") from None
    return torch, transformers


def load_model(name: str, base: str, adapter: str | None, dtype: str, load_in_4bit: bool) -> tuple[Any, Any]:
    """Returns the tokenizer and the model, ready to sample. Raises UsageError where either cannot be loaded."""
    torch, transformers = _found(name, base, adapter)
    from transformers.utils import logging

    gpu = torch.cuda.is_available()
    folder = _folder(name, base)
    options: dict[str, Any] = {"dtype": "auto" if gpu else "float32"} if dtype == "auto" else {"dtype": dtype}
    if load_in_4bit:
        options["quantization_config"] = _four_bits(name, torch, transformers, dtype)
        options["device_map"] = {"": "cuda:0"}
    shown = logging.is_progress_bar_enabled()
    if isinstance(folder, Path):
        logging.disable_progress_bar()
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        model: Any = transformers.AutoModelForCausalLM.from_pretrained(folder, **options)
    except Exception as error:
        raise UsageError(f"model {name!r} cannot be loaded: {plain(error)[:300]}") from None
    finally:
        if shown:
            logging.enable_progress_bar()
    if adapter is not None:
        adapter_folder = _folder(name, adapter, "adapter_config.json")
        tokenizer.chat_template = _template_in(adapter_folder) or tokenizer.chat_template
        model = _adapted(name, model, adapter_folder, merge=not load_in_4bit)
    if not load_in_4bit:
        model = model.to("cuda" if gpu else "cpu")
    from josh.models.attention import use_grouped_attention

    use_grouped_attention(model)
    return tokenizer, model.eval()


def _folder(name: str, where: str, config: str = "config.json") -> Path | str:
    """Returns the folder of a model or an adapter, or its id on the hub. Raises UsageError for a wrong folder."""
    folder = Path(where).expanduser()
    if not where:
        raise UsageError(
            f"model {name!r} is not a model's name; give {PREFIX}FOLDER, {PREFIX}ORG/NAME or {PREFIX}BASE+ADAPTER"
        )
    if not folder.is_dir():
        missing = f"there is no folder {where}" if folder.exists() else missing_folder(where)
        if missing is not None:
            raise UsageError(f"model {name!r}: {missing}")
        return where
    if not (folder / config).is_file():
        is_adapter = (folder / "adapter_config.json").is_file()
        hint = f"; it is an adapter: give {PREFIX}BASE+{where}" if is_adapter else ""
        raise UsageError(f"model {name!r}: {where} has no {config}{hint}")
    if config == "config.json" and not any(
        (folder / file).is_file() for file in ("tokenizer_config.json", "tokenizer.json", "tokenizer.model")
    ):
        raise UsageError(f"model {name!r}: {where} has no tokenizer; save it beside the model")
    return folder


def _look_on_hub(name: str, where: str, config: str) -> None:
    """Raises UsageError where the hub has no such model, or cannot be reached and no copy is on this machine.

    It asks the hub once, because transformers tries again for minutes.
    """
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError

    try:
        if isinstance(try_to_load_from_cache(where, config), str):
            return
        HfApi().model_info(where, timeout=10)
    except RepositoryNotFoundError:
        why = "the Hugging Face hub has no such model, or needs a token for it (HF_TOKEN)"
    except HfHubHTTPError:
        return  # transformers tries again
    except OfflineModeIsEnabled:
        why = "HF_HUB_OFFLINE keeps josh from asking the Hugging Face hub"
    except ValueError:
        why = "it is not a name on the Hugging Face hub, such as ORG/NAME"
    except Exception:
        why = "the Hugging Face hub cannot be reached"
    else:
        return
    raise UsageError(f"model {name!r}: there is no folder {where}, and {why}")


def missing_folder(where: str) -> str | None:
    """Returns the error for a name that looks like a folder's and is none's; None for an id on the Hugging Face hub.

    A name of the form ORG/NAME can be both. It is taken for a folder if the first part is that of a folder here or of a
    usual folder for models, or nearly so.
    """
    if where.startswith((".", "/", "~")) or where.count("/") > 1:
        return f"there is no folder {where}"
    parent, slash, last = where.rpartition("/")
    if not slash:
        near = next((one for one in _USUAL if (Path(one) / last).is_dir()), None)
        return f"there is no folder {where}; did you mean {near}/{last}?" if near else None
    folders = {path.name for path in Path().iterdir() if path.is_dir()}
    near = next(iter(get_close_matches(parent, [*folders, *_USUAL], 1, 0.8)), None)
    if near is None:
        return None
    if near in folders and near != parent and (Path(near) / last).is_dir():
        return f"there is no folder {where}; did you mean {near}/{last}?"
    return f"there is no folder {where}; give a model's folder (from the hub: hf download {where} --local-dir {where})"


def _four_bits(name: str, torch: Any, transformers: Any, dtype: str) -> Any:
    from importlib.util import find_spec

    if not torch.cuda.is_available():
        raise UsageError(f"load_in_4bit for model {name!r} needs CUDA, which this machine does not have; leave it out")
    if find_spec("bitsandbytes") is None:
        raise UsageError("load_in_4bit needs bitsandbytes: pip install bitsandbytes")
    kind = torch.bfloat16 if dtype == "auto" else getattr(torch, dtype)
    return transformers.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=kind)


def _adapted(name: str, model: Any, adapter: Path | str, *, merge: bool) -> Any:
    """Returns the model with an adapter. Raises UsageError unless all of the adapter's weights belong to the model."""
    try:
        import peft
    except ImportError:
        raise UsageError(f"model {name!r} needs peft: pip install -e '.[train]' -c constraints.txt") from None
    try:
        # Peft ignores weights for layers that the model lacks, and initializes those that the adapter lacks.
        wanted = set(peft.load_peft_weights(str(adapter), device="cpu"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about renamed transformers classes, and the mismatch checked below
            adapted: Any = peft.PeftModel.from_pretrained(model, str(adapter))
        if wanted != set(peft.get_peft_model_state_dict(adapted)):
            raise ValueError("it was trained on a model with other layers")
    except Exception as error:
        raise UsageError(f"model {name!r}: the adapter does not fit: {plain(error)[:300]}") from None
    return adapted.merge_and_unload() if merge else adapted.get_base_model()


def stop_tokens(name: str, template: ChatTemplate, model: Any) -> frozenset[int]:
    """Returns the tokens that end a reply: the model's, the tokenizer's, and the template's token after a reply.

    Raises:
        UsageError: the chat template fails, or there is no such token.
    """
    tokenizer = template.tokenizer
    given = model.generation_config.eos_token_id
    ends = {int(one) for one in (given if isinstance(given, list) else [given]) if one is not None}
    if tokenizer.eos_token_id is not None:
        ends.add(int(tokenizer.eos_token_id))
    messages = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": PROBE}]
    try:
        text = template.render(messages, None)
    except ValueError as error:
        raise UsageError(f"model {name!r}: its chat template does not work: {plain(error)[:300]}") from None
    after = template.ids(text.rpartition(PROBE)[2])
    if after and after[0] in tokenizer.added_tokens_decoder:
        ends.add(int(after[0]))
    if not ends:
        raise UsageError(f"model {name!r} has no end token, neither in its settings nor in its chat template")
    return frozenset(ends)


def _template_in(folder: Path | str) -> str | None:
    """Returns the chat template in the folder of an adapter, which was trained under it; None if it has none."""
    try:
        if (Path(folder) / "chat_template.jinja").is_file():
            return (Path(folder) / "chat_template.jinja").read_text(encoding="utf-8")
        config = json.loads((Path(folder) / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    text = config.get("chat_template") if isinstance(config, dict) else None
    return text if isinstance(text, str) else None
