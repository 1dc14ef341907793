"""The world of Persuasion for Good: two crowd workers chat, and one of them may give away part of two dollars.

The people come from the corpus (`--corpus`, see `corpus.py`) or from a file that `josh prepare` made of it. Without a
corpus they are made up from the published marginals.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from josh.config import listed, setting
from josh.dialogue import Speaker
from josh.envs.persuasion.acts import acts
from josh.envs.persuasion.corpus import RULES, Dialogue, load_corpus
from josh.envs.persuasion.corpus import split as split_corpus
from josh.envs.persuasion.donation import DONATION
from josh.envs.persuasion.people import given_after, persuader_turns, recorded_dialogues, task_data, task_id
from josh.envs.persuasion.personas import Traits, describe, grouped, synthetic_persona
from josh.envs.persuasion.replies import GIVING, REFUSING, reply_acts
from josh.envs.persuasion.slime_rows import from_slime, is_slime_row
from josh.errors import UsageError
from josh.imported import RecordedDialogues
from josh.messages import Message
from josh.roles import BaseEnv, Task
from josh.texts import json_rows
from josh.transcript import Transcript

SYNTHETIC_TASKS = 20
"""Default number of tasks per split without a corpus."""

WHO = """\
You are a crowd worker, paid two dollars to chat online with another worker whom you have never met. In everything \
you write, be the person described here: care about what they care about and talk the way they would. Stay that \
person throughout, and never speak of these instructions.

# Who you are
{persona}"""

SCALES = "Personality and decision style run from 1 to 5, moral foundations and values from 1 to 6; 6 of 6 is most."
BLANK = "Nothing is known about you; be an ordinary adult with views of your own."

PERSUADER = """

# What you want
Your partner is paid two dollars for this chat too. They can hand over any part of it, from one cent to all of it, to \
Save the Children, a charity for children in need all over the world. Win them over to giving, and to giving as much \
as they are willing to part with. Get to know them, take their questions seriously, and claim nothing about the \
charity that you do not know to be true.

# How you write
One chat message at a time, the way people type: about 10 to 50 words of plain talk, without lists or headings. Write \
only the message itself. Use no square brackets: how a decision is recorded is your partner's business, and anything \
of the kind from you counts for nothing."""

PERSUADEE = """

# What this is about
Your partner will talk to you about Save the Children, a charity for children in need all over the world. The two \
dollars of this chat are your own. You can hand over any part of them, or nothing, and you owe nobody either. Settle \
it as this person would in real life, going by what your partner says and how they treat you; ask whatever you would \
want to know first.

# How you decide
As long as you are still making up your mind, just talk; promising to think about it is not a decision. Once your mind \
is made up for good, put [DONATE $N] into that message, with N the dollars you give, from 0 to 2, cents allowed. \
[DONATE $0] says that you will not give. Use it once only: it closes the chat and cannot be taken back.

# How you write
One chat message at a time, the way people type: a few words to about 40, without lists or headings. Write only the \
message itself."""


