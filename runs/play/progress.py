"""The progress bar of a run."""

import asyncio
import sys
from collections.abc import Mapping
from contextlib import ExitStack

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from josh.outcomes import Episode
from josh.runs.play.runtime import Runtime
from josh.runs.record.summary import Result


class ProgressBar:
    """The progress bar on stderr; it prints nothing where stderr is not a terminal, unless it is forced."""

    def __init__(self, runtime: Runtime, forced: bool, results: Mapping[int, Result]) -> None:
        """Set the bar up.

        Args:
            runtime: the run's tasks and gateway.
            forced: show the bar in any case (`--progress`).
            results: the results of tasks that an earlier session finished.
        """
        self._runtime = runtime
        self._reward = sum(result.reward for result in results.values())
        self._exits = ExitStack()
        self._bar = tqdm(
            total=len(runtime.tasks),
            initial=len(results),
            unit="task",
            file=sys.stderr,
            disable=not (forced or sys.stderr.isatty()),
            dynamic_ncols=True,
        )

    def __enter__(self) -> "ProgressBar":
        if not self._bar.disable:
            self._exits.enter_context(logging_redirect_tqdm())
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
        self._exits.close()

    def finished(self, episode: Episode | Result) -> None:
        """Count a finished task."""
        self._reward += episode.reward
        self._show()
        self._bar.update()

    async def tick(self) -> None:
        """Refresh the number of calls in flight twice a second, until cancelled."""
        while not self._bar.disable:
            self._show()
            self._bar.refresh()
            await asyncio.sleep(0.5)

    def _show(self) -> None:
        gateway = self._runtime.gateway
        earned = f"{self._runtime.unit}{self._reward:.2f} {self._runtime.verb}"
        traffic = f"{gateway.in_flight} calls in flight, {gateway.retries} retries"
        self._bar.set_postfix_str(f"{earned}, {traffic}", refresh=False)
