"""`josh import`: makes a run of conversations that josh did not play.

1. The files and their reader, or the world's own conversations, are chosen and checked (`import_dialogues`).
2. Each row becomes a dialogue: a reader yields it, personal data is masked, and its task is found.
3. Each dialogue becomes an episode, whose lines are written at once, so that memory stays flat.
4. `config.json` and `summary.json` are written, and the folder gets its name. On any error nothing is left.
"""

import os
import platform
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final

from josh.dialogue import NO_USAGE, Outcome, Speaker
from josh.errors import UsageError
from josh.imported import DialogueLeftOut, ImportedDialogue, RecordedDialogues
from josh.messages import dumps
from josh.outcomes import Episode
from josh.roles import BaseEnv
from josh.runs.imports.episodes import TaskFinder, episode_of
from josh.runs.imports.files import sha256_of
from josh.runs.imports.lines import EpisodeText
from josh.runs.imports.personal import NAME, Masker
from josh.runs.imports.rows import Found, ReadOptions
from josh.runs.play.closing import RunResult
from josh.runs.play.unread import require_read
from josh.runs.record.episode_json import to_json
from josh.runs.record.examples import examples
from josh.runs.record.flaws import Flaws
from josh.runs.record.folder import (
    CONFIG,
    EPISODES,
    EXAMPLES,
    IMPORTED,
    SUMMARY,
    commit,
    now,
    require_distinct,
    version,
    write_json,
)
from josh.runs.record.lines import as_bytes
from josh.runs.record.settings_json import settings_to_json
from josh.runs.record.summary import Result, Totals, bill, person_of, result_of
from josh.runs.registry import IMPORT_ENVS, PLAIN_ENV, guarded, import_path, load_reader, rewards_class
from josh.runs.resolve import defaults_of, resolve
from josh.runs.settings import RunSettings, env_of
from josh.threads import one_line

ALL: Final = "all"
"""The split of all conversations of a world."""
_BUFFER: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRequest:
    """What to import, and how.

    Attributes:
        files: the files; empty for the world's own conversations.
        form: the format of the files, a key of `IMPORTS`; None for none.
        given: the settings of the world, by flag name.
        split: the split of the world's own conversations; None for all.
        out: the folder of the new run.
        played_by: who took the agent's turns; empty for `imported`, or what the source says.
        success_at: the smallest reward of a success; None where the source decides.
        names: mask names, too.
        unmasked: mask nothing.
        skip_damaged: leave out damaged rows, and count them.
        options: see `ReadOptions`.
    """

    files: Sequence[Path]
    form: str | None
    given: Mapping[str, Any]
    split: str | None = None
    out: Path
    played_by: str = ""
    success_at: float | None = None
    names: bool = False
    unmasked: bool = False
    skip_damaged: bool = False
    options: ReadOptions = field(default_factory=ReadOptions)


@dataclass(frozen=True, slots=True)
class ImportedRun:
    """An imported run.

    Attributes:
        result: the run.
        left_out: numbers of conversations, and of parts of them, that are left out, by reason.
        masked: numbers of places where personal data was replaced, by kind.
        no_rows: numbers of conversations that are no training rows, by reason.
    """

    result: RunResult
    left_out: Mapping[str, int]
    masked: Mapping[str, int]
    no_rows: Mapping[str, int]


def import_dialogues(request: ImportRequest) -> ImportedRun:
    """Write a run's folder, whole or not at all.

    Raises:
        UsageError: a file cannot be read, a row is damaged, nothing is left to import, or the folder cannot be written.
    """
    settings = _settings(request)
    env = env_of(settings)
    unread = getattr(env, "unread", None)
    require_read(request.given, [dict(unread())] if callable(unread) else [])
    if request.out.exists():
        raise UsageError(f"{request.out} exists; give another --out, or remove it")
    masker = Masker(_kinds(request, env))
    sources = _sources(request, env)
    with _new_folder(request.out) as folder, _Writer(folder) as writer:
        importer = _Importer(request, settings, env, masker, writer)
        for source in sources:
            importer.add(source)
        return importer.finish(sources)


@dataclass(slots=True)
class _Source:
    """One file, or the world's own conversations, with the number of those that were imported."""

    rows: Iterator[Found | ImportedDialogue | DialogueLeftOut]
    files: Sequence[Path]
    played_by: Mapping[str, str]
    left_out: Mapping[str, int]
    imported: int = 0


def _settings(request: ImportRequest) -> RunSettings:
    given = {"env": IMPORT_ENVS.get(request.form or "", PLAIN_ENV), **request.given}
    if request.split is not None:
        given["task_split"] = request.split
    kept = {name: value for name, value in defaults_of(given).items() if not name.startswith(("user_", "max_"))}
    return resolve(given, kept, missing=("agent", "user"))


