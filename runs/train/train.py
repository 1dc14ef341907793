"""`josh train sft|dpo|kto`: tune a LoRA adapter on exported rows, with TRL's trainers.

A training has five steps. The first three find wrong data and settings before any computation:

1. Read and check the rows (`data.py`), then check the machine (`machine.py`).
2. Load the chat template, try it on the rows, and tokenize the rows (`base.py`, `data.py`).
3. Name the adapter after a hash of everything that determines it (`sources.py`), and claim its folder
   (`adapter_folder.py`).
4. Train, with checkpoints; a monitor watches preference training (`tuning.py`, `monitor.py`).
5. Write the adapter, or with `merge` the whole model, and a card that names its sources; rename the folder.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from josh.errors import FatalError
from josh.runs.record.folder import version
from josh.runs.train.adapter_folder import claim, complete, leave
from josh.runs.train.base import load_template, merge, training_variant
from josh.runs.train.data import fitting_template, prepare, read_rows
from josh.runs.train.machine import NEEDED, check_machine, is_first, note, quiet, require_packages
from josh.runs.train.settings import TrainSettings
from josh.runs.train.sources import adapter_digest, sources_of
from josh.runs.train.tuning import tuned


def train(method: str, settings: TrainSettings) -> Path:
    """Train, and print the result on stdout.

    Under `accelerate launch` every process calls this; only the first one writes and prints.

    Args:
        method: one of `METHODS`.
        settings: see `resolve_training`.

    Returns:
        The adapter's folder; with `merge` the folder of the whole model.

    Raises:
        UsageError: the data, the machine or a setting is wrong; nothing was trained.
        FatalError: the model's text degenerated, the loss is not finite, or the memory is full; no adapter is left.
    """
    began = time.monotonic()
    data = Path(settings.data)
    rows = read_rows(data, method)
    require_packages("training")
    with quiet():
        check_machine(settings)
        template = load_template(settings.model)
        own = template.text
        template = fitting_template(template, rows, training_variant)
        if template.text != own:
            note("the chat template rewrites earlier turns; training uses TRL's variant of it, which keeps them")
        prepared = prepare(rows, method, template, settings.max_length, data)
        if prepared.dropped["too_long"]:
            note(f"{prepared.dropped['too_long']} of {len(rows)} rows are longer than {settings.max_length} tokens")
        sources = sources_of(method, settings)
        made_of = adapter_digest(method, settings, sources)
        target = Path(settings.out) / (settings.name or f"josh-{method}-{made_of[:8]}")
        part = target.with_name(target.name + ".part")
        claim(target, part, made_of, settings.resume)
        try:
            card = tuned(method, settings, template, prepared, part)
            card = {"method": method, "name": target.name, **sources, **card}
            if is_first():
                if settings.merge:
                    merge(settings, part)
                template.tokenizer.save_pretrained(part)
                card["settings"] = asdict(settings)
                card["versions"] = {name: version(name) for name in ("josh-dialogue", *NEEDED)}
                card["seconds"] = round(time.monotonic() - began, 1)
                complete(part, target, card)
        except BaseException as error:
            if is_first():
                leave(part, keep=not isinstance(error, FatalError))
            raise
    if is_first():
        _report(target, settings, card)
    return target


def _report(target: Path, settings: TrainSettings, card: Mapping[str, Any]) -> None:
    losses = card["losses"]
    print(f"rows      {card['rows']['used']} used, {card['rows']['dropped']['too_long']} too long")
    print(f"steps     {losses['steps']}, loss {losses['first']:.3f} at first, {losses['last']:.3f} at last")
    print(f"{'model' if settings.merge else 'adapter'}   {target}")
