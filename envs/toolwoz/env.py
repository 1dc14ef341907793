"""The world of ToolWOZ (Lattimer et al., 2024, arXiv:2409.04617): a desk with tools that search and book.

The tasks are MultiWOZ's (`--data`, see `multiwoz.py`), or made up over its database or over josh's own small town.
Made-up tasks are not part of ToolWOZ, and figures measured on them are not results on ToolWOZ.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from josh.config import setting
from josh.dialogue import Speaker
from josh.envs.toolwoz import layout, multiwoz
from josh.envs.toolwoz.database import Database
from josh.envs.toolwoz.people import spoken
from josh.envs.toolwoz.server import MOST_CALLS, WozWorld
from josh.envs.toolwoz.tasks import SPLITS as MADE_UP_SPLITS
from josh.envs.toolwoz.tasks import made_up
from josh.envs.toolwoz.tools import tools_of
from josh.envs.toolwoz.values import normalize
from josh.errors import UsageError
from josh.imported import RecordedDialogues
from josh.messages import Message
from josh.roles import BaseEnv, Task
from josh.transcript import Transcript

log = logging.getLogger("josh")

SYNTHETIC_TASKS = 20
"""Default number of made-up tasks per split."""

AGENT = """\
You staff the information desk of a town and chat with somebody who needs its help. The desk finds restaurants, hotels \
and guesthouses, attractions and trains, and makes bookings. All that you know of the town comes from your tools.

# How you help
Let them tell you what they are after, and look it up before you say anything about it: name no place, price, number \
or time that a tool has not given you. Search for all they have asked for so far, with no wish left out and none of \
your own put in, and search again when they change their mind. Where nothing matches, say so and ask what else would \
do.

Book only what they have asked you to book, and only once you know all that it takes:
- a restaurant: its name, how many people, the day and the time;
- a hotel or guesthouse: its name, how many people, the first day and how many nights;
- a train: its ID and how many people.
Attractions need no booking. Ask for what is missing rather than guess it. When a booking is made, give its reference \
number; when it is refused, say so and ask how to go on.

Answer every question that they put to you, and see to everything they came for, one thing after another.

# How you write
One chat message at a time: a sentence or two of plain talk, without lists or headings."""

USER = """\
You chat with the information desk of a town, because you want it to find and book things for you. In everything you \
write, be the person who wants what is told here, and never speak of these instructions.

# What you want
{message}

# How you go about it
Take things in this order, one at a time, and say only as much as a message needs; the rest can come when you are \
asked or when it matters. What you would take instead is not to be mentioned before you have been told that the first \
cannot be had. Say every wish at some time, with just the values given above, and none that is not there: whatever \
else you are asked, you do not mind. Where several would do, take the one that you are offered. Something is booked \
only when you have been given its reference number, and you know only what you have been told.

# When you are done
Once you have all you want, say goodbye. If you see that you will not get it, however often you ask, say goodbye too.

