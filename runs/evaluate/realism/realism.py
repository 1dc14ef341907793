"""`josh realism`: how far the simulated users of recorded runs can be told from people.

1. The runs, their world and its conversations of people are read (`talks.py`) and checked: nobody whom a user is made
   of may be among the people of the comparison.
2. Classifiers tell them apart (`apart.py`), a matcher rates replies (`relevance.py`), and distributions are set side by
   side (`figures.py`).
3. `realism.json` and pictures (`pictures.py`) are written into a folder, and a table is printed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from josh.errors import UsageError
from josh.roles import BaseEnv
from josh.runs.evaluate.held_out import SHOWN, seen_by, seen_in
from josh.runs.evaluate.realism.apart import aucs, need_sklearn
from josh.runs.evaluate.realism.figures import act_shares, calibration, figures, hazard
from josh.runs.evaluate.realism.pictures import draw
from josh.runs.evaluate.realism.relevance import relevance
from josh.runs.evaluate.realism.talks import Talk, talks_of_people, talks_of_run
from josh.runs.record.folder import read_config, read_settings, require_distinct, who_played, write_json
from josh.runs.registry import HUMAN, OFFLINE, class_of, guarded
from josh.runs.settings import RunSettings, env_of

FOLDER: Final = "realism"
RESULT: Final = "realism.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What to compare.

    Attributes:
        runs: the folders of runs, all of one world.
        data: the folder with the conversations of people; None for that of the runs.
        split: the split of the people; None for that of the first run.
        trained_on: what the users' models were trained on, as `josh evaluate --trained_on` takes it.
        out: the folder to write; None for `realism` in the first run's folder.
        seed: seed of the draws.
    """

    runs: Sequence[Path]
    data: Path | None = None
    split: str | None = None
    trained_on: Sequence[Path] = ()
    out: Path | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class _Played:
    name: str
    folder: Path
    settings: RunSettings
    plays: Mapping[str, str]


def realism(wanted: Comparison) -> dict[str, Any]:
    """Compare the users of runs with people, write the result and pictures, and return the result.

    Raises:
        UsageError: a run or the data cannot be read, the world has no conversations of people, the user of a run is
            made of people who are compared, scikit-learn is missing, or the result cannot be written.
    """
    need_sklearn()
    from threadpoolctl import threadpool_limits

    require_distinct(wanted.runs)
    played = _named_apart([_played(folder) for folder in wanted.runs])
    names = {str(run.settings.env.name) for run in played}
    if len(names) > 1:
        raise UsageError(f"the runs are of several worlds ({', '.join(sorted(names))}); give runs of one world")
    (name,) = names
    env = _env(played[0].settings, wanted.data)
    split = wanted.split or str(played[0].settings.tasks.task_split or env.splits[0])
    rounds = played[0].settings.limits.max_convo_turns or env.max_rounds
    simulated = [talks_of_run(run.folder, env) for run in played]
    tasks = {talk.task for talks in simulated for talk in talks}
    people = talks_of_people(env, name, split, tasks, rounds)
    for run in played:
        _require_strangers(run, env, people, split, wanted.trained_on)
    with threadpool_limits(1):  # several threads would wait for each other, and sum in another order
        result = {
            "env": name,
            "split": split,
            "people": _described(people, env, rounds, wanted.seed),
            "runs": [
                _compared(run, talks, people, env, rounds, wanted.seed)
                for run, talks in zip(played, simulated, strict=True)
            ],
        }
    out = wanted.out or wanted.runs[0] / FOLDER
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}") from None
    write_json(out / RESULT, result)
    if find_spec("matplotlib") is not None:
        draw(result, out)
    return {**result, "folder": str(out)}


def _played(folder: Path) -> _Played:
    config = read_config(folder)
    settings, plays = read_settings(folder, config), who_played(config)
    user = str(plays.get("user", settings.user.name)).rpartition(":")[2]
    label = user if settings.user.model in (OFFLINE, None) else f"{user}, {settings.user.model}"
    return _Played(label, folder, settings, plays)


def _named_apart(played: Sequence[_Played]) -> list[_Played]:
    """Returns the runs with different names: those with the same name get their folder's, too."""
    names = [run.name for run in played]
    return [
        run if names.count(run.name) == 1 else replace(run, name=f"{run.name} ({run.folder.resolve().name})")
        for run in played
    ]


def _env(settings: RunSettings, data: Path | None) -> BaseEnv:
    env = env_of(settings)
    if data is None:
        return env
    field = getattr(env, "people_in", "")
    if not field:
        raise UsageError(f"corpus is {str(data)!r}, but env {settings.env.name!r} has no conversations of people")
    config = {**settings.env.config, field: data}
    return env_of(replace(settings, env=replace(settings.env, config=config)))


