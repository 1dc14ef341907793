"""The plug-in registry: finds the class of an environment, agent, user, rewards or strategy by its name in settings."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from josh.calls import contained, has_parameter
from josh.config import configured, create, setting, settings_of_plug_in
from josh.errors import JoshError, UsageError
from josh.loading import FILE_MODULE, load, said_by
from josh.models.hf_loading import is_local
from josh.roles import BaseEnv, BaseJOSHAgent, BaseJOSHUser, BaseRewards
from josh.search import Strategy
from josh.threads import one_line
from josh.trust import trust

T = TypeVar("T")

CHAT, LOCAL, OFFLINE = "chat", "local", "offline"
HUMAN = "human"
"""The name of the agent, or of the user, that is a person at the terminal."""
BEAM, ROLLOUTS = "beam", "rollouts"
MCP = "mcp:"
"""`--env mcp:COMMAND`: the world of the tools of an MCP server, which the command starts."""
SERVICE_AGENT = "service"
"""`--agent http://...`: the agent behind this address."""

ENVS = {
    "persuasion": "josh.envs.persuasion.env:PersuasionEnv",
    "toolwoz": "josh.envs.toolwoz.env:ToolwozEnv",
    "mcp": "josh.envs.mcp.env:McpEnv",
    "debate": "josh.envs.debate.env:DebateEnv",
    "flipflop": "josh.envs.debate.flipflop:FlipflopEnv",
    "ays": "josh.envs.debate.suites:AysEnv",
    "team": "josh.envs.debate.suites:TeamEnv",
    "misinformation": "josh.envs.debate.suites:MisinformationEnv",
    "features": "josh.envs.debate.features:FeaturesEnv",
    "proactive": "josh.envs.proactive.env:ProactiveEnv",
    "ptom": "josh.envs.ptom.env:PtomEnv",
    "tau2": "josh.envs.tau2.env:Tau2Env",
    "dialogues": "josh.envs.dialogues:DialoguesEnv",
}
DEFAULT_ENV = "persuasion"
PLAIN_ENV = "dialogues"
"""The world of imported dialogues that belong to no other world."""
PUBLISHED_ENV, PUBLISHED_USER_MODEL = "toolwoz", "gpt-4o"
"""The environment and the user's model of the published JOSH, where its own flags are given without others."""
AGENTS = {
    "persuader": "josh.agents.chat:Persuader",
    "script_persuader": "josh.agents.persuasion.scripts:ScriptPersuader",
    "dense_script_persuader": "josh.agents.persuasion.scripts:DenseScriptPersuader",
    "replayed_persuader": "josh.agents.persuasion.replayed:ReplayedPersuader",
    "offline_persuader": "josh.agents.persuasion.offline:OfflinePersuader",
    "uniform_persuader": "josh.agents.persuasion.offline:UniformPersuader",
    "function_calling": "josh.agents.function_calling:FunctionCalling",
    "react": "josh.agents.react:ReAct",
    "offline_tool_agent": "josh.agents.toolwoz.offline:OfflineToolAgent",
    "debater": "josh.agents.debate.debater:Debater",
    "offline_debater": "josh.agents.debate.offline:OfflineDebater",
    "keeper": "josh.agents.debate.offline:Keeper",
    "yielder": "josh.agents.debate.offline:Yielder",
    "oracle": "josh.agents.debate.offline:Oracle",
    "doubter": "josh.agents.debate.offline:Doubter",
    "given": "josh.agents.debate.given:Given",
    "featured": "josh.agents.debate.featured:Featured",
    "offline_featured": "josh.agents.debate.featured:OfflineFeatured",
    "helper": "josh.agents.proactive.helper:Helper",
    "offline_helper": "josh.agents.proactive.offline:OfflineHelper",
    "direct": "josh.agents.proactive.offline:Direct",
    "clarify_first": "josh.agents.proactive.offline:ClarifyFirst",
    "threshold": "josh.agents.proactive.offline:Threshold",
    "prompt_only": "josh.agents.proactive.helper:PromptOnly",
    "planner": "josh.agents.ptom.planner:Planner",
    "offline_planner": "josh.agents.ptom.offline:OfflinePlanner",
    "ask_first": "josh.agents.ptom.offline:AskFirst",
    "recommend_at_once": "josh.agents.ptom.offline:RecommendAtOnce",
    "tau2_solver": "josh.agents.tau2.solver:Tau2Solver",
    SERVICE_AGENT: "josh.agents.service:ServiceAgent",
    HUMAN: "josh.agents.human:Human",
}
USERS = {
    "persuadee": "josh.users.persuasion.persuadee:Persuadee",
    "donor": "josh.users.persuasion.donor:Donor",
    "donor_mild": "josh.users.persuasion.donor:DonorMild",
    "donor_firm": "josh.users.persuasion.donor:DonorFirm",
    "corpus_persuadee": "josh.users.persuasion.corpus_persuadee:CorpusPersuadee",
    "goal": "josh.users.goal:GoalUser",
    "guide": "josh.users.guide:GuideUser",
    "script": "josh.users.script:ScriptUser",
    "offline_goal": "josh.users.toolwoz.offline:OfflineGoal",
    "debater": "josh.users.debate.debater:Debater",
    "offline_debater": "josh.users.debate.offline:OfflineDebater",
    "keeper": "josh.users.debate.offline:Keeper",
    "yielder": "josh.users.debate.offline:Yielder",
    "oracle": "josh.users.debate.offline:Oracle",
    "doubter": "josh.users.debate.offline:Doubter",
    "silent": "josh.users.debate.partners:Silent",
    "challenger": "josh.users.debate.partners:Challenger",
    "misinformer": "josh.users.debate.partners:Misinformer",
    "persona": "josh.users.proactive.persona:PersonaUser",
    "offline_persona": "josh.users.proactive.persona:OfflinePersona",
    "ptom_human": "josh.users.ptom.person:PtomHuman",
    "ptom_offline": "josh.users.ptom.person:PtomOffline",
    "tau2_user": "josh.users.tau2.simulator:Tau2User",
    "tau2_offline": "josh.users.tau2.offline:Tau2Offline",
    HUMAN: "josh.users.human:Human",
}
REWARDS = {
    "goals": "josh.roles:BaseRewards",
    "donation": "josh.rewards.donation:DonationRewards",
    "tool_goals": "josh.rewards.tool_goals:ToolGoals",
    "call_goals": "josh.rewards.call_goals:CallGoals",
    "debate": "josh.rewards.debate:DebateRewards",
    "proactive": "josh.rewards.proactive:ProactiveRewards",
    "proactive_measures": "josh.rewards.proactive_measures:ProactiveMeasures",
    "ptom": "josh.rewards.ptom:PtomRewards",
    "tau2": "josh.rewards.tau2:Tau2Rewards",
}
STRATEGIES = {
    BEAM: "josh.strategies.beam:BeamSearch",
    ROLLOUTS: "josh.strategies.rollouts:Rollouts",
    "fan_out": "josh.strategies.fan_out:FanOut",
    "mainline": "josh.strategies.mainline:Mainline",
    "mcts": "josh.strategies.mcts:MCTS",
    "halving": "josh.strategies.halving:Halving",
    "adaptive": "josh.strategies.adaptive:Adaptive",
    "treequest": "josh.strategies.treequest:TreeQuest",
}
ROLES: Mapping[str, Mapping[str, str]] = {
    "env": ENVS, "agent": AGENTS, "user": USERS, "rewards": REWARDS, "strategy": STRATEGIES,
}  # fmt: skip
_METHODS = {
    "env": ("defaults", "tasks", "goals"),
    "agent": ("step", "start"),
    "user": ("step", "start"),
    "rewards": ("is_reward", "delete_reward", "start"),
    "strategy": ("plan", "update", "result"),
}


