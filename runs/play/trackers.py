"""Trackers: a run's figures sent to trackio, wandb or tensorboard while it goes on (`--report_to`).

None of the three is needed to install or run josh. What they are told changes nothing that is asked or recorded.
"""

import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from josh.errors import UsageError
from josh.models.budget import Price, cost
from josh.redact import in_json
from josh.runs.record.summary import Result
from josh.threads import one_line

log = logging.getLogger("josh")

PATIENCE = 60.0
"""Seconds that a tracker has to send off what it still holds when a run ends."""
PROJECT = "josh"
Figures = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class About:
    """What a tracker is told of a run before it begins.

    Attributes:
        folder: the run's folder.
        part: whether it is a part of an evaluation or a loop, whose folder is above it.
        settings: its settings, without secrets.
    """

    folder: Path
    part: bool
    settings: Mapping[str, Any]

    @property
    def group(self) -> str:
        """What the run is shown together with: the evaluation or loop that it is a part of; empty for none."""
        return self.folder.resolve().parent.name if self.part else ""

    @property
    def name(self) -> str:
        """What the run is called."""
        return f"{self.group}/{self.folder.name}" if self.part else self.folder.name


class Tracker(Protocol):
    """A tracker under way. It is begun with an `About`, and may raise anything, at any time."""

    def log(self, figures: Figures, tasks: int) -> None:
        """Take the figures of a run after so many finished tasks."""
        ...

    def finish(self, *, failed: bool) -> None:
        """Send off what is left."""
        ...


class Trackio:
    """https://huggingface.co/docs/trackio; the project is `TRACKIO_PROJECT`, else `josh`."""

    def __init__(self, about: About) -> None:
        import trackio

        self._run = trackio.init(
            project=os.environ.get("TRACKIO_PROJECT") or PROJECT,
            name=about.name,
            group=about.group or None,
            config=dict(about.settings),
            resume="allow",
            embed=False,
        )

    def log(self, figures: Figures, tasks: int) -> None:
        """See `Tracker.log`."""
        self._run.log(dict(figures), step=tasks)

    def finish(self, *, failed: bool) -> None:
        """See `Tracker.finish`."""
        self._run.finish()


class Wandb:
    """https://docs.wandb.ai; the project is `WANDB_PROJECT`, else `josh`. A resumed run goes on as the same one."""

    def __init__(self, about: About) -> None:
        import wandb

        place = str(about.folder.resolve()).encode("utf-8", "backslashreplace")
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            name=about.name,
            id=blake2b(place, digest_size=8).hexdigest(),
            group=about.group or None,
            config=dict(about.settings),
            dir=str(about.folder),
            resume="allow",
            settings=wandb.Settings(console="off"),
        )
        # Its own steps never go back, but a task that had errors is played again when a run is resumed.
        self._run.define_metric("*", step_metric="tasks")

    def log(self, figures: Figures, tasks: int) -> None:
        """See `Tracker.log`."""
        self._run.log({**figures, "tasks": tasks})

    def finish(self, *, failed: bool) -> None:
        """See `Tracker.finish`."""
        self._run.finish(exit_code=int(failed))


class TensorBoard:
    """Event files in the run's folder, for `tensorboard --logdir records`; the settings are in `config.json` there."""

    def __init__(self, about: About) -> None:
        from tensorboard.summary import Writer

        self._writer = Writer(str(about.folder / "tensorboard"))

    def log(self, figures: Figures, tasks: int) -> None:
        """See `Tracker.log`."""
        for name, value in figures.items():
            self._writer.add_scalar(name, value, tasks)
        self._writer.flush()

    def finish(self, *, failed: bool) -> None:
        """See `Tracker.finish`."""
        self._writer.close()


KINDS: Mapping[str, Callable[[About], Tracker]] = {"trackio": Trackio, "wandb": Wandb, "tensorboard": TensorBoard}
"""By the name of the setting, which is that of the package, too."""


def trackers_in(report_to: str) -> tuple[str, ...]:
    """The trackers that a run reports to; none for `none`. Raises UsageError for others."""
    names = [name.strip() for name in report_to.split(",")]
    if names == ["none"]:
        return ()
    strange = next((name for name in names if name not in KINDS), None)
    if strange is not None:
        *others, last = KINDS
        raise UsageError(f"report_to is {report_to!r}; give {', '.join(others)} or {last}, several by commas, or none")
    return tuple(dict.fromkeys(names))


def check_trackers(report_to: str) -> None:
    """Raises UsageError where a tracker that is asked for is not installed."""
    missing = next((name for name in trackers_in(report_to) if find_spec(name) is None), None)
    if missing:
        raise UsageError(f"report_to is {report_to!r}, but {missing} is not installed: pip install {missing}")


