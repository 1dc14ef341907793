"""Task files: the corpus's conversations as JSON lines, for runs that should not need the corpus and for slime.

A line is `{"id", "conversation_id", "split", "prompt", "label", "data", "metadata"}`. `data` are the two personas as
`PersuasionEnv` keeps them in a task, and the file can be given to a run as `--corpus`. `metadata` holds settings of
that line alone (`persuadee_model`, `persuadee_base_url`, `persuadee_api_key_var`, `max_turns`); it is written empty,
to be filled in where a task should be played with settings of its own.

slime's `Dataset` reads the same file with `--input-key prompt --label-key label --metadata-key metadata`: the prompt is
the task's id, by which a rollout finds the task, and the label is empty, since there is no reference answer.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from josh.envs.persuasion.env import PersuasionEnv
from josh.errors import UsageError
from josh.roles import Task


def prepare(
    corpus: Path,
    out: Path,
    split: str = "both",
    split_rule: str = "convokit",
    train_limit: int | None = None,
    test_limit: int | None = None,
    include_bad: bool = False,
) -> dict[str, int]:
    """Write `train_tasks.jsonl`, `test_tasks.jsonl` or both into a folder, each whole or not at all.

    Args:
        corpus: the corpus's folder, or a task file to take a part of.
        out: the folder to write to, made if need be; files of these names are replaced.
        split: `train`, `test` or `both`.
        split_rule: see `josh.envs.persuasion.corpus.split`.
        train_limit: most train tasks, the first ones being kept; all if None.
        test_limit: the same for test.
        include_bad: keep the dialogues that the corpus's authors marked as spoilt (`BAD_`); all are of the train split
            under the rule `convokit`.

    Returns:
        How many tasks were written, by split.

    Raises:
        UsageError: a setting is wrong, or the corpus cannot be read, and nothing is written then; or the folder cannot
            be written to.
    """
    limits = {"train": train_limit, "test": test_limit}
    if split not in (*limits, "both"):
        raise UsageError(f"no split named {split!r}; known: train, test, both")
    for name, limit in limits.items():
        if limit is not None and limit < 1:
            raise UsageError(f"{name}_limit is {limit}; give 1 or more")
    env = PersuasionEnv({"corpus": corpus, "split_rule": split_rule, "include_bad": include_bad})
    tasks = {name: env.tasks(name)[:limit] for name, limit in limits.items() if split in (name, "both")}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, rows in tasks.items():
            _write(out / f"{name}_tasks.jsonl", [_row(task, name) for task in rows])
    except OSError as error:
        raise UsageError(f"cannot write to {out}: {error.strerror}") from error
    return {name: len(rows) for name, rows in tasks.items()}


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
