"""The life of a probe: from its settings to its numbers.

1. Settings, questions, models and prices are checked, before any cost and before the folder exists (`Asker`).
2. The folder is made, with `plan.json` and the journal.
3. The baseline answers everything, then the model (`answers.py`). Models on this machine are in memory one by one.
4. The judge compares the answers, if there is one (`judging.py`).
5. The numbers are computed (`figures.py`) and written. A budget, Ctrl-C or a signal ends a probe early; resumed, it
   takes the replies from its journal.
"""

import asyncio
import json
import logging
import platform
import shutil
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from josh.errors import UsageError
from josh.messages import dumps
from josh.models.hf_loading import base_and_adapter, is_local
from josh.models.litellm_chat import PREFIX
from josh.runs.play.closing import drain_calls
from josh.runs.play.destinations import sends_keys_elsewhere
from josh.runs.play.signals import cancelled_by_signals
from josh.runs.probe.answers import Answers, answer, requests
from josh.runs.probe.asking import Asker, CannotLoadError
from josh.runs.probe.figures import (
    Figures,
)
from josh.runs.probe.items import ITEMS, OPEN_PROMPTS
from josh.runs.probe.judging import Pair, judged, most_verdicts
from josh.runs.probe.questions import Question, questions_from_json, questions_to_json, read_questions
from josh.runs.probe.results import no_drift, result_of, write_lines
from josh.runs.probe.settings import (
    BASELINE,
    FLAGS,
    JUDGE,
    MODEL,
    PROBE,
    SIDES,
    ProbeSettings,
    resumed,
    settings_from,
    settings_to_json,
)
from josh.runs.record.folder import (
    PLAN,
    PROBE_FILE,
    PROBE_KIND,
    commit,
    from_here,
    make_folder,
    now,
    remove_folder,
    require_resumable,
    slug,
    version,
    write_json,
)
from josh.runs.record.journal import Replies
from josh.texts import json_fault

log = logging.getLogger("josh")

PROBE_FOLDER = "probe"
"""The name of a probe's folder in that of an evaluation or a loop."""
_VERSIONS: Final = ("josh-dialogue", "openai", "litellm", "torch", "transformers", "peft")


@dataclass(frozen=True, slots=True)
class Probed:
    """A probe that has ended.

    Attributes:
        folder: its folder.
        figures: the content of `probe.json`.
        again: the command that goes on with it.
    """

    folder: Path
    figures: Figures
    again: str = ""

    @property
    def stopped(self) -> str:
        """The budget limit that ended it, such as `max_calls 100`; empty for none."""
        return str(self.figures["truncated"] or "")


async def probe(settings: ProbeSettings, folder: Path | None = None) -> Probed:
    """Begin a probe and play it until it is complete or its budget is spent.

    Args:
        settings: its settings.
        folder: its folder, where it belongs to an evaluation or a loop; None for a new one in `log_dir`.

    Raises:
        UsageError: a setting or a file is wrong; nothing was asked, and no folder is left.
        FatalError: it cannot go on.
    """
    questions: tuple[Question, ...] = ()
    if settings.questions is not None:
        questions = read_questions(Path(settings.questions), settings.references and Path(settings.references))
    asker = Asker(settings)
    log_dir = Path(settings.output.log_dir) if folder is None else folder.parent
    made = not log_dir.exists()
    try:
        stem = f"probe-{_short(settings)}-{datetime.now():%Y%m%d-%H%M%S}" if folder is None else folder.name
        folder = make_folder(log_dir, stem)
    except OSError as error:
        await asker.aclose()
        raise UsageError(f"cannot write to log_dir {str(log_dir)!r}: {error.strerror}") from None
    plan = {
        "probe": settings_to_json(settings),
        "items": items_digest(),
        "questions": questions_to_json(questions),
        "started": now(),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in _VERSIONS},
        **({"commit": commit()} if commit() else {}),
    }
    try:
        write_json(folder / PLAN, plan)
        return await _play(folder, settings, questions, asker)
    except BaseException as error:
        empty = not asker.gateway.account and not asker.gateway.unusable
        if empty or (isinstance(error, CannotLoadError) and not asker.paid):
            remove_folder(folder, made)
        else:
            print(f"josh: go on with: {_again(folder, settings)}", file=sys.stderr)
        raise


async def probe_in(folder: Path, settings: ProbeSettings) -> Probed:
    """Begin the probe of an evaluation or a loop, or continue it; see `probe`.

    Args:
        folder: the probe's folder.
        settings: its settings; for one that is continued, with new values of resumable settings.
    """
    if not (folder / PLAN).exists():
        shutil.rmtree(folder, ignore_errors=True)  # it was killed before its first request
        return await probe(settings, folder)
    values = PROBE.flat(settings)
    return await resume_probe(
        folder, {flag: values[flag] for flag, one in PROBE.items() if one.rule.resumable and flag != "log_dir"}
    )


