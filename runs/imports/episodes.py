"""From an imported dialogue to an episode: a tree with a single path."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from josh.dialogue import Hit, Outcome, Turn
from josh.errors import UsageError
from josh.imported import ImportedDialogue
from josh.outcomes import Episode, metrics_of
from josh.roles import BaseEnv, Task
from josh.runs.registry import PLAIN_ENV
from josh.threads import one_line
from josh.tree import Node, Tree


class TaskFinder:
    """Finds the task of each dialogue.

    1. The data that the source gives, where it has the form of a task's.
    2. The world's own task with the id of the dialogue.
    3. What the world makes of the rest of the row (`BaseEnv.adopt`).
    """

    def __init__(self, env: BaseEnv, name: str, *, strict: bool) -> None:
        """Find tasks of a world.

        Args:
            env: the world.
            name: its name, for errors.
            strict: its settings are given, so that it must be able to load its own tasks.
        """
        self._env, self._name, self._strict = env, name, strict
        self._known: Mapping[str, Task] | None = None

    def task(self, found: ImportedDialogue, name: str, index: int) -> Task:
        """Returns the task of a dialogue.

        Args:
            found: the dialogue.
            name: its id in the run.
            index: its place in the run, from 0.

        Raises:
            UsageError: the world cannot use the dialogue.
        """
        if found.data is not None:
            return Task(name, index, found.data)
        if found.id and (task := self._tasks.get(found.id)) is not None:
            return replace(task, id=name)
        data = {**found.metadata, **({"people": list(found.people)} if found.people else {})}
        try:
            return Task(name, index, self._env.adopt(name, data))
        except UsageError as error:
            raise UsageError(f"{found.place}: env {self._name!r} cannot use it: {error}") from None

    @property
    def _tasks(self) -> Mapping[str, Task]:
        """The world's own tasks, by id; none where it has none without further settings."""
        if self._known is None:
            found: dict[str, Task] = {}
            for split in self._env.splits if self._name != PLAIN_ENV else ():
                try:
                    found |= {task.id: task for task in self._env.tasks(split)}
                except UsageError:
                    if self._strict and split == self._env.splits[0]:
                        raise
            self._known = found
        return self._known


def episode_of(found: ImportedDialogue, task: Task, env: BaseEnv, success_at: float | None) -> Episode:
    """Returns the episode of a dialogue.

    The reward is that of the source. Where it gives none, the conversation counts in no mean. A conversation has won
    where the source says so; else where its reward is above 0, or at least `success_at`.

    Raises:
        UsageError: the world cannot use the task; the text names the dialogue.
    """
    try:
        goals = tuple(env.goals(task))
        opening = found.opening
        if not opening.internal and (prompt := env.agent_prompt(task)):
            opening = replace(opening, internal=({"role": "system", "content": prompt},))
        return _episode(found, task, env, success_at, goals, opening)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(
            f"{found.place}: its task has not the data of this env ({one_line(error)}); give another --env, or none"
        ) from None


def _episode(
    found: ImportedDialogue,
    task: Task,
    env: BaseEnv,
    success_at: float | None,
    goals: Sequence[Any],
    opening: Turn,
) -> Episode:
    reward = found.reward
    if reward is None and found.success is not None:
        reward = float(found.success)
    outcome, last = _outcome(reward, found.success, success_at), len(found.turns)
    nodes = [Node(-1, found.turns[0][0].other, "", 0, opening, tuple(goals))]
    nodes += [
        Node(place - 1, speaker, "", place, turn, tuple(goals), None, place)
        for place, (speaker, turn) in enumerate(found.turns[:-1], 1)
    ]
    met = (Hit(0, tuple(goals), float(reward or 0)),) if outcome is Outcome.WON and goals else ()
    speaker, turn = found.turns[-1]
    turn = Turn(
        turn.messages,
        turn.internal,
        turn.actions,
        met,
        outcome,
        turn.observed,
        user_internal=turn.user_internal,
        facts=turn.facts,
    )
    nodes.append(Node(last - 1, speaker, "", last, turn, () if met else tuple(goals), None, last))
    tree, rated = Tree(tuple(nodes), (), tuple(goals)), reward is not None
    measured = getattr(type(env), "metrics", None) is not BaseEnv.metrics
    return Episode(
        task,
        tree,
        (last,) if rated else (),
        {last: outcome},
        {last: float(reward or 0)} if rated else {},
        dict(metrics_of(env, task, tree, last, outcome)) if rated and measured else {},
        tools=tuple(found.tools),
        no_rows=found.no_rows,
    )


def _outcome(reward: float | None, success: bool | None, success_at: float | None) -> Outcome:
    """Returns how a dialogue ended; without a reward the user left without a verdict."""
    if reward is None:
        return Outcome.USER_LEFT
    won = reward >= success_at if success_at is not None else reward > 0 if success is None else success
    return Outcome.WON if won else Outcome.LOST
