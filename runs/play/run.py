"""One run, from its settings to a result: `josh run`, and every run of an evaluation or a loop.

The life of a run:

1. The run gets resolved settings (`runs/settings.py`).
2. `Runtime` loads every plug-in, chooses the tasks and sets every model up. A wrong setting raises here, before
   any cost and before the folder exists (`runtime.py`).
3. The folder is created. For a resumed run the existing folder is opened, and its finished tasks are left out.
4. The gateway gets the journal in the folder, which holds every reply that an earlier session paid for.
5. The tasks are played concurrently, in this process (`side_by_side.py`) or on workers (`workers/`). Each task is
   written to disk as soon as it is finished, and the trackers and the progress display get its figures.
6. Playing ends: every task is finished, the budget is spent, an error stops the run, or Ctrl-C or a signal cancels it
   (`signals.py`). The run waits for replies that are in flight and paid for.
7. The files are closed and `summary.json` is written (`closing.py`). The folder of a new run that ended before it paid
   for or finished anything is deleted.
8. `RunResult` goes to the caller. Nothing is printed here: `runs/report/ending.py` prints it and writes the page.
"""

import json
import logging
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from josh.config import NOTHING
from josh.errors import UsageError
from josh.models.gateway import ModelGateway
from josh.models.lessons import Lessons
from josh.models.litellm_chat import PREFIX
from josh.redact import redactor
from josh.runs.play.closing import RunResult, close, drain_calls, import_for_the_end
from josh.runs.play.estimate import Estimate, estimate
from josh.runs.play.fit import check_fit
from josh.runs.play.runtime import Runtime
from josh.runs.play.side_by_side import play_all
from josh.runs.play.signals import cancelled_by_signals
from josh.runs.play.trackers import About, Report, without_secrets
from josh.runs.play.unread import refuse_unread, unread_first
from josh.runs.play.workers.playing import on_workers, play_on_workers, require_executor
from josh.runs.record.folder import (
    CONFIG,
    EPISODES,
    HowPlayed,
    commit,
    now,
    read_config,
    read_settings,
    slug,
    version,
    write_json,
)
from josh.runs.record.headline import model_names, short_name
from josh.runs.record.journal import FILE, Replies, stored_account
from josh.runs.record.record import Record, archive_summary
from josh.runs.record.settings_json import settings_to_json
from josh.runs.record.stored import stored_episodes
from josh.runs.record.summary import Result
from josh.runs.registry import needs_model
from josh.runs.settings import LOCAL, RunSettings, environment
from josh.terminal import only_visible

log = logging.getLogger("josh")

VERSIONS = ("josh-dialogue", "openai", "litellm", "numpy", "torch", "transformers", "peft")
"""Packages whose versions are recorded in `config.json`."""


def nothing(result: RunResult, error: BaseException) -> None:
    """Does nothing."""


@contextmanager
def same_folder() -> Iterator[None]:
    """Return to the current folder where a plug-in changed it, so that the run's relative paths stay right."""
    here = Path.cwd()
    try:
        yield
    finally:
        try:
            moved = Path.cwd() != here
        except OSError:
            moved = True
        if moved:
            os.chdir(here)
            log.warning("a plug-in changed the current folder; josh went back to %s", here)


async def run(
    settings: RunSettings,
    resumed: Path | None = None,
    part: str = "",
    *,
    first: int | None = None,
    given: Mapping[str, Any] = NOTHING,
    broken_off: Callable[[RunResult, BaseException], None] = nothing,
) -> RunResult:
    """Play a run to its end, or until its budget is spent.

    Args:
        settings: the settings.
        resumed: the folder of a run to resume, which was started with these settings; None for a new run.
        part: the name of the run's folder, where the run belongs to an evaluation or a loop; else empty.
        first: play only so many tasks, from the first; the run can be resumed for the others. None for all.
        given: the settings that flags and a TOML file give now, by flag; one that nothing reads is refused.
        broken_off: gets the result so far and the error when an error or a cancellation ends the run. The files are
            closed before this call, and the error is raised after it.

    Raises:
        UsageError: a setting is wrong, or the disk is full; where nothing was paid for, no folder is left.
        FatalError: the run cannot continue; finished tasks are on disk.
    """
    with only_visible(), unread_first(given, lambda: [Runtime(settings, recorded=True)], fit=resumed is None):
        runtime = Runtime(settings) if settings.workers.executor == LOCAL else on_workers(settings)
    refuse_unread([runtime], given)
    if resumed is None:
        check_fit(runtime)
    announce(runtime)
    redact = redactor(environment(), runtime.options)
    record, results = _opened(runtime, resumed, part, redact)
    hand_over_journal(runtime.gateway, record.replies)
    stopped, trackers = "", None
    try:
        with cancelled_by_signals():
            if resumed is None:
                began = {"started": now(), "commit": commit()}
                write_json(record.folder / CONFIG, describe(runtime) | {k: v for k, v in began.items() if v})
            else:
                archive_summary(record.folder)
                keep_model(record.folder, runtime)
            plain = without_secrets(runtime.options, redact)
            about = About(record.folder, bool(part), plain, runtime.env.speakers, redact)
            trackers = Report.begin(settings.output.report_to, about, runtime.prices, results.values())
            import_for_the_end()
            with same_folder():
                play = play_all if settings.workers.executor == LOCAL else play_on_workers
                stopped = await play(runtime, record, results, trackers, first)
        result = close(runtime, record, results, redact, stopped)
        trackers.end()
    except BaseException as error:
        try:
            await drain_calls(runtime.gateway, record.replies, settings.traffic.timeout, error)
        finally:
            empty = resumed is None and not results and not runtime.gateway.account and not runtime.gateway.unusable
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
    """Returns the open folder, new or resumed, and the results of its finished tasks, by the position of the task."""
    settings, collapses = runtime.settings, runtime.strategy.collapses
    if resumed is not None:
        check_tasks(runtime, resumed)
        judge = runtime.judge_model.name if runtime.judge_model else ""
        return Record.reopen(resumed, runtime.tasks, collapses, redact, judge)
    name = part or slug(f"{short_name(str(settings.env.name))}-{model_names(settings)[0].removeprefix(PREFIX)}")
    return Record.create(Path(settings.output.log_dir), name, collapses, redact, dated=not part), {}


