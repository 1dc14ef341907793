"""The settings of a run: one value made of the settings classes of its parts, and the flags that follow from them.

Settings live in two forms. Before a run they are a flat mapping by flag name with what was given (`{"josh": True,
"env.difficulty": 3}`), which is easily laid over another one. `josh.runs.resolve` makes a `RunSettings` of it, once:
complete, checked, every address in it. That is what is played and recorded.
"""

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from josh.config import Rule, Schema, Setting, create, part, setting, settings_in, settings_of_plug_in
from josh.episode import Limits
from josh.errors import UsageError
from josh.models.budget import Spending
from josh.models.chat import ModelSettings
from josh.models.gateway import Traffic
from josh.models.hf_loading import LocalModel
from josh.roles import BaseEnv
from josh.runs.registry import (
    BEAM,
    DEFAULT_ENV,
    HUMAN,
    OFFLINE,
    ROLES,
    ROLLOUTS,
    PlugIn,
    class_of,
    default_for,
    env_class,
    guarded,
    label_of,
    who_has,
)

JOSH = "josh"
"""The published flag that means `--strategy beam`; without it and without `--strategy`, a run plays `rollouts`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side(ModelSettings, PlugIn):
    """Who takes a side, and the chat model that gives them their words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSlice:
    """Which tasks are played."""

    task_split: str | None = setting(None, "which tasks (default: the environment's first split)")
    start_index: int = setting(0, "first task of the split to play", least=0)
    end_index: int = setting(
        -1, "task to stop before; -1 for all", least=-1, way="-1 for all, or a number above start_index"
    )
    shuffle: bool = setting(False, "shuffle the tasks, by the seed, before start and end index apply")


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What is written and shown."""

    keep_samples: bool = setting(False, "keep the tokens that local models sample, and their log-probabilities")
    report_to: str = setting(
        "none",
        "log the run's figures while it goes on: trackio, wandb or tensorboard, several by commas",
        resumable=True,
    )
    log_dir: str = setting("records", "where the run's folder is made", resumable=True)
    debug: bool = setting(False, "show the traceback of every failed turn", resumable=True)
    josh_debug: bool = setting(False, "say on stderr how every search goes", resumable=True)
    progress: bool = setting(False, "show the progress bar even when stderr is no terminal", resumable=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """All settings of a run, resolved."""

    env: PlugIn = part(
        PlugIn,
        title="world",
        name={"default": DEFAULT_ENV, "flag": "env", "help": "where tasks, prompts and goals come from"},
    )
    agent: Side = part(
        Side,
        title="agent",
        who="the agent's",
        name={"flag": "agent", "help": "who learns (default: the environment's)", "aliases": ("agent_strategy",)},
        temperature={"default": None, "help": "the agent's sampling temperature (default: 1 with a search, else 0)"},
    )
    user: Side = part(
        Side,
        title="user",
        prefix="user_",
        who="the user's",
        name={"flag": "user", "help": "who answers (default: the environment's)", "aliases": ("user_mode",)},
        model={"help": "the user's chat model, several by commas to rotate, or `offline`"},
        base_url={"help": "address of the user's model; one for all, or one each by commas"},
        api_key_var={"help": "variable with the key of the user's model; one for all, or one each by commas"},
    )
    rewards: PlugIn = part(
        PlugIn, title="rewards", name={"flag": "rewards", "help": "what counts (default: the environment's)"}
    )
    judge: ModelSettings = part(
        ModelSettings,
        title="judge",
        prefix="judge_",
        who="the judge's",
        model={"default": None, "help": "chat model that rewards may ask to judge conversations (default: none)"},
        temperature={"default": 0.0},
    )
    strategy: PlugIn = part(
        PlugIn,
        title="strategy",
        name={"flag": "strategy", "help": "how trees grow: beam, rollouts, module:Class or ./file.py:Class"},
    )
    seed: int = setting(10, "every random choice follows from it")
    tasks: TaskSlice = part(TaskSlice, title="tasks")
    limits: Limits = part(Limits, title="limits")
    traffic: Traffic = part(Traffic, title="traffic")
    spending: Spending = part(Spending, title="spending")
    local: LocalModel = part(LocalModel, title="models on this machine")
    output: Output = part(Output, title="output")

    @property
    def people(self) -> tuple[str, ...]:
        """The sides that a person at the terminal takes."""
        return tuple(side for side, chosen in (("agent", self.agent), ("user", self.user)) if chosen.name == HUMAN)


PARTS: Mapping[str, str] = {
    one.name: one.metadata["part"]["title"] for one in fields(RunSettings) if "part" in one.metadata
}
"""The names of a run's parts, which are the tables of a TOML file, and what they are called in the help."""
SEARCH = Setting(
    JOSH,
    (),
    bool,
    False,
    False,
    Rule("search with JOSH's beam, as --strategy beam does"),
)

NOT_FOR_PLAY = (JOSH, "strategy", "max_concurrency", "progress")
"""Settings that make no sense where a person has one conversation; those of a strategy do not either."""


@cache
def core() -> Schema:
    """The settings that every run has, whatever plug-ins it chooses."""
    found = list(settings_in(RunSettings))
    place = next(place for place, one in enumerate(found) if one.flag == "strategy") + 1
    return Schema([*found[:place], SEARCH, *found[place:]])


