"""`josh compare`: compare evaluations and runs on the conversations that they share."""

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from josh.errors import UsageError
from josh.runs.evaluate.evaluate import read_evaluation_plan, suite_in
from josh.runs.evaluate.scores import PolicyResults, compared, read_policy_results
from josh.runs.evaluate.suite_figures import suite_figures, suite_table
from josh.runs.evaluate.suites import Suite
from josh.runs.evaluate.table import as_table
from josh.runs.play.sub_runs import SubRun
from josh.runs.record.folder import CONFIG, PLAN, read_config, read_settings, read_summary, require_distinct, who_played
from josh.runs.record.summary import counted
from josh.runs.registry import OFFLINE, ROLES, short_of
from josh.terminal import screen_width


@dataclass(frozen=True, slots=True)
class Source:
    """A sample and its origin.

    Attributes:
        folder: the folder that the user named.
        run: the folder of the sample's run; it is `folder`, or a folder in it.
        sample: the conversations of one policy with one user model.
        who: the identity of the policy: its agent, model, sampling and configuration, as JSON.
        reference: whether the policy is a reference policy of an evaluation.
        temperature: the sampling temperature of the policy; None for a person.
        suite: the suite of the evaluation; None for none.
        order: in which order agent and user were played: 1 where they changed places, else 0.
    """

    folder: Path
    run: Path
    sample: PolicyResults
    who: str
    reference: bool = False
    temperature: float | None = None
    suite: Suite | None = None
    order: int = 0


def compare(
    folders: Sequence[Path], out: Path | None = None, groups: bool = False, as_json: bool = False
) -> dict[str, Any]:
    """Print a table of all policies in some folders, with their differences from the first policy.

    Args:
        folders: evaluations, and runs of plain conversations.
        out: a file for the numbers, as JSON.
        groups: show the breakdown by group.
        as_json: print the numbers as one JSON object, and nothing else.

    Returns:
        The numbers.

    Raises:
        UsageError: the folders share no conversation; their settings make the numbers incomparable (the text names the
            setting); they are evaluations of different suites; a folder is given twice; or `out` cannot be written.
    """
    names_of(folders)
    found = [source for folder in folders for source in sources_in(folder)]
    sources = _without_repeats(beside_played(found))
    sources = with_distinct_names(sources)
    suite = suite_of_all(sources)
    samples = shared(sources)
    figures = compared(samples)
    if suite is not None:
        figures["suite"] = suite_figures(suite, samples)
    if out is not None:
        if out.exists() and any((out.parent / name).exists() for name in (CONFIG, PLAN)):
            raise UsageError(f"{out} is a file of a run or an evaluation; give another --out")
        try:
            if out.is_file() and not _is_comparison(out.read_text(encoding="utf-8", errors="replace")):
                raise UsageError(f"{out} exists and is not a comparison by josh; give another --out, or move it away")
            out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"cannot write {out}: {error.strerror}") from None
    if as_json:
        print(json.dumps(figures, indent=1))
        return figures
    each = counted(figures["conversations_per_task"], "conversation")
    people = "people" if suite is None else suite.clusters
    about = f" ({figures['people']} {people})" if figures["drawn_from"] == "people" else ""
    print(f"{counted(figures['tasks'], 'task')} that every policy played{about}, {each} each with every user")
    most = max(len(source.sample.rows) for source in sources)
    if most > figures["tasks"]:
        print(f"left out: up to {most - figures['tasks']} tasks that some policies did not play")
    if note := temperature_note(sources):
        print(note)
    width = screen_width(sys.stdout)
    print(f"\n{as_table(figures, groups=groups, width=width) if suite is None else suite_table(figures, width)}")
    return figures


def suite_of_all(sources: Sequence[Source]) -> Suite | None:
    """Returns the suite whose numbers some sources have in common; None where a source is of no suite.

    Raises:
        UsageError: they are evaluations of different suites.
    """
    found = {source.suite.name: source for source in sources if source.suite is not None}
    if len(found) > 1:
        (one, first), (two, second) = list(found.items())[:2]
        raise UsageError(
            f"{first.folder} measures {one}, and {second.folder} measures {two}; compare evaluations of one suite"
        )
    return None if any(source.suite is None for source in sources) else sources[0].suite


