"""Trackers: a run's metrics are sent to trackio, wandb or tensorboard while it is playing (`--report_to`).

All three are optional. They change no request and no result.
"""

import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from josh.config import listed
from josh.errors import UsageError
from josh.messages import text_of
from josh.models.budget import Price, cost
from josh.outcomes import Episode
from josh.redact import in_json
from josh.roles import BaseEnv
from josh.runs.record.summary import Result
from josh.threads import plain
from josh.tree import conversation

log = logging.getLogger("josh")

PATIENCE = 60.0
"""Seconds that a tracker may take to send the rest of its metrics when a run ends."""
PROJECT = "josh"
"""The default project of the trackers."""
SAMPLES = 20
"""Most conversations of a run that the trackers get."""
LONGEST = 20_000
"""Most characters of such a conversation."""
Figures = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class About:
    """The description of a run that a tracker gets at the start.

    Attributes:
        folder: the run's folder.
        part: whether the run belongs to an evaluation or a loop, whose folder is above it.
        settings: its settings, without secrets.
        speakers: the names of the two sides, by `agent` and `user`.
        redact: takes secrets out of a text.
    """

    folder: Path
    part: bool
    settings: Mapping[str, Any]
    speakers: Mapping[str, str] = field(default_factory=lambda: BaseEnv.speakers)
    redact: Callable[[str], str] = str

    @property
    def group(self) -> str:
        """Name of the evaluation or loop that the run belongs to; empty for none."""
        return self.folder.resolve().parent.name if self.part else ""

    @property
    def name(self) -> str:
        """Name of the run."""
        return f"{self.group}/{self.folder.name}" if self.part else self.folder.name


@dataclass(frozen=True, slots=True)
class SampleTalk:
    """One conversation of a run, as people read it.

    Attributes:
        task: the id of its task.
        outcome: its outcome, such as `won`.
        reward: its reward.
        text: what both sides said, a paragraph for each message.
        number: the number of tasks that were finished when it was.
    """

    task: str
    outcome: str
    reward: float
    text: str
    number: int


def sample_of(episode: Episode, about: About, number: int) -> SampleTalk | None:
    """Returns the first conversation that counts of a task; None if none does."""
    if not episode.reported:
        return None
    leaf = episode.reported[0]
    names = {"assistant": about.speakers["agent"], "user": about.speakers["user"]}
    said = [
        f"{names[message['role']]}: {text_of(message)}"
        for message in conversation(episode.tree, leaf)
        if message.get("role") in names and text_of(message)
    ]
    text = about.redact("\n\n".join(said))[:LONGEST]
    return SampleTalk(episode.task.id, str(episode.outcomes[leaf]), episode.worth[leaf], text, number)


class Tracker(Protocol):
    """A started tracker. Its class is called with an `About`. Any call may raise any error.

    A tracker with a method `show` gets a run's `SampleTalk`s by it, before `finish`.
    """

    def log(self, figures: Figures, tasks: int) -> None:
        """Record a run's metrics, by name, after a number of finished tasks."""
        ...

    def finish(self, *, failed: bool) -> None:
        """Send the remaining metrics, and end the run in the tracker."""
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

    def show(self, talks: Sequence[SampleTalk]) -> None:
        """Log a table of conversations."""
        import trackio

        log_table(self._run.log, getattr(trackio, "Table", None), talks)

    def finish(self, *, failed: bool) -> None:
        """See `Tracker.finish`."""
        self._run.finish()


class Wandb:
    """https://docs.wandb.ai; the project is `WANDB_PROJECT`, else `josh`. A resumed run continues its wandb run."""

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
        # wandb's own step cannot decrease, but a resumed run plays tasks with errors again and counts fewer tasks.
        self._run.define_metric("*", step_metric="tasks")

    def log(self, figures: Figures, tasks: int) -> None:
        """See `Tracker.log`."""
        self._run.log({**figures, "tasks": tasks})

    def show(self, talks: Sequence[SampleTalk]) -> None:
        """Log a table of conversations."""
        import wandb

        log_table(self._run.log, getattr(wandb, "Table", None), talks)

    def finish(self, *, failed: bool) -> None:
        """See `Tracker.finish`."""
        self._run.finish(exit_code=int(failed))


