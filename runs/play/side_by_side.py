"""Plays the tasks of a run concurrently; each is written to disk as soon as it is finished."""

import asyncio
import logging
from collections.abc import Mapping

from josh.clock import TaskClock
from josh.episode import first_of, play_search
from josh.errors import BudgetError, JoshError, UsageError
from josh.outcomes import Episode, conclude
from josh.roles import BaseRewards, Task
from josh.runs.play.confirming import Confirmer
from josh.runs.play.person import PlayDisplay
from josh.runs.play.progress import ProgressBar
from josh.runs.play.runtime import Runtime
from josh.runs.play.trackers import Report
from josh.runs.play.watchdog import watched
from josh.runs.record.record import Record
from josh.runs.record.summary import Result, bill, result_of
from josh.terminal import only_visible
from josh.tree import plant

log = logging.getLogger("josh")


async def play_all(
    runtime: Runtime,
    record: Record,
    results: dict[int, Result],
    trackers: Report | None = None,
    first: int | None = None,
) -> str:
    """Play the tasks that have no result yet, `max_concurrency` of them at a time.

    Args:
        runtime: the run's plug-ins, tasks and models.
        record: gets the finished tasks.
        results: gets the results, by the position of their task.
        trackers: get the figures of every finished task; None for none.
        first: play only so many tasks, from the first; None for all.

    Returns:
        The budget limit that ended the run, such as `max_calls 100`; empty where every task is finished.

    Raises:
        UsageError: the disk is full.
        FatalError: the run cannot continue.
        MemoryError: a finished task cannot be written, because the memory is used up.
    """
    waiting = iter([(position, task) for position, task in enumerate(runtime.tasks[:first]) if position not in results])
    stopped: list[str] = []
    with watched(), only_visible(), _display(runtime, results) as display:

        async def worker() -> None:
            for position, task in waiting:
                try:
                    episode = await played(runtime, task)
                except BudgetError as error:
                    # Calls in flight are paid for, so the other tasks continue until they need a new call.
                    stopped.append(str(error))
                    return
                record.add(position, episode)
                results[position] = result_of(episode)
                display.finished(episode)
                if trackers is not None:
                    gateway = runtime.gateway
                    total = bill(gateway.account, runtime.prices, gateway.uncounted, gateway.unusable)
                    trackers.finished(results[position], total, episode)
                if stopped:
                    return

        ticker = asyncio.ensure_future(display.tick())
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(len(runtime.tasks), runtime.settings.traffic.max_concurrency)):
                    group.create_task(worker())
            await runtime.gateway.drain()
        except* (JoshError, MemoryError) as group:
            raise first_of(group) from None
        finally:
            ticker.cancel()
    return stopped[0] if stopped else ""


def _display(runtime: Runtime, results: Mapping[int, Result]) -> ProgressBar | PlayDisplay:
    """Returns the progress bar, or the display for a person who plays."""
    settings = runtime.settings
    if settings.people and not runtime.recorded:
        return PlayDisplay(runtime.env.speakers, settings.people[0], runtime.unit)
    return ProgressBar(runtime, settings.output.progress, results)


async def played(runtime: Runtime, task: Task) -> Episode:
    """Play a task, and return its episode. Raises BudgetError, UsageError or FatalError where it cannot go on."""
    clock = TaskClock(runtime.settings.limits.task_timeout)
    scorer = runtime.scorer(task, clock)
    rule, confirmer = runtime.settings.confirming, Confirmer(runtime, task, clock, scorer)
    before = confirmer.confirm if rule.confirm_first is not None else None
    finish = confirmer.finish if rule.confirm and before is None else None
    try:
        search = runtime.search(task, clock, scorer, confirm=before)
    except UsageError as error:
        # Every task could be set up before the run began, so only this one is given up.
        log.warning("%s", error)
        return conclude(plant((), runtime.env.opens), task, runtime.env, BaseRewards(()), runtime.strategy, str(error))
    return await play_search(search, task, runtime.env, clock=clock, scorer=scorer, finish=finish)
