"""The world of proactive help: at each turn the agent asks the user something, or delivers.

Published as ProactiveLLM. A user with a persona has a request. A question may help, and may cost the user's patience.
States come from a file (`--env.states`, see `states.py`); without one they are made up (`synthetic.py`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from random import Random
from typing import Any

from josh.config import setting
from josh.dialogue import Speaker
from josh.envs.proactive.dialogue import StateWorld
from josh.envs.proactive.personas import PERSONAS, Persona, persona_named
from josh.envs.proactive.preferences import STATE_ID, state_rows
from josh.envs.proactive.prompts import DIRECTIVES, SYSTEM, user_prompt
from josh.envs.proactive.states import CODING, DOMAINS, PLANNING, State, load_states, state_from
from josh.envs.proactive.synthetic import MadeUp, made_up_states
from josh.errors import UsageError
from josh.roles import BaseEnv, Task
from josh.seeds import derive, part_of

SYNTHETIC_TASKS = 20
"""Default number of made-up states per split."""
ALL, BOTH = "all", "both"
_SECRET = ("needs", "hidden")
"""Keys of a row that the agent does not see."""


class ProactiveEnv(BaseEnv):
    """States in which an agent asks or delivers.

    A task's data are plain JSON:
        state: the state as a row; see `states.py`.
        persona: the user, with `name`, `domain`, `expertise` and `patience`.
        needs: texts that a right solution contains; of made-up states, and of rows that have them.
        hidden: the fact that the request lacks and the user's first answer discloses; of unclear made-up states, and of
            rows that have one.
        state_id: the id of the state that a task repeats; only of tasks that repeat one. `question_id` is the same, so
            that exports and evaluations keep such tasks together.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        """The settings of this world."""

        states: str | None = setting(
            None,
            "file of states, one JSON object with a query on each line, or of preferences (default: made-up ones)",
            resumable=True,
        )
        n_states: int | None = setting(
            None,
            "tasks of a file of states; after its last state it starts again, with ids such as q-1 (default: all)",
            least=1,
            most=1_000_000,
        )
        synthetic_tasks: int | None = setting(
            None,
            f"made-up states per split (default: {SYNTHETIC_TASKS})",
            flag="synthetic_tasks",
            least=1,
            most=100_000,
        )
        domain: str = setting(BOTH, "which states are played", choices=(*DOMAINS, BOTH))
        persona: str | None = setting(
            None, "the user of every state: a name or an index (default: the row's, or drawn by the state's id)"
        )
        interactions: bool = setting(True, "play until the agent delivers; false: one message and the user's reaction")
        multi_turn: bool = setting(False, "play until the task is solved; false: until the agent delivers")
        show_persona: bool = setting(False, "the text of a state has a line about the user")

    config: Config

    opens = Speaker.AGENT
    max_rounds = 5
    splits: tuple[str, ...] = ("train", "valid", "test", ALL)
    agents: Mapping[str, str] = {"chat": "helper", "offline": "offline_helper"}
    users: Mapping[str, str] = {"chat": "persona", "offline": "offline_persona"}
    rewards = "proactive"
    references: Mapping[str, str] = {"direct": "direct", "clarify_first": "clarify_first", "threshold": "threshold"}
    called = "state"
    tiny_dialogues = "josh.runs.systems.tiny_helper:DIALOGUES"
    directives = DIRECTIVES
    hints: Mapping[str, str] = {
        "agent": "In each message, ask one question, or deliver the whole solution.",
        "user": "Answer questions, or say that you want no more of them.",
    }

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Takes the settings; without interactions a conversation has one round. Raises UsageError for the persona."""
        super().__init__(options)
        self.max_rounds = type(self).max_rounds if self.config.interactions else 1
        if self.config.persona is not None:
            persona_named(self.config.persona)

    def unread(self) -> Mapping[str, str]:
        """Returns the settings of made-up states where there is a file, and the other way round."""
        if self.config.states is None:
            return {"env.n_states": "the states are made up; give --synthetic_tasks"}
        return {"synthetic_tasks": "the states are not made up; leave it out, and give --env.n_states"}

    def tasks(self, split: str) -> Sequence[Task]:
        """Returns the states of a split, in the order of the file; made-up ones in an order drawn by `seed`.

        A state is in one of train (70 %), valid and test (15 % each), by the hash of its id; `all` has them all.

        Raises:
            UsageError: the split is unknown or empty, or the states cannot be loaded.
        """
        if split not in self.splits:
            raise UsageError(f"no split named {split!r}; known: {', '.join(self.splits)}")
        part = None if split == ALL else split
        if self.config.states is None:
            wanted = self.config.synthetic_tasks or SYNTHETIC_TASKS
            drawn = made_up_states(self.seed, part, wanted, self._domains)
            return [Task(one.state.id, index, self._made_up(one)) for index, one in enumerate(drawn)]
        path = Path(self.config.states)
        states = load_states(path, PLANNING if self.config.domain == PLANNING else CODING, state_rows)
        played = [state for state in states if state.domain in self._domains and part in (None, part_of(state.id))]
        if not played:
            raise UsageError(
                f"none of the {len(states)} states in {path} is in the {split} split and of the domain "
                f"{self.config.domain!r}; give --task_split all or another --env.domain"
            )
        taken = {state.id for state in states}
        named = islice(_repeated(played, taken), self.config.n_states or len(played))
        return [Task(name, index, self._of_file(state, name)) for index, (name, state) in enumerate(named)]

    @property
    def seed(self) -> int:
        """The run's seed."""
        return int(self.options.get("seed") or 0)

    def people(self, task: Task) -> Sequence[str]:
        """Returns the state that a task repeats, so that intervals treat its tasks as related."""
        return (str(task.data[STATE_ID]),) if STATE_ID in task.data else ()

    def groups(self, task: Task) -> Mapping[str, str]:
        """Returns the persona and the domain of a task."""
        return {"persona": task.data["persona"]["name"], "domain": task.data["state"]["domain"]}

    def goals(self, task: Task) -> Sequence[Any]:
        """Returns no goals: facts and scores judge a conversation."""
        return []

    def world(self, task: Task) -> StateWorld:
        """Returns the state of a task, which changes with the conversation."""
        return StateWorld(state_of(task), persona_of(task), shows_persona=self.config.show_persona)

    def agent_prompt(self, task: Task) -> str:
        """Returns the prompt with the request, for agents of any kind; helpers have the request as a message."""
        state = state_of(task)
        return f"{SYSTEM[state.domain]}\n\nThe user's request:\n{state.query}"

    def user_prompt(self, task: Task) -> str:
        """Returns the prompt of the user, for users with a system prompt."""
        state_of(task)
        return user_prompt(task.data, persona_of(task))

    @property
    def _domains(self) -> tuple[str, ...]:
        return DOMAINS if self.config.domain == BOTH else (self.config.domain,)

    def _made_up(self, one: MadeUp) -> dict[str, Any]:
        persona = self._persona(one.state, one.personas)
        data = {"state": one.state.row, "persona": persona.row(one.state.domain), "needs": list(one.needs)}
        return {**data, "hidden": one.hidden} if one.hidden else data

    def _of_file(self, state: State, name: str) -> dict[str, Any]:
        secrets = {key: state.extra[key] for key in _SECRET if key in state.extra}
        row = {key: value for key, value in state.row.items() if key not in _SECRET}
        persona = self._persona(state, PERSONAS, name).row(state.domain)
        data = {"state": {**row, "id": name}, "persona": persona, **secrets}
        about = str(state.extra.get(STATE_ID, state.id))
        return data if name == about else {**data, STATE_ID: about, "question_id": about}

    def _persona(self, state: State, drawn: Sequence[Persona], name: str = "") -> Persona:
        """Returns the persona of the settings, of the row, or one drawn by the task's id and the seed."""
        given = self.config.persona if self.config.persona is not None else state.extra.get("persona")
        if given is not None:
            return persona_named(given)
        return Random(derive(self.seed, "persona", name or state.id)).choice(drawn)


def state_of(task: Task) -> State:
    """Returns the state of a task. Raises UsageError where the task has none."""
    row = task.data.get("state")
    if not isinstance(row, Mapping):
        raise UsageError(f"task {task.id} has no state; give --env proactive, or a world whose tasks have one")
    return state_from(row, f"task {task.id}")


def persona_of(task: Task) -> Persona:
    """Returns the persona of a task. Raises UsageError where the task has none."""
    return persona_named(task.data.get("persona"), f"task {task.id}")


def _repeated(states: Sequence[State], taken: set[str]) -> Iterator[tuple[str, State]]:
    """Yields states round after round, each with an id of its own: `q`, then `q-1`, `q-2` and so on."""
    yield from ((state.id, state) for state in states)
    numbers = [_numbered(state.id, taken) for state in states]
    while True:
        yield from ((next(names), state) for names, state in zip(numbers, states, strict=True))


def _numbered(name: str, taken: set[str]) -> Iterator[str]:
    """Yields `q-1`, `q-2` and so on, without ids that other states have."""
    return (other for number in count(1) if (other := f"{name}-{number}") not in taken)
