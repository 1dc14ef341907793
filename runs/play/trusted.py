"""What a command line allows the data that it reads: the code, addresses and variables that its flags name.

See `josh.trust` for the rules. A TOML file that the command line gives counts as the command line.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from josh.errors import UsageError
from josh.models.service import PREFIX as SERVICE
from josh.runs.record.settings_json import settings_in_folder
from josh.runs.registry import MCP
from josh.runs.resolve import defaults_of, read_toml
from josh.runs.settings import core, environment
from josh.trust import Trust, absolute, executing, trusting

_CODE = ("agent", "user", "rewards", "strategy", "baseline_agent", "other_users", "strategies", "confirm_users", "lens")
"""The flags of plug-ins that may be several, separated by commas."""
_EXECUTION = "allow_exec"
"""The setting of a plug-in that runs what a model wrote."""
_SIDES = ("", "user_", "judge_", "baseline_")
_ADDRESSES = (*(f"{side}base_url" for side in _SIDES), "agent", "model")
_VARIABLES = tuple(f"{side}api_key_var" for side in _SIDES)
_REPEATABLE = {
    "rescore": frozenset(["rewards"]),
    "race": frozenset(["env", "agent", "user", "rewards"]),
    "acts": frozenset(["lens"]),
    **dict.fromkeys(("replay", "show", "report", "plot", "compare", "realism", "export"), frozenset[str]()),
}
"""The roles for which a command that reads recorded runs has flags; other commands have them for all."""


def trust_of(arguments: Sequence[str]) -> Trust:
    """Returns what a command line allows. Raises UsageError where its TOML file cannot be read.

    Args:
        arguments: the command's name, and its arguments.
    """
    flags = dict(_flags_in(arguments))
    config = flags.get("config")
    given = {**({_flag(name): value for name, value in read_toml(Path(config)).items()} if config else {}), **flags}
    if "trust" in flags:
        return Trust()
    env, command = (str(given.get(name) or "").strip() for name in ("env", "env.command"))
    tools = _named([name for name in given if name.rpartition(".")[2] == _EXECUTION], given)
    code = {
        *_named(_CODE, given),
        *_in_variants(flags.get("variants", "")),
        *map(executing, tools),
        env,
        MCP + (command or env.removeprefix(MCP).strip()),
    }
    rules = Trust(set(map(absolute, code)), repeatable=_REPEATABLE.get(arguments[0]))
    recorded = flags.get("resume")
    if arguments[0] == "rescore":
        recorded = next((one for one in arguments[1:] if Path(one).is_dir()), None)
    if recorded:
        rules.rows = "trust_task_endpoints" in flags
        own = _from_environment(Path(recorded), rules)
        rules.addresses = {one.removeprefix(SERVICE) for one in _named(_ADDRESSES, given) | _named(_ADDRESSES, own)}
        rules.variables = _named(_VARIABLES, given) | _named(_VARIABLES, own)
    return rules


def _flags_in(arguments: Sequence[str]) -> list[tuple[str, str]]:
    """Returns each flag with the text after it, which may be another flag."""
    found = []
    for place, argument in enumerate(arguments):
        name, equals, value = argument.removeprefix("--").partition("=")
        if argument.startswith("--"):
            after = arguments[place + 1] if place + 1 < len(arguments) else ""
            found.append((_flag(name.replace("-", "_")), value if equals else after))
    return found


def _flag(name: str) -> str:
    """Returns the flag of a setting of runs by any of its names; other names unchanged."""
    one = core().find(name)
    return name if one is None else one.flag


def _named(flags: Sequence[str], given: Mapping[str, Any]) -> set[str]:
    """Returns the values of some flags, each of which may hold several with commas."""
    return {one.strip() for flag in flags for one in str(given.get(flag) or "").split(",") if one.strip()}


def _in_variants(text: str) -> set[str]:
    """Returns the strategies that the further searches of a race name; see `josh.runs.race.settings`."""
    with suppress(ValueError, RecursionError):
        found = json.loads(text)
        own = found.values() if isinstance(found, dict) else ()
        return {str(one["strategy"]) for one in own if isinstance(one, dict) and "strategy" in one}
    return set()


def _from_environment(folder: Path, rules: Trust) -> dict[str, Any]:
    """Returns the settings that the user's own environment variables give a recorded run's world."""
    settings, found = settings_in_folder(folder), dict[str, Any]()
    if settings is not None:
        with suppress(UsageError), trusting(rules):
            found |= defaults_of({"env": settings.env.name})
    return {**found, "base_url": environment().get("OPENAI_BASE_URL")}
