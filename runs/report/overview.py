"""The page of an evaluation or of a loop: its tables, intervals and curve, with links to the pages of its runs.

The numbers are those of `evaluation.json` or `loop.json`; nothing is computed again, and no plug-in is loaded.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from josh.errors import UsageError
from josh.runs.evaluate.scores import Metrics
from josh.runs.record.folder import CONFIG, EVALUATION, LOOP, PLAN, read_summary, started
from josh.runs.record.summary import counted
from josh.texts import json_fault

REPORT: Final = "report.html"
_KEPT: Final = (
    "policy", "user", "scored", "conversations", "infra_errors", "success_rate", "average_reward", "mean_rounds",
    "restricted_rounds_to_success", "pass_hat",
)  # fmt: skip
_CHANGES: Final = ("from", "pairs", "success_rate", "average_reward", "mcnemar")


@dataclass(frozen=True, slots=True)
class Overview:
    """The folder of an evaluation or a loop.

    Attributes:
        folder: the folder.
        plan: its `plan.json`.
        figures: its `evaluation.json` or `loop.json`; empty while it is not finished.
    """

    folder: Path
    plan: Mapping[str, Any]
    figures: Metrics

    @property
    def is_loop(self) -> bool:
        """Whether it is a loop; otherwise it is an evaluation."""
        return "stages" in self.plan

    def trees(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Yields nothing: the conversations are on the pages of the runs."""
        return iter(())

    def head(self) -> dict[str, Any]:
        """Returns what the page shows. Raises UsageError if the figures are damaged."""
        try:
            shown = self._loop() if self.is_loop else self._evaluation()
        except (KeyError, TypeError, IndexError, AttributeError, ValueError):
            raise UsageError(f"{self.folder / (LOOP if self.is_loop else EVALUATION)} is damaged") from None
        runs = self._runs()
        return {
            "kind": "loop" if self.is_loop else "evaluation",
            "id": self.folder.resolve().name,
            "notes": self._notes(runs),
            "played": [("played", when) for when in [started(self.folder, self.plan)] if when],
            "runs": runs,
            **shown,
        }

    def _notes(self, runs: list[Metrics]) -> list[str]:
        notes = []
        if not self.figures:
            command = "loop" if self.is_loop else "evaluate"
            done = sum(run["state"] == "finished" for run in runs)
            notes.append(
                f"Not finished: {done} of {counted(len(runs), 'run')}; go on with: "
                f"josh {command} --resume {self.folder.name}"
            )
        if owed := sum(run["owed"] for run in runs):
            notes.append(f"{counted(owed, 'task')} had errors, and the means leave out what an error ended.")
        if any(run["state"] != "not started" and not run["page"] for run in runs):
            notes.append(f"Some runs have no page yet; josh report {self.folder.name} makes the pages of all runs.")
        return notes

    def _runs(self) -> list[Metrics]:
        """Returns every run: its folder, policy and user, its state, and its page if there is one."""
        return [
            {name: part[name] for name in ("folder", "policy", "user")} | self._run(self.folder / part["folder"])
            for part in self.plan["parts"]
        ]

    def _run(self, run: Path) -> Metrics:
        summary = read_summary(run)
        state = "finished" if summary.get("complete") else "unfinished" if (run / CONFIG).exists() else "not started"
        page = f"{run.name}/{REPORT}" if (run / REPORT).is_file() else None
        calls = sum(side["calls"] for side in summary["usage"].values()) if summary else None
        mean, rate = (summary.get(name) for name in ("average_reward", "success_rate"))
        return {
            "state": state,
            "page": page,
            "calls": calls,
            "cost": summary.get("cost"),
            "owed": summary.get("owed", 0),
            "tasks": summary.get("finished"),
            "mean": mean,
            "rate": rate,
        }

    def _evaluation(self) -> Metrics:
        figures = self.figures
        if not figures:
            return {"headline": "An evaluation.", "unit": "", "names": _names("success rate", "mean reward")} | _NOTHING
        each = counted(figures["conversations_per_task"], "conversation")
        about = (figures.get("suite") or {}).get("clusters", "people")
        people = f", {figures['people']} {about}" if figures["drawn_from"] == "people" else ""
        settings = figures["settings"]
        return {
            "headline": f"{counted(figures['tasks'], figures['called'])}{people}, {each} each with every user model.",
            "unit": figures["unit"],
            "names": _names("success rate", "mean reward"),
            "drawn_from": figures["drawn_from"],
            "held_out": _held_out(figures),
            "k": str(figures["conversations_per_task"]),
            "people": figures.get("reference"),
            "blocks": [
                {
                    "user": user,
                    "note": figures["user_notes"].get(user, ""),
                    "cells": [_cell(cell) for cell in figures["results"] if cell["user"] == user],
                }
                for user in figures["users"]
            ],
            "suite": figures.get("suite"),
            "references": sorted({run["policy"] for run in figures["runs"] if run["reference"]}),
            "settings": [(name, str(value)) for name, value in settings.items() if value not in (None, "", {}, [])],
        }

    def _loop(self) -> Metrics:
        figures = self.figures
        if not figures:
            return {"headline": "A loop.", "unit": "", "names": _names("rate", "mean")} | _NOTHING
        names = figures["names"]
        last = figures["rounds"][-1] if figures["rounds"] else None
        each = counted(figures["conversations_per_task"], "conversation")
        others = figures["other_users"].items()
        return {
            "headline": f"{counted(len(figures['rounds']), 'tested round')} of search, training and test on "
            f"{counted(figures['test_tasks'], 'held-out task')}, {each} each; user {figures['user']}.",
            "unit": figures["unit"],
            "names": _names(*(names[kind].replace("_", " ") for kind in ("rate", "mean"))),
            "minutes": figures["minutes"],
            "tasks_per_round": figures["tasks_per_round"],
            "user": figures["user"],
            "base": _policy("base", figures["base"], names),
            "rounds": [_policy(f"round {row['round']}", row, names) for row in figures["rounds"]],
            "last": last and f"round {last['round']}",
            "control": figures["control"] and _policy("control: losing paths", figures["control"], names, "control"),
            "references": [_policy(name, cell, names) for name, cell in figures["references"].items()],
            "other_users": [
                {"user": user, "cells": [_policy(name, cell, names) for name, cell in cells.items()]}
                for user, cells in others
            ],
            "search": figures["search"],
            "settings": [],
        }


