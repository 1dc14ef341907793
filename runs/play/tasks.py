"""Chooses the tasks to play and their maximum number of rounds."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from inspect import isawaitable
from random import Random
from typing import Any

from josh.errors import UsageError
from josh.messages import dumps
from josh.roles import BaseEnv, Task
from josh.runs.registry import ENVS, guarded
from josh.runs.settings import RunSettings


def round_limit(task: Task, settings: RunSettings, env: BaseEnv) -> int:
    """Returns the maximum number of rounds: the task's `max_turns`, else the run's, else the environment's.

    Raises:
        UsageError: `max_turns` in the task's metadata is not a whole number of at least 1.
    """
    row = task.metadata.get("max_turns")
    if row is None:
        if type(env.max_rounds) is not int or env.max_rounds < 1:
            raise UsageError(f"env {settings.env.name!r} has max_rounds {env.max_rounds!r}; give 1 or more")
        return settings.limits.max_convo_turns or env.max_rounds
    if type(row) is not int or row < 1:
        raise UsageError(f"task {task.id}: max_turns is {row!r}; give a whole number, 1 or more")
    return row


def choose_tasks(env: BaseEnv, settings: RunSettings) -> Sequence[Task]:
    """Returns the tasks to play: a slice of a split, shuffled before where the settings say so, or a shard of it.

    Raises:
        UsageError: the split is unknown, the slice is empty, or the environment's tasks are invalid.
    """
    wanted, name = settings.tasks, settings.env.name
    check_shard(wanted.shard_idx, wanted.num_shards)
    if not isinstance(env.splits, list | tuple) or not env.splits:
        raise UsageError(f"env {name!r} has splits {env.splits!r:.60}; give a tuple of names")
    split = wanted.task_split or env.splits[0]
    if split not in env.splits:
        way = "" if name in ENVS else f"; or give {type(env).__name__}.splits = {(*env.splits, split)!r}"
        if needed := getattr(env, "splits_to_have", {}).get(split):
            way = f"; {split!r} needs {needed}"
        raise UsageError(f"no task_split named {split!r}; known: {', '.join(env.splits)}{way}")
    given: Any = guarded(f"the tasks of split {split!r}", lambda: env.tasks(split))
    if not isinstance(given, Iterable):
        if isawaitable(given):
            given.close()  # type: ignore[attr-defined]
            raise UsageError(f"env {name!r}: tasks() is an async method; write it without async")
        raise UsageError(f"env {name!r}: tasks({split!r}) returned {given!r:.60}; return a list of tasks")
    tasks = guarded(f"the tasks of split {split!r}", lambda: list(given))
    strange = next((task for task in tasks if not isinstance(task, Task)), None)
    if strange is not None:
        raise UsageError(f"env {name!r} gives {strange!r:.60} as a task; give a josh.roles.Task")
    twice = next((task_id for task_id, count in Counter(task.id for task in tasks).items() if count > 1), None)
    if twice is not None:
        raise UsageError(f"env {name!r} has several tasks with the id {twice!r}; give each task its own id")
    if wanted.shuffle:
        Random(settings.seed).shuffle(tasks)
    end = len(tasks) if wanted.end_index == -1 else wanted.end_index
    chosen = tasks[wanted.start_index : end]
    if not chosen:
        raise UsageError(
            f"start_index {wanted.start_index} to end_index {wanted.end_index} has no task; "
            f"split {split!r} has {len(tasks)}"
        )
    return shard_of(chosen, wanted.shard_idx, wanted.num_shards)


def digest_of(tasks: Iterable[Task]) -> str:
    """Returns a hash of some tasks: their content and order."""
    whole = hashlib.blake2b(digest_size=16)
    for task in tasks:
        whole.update(dumps([task.id, task.index, task.data, task.metadata]).encode("utf-8", "backslashreplace"))
    return whole.hexdigest()


def check_shard(number: int, shards: int) -> None:
    """Raises UsageError where there is no shard of this number."""
    if number >= shards:
        known = f"shard_idx 0 to {shards - 1}" if shards > 1 else "shard_idx 0, or num_shards"
        raise UsageError(f"shard {number} of {shards} does not exist; give {known}")


def shard_of(tasks: Sequence[Task], number: int, shards: int) -> Sequence[Task]:
    """Returns one of several shards of some tasks: as many in a row as in each other shard, or one more.

    Args:
        tasks: the tasks.
        number: the shard, from 0.
        shards: the number of shards.

    Raises:
        UsageError: there is no such shard, or a shard has no task.
    """
    check_shard(number, shards)
    if shards > len(tasks):
        raise UsageError(f"num_shards is {shards}, but there are {len(tasks)} tasks; give at most {len(tasks)}")
    size, more = divmod(len(tasks), shards)
    first = number * size + min(number, more)
    return tasks[first : first + size + (number < more)]
