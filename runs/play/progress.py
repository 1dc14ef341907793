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
    """The progress bar on stderr: silent where stderr is not a terminal, unless `--progress` is given."""

    def __init__(self, runtime: Runtime, forced: bool, results: Mapping[int, Result]) -> None:
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

    def finished(self, episode: Episode) -> None:
        """Count a finished task."""
        self._reward += episode.reward
        self._show()
        self._bar.update()

    async def tick(self) -> None:
        """Keep the calls in flight up to date while tasks take their time."""
        while not self._bar.disable:
            self._show()
            self._bar.refresh()
            await asyncio.sleep(0.5)

    def _show(self) -> None:
        gateway = self._runtime.gateway
        earned = f"{self._runtime.unit}{self._reward:.2f} {self._runtime.verb}"
        traffic = f"{gateway.in_flight} calls in flight, {gateway.retries} retries"
        self._bar.set_postfix_str(f"{earned}, {traffic}", refresh=False)
