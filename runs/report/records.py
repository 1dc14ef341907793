"""The runs, evaluations and loops in a folder such as `records/`, each from the files of its own folder only."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from josh.errors import JoshError, UsageError
from josh.models.turn_model import PERSON
from josh.runs.record.folder import (
    ADAPTER,
    CONFIG,
    EPISODES,
    EVALUATION,
    EVALUATION_KIND,
    LOOP,
    LOOP_KIND,
    MODEL,
    PLAN,
    PROBE_KIND,
    RUN,
    SUMMARY,
    how_played,
    kind_of,
    read_config,
    read_settings,
    read_summary,
    started,
    who_played,
)
from josh.runs.record.headline import model_names, short_name
from josh.runs.record.journal import FILE as REPLIES
from josh.runs.record.summary import counted
from josh.runs.registry import OFFLINE, rewards_class
from josh.runs.report.overview import REPORT, Overview, open_overview
from josh.runs.settings import RunSettings, env_of

FINISHED: Final = "finished"
OTHER: Final = "no run in it"
SHOWN: Final = 5
"""Names of folders that a line shows for each reason."""
_PARTS: Final = re.compile(r"(\D*)(\d*)")


@dataclass(frozen=True, slots=True)
class RecordEntry:
    """One folder of records.

    Attributes:
        name: the folder's path below the folder that is listed.
        kind: `run`, `evaluation` or `loop`.
        started: when it was begun, such as `2026-11-30 12:38:05`; empty if nothing says so.
        world: the world's short name.
        agent: the agent's model, or its class if it has none; the policies of an evaluation.
        user: the same for the user; the user models of an evaluation.
        played: how its trees grew, such as `searched with a beam of 8`.
        tasks: the number of its tasks.
        finished: how many of them are finished.
        success: the share of won conversations; of an evaluation the model's, of a loop the last round's.
        reward: the mean reward, in the same way.
        before: of a loop, the mean reward of its base; of an evaluation, that of its baseline; else None.
        unit: the unit of rewards.
        calls: the calls of models; None if unknown.
        cost: US dollars; None if unknown.
        state: `finished`; `interrupted`; or `unfinished`: it goes on, or was killed.
        page: its page, if it has one: a path below the folder of records.
        damaged: why its files cannot be read, if they cannot.
    """

    name: str
    kind: str
    started: str = ""
    world: str = ""
    agent: str = ""
    user: str = ""
    played: str = ""
    tasks: int | None = None
    finished: int | None = None
    success: float | None = None
    reward: float | None = None
    before: float | None = None
    unit: str = ""
    calls: int | None = None
    cost: float | None = None
    state: str = ""
    page: str | None = None
    damaged: str = ""


def is_run(folder: Path) -> bool:
    """Returns whether a folder is a run, an evaluation or a loop."""
    known = any((folder / name).is_file() for name in (CONFIG, PLAN))
    return known and kind_of(folder) in (RUN, EVALUATION_KIND, LOOP_KIND)


def holds_runs(folder: Path) -> bool:
    """Returns whether a folder is not a run, an evaluation or a loop itself, but it or its folders hold some."""
    if not folder.is_dir() or is_run(folder) or (folder / EPISODES).exists():
        return False
    return any(any(folder.glob(f"{deep}/{name}")) for name in (CONFIG, PLAN) for deep in ("*", "*/*", "*/*/*"))


def folders_in(records: Path) -> list[Path]:
    """Returns the runs, evaluations and loops in a folder and in its folders, by name. Raises UsageError."""
    if not records.is_dir():
        raise UsageError(f"there is no folder {records}; josh --josh plays a first run, in records/")
    within = _subfolders(records)
    found = [folder for folder in within if is_run(folder)]
    groups = [folder for folder in within if not is_run(folder)]  # such as that of a smoke test
    found += [folder for group in groups for folder in _subfolders(group) if is_run(folder)]
    if not found:
        left_out = left_out_line(left_out_in(records))
        hint = f"; not listed: {left_out}" if left_out else "; josh --josh plays a first run, in records/"
        raise UsageError(f"{records} has no runs{hint}")
    return sorted(found)


def left_out_in(records: Path) -> dict[str, str]:
    """Returns the folders of a folder of runs that are not listed, by their path below it, each with the reason.

    Folders inside a run, an evaluation or a loop belong to it. Hidden folders do not count.
    """
    found: dict[str, str] = {}
    for folder in _subfolders(records):
        if is_run(folder):
            continue
        within = _subfolders(folder)
        if any(map(is_run, within)):
            others = [each for each in within if not is_run(each)]
            found |= {each.relative_to(records).as_posix(): why for each in others if (why := _unlisted(each)) != OTHER}
        else:
            found[folder.name] = _unlisted(folder)
    return dict(sorted(found.items()))


def left_out_line(left_out: Mapping[str, str]) -> str:
    """Returns a line about the folders that are not listed, such as `2 folders: a, b (other files)`; empty for none."""
    reasons: dict[str, list[str]] = {}
    for name, why in left_out.items():
        reasons.setdefault(why, []).append(name)
    groups = [
        f"{', '.join(names[:SHOWN])}{f' and {len(names) - SHOWN} more' * (len(names) > SHOWN)} ({why})"
        for why, names in reasons.items()
    ]
    return f"{counted(len(left_out), 'folder')}: {'; '.join(groups)}" if left_out else ""


def _subfolders(folder: Path) -> list[Path]:
    """Returns the folders in a folder, without hidden ones; none where it cannot be read."""
    try:
        return [each for each in folder.iterdir() if not each.name.startswith(".") and each.is_dir()]
    except OSError:
        return []


def _unlisted(folder: Path) -> str:
    """Returns why a folder is not listed."""
    try:
        names = {each.name for each in folder.iterdir()}
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if kind_of(folder) in (MODEL, ADAPTER, PROBE_KIND):
        return f"{kind_of(folder)}s"
    if names & {EPISODES, SUMMARY, REPLIES}:
        return f"a run without {CONFIG}"
    if names & {EVALUATION, LOOP}:
        return f"an evaluation or loop without {PLAN}"
    if holds_runs(folder):
        return "its runs are further down; list it by itself"
    return OTHER if names else "empty"


def entries_in(records: Path) -> list[RecordEntry]:
    """Returns a line for every run, evaluation and loop in a folder, the latest first. Raises UsageError."""
    return sorted((entry_of(folder, records) for folder in folders_in(records)), key=_when, reverse=True)


def _when(entry: RecordEntry) -> tuple[str, list[tuple[str, int]]]:
    """Returns what entries are sorted by: the second of their beginning, then their names, with numbers as numbers."""
    return entry.started, [(text, int(digits or 0)) for text, digits in _PARTS.findall(entry.name)]


def entry_of(folder: Path, records: Path) -> RecordEntry:
    """Returns the line of a run, an evaluation or a loop; a damaged one has the reason in `damaged`.

    Args:
        folder: its folder.
        records: the folder that it is listed for.
    """
    name = folder.relative_to(records).as_posix()
    page = f"{name}/{REPORT}" if (folder / REPORT).is_file() else None
    kind, began = RUN, started(folder, {}) or started(folder.parent, {})
    try:
        if (folder / CONFIG).is_file():
            found = _of_run(folder)
        else:
            overview = open_overview(folder)
            assert overview is not None, "the folder has a plan"
            kind = LOOP_KIND if overview.is_loop else EVALUATION_KIND
            found = _of_overview(overview)
    except (JoshError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        why = str(error) if isinstance(error, JoshError) else "its files are damaged"
        return RecordEntry(name, kind, began, page=page, damaged=why, state="damaged")
    return RecordEntry(**{"name": name, "kind": kind, "page": page, **found, "started": found["started"] or began})


def _of_run(folder: Path) -> Mapping[str, Any]:
    config = read_config(folder)
    settings = read_settings(folder, config)
    summary = read_summary(folder)
    plays = who_played(config)
    models = model_names(settings)
    sides = [
        plays.get(side, side).rpartition(":")[2] if model in (OFFLINE, PERSON) else _short(model)
        for side, model in zip(("agent", "user"), models, strict=True)
    ]
    state = FINISHED if summary.get("complete") else "interrupted" if summary else "unfinished"
    return {
        "started": started(folder, config),
        "world": short_name(str(settings.env.name)),
        "agent": sides[0],
        "user": sides[1],
        "played": how_played(config, settings).words,
        "tasks": summary.get("tasks", config.get("tasks")),
        "finished": summary.get("finished"),
        "success": summary.get("success_rate"),
        "reward": summary.get("average_reward"),
        "unit": _unit(settings),
        "calls": sum(side["calls"] for side in summary["usage"].values()) if summary else None,
        "cost": summary.get("cost"),
        "state": "damaged summary" if not summary and (folder / SUMMARY).exists() else state,
    }


def _of_overview(overview: Overview) -> Mapping[str, Any]:
    parts, figures = overview.plan["parts"], overview.figures
    head = overview.head()
    users = list(dict.fromkeys(part["user"] for part in parts))
    own = [part["policy"] for part in parts if not part.get("reference")]
    costs = [run["cost"] for run in head["runs"]]
    done = sum(run["state"] == FINISHED for run in head["runs"])
    found: dict[str, Any] = {
        "started": started(overview.folder, overview.plan),
        "world": _world(parts),
        "agent": ", ".join(dict.fromkeys(filter(None, own))),
        "user": ", ".join(users),
        "unit": head["unit"],
        "calls": sum(run["calls"] or 0 for run in head["runs"]),
        "cost": None if None in costs else sum(costs),
        "state": FINISHED if figures else "unfinished",
        "played": f"{done} of {counted(len(parts), 'run')}",
    }
    if not figures:
        return found
    if overview.is_loop:
        last = head["rounds"][-1] if head["rounds"] else head["base"]
        found |= {
            "success": last["rate"]["value"],
            "reward": last["mean"]["value"],
            "before": head["base"]["mean"]["value"],
        }
        found |= {
            "tasks": figures["test_tasks"],
            "finished": figures["test_tasks"],
            "agent": _short(figures["base"]["model"]),
        }
        found["played"] = counted(len(figures["rounds"]), "tested round")
        return found
    first, *others = (cell for cell in head["blocks"][0]["cells"] if cell["policy"] not in head["references"])
    cell = others[0] if others else first
    found |= {"success": cell["success_rate"]["value"], "reward": cell["average_reward"]["value"]}
    found |= {"tasks": figures["tasks"], "finished": figures["tasks"]}
    return found | ({"before": first["average_reward"]["value"]} if others else {})


def _short(model: str) -> str:
    """Returns a model's name without the folders of a local model."""
    kind, colon, path = model.partition(":")
    return f"{kind}:{'+'.join(Path(each).name for each in path.split('+'))}" if colon and kind == "hf" else model