COMMANDS = {
    "prepare": "josh.runs.systems.persuasion:PREPARE",
    "smoke": "josh.runs.systems.smoke:SMOKE",
    "pbt": "josh.runs.systems.pbt:PBT",
    "proactive": "josh.runs.systems.proactive:PROACTIVE",
    "ptom": "josh.runs.systems.ptom:PTOM",
}
"""The commands that belong to one published system; each value is the import path of a `SystemCommand`."""
SUITES = {
    "flipflop": "josh.runs.systems.pbt_suites:FLIPFLOP",
    "ays": "josh.runs.systems.pbt_suites:AYS",
    "team": "josh.runs.systems.pbt_suites:TEAM",
    "misinformation": "josh.runs.systems.pbt_suites:MISINFORMATION",
    "features": "josh.runs.systems.pbt_suites:FEATURES",
    "proactive": "josh.runs.systems.proactive_suite:PROACTIVE_EVAL",
}
"""The suites of `josh evaluate --suite`; each value is the import path of a `josh.runs.evaluate.suites.Suite`."""


@dataclass(frozen=True, slots=True)
class OnPolicyName:
    """A published rollout function of a trainer on policy.

    Attributes:
        env: the world's short name.
        variables: settings by environment variable, beside those that the world reads itself.
    """

    env: str
    variables: Mapping[str, str]


ON_POLICY: Mapping[str, OnPolicyName] = {
    "generate": OnPolicyName(DEFAULT_ENV, {}),
    "generate_with_persuasion": OnPolicyName("persuasion", {"PERSUASION_TASK_SPLIT": "task_split"}),
}
"""The rollout functions, by name."""

