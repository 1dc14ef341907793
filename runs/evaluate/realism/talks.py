"""Conversations of people and of simulated users in one form: what a user heard and said, and how it ended.

1. `talks_of_run` reads the conversations that count of a recorded run, without reward tags.
2. `talks_of_people` takes the conversations of people of the same tasks from the world (`BaseEnv.dialogues`), up to as
   many rounds as the run's.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from josh.dialogue import Outcome, Speaker, Turn
from josh.errors import UsageError
from josh.imported import ImportedDialogue, RecordedDialogues
from josh.outcomes import Episode
from josh.roles import BaseEnv, Task
from josh.runs.record.folder import EPISODES
from josh.runs.record.stored import stored_episodes
from josh.runs.record.summary import person_of
from josh.runs.registry import guarded
from josh.tree import walk


@dataclass(frozen=True, slots=True)
class Talk:
    """One conversation.

    Attributes:
        task: id of its task.
        person: the person who answers.
        heard: the agent's words before each turn of the user; empty where the user begins.
        said: the words of each turn of the user, without tags.
        acts: the acts of each turn of the user.
        reward: what it earned; None where that is not known.
        left: whether the user left without deciding; None where that is not known, as with people.
        groups: the groups of its task, as `BaseEnv.groups` says.
    """

    task: str
    person: str
    heard: tuple[str, ...]
    said: tuple[str, ...]
    acts: tuple[frozenset[str], ...]
    reward: float | None = None
    left: bool | None = None
    groups: tuple[tuple[str, str], ...] = ()

    def first(self, acts: Collection[str]) -> int | None:
        """Returns the number of the first turn with one of some acts, from 0; None where there is none."""
        return next((number for number, each in enumerate(self.acts) if not each.isdisjoint(acts)), None)


def talks_of_run(folder: Path, env: BaseEnv) -> list[Talk]:
    """Returns the conversations of a run that ended without an error and in which the user speaks.

    Raises:
        UsageError: the run has none, or its episodes cannot be read.
    """
    found = []
    for _, episode in stored_episodes(folder / EPISODES, []):
        groups = _groups(env, episode.task)
        for leaf in episode.reported or tuple(episode.outcomes):
            turns = [
                (episode.tree.nodes[place].speaker, episode.tree.nodes[place].turn) for place in _path(episode, leaf)
            ]
            talk = _talk(episode.task, person_of(episode.task, env), turns, env)
            if talk.said:
                left = episode.outcomes.get(leaf) is Outcome.USER_LEFT
                found.append(replace(talk, reward=episode.worth.get(leaf), left=left, groups=groups))
    if not found:
        raise UsageError(f"{folder} has no conversation in which a user speaks; give another run")
    return found


def _path(episode: Episode, leaf: int) -> Sequence[int]:
    return walk(episode.tree, leaf)[1:]


def talks_of_people(env: BaseEnv, name: str, split: str, tasks: Collection[str], rounds: int) -> list[Talk]:
    """Returns the conversations of people of some tasks; of the whole split where none of these tasks is in it.

    Args:
        env: the environment, with the data of people.
        name: its name, for errors.
        split: the split.
        tasks: ids of tasks.
        rounds: most turns of the user that are taken from a conversation.

    Raises:
        UsageError: the world has no conversations of people, or not the split.
    """
    if split not in env.splits:
        raise UsageError(f"split is {split!r}, but the data of env {name!r} have {', '.join(env.splits)}")
    recorded: RecordedDialogues = guarded(f"env {name!r}", lambda: env.dialogues(split))
    people = [each for each in recorded.dialogues if isinstance(each, ImportedDialogue) and not each.no_rows]
    chosen = [each for each in people if each.id in tasks] or people
    found = []
    for index, each in enumerate(chosen):
        task = Task(each.id, index, each.data or {}, each.metadata)
        person = each.people[0] if each.people else person_of(task, env)
        talk = _talk(task, str(person), each.turns, env, rounds)
        if talk.said:
            found.append(replace(talk, reward=each.reward, groups=_groups(env, task)))
    if not found:
        raise UsageError(f"env {name!r} has no conversation of people in the split {split!r}; give another --split")
    return found


def _talk(
    task: Task, person: str, turns: Sequence[tuple[Speaker, Turn]], env: BaseEnv, rounds: int | None = None
) -> Talk:
    heard: list[str] = []
    said: list[str] = []
    latest: list[str] = []
    for speaker, turn in turns:
        words = "\n".join(text for each in turn.messages if (text := str(each.get("content") or "").strip()))
        if speaker is Speaker.AGENT:
            latest.append(words)
            continue
        words = env.tag.without(words) if env.tag is not None else words
        if words:
            heard.append("\n".join(latest))
            said.append(words)
        latest = []
    heard, said = heard[:rounds], said[:rounds]
    acts = tuple(frozenset(env.user_acts(before, words)) for before, words in zip(heard, said, strict=True))
    return Talk(task.id, person, tuple(heard), tuple(said), acts)


def _groups(env: BaseEnv, task: Task) -> tuple[tuple[str, str], ...]:
    found: Any = guarded(f"the groups of task {task.id}", lambda: env.groups(task))
    return tuple(sorted(found.items()))
