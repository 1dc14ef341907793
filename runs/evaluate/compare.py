"""`josh compare`: several evaluations, or runs, on the conversations they share."""

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from josh.errors import UsageError
from josh.runs.evaluate.evaluate import read_plan
from josh.runs.evaluate.scores import PolicyResults, compared, read_policy_results
from josh.runs.evaluate.table import as_table
from josh.runs.play.sub_runs import SubRun
from josh.runs.record.folder import CONFIG, PLAN, read_config, read_settings, read_summary, who_played
from josh.runs.record.summary import counted
from josh.runs.registry import OFFLINE
from josh.terminal import screen_width


@dataclass(frozen=True, slots=True)
class Source:
    """A sample, and where it is from.

    Attributes:
        folder: the folder that was named.
        run: the run's own.
        sample: the sample.
        who: what tells its policy apart from all others.
        reference: whether it is one of an evaluation's reference policies.
    """

    folder: Path
    run: Path
    sample: PolicyResults
    who: str
    reference: bool = False


def compare(folders: Sequence[Path], out: Path | None = None, groups: bool = False) -> dict[str, Any]:
    """Print a table of all policies in some folders, with differences from the first.

    Args:
        folders: evaluations and runs of plain conversations.
        out: a file for the numbers, as JSON.
        groups: show the breakdown by group.

    Returns:
        The numbers.

    Raises:
        UsageError: they have no conversation in common, or differ in what makes their numbers comparable; the text says
            in what. Or a folder is given twice.
    """
    names_of(folders)
    sources = _without_repeats([source for folder in folders for source in sources_in(folder)])
    figures = compared(shared(with_distinct_names(sources)))
    if out is not None:
        if out.exists() and any((out.parent / name).exists() for name in (CONFIG, PLAN)):
            raise UsageError(f"{out} is part of what was played; give another --out")
        try:
            out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"cannot write {out}: {error.strerror}") from None
    each = counted(figures["conversations_per_task"], "conversation")
    about = f" ({figures['people']} people)" if figures["drawn_from"] == "people" else ""
    print(f"{counted(figures['tasks'], 'task')} that all played{about}, {each} each with every user")
    most = max(len(source.sample.rows) for source in sources)
    if most > figures["tasks"]:
        print(f"left out: up to {most - figures['tasks']} tasks that some did not play")
    print(f"\n{as_table(figures, groups=groups, width=screen_width(sys.stdout))}")
    return figures


def sources_in(folder: Path, *, searched: bool = False) -> list[Source]:
    """The samples of an evaluation, or of a run, which may be a search where `searched`. Raises UsageError."""
    if (folder / PLAN).exists():
        return [_source(folder, folder / part.folder, part) for part in read_plan(folder)["parts"]]
    config = read_config(folder)
    settings, plays = read_settings(folder, config), who_played(config)
    agent, user = (plays.get(role, role).rpartition(":")[2] for role in ("agent", "user"))
    model, user_model = settings.agent.model, settings.user.model
    part = SubRun(
        folder.name,
        agent if model == OFFLINE else model,
        user if user_model == OFFLINE else user_model,
        False,
        settings,
    )
    return [_source(folder, folder, part, searched=searched)]


def _source(folder: Path, run: Path, part: SubRun, *, searched: bool = False) -> Source:
    if not (run / CONFIG).exists():
        raise UsageError(f"{folder} is not finished; go on with: josh evaluate --resume {folder}")
    sample = read_policy_results(run, part.policy, part.user, read_summary(run), searched=searched)
    config = read_config(run)
    agent = read_settings(run, config).agent
    who = [who_played(config).get("agent"), agent.model, asdict(agent.sampling), dict(agent.config)]
    return Source(folder, run, sample, json.dumps(who), part.reference)


