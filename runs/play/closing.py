"""The end of a run: waits for calls in flight, closes the files, and writes the summary."""

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from josh.errors import JoshError
from josh.models.gateway import ModelGateway
from josh.runs.play.runtime import Runtime
from josh.runs.record.folder import BEFORE, SUMMARY, HowPlayed, write_json
from josh.runs.record.journal import Replies
from josh.runs.record.record import Record, retries_before
from josh.runs.record.summary import Result, bill, counted, summarize
from josh.runs.settings import RunSettings

log = logging.getLogger("josh")

GRACE = 25.0
"""Seconds that a run which was asked to stop waits for paid replies; schedulers kill a process after 30."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """The result of a run.

    Attributes:
        folder: its folder; every file in it is closed.
        settings: its settings, addresses included.
        plays: the plug-ins and models by role, see `Runtime.names`.
        how: how its trees grew.
        unit: unit of its rewards, as a prefix.
        summary: the content of `summary.json`.
    """

    folder: Path
    settings: RunSettings
    plays: Mapping[str, Any]
    how: HowPlayed
    unit: str
    summary: Mapping[str, Any]

    @property
    def stopped(self) -> str:
        """The budget limit that ended the run, such as `max_calls 100`; empty for none."""
        return self.summary.get("truncated") or ""

    @property
    def worked(self) -> bool:
        """Whether a task was scored and none is missing, or the budget was spent before that."""
        return bool((self.summary["scored"] and self.summary["complete"]) or self.stopped)


def import_for_the_end() -> None:
    """Import what the end of a run needs, because an import fails where all files that a process may open are open."""
    import tenacity  # noqa: F401

    import josh.runs.intervals
    import josh.runs.record.schema  # noqa: F401


async def drain_calls(gateway: ModelGateway, replies: Replies, timeout: float, error: BaseException) -> None:
    """Wait for the replies that are paid for, so that they reach the journal.

    Args:
        gateway: sends the run's calls.
        replies: the run's journal; where it has failed, as on a full disk, there is no wait.
        timeout: time limit of one call, in seconds.
        error: what ended the run. After a `JoshError` the wait is at most `timeout`; after Ctrl-C, SIGTERM or another
            error it is at most `GRACE`.
    """
    if replies.failed:
        return
    by_hand = not isinstance(error, JoshError)
    seconds = GRACE if by_hand else timeout
    if not await gateway.drain(0.5):
        count = counted(gateway.in_flight, "call")
        drop = "; stop again to drop them" if by_hand else ""
        log.warning("waiting up to %g seconds for %s in flight%s", seconds, count, drop)
        await gateway.drain(seconds)


def close(
    runtime: Runtime, record: Record, results: Mapping[int, Result], redact: Callable[[str], str], stopped: str
) -> RunResult:
    """Finish the files of a complete or incomplete run, and return its result.

    Args:
        runtime: the run's plug-ins, tasks and models.
        record: the run's files.
        results: the figures of the finished tasks, by the position of the task.
        redact: removes secrets from an error's text.
        stopped: the budget limit that ended the run; empty for none.

    Raises:
        UsageError: a file cannot be written.
    """
    gateway, finished = runtime.gateway, sorted(results)
    people = [runtime.people[runtime.tasks[position].id] for position in finished]
    numbers = summarize([results[position] for position in finished], people, len(runtime.tasks), gateway.retries)
    summary = with_examples(record, numbers, redact) | bill(
        gateway.account, runtime.prices, gateway.uncounted, gateway.unusable
    )
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
    """Returns the content of `summary.json`: the numbers of `summarize`, and the numbers of examples."""
    return {
        **summary,
        "first_error": redact(summary["first_error"]),
        "training_examples": record.examples,
        "golden_examples": record.golden,
    }