def _kinds(request: ImportRequest, env: BaseEnv) -> Sequence[str]:
    if request.unmasked:
        if request.names:
            raise UsageError("names is given with unmasked, which masks nothing; leave one of them out")
        return ()
    return (*getattr(env, "personal", BaseEnv.personal), *([NAME] if request.names else []))


def _sources(request: ImportRequest, env: BaseEnv) -> list[_Source]:
    """Returns the sources, in order; checks the files before any is read. Raises UsageError."""
    if not request.files:
        return [_recorded(request, env)]
    if request.form is None:
        raise UsageError("no format is given; give --format, such as --format messages")
    if request.split is not None:
        raise UsageError(f"task_split is {request.split!r}, but files are given, which have no splits; leave it out")
    read = load_reader(request.form)
    for path in request.files:
        if not path.is_file():
            why = "is a folder; give its files" if path.is_dir() else "does not exist"
            raise UsageError(f"{path} {why}")
    require_distinct(request.files)
    plays = {"agent": request.played_by or "imported", "user": "imported"}
    return [_Source(read(path, request.options), [path], plays, {}) for path in request.files]


def _recorded(request: ImportRequest, env: BaseEnv) -> _Source:
    """Returns the world's own conversations as a source. Raises UsageError."""
    name = str(request.given.get("env") or PLAIN_ENV)
    if name == PLAIN_ENV:
        raise UsageError("no file is given; example: josh import logs.jsonl --format messages --out records/logs")
    if request.form is not None:
        raise UsageError(f"format is {request.form!r}, but no file is given; give the files")
    if not hasattr(env, "dialogues"):
        raise UsageError(f"env {name!r} has no conversations of people; give files, and --format")
    try:
        found: RecordedDialogues = guarded(f"env {name!r}", partial(env.dialogues, request.split))
    except UsageError as error:
        raise UsageError(f"env {name!r}: {error}") from None
    plays = dict(found.played_by) | ({"agent": request.played_by} if request.played_by else {})
    return _Source(iter(found.dialogues), found.files, plays, found.left_out)


class _Importer:
    """Makes episodes of dialogues, and counts them."""

    def __init__(
        self, request: ImportRequest, settings: RunSettings, env: BaseEnv, masker: Masker, writer: "_Writer"
    ) -> None:
        self._request, self._settings, self._env = request, settings, env
        self._masker, self._writer = masker, writer
        strict = any(name != "env" for name in request.given)
        self._tasks = TaskFinder(env, str(settings.env.name), strict=strict)
        self._totals = Totals()
        self._ids: dict[str, int] = {}
        self._left_out, self._no_rows = Counter[str](), Counter[str]()

    def add(self, source: _Source) -> None:
        """Import a source. Raises UsageError for a damaged row, unless these are left out."""
        self._left_out.update(source.left_out)
        for found in source.rows:
            if isinstance(found, UsageError):
                if not self._request.skip_damaged:
                    raise UsageError(f"{found} (--skip_damaged leaves such rows out)")
                self._left_out["damaged"] += 1
            elif isinstance(found, DialogueLeftOut):
                self._left_out[found.reason] += 1
            else:
                self._add(found)
                source.imported += 1

    def _add(self, found: ImportedDialogue | Episode) -> None:
        index = len(self._ids)
        if isinstance(found, Episode):
            task = replace(found.task, id=self._name(found.task.id, index), index=index)
            episode = replace(found, task=task)
        else:
            self._left_out.update(found.parts_left_out)
            found = self._masker.masked(found)
            task = self._tasks.task(found, self._name(found.id, index), index)
            episode = episode_of(found, task, self._env, self._request.success_at)
        self._ids.setdefault(episode.task.id, 1)
        if episode.no_rows:
            self._no_rows[episode.no_rows] += 1
        try:
            person = person_of(episode.task, self._env)
        except Exception as error:
            raise UsageError(f"the people of task {episode.task.id}: {one_line(error)}") from None
        single = not isinstance(found, Episode)
        result = _result(episode) if single else result_of(episode)
        self._totals.add(result, person)
        self._writer.add(episode, result, single=single)

    def _name(self, given: str, index: int) -> str:
        """Returns an id that no other dialogue has: the given one, with a number where it is taken."""
        name = given or f"dialogue-{index + 1:06}"
        while name in self._ids:
            self._ids[name] += 1
            name = f"{given}-{self._ids[name]}"
        return name

    def finish(self, sources: Sequence[_Source]) -> ImportedRun:
        """Write `config.json` and `summary.json`, and return the run. Raises UsageError where there is no dialogue."""
        ids = list(self._ids)
        if not ids:
            reasons = ", ".join(f"{count} {reason}" for reason, count in self._left_out.items())
            raise UsageError(f"there is no conversation to import{f'; left out: {reasons}' if reasons else ''}")
        settings, env, writer = self._settings, self._env, self._writer
        writer.close()
        rewards = rewards_class(settings.rewards, env)
        plays = {
            **({"task": env.called} if env.called else {}),
            **sources[0].played_by,
            "rewards": import_path(rewards),
            "models": [],
        }
        left_out, masked = dict(self._left_out), dict(sorted(self._masker.counts.items()))
        began = {"started": now(), "commit": commit()}
        config = {
            "settings": settings_to_json(settings),
            "search": asdict(IMPORTED),
            "plays": plays,
            "tasks": len(ids),
            "task_ids": ids,
            "left_out": left_out,
            "imported_from": [
                {"file": path.name, "sha256": sha256_of(path), "rows": source.imported}
                for source in sources
                for path in source.files
            ],
            **({"masked": masked} if masked else {}),
            "versions": {"python": platform.python_version(), "josh-dialogue": version("josh-dialogue")},
            **{name: value for name, value in began.items() if value},
        }
        write_json(writer.folder / CONFIG, config)
        counts = {"training_examples": writer.examples, "golden_examples": writer.golden}
        summary = self._totals.summary(len(ids), 0) | bill({}, {}) | counts | {"truncated": None}
        write_json(writer.folder / SUMMARY, summary)
        result = RunResult(self._request.out, settings, plays, IMPORTED, str(rewards.unit), summary)
        return ImportedRun(result, left_out, masked, dict(self._no_rows))