IMPORTS = {
    "messages": "josh.runs.imports.formats.chat:read_messages",
    "sharegpt": "josh.runs.imports.formats.sharegpt:read_sharegpt",
    "josh": "josh.runs.imports.formats.published:read_published",
    "csv": "josh.runs.imports.formats.tables:read_table",
    "verifiers": "josh.runs.imports.formats.verifiers:read_verifiers",
    "inspect": "josh.runs.imports.formats.inspect_logs:read_inspect",
    "pbt": "josh.runs.systems.pbt_trees:read_published_trees",
    "ptom": "josh.runs.systems.ptom_import:read_games",
    "tau2": "josh.runs.systems.tau2_import:read_results",
}
"""The formats of `josh import`; each value is the import path of a `josh.runs.imports.rows.Reader`."""
IMPORT_ENVS = {"pbt": "debate", "ptom": "ptom", "tau2": "tau2"}
"""The world of a format whose rows are about one world."""
EXPORTS = {
    "inspect": "josh.runs.export.inspect_log:INSPECT",
    "tau2": "josh.runs.systems.tau2_export:TAU2",
}
"""The formats of `josh export` for whole runs; each value is the import path of a `RunFormat`."""


LENSES = {"persuasion-index": "josh.envs.persuasion.index_lens:IndexLens"}
"""The lenses of `josh acts`; each value is the import path of a class with `read` (`josh.runs.report.acts.Lens`)."""


@dataclass(frozen=True, slots=True)
class SystemCommand:
    """A command of one published system.

    Attributes:
        help: one line for the list of commands.
        add_flags: adds the command's flags to a parser, given the arguments after its name, which may choose flags.
        run: runs the command and returns the exit code; may raise UsageError and FatalError.
    """

    help: str
    add_flags: Callable[[ArgumentParser, Sequence[str]], None]
    run: Callable[[Namespace], int]


def system_command(name: str) -> SystemCommand:
    """Returns one of `COMMANDS` by its name."""
    found: SystemCommand = load(name, COMMANDS, "command")
    return found


def load_reader(name: str) -> Any:
    """Returns one of `IMPORTS` by its name. Raises UsageError."""
    if name not in IMPORTS:
        raise UsageError(f"no format named {name!r}; known: {', '.join(IMPORTS)}")
    return load(name, IMPORTS, "format")


def load_run_format(name: str) -> Any:
    """Returns one of `EXPORTS` by its name."""
    return load(name, EXPORTS, "format")


def load_suite(name: str) -> Any:
    """Returns one of `SUITES` by its name."""
    return load(name, SUITES, "suite")


@dataclass(frozen=True, kw_only=True)
class PlugIn:
    """The plug-in that is chosen for a role.

    Attributes:
        name: a short name, `module:Class` or `./file.py:Class`; None for the environment's default.
        config: the plug-in's settings, by the field names of its `Config`.
    """

    name: str | None = setting(None)
    config: Mapping[str, Any] = field(default_factory=dict)


_NAMED = {
    "env": "an environment",
    "agent": "an agent",
    "user": "a user",
    "rewards": "rewards",
    "strategy": "a strategy",
}
_BASES: Mapping[str, type] = {
    "env": BaseEnv,
    "agent": BaseJOSHAgent,
    "user": BaseJOSHUser,
    "rewards": BaseRewards,
    "strategy": Strategy,
}


def class_of(role: str, name: str | type) -> Any:
    """Returns a plug-in's class.

    Args:
        role: one of `ROLES`.
        name: its name, or the class itself, because an environment's `agents` and `users` may hold classes.

    Raises:
        UsageError: the class does not exist, or it lacks a method.
    """
    if isinstance(name, type):
        return _fitting(role, name, import_path(name))
    if not isinstance(name, str):
        raise UsageError(f"{role} is {name!r:.60}; give a short name, module:Class, ./file.py:Class or a class")
    return _fitting(role, load(name, ROLES[role], role), name)


def _fitting(role: str, found: Any, name: str) -> Any:
    """Returns the class of a role. Raises UsageError where it is none, is another role's, or lacks a method."""
    base = _BASES[role]
    wanted = f"subclass {base.__module__}.{base.__name__}"
    if not isinstance(found, type):
        raise UsageError(f"{role} {name!r} is not a class; give a class, and {wanted}")
    other = next((one for one, kind in _BASES.items() if issubclass(found, kind) and not issubclass(found, base)), None)
    if other is not None:
        raise UsageError(f"{role} {name!r} has the base of {_NAMED[other]}; {wanted}")
    missing = [method for method in _METHODS[role] if not callable(getattr(found, method, None))]
    if missing:
        raise UsageError(f"{role} {name!r} has no {missing[0]}(); {wanted}")
    if role == "strategy" and not hasattr(found, "searched"):
        raise UsageError(f"{role} {name!r} has no searched; {wanted}")
    return found