class PersuasionEnv(BaseEnv):
    """Persuasion for Good. The persuader is the agent and speaks first; the goal is a donation.

    Made-up people are drawn with the run's `seed` (0 by default). `josh.envs.persuasion.corpus.split` describes the
    splits of the corpus.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        """The settings of this world."""

        corpus: Path | None = setting(
            None,
            "folder of the real corpus, or a task file made by `josh prepare` (default: people are made up)",
            flag="corpus",
            resumable=True,
        )
        split_rule: str = setting(
            RULES[0], f"how the corpus is split: {listed(RULES)}", flag="split_rule", choices=RULES
        )
        synthetic_tasks: int | None = setting(
            None,
            f"made-up tasks per split, without a corpus (default: {SYNTHETIC_TASKS})",
            flag="synthetic_tasks",
            least=1,
            most=100_000,
        )
        include_bad: bool = setting(
            False, "keep the corpus's dialogues that its authors marked as spoilt", flag="include_bad"
        )

    config: Config

    opens = Speaker.AGENT
    max_rounds = 10
    splits = ("train", "test")
    agents: Mapping[str, str] = {"chat": "persuader", "offline": "offline_persuader"}
    users: Mapping[str, str] = {"chat": "persuadee", "offline": "donor"}
    rewards = "donation"
    references: Mapping[str, str] = {
        "uniform": "uniform_persuader",
        "best script, 1 act a turn": "script_persuader",
        "best script, 3 acts a turn": "dense_script_persuader",
    }
    speakers: Mapping[str, str] = {"agent": "persuader", "user": "persuadee"}
    row_settings: Mapping[str, str] = {
        "persuadee_model": "model",
        "persuadee_base_url": "base_url",
        "persuadee_api_key_var": "api_key_var",
    }
    tag = DONATION
    people_in = "corpus"
    commits = GIVING
    refuses = REFUSING
    tiny_dialogues = "josh.runs.systems.tiny_persuader:DIALOGUES"
    hints: Mapping[str, str] = {
        "user": "[DONATE $1.50] in a message gives that much, [DONATE $0] refuses; either ends the chat."
    }

    @classmethod
    def defaults(cls, environment: Mapping[str, str]) -> Mapping[str, Any]:
        """Returns the settings in the `PERSUASION_*` variables.

        Raises:
            UsageError: PERSUASION_MAX_TURNS is not a whole number, or is below 1.
        """
        persuadee = "PERSUASION_PERSUADEE_"
        found: dict[str, Any] = {
            "corpus": environment.get("PERSUASION_CORPUS_PATH"),
            "user_model": environment.get(f"{persuadee}MODEL_ROTATION") or environment.get(f"{persuadee}MODEL"),
            "user_base_url": environment.get(f"{persuadee}BASE_URL"),
            "user_api_key_var": environment.get(f"{persuadee}API_KEY_VAR"),
        }
        turns = environment.get("PERSUASION_MAX_TURNS")
        if turns:
            if not turns.strip().isdecimal() or not int(turns):
                raise UsageError(f"PERSUASION_MAX_TURNS is {turns!r}; give a whole number of rounds, at least 1")
            found["max_convo_turns"] = int(turns)
        return {name: value for name, value in found.items() if value}

    def unread(self) -> Mapping[str, str]:
        """Returns the settings of the corpus where there is none."""
        if self.config.corpus is not None:
            return {}
        return dict.fromkeys(("split_rule", "include_bad"), "the people are made up; leave it out, or give --corpus")

    def tasks(self, split: str) -> Sequence[Task]:
        """Returns the tasks of a split, in the order of the corpus or file.

        A task's data are plain JSON: `conversation_id`, and `persuader` and `persuadee`, each with `id` and `traits`
        (see `josh.envs.persuasion.personas`). Made-up people are in one split only.

        Raises:
            UsageError: the split is unknown or empty, the corpus is missing or lacks what the split rule needs, or a
                file is malformed.
        """
        if split not in self.splits:
            raise UsageError(f"no split named {split!r}; known: {', '.join(self.splits)}")
        path = self.config.corpus
        if path is None:
            return self._made_up(split)
        if self.config.synthetic_tasks is not None:
            raise UsageError("synthetic_tasks is given with a corpus, whose tasks are not made up; give --end_index")
        prepared = path / f"{split}_tasks.jsonl"
        is_task_file = path.is_file() and path.suffix not in (".csv", ".xlsx")
        if path.suffix == ".jsonl" or is_task_file or prepared.is_file():
            return _read_tasks(prepared if prepared.is_file() else path, split)
        return self.corpus_tasks(split)

    def corpus_tasks(self, split: str) -> Sequence[Task]:
        """Returns the tasks of a split of the corpus itself; task files in its folder do not count.

        Raises:
            UsageError: the corpus is missing or lacks what the split rule needs, or the split is empty.
        """
        path, every = self.config.corpus, self.config.include_bad
        spoilt = sum(each.bad for part in self._dialogues.values() for each in part)
        if spoilt and not every:
            self.left_out = {"marked as spoilt by its authors": spoilt}
        played = [each for each in self._dialogues[split] if every or not each.bad]
        if not played:
            raise UsageError(f"the {split} split of {path} is empty")
        return [_task(task_id(each), index, each) for index, each in enumerate(played)]

    def goals(self, task: Task) -> Sequence[Any]:
        """Returns one goal, a donation."""
        return ["donation"]

    def agent_prompt(self, task: Task) -> str:
        """Returns the persuader's system prompt, which holds nothing about the persuadee's persona."""
        return _who(task.data["persuader"]["traits"]) + PERSUADER

    def user_prompt(self, task: Task) -> str:
        """Returns the persuadee's system prompt, which holds nothing about the persuader's persona."""
        return _who(task.data["persuadee"]["traits"]) + PERSUADEE

    def metrics(
        self, task: Task, messages: Sequence[Message], conversation: Transcript | None = None
    ) -> Mapping[str, float]:
        """Measures one conversation.

        Returns:
            `donation`: dollars in the persuadee's last tag, 0 without a tag; what the persuadee gave after the chat, at
            most two dollars, in a conversation of the corpus. `completed`: 1 when the persuadee decided, including for
            $0, else 0. `tag_attempts`: number of tags that the persuader wrote, which earn nothing.
        """
        amount = DONATION.read("\n".join(_texts(messages, "user")))
        if (given := given_after(conversation)) is not None:
            amount = min(given, DONATION.high)
        return {
            "donation": amount or 0.0,
            "completed": float(amount is not None),
            "tag_attempts": float(sum(DONATION.count(text) for text in _texts(messages, "assistant"))),
        }

    def people(self, task: Task) -> Sequence[str]:
        """Returns the ids of the persuadee and of the persuader, in this order."""
        return [str(task.data[side]["id"]) for side in ("persuadee", "persuader")]

    def groups(self, task: Task) -> Mapping[str, str]:
        """Returns the persuadee's age, sex, education, religion, views and Big Five; see `personas.grouped`."""
        return grouped(task.data["persuadee"]["traits"])

    def reference(self, task: Task) -> float | None:
        """Returns what the persuadee of the same dialogue gave, at most two dollars; None without a corpus.

        It is the task's `ground_truth_donation`, if it has one, else the donation of the dialogue in the corpus.
        """
        given = task.data.get("ground_truth_donation", self._donations.get(task.data.get("conversation_id")))
        known = isinstance(given, int | float) and not isinstance(given, bool) and given >= 0
        return min(float(given), DONATION.high) if known else None

    def adopt(self, name: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns the data of a task for a dialogue from elsewhere, of whose people nothing is known."""
        unknown = {side: {"id": f"{name}-{side}", "traits": {}} for side in ("persuader", "persuadee")}
        people = list(data.get("people", ()))
        for side, person in zip(("persuadee", "persuader"), people, strict=False):
            unknown[side]["id"] = str(person)
        return {"conversation_id": name, **unknown, **data}

    def dialogues(self, split: str | None) -> RecordedDialogues:
        """Returns the dialogues of the corpus, each with what the persuadee gave; see `josh.envs.persuasion.people`.

        Raises:
            UsageError: there is no corpus, or it cannot be read or split as the settings say.
        """
        if self.config.corpus is None:
            raise UsageError("the dialogues of people are in the corpus; give --corpus DIR")
        if self.config.include_bad:
            raise UsageError("include_bad is given, but an import has all dialogues; leave it out")
        return recorded_dialogues(self.config.corpus, self.config.split_rule, split)

    def acts(self, task: Task, messages: Sequence[Message]) -> Collection[str]:
        """Returns the persuasion acts in the persuader's words, by the corpus's names; see `acts.py`."""
        return acts(" ".join(_texts(messages, "assistant")))

    def answered(self, task: Task) -> Sequence[str]:
        """Returns the turns of the persuader of a task's dialogue that the persuadee answered, in order.

        Raises:
            UsageError: the task is not a dialogue of the corpus.
        """
        said = self._answered.get(task.data.get("conversation_id"))
        if not said:
            raise UsageError(
                f"task {task.id} is not a dialogue of the corpus; give --corpus DIR with the corpus itself"
            )
        return said

    def user_acts(self, heard: str, said: str) -> Collection[str]:
        """Returns the acts in the persuadee's words, by the corpus's names; see `replies.py`."""
        return reply_acts(said, acts(heard))

    @cached_property
    def _dialogues(self) -> Mapping[str, Sequence[Dialogue]]:
        assert self.config.corpus is not None
        return split_corpus(load_corpus(self.config.corpus), self.config.split_rule)

    @cached_property
    def _donations(self) -> Mapping[Any, float]:
        """What the persuadees of the corpus gave, by dialogue; empty where the corpus is not there."""
        path = self.config.corpus
        if path is None or not path.is_dir():
            return {}
        try:
            return {each.id: each.donation for part in self._dialogues.values() for each in part}
        except UsageError:
            return {}

    @cached_property
    def _answered(self) -> Mapping[Any, Sequence[str]]:
        """The persuaders' answered turns, by dialogue; empty where the corpus is not there."""
        path = self.config.corpus
        if path is None or not path.is_dir():
            return {}
        return {each.id: persuader_turns(each) for part in self._dialogues.values() for each in part}

    def _made_up(self, split: str) -> Sequence[Task]:
        count = self.config.synthetic_tasks or SYNTHETIC_TASKS
        seed = int(self.options.get("seed") or 0)
        first = 2 * self.splits.index(split)
        tasks = []
        for index in range(count):
            # People 0 and 1 meet in train, 2 and 3 in test, and so on, for any number of tasks.
            number = 2 * len(self.splits) * index + first
            name = f"synthetic-{split}-{index:04d}"
            people = synthetic_persona(seed, number), synthetic_persona(seed, number + 1)
            tasks.append(Task(name, index, task_data(name, *people)))
        return tasks


def _task(name: str, index: int, dialogue: Dialogue) -> Task:
    return Task(name, index, task_data(dialogue.id, dialogue.persuader, dialogue.persuadee))


def _who(traits: Traits) -> str:
    described = describe(traits)
    return WHO.format(persona=f"{described}\n{SCALES}" if described else BLANK)


def _texts(messages: Iterable[Message], role: str) -> list[str]:
    return [message.get("content") or "" for message in messages if message.get("role") == role]


def _read_tasks(path: Path, split: str) -> list[Task]:
    """Returns the tasks of a split from a file of `josh prepare`; a row without a `split` is in every split."""
    tasks: list[Task] = []
    names: set[str] = set()
    others: set[str] = set()
    for place, row in json_rows(path):
        if is_slime_row(row):
            row = from_slime(row, place)  # noqa: PLW2901
        if not _is_row(row):
            raise UsageError(f"{place}: a task needs `id`, and `data` with the traits of a persuader and a persuadee")
        if row["id"] in names:
            raise UsageError(f"{place}: there is a task {row['id']!r} already")
        names.add(row["id"])
        if (row.get("split") or split) == split:
            tasks.append(Task(row["id"], len(tasks), row["data"], row.get("metadata") or {}))
        else:
            others.add(str(row["split"]))
    if not tasks:
        hint = f"; it holds {', '.join(sorted(others))}" if others else ""
        raise UsageError(f"{path} holds no {split} tasks{hint}")
    return tasks


def _is_row(row: Any) -> bool:
    if not isinstance(row, dict) or not isinstance(row.get("id"), str) or not isinstance(row.get("data"), dict):
        return False
    people = [row["data"].get(side) for side in ("persuader", "persuadee")]
    return isinstance(row.get("metadata") or {}, dict) and all(
        isinstance(person, dict) and isinstance(person.get("id"), str) and isinstance(person.get("traits"), dict)
        for person in people
    )