def without_secrets(settings: Mapping[str, Any], redact: Callable[[str], str]) -> dict[str, Any]:
    """Returns settings as they may leave the machine: no key, and no password in an address."""
    found: dict[str, Any] = in_json(json.loads(json.dumps(settings, default=str)), redact)
    return found


class Report:
    """A run's figures, and the trackers that are told of them.

    After every task they are told of that task `reward`, `num_turns` (the rounds of its conversations), `completed`,
    `truncated`, `calls` and `cost` in US dollars; `mean/...`, the same over all finished tasks so far; and of the whole
    run `total/calls`, `total/cost` and `total/infra_errors`. A task that could not be scored has no reward and no
    ending, and is in no mean of these. Where a cost is not known, it is left out.
    """

    def __init__(self, trackers: Mapping[str, Tracker], prices: Mapping[str, Price | None]) -> None:
        """Args: trackers: by name; prices: what every model costs, None where that is not known."""
        self._trackers = dict(trackers)
        self._prices = prices
        self._seen: dict[str, tuple[float, int]] = {}
        self._tasks = 0
        self._errors = 0

    @classmethod
    def begin(
        cls, report_to: str, about: About, prices: Mapping[str, Price | None], before: Iterable[Result] = ()
    ) -> "Report":
        """Begin with the trackers that a run reports to.

        Args:
            report_to: the setting.
            about: the run.
            prices: what every model costs; None where that is not known.
            before: results of an earlier session, which count in the means.

        Raises:
            UsageError: a tracker cannot be begun.
        """
        report = cls({}, prices)
        for result in before:
            report._count(result)
        for name in trackers_in(report_to):
            try:
                with redirect_stdout(sys.stderr):
                    report._trackers[name] = KINDS[name](about)
            except Exception as error:
                report.end(failed=True)
                raise UsageError(f"report_to is {report_to!r}, but {name} does not begin: {one_line(error)}") from None
        return report

    def finished(self, result: Result, total: Mapping[str, Any]) -> None:
        """Tell the trackers of a finished task.

        Args:
            result: its figures.
            total: what the run has cost so far, as `summary.bill` gives it.
        """
        own = self._count(result)
        if not self._trackers:
            return
        figures = own | {f"mean/{name}": sum_ / count for name, (sum_, count) in self._seen.items() if count}
        figures["total/calls"] = float(sum(side["calls"] for side in total["usage"].values()))
        figures["total/infra_errors"] = float(self._errors)
        if total["cost"] is not None:
            figures["total/cost"] = float(total["cost"])
        for name, tracker in list(self._trackers.items()):
            try:
                with redirect_stdout(sys.stderr):
                    tracker.log(figures, self._tasks)
            except Exception as error:
                del self._trackers[name]
                log.warning("report_to %s: it is told nothing more, for %s", name, one_line(error))

    def end(self, *, failed: bool = False) -> None:
        """Have the trackers send off what they hold, within `PATIENCE`. A second time, this does nothing."""
        trackers, self._trackers = self._trackers, {}
        for name, tracker in trackers.items():
            errors: list[BaseException] = []
            thread = threading.Thread(target=_finish, args=(tracker, failed, errors), daemon=True)
            with redirect_stdout(sys.stderr):
                thread.start()
                thread.join(PATIENCE)
            if thread.is_alive():
                log.warning("report_to %s: it did not finish within %g seconds", name, PATIENCE)
            for error in errors:
                log.warning("report_to %s: it did not finish, for %s", name, one_line(error))

    def _count(self, result: Result) -> dict[str, float]:
        """Count a result; its own figures."""
        self._tasks += 1
        spent = cost_of(result, self._prices)
        figures = {"calls": float(sum(used.calls for used in result.usage.values()))}
        if spent is not None:
            figures["cost"] = spent
        if result.conversations:
            figures |= {
                "reward": result.reward,
                "num_turns": result.rounds,
                "completed": float(result.ending == "completed"),
                "truncated": float(result.ending == "truncated"),
            }
        else:
            self._errors += 1
        for name, value in figures.items():
            before, count = self._seen.get(name, (0.0, 0))
            self._seen[name] = before + value, count + 1
        return figures


def _finish(tracker: Tracker, failed: bool, errors: list[BaseException]) -> None:
    try:
        tracker.finish(failed=failed)
    except BaseException as error:
        errors.append(error)


def cost_of(result: Result, prices: Mapping[str, Price | None]) -> float | None:
    """What a task's calls cost in US dollars; None where a price or a count of tokens is not known."""
    spent = 0.0
    for model, used in result.models.items():
        price = prices.get(model)
        if used.calls and (price is None or not used.prompt_tokens):
            return None
        spent += cost(used, price) if price else 0.0
    return spent
