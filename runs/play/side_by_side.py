"""The tasks of a run, played side by side; each is on disk as soon as it is finished."""

import asyncio
from collections.abc import Mapping

from josh.clock import TaskClock
from josh.episode import first_of, play_search
from josh.errors import BudgetError, JoshError
from josh.outcomes import Episode
from josh.roles import Task
from josh.runs.play.person import Onlooker
from josh.runs.play.progress import ProgressBar
from josh.runs.play.runtime import Runtime
from josh.runs.play.trackers import Report
from josh.runs.record.record import Record
from josh.runs.record.summary import Result, bill, result_of


async def play_all(runtime: Runtime, record: Record, results: dict[int, Result], trackers: Report | None = None) -> str:
    """Play the tasks that have no result yet, `max_concurrency` of them at a time.

    Args:
        runtime: who plays.
        record: where finished tasks are written.
        results: takes the results, by the place of their task.
        trackers: get the figures of every finished task.

    Returns:
        The limit of the budget that ended it, as `max_calls 100`; empty where every task is finished.

    Raises:
        UsageError: the disk is full.
        FatalError: going on makes no sense.
    """
    waiting = iter([place for place in enumerate(runtime.tasks) if place[0] not in results])
    stopped: list[str] = []
    with _display(runtime, results) as display:

        async def worker() -> None:
            for position, task in waiting:
                try:
                    episode = await _played(runtime, task)
                except BudgetError as error:
                    # Calls in flight are paid for: the other tasks go on until they would need another one.
                    stopped.append(str(error))
                    return
                record.add(position, episode)
                results[position] = result_of(episode)
                display.finished(episode)
                if trackers is not None:
                    gateway = runtime.gateway
                    trackers.finished(results[position], bill(gateway.account, runtime.prices, gateway.uncounted))
                if stopped:
                    return

        ticker = asyncio.ensure_future(display.tick())
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(len(runtime.tasks), runtime.settings.traffic.max_concurrency)):
                    group.create_task(worker())
            await runtime.gateway.drain()
        except* JoshError as group:
            raise first_of(group) from None
        finally:
            ticker.cancel()
    return stopped[0] if stopped else ""


def _display(runtime: Runtime, results: Mapping[int, Result]) -> ProgressBar | Onlooker:
    """What shows a person how the run goes."""
    settings = runtime.settings
    if settings.people and not runtime.recorded:
        return Onlooker(runtime.env.speakers, settings.people[0], runtime.unit)
    return ProgressBar(runtime, settings.output.progress, results)


async def _played(runtime: Runtime, task: Task) -> Episode:
    clock = TaskClock(runtime.settings.limits.task_timeout)
    scorer = runtime.scorer(task, clock)
    search = runtime.search(task, clock, scorer)
    return await play_search(search, task, runtime.env, clock=clock, scorer=scorer)
