"""`josh replay`: plays a run again from its journal only, and checks that the result is the same."""

from dataclasses import asdict, dataclass
from pathlib import Path

from josh.errors import UsageError
from josh.redact import redactor
from josh.runs.play.closing import RunResult, close
from josh.runs.play.run import check_tasks, describe, hand_over_journal
from josh.runs.play.runtime import Runtime
from josh.runs.play.side_by_side import play_all
from josh.runs.record.folder import CONFIG, EPISODES, EXAMPLES, beside, read_settings, require_played, write_json
from josh.runs.record.journal import FILE
from josh.runs.record.record import Record
from josh.runs.record.stored import stored_episodes
from josh.runs.record.summary import Result
from josh.runs.settings import environment


@dataclass(frozen=True, slots=True)
class Replayed:
    """The result of a replay.

    Attributes:
        source: the folder of the original run.
        result: the new run.
        differ: names of the files that are not equal byte by byte.
    """

    source: Path
    result: RunResult
    differ: tuple[str, ...]


async def replay(folder: Path, log_dir: Path | None = None) -> Replayed:
    """Play a run again in a new folder, without model calls, and compare its episodes and examples.

    Args:
        folder: the run's folder; it is not changed.
        log_dir: directory for the new folder; None for the directory of the old one.

    Raises:
        UsageError: the run does not exist, is not finished, or has no journal, or its tasks or plug-ins cannot be
            loaded.
    """
    require_played(folder, "replay")
    settings = read_settings(folder)
    runtime = Runtime(settings, recorded=True)
    check_tasks(runtime, folder)
    if not (folder / FILE).is_file():
        raise UsageError(f"{folder} has no journal {FILE} to replay")
    finished = sum(1 for _ in stored_episodes(folder / EPISODES, []))
    if finished < len(runtime.tasks):
        raise UsageError(f"{folder} has {finished} of {len(runtime.tasks)} tasks; resume it first")
    results: dict[int, Result] = {}
    redact = redactor(environment(), asdict(settings))
    home, name = log_dir or beside(folder), f"{folder.resolve().name}-replayed"
    record = Record.create(home, name, runtime.strategy.collapses, redact, journal=folder)
    hand_over_journal(runtime.gateway, record.replies)
    try:
        write_json(record.folder / CONFIG, describe(runtime) | {"replayed_from": folder.resolve().name})
        await play_all(runtime, record, results)
        result = close(runtime, record, results, redact, "")
    except BaseException:
        record.discard()  # a replay can be made again without cost, so a partial folder is not kept
        raise
    finally:
        await runtime.aclose()
    differ = (file for file in (EPISODES, EXAMPLES) if _bytes(folder / file) != _bytes(record.folder / file))
    return Replayed(folder, result, tuple(differ))


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""