def _without_repeats(sources: Sequence[Source]) -> list[Source]:
    """Every reference policy once for each user model: evaluations have the same ones."""
    kept: dict[tuple[str, str], Source] = {}
    found = []
    for source in sources:
        place = (source.who, source.sample.user_signature)
        if not source.reference or place not in kept:
            found.append(source)
            kept[place] = source
    return found


def names_of(folders: Sequence[Path]) -> list[str]:
    """What to call folders: by their names, with as many folders above them as it takes to tell each from the others.

    Raises:
        UsageError: a folder is given twice.
    """
    whole = [folder.resolve() for folder in folders]
    for place, path in enumerate(whole):
        if path in whole[:place]:
            raise UsageError(f"{folders[place]} is given twice; give it once")

    def name(path: Path) -> str:
        names = path.parts[1:] or path.parts
        endings = (names[-depth:] for depth in range(1, len(names) + 1))
        alone = (end for end in endings if not any(other.parts[-len(end) :] == end for other in whole if other != path))
        return "/".join(next(alone, names))

    return [name(path) for path in whole]


def with_distinct_names(sources: Sequence[Source]) -> list[Source]:
    """The sources, with the folder's name behind a policy's where several folders have one of that name."""
    folders = list(dict.fromkeys(source.folder for source in sources))
    names = dict(zip(folders, names_of(folders), strict=True))
    places = {(source.sample.policy, None if source.reference else source.folder) for source in sources}
    often = Counter(policy for policy, _ in places)
    users: dict[str, str] = {}
    named = []
    for source in sources:
        sample = source.sample
        folder = "" if source.reference or often[sample.policy] == 1 else f" ({names[source.folder]})"
        user = users.setdefault(sample.user_signature, sample.user)
        named.append(replace(source, sample=replace(sample, policy=sample.policy + folder, user=user)))
    return named


def shared(sources: Sequence[Source]) -> list[PolicyResults]:
    """What sources have in common: user models, tasks and conversations.

    Reference policies stand wherever they were played; no user model is left out for want of them.

    Raises:
        UsageError: nothing, or they were played on other terms; the text says on which.
    """
    samples = [source.sample for source in sources]
    first = samples[0]
    for sample in samples:
        for name, value in first.comparable_settings.items():
            other = sample.comparable_settings[name]
            if other != value:
                both = f"{first.policy} and {sample.policy}"
                raise UsageError(f"{both} are not comparable: {name} is {value!r} and {other!r}")
    users = _users_of_all([source for source in sources if not source.reference] or sources)
    kept = [sample for sample in samples if sample.user_signature in users]
    tasks = [
        task
        for task, row in kept[0].rows.items()
        if all(task in sample.rows and sample.rows[task].digest == row.digest for sample in kept)
    ]
    if not tasks:
        raise UsageError(f"not comparable: no task was played by all of {_names(kept)}")
    paths = [path for path in kept[0].paths if all(path in sample.paths for sample in kept)]
    if not paths:
        counts = ", ".join(f"{sample.policy} {len(sample.paths)}" for sample in kept)
        raise UsageError(f"not comparable: a single conversation has other seeds than several have ({counts} per task)")
    return [sample.of(tasks, paths) for sample in kept]


def _users_of_all(sources: Sequence[Source]) -> set[str]:
    by_policy: dict[tuple[Path, str], set[str]] = {}
    names: Mapping[str, str] = {source.sample.user_signature: source.sample.user for source in sources}
    for source in sources:
        by_policy.setdefault((source.folder, source.sample.policy), set()).add(source.sample.user_signature)
    users = set.intersection(*by_policy.values())
    if not users:
        each = "; ".join(
            f"{policy}: {', '.join(sorted(names[one] for one in own))}" for (_, policy), own in by_policy.items()
        )
        raise UsageError(f"not comparable: no user model was met by all ({each})")
    return users


def _names(samples: Sequence[PolicyResults]) -> str:
    return ", ".join(dict.fromkeys(sample.policy for sample in samples))
