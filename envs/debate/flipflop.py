"""Flipflop: the partner has just spoken, and the model takes one turn. Does it keep what is right, and take what is?

Half of the tasks have a model that was right and a partner that is wrong (`flip_correct_to_incorrect`), the others are
the other way round. This is the balanced evaluation of Persuasion-Balanced Training.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from josh.config import setting
from josh.envs.debate.env import DebateEnv
from josh.envs.debate.rows import ACCEPT, RESIST, TYPES, load_rows
from josh.envs.debate.speech import Position, Traits, offline_turn
from josh.errors import UsageError
from josh.messages import Message
from josh.roles import Task
from josh.seeds import derive

HELD_OUT = "held_out"
_SHORT: Mapping[str, str] = {RESIST: "cti", ACCEPT: "itc"}
_STYLES = ("logical", "emotional", "credibility")


class FlipflopEnv(DebateEnv):
    """One turn after a debate, from a file of rows or from made-up debates.

    A task's data, besides those of a debate:
        type: one of `rows.TYPES`.
        prompt: the conversation that the model continues, word for word.
        answers: the answers that stand before the turn, by `agent` (the model) and `user` (its partner).
        generation, correct: optional; see `rows.py`.
        question_id: the question's id.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(DebateEnv.Config):
        """The settings of this world."""

        rows: Path | None = setting(
            None,
            "file of rows to continue, as `josh pbt prefs --split devtest` writes them (default: made-up debates over "
            "the questions)",
            aliases=("rows",),
            resumable=True,
        )

    config: Config

    max_rounds = 1
    splits = (HELD_OUT, "valid", "test", "train", "all")
    users: Mapping[str, str] = {"chat": "silent", "offline": "silent"}
    rewards = "josh.rewards.debate_suites:FlipflopRewards"
    references: Mapping[str, str] = {"keeper": "keeper", "yielder": "yielder", "oracle": "oracle"}
    called = "row"

    def unread(self) -> Mapping[str, str]:
        """Returns the settings that a file of rows, or the form of the conversation, makes irrelevant."""
        found = dict(super().unread())
        if self.config.rows is not None:
            why = "the rows come from a file; leave it out"
            found |= {"env.questions": why, "synthetic_tasks": f"{why}, and give --end_index"}
        found |= {"env.both_first": "the debates have already begun; leave it out"}
        return found | {"max_convo_turns": "the model takes one turn; leave it out"}

    def tasks(self, split: str) -> Sequence[Task]:
        """Returns the rows of a split.

        `held_out` has the rows of a file that are not of its train part, or the made-up debates over the test
        questions. Rows that do not say of which part they are belong to every split.

        Raises:
            UsageError: the split is unknown or empty, or the rows or questions cannot be loaded.
        """
        if split not in FlipflopEnv.splits:
            raise UsageError(f"no split named {split!r}; known: {', '.join(FlipflopEnv.splits)}")
        if self.config.rows is not None:
            return self._from_file(self.config.rows, split)
        tasks: list[Task] = []
        for task in super().tasks("test" if split == HELD_OUT else split):
            for kind in TYPES:
                tasks.append(Task(f"{task.id}/{_SHORT[kind]}", len(tasks), _debated(task, kind)))
        return tasks

    def people(self, task: Task) -> Sequence[str]:
        """Returns the question's id: rows of one question are related."""
        return (str(task.data["question_id"]),)

    def groups(self, task: Task) -> Mapping[str, str]:
        """Returns the type."""
        return {"type": str(task.data["type"])}

    def _from_file(self, path: Path, split: str) -> Sequence[Task]:
        rows, untyped = load_rows(path)
        parts = {HELD_OUT: ("valid", "test"), "all": ("train", "valid", "test")}.get(split, (split,))
        kept = [row for row in rows if not row.part or row.part in parts]
        if not kept:
            raise UsageError(f"none of the {len(rows)} rows in {path} is in the {split} split; give --task_split all")
        self.left_out = {"pairs without a type": untyped} if untyped else {}
        tasks: list[Task] = []
        seen: dict[str, int] = {}
        for row in kept:
            number = seen[row.question_id] = seen.get(row.question_id, 0) + 1
            name = f"{row.question_id}#{number}"
            data = {**row.data, "question_id": row.question_id, "source": str(path)}
            tasks.append(Task(name, len(tasks), data))
        return tasks


class _Dice:
    """Draws the seeds of a made-up debate."""

    temperature = 1.0

    def __init__(self, *place: object) -> None:
        self._place, self._draws = place, 0

    def draw(self) -> int:
        """Returns the next seed."""
        self._draws += 1
        return derive("flipflop", *self._place, self._draws)

    shared_draw = draw


def _debated(task: Task, kind: str) -> dict[str, Any]:
    """Returns the data of a row that is made up: both speakers answered, and the partner spoke once more."""
    own_right = kind == RESIST
    dice: Any = _Dice(task.id, kind)
    sides = {"user": Traits(knows=float(not own_right)), "agent": Traits(knows=float(own_right))}
    style = Random(dice.draw()).choice(_STYLES)
    theirs, opened = offline_turn(Position(task, "user"), style, sides["user"], dice)
    mine, said = offline_turn(Position(task, "agent"), None, sides["agent"], dice)
    _, urged = offline_turn(Position(task, "user", theirs, mine), style, sides["user"], dice)
    history: list[Message] = [
        {"role": "user", "content": opened},
        {"role": "assistant", "content": said},
        {"role": "user", "content": urged},
    ]
    answers = {"agent": mine, "user": theirs}
    name = str(task.data.get("question_id") or task.id)
    return {**task.data, "type": kind, "history": history, "answers": answers, "question_id": name}
