"""ToolWOZ as a world to play in (Lattimer et al., 2024, arXiv:2409.04617): a desk that looks things up and books them.

The tasks are MultiWOZ's (`--data`, see `multiwoz.py`), or made up over its database or over that of a small
town that comes with josh. Made-up tasks are no part of ToolWOZ, and nothing measured on them is a result on it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from josh.config import setting
from josh.dialogue import Speaker
from josh.envs.toolwoz import multiwoz as woz_official
from josh.envs.toolwoz import tasks as woz_tasks
from josh.envs.toolwoz.database import Database
from josh.envs.toolwoz.server import WozWorld
from josh.envs.toolwoz.tools import tools_of
from josh.envs.toolwoz.values import plain
from josh.errors import UsageError
from josh.messages import Message
from josh.roles import BaseEnv, Task

SYNTHETIC_TASKS = 20
"""Made-up tasks per split, unless the run says otherwise."""

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
    """A person with wishes and a desk with tools. The person speaks first; the goals are the calls that grant wishes.

    Its data are a folder with MultiWOZ's `data.json` (see `multiwoz.py`), or that file, be it of another name; or a
    folder with nothing but its database, over which tasks are then made up. Without data that is done over a small town
    of josh's own. Made-up tasks are drawn with the run's `seed` (0 unless given).

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
        )

    config: Config
    opens = Speaker.USER
    max_rounds = 15
    splits: tuple[str, ...] = woz_official.SPLITS
    agents: Mapping[str, str] = {
        "chat": "function_calling",
        "local": "react",  # models in this process are given no tools
        "offline": "offline_tool_agent",
    }
    users: Mapping[str, str] = {"chat": "goal", "offline": "offline_goal"}
    rewards = "tool_goals"
    speakers: Mapping[str, str] = {"agent": "assistant", "user": "user"}
    hints: Mapping[str, str] = {"user": "Once you have said goodbye, end the chat with /quit."}

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        self._folder = self.config.data
        if self._folder is not None and not self._folder.exists():
            raise UsageError(f"there is no {self._folder}; give the folder of MultiWOZ's data.json, or of its database")
        self._published = self._folder and woz_official.data_file(self._folder)
        self.called = "ToolWOZ task"
        if self._published is None:
            # What is measured on these is no figure on ToolWOZ, and must not read like one.
            self.called = "made-up booking task"
            self.splits = woz_tasks.SPLITS

    @cached_property
    def database(self) -> Database:
        """What there is. Raises UsageError where the folder has no such database."""
        return Database.small() if self._folder is None else Database.load(woz_official.database_folder(self._folder))

    def tasks(self, split: str) -> Sequence[Task]:
        """The tasks of a split; `josh.envs.toolwoz.tasks` says what their data are.

        Raises:
            UsageError: no such split or an empty one, no such data, or so many made-up tasks as cannot be.
        """
        if split not in self.splits:
            raise UsageError(f"no split named {split!r}; known: {', '.join(self.splits)}")
        if self._published is None:
            count = self.config.synthetic_tasks or SYNTHETIC_TASKS
            return woz_tasks.made_up(self.database, split, count, int(self.options.get("seed") or 0))
        if self.config.synthetic_tasks is not None:
            raise UsageError(
                f"synthetic_tasks is given with {self._published}, whose tasks are not made up; give --end_index"
            )
        self.left_out = self._official.left_out
        if not self._official.splits.get(split):
            known = ", ".join(f"{len(tasks)} {name}" for name, tasks in self._official.splits.items())
            raise UsageError(
                f"{self._published.parent} has no {split} tasks (it has {known}); add a list of ids that are in it"
            )
        return self._official.splits[split]

    def goals(self, task: Task) -> Sequence[Any]:
        """The names of the tools to be called, each once."""
        return [target["api"] for target in task.data["targets"]]

    def agent_prompt(self, task: Task) -> str:
        """The assistant's system prompt, the same for all tasks."""
        return AGENT

    def user_prompt(self, task: Task) -> str:
        """The user's system prompt. It says when to end, and leaves to the user's class how."""
        return USER.format(message=" ".join(task.data["message"]))

    def tools(self, task: Task) -> Sequence[Mapping[str, Any]]:
        """The eight tools, the same for all tasks."""
        return self._tools

    def world(self, task: Task) -> WozWorld:
        """The server that answers the tools; it knows the task's goal."""
        return WozWorld(self.database, task.data["targets"], task.data["failures"])

    def metrics(self, task: Task, messages: Sequence[Message]) -> Mapping[str, float]:
        """Measure one conversation.

        Returns:
            `details_told`: the share of the details that the user has to ask for which the assistant's words hold, as
            the database has them for what is to be booked or for anything that fits; in [0, 1]. Nothing where there
            are none to ask for that words could be searched for.
        """
        said = _squeezed(" ".join(each.get("content") or "" for each in messages if each.get("role") == "assistant"))
        told = [any(detail in said for detail in details) for details in self._details(task)]
        return {"details_told": sum(told) / len(told)} if told else {}

    def groups(self, task: Task) -> Mapping[str, str]:
        """The domains, such as `hotel + train`, and the number of goals."""
        return {"domains": " + ".join(sorted(task.data["goal"])), "goals": str(len(task.data["targets"]))}

    @cached_property
    def _tools(self) -> Sequence[Mapping[str, Any]]:
        return tools_of(self.database)

    @cached_property
    def _official(self) -> woz_official.Official:
        assert self._published is not None
        return woz_official.load_official(self._published, self.database)

    def _details(self, task: Task) -> Iterator[set[str]]:
        """For each detail to ask for that the database knows, the ways in which it may be told."""
        for domain, wish in task.data["goal"].items():
            booked = next((each["id"] for each in task.data["targets"] if each["domain"] == domain), None)
            rows = self.database.find(domain, wish["info"])
            if booked is not None:
                rows = [row for row in rows if self.database.row_id(domain, row) == booked]
            for name in wish["reqt"]:
                details = {_squeezed(plain(row.get(name)).removesuffix(" pounds")) for row in rows}
                # Less than this, such as a number of stars, is in any text.
                if details := {detail for detail in details if len(detail) > 2}:
                    yield details


def _squeezed(text: str) -> str:
    """Letters and digits alone: `01223 323737` and `01223323737` are told alike."""
    return "".join(filter(str.isalnum, plain(text)))
