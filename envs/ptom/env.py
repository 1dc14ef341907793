"""The world of planning theory of mind: a persuader wins over a person whose preferences it does not know.

Scenarios come from a file (`--scenarios`, see `scenarios.py`); without one they are made up (`made_up.py`). The goal is
that the person accepts, and that the option which was recommended is the persuader's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from josh.config import setting
from josh.dialogue import Speaker
from josh.envs.ptom.dialogue import GameWorld
from josh.envs.ptom.made_up import made_up
from josh.envs.ptom.prompts import person_prompt, persuader_prompt
from josh.envs.ptom.scenarios import Scenario, load_scenarios, scenario_from
from josh.errors import UsageError
from josh.roles import BaseEnv, Task
from josh.seeds import derive, part_of

SYNTHETIC_TASKS = 20
"""Default number of made-up scenarios per split."""
ALL = "all"


class PtomEnv(BaseEnv):
    """Scenarios of two options; a task's data are the scenario as a row of a file."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        """The settings of this world."""

        scenarios: Path | None = setting(
            None,
            "file of scenarios or games, one JSON object with available_facts on each line (default: made-up ones)",
            flag="scenarios",
            resumable=True,
        )
        n_scenarios: int | None = setting(
            None, "scenarios of the file that are drawn by the seed (default: all, in the file's order)", least=1
        )
        synthetic_tasks: int | None = setting(
            None,
            f"made-up scenarios per split (default: {SYNTHETIC_TASKS})",
            flag="synthetic_tasks",
            least=1,
            most=100_000,
        )

    config: Config

    opens = Speaker.AGENT
    max_rounds = 10
    splits: tuple[str, ...] = ("train", "valid", "test", ALL)
    agents: Mapping[str, str] = {"chat": "planner", "offline": "offline_planner"}
    users: Mapping[str, str] = {"chat": "ptom_human", "offline": "ptom_offline"}
    rewards = "ptom"
    references: Mapping[str, str] = {"ask first": "ask_first", "recommend at once": "recommend_at_once"}
    called = "scenario"
    speakers: Mapping[str, str] = {"agent": "persuader", "user": "person"}
    hints: Mapping[str, str] = {
        "agent": "Ask, tell a fact, or recommend an option by its name: Option A, or Option B.",
        "user": "[ACCEPT] in a message takes the recommended option, [DECLINE] does not; either ends the talk.",
    }
    tiny_dialogues = "josh.runs.systems.tiny_planner:DIALOGUES"

    def unread(self) -> Mapping[str, str]:
        """Returns the settings of made-up scenarios where there is a file, and the other way round."""
        if self.config.scenarios is None:
            return {"env.n_scenarios": "the scenarios are made up; give --synthetic_tasks"}
        return {"synthetic_tasks": "the scenarios are not made up; leave it out, and give --env.n_scenarios"}

    def tasks(self, split: str) -> Sequence[Task]:
        """Returns the scenarios of a split; see `josh.seeds.part_of` for those of a file, by the hash of their ids.

        Raises:
            UsageError: the split is unknown or empty, or the scenarios cannot be loaded.
        """
        if split not in self.splits:
            raise UsageError(f"no split named {split!r}; known: {', '.join(self.splits)}")
        seed = int(self.options.get("seed") or 0)
        path = self.config.scenarios
        if path is None:
            count = self.config.synthetic_tasks or SYNTHETIC_TASKS
            found = [made_up(seed, split, index) for index in range(count)]
        else:
            known = load_scenarios(path)
            found = [one for one in known if split in (ALL, part_of(one.id))]
            if not found:
                raise UsageError(
                    f"none of the {len(known)} scenarios in {path} is in the {split} split; give --task_split all"
                )
            if self.config.n_scenarios is not None:
                drawn = sorted(found, key=lambda one: derive(seed, "scenario", one.id))[: self.config.n_scenarios]
                found = [one for one in found if one in drawn]
        return [Task(one.id, index, one.row) for index, one in enumerate(found)]

    def people(self, task: Task) -> Sequence[str]:
        """Returns the scenario, so that games of the same one, which are tasks where they are imported, are related."""
        return (str(task.data.get("scenario_id") or task.id),)

    def groups(self, task: Task) -> Mapping[str, str]:
        """Returns the condition, and the option that the person would choose if it knew all facts."""
        scenario = scenario_of(task)
        return {"condition": scenario.condition, "natural option": scenario.natural}

    def goals(self, task: Task) -> Sequence[Any]:
        """Returns one goal, the acceptance of the persuader's option."""
        return ["acceptance"]

    def world(self, task: Task) -> GameWorld:
        """Returns the world of a task, which knows what is recommended."""
        return GameWorld(scenario_of(task))

    def agent_prompt(self, task: Task) -> str:
        """Returns the prompt of a persuader that writes plain messages; see `persuader_prompt`."""
        return persuader_prompt(scenario_of(task), sections=False)

    def user_prompt(self, task: Task) -> str:
        """Returns the prompt of the person."""
        return person_prompt(scenario_of(task))


def scenario_of(task: Task) -> Scenario:
    """Returns the scenario of a task. Raises UsageError where the task has none."""
    if "available_facts" not in task.data:
        raise UsageError(f"task {task.id} has no scenario; give --env ptom, or a world whose tasks have one")
    return scenario_from(task.data, f"task {task.id}", task.id)