_NOTHING: Final[Metrics] = {
    "blocks": [], "references": [], "settings": [], "rounds": [], "base": None, "other_users": [], "search": None,
    "control": None, "last": None,
}  # fmt: skip


def _names(rate: str, mean: str) -> Mapping[str, str]:
    return {"rate": rate, "mean": mean}


def _cell(cell: Metrics) -> Metrics:
    """Returns the numbers of one policy with one user model that the page shows."""
    usage = cell["usage"].values()
    costs = [side.get("cost", 0.0) for side in usage]
    shown = {name: cell[name] for name in _KEPT}
    shown["calls"] = sum(side.get("calls", 0) for side in usage)
    shown["cost"] = None if None in costs else sum(costs)
    shown["less_reference"] = cell.get("less_reference")
    if "difference" in cell:
        shown["difference"] = {name: cell["difference"][name] for name in _CHANGES}
    return shown


def _policy(label: str, cell: Metrics, names: Mapping[str, str], policy: str = "") -> Metrics:
    """Returns one policy of a loop: its rate, mean and paired difference from the base, each with its interval."""

    def estimate(name: str) -> Metrics:
        low, high = cell[f"{name}_ci"]
        return {"value": cell[name], "low": low, "high": high}

    shown: Metrics = {"label": label, "policy": policy or label}
    shown |= {kind: estimate(names[kind]) for kind in ("rate", "mean")}
    shown |= {name: cell.get(name) for name in ("calls", "rows", "gain_percent", "infra_errors", "round", "seconds")}
    if "diff" in cell:
        shown["difference"] = estimate("diff")
    return shown


def _held_out(figures: Metrics) -> str:
    held = figures["held_out"]
    if held.get("unknown"):
        return f"Not checked against all training data of {', '.join(held['unknown'])}."
    if not held["trained_on"]:
        return "Not checked that the tasks are held out: no training data was named."
    people = f" and {held['people']} people" if held["people"] else ""
    return f"Held out: none of the {held['tasks']} tasks{people} that the models were trained on."


def open_overview(folder: Path) -> Overview | None:
    """Returns an evaluation or a loop; None where the folder is neither. Raises UsageError if a file is damaged."""
    plan = _read(folder / PLAN)
    if plan is None:
        return None
    parts = plan.get("parts")
    names = ("folder", "policy", "user")
    sound = isinstance(parts, list) and all(
        isinstance(part, dict) and all(isinstance(part.get(name), str) for name in names) for part in parts
    )
    if not sound:
        raise UsageError(f"{folder / PLAN} is damaged: it does not name its runs")
    return Overview(folder, plan, _read(folder / (LOOP if "stages" in plan else EVALUATION)) or {})


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        return None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is damaged: {json_fault(error)}") from None
    if not isinstance(found, dict):
        raise UsageError(f"{path} is damaged: it is not a JSON object")
    return found
