"""The end of a run: calls under way are awaited, its files are closed, its numbers are put together."""

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from josh.errors import JoshError, UsageError
from josh.runs.play.runtime import Runtime
from josh.runs.record.folder import BEFORE, SUMMARY, HowPlayed, write_json
from josh.runs.record.record import Record, retries_before
from josh.runs.record.summary import Result, bill, counted, summarize
from josh.runs.settings import RunSettings

log = logging.getLogger("josh")

GRACE = 25.0
"""Seconds that a run which is asked to stop waits for replies that are paid for; schedulers kill after 30."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """What came of a run.

    Attributes:
        folder: its folder; every file in it is closed.
        settings: its settings, addresses included.
        plays: who played, by role, see `Runtime.names`.
        how: how its trees grew.
        unit: what its rewards are counted in, as a prefix.
        summary: what `summary.json` says.
    """

    folder: Path
    settings: RunSettings
    plays: Mapping[str, Any]
    how: HowPlayed
    unit: str
    summary: Mapping[str, Any]

    @property
    def stopped(self) -> str:
        """The limit of the budget that ended it, as `max_calls 100`; empty for none."""
        return self.summary.get("truncated") or ""

    @property
    def worked(self) -> bool:
        """Whether a task could be scored, or the budget was spent before."""
        return bool(self.summary["scored"] or self.stopped)


async def drain_calls(runtime: Runtime, error: BaseException) -> None:
    """Wait for the replies that are paid for: as long as they may take, or for `GRACE` where a person ended the run."""
    if isinstance(error, UsageError):
        return  # the disk has no room for them
    gateway, by_hand = runtime.gateway, not isinstance(error, JoshError)
    seconds = GRACE if by_hand else runtime.settings.traffic.timeout
    if not await gateway.drain(0.5):
        count = counted(gateway.in_flight, "call")
        drop = "; stop again to drop them" if by_hand else ""
        log.warning("waiting up to %g seconds for %s in flight%s", seconds, count, drop)
        await gateway.drain(seconds)


def close(
    runtime: Runtime, record: Record, results: Mapping[int, Result], redact: Callable[[str], str], stopped: str
) -> RunResult:
    """Finish the files of a run, complete or not.

    Args:
        runtime: who played.
        record: the run's folder.
        results: the figures of the finished tasks, by the place of the task.
        redact: takes secrets out of an error's text.
        stopped: the limit of the budget that ended it; empty for none.

    Raises:
        UsageError: a file cannot be written.
    """
    gateway, finished = runtime.gateway, sorted(results)
    people = [runtime.people[runtime.tasks[position].id] for position in finished]
    numbers = summarize([results[position] for position in finished], people, len(runtime.tasks), gateway.retries)
    summary = with_examples(record, numbers, redact) | bill(gateway.account, runtime.prices, gateway.uncounted)
    summary["truncated"] = stopped or None
    summary["retries"] += retries_before(record.folder)
    try:
        record.close()
    finally:
        write_json(record.folder / SUMMARY, summary)
        with suppress(OSError):
            (record.folder / BEFORE).unlink(missing_ok=True)
    return RunResult(
        record.folder, runtime.settings, runtime.names, HowPlayed.of(runtime.strategy), runtime.unit, summary
    )


def with_examples(record: Record, summary: Mapping[str, Any], redact: Callable[[str], str]) -> dict[str, Any]:
    """What `summary.json` says: what `summarize` has counted, and how many examples were written."""
    return {
        **summary,
        "first_error": redact(summary["first_error"]),
        "training_examples": record.examples,
        "golden_examples": record.golden,
    }