# How you write
One chat message at a time, the way people type: a sentence or two in your own words. Write only the message itself."""


class ToolwozEnv(BaseEnv):
    """A user with wishes and a desk with tools. The user speaks first; the goals are the calls that grant the wishes.

    The data are a folder with MultiWOZ's `data.json` (see `multiwoz.py`), or that file under any name. For a folder
    that has only MultiWOZ's database, tasks are made up over it. Without data, tasks are made up over josh's own small
    town. Made-up tasks are drawn with the run's `seed` (0 by default).

    Attributes:
        splits: MultiWOZ's, or those of made-up tasks, which have no `full_test`.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        """The settings of this world."""

        data: Path | None = setting(
            None, "folder of MultiWOZ, or of its database (default: a small made-up town)", flag="data", resumable=True
        )
        synthetic_tasks: int | None = setting(
            None,
            f"made-up tasks per split, without MultiWOZ's (default: {SYNTHETIC_TASKS})",
            flag="synthetic_tasks",
            least=1,
            most=100_000,
        )
        calls_per_turn: int = setting(MOST_CALLS, "most tool calls in a turn; a step with more earns nothing", least=1)

    config: Config
    opens = Speaker.USER
    max_rounds = 15
    splits: tuple[str, ...] = multiwoz.SPLITS
    agents: Mapping[str, str] = {
        "chat": "function_calling",
        "local": "react",  # models in this process take no tools
        "offline": "offline_tool_agent",
    }
    users: Mapping[str, str] = {"chat": "goal", "offline": "offline_goal"}
    rewards = "tool_goals"
    people_in = "data"
    speakers: Mapping[str, str] = {"agent": "assistant", "user": "user"}
    personal = ("email", "card")  # the phone numbers and reference numbers are those of the town
    hints: Mapping[str, str] = {"user": "Once you have said goodbye, end the chat with /quit."}

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        self._folder = self.config.data
        if self._folder is not None and not self._folder.exists():
            raise UsageError(
                f"{self._folder} does not exist; give the folder of MultiWOZ's data.json, or of its database"
            )
        self._published = () if self._folder is None else layout.data_files(self._folder)
        self.called = "ToolWOZ task"
        if not self._published:
            # Figures on made-up tasks are not results on ToolWOZ, so these tasks have another name.
            self.called = "made-up booking task"
            self.splits = MADE_UP_SPLITS
            self.splits_to_have = dict.fromkeys(set(multiwoz.SPLITS) - {*MADE_UP_SPLITS}, "--data with MultiWOZ")

    @cached_property
    def database(self) -> Database:
        """Returns the database of all places and trains. Raises UsageError where the folder has none."""
        return (
            Database.small()
            if self._folder is None
            else Database.load(layout.database_folder(self._folder, self._published))
        )

    def tasks(self, split: str) -> Sequence[Task]:
        """Returns the tasks of a split; `josh.envs.toolwoz.tasks` describes their data.

        Raises:
            UsageError: the split is unknown or empty, the data are missing or malformed, or the database is too small
                for the number of made-up tasks.
        """
        if split not in self.splits:
            raise UsageError(f"no split named {split!r}; known: {', '.join(self.splits)}")
        if not self._published:
            count = self.config.synthetic_tasks or SYNTHETIC_TASKS
            if self._folder is not None:
                log.warning("%s has MultiWOZ's database and no dialogues; tasks are made up over it", self._folder)
            return made_up(self.database, split, count, int(self.options.get("seed") or 0))
        if self.config.synthetic_tasks is not None:
            raise UsageError(
                f"synthetic_tasks is given with {self._published[0]}, whose tasks are not made up; give --end_index"
            )
        self.left_out = self._official.left_out
        if not self._official.splits.get(split):
            known = ", ".join(f"{len(tasks)} {name}" for name, tasks in self._official.splits.items())
            raise UsageError(
                f"{self._published[0].parent} has no {split} tasks (it has {known}); add a list of ids that are in it"
            )
        return self._official.splits[split]

    def goals(self, task: Task) -> Sequence[Any]:
        """Returns the names of the tools to call, each once."""
        return [target["api"] for target in task.data["targets"]]

    def agent_prompt(self, task: Task) -> str:
        """Returns the assistant's system prompt, the same for all tasks."""
        return AGENT

    def user_prompt(self, task: Task) -> str:
        """Returns the user's system prompt. It says when to end; the user's class adds how."""
        return USER.format(message=" ".join(task.data["message"]))

    def tools(self, task: Task) -> Sequence[Mapping[str, Any]]:
        """Returns the schemas of the eight tools, the same for all tasks."""
        return self._tools

    def world(self, task: Task) -> WozWorld:
        """Returns the server that answers tool calls; it knows the task's goal."""
        return WozWorld(self.database, task.data["targets"], task.data["failures"], self.config.calls_per_turn)

    def metrics(
        self, task: Task, messages: Sequence[Message], conversation: Transcript | None = None
    ) -> Mapping[str, float]:
        """Measures one conversation.

        Returns:
            `calls_per_goal`: the agent's tool calls, divided by the number of goals. A high number is a sign of
            an agent that tries out calls instead of reading the user's words.
            `details_told`, in [0, 1]: of the details that the user has to ask for, the share that the assistant's words
            hold, with the database's value for the row to book or for any row that fits; left out where the user has
            to ask for no detail that words can be searched for.
        """
        goals = len(task.data["targets"])
        found = {} if conversation is None or not goals else {"calls_per_goal": _calls(conversation) / goals}
        said = _squeezed(" ".join(each.get("content") or "" for each in messages if each.get("role") == "assistant"))
        told = [any(detail in said for detail in details) for details in self._details(task)]
        return found | ({"details_told": sum(told) / len(told)} if told else {})

    def adopt(self, name: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns the data of a task without a goal, for a dialogue from elsewhere."""
        empty = {"goal": {}, "message": [], "targets": [], "failures": [], "dialogue": [], "source": "imported"}
        return {**empty, **{key: value for key, value in data.items() if key not in empty}}

    def dialogues(self, split: str | None) -> RecordedDialogues:
        """Returns MultiWOZ's dialogues of the tasks, without rewards: people called no tools.

        Args:
            split: a split; None for all, each dialogue once.

        Raises:
            UsageError: there are no dialogues, or no such split.
        """
        if not self._published:
            raise UsageError("the dialogues of people are in MultiWOZ; give --data with its data.json")
        splits = dict.fromkeys(self._official.splits) if split is None else {split: None}
        tasks = {task.id: task for each in splits for task in self.tasks(each)}
        return RecordedDialogues(
            [spoken(task) for task in tasks.values()], self._published, left_out=self._official.left_out
        )

    def groups(self, task: Task) -> Mapping[str, str]:
        """Returns the domains, such as `hotel + train`, and the number of goals."""
        return {"domains": " + ".join(sorted(task.data["goal"])), "goals": str(len(task.data["targets"]))}

    @cached_property
    def _tools(self) -> Sequence[Mapping[str, Any]]:
        return tools_of(self.database)

    @cached_property
    def _official(self) -> multiwoz.Official:
        return multiwoz.load_official(self._published[0], self.database, self._published[1:])

    def _details(self, task: Task) -> Iterator[set[str]]:
        """Yields, for each detail to ask for that the database knows, the texts that hold it."""
        for domain, wish in task.data["goal"].items():
            booked = next((each["id"] for each in task.data["targets"] if each["domain"] == domain), None)
            rows = self.database.find(domain, wish["info"])
            if booked is not None:
                rows = [row for row in rows if self.database.row_id(domain, row) == booked]
            for name in wish["reqt"]:
                details = {_squeezed(normalize(row.get(name)).removesuffix(" pounds")) for row in rows}
                # A shorter text, such as a number of stars, occurs in almost any conversation.
                if details := {detail for detail in details if len(detail) > 2}:
                    yield details


def _calls(conversation: Transcript) -> int:
    """Returns the number of the agent's tool calls, refused ones included."""
    actions = [action for turn in conversation.by(Speaker.AGENT) for step in turn.actions for action in step]
    return sum(isinstance(action, Mapping) and "name" in action for action in actions)


def _squeezed(text: str) -> str:
    """Returns only the letters and digits of a text, so that `01223 323737` equals `01223323737`."""
    return "".join(filter(str.isalnum, normalize(text)))
