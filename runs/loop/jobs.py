"""The stages of `josh loop` as jobs for `processes.py`: their commands, their notes, and how far they are."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from josh.runs.loop.plan import Plan, Stage
from josh.runs.loop.processes import STAGES, Command, last_step
from josh.runs.record.folder import EPISODES, read_summary
from josh.runs.settings import RunSettings


def noted(folder: Path, stage: Stage) -> dict[str, Any]:
    """Returns the note of a complete stage; empty if the stage is not complete or the files of its runs are gone."""
    try:
        done = json.loads((folder / STAGES / f"{stage.name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    there = all(read_summary(folder / name) and (folder / name / EPISODES).exists() for name in stage.plays)
    if isinstance(done, dict) and "told" in done:  # the key of earlier versions
        done["result"] = done.pop("told")
    sound = (
        isinstance(done, dict) and done.keys() >= {"result", "seconds"} and (stage.kind != "train" or "rows" in done)
    )
    return done if sound and there else {}


@dataclass(frozen=True, slots=True)
class StageJob:
    """A stage of `josh loop` as a job; see `processes.Job`.

    Attributes:
        folder: the loop's folder.
        plan: the loop.
        stage: the stage.
        given: new values of resumable settings of runs.
        command: the command line.
    """

    folder: Path
    plan: Plan
    stage: Stage
    given: Mapping[str, Any]
    command: Command

    @property
    def name(self) -> str:
        """The stage's name."""
        return self.stage.name

    @property
    def needs(self) -> tuple[str, ...]:
        """The stages that must be complete before it begins."""
        return self.stage.needs

    @property
    def leads(self) -> bool:
        """Whether the next round needs it."""
        return self.stage.leads

    @property
    def arguments(self) -> list[str]:
        """The arguments of the command."""
        arguments = ["loop", "--resume", str(self.folder), "--stage", self.name, "--trust"]
        return arguments + [
            f"--{name}" if value is True else f"--{name}={value}" for name, value in self.given.items() if value
        ]

    def note(self) -> dict[str, Any]:
        """Returns its note; see `noted`."""
        return noted(self.folder, self.stage)

    def progress(self, log: Path) -> str:
        """Returns the numbers of finished and of all tasks of its runs, or its last step."""
        if not self.stage.plays:
            return last_step(log)
        tasks = sum(_tasks(self.plan.part(one).settings) for one in self.stage.plays)
        return f" {sum(_lines(self.folder / one / EPISODES) for one in self.stage.plays)}/{tasks}"


def _tasks(settings: RunSettings) -> int:
    return settings.tasks.end_index - settings.tasks.start_index


def _lines(path: Path) -> int:
    try:
        with path.open("rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    except OSError:
        return 0