def log_table(log: Callable[[Any], Any], table: Any, talks: Sequence[SampleTalk]) -> None:
    """Log conversations as a table of wandb or trackio; nothing where that version has no tables.

    Args:
        log: the run's `log`.
        table: the package's `Table`, which takes `columns` and `data`; None where it has none.
        talks: the conversations.
    """
    if table is not None:
        rows = [[talk.task, talk.outcome, talk.reward, talk.text] for talk in talks]
        log({"conversations": table(columns=["task", "outcome", "reward", "conversation"], data=rows)})


class TensorBoard:
    """Event files in the run's folder, for `tensorboard --logdir records`, without settings: see `config.json`."""

    def __init__(self, about: About) -> None:
        from tensorboard.summary import Writer

        self._folder = about.folder
        self._writer = Writer(str(about.folder / "tensorboard"))

    def log(self, figures: Figures, tasks: int) -> None:
        """See `Tracker.log`."""
        for name, value in figures.items():
            self._writer.add_scalar(name, value, tasks)
        self._writer.flush()

    def show(self, talks: Sequence[SampleTalk]) -> None:
        """Write the conversations for TensorBoard's Text tab, in a folder of their own: its `Writer` has no texts."""
        import time

        import numpy as np
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import DATA_CLASS_TENSOR, SummaryMetadata
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
        from tensorboard.util.tensor_util import make_tensor_proto

        data = SummaryMetadata.PluginData(plugin_name="text")
        metadata = SummaryMetadata(plugin_data=data, data_class=DATA_CLASS_TENSOR)
        writer = EventFileWriter(str(self._folder / "tensorboard_text"))
        for talk in talks:
            text = f"{talk.task}: {talk.outcome}, reward {talk.reward:.2f}\n\n{talk.text}"
            event = Event(wall_time=time.time(), step=talk.number)
            tensor = make_tensor_proto(np.array([text.encode("utf-8", "backslashreplace")], dtype=object))
            event.summary.value.add(tag="conversation", tensor=tensor, metadata=metadata)
            writer.add_event(event)
        writer.close()

    def finish(self, *, failed: bool) -> None:
        """See `Tracker.finish`."""
        self._writer.close()


KINDS: Mapping[str, Callable[[About], Tracker]] = {"trackio": Trackio, "wandb": Wandb, "tensorboard": TensorBoard}
"""The trackers, by their name in `report_to`, which is also the name of their package."""


def trackers_in(report_to: str) -> tuple[str, ...]:
    """Returns the names of the trackers in the setting `report_to`; empty for `none`. Raises UsageError for others."""
    names = [name.strip() for name in report_to.split(",")]
    if names == ["none"]:
        return ()
    strange = next((name for name in names if name not in KINDS), None)
    if strange is not None:
        known = f"{listed(list(KINDS))}, several separated by commas, or none"
        raise UsageError(f"report_to is {report_to!r}; give {known}")
    return tuple(dict.fromkeys(names))


def check_trackers(report_to: str) -> None:
    """Raises UsageError where a chosen tracker is not installed."""
    missing = next((name for name in trackers_in(report_to) if find_spec(name) is None), None)
    if missing:
        raise UsageError(f"report_to is {report_to!r}, but {missing} is not installed: pip install {missing}")


def without_secrets(settings: Mapping[str, Any], redact: Callable[[str], str]) -> dict[str, Any]:
    """Returns settings that are safe to send: without keys, and without passwords in addresses."""
    found: dict[str, Any] = in_json(json.loads(json.dumps(settings, default=str)), redact)
    return found


