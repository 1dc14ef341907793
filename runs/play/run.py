"""`josh run`: play the tasks, many at a time, and write them down as they finish."""

import asyncio
import gc
import json
import logging
import platform
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from josh.episode import Episode, TaskClock, play
from josh.errors import BudgetError, JoshError, UsageError
from josh.models.litellm_chat import PREFIX
from josh.roles import Task
from josh.runs.play.person import Onlooker, tell_person
from josh.runs.play.progress import ProgressBar
from josh.runs.play.runtime import Runtime
from josh.runs.play.trackers import About, Report, without_secrets
from josh.runs.record.folder import BEFORE, CONFIG, SUMMARY, Search, read_config, slug, version
from josh.runs.record.headline import headline, model_names, short_name
from josh.runs.record.record import Record, retries_before, set_aside
from josh.runs.record.redact import redactor
from josh.runs.record.settings_json import settings_to_json
from josh.runs.record.summary import Result, as_text, bill, counted, result_of, summarize, told_left_out
from josh.runs.settings import RunSettings, environment
from josh.terminal import in_a_line

log = logging.getLogger("josh")

GRACE = 25.0
"""Seconds that a run which is told to stop waits for replies that are paid for already; schedulers kill after 30."""


async def run(settings: RunSettings, resumed: Path | None = None, part: str = "") -> bool:
    """Play a run to its end, or until it is cancelled or has spent its budget; every finished task is on disk.

    Args:
        settings: the settings.
        resumed: the folder of a run to go on with, which was begun with these settings.
        part: the name of the run's folder, where the run is a part of something larger, which tells what came of it.

    Returns:
        Whether any task could be scored, or the budget was spent before.

    Raises:
        UsageError: a setting is wrong, or the disk is full; where nothing was paid for, nothing is left on disk.
        FatalError: going on made no sense; what was finished is on disk.
    """
    casting = Runtime(settings)
    searched = casting.strategy.searched
    redact = redactor(environment())
    results: dict[int, Result] = {}
    if resumed is None:
        name = part or slug(f"{short_name(str(settings.env.name))}-{model_names(settings)[0].removeprefix(PREFIX)}")
        record = Record.create(Path(settings.output.log_dir), name, searched, redact, dated=not part)
    else:
        check_tasks(casting, resumed)
        record, results = Record.reopen(resumed, casting.tasks, searched, redact)
    casting.exchange.journal = record.replies
    casting.exchange.account = record.replies.account()
    casting.exchange.uncounted = record.replies.uncounted()
    stopped, report = "", None
    try:
        with _terminable():
            if resumed is None:
                record.write_json(CONFIG, describe(casting))
            else:
                set_aside(record.folder)
            about = About(record.folder, bool(part), without_secrets(casting.options, redact))
            report = Report.begin(settings.output.report_to, about, casting.prices, results.values())
            stopped = await play_all(casting, record, results, report)
        summary = close(casting, record, results, redact, stopped, silent=bool(part))
        report.end()
    except BaseException as error:
        try:
            await _bring_home(casting, error)
        finally:
            empty = resumed is None and not results and not casting.exchange.account
            if not empty:
                with suppress(UsageError):  # the disk may be what failed; the first failure is the one to tell
                    close(casting, record, results, redact, stopped, silent=bool(part))
                if results and not part and not isinstance(error, UsageError):
                    show(record.folder, broken_off=True)
            if report is not None:
                report.end(failed=True)
            if empty:
                record.discard()
        raise
    finally:
        await casting.aclose()
    if not part:
        _tell_all(casting, record, summary)
    return bool(summary["scored"] or stopped)


def _tell_all(casting: Runtime, record: Record, summary: dict[str, Any]) -> None:
    """Say what came of a run that has ended, and where it is."""
    if casting.settings.people:
        tell_person(record.folder)
    else:
        tell(record, summary, casting.settings, casting.names, Search.of(casting.strategy), casting.unit)
    show(record.folder)


def show(folder: Path, *, broken_off: bool = False) -> None:
    """Write the report of a run that has ended and, unless it was broken off, say where it is; see `report_at_end`."""
    from josh.runs.report.report import report_at_end, tell  # with numpy, for which the first result does not wait

    page = report_at_end(folder, quick=broken_off)
    if page and not broken_off:
        tell([page])


async def _bring_home(casting: Runtime, error: BaseException) -> None:
    """Wait for the replies that are paid for already: as long as they may take, or for `GRACE` when told to stop."""
    if isinstance(error, UsageError):
        return  # the disk has no room for them
    exchange, stopped = casting.exchange, not isinstance(error, JoshError)
    seconds = GRACE if stopped else casting.settings.traffic.timeout
    if not await exchange.drain(0.5):
        count = counted(exchange.in_flight, "call")
        drop = "; stop again to drop them" if stopped else ""
        print(f"josh: waiting up to {seconds:g} seconds for {count} in flight{drop}", file=sys.stderr)
        await exchange.drain(seconds)


def tell(
    record: Record,
    summary: dict[str, Any],
    settings: RunSettings,
    plays: Mapping[str, Any],
    search: Search,
    unit: str,
) -> None:
    """Print what came of a run."""
    print(f"{in_a_line(headline(settings, plays, search, summary['tasks']))}\n")
    print(as_text(summary, searched=search.searched, unit=unit))
    if left_out := read_config(record.folder).get("left_out"):
        print(f"left out        {in_a_line(told_left_out(left_out))}")
    print(f"examples        {record.examples}, {record.golden} of them on golden paths")
    print(f"written to      {record.folder}/")


