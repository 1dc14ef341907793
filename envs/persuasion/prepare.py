"""Writes task files: the corpus's conversations as JSON lines, for runs without the corpus and for slime.

A line is `{"id", "conversation_id", "split", "prompt", "label", "data", "metadata"}`. `data` holds the two personas in
the form of `PersuasionEnv`'s tasks, so that a run takes the file as `--corpus`. `metadata` holds settings of this task
only (`persuadee_model`, `persuadee_base_url`, `persuadee_api_key_var`, `max_turns`). It is written empty; fill it in
for a task that needs its own settings.

slime's `Dataset` reads the same file with `--input-key prompt --label-key label --metadata-key metadata`: the prompt is
the task's id, by which a rollout finds the task, and the label is empty, because there is no reference answer.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from josh.envs.persuasion.env import PersuasionEnv
from josh.envs.persuasion.layout import holds_corpus
from josh.errors import UsageError
from josh.roles import Task
from josh.texts import json_rows


def prepare(
    corpus: Path | None,
    out: Path,
    split: str = "both",
    split_rule: str = "convokit",
    train_limit: int | None = None,
    test_limit: int | None = None,
    include_bad: bool = False,
    overwrite: bool = False,
) -> dict[str, int]:
    """Writes `train_tasks.jsonl`, `test_tasks.jsonl` or both into a folder. A file is written completely or not at all.

    Args:
        corpus: the corpus's folder, or a task file to take a part of; None for made-up people, as many as the limits.
            Task files in the corpus's folder, such as those of an earlier call, are not read.
        out: the folder to write to; it is created if it is missing. Files of these names are replaced where they are
            as this function writes them.
        split: `train`, `test` or `both`.
        split_rule: see `josh.envs.persuasion.corpus.split`.
        train_limit: number of train tasks to keep, from the first; all if None.
        test_limit: the same for test.
        include_bad: keep the dialogues that the corpus's authors marked as spoilt (`BAD_`). Under the rule `convokit`
            all of these are in the train split.
        overwrite: replace any file of these names.

    Returns:
        The number of tasks written, by split.

    Raises:
        UsageError: a setting is wrong or the corpus cannot be read (nothing is written then), or the folder cannot be
            written to.
    """
    limits = {"train": train_limit, "test": test_limit}
    if split not in (*limits, "both"):
        raise UsageError(f"no split named {split!r}; known: train, test, both")
    for name, limit in limits.items():
        if limit is not None and limit < 1:
            raise UsageError(f"{name}_limit is {limit}; give 1 or more")
    options: dict[str, Any] = {"corpus": corpus, "split_rule": split_rule, "include_bad": include_bad}
    if corpus is None:
        options = {"synthetic_tasks": max((limit for limit in limits.values() if limit), default=None)}
    env = PersuasionEnv(options)
    tasks_of = env.corpus_tasks if corpus is not None and holds_corpus(corpus) else env.tasks
    tasks = {name: tasks_of(name)[:limit] for name, limit in limits.items() if split in (name, "both")}
    for name in tasks:
        path = out / f"{name}_tasks.jsonl"
        if path.exists() and not overwrite and not _is_as_written(path):
            raise UsageError(
                f"{path} exists, and josh prepare did not write it like this; give another output_dir, or --overwrite"
            )
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, rows in tasks.items():
            _write(out / f"{name}_tasks.jsonl", [_row(task, name) for task in rows])
    except OSError as error:
        raise UsageError(f"cannot write to {out}: {error.strerror}") from error
    return {name: len(rows) for name, rows in tasks.items()}


def _is_as_written(path: Path) -> bool:
    """Returns whether a file has only rows of `prepare`, in which nobody has filled in a setting."""
    keys = ["id", "conversation_id", "split", "prompt", "label", "data", "metadata"]
    try:
        return all(isinstance(row, dict) and list(row) == keys and not row["metadata"] for _, row in json_rows(path))
    except UsageError:
        return False


def _row(task: Task, split: str) -> dict[str, Any]:
    return {
        "id": task.id,
        "conversation_id": task.data["conversation_id"],
        "split": split,
        "prompt": task.id,
        "label": "",
        "data": task.data,
        "metadata": task.metadata,
    }


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(json.dumps(row, allow_nan=False) + "\n" for row in rows)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