async def resume_probe(folder: Path, given: Mapping[str, Any]) -> Probed:
    """Continue a probe that was interrupted or had errors, or compute its numbers anew where it is complete.

    Args:
        folder: the probe's folder.
        given: new values of resumable settings, by flag.

    Raises:
        UsageError: the folder holds no probe, or a setting cannot be changed.
        FatalError: it cannot go on.
    """
    require_resumable(folder, PROBE_KIND)
    plan = _read(folder / PLAN)
    try:
        before = settings_from(PROBE.read(plan["probe"], f"{folder / PLAN}: "))
        questions, items = questions_from_json(plan["questions"]), plan["items"]
    except (KeyError, TypeError):
        raise UsageError(f"{folder / PLAN} is not the plan of a probe; give the folder of a probe") from None
    if items != items_digest():
        raise UsageError(f"{folder} has other items than this version of josh; start a new probe")
    settings = resumed(before, given, folder)
    done = bool(_read(folder / PROBE_FILE).get("complete")) if (folder / PROBE_FILE).exists() else False
    try:
        return await _play(folder, settings, questions, Asker(settings, recorded=done))
    except BaseException as error:
        if not isinstance(error, UsageError):
            print(f"josh: go on with: {_again(folder, settings)}", file=sys.stderr)
        raise


def probe_figures(folder: Path) -> Figures:
    """Returns the content of a probe's `probe.json`. Raises UsageError where it cannot be read."""
    return _read(folder / PROBE_FILE)


def items_digest() -> str:
    """Returns a hash of the items and open prompts, which tells two versions of them apart."""
    whole = [[(one.id, one.prompt) for one in ITEMS], OPEN_PROMPTS]
    return blake2b(dumps(whole).encode(), digest_size=8).hexdigest()


def _again(folder: Path, settings: ProbeSettings) -> str:
    """Returns the command that goes on with a probe."""
    asked = [settings.side(side) for side in FLAGS if settings.side(side).model]
    trust = sends_keys_elsewhere((one.model, one.base_url, one.api_key_var) for one in asked)
    return f"josh probe --resume {from_here(folder)}{' --trust' * trust}"


def _short(settings: ProbeSettings) -> str:
    """Returns the model's name for a folder: of folders of models only their last part."""
    name = settings.model.model
    parts = [Path(one).name for one in base_and_adapter(name) if one] if is_local(name) else [name.removeprefix(PREFIX)]
    return slug("-".join(parts))


async def _play(folder: Path, settings: ProbeSettings, questions: Sequence[Question], asker: Asker) -> Probed:
    try:
        for line in asker.announced:
            log.warning("%s", line, extra={"once": True})
        replies = Replies(folder)
        asker.use(replies)
        try:
            with cancelled_by_signals():
                found = await _asked(settings, questions, asker)
        except BaseException as error:
            await drain_calls(asker.gateway, replies, settings.traffic.timeout, error)
            raise
        finally:
            replies.close()
    finally:
        await asker.aclose()
    figures = result_of(settings, questions, asker, *found)
    write_lines(folder, questions, *found)
    write_json(folder / PROBE_FILE, figures)
    return Probed(folder, figures, _again(folder, settings))


async def _asked(
    settings: ProbeSettings, questions: Sequence[Question], asker: Asker
) -> tuple[dict[str, Answers], list[Pair]]:
    """Returns the answers of both sides, and the judged pairs; what a budget cuts off has errors, or is missing."""
    drift = not no_drift(settings)
    total = 2 * requests(questions, drift=drift)
    total += most_verdicts(questions, settings.mode) if questions else 0
    found: dict[str, Answers] = {}
    pairs: list[Pair] = []
    async with _bar(asker, total, forced=settings.output.progress):
        for side in SIDES:
            async with asker.opened(side) as model:
                found[side] = await answer(asker, side, model, questions, drift=drift, baseline=found.get(BASELINE))
            if asker.stopped:
                return found, pairs
        if questions:
            async with asker.opened(JUDGE) as model:
                pairs = await judged(asker, model, questions, found[BASELINE], found[MODEL], settings.mode)
    return found, pairs


@asynccontextmanager
async def _bar(asker: Asker, total: int, *, forced: bool) -> AsyncIterator[None]:
    """Show on stderr how many requests are answered, where it is a terminal, or in any case with `forced`."""
    from tqdm import tqdm

    bar = tqdm(total=total, unit="reply", file=sys.stderr, disable=not (forced or sys.stderr.isatty()))

    async def tick() -> None:
        while not bar.disable:
            bar.update(asker.asked - bar.n)
            await asyncio.sleep(0.5)

    ticking = asyncio.ensure_future(tick())
    try:
        yield
    finally:
        ticking.cancel()
        with suppress(asyncio.CancelledError):
            await ticking
        if not bar.disable:
            bar.update(asker.asked - bar.n)
        bar.close()


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path.parent} is not a probe: cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is damaged: {json_fault(error)}") from None
    return found if isinstance(found, dict) else {}