def _world(parts: Sequence[Mapping[str, Any]]) -> str:
    """Returns the short name of the world of an evaluation or loop; empty if an early version wrote its plan."""
    settings = parts[0].get("settings") if parts else None
    env = settings.get("env") if isinstance(settings, dict) else None
    name = env.get("name") if isinstance(env, dict) else env
    return short_name(name) if isinstance(name, str) else ""


def _unit(settings: RunSettings) -> str:
    with suppress(JoshError):
        return rewards_class(settings.rewards, env_of(settings)).unit
    return ""


def lines_of(entry: RecordEntry) -> list[str]:
    """Returns the lines of an entry for the terminal: its name, date and state; then what was played and its result."""
    first = f"{entry.name}   {entry.started}   {entry.state}"
    if entry.damaged:
        return [first, f"  {entry.damaged}"]
    tasks = "" if entry.tasks is None else counted(entry.tasks, "task")
    if entry.finished is not None and entry.finished != entry.tasks:
        tasks = f"{entry.finished} of {tasks}"
    kind = "" if entry.kind == RUN else f" {entry.kind}"
    parts = [", ".join(filter(None, [f"{entry.world}{kind}", tasks, entry.played])), f"{entry.agent} and {entry.user}"]
    if entry.success is not None and entry.reward is not None:
        before = "" if entry.before is None else f" (before {entry.unit}{entry.before:.2f})"
        parts.append(f"success {entry.success:.2f}, reward {entry.unit}{entry.reward:.2f}{before}")
    if entry.calls:
        cost = "unknown cost" if entry.cost is None else f"${entry.cost:.2f}"
        parts.append(f"{counted(entry.calls, 'call')}, {cost}")
    return [first, f"  {'; '.join(parts)}"]


@dataclass(frozen=True, slots=True)
class RecordsIndex:
    """The page that lists a folder of runs, evaluations and loops."""

    folder: Path

    def trees(self) -> Sequence[Any]:
        """Returns nothing: the conversations are on the pages of the runs."""
        return ()

    def head(self) -> dict[str, Any]:
        """Returns what the page shows. Raises UsageError."""
        return {
            "kind": "index",
            "id": self.folder.resolve().name,
            "entries": [asdict(entry) for entry in entries_in(self.folder)],
            "left_out": left_out_line(left_out_in(self.folder)),
        }
