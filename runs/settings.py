"""The settings of a run: one object that consists of the settings classes of its parts, and the flags for them.

Settings have two forms:

1. Before a run they are a flat mapping of the given values by flag name (`{"josh": True, "env.difficulty": 3}`). Two
   such mappings are easy to merge.
2. `josh.runs.resolve` turns the mapping into a `RunSettings` once: complete, checked, with every address. The run
   plays and records this object.
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
from josh.models.service import PREFIX as SERVICE
from josh.roles import BaseEnv
from josh.runs.registry import (
    BEAM,
    DEFAULT_ENV,
    HUMAN,
    MCP,
    OFFLINE,
    ROLES,
    ROLLOUTS,
    SERVICE_AGENT,
    PlugIn,
    class_of,
    default_of,
    env_class,
    guarded,
    label_of,
    said,
    strategy_of,
    who_has,
)
from josh.search import Strategy
from josh.strategies.restarts import restarted

JOSH = "josh"
"""The published flag that means `--strategy beam`; without it and without `--strategy`, a run plays `rollouts`."""
AGENT_STRATEGY, USER_MODE = "agent_strategy", "user_mode"
"""The published names of the settings `agent` and `user`; see `resolve.as_published`."""
LOCAL, PROCESSES, RAY = "local", "processes", "ray"
"""The executors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side(ModelSettings, PlugIn):
    """The plug-in that plays the agent or the user, and its chat model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSlice:
    """The tasks to play."""

    task_split: str | None = setting(None, "split of the tasks (default: the environment's first split)")
    start_index: int = setting(0, "index of the first task to play, from 0", least=0)
    end_index: int = setting(
        -1, "index of the task to stop before; -1 for all", least=-1, way="-1 for all, or a number above start_index"
    )
    shuffle: bool = setting(False, "shuffle the tasks by the seed before start_index and end_index apply")
    num_shards: int = setting(1, "number of shards that these tasks are cut into, to play each one elsewhere", least=1)
    shard_idx: int = setting(0, "the shard to play, from 0", least=0)
    trust_task_endpoints: bool = setting(
        False,
        "let rows of the task file send requests and keys to addresses that no flag names",
        resumable=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirming:
    """Whether wins are confirmed: the agent's turns of a winning path are said again to fresh users."""

    confirm: int = setting(
        0, "say each golden path again, word for word, to so many fresh users; 0 for none", least=0, most=10_000
    )
    confirm_users: str | None = setting(
        None, "who they are: users, separated by commas, who take turns (default: the run's)"
    )
    confirm_user_model: str | None = setting(
        None, "their chat models, separated by commas, who take turns (default: the user's)"
    )
    confirm_same: bool = setting(
        False,
        "users that draw their person by the run's seed are the run's person again, with other luck (default: another "
        "person, on the same task)",
    )
    confirm_first: float | None = setting(
        None,
        "smallest share of them with whom a path must win again before its win counts, and the tree collapses to it",
        above=0,
        most=1,
    )