class Report:
    """Computes a run's metrics and sends them to its trackers.

    After every task the trackers get these metrics:

    1. Of the task: `reward`, `num_turns` (the rounds of its conversations), `completed`, `truncated`, `calls` and
       `cost` in US dollars.
    2. Of all finished tasks so far: the means of these, as `mean/...`.
    3. Of the whole run: `total/calls`, `total/cost` and `total/infra_errors`.

    A task that was not scored has no reward and no ending, and does not count in the means of these. Unknown costs are
    left out. At the end of the run the trackers get the conversations of its first `SAMPLES` scored tasks.
    """

    def __init__(
        self, trackers: Mapping[str, Tracker], prices: Mapping[str, Price | None], about: About | None = None
    ) -> None:
        """Set the report up.

        Args:
            trackers: started trackers, by name.
            prices: the price of every model; None where it is unknown.
            about: the run; None for no conversations.
        """
        self._about = about
        self._talks: list[SampleTalk] = []
        self._trackers = dict(trackers)
        self._prices = prices
        self._seen: dict[str, tuple[float, int]] = {}
        self._tasks = 0
        self._errors = 0

    @classmethod
    def begin(
        cls, report_to: str, about: About, prices: Mapping[str, Price | None], before: Iterable[Result] = ()
    ) -> "Report":
        """Start the trackers of a run.

        Args:
            report_to: the setting.
            about: the run.
            prices: the price of every model; None where it is unknown.
            before: results of an earlier session, which count in the means.

        Raises:
            UsageError: a tracker cannot be started.
        """
        report = cls({}, prices, about)
        for result in before:
            report._count(result)
        for name in trackers_in(report_to):
            try:
                with redirect_stdout(sys.stderr):
                    report._trackers[name] = KINDS[name](about)
            except Exception as error:
                report.end(failed=True)
                raise UsageError(f"report_to is {report_to!r}, but {name} does not start: {plain(error)}") from None
        return report

    @property
    def wants_talks(self) -> bool:
        """Whether the trackers show further sample conversations."""
        return bool(self._trackers) and self._about is not None and len(self._talks) < SAMPLES

    def finished(self, result: Result, total: Mapping[str, Any], episode: Episode | None = None) -> None:
        """Send the metrics of a finished task. A tracker that raises an error is dropped with a warning.

        Args:
            result: the task's figures.
            total: the cost of the run so far, as returned by `summary.bill`.
            episode: the task itself, for the sample conversations; None for none.
        """
        own = self._count(result)
        if not self._trackers:
            return
        if episode is not None and self._about is not None and self.wants_talks:
            talk = sample_of(episode, self._about, self._tasks)
            self._talks += [talk] if talk else []
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
                log.warning("report_to %s: it gets no more metrics after this error: %s", name, plain(error))

    def end(self, *, failed: bool = False) -> None:
        """Finish the trackers, each within `PATIENCE` seconds. A second call does nothing.

        Args:
            failed: whether an error or a cancellation ended the run.
        """
        trackers, self._trackers = self._trackers, {}
        for name, tracker in trackers.items():
            errors: list[BaseException] = []
            thread = threading.Thread(target=_finish, args=(tracker, failed, errors, self._talks), daemon=True)
            with redirect_stdout(sys.stderr):
                thread.start()
                thread.join(PATIENCE)
            if thread.is_alive():
                log.warning("report_to %s: it did not finish within %g seconds", name, PATIENCE)
            for error in errors:
                log.warning("report_to %s: it did not finish after this error: %s", name, plain(error))

    def _count(self, result: Result) -> dict[str, float]:
        """Count a result in the means, and return its own metrics."""
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


def _finish(tracker: Tracker, failed: bool, errors: list[BaseException], talks: Sequence[SampleTalk]) -> None:
    show: Callable[[Sequence[SampleTalk]], None] | None = getattr(tracker, "show", None)
    try:
        if show is not None and talks:
            show(talks)
    except Exception as error:
        errors.append(error)
    try:
        tracker.finish(failed=failed)
    except BaseException as error:
        errors.append(error)


def cost_of(result: Result, prices: Mapping[str, Price | None]) -> float | None:
    """Returns the cost of a task's calls in US dollars; None where a price or a token count is unknown."""
    spent = 0.0
    for model, used in result.models.items():
        price = prices.get(model)
        if used.calls and (price is None or not used.prompt_tokens):
            return None
        spent += cost(used, price) if price else 0.0
    return spent