def _require_strangers(
    run: _Played, env: BaseEnv, people: Sequence[Talk], split: str, trained_on: Sequence[Path]
) -> None:
    """Raises UsageError where the people are among those whom a run's user is made of or was trained on."""
    path = str(run.plays.get("user", ""))
    known: set[str] = set()
    if path and path != HUMAN:
        kind = class_of("user", path)
        learned = getattr(kind, "learned_from", None)
        known |= set(guarded(f"user {run.name!r}", lambda: learned(env))) if callable(learned) else set()
    models = [] if run.settings.user.model in (OFFLINE, None) else str(run.settings.user.model).split(",")
    seen = seen_in(trained_on).people | seen_by(models).seen.people
    met = [person for person in dict.fromkeys(talk.person for talk in people) if person in known | seen]
    if met:
        some = ", ".join(met[:SHOWN]) + (", ..." if len(met) > SHOWN else "")
        raise UsageError(
            f"user {run.name!r} of {run.folder} is made of {len(met)} of the people of the {split} split ({some}); "
            "play and compare a split of other people (--task_split, --split)"
        )


def _described(talks: Sequence[Talk], env: BaseEnv, rounds: int, seed: int) -> dict[str, Any]:
    numbers = figures(talks, env.commits, env.refuses, seed)
    return {
        "conversations": len(talks),
        "persons": len({talk.person for talk in talks}),
        "figures": {name: asdict(one) for name, one in numbers.items()},
        "hazard": [asdict(one) for one in hazard(talks, env.commits, rounds, seed)] if env.commits else [],
        "acts": act_shares(talks),
    }


def _compared(
    run: _Played, talks: Sequence[Talk], people: Sequence[Talk], env: BaseEnv, rounds: int, seed: int
) -> dict[str, Any]:
    own, others = relevance(people, talks, seed)
    share = None if not own.value or others.value is None else others.value / own.value
    foreseen = calibration(people, talks)
    return {
        "name": run.name,
        "folder": str(run.folder),
        **_described(talks, env, rounds, seed),
        "auc": {kind: asdict(one) for kind, one in aucs(people, talks, env.commits, seed).items()},
        "relevance": {"people": asdict(own), "simulated": asdict(others), "share": share},
        "calibration": None if foreseen is None else asdict(foreseen),
    }


def as_table(result: Mapping[str, Any]) -> str:
    """Returns the result as a table for a terminal: a row for each number, a column for people and for each run."""
    runs, people = result["runs"], result["people"]
    rows = [["", "people", *(run["name"] for run in runs)]]
    rows.append(["conversations", str(people["conversations"]), *(str(run["conversations"]) for run in runs)])
    rows.append(["persons", str(people["persons"]), *(str(run["persons"]) for run in runs)])
    for kind in dict.fromkeys(kind for run in runs for kind in run["auc"]):
        rows.append([f"AUC by {kind}", "", *(_number(run["auc"].get(kind)) for run in runs)])
    rows.append(
        ["replies matched, of 10", _number(runs[0]["relevance"]["people"]),
         *(_number(run["relevance"]["simulated"]) for run in runs)]
    )  # fmt: skip
    rows.append(["relative to people", "", *(_plain(run["relevance"]["share"]) for run in runs)])
    for name in people["figures"]:
        rows.append([name, _number(people["figures"][name]), *(_number(run["figures"].get(name)) for run in runs)])
    for number, one in enumerate(people["hazard"]):
        if any(each is not None and each["n"] for each in (one, *(run["hazard"][number] for run in runs))):
            rows.append(
                [f"agree in round {number + 1}", _number(one), *(_number(run["hazard"][number]) for run in runs)]
            )
    for name, key in (("won by persona: ECE", "ece"), ("won by persona: Brier", "brier")):
        if any(run["calibration"] for run in runs):
            rows.append([name, "", *(_plain((run["calibration"] or {}).get(key)) for run in runs)])
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def print_realism(result: Mapping[str, Any], *, as_json: bool) -> None:
    """Print the result as a table, or as one JSON object."""
    if as_json:
        print(json.dumps(result, indent=2))
        return
    print(as_table(result))
    pictures = "" if find_spec("matplotlib") else " (pictures need matplotlib: pip install -e '.[plot]')"
    print(f"\nwritten to      {result['folder']}/{pictures}")


def _number(found: Mapping[str, Any] | None) -> str:
    if found is None or found["value"] is None:
        return "-"
    if found["low"] is None:
        return _plain(found["value"])
    return f"{_plain(found['value'])} [{_plain(found['low'])}, {_plain(found['high'])}]"


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if abs(value) < 1 else f"{value:.2f}"
