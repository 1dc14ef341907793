"""One run, from its settings to a result: `josh run`, and every run that an evaluation or a loop is made of.

The life of a run:

1. Its settings come in resolved (`runs/settings.py`).
2. `Runtime` loads every plug-in, chooses the tasks and sets every model up. A wrong setting raises here, before
   anything is paid for and before there is a folder (`runtime.py`).
3. The folder is made, or that of a run to go on with is opened again; the tasks that it has finished are left out.
4. The journal in the folder is handed to the gateway: it holds every reply that was paid for in an earlier session.
5. The tasks are played side by side (`side_by_side.py`). Each task is on disk as soon as it is finished, and the
   trackers and the progress display hear of it.
6. Playing ends: every task is finished, the budget is spent, an error makes going on impossible, or Ctrl-C or SIGTERM
   cancels it (`signals.py`). Replies that are under way and paid for are awaited.
7. The files are closed and `summary.json` is written (`closing.py`). A new run that ended before it paid for or
   finished anything leaves no folder behind.
8. `RunResult` goes to the caller. Nothing is printed here: `runs/report/ending.py` prints it and writes the page.
"""

import json
import platform
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from josh.errors import UsageError
from josh.models.litellm_chat import PREFIX
from josh.redact import redactor
from josh.runs.play.closing import RunResult, close, drain_calls
from josh.runs.play.runtime import Runtime
from josh.runs.play.side_by_side import play_all
from josh.runs.play.signals import cancelled_by_sigterm
from josh.runs.play.trackers import About, Report, without_secrets
from josh.runs.record.folder import CONFIG, HowPlayed, read_config, slug, version, write_json
from josh.runs.record.headline import model_names, short_name
from josh.runs.record.record import Record, set_aside
from josh.runs.record.settings_json import settings_to_json
from josh.runs.record.summary import Result
from josh.runs.settings import RunSettings, environment

VERSIONS = ("josh-dialogue", "openai", "litellm", "numpy", "torch", "transformers", "peft")
"""Packages whose versions `config.json` keeps."""


def nothing(result: RunResult, error: BaseException) -> None:
    """Does nothing."""


async def run(
    settings: RunSettings,
    resumed: Path | None = None,
    part: str = "",
    *,
    broken_off: Callable[[RunResult, BaseException], None] = nothing,
) -> RunResult:
    """Play a run to its end, or until its budget is spent.

    Args:
        settings: the settings.
        resumed: the folder of a run to go on with, which was begun with these settings.
        part: the name of the run's folder, where the run is a part of an evaluation or a loop.
        broken_off: gets what is on disk, and the error, when an error or a cancellation ends the run. The files are
            closed by then, and the error is raised afterwards.

    Raises:
        UsageError: a setting is wrong, or the disk is full; where nothing was paid for, nothing is left on disk.
        FatalError: going on makes no sense; what was finished is on disk.
    """
    runtime = Runtime(settings)
    redact = redactor(environment(), runtime.options)
    record, results = _opened(runtime, resumed, part, redact)
    hand_over_journal(runtime, record)
    stopped, trackers = "", None
    try:
        with cancelled_by_sigterm():
            if resumed is None:
                write_json(record.folder / CONFIG, describe(runtime))
            else:
                set_aside(record.folder)
            about = About(record.folder, bool(part), without_secrets(runtime.options, redact))
            trackers = Report.begin(settings.output.report_to, about, runtime.prices, results.values())
            stopped = await play_all(runtime, record, results, trackers)
        result = close(runtime, record, results, redact, stopped)
        trackers.end()
    except BaseException as error:
        try:
            await drain_calls(runtime, error)
        finally:
            empty = resumed is None and not results and not runtime.gateway.account
            if not empty:
                with suppress(UsageError):  # the disk may be what failed; the first failure is the one to report
                    broken_off(close(runtime, record, results, redact, stopped), error)
            if trackers is not None:
                trackers.end(failed=True)
            if empty:
                record.discard()
        raise
    finally:
        await runtime.aclose()
    return result


def _opened(
    runtime: Runtime, resumed: Path | None, part: str, redact: Callable[[str], str]
) -> tuple[Record, dict[int, Result]]:
    """A new folder, or the one to go on with and the results that stand, by the place of their task."""
    settings, collapses = runtime.settings, runtime.strategy.collapses
    if resumed is not None:
        check_tasks(runtime, resumed)
        return Record.reopen(resumed, runtime.tasks, collapses, redact)
    name = part or slug(f"{short_name(str(settings.env.name))}-{model_names(settings)[0].removeprefix(PREFIX)}")
    return Record.create(Path(settings.output.log_dir), name, collapses, redact, dated=not part), {}


def check_tasks(runtime: Runtime, folder: Path) -> None:
    """Raises UsageError where a run cannot be played on with these tasks: it was begun with others, or rescored."""
    config = read_config(folder)
    if "rescored_from" in config:
        raise UsageError(f"{folder} holds rescored trees; give the run they come from, {config['rescored_from']}")
    if config.get("tasks_digest") != runtime.tasks_digest:
        raise UsageError(f"the tasks are not those that {folder} was begun with; it cannot be resumed on others")


def hand_over_journal(runtime: Runtime, record: Record) -> None:
    """Let the gateway find replies in the run's journal, and count what the earlier sessions have cost."""
    runtime.gateway.journal = record.replies
    runtime.gateway.account = record.replies.account()
    runtime.gateway.uncounted = record.replies.uncounted()


def describe(runtime: Runtime) -> dict[str, Any]:
    """What a run is made of, for `config.json`: every setting, who plays, and the versions of what plays it."""
    return {
        "settings": settings_to_json(runtime.settings),
        "search": asdict(HowPlayed.of(runtime.strategy)),
        "plays": runtime.names,
        "tasks": len(runtime.tasks),
        "tasks_digest": runtime.tasks_digest,
        "task_ids": [task.id for task in runtime.tasks],
        "left_out": dict(runtime.env.left_out),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in VERSIONS},
    }


def dry_run(settings: RunSettings) -> str:
    """What a run would do, as JSON, after every check that can be made without playing."""
    return json.dumps(describe(Runtime(settings)), indent=2)