CONFIRMING = tuple(one.name for one in fields(Confirming))
"""The settings of confirmations, for the commands whose runs confirm nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """The run's files, log and progress display."""

    keep_samples: bool = setting(
        False,
        "record the tokens that models sample and their log-probabilities, where they return them (hf: and vLLM do)",
    )
    report_to: str = setting(
        "none",
        "send metrics during the run to trackio, wandb or tensorboard; separate several with commas",
        resumable=True,
    )
    log_dir: str = setting("records", "directory in which the run's folder is created", resumable=True)
    debug: bool = setting(False, "show the traceback of every failed turn", resumable=True)
    josh_debug: bool = setting(False, "log the progress of every search to stderr", resumable=True)
    progress: bool = setting(False, "show the progress bar even when stderr is not a terminal", resumable=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """Where the tasks are played."""

    executor: str = setting(
        LOCAL,
        "where tasks are played: in this process, in several processes of this machine, or on a Ray cluster",
        choices=(LOCAL, PROCESSES, RAY),
        resumable=True,
    )
    workers: int | None = setting(
        None,
        "number of workers of --executor processes or ray (default: one for each processor, or for each GPU with hf:)",
        least=1,
        resumable=True,
    )
    ray_address: str | None = setting(
        None, "address of a running Ray cluster, HOST:PORT or auto (default: a new Ray on this machine)", resumable=True
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """All settings of a run, resolved."""

    env: PlugIn = part(
        PlugIn,
        title="world",
        name={"default": DEFAULT_ENV, "flag": "env", "help": "environment, which gives tasks, prompts and goals"},
    )
    agent: Side = part(
        Side,
        title="agent",
        who="the agent's",
        name={"flag": "agent", "help": "agent to play (default: the environment's)", "aliases": (AGENT_STRATEGY,)},
        temperature={"default": None, "help": "the agent's sampling temperature (default: 1 with a search, else 0)"},
    )
    user: Side = part(
        Side,
        title="user",
        prefix="user_",
        who="the user's",
        name={"flag": "user", "help": "simulated user (default: the environment's)", "aliases": (USER_MODE,)},
        model={"help": "the user's chat model, or `offline`; several, separated by commas, take turns"},
        base_url={"help": "address of the user's model; one for all models, or one for each, separated by commas"},
        api_key_var={
            "help": "environment variable with the key of the user's model; one for all, or one for each, separated "
            "by commas"
        },
    )
    rewards: PlugIn = part(
        PlugIn, title="rewards", name={"flag": "rewards", "help": "rewards class (default: the environment's)"}
    )
    judge: ModelSettings = part(
        ModelSettings,
        title="judge",
        prefix="judge_",
        who="the judge's",
        model={"default": None, "help": "chat model that judges conversations for the rewards (default: none)"},
        temperature={"default": 0.0},
    )
    strategy: PlugIn = part(
        PlugIn,
        title="search",
        name={"flag": "strategy", "help": "search strategy: beam, rollouts, module:Class or ./file.py:Class"},
    )
    seed: int = setting(10, "random seed of the run; every random choice depends on it")
    tasks: TaskSlice = part(TaskSlice, title="tasks")
    limits: Limits = part(Limits, title="limits")
    traffic: Traffic = part(Traffic, title="traffic")
    spending: Spending = part(Spending, title="spending")
    workers: Workers = part(Workers, title="workers")
    local: LocalModel = part(LocalModel, title="models on this machine")
    confirming: Confirming = part(Confirming, title="confirming wins")
    output: Output = part(Output, title="output")

    @property
    def people(self) -> tuple[str, ...]:
        """The sides that a person at the terminal plays: `agent`, `user`, or none."""
        return tuple(side for side, chosen in (("agent", self.agent), ("user", self.user)) if chosen.name == HUMAN)


PARTS: Mapping[str, str] = {
    one.name: one.metadata["part"]["title"] for one in fields(RunSettings) if "part" in one.metadata
}
"""The title in the help of each part of a run, by the part's name, which is also its table in a TOML file."""
SEARCH = Setting(
    JOSH,
    (),
    bool,
    False,
    False,
    Rule("search with JOSH's beam; the same as --strategy beam"),
)

SHARDS = ("num_shards", "shard_idx")
"""The settings that cut a run into shards; those of a command with several runs do not have them."""
SEARCHES = ("budget_per_task", "budget_unit", "restarts")
"""The settings of a search that are not its strategy's; plain conversations of a comparison do not have them."""
WORKERS = ("executor", "workers", "ray_address")
"""The settings of workers; commands that play in their own process do not have them."""
NOT_FOR_PLAY = (JOSH, "strategy", "max_concurrency", "progress", *SHARDS, *SEARCHES, *CONFIRMING, *WORKERS)
"""Settings that `josh play` refuses, because a person has one conversation; it refuses a strategy's settings too."""


@cache
def core() -> Schema:
    """Returns the settings that every run has, with any plug-ins."""
    found = list(settings_in(RunSettings))
    place = next(place for place, one in enumerate(found) if one.flag == "strategy") + 1
    return Schema([*found[:place], SEARCH, *found[place:]])


class RunSchema(Schema):
    """The settings of a run with the plug-ins that it chooses."""

    def __init__(self, chosen: Sequence[tuple[str, str, Any]], further: Iterable[Setting] = ()) -> None:
        """Collect the settings of every run and of the chosen plug-ins.

        Args:
            chosen: role, name and class of each plug-in.
            further: settings of a command that plays runs, such as a loop.

        Raises:
            UsageError: two settings have one flag.
        """
        self.chosen = tuple(chosen)
        self._names_of = {role: name for role, name, _ in reversed(chosen)}
        own = [one for role, _, kind in chosen if role != "strategy" for one in settings_of_plug_in(kind, role)]
        # Where a command plays several strategies, their settings of one name have one flag.
        searches = [one for role, _, kind in chosen if role == "strategy" for one in settings_of_plug_in(kind, role)]
        own += {one.flag: one for one in reversed(searches)}.values()
        taken = next((one for one in own if core().find(one.dotted) is not None), None)
        if taken is not None:
            raise UsageError(f"a plug-in has a setting {taken.dotted}, which every run has; give it another name")
        super().__init__([*own, *further], core())

    def refusal(self, name: str) -> str:
        """Returns the error message for an unknown name; it names the registered plug-in that has such a setting."""
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
        """Returns the flags of the settings of a role's plug-in."""
        return [flag for flag, one in self.items() if one.of_plug_in and one.path[0] == role]


def schema_of(
    given: Mapping[str, Any],
    *,
    strategies: Sequence[str] | None = None,
    sides: bool = True,
    missing: Collection[str] = (),
    further: Iterable[Setting] = (),
) -> RunSchema:
    """Returns the settings that a run with the given choices has.

    Args:
        given: settings by flag name; only `env`, `agent`, `user`, `rewards`, `strategy`, `josh`, `model` and
            `user_model` count here.
        strategies: the strategies whose settings are included; None for the given one, else `rollouts`.
        sides: load the classes of agent and user even where they are not named.
        missing: roles whose plug-ins are skipped where they cannot be loaded.
        further: settings of a command that plays runs, such as a loop.

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
        name = given.get(role) or (default_of(env, role, model) if sides else None)
        if name:
            choose(role, name)
    choose("rewards", given.get("rewards") or said(env, "rewards", getattr(env, "rewards", BaseEnv.rewards)))
    for name in strategies or (given.get("strategy") or ROLLOUTS,):
        choose("strategy", name)
    return RunSchema(chosen, further)


def spelled_out(given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns given settings in their long form: `strategy` instead of `josh`, and the plug-in that an address names.

    `env` with `mcp:COMMAND` means the world `mcp` with that command. `agent` with an address means the agent `service`
    with a model at this address: one that speaks OpenAI's chat completions where the address ends with `/v1` or
    `/chat/completions`, else a `service:` model.

    Raises:
        UsageError: two settings contradict.
    """
    found = {**given, **_with_command(given.get("env")), **_with_service(given)}
    if found.pop(JOSH, None):
        if found.get("strategy") not in (None, BEAM):
            raise UsageError(f"josh is given with strategy {found['strategy']!r}; leave one of them out")
        found["strategy"] = BEAM
    return found


def _with_command(env: Any) -> dict[str, Any]:
    """Returns the settings that `mcp:COMMAND` stands for, as a world's name."""
    if not isinstance(env, str) or not env.startswith(MCP):
        return {}
    command = env.removeprefix(MCP).strip()
    if not command:
        raise UsageError(f"env is {env!r}, without a server; give --env 'mcp:COMMAND', such as 'mcp:python server.py'")
    return {"env": MCP[:-1], "env.command": command}


def _with_service(given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings that an address stands for, as an agent's name. Raises UsageError beside `base_url`."""
    agent, model, address = given.get("agent"), given.get("model"), given.get("base_url")
    if not isinstance(agent, str) or not agent.startswith(("http://", "https://")):
        return {}
    if address not in (None, agent):
        raise UsageError(f"agent is the address {agent}, and base_url is {address!r}; leave one of them out")
    url = agent if agent.endswith("://") else agent.rstrip("/")
    if url.endswith(("/v1", "/chat/completions")):
        name = model if model not in (None, OFFLINE) else "agent"
        return {"agent": SERVICE_AGENT, "model": name, "base_url": url.removesuffix("/chat/completions")}
    if model not in (None, OFFLINE):
        raise UsageError(f"agent is the address {agent}, and model is {model!r}; leave the model out, or end with /v1")
    return {"agent": SERVICE_AGENT, "model": SERVICE + url}


def choices_of(settings: RunSettings) -> dict[str, Any]:
    """Returns the choices in some settings that `schema_of` needs, by flag name."""
    names = {role: getattr(settings, role).name for role in ROLES}
    return {**names, "model": settings.agent.model, "user_model": settings.user.model}


def flat(settings: RunSettings) -> dict[str, Any]:
    """Returns all settings by flag, those of plug-ins included. Raises UsageError where a plug-in cannot be loaded."""
    return schema_of(choices_of(settings)).flat(settings)


def options_of(settings: RunSettings) -> dict[str, Any]:
    """Returns the settings as plug-ins get them: by flag; those of plug-ins that cannot be loaded by field name."""
    schema = schema_of(choices_of(settings), missing=ROLES)
    rest = {
        name: value
        for role in ROLES
        for name, value in getattr(settings, role).config.items()
        if schema.find(f"{role}.{name}") is None
    }
    return {**rest, **schema.flat(settings), JOSH: settings.strategy.name == BEAM}


def search_of(settings: RunSettings) -> Strategy:
    """Returns the strategy of a run, which begins again as often as the settings say. Raises UsageError.

    A budget of N allows N restarts at most, also where the user ends conversations before the agent speaks.
    """
    limits = settings.limits
    times = limits.restarts if limits.budget_per_task is None else min(limits.restarts, limits.budget_per_task)
    found: Strategy = restarted(strategy_of(settings.strategy), times)
    return found


def env_of(settings: RunSettings) -> BaseEnv:
    """Returns the environment of a run, ready to give its tasks. Any error that it raises becomes a UsageError."""
    name = str(settings.env.name)

    def make() -> BaseEnv:
        made: BaseEnv = create(env_class(name), "env", settings.env.config, options_of(settings))
        return made

    return guarded(f"env {name!r}", make)


def environment() -> Mapping[str, str]:
    """Returns the process's environment variables."""
    return os.environ