def keep_model(folder: Path, runtime: Runtime) -> None:
    """Record the models of a resumed run, where one was replaced before it was asked (see `unasked`)."""
    before, now = read_settings(folder), runtime.settings
    if (before.agent, before.user) != (now.agent, now.user):
        config = read_config(folder)
        recorded = replace(before, agent=now.agent, user=now.user)
        write_json(folder / CONFIG, config | {"settings": settings_to_json(recorded), "plays": runtime.names})


def check_tasks(runtime: Runtime, folder: Path) -> None:
    """Raises UsageError where a run cannot be resumed with these tasks: it is rescored, or had other tasks."""
    config = read_config(folder)
    if "rescored_from" in config:
        raise UsageError(f"{folder} holds rescored trees; give the original run, {config['rescored_from']}")
    if config.get("tasks_digest") != runtime.tasks_digest:
        raise UsageError(f"the tasks are not those of {folder}; resume it with the same tasks, or start a new run")


def hand_over_journal(gateway: ModelGateway, replies: Replies) -> None:
    """Give a gateway the run's journal, and the usage and lessons of earlier sessions."""
    gateway.journal = gateway.notes = replies
    gateway.account = replies.account()
    gateway.uncounted = replies.uncounted()
    gateway.lessons = Lessons(replies.lessons())
    gateway.unusable = replies.unusable()


def unasked(folder: Path, settings: RunSettings) -> tuple[str, ...]:
    """Returns the sides of a run (`agent`, `user`) whose model may still change, because it has not been asked.

    Such a side has no reply in the journal. It also has played no turn: it needs a model, or no task is finished.
    """
    if not any(folder.glob(f"{FILE}*")):
        return ()
    asked = {side for (side, _), usage in stored_account(folder).items() if usage.calls}
    started = any(stored_episodes(folder / EPISODES, [])) if (folder / EPISODES).exists() else False
    sides = {"agent": settings.agent.name, "user": settings.user.name}
    return tuple(
        side
        for side, name in sides.items()
        if side not in asked and (not started or (name is not None and needs_model(side, name)))
    )


def announce(runtime: Runtime) -> None:
    """Log where keys go, unless that is the plain default."""
    for line in runtime.announced():
        log.warning("%s", line, extra={"once": True})


def describe(runtime: Runtime) -> dict[str, Any]:
    """Returns the content of `config.json`: settings, search, plug-ins, tasks and versions of packages."""
    texts = {**runtime.strategy.directives, **runtime.env.directives}
    return {
        "settings": settings_to_json(runtime.settings),
        "search": asdict(HowPlayed.of(runtime.strategy)),
        "plays": runtime.names,
        **({"directives": texts} if texts else {}),
        "tasks": len(runtime.tasks),
        "tasks_digest": runtime.tasks_digest,
        "task_ids": [task.id for task in runtime.tasks],
        "left_out": dict(runtime.env.left_out),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in VERSIONS},
    }


def dry_run(settings: RunSettings, given: Mapping[str, Any] = NOTHING) -> tuple[str, Estimate]:
    """Returns the `config.json` of a run with its `estimate`, as text, and the estimate; nothing is played.

    Args:
        settings: the settings.
        given: see `run`.

    Raises:
        UsageError: a setting is wrong, as for `run`.
    """
    with unread_first(given, lambda: [Runtime(settings, recorded=True)]):
        runtime = Runtime(settings)
    refuse_unread([runtime], given)
    require_executor(settings)
    check_fit(runtime)
    announce(runtime)
    going = runtime.announced(keyless=True)
    expected = estimate(runtime)
    config = describe(runtime) | ({"requests_go_to": going} if going else {}) | {"estimate": expected.to_json()}
    return json.dumps(config, indent=2), expected
