"""The plug-ins: from the names of worlds, agents, users, rewards and strategies in settings to their classes."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from josh.calls import has_parameter
from josh.config import configured, create, setting, settings_of_plug_in
from josh.errors import JoshError, UsageError
from josh.loading import FILE_MODULE, load
from josh.models.hf_loading import is_local
from josh.roles import BaseEnv, BaseRewards
from josh.search import Strategy
from josh.threads import one_line

T = TypeVar("T")

CHAT, LOCAL, OFFLINE = "chat", "local", "offline"
HUMAN = "human"
"""The agent, or the user, that is a person at the terminal."""
BEAM, ROLLOUTS = "beam", "rollouts"

ENVS = {
    "persuasion": "josh.envs.persuasion.env:PersuasionEnv",
    "toolwoz": "josh.envs.toolwoz.env:ToolwozEnv",
}
DEFAULT_ENV = "persuasion"
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
STRATEGIES = {
    BEAM: "josh.strategies.beam:BeamSearch",
    ROLLOUTS: "josh.strategies.rollouts:Rollouts",
}
ROLES: Mapping[str, Mapping[str, str]] = {
    "env": ENVS, "agent": AGENTS, "user": USERS, "rewards": REWARDS, "strategy": STRATEGIES,
}  # fmt: skip
_METHODS = {
    "env": ("defaults", "tasks", "goals"),
    "agent": ("step", "start"),
    "user": ("step", "start"),
    "rewards": ("is_reward", "delete_reward", "start"),
    "strategy": ("plan",),
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


@dataclass(frozen=True, kw_only=True)
class PlugIn:
    """Which plug-in is chosen for a role.

    Attributes:
        name: a short name, `module:Class` or `./file.py:Class`; None for the world's own.
        config: its settings, by the names of its `Config`'s fields.
    """

    name: str | None = setting(None)
    config: Mapping[str, Any] = field(default_factory=dict)


def class_of(role: str, name: str | type) -> Any:
    """A plug-in's class.

    Args:
        role: one of `ROLES`.
        name: its name; or the class itself, which a world's tables may hold.

    Raises:
        UsageError: there is no such class, or it lacks a method.
    """
    if isinstance(name, type):
        return checked(name, path_of(name), *_METHODS[role])
    return checked(load(name, ROLES[role], role), name, *_METHODS[role])


def env_class(name: str) -> type[BaseEnv]:
    """The environment's class by its name. Raises UsageError."""
    found: type[BaseEnv] = class_of("env", name)
    return found


def rewards_class(chosen: PlugIn, env: BaseEnv | type[BaseEnv]) -> type[BaseRewards]:
    """The class that says what counts: the chosen one, or the environment's. Raises UsageError."""
    found: type[BaseRewards] = class_of("rewards", chosen.name or env.rewards)
    if hasattr(found, "total"):
        raise UsageError(f"{path_of(found)}.total() is called path_reward() now; rename it")
    if hasattr(found, "value") and not has_parameter(found.value, "conversation"):
        raise UsageError(f"{path_of(found)}.value(actions) is called hit_value(actions) now; rename it")
    return found


def strategy_of(chosen: PlugIn) -> Strategy:
    """The strategy that is chosen. Raises UsageError."""
    kind = class_of("strategy", chosen.name or ROLLOUTS)
    made: Strategy = plugged(f"strategy {chosen.name!r}", lambda: kind(configured(kind, "strategy", chosen.config)))
    return made


def new_rewards(kind: Any, chosen: PlugIn, goals: list[Any]) -> BaseRewards:
    """A rewards object with the chosen settings."""
    made: BaseRewards = create(kind, "rewards", chosen.config, goals)
    return made


def default_for(model: str, names: Mapping[str, str | type]) -> str | type | None:
    """Who plays by default with a model, by its name: one of an environment's `agents` or `users`."""
    if is_local(model) and LOCAL in names:
        return names[LOCAL]
    return names.get(OFFLINE if model == OFFLINE else CHAT)


def label_of(plug_in: str | type | None) -> str:
    """What to call an entry of a world's tables; empty for none."""
    return plug_in.__name__ if isinstance(plug_in, type) else plug_in or ""


def name_of(plug_in: str | type) -> str:
    """The name under which settings have an entry of a world's tables."""
    if isinstance(plug_in, str):
        return plug_in
    if plug_in.__module__.startswith(FILE_MODULE):  # a module that was loaded from its file has no name of its own
        return f"{sys.modules[plug_in.__module__].__file__}:{plug_in.__name__}"
    return path_of(plug_in)


def who_has(name: str) -> Iterator[tuple[str, str]]:
    """The roles and short names of our own plug-ins that have a setting."""
    for role, names in ROLES.items():
        for short in names:
            found = settings_of_plug_in(class_of(role, short), role)
            if any(name in (one.flag, one.dotted, *one.rule.aliases) for one in found):
                yield role, short


def plugged(what: str, make: Callable[[], T]) -> T:
    """Run a plug-in's set-up; whatever it raises becomes one line."""
    try:
        return make()
    except JoshError:
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(f"{what}: {one_line(error)}") from error


def checked(found: Any, name: str, *methods: str) -> Any:
    """A plug-in that has all its methods. Raises UsageError for one that lacks some."""
    missing = [method for method in methods if not callable(getattr(found, method, None))]
    if missing:
        raise UsageError(f"{name} has no {missing[0]}(); subclass the base in josh.roles")
    return found


def path_of(kind: Any) -> str:
    """A class as the record names it."""
    return f"{kind.__module__}:{kind.__qualname__}"
