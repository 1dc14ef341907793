"""Check and prepare the machine and the process of a training: packages, threads, number format, printed output."""

import gc
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from josh.config import nearest
from josh.errors import UsageError
from josh.runs.train.grpo_settings import GrpoSettings
from josh.runs.train.settings import TrainSettings

NEEDED = ("torch", "transformers", "trl", "peft", "datasets", "accelerate")
"""Packages of the extra `train`."""


def require_packages(what: str) -> None:
    """Raises UsageError if a package of the extra `train` is missing.

    Args:
        what: the thing that needs the packages, for the text, such as `training`.
    """
    missing = next((name for name in NEEDED if find_spec(name) is None), None)
    if missing:
        raise UsageError(f"{what} needs {missing}: pip install -e '.[train]' -c constraints.txt")


def is_first() -> bool:
    """Returns whether this is the first process of a training, which alone writes and prints."""
    return os.environ.get("RANK", "0") == "0"


def note(text: str) -> None:
    """Print a line on stderr, in the first process only."""
    if is_first():
        print(f"josh: {text}", file=sys.stderr)


def check_machine(settings: TrainSettings | GrpoSettings) -> None:
    """Set torch's number of threads.

    Raises:
        UsageError: the machine cannot load a model in 4 bits as requested, or has no such optimizer or tracker.
    """
    import torch
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK
    from transformers.training_args import OptimizerNames

    if settings.torch_threads:
        torch.set_num_threads(settings.torch_threads)
    if settings.load_in_4bit and not (torch.cuda.is_available() and find_spec("bitsandbytes")):
        lacking = "bitsandbytes is not installed" if torch.cuda.is_available() else "this machine has no CUDA device"
        raise UsageError(f"load_in_4bit is given, but {lacking}; leave it out, or train on a machine with both")
    optimizers = [str(one.value) for one in OptimizerNames]
    if settings.optimizer not in optimizers:
        near = nearest(settings.optimizer, optimizers) or "such as adamw_torch"
        raise UsageError(f"optimizer is {settings.optimizer!r}; give the name of one in transformers, {near}")
    for tracker in (name.strip() for name in settings.report_to.split(",")):
        if tracker not in ("none", "all", *INTEGRATION_TO_CALLBACK):
            known = ", ".join(sorted(INTEGRATION_TO_CALLBACK))
            raise UsageError(f"report_to is {settings.report_to!r}; give none, or some of {known}")


def compute_dtype() -> Any:
    """Returns the number format for training: bf16 on CUDA, fp16 on CUDA devices without it, else 32 bits."""
    import torch

    if not torch.cuda.is_available():
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


@contextmanager
def quiet() -> Iterator[None]:
    """Hide the libraries' own warnings and progress bars, which concern their developers; restore them afterwards."""
    import datasets
    from transformers.utils import logging as transformers_logging

    level = transformers_logging.get_verbosity()
    trl = logging.getLogger("trl")
    trl_level = trl.level
    transformers_logging.set_verbosity_error()
    trl.setLevel(logging.ERROR)
    if not sys.stderr.isatty() or not is_first():
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


def one_line(error: BaseException) -> str:
    """Returns an error's text on one line of at most 300 characters."""
    return " ".join(str(error).split())[:300]