def env_class(name: str) -> type[BaseEnv]:
    """Returns an environment's class by its name. Raises UsageError as `class_of` does."""
    found: type[BaseEnv] = class_of("env", MCP[:-1] if name.startswith(MCP) else name)
    return found


def rewards_class(chosen: PlugIn, env: BaseEnv | type[BaseEnv]) -> type[BaseRewards]:
    """Returns the rewards class: the chosen one, or the environment's default.

    Raises:
        UsageError: as `class_of` does, or the class has a method under a name of an earlier version.
    """
    found: type[BaseRewards] = class_of("rewards", chosen.name or said(env, "rewards", env.rewards))
    if hasattr(found, "total"):
        raise UsageError(f"{import_path(found)}.total() is called path_reward() now; rename it")
    if hasattr(found, "value") and not has_parameter(found.value, "conversation"):
        raise UsageError(f"{import_path(found)}.value(actions) is called hit_value(actions) now; rename it")
    return found


def strategy_of(chosen: PlugIn) -> Strategy:
    """Returns the chosen strategy, by default `rollouts`. Raises UsageError where its class or a setting is wrong."""
    kind = class_of("strategy", chosen.name or ROLLOUTS)
    made: Strategy = guarded(f"strategy {chosen.name!r}", lambda: kind(configured(kind, "strategy", chosen.config)))
    return made


def new_rewards(kind: Any, chosen: PlugIn, goals: list[Any]) -> BaseRewards:
    """Returns a rewards object with the chosen settings, for a task's goals."""
    made: BaseRewards = create(kind, "rewards", chosen.config, goals)
    return made


def default_for(model: str, names: Mapping[str, str | type]) -> str | type | None:
    """Returns the default plug-in for a model's name, from an environment's `agents` or `users`; None for no entry."""
    if is_local(model) and LOCAL in names:
        return names[LOCAL]
    return names.get(OFFLINE if model == OFFLINE else CHAT)


def said(env: Any, attribute: str, entry: Any) -> Any:
    """Returns an entry of an environment's `agents`, `users`, `references` or `rewards`, found from any folder."""
    if isinstance(entry, str):
        return said_by(env if isinstance(env, type) else type(env), attribute, entry)
    if isinstance(entry, type):
        trust().admit(name_of(entry))
    return entry


def default_of(env: Any, role: str, model: str) -> str | type | None:
    """Returns the plug-in that an environment gives an agent or user by default; None for no entry.

    Args:
        env: the environment, or its class.
        role: `agent` or `user`.
        model: the name of the speaker's model.
    """
    table = getattr(env, f"{role}s", None)
    found: str | type | None = said(env, f"{role}s", default_for(model, table)) if isinstance(table, Mapping) else None
    return found


def label_of(plug_in: str | type | None) -> str:
    """Returns a label for an entry of an environment's `agents` or `users`; empty for None."""
    return plug_in.__name__ if isinstance(plug_in, type) else plug_in or ""


def short_of(role: str, path: str) -> str:
    """Returns the short name of a role's plug-in, from its import path; the path itself for one that has none."""
    return next((name for name, known in ROLES[role].items() if known == path), path)


def needs_model(role: str, name: str) -> bool:
    """Returns whether a plug-in asks a chat model (see `Forkable.needs_model`). Raises UsageError as `class_of`."""
    return bool(getattr(class_of(role, name), "needs_model", False))


def name_of(plug_in: str | type) -> str:
    """Returns the name that settings use for an entry of an environment's `agents` or `users`."""
    if isinstance(plug_in, str):
        return plug_in
    if plug_in.__module__.startswith(FILE_MODULE):  # a module loaded from a file can only be found by that file
        return f"{sys.modules[plug_in.__module__].__file__}:{plug_in.__name__}"
    return import_path(plug_in)


def who_has(name: str) -> Iterator[tuple[str, str]]:
    """Yields the role and short name of each registered plug-in that has a setting of this name."""
    for role, names in ROLES.items():
        for short in names:
            found = settings_of_plug_in(class_of(role, short), role)
            if any(name in (one.flag, one.dotted, *one.rule.aliases) for one in found):
                yield role, short


def guarded(what: str, make: Callable[[], T]) -> T:
    """Run code of a plug-in, and turn any error into a UsageError of one line.

    Args:
        what: what fails, for the beginning of the message.
        make: runs the code; its result is returned.

    Raises:
        UsageError: `make` raised an exception, or ended the program. A `JoshError` is raised unchanged.
    """
    try:
        with contained():
            return make()
    except JoshError:
        raise
    except Exception as error:
        raise UsageError(f"{what}: {one_line(error)}") from error


def import_path(kind: Any) -> str:
    """Returns a class's import path, `module:Class`, as `config.json` records it."""
    return f"{kind.__module__}:{kind.__qualname__}"