class RunSchema(Schema):
    """The settings of a run with the plug-ins that it chooses."""

    def __init__(self, chosen: Sequence[tuple[str, str, Any]], further: Iterable[Setting] = ()) -> None:
        """Take the settings of plug-ins.

        Args:
            chosen: role, name and class of each plug-in.
            further: settings of something that runs are a part of.

        Raises:
            UsageError: two settings have one flag.
        """
        self.chosen = tuple(chosen)
        self._names_of = {role: name for role, name, _ in reversed(chosen)}
        own = [one for role, _, kind in chosen for one in settings_of_plug_in(kind, role)]
        taken = next((one for one in own if core().find(one.dotted) is not None), None)
        if taken is not None:
            raise UsageError(f"a plug-in has a setting {taken.dotted}, which every run has; name it otherwise")
        super().__init__([*own, *further], core())

    def refusal(self, name: str) -> str:
        """What to say of a name that no setting has; one that another plug-in has belongs to the role of that."""
        role, dot, _ = name.partition(".")
        if dot and role in ROLES:
            near = self.near(name)
            hint = f"; did you mean {near!r}?" if near and near.startswith(f"{role}.") else ""
            return f"{name} is given, but {role} {self._names_of.get(role)!r} has no such setting{hint}"
        having = next(who_has(name.replace("-", "_")), None)
        if having is None:
            return super().refusal(name)
        role, short = having
        way = "--josh" if short == BEAM else f"--{role} {short}"
        other = f"{role} {self._names_of[role]!r}" if role in self._names_of else f"no {role} that is chosen"
        return f"{name} is given, but {other} has no such setting; leave it out, or give {way}"

    def of(self, role: str) -> list[str]:
        """The flags of the settings of a role's plug-in."""
        return [flag for flag, one in self.items() if one.of_plug_in and one.path[0] == role]


def schema_of(
    given: Mapping[str, Any],
    *,
    strategies: Sequence[str] | None = None,
    sides: bool = True,
    missing: Collection[str] = (),
    further: Iterable[Setting] = (),
) -> RunSchema:
    """The settings that a run with the given choices takes.

    Args:
        given: what is given; `env`, `agent`, `user`, `rewards`, `strategy`, `josh`, `model` and `user_model` count.
        strategies: those whose settings are understood; by default the one that is given, else `rollouts`.
        sides: load the classes of agent and user even where they are not named.
        missing: roles whose plug-ins are passed over where they cannot be loaded.
        further: settings of something that runs are a part of.

    Raises:
        UsageError: a plug-in cannot be loaded, or its settings clash with others.
    """
    given = spelled_out(given)
    chosen: list[tuple[str, str, Any]] = []

    def choose(role: str, name: Any) -> Any:
        try:
            kind = class_of(role, name)
        except UsageError:
            if role not in missing:
                raise
            return None
        chosen.append((role, label_of(name), kind))
        return kind

    env = choose("env", given.get("env") or core()["env"].default) or BaseEnv
    for role, flag in (("agent", "model"), ("user", "user_model")):
        model = str(given.get(flag) or OFFLINE).partition(",")[0].strip()
        table = getattr(env, f"{role}s", None)
        name = given.get(role) or (default_for(model, table) if sides and isinstance(table, Mapping) else None)
        if name:
            choose(role, name)
    choose("rewards", given.get("rewards") or getattr(env, "rewards", BaseEnv.rewards))
    for name in strategies or (given.get("strategy") or ROLLOUTS,):
        choose("strategy", name)
    return RunSchema(chosen, further)


def spelled_out(given: Mapping[str, Any]) -> dict[str, Any]:
    """Given settings with `strategy` for `josh`. Raises UsageError where both are given."""
    found = dict(given)
    if found.pop(JOSH, None):
        if found.get("strategy") not in (None, BEAM):
            raise UsageError(f"josh is given with strategy {found['strategy']!r}; leave one of them out")
        found["strategy"] = BEAM
    return found


def choices_of(settings: RunSettings) -> dict[str, Any]:
    """What `schema_of` wants to know of some settings."""
    names = {role: getattr(settings, role).name for role in ROLES}
    return {**names, "model": settings.agent.model, "user_model": settings.user.model}


def flat(settings: RunSettings) -> dict[str, Any]:
    """All settings by flag, those of the plug-ins among them. Raises UsageError where a plug-in cannot be loaded."""
    return schema_of(choices_of(settings)).flat(settings)


def options_of(settings: RunSettings) -> dict[str, Any]:
    """The settings as plug-ins are given them: by flag; those of plug-ins that cannot be loaded by their own names."""
    schema = schema_of(choices_of(settings), missing=ROLES)
    rest = {
        name: value
        for role in ROLES
        for name, value in getattr(settings, role).config.items()
        if schema.find(f"{role}.{name}") is None
    }
    return {**rest, **schema.flat(settings), JOSH: settings.strategy.name == BEAM}


def env_of(settings: RunSettings) -> BaseEnv:
    """The environment of a run, ready to give its tasks. Raises UsageError for whatever it raises."""
    name = str(settings.env.name)

    def make() -> BaseEnv:
        made: BaseEnv = create(env_class(name), "env", settings.env.config, options_of(settings))
        return made

    return guarded(f"env {name!r}", make)


def environment() -> Mapping[str, str]:
    """The process's environment variables."""
    return os.environ
