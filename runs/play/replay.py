"""`josh replay`: play a run again from its journal alone, and see whether it comes out the same."""

from pathlib import Path

from josh.errors import UsageError
from josh.runs.play.run import check_tasks, close, describe, play_all
from josh.runs.play.runtime import Runtime
from josh.runs.record.folder import CONFIG, EPISODES, EXAMPLES, read_settings
from josh.runs.record.journal import FILE
from josh.runs.record.record import Record
from josh.runs.record.redact import redactor
from josh.runs.record.stored import stored_episodes
from josh.runs.record.summary import Result, as_text
from josh.runs.settings import environment


async def replay(folder: Path, log_dir: Path | None = None) -> bool:
    """Play a run again into a folder of its own, with no model, and compare.

    Args:
        folder: the run's folder; it is not changed.
        log_dir: where the new folder goes; by default beside the old one.

    Returns:
        Whether the episodes and the examples are the same, byte for byte.

    Raises:
        UsageError: there is no such run, or its tasks or plug-ins are not to be had.
    """
    settings = read_settings(folder)
    casting = Runtime(settings, recorded=True)
    check_tasks(casting, folder)
    if not (folder / FILE).exists():
        raise UsageError(f"{folder} has no journal {FILE} to replay")
    finished = sum(1 for _ in stored_episodes(folder / EPISODES, []))
    if finished < len(casting.tasks):
        raise UsageError(f"{folder} has {finished} of {len(casting.tasks)} tasks; resume it before it is replayed")
    results: dict[int, Result] = {}
    home, name = log_dir or folder.resolve().parent, f"{folder.resolve().name}-replayed"
    record = Record.create(home, name, casting.strategy.searched, redactor(environment()), journal=folder)
    casting.exchange.journal = record.replies
    casting.exchange.account = record.replies.account()
    try:
        record.write_json(CONFIG, describe(casting) | {"replayed_from": folder.resolve().name})
        await play_all(casting, record, results)
    finally:
        summary = close(casting, record, results, redactor(environment()), "", silent=True)
        await casting.aclose()
    print(as_text(summary, searched=casting.strategy.searched, unit=casting.unit))
    differ = [file for file in (EPISODES, EXAMPLES) if _bytes(folder / file) != _bytes(record.folder / file)]
    print(f"compared        {' and '.join(differ)} differ from {folder}" if differ else f"the same as     {folder}")
    print(f"written to      {record.folder}/")
    return not differ


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""
