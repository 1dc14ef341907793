"""Workers as actors of a Ray cluster (`--executor ray`).

1. `ray_cluster` connects to a cluster, or starts Ray on this machine.
2. Every worker is an actor with a processor of its own, and with a GPU where models are local. Ray chooses its node.
3. An actor connects to the run as a worker process does. Ray reports when an actor or its node is gone.
4. At the end the actors are gone, and so is a Ray that was started here.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from importlib.util import find_spec
from typing import Any

from josh.errors import UsageError
from josh.runs.play.workers.wire import Start
from josh.threads import one_line

AUTO = "auto"
_SECONDS = 5.0
"""Seconds in which the address of a cluster must answer."""


class Actor:
    """A worker in a process of Ray."""

    def work(self, start: dict[str, Any]) -> None:
        """Play tasks until the run is over. Args: start: the fields of `Start`."""
        from josh.runs.play.workers.member import work

        work(Start(**start))


class RayCluster:
    """A Ray cluster, as a place for workers (`hub.Place`).

    Attributes:
        host: the address of this machine in the cluster.
        processors: number of processors in the cluster.
        gpus: number of GPUs in it, of which each worker gets one; 0 where the workers use none.
    """

    def __init__(self, ray: Any, *, gpus: bool) -> None:
        """Look at a cluster that is connected. Args: ray: the package; gpus: whether workers use GPUs."""
        self._ray = ray
        self.host = str(ray.util.get_node_ip_address())
        resources = ray.cluster_resources()
        self.processors = max(1, int(resources.get("CPU", 1)))
        self.gpus = int(resources.get("GPU", 0)) if gpus else 0
        options = {"num_cpus": 1, "num_gpus": 1 if self.gpus else 0, "max_restarts": 0, "scheduling_strategy": "SPREAD"}
        self._actors = ray.remote(Actor).options(**options)

    async def live(self, start: Start) -> str:
        """See `Place.live`."""
        actor = self._actors.remote()
        try:
            await asyncio.wrap_future(actor.work.remote(asdict(start)).future())
        except self._ray.exceptions.RayError as error:
            return next(
                (line for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__
            ).strip()
        finally:
            with suppress(Exception):  # it may be gone
                self._ray.kill(actor)
        return "it ended"


def require_ray(address: str | None) -> None:
    """Raises UsageError where Ray is not installed, or nothing answers at an address; see `ray_cluster`."""
    if find_spec("ray") is None:
        raise UsageError(
            "executor is 'ray', but Ray is not installed: pip install 'josh-dialogue[ray]', or give "
            "--executor processes"
        )
    if address is None or address == AUTO:
        return
    if "://" in address:
        raise UsageError(
            f"ray_address is {address!r}, for programs outside the cluster; start josh on a node of it, such as by "
            "`ray job submit`, and give HOST:PORT or auto"
        )
    _require_answer(address)


@asynccontextmanager
async def ray_cluster(address: str | None, *, gpus: bool) -> AsyncIterator[RayCluster]:
    """Yields the cluster at an address.

    Args:
        address: HOST:PORT, or `auto` for the cluster that this machine is a node of; None for the one that the variable
            RAY_ADDRESS names, else for a new Ray on this machine.
        gpus: whether the workers use GPUs.

    Raises:
        UsageError: Ray is not installed, or there is no cluster at the address.
    """
    require_ray(address)
    import ray

    connected = ray.is_initialized()
    if not connected:
        # In a thread, because it takes seconds, and because in the main thread Ray replaces the handlers of signals.
        await asyncio.to_thread(_connect, ray, address or os.environ.get("RAY_ADDRESS"))
    try:
        yield RayCluster(ray, gpus=gpus)
    finally:
        if not connected:
            await asyncio.to_thread(ray.shutdown)


def _connect(ray: Any, address: str | None) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet = {"logging_level": "ERROR", "log_to_driver": False, "namespace": "josh"}
    if address is None:
        ray.init(address="local", include_dashboard=False, **quiet)
        return
    try:
        ray.init(address=address, **quiet)
    except Exception as error:
        raise UsageError(
            f"ray_address is {address!r}, but this machine is not a node of a cluster there ({one_line(error):.200}); "
            "start one with `ray start`, or leave the address out"
        ) from None


def _require_answer(address: str) -> None:
    """Raises UsageError where nothing answers at an address; Ray itself would end the process, or wait for long."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f"ray_address is {address!r}; give HOST:PORT, such as 10.0.0.1:6379, or auto")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _SECONDS).close()
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(
            f"ray_address is {address!r}, and nothing answers there ({why}); start Ray with `ray start --head`, or "
            "leave the address out"
        ) from None