def close(
    casting: Runtime,
    record: Record,
    results: Mapping[int, Result],
    redact: Callable[[str], str],
    stopped: str,
    *,
    silent: bool = False,
) -> dict[str, Any]:
    """Finish the files of a run, whether or not it came to its end; unless silent, say how to go on with it."""
    tasks = len(casting.tasks)
    exchange = casting.exchange
    finished = sorted(results)
    people = [casting.people[casting.tasks[position].id] for position in finished]
    summary = figures(
        record, summarize([results[position] for position in finished], people, tasks, exchange.retries), redact
    ) | bill(exchange.account, casting.prices, exchange.uncounted)
    summary["truncated"] = stopped or None
    summary["retries"] += retries_before(record.folder)
    try:
        record.close()
    finally:
        record.write_json(SUMMARY, summary)
        with suppress(OSError):
            (record.folder / BEFORE).unlink(missing_ok=True)
    if not silent and (summary["owed"] or not summary["complete"]):
        what = f"{len(results)} of {tasks} tasks were finished"
        if summary["complete"]:
            what = f"{counted(summary['owed'], 'task')} had errors"
        why, more = "", ""
        if stopped:
            why, more = f"{stopped} is reached: ", f" --{stopped.split(maxsplit=1)[0]} MORE"
        print(f"josh: {why}{what}; go on with: josh --resume {record.folder}{more}", file=sys.stderr)
    return summary


def check_tasks(casting: Runtime, folder: Path) -> None:
    """Raises UsageError where a run cannot be played on with these tasks: it was begun with others, or rescored."""
    config = read_config(folder)
    if "rescored_from" in config:
        raise UsageError(f"{folder} holds rescored trees; give the run they come from, {config['rescored_from']}")
    if config.get("tasks_digest") != casting.tasks_digest:
        raise UsageError(f"the tasks are not those that {folder} was begun with; it cannot be resumed on others")


def figures(record: Record, summary: Mapping[str, Any], redact: Callable[[str], str]) -> dict[str, Any]:
    """What goes into `summary.json`: what `summarize` has counted, and the examples."""
    return {
        **summary,
        "first_error": redact(summary["first_error"]),
        "training_examples": record.examples,
        "golden_examples": record.golden,
    }


@contextmanager
def _terminable() -> Iterator[None]:
    """Have SIGTERM, with which schedulers end a job, cancel the run as Ctrl-C does, where the platform lets us."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    with suppress(NotImplementedError, RuntimeError):
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        yield
    finally:
        with suppress(NotImplementedError, RuntimeError):
            loop.remove_signal_handler(signal.SIGTERM)


def calm_collector() -> None:
    """Have Python look for reference cycles less often: trees have none, and big ones take long to look through."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def describe(casting: Runtime) -> dict[str, Any]:
    """What a run is made of: every setting, who plays, and the versions of what plays it."""
    return {
        "settings": settings_to_json(casting.settings),
        "plays": casting.names,
        "search": asdict(Search.of(casting.strategy)),
        "tasks": len(casting.tasks),
        "tasks_digest": casting.tasks_digest,
        "task_ids": [task.id for task in casting.tasks],
        "left_out": dict(casting.env.left_out),
        "versions": {"python": platform.python_version()}
        | {
            name: version(name)
            for name in ("josh-dialogue", "openai", "litellm", "numpy", "torch", "transformers", "peft")
        },
    }


async def play_all(casting: Runtime, record: Record, results: dict[int, Result], report: Report | None = None) -> str:
    """Play the tasks that have no result yet; which limit of the budget ended it, if one did.

    Args:
        casting: who plays.
        record: where finished tasks are written.
        results: takes the results, by the place of their task.
        report: is told of finished tasks.
    """
    settings = casting.settings
    waiting = iter([place for place in enumerate(casting.tasks) if place[0] not in results])
    stopped: list[str] = []
    with _watching(casting, results) as progress:

        async def worker() -> None:
            for position, task in waiting:
                try:
                    episode = await _play(casting, task)
                except BudgetError as error:
                    # Calls in flight are paid for: the other tasks go on until they would need another one.
                    stopped.append(str(error))
                    return
                record.add(position, episode)
                results[position] = result_of(episode)
                progress.finished(episode)
                if report is not None:
                    exchange = casting.exchange
                    report.finished(results[position], bill(exchange.account, casting.prices, exchange.uncounted))
                if stopped:
                    return

        ticker = asyncio.ensure_future(progress.tick())
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(len(casting.tasks), settings.traffic.max_concurrency)):
                    group.create_task(worker())
            await casting.exchange.drain()
        except* JoshError as group:
            raise _first(group) from None
        finally:
            ticker.cancel()
    return stopped[0] if stopped else ""


def _watching(casting: Runtime, results: Mapping[int, Result]) -> "ProgressBar | Onlooker":
    """Who is told how the run goes."""
    settings = casting.settings
    if settings.people and not casting.recorded:
        return Onlooker(casting.env.speakers, settings.people[0], casting.unit)
    return ProgressBar(casting, settings.output.progress, results)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _play(casting: Runtime, task: Task) -> Episode:
    clock = TaskClock(casting.settings.limits.task_timeout)
    return await play(
        casting.search(task, clock),
        task,
        casting.env,
        max_rounds=casting.max_rounds(task),
        clock=clock,
    )


def dry_run(settings: RunSettings) -> str:
    """What a run would do, as JSON, after every check that can be made without playing."""
    return json.dumps(describe(Runtime(settings)), indent=2)