def sources_in(folder: Path, *, searched: bool = False) -> list[Source]:
    """Returns the samples of an evaluation or of a run. Raises UsageError.

    Args:
        folder: the folder of an evaluation or a run.
        searched: accept a run that is a search.
    """
    if (folder / PLAN).exists():
        plan = read_evaluation_plan(folder)
        found = [_source(folder, folder / part.folder, part) for part in plan["parts"]]
        suite = suite_in(plan)
        if suite is None or suite.second is None:
            return [replace(source, suite=suite) for source in found]
        return [_in_order(suite, place % 2, source, found[place // 2 * 2]) for place, source in enumerate(found)]
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
    settings = read_settings(run, config)
    agent = settings.agent
    who = [who_played(config).get("agent"), agent.model, asdict(agent.sampling), dict(agent.config)]
    temperature = None if "agent" in settings.people or sample.imported else agent.sampling.temperature
    return Source(folder, run, sample, json.dumps(who), part.reference, temperature)


def _in_order(suite: Suite, order: int, source: Source, first: Source) -> Source:
    """Returns a source with its order. Where agent and user changed places, the partner is the user of the first."""
    sample = replace(source.sample, user_signature=first.sample.user_signature)
    return replace(source, sample=sample, suite=suite, order=order)


def temperature_note(sources: Sequence[Source]) -> str:
    """Returns a line that says at which temperatures the policies were sampled, where these differ; else empty.

    Reference policies do not count: an evaluation chooses their temperature.
    """
    found = {one.sample.policy: one.temperature for one in sources if not one.reference and one.temperature is not None}
    if len(set(found.values())) < 2:
        return ""
    each = ", ".join(f"{policy} at {temperature:g}" for policy, temperature in found.items())
    return f"not the same temperature: {each}"


def _is_comparison(text: str) -> bool:
    """Returns whether a file's text is what `compare` writes."""
    try:
        found = json.loads(text)
    except ValueError:
        return False
    return isinstance(found, dict) and {"tasks", "drawn_from"} <= set(found)


def beside_played(sources: Sequence[Source]) -> list[Source]:
    """Returns the sources with each imported one beside every user model that the played ones have.

    Imported conversations have neither a user model nor seeds. They are compared with what was played on the same
    tasks: each stands beside all conversations that a policy had on its task.
    """
    played = [source.sample for source in sources if not source.sample.imported]
    if not played:
        return list(sources)
    paths = tuple(dict.fromkeys(path for sample in played for path in sample.paths))
    users = {sample.user_signature: sample.user for sample in played}
    digests = {task: row.digest for sample in played for task, row in sample.rows.items()}
    found = []
    for source in sources:
        if not source.sample.imported:
            found.append(source)
            continue
        rows = {
            # The same task may have further data in a task file, so its id counts.
            task: replace(
                row,
                digest=digests.get(task, row.digest),
                conversations={path: talk for path in paths for talk in row.conversations.values()},
            )
            for task, row in source.sample.rows.items()
            if row.conversations
        }
        for signature, user in users.items():
            sample = replace(source.sample, user=user, user_signature=signature, paths=paths, rows=rows)
            found.append(replace(source, sample=sample))
    return found


def _without_repeats(sources: Sequence[Source]) -> list[Source]:
    """Returns the sources with each reference policy once per user model, because evaluations share these policies."""
    kept: dict[tuple[str, str, int], Source] = {}
    found = []
    for source in sources:
        key = (source.who, source.sample.user_signature, source.order)
        if not source.reference or key not in kept:
            found.append(source)
            kept[key] = source
    return found


def names_of(folders: Sequence[Path]) -> list[str]:
    """Returns a distinct name for each folder: its own name, with as many of its parent folders as are necessary.

    Raises:
        UsageError: a folder is given twice.
    """
    require_distinct(folders)
    whole = [folder.resolve() for folder in folders]

    def name(path: Path) -> str:
        names = path.parts[1:] or path.parts
        endings = (names[-depth:] for depth in range(1, len(names) + 1))
        alone = (end for end in endings if not any(other.parts[-len(end) :] == end for other in whole if other != path))
        return "/".join(next(alone, names))

    return [name(path) for path in whole]


def with_distinct_names(sources: Sequence[Source]) -> list[Source]:
    """Returns the sources with distinct policy names: a name that several folders use gets the folder's name."""
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
        policy = sample.policy + folder
        if source.suite is not None and source.suite.second is not None:
            name, _, order = sample.policy.rpartition(" ")
            policy = f"{name}{folder} {order}"
        named.append(replace(source, sample=replace(sample, policy=policy, user=user)))
    return named


def shared(sources: Sequence[Source]) -> list[PolicyResults]:
    """Returns the samples reduced to the user models, tasks and conversations that all sources share.

    A user model stays even if no reference policy was played with it.

    Raises:
        UsageError: the sources share nothing, or a setting that must be equal differs; the text names it.
    """
    firsts: dict[int, PolicyResults] = {}
    for source in sorted(sources, key=lambda one: one.sample.imported):
        sample = source.sample
        first = firsts.setdefault(source.order, sample)
        for name, value in first.comparable_settings.items():
            other = sample.comparable_settings.get(name, value)
            if other != value:
                both = f"{first.policy} and {sample.policy}"
                one, two = (short_of(name, str(each)) if name in ROLES else each for each in (value, other))
                raise UsageError(f"{both} are not comparable: {name} is {one!r} and {two!r}")
    users = _users_of_all([source for source in sources if not source.reference] or sources)
    kept = [source.sample for source in sources if source.sample.user_signature in users]
    tasks = [
        task
        for task, row in kept[0].rows.items()
        if all(task in sample.rows and sample.rows[task].digest == row.digest for sample in kept)
    ]
    if not tasks:
        raise UsageError(f"not comparable: {_names(kept)} have no task in common")
    paths = [path for path in kept[0].paths if all(path in sample.paths for sample in kept)]
    if not paths:
        counts = ", ".join(f"{sample.policy} {len(sample.paths)}" for sample in kept)
        raise UsageError(f"not comparable: one conversation per task has other seeds than several ({counts} per task)")
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
        raise UsageError(f"not comparable: the policies have no user in common ({each})")
    return users


def _names(samples: Sequence[PolicyResults]) -> str:
    return ", ".join(dict.fromkeys(sample.policy for sample in samples))
