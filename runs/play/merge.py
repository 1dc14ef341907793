"""Makes one run of the shards of a run (`--num_shards`), with the bytes of a run that played all tasks itself.

1. The shards are finished runs with the same settings, each shard once (`_checked`).
2. The new run's folder gets their lines, in the order of the tasks, and the replies in their journals.
3. The examples and the summary are made anew from these, as when a run is resumed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from josh.errors import UsageError
from josh.messages import dumps
from josh.redact import redactor
from josh.runs.play.closing import RunResult, close
from josh.runs.play.run import describe, hand_over_journal
from josh.runs.play.runtime import Runtime
from josh.runs.play.tasks import digest_of, shard_of
from josh.runs.record.folder import (
    CONFIG,
    EPISODES,
    read_config,
    read_settings,
    read_summary,
    require_distinct,
    write_json,
)
from josh.runs.record.record import Record, retries_before
from josh.runs.record.stored import stored_episodes
from josh.runs.record.summary import Result, result_of
from josh.runs.resolve import fixed_settings
from josh.runs.settings import SHARDS, RunSettings, environment


@dataclass(frozen=True, slots=True)
class Shard:
    """The finished run of one shard.

    Attributes:
        folder: its folder.
        number: which shard it is, from 0.
        settings: its settings.
        digest: the hash of its tasks.
    """

    folder: Path
    number: int
    settings: RunSettings
    digest: str


async def merge(folders: Sequence[Path], log_dir: Path, name: str) -> RunResult:
    """Write one run from the runs of all its shards, which stay as they are.

    Args:
        folders: the shards' folders, in any order, or folders that have such folders in them.
        log_dir: the directory for the new run's folder.
        name: the name of the new run's folder.

    Raises:
        UsageError: a folder is not a finished shard, a shard is missing or is given twice, the shards have different
            settings, or their tasks are not those of the whole run; no new folder is left.
    """
    require_distinct(folders)
    shards = _checked([_shard(folder) for given in folders for folder in _runs_of_shards(given)])
    settings = _whole(shards[0].settings, log_dir)
    if (log_dir / name).exists():
        raise UsageError(f"{log_dir / name} exists; remove it, or choose another folder for the merged run")
    runtime = Runtime(settings, recorded=True)
    try:
        _check_tasks(runtime, shards)
        redact = redactor(environment(), runtime.options)
        record = Record.create(log_dir, name, runtime.strategy.collapses, redact, dated=False)
        try:
            return _merged(runtime, record, shards)
        except BaseException:
            record.discard()
            raise
    finally:
        await runtime.aclose()


def _merged(runtime: Runtime, record: Record, shards: Sequence[Shard]) -> RunResult:
    """Write the new run's files, and return its result."""
    positions = {task.id: position for position, task in enumerate(runtime.tasks)}
    results: dict[int, Result] = {}
    origin = {"merged_from": [shard.folder.resolve().name for shard in shards]}
    write_json(record.folder / CONFIG, describe(runtime) | origin)
    for shard in shards:
        damaged: list[int] = []
        record.replies.take_over(shard.folder)
        for line, episode in stored_episodes(shard.folder / EPISODES, damaged):
            if (position := positions.get(episode.task.id)) is not None:
                record.add_line(position, episode, line)
                results[position] = result_of(episode)
        if damaged:
            raise UsageError(f"{shard.folder / EPISODES}: line {damaged[0]} is damaged; resume this shard, then merge")
        runtime.gateway.retries += retries_before(shard.folder)
    hand_over_journal(runtime.gateway, record.replies)
    return close(runtime, record, results, redactor(environment(), runtime.options), "")


def _runs_of_shards(given: Path) -> list[Path]:
    """Returns a run's folder, or the folders of shards in a folder. Raises UsageError where there are none."""
    if (given / CONFIG).exists() or not given.is_dir():
        return [given]
    found = [path.parent for path in sorted(given.glob(f"*/{CONFIG}"))]
    shards = [folder for folder in found if read_settings(folder).tasks.num_shards > 1]
    if not shards:
        raise UsageError(f"{given} has no shard of a run; give the folders of runs with --num_shards")
    return shards


def _shard(folder: Path) -> Shard:
    config = read_config(folder)
    settings, summary = read_settings(folder, config), read_summary(folder)
    if settings.tasks.num_shards == 1:
        raise UsageError(f"{folder} is a whole run, without num_shards; give shards of one run")
    if not summary.get("complete"):
        done = f" ({summary['finished']} of {summary['tasks']} tasks)" if summary else ""
        raise UsageError(f"{folder} is unfinished{done}; finish it with josh --resume {folder}")
    return Shard(folder, settings.tasks.shard_idx, settings, str(config.get("tasks_digest")))


def _checked(shards: Sequence[Shard]) -> list[Shard]:
    """Returns the shards in their order. Raises UsageError where they are not all shards of one run, each once."""
    first, same = shards[0], {SHARDS[1]: None}
    old = fixed_settings(first.settings) | same
    for shard in shards[1:]:
        new = fixed_settings(shard.settings) | same
        flag = next((flag for flag in {**old, **new} if old.get(flag) != new.get(flag)), None)
        if flag is not None:
            raise UsageError(
                f"{flag} is {old.get(flag)!r} in {first.folder}, and {new.get(flag)!r} in {shard.folder}; merge shards "
                "of one run"
            )
    found: dict[int, Shard] = {}
    for shard in shards:
        if shard.number in found:
            other = found[shard.number].folder
            raise UsageError(f"shard {shard.number} is given twice, in {other} and {shard.folder}; leave one out")
        found[shard.number] = shard
    of = first.settings.tasks.num_shards
    missing = [number for number in range(of) if number not in found]
    if missing:
        raise UsageError(f"{_named(missing, of)} missing; give all {of}")
    return [found[number] for number in range(of)]


def missing_shards(folders: Sequence[Path]) -> list[str]:
    """Returns a line for every run of which some shards are among some folders, and others are not.

    Args:
        folders: folders of runs, whole ones too.

    Raises:
        UsageError: one of them is not a run.
    """
    found: dict[str, tuple[int, set[int]]] = {}
    for folder in folders:
        settings = read_settings(folder)
        if settings.tasks.num_shards > 1:
            same = dumps(fixed_settings(settings) | {SHARDS[1]: None})
            found.setdefault(same, (settings.tasks.num_shards, set()))[1].add(settings.tasks.shard_idx)
    each = [(of, [number for number in range(of) if number not in there]) for of, there in found.values()]
    return [f"{_named(missing, of)} missing; their tasks are left out" for of, missing in each if missing]


def _named(missing: Sequence[int], of: int) -> str:
    one = len(missing) == 1
    names = f"shard {missing[0]}" if one else f"shards {', '.join(map(str, missing))}"
    return f"{names} of {of} {'is' if one else 'are'}"


def _whole(settings: RunSettings, log_dir: Path) -> RunSettings:
    """Returns the settings of the whole run."""
    tasks = replace(settings.tasks, num_shards=1, shard_idx=0)
    return replace(settings, tasks=tasks, output=replace(settings.output, log_dir=str(log_dir)))


def _check_tasks(runtime: Runtime, shards: Sequence[Shard]) -> None:
    """Raises UsageError where the tasks of a shard are not those that the whole run has there."""
    for shard in shards:
        if digest_of(shard_of(runtime.tasks, shard.number, len(shards))) != shard.digest:
            raise UsageError(f"{shard.folder} has other tasks than shard {shard.number} now; give the same data")
