"""The plug-ins: from the names that settings have for agents, users, rewards and worlds to their classes."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from josh.errors import JoshError, UsageError
from josh.loading import load
from josh.models.hf_loading import is_local
from josh.roles import BaseEnv, BaseRewards
from josh.runs.settings import CHAT, HUMAN, LOCAL, OFFLINE, RunSettings
from josh.threads import explain

T = TypeVar("T")

ENVS = {
    "persuasion": "josh.envs.persuasion.env:PersuasionEnv",
    "toolwoz": "josh.envs.toolwoz.env:ToolwozEnv",
}
AGENTS = {
    "persuader": "josh.agents.chat:Persuader",
    "script_persuader": "josh.agents.persuasion.scripts:ScriptPersuader",
    "dense_script_persuader": "josh.agents.persuasion.scripts:DenseScriptPersuader",
    "offline_persuader": "josh.agents.persuasion.offline:OfflinePersuader",
    "uniform_persuader": "josh.agents.persuasion.offline:UniformPersuader",
    "function_calling": "josh.agents.function_calling:FunctionCalling",
    "react": "josh.agents.react:ReAct",
    "offline_tool_agent": "josh.agents.toolwoz.offline:OfflineToolAgent",
    HUMAN: "josh.agents.human:Human",
}
USERS = {
    "persuadee": "josh.users.persuasion.persuadee:Persuadee",
    "donor": "josh.users.persuasion.donor:Donor",
    "donor_mild": "josh.users.persuasion.donor:DonorMild",
    "donor_firm": "josh.users.persuasion.donor:DonorFirm",
    "goal": "josh.users.goal:GoalUser",
    "guide": "josh.users.guide:GuideUser",
    "script": "josh.users.script:ScriptUser",
    "offline_goal": "josh.users.toolwoz.offline:OfflineGoal",
    HUMAN: "josh.users.human:Human",
}
REWARDS = {
    "goals": "josh.roles:BaseRewards",
    "donation": "josh.rewards.donation:DonationRewards",
    "tool_goals": "josh.rewards.tool_goals:ToolGoals",
}
COMMANDS = {
    "prepare": "josh.runs.systems.persuasion:PREPARE",
}
"""Commands of the command line that belong to one published system; each is a `SystemCommand`."""


@dataclass(frozen=True, slots=True)
class SystemCommand:
    """A command of one published system.

    Attributes:
        help: what it does, for the list of commands.
        add_flags: gives a parser its flags.
        run: does it, and returns the exit code; it may raise UsageError and FatalError.
    """

    help: str
    add_flags: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]


def system_command(name: str) -> SystemCommand:
    """One of `COMMANDS`, by its name."""
    found: SystemCommand = load(name, COMMANDS, "command")
    return found


def env_class(name: str) -> type[BaseEnv]:
    """The environment's class by its name. Raises UsageError."""
    found: type[BaseEnv] = checked(load(name, ENVS, "env"), name, "defaults", "tasks", "goals")
    return found


def rewards_class(settings: RunSettings, env: BaseEnv) -> type[BaseRewards]:
    """The class that says what counts in a run. Raises UsageError."""
    name = settings.rewards or env.rewards
    found: type[BaseRewards] = checked(load(name, REWARDS, "rewards"), name, "is_reward", "delete_reward", "start")
    return found


def default_for(model: str, names: Mapping[str, str]) -> str | None:
    """Who plays by default with a model, by its name: one of an environment's `agents` or `users`."""
    if is_local(model) and LOCAL in names:
        return names[LOCAL]
    return names.get(OFFLINE if model == OFFLINE else CHAT)


def plugged(what: str, make: Callable[[], T]) -> T:
    """Run a plug-in's set-up; whatever it raises becomes one line."""
    try:
        return make()
    except JoshError:
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(f"{what}: {explain(error)}") from error


def checked(found: Any, name: str, *methods: str) -> Any:
    """A plug-in that has all its methods. Raises UsageError for one that lacks some."""
    missing = [method for method in methods if not callable(getattr(found, method, None))]
    if missing:
        raise UsageError(f"{name} has no {missing[0]}(); subclass the base in josh.roles")
    return found


def path_of(kind: Any) -> str:
    """A class as the record names it."""
    return f"{kind.__module__}:{kind.__qualname__}"
