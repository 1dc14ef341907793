"""The folder of an adapter: a `.part` folder while it is trained, renamed when it is whole.

1. `claim` makes the `.part` folder, or finds the one to go on with.
2. The trainer keeps its checkpoints in there.
3. `complete` adds the card, takes the checkpoints out and renames the folder.
4. `leave` cleans up after a training that was broken off; a folder with a checkpoint stays, to go on from.
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
"""What an adapter is made of, and how its training went."""
CHECKPOINTS = "checkpoints"
_MADE_OF = "made_of"
"""In a `.part` folder: the hash of what the training there is made of."""


def claim(target: Path, part: Path, made_of: str, resume: bool) -> None:
    """Make the `.part` folder, in the first process only. Raises UsageError."""
    if is_first():
        if target.exists():
            raise UsageError(
                f"{target} is there already; "
                "take it as it is (the same data, model and settings have the same name), or remove it"
            )
        if part.exists() and not resume:
            raise UsageError(f"{part} is there, of a training that was broken off; go on with --resume, or remove it")
        if resume and last_checkpoint(part) is None:
            note(f"{part} has no checkpoint to go on from; the training begins anew")
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

        _wait_for_first(PartialState)


def _made_of_in(part: Path) -> str | None:
    try:
        return (part / _MADE_OF).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _wait_for_first(partial_state: Any) -> None:
    """Have the other processes wait for the first."""
    import torch

    partial_state(cpu=not torch.cuda.is_available()).wait_for_everyone()


def complete(part: Path, target: Path, card: Mapping[str, Any]) -> None:
    """Turn the `.part` folder of a training that came to its end into the adapter's folder."""
    (part / CARD).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if (part / CHECKPOINTS / "runs").is_dir():  # what transformers wrote for tensorboard
        (part / CHECKPOINTS / "runs").replace(part / "tensorboard")
    shutil.rmtree(part / CHECKPOINTS, ignore_errors=True)
    (part / _MADE_OF).unlink()
    for weights in part.glob("*.safetensors"):
        # They are written for their owner alone, and a server may be somebody else.
        weights.chmod((part / CARD).stat().st_mode)
    part.replace(target)


def leave(part: Path, keep: bool) -> None:
    """Clean up after a training that was broken off: what has a checkpoint stays, unless it is not worth keeping."""
    if keep and last_checkpoint(part):
        print(f"josh: {part} has a checkpoint; go on from it with --resume", file=sys.stderr)
    else:
        shutil.rmtree(part, ignore_errors=True)


def last_checkpoint(part: Path) -> str | None:
    """The newest checkpoint that is whole: one that a training was writing when it was broken off is not."""
    found = sorted((part / CHECKPOINTS).glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    return next((str(path) for path in reversed(found) if _is_whole(path)), None)


def _is_whole(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))  # transformers writes it last
    except (OSError, ValueError):
        return False
    return True
