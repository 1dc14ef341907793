"""The folder of an adapter: a `.part` folder during the training, renamed when it is complete.

1. `claim` makes the `.part` folder, or finds the one to continue.
2. The trainer writes its checkpoints into it.
3. `complete` adds the card, deletes the checkpoints and renames the folder.
4. `leave` cleans up after an interrupted training; a folder with a checkpoint stays, and `--resume` continues it.
"""

import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from josh.errors import UsageError
from josh.runs.train.machine import is_first, note

CARD = "josh_adapter.json"
"""The card in an adapter's folder: its sources (base model, data), settings, losses and versions."""
CHECKPOINTS = "checkpoints"
_MADE_OF = "made_of"
"""A file in a `.part` folder with the hash of the training's sources and settings, see `sources.adapter_digest`."""


def claim(target: Path, part: Path, made_of: str, resume: bool) -> None:
    """Make the `.part` folder, in the first process only.

    Args:
        target: the adapter's folder.
        part: its `.part` folder.
        made_of: the hash of the training's sources and settings.
        resume: continue in a `.part` folder that exists.

    Raises:
        UsageError: the adapter exists; an interrupted training exists and `resume` is false, or its sources or settings
            are different; or the folder cannot be written.
    """
    if is_first():
        if target.exists():
            raise UsageError(
                f"{target} exists already; "
                "use it as it is (the same data, model and settings give the same name), or remove it"
            )
        if part.exists() and not resume:
            raise UsageError(f"{part} is from an interrupted training; go on with --resume, or remove it")
        if resume and last_checkpoint(part) is None:
            note(f"{part} has no checkpoint; the training starts from the beginning")
        elif resume and _made_of_in(part) != made_of:
            raise UsageError(
                f"{part} is from a training with other data, another model or other settings; give those, or remove it"
            )
        try:
            part.mkdir(parents=True, exist_ok=True)
            (part / _MADE_OF).write_text(made_of, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"cannot write to out {str(part.parent)!r}: {error.strerror}") from None
    if "RANK" in os.environ:
        from accelerate import PartialState

        _wait_for_first(PartialState)


def _made_of_in(part: Path) -> str | None:
    try:
        return (part / _MADE_OF).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _wait_for_first(partial_state: Any) -> None:
    """Wait until the first process is here too."""
    import torch

    partial_state(cpu=not torch.cuda.is_available()).wait_for_everyone()


def complete(part: Path, target: Path, card: Mapping[str, Any]) -> None:
    """Turn the `.part` folder of a finished training into the adapter's folder."""
    (part / CARD).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if (part / CHECKPOINTS / "runs").is_dir():  # transformers writes these for tensorboard
        (part / CHECKPOINTS / "runs").replace(part / "tensorboard")
    shutil.rmtree(part / CHECKPOINTS, ignore_errors=True)
    (part / _MADE_OF).unlink()
    for weights in part.glob("*.safetensors"):
        # They are readable for their owner only, and a model server may run as another user.
        weights.chmod((part / CARD).stat().st_mode)
    part.replace(target)


def resolve_base(part: Path) -> None:
    """Make the base model's path in an adapter's configuration absolute, so that it is found from every folder."""
    path = part / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    base = Path(str(config.get("base_model_name_or_path") or ""))
    if config.get("base_model_name_or_path") and base.is_dir():
        config["base_model_name_or_path"] = str(base.resolve())
        path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def leave(part: Path, keep: bool) -> None:
    """Clean up after an interrupted training: delete the folder, unless `keep` is true and it has a checkpoint."""
    if keep and last_checkpoint(part):
        print(f"josh: {part} has a checkpoint; go on with --resume", file=sys.stderr)
    else:
        shutil.rmtree(part, ignore_errors=True)


def last_checkpoint(part: Path) -> str | None:
    """Returns the newest complete checkpoint, or None; an interrupted training may leave an incomplete one."""
    found = sorted((part / CHECKPOINTS).glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    return next((str(path) for path in reversed(found) if _is_whole(path)), None)


def _is_whole(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))  # transformers writes it last
    except (OSError, ValueError):
        return False
    return True
