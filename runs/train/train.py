"""`josh train sft|dpo|kto`: tune a LoRA adapter on exported rows, with TRL's trainers.

A training has five steps. The first three find wrong data and settings before any computation:

1. Read and check the rows (`data.py`), then check the machine (`machine.py`).
2. Load the chat template, and tokenize the rows with it (`base.py`, `data.py`, `template.py`).
3. Name the adapter after a hash of everything that determines it (`sources.py`), and claim its folder
   (`adapter_folder.py`).
4. Train, with checkpoints; a monitor watches preference training (`tuning.py`, `monitor.py`).
5. Write the adapter, or with `merge` the whole model, and a card that names its sources; rename the folder.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import Any

from josh.errors import FatalError
from josh.messages import dumps
from josh.models.chat_template import FOLDED, template_text
from josh.models.hf_loading import PREFIX
from josh.runs.record.folder import version
from josh.runs.train.adapter_folder import claim, complete, leave
from josh.runs.train.base import load_template, merge
from josh.runs.train.data import Prepared, Row, prepare, read_rows
from josh.runs.train.held_out_loss import ROWS, HeldOutRows, loss_words
from josh.runs.train.machine import NEEDED, check_machine, is_first, note, quiet, require_packages
from josh.runs.train.preferences import HeldOut, described
from josh.runs.train.settings import NO_WEIGHTS, TrainSettings
from josh.runs.train.sources import adapter_digest, sources_of
from josh.runs.train.template import Template
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
    kept = read_rows(Path(settings.eval_data), method) if settings.eval_data else []
    if met := _met(rows, kept):
        what = "pairs" if method == "dpo" else "rows"
        note(
            f"{met} of {len(kept)} {what} of {settings.eval_data} are about questions of {data}; they are not held out"
        )
    require_packages("training")
    with quiet():
        check_machine(settings)
        template = load_template(settings.model, template_text(settings.chat_template), settings.chat_template_kwargs)
        prepared = prepare(rows, method, template, settings.max_length, data, settings.weights != NO_WEIGHTS)
        _say(prepared, template, len(rows), settings.max_length)
        held_out = _held_out(method, kept, template, settings)
        sources = sources_of(method, settings)
        made_of = adapter_digest(method, settings, sources)
        target = Path(settings.out) / (settings.name or f"josh-{method}-{made_of[:8]}")
        part = target.with_name(target.name + ".part")
        claim(target, part, made_of, settings.resume)
        try:
            card = tuned(method, settings, template, prepared, part, held_out)
            card = {"method": method, "name": target.name, **sources, **card}
            if is_first():
                if settings.merge:
                    merge(settings, part)
                template.tokenizer.chat_template = template.chat.text
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


def _met(rows: Sequence[Row], kept: Sequence[Row]) -> int:
    """Returns how many held-out rows have the question of a row, or its prompt or messages where they name none."""

    def about(row: Row) -> str:
        question = row.content.get("question")
        return str(question) if question else dumps(row.content.get("prompt") or row.content.get("messages"))

    known = set(map(about, rows)) if kept else set()
    return sum(about(one) in known for one in kept)


def _held_out(
    method: str, kept: Sequence[Row], template: Template, settings: TrainSettings
) -> HeldOut | HeldOutRows | None:
    """Returns the rows of `eval_data` in tokens; pairs with the column `type` of each; None where there are none.

    Raises:
        UsageError: none of the rows can be used.
    """
    if not settings.eval_data:
        return None
    prepared = prepare(kept, method, template, settings.max_length, Path(settings.eval_data))
    if prepared.used < len(kept):
        what = "pairs" if method == "dpo" else "rows"
        note(f"{len(kept) - prepared.used} of {len(kept)} {what} of {settings.eval_data} are left out")
    if method != "dpo":
        return HeldOutRows(prepared.rows)
    types = {row.line: row.content.get("type") or None for row in kept}
    return HeldOut(prepared.rows, [types[line] for line in prepared.lines])


def _say(prepared: Prepared, template: Template, total: int, max_length: int) -> None:
    """Print how the rows were prepared, where that is not obvious."""
    if FOLDED in template.forms:
        note("the chat template has no system role; the system prompt is put before the first user message")
    if "one_call" in template.forms:
        note("the chat template takes one tool call per message; messages with several calls become several messages")
    if template.thoughts:
        note(
            "the chat template writes an empty thought before a turn, because the rows have no thoughts; it is not "
            "learned, and the words are learned after it"
        )
    if len(prepared.rows) > prepared.used:
        note(
            f"the chat template changes earlier turns, so that {prepared.used} conversations become "
            f"{len(prepared.rows)} examples, each under the prompt that the model is asked with"
        )
    if prepared.dropped["too_long"]:
        note(f"{prepared.dropped['too_long']} of {total} rows are longer than {max_length} tokens")
    left = prepared.dropped["control_tokens"] + prepared.dropped["refused"]
    if left:
        note(f"{left} of {total} rows are left out: {'; '.join(prepared.notes)}")


def _report(target: Path, settings: TrainSettings, card: Mapping[str, Any]) -> None:
    losses, rows = card["losses"], card["rows"]
    left = rows["dropped"]["control_tokens"] + rows["dropped"]["refused"]
    others = f", {left} left out" if left else ""
    print(f"rows      {rows['used']} used, {rows['dropped']['too_long']} too long{others}")
    print(f"steps     {losses['steps']}, loss {losses['first']:.3f} at first, {losses['last']:.3f} at last")
    for one in card.get("evaluations", ()):
        print(f"epoch {round(one['epoch'], 2):<3g} {loss_words(one) if ROWS in one else described(one)}")
    if losses["last"] > losses["first"]:
        note("the last loss is above the first; give a lower learning_rate, or check the rows")
    print(f"{'model' if settings.merge else 'adapter'}   {target}")
    name = target if settings.merge else f"{settings.model}+{target}"
    print(f"use it with --model {quote(f'{PREFIX}{name}')}")