def _result(episode: Episode) -> Result:
    """Returns the figures of an episode with a single path, as `result_of` does, in a tenth of its time."""
    nodes = episode.tree.nodes
    (outcome,) = episode.outcomes.values()
    speakers = [node.speaker for node in nodes[1:]]
    rounds = speakers.count(Speaker.AGENT)
    return Result(
        episode.reward,
        float(bool(episode.reported) and outcome is Outcome.WON),
        float(rounds) if episode.reported else 0.0,
        episode.ending,
        "",
        episode.metrics,
        len(episode.reported),
        len(nodes) - 1,
        _ONCE[outcome],
        _UNUSED,
        {},
        has_goals=bool(episode.tree.goals),
        flaws=_UNFLAWED,
        pairs=_UNPAIRED,
        unrated=episode.unrated,
    )


_ONCE: Final = {outcome: Counter([str(outcome)]) for outcome in Outcome}
_UNUSED: Final = dict.fromkeys(map(str, Speaker), NO_USAGE)
_UNFLAWED: Final = Flaws()
_UNPAIRED: Final = Counter[tuple[str, str]]()


class _Writer:
    """Writes the lines of episodes and of their examples."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.examples = self.golden = 0
        self._files: dict[str, BinaryIO] = {}

    def __enter__(self) -> "_Writer":
        self._files = {name: (self.folder / name).open("xb", buffering=_BUFFER) for name in (EPISODES, EXAMPLES)}
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            with suppress(OSError):  # the first failure is the one to report
                file.close()

    def close(self) -> None:
        """Close the files. Raises OSError where they cannot be written."""
        for file in self._files.values():
            file.close()

    def add(self, episode: Episode, result: Result, *, single: bool) -> None:
        """Write an episode, which is a dialogue with a single path or a whole tree, and its examples."""
        text = EpisodeText(episode, result)
        for example in examples(episode, collapses=False):
            self._files[EXAMPLES].write(as_bytes(f"{text.example(example)}\n"))
            self.examples += 1
            self.golden += example.is_golden_path
        line = text.line() if single else dumps(to_json(episode))
        self._files[EPISODES].write(as_bytes(f"{line}\n"))


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """Gives a folder beside the wanted one, which gets its name at the end; on any error it is deleted."""
    part = out.with_name(f".{out.name}.part-{os.getpid()}")
    made = next((one for one in reversed([out.parent, *out.parent.parents]) if not one.exists()), None)
    try:
        part.mkdir(parents=True)
        yield part
        part.replace(out)
    except BaseException as error:
        shutil.rmtree(part, ignore_errors=True)
        for folder in (out.parent, *out.parent.parents) if made is not None else ():
            with suppress(OSError):
                folder.rmdir()
            if folder == made:
                break
        if isinstance(error, OSError):
            raise UsageError(f"cannot write {out}: {error.strerror}") from None
        raise
