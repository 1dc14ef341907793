"""Plays the tasks of a run on workers, in place of `side_by_side.play_all`."""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from josh.errors import UsageError
from josh.models.hf_loading import is_local
from josh.models.remote import AskedGateway
from josh.runs.play.closing import drain_calls
from josh.runs.play.progress import ProgressBar
from josh.runs.play.runtime import Runtime
from josh.runs.play.trackers import Report
from josh.runs.play.workers.hub import Hub, Place
from josh.runs.play.workers.member import Setup
from josh.runs.play.workers.processes import Processes
from josh.runs.record.record import Record, TaskLines
from josh.runs.record.stored import episode_in
from josh.runs.record.summary import Result, bill
from josh.runs.settings import LOCAL, PROCESSES, RAY, RunSettings, environment
from josh.terminal import only_visible
from josh.trust import trust

log = logging.getLogger("josh")


def require_executor(settings: RunSettings) -> None:
    """Raises UsageError where the chosen executor cannot play: a person plays, or there is no Ray."""
    executor = settings.workers.executor
    if executor != LOCAL and settings.people:
        raise UsageError(f"executor is {executor!r}, and a person plays; leave the executor out")
    if executor == RAY:
        from josh.runs.play.workers.on_ray import require_ray

        require_ray(settings.workers.ray_address)


def on_workers(settings: RunSettings) -> Runtime:
    """Returns the runtime of a run that is played on workers: it loads no local model. Raises UsageError."""
    require_executor(settings)
    return Runtime(settings, rehearsed=True, gateway=AskedGateway)


async def play_on_workers(
    runtime: Runtime,
    record: Record,
    results: dict[int, Result],
    trackers: Report | None = None,
    first: int | None = None,
) -> str:
    """Play the tasks that have no result yet on workers; see `play_all` for arguments, result and errors."""
    positions = [position for position in range(len(runtime.tasks[:first])) if position not in results]
    if not positions:
        return ""
    with only_visible(), ProgressBar(runtime, runtime.settings.output.progress, results) as display:

        def finished(position: int, result: Result, lines: TaskLines) -> None:
            results[position] = result
            display.finished(result)
            if trackers is not None:
                gateway = runtime.gateway
                total = bill(gateway.account, runtime.prices, gateway.uncounted, gateway.unusable)
                trackers.finished(result, total, episode_in(lines.episode) if trackers.wants_talks else None)

        async with _place(runtime) as (place, workers):
            count = _number(workers, len(positions), runtime)
            hub = Hub(runtime, record, positions, finished, count, _setup(runtime, count))
            ticker = asyncio.ensure_future(display.tick())
            try:
                async with hub.listening(place):
                    try:
                        await hub.over
                        await runtime.gateway.drain()
                    except BaseException as error:
                        hub.rest()
                        # The workers are still there, and bring the replies that are paid for.
                        patience = runtime.settings.traffic.timeout
                        await drain_calls(runtime.gateway, record.replies, patience, error)
                        raise
            finally:
                ticker.cancel()
    return hub.stopped


@asynccontextmanager
async def _place(runtime: Runtime) -> AsyncIterator[tuple[Place, int]]:
    """Yields the place for the workers, and how many there are."""
    settings = runtime.settings.workers
    local = any(is_local(model.name) for model in runtime.models)
    if settings.executor == PROCESSES:
        gpus = _gpus() if local else ()
        yield Processes(gpus), _limited(settings.workers, len(gpus) or os.cpu_count() or 1, len(gpus))
        return
    from josh.runs.play.workers.on_ray import ray_cluster

    async with ray_cluster(settings.ray_address, gpus=local) as cluster:
        yield cluster, _limited(settings.workers, cluster.gpus or cluster.processors, cluster.gpus)


def _limited(wanted: int | None, default: int, gpus: int) -> int:
    """Returns the number of workers: as wanted, but one for each GPU where local models use them."""
    if wanted is None:
        return default
    if gpus and wanted > gpus:
        log.warning("workers is %d, but there are %d GPUs for the model; %d workers play", wanted, gpus, gpus)
        return gpus
    return wanted


def _number(workers: int, tasks: int, runtime: Runtime) -> int:
    """Returns how many workers have something to do."""
    most = runtime.settings.traffic.max_concurrency
    if runtime.settings.workers.workers is not None and workers > most:
        log.warning(
            "workers is %d, but max_concurrency is %d, so %d workers play; give more of it", workers, most, most
        )
    return max(1, min(workers, tasks, most))


def _gpus() -> tuple[str, ...]:
    """Returns the GPUs of this machine, as CUDA_VISIBLE_DEVICES names them."""
    named = environment().get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return tuple(name.strip() for name in named.split(",") if name.strip())
    import torch

    return tuple(map(str, range(torch.cuda.device_count())))


def _setup(runtime: Runtime, workers: int) -> Setup:
    own = logging.getLogger("josh")
    return Setup(
        settings=runtime.settings,
        digest=runtime.tasks_digest,
        trust=trust(),
        environment=dict(environment()),
        path=tuple(sys.path),
        folder=str(Path.cwd()),
        level=own.getEffectiveLevel(),
        others=runtime.settings.output.debug or runtime.settings.output.josh_debug,
        share=max(1, runtime.settings.traffic.max_concurrency // workers),
    )
