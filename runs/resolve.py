"""From what was given to a run's settings: defaults, environment variables, checks, and the rules of resumption."""

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import MISSING, replace
from pathlib import Path
from typing import Any

from josh.config import NOTHING, Setting, build, configured
from josh.errors import UsageError
from josh.models.hf_loading import PREFIX as HF
from josh.models.litellm_chat import PREFIX as LITELLM
from josh.models.litellm_chat import is_for_litellm
from josh.models.openai_chat import OPENAI_URL
from josh.runs.registry import OFFLINE, ROLES, ROLLOUTS, PlugIn, env_class, guarded, strategy_of
from josh.runs.settings import (
    PARTS,
    RunSchema,
    RunSettings,
    choices_of,
    core,
    environment,
    flat,
    schema_of,
    spelled_out,
)
from josh.search import Strategy


def read_toml(path: Path) -> dict[str, Any]:
    """What a TOML file gives. What stands in the table of a part of a run has a dotted name, as in `env.difficulty`.

    Raises UsageError.
    """
    try:
        with path.open("rb") as file:
            raw = tomllib.loads(file.read().decode("utf-8-sig"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from None
    found: dict[str, Any] = {}
    for key, value in raw.items():
        if key in PARTS and isinstance(value, dict):
            found |= {f"{key}.{name}": each for name, each in value.items()}
        else:
            found[key] = value
    return found


def defaults_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """What the chosen world takes from environment variables; see `BaseEnv.defaults`. Raises UsageError."""
    return dict(env_class(given.get("env") or core()["env"].default).defaults(environment()))


def resolve(
    given: Mapping[str, Any],
    env_defaults: Mapping[str, Any] = NOTHING,
    variables: Mapping[str, str] | None = None,
    *,
    missing: Collection[str] = (),
) -> RunSettings:
    """Put settings together: what was given, else what the environment's variables say, else the default.

    Args:
        given: settings by flag name.
        env_defaults: see `defaults_of`.
        variables: where `OPENAI_BASE_URL` is looked up; by default the process's environment.
        missing: roles whose plug-ins may be gone, so that they have no settings.

    Raises:
        UsageError: nothing that is chosen has such a setting, or a value makes no sense, alone or with another.
    """
    given = spelled_out(given)
    empty = next((name for name, value in given.items() if value == ""), None)
    if empty:
        raise UsageError(f"{empty} is empty; give a value, or leave it out")
    whole = spelled_out({**env_defaults, **given})
    schema = schema_of(whole, missing=missing)
    values = _complete(schema, whole)
    _check_addresses(given, values)
    values |= _with_addresses(values, environment() if variables is None else variables)
    settings = _built(schema, values)
    strategy = strategy_of(settings.strategy)
    if strategy.searched and settings.agent.sampling.temperature == 0:
        raise UsageError("temperature is 0 with a search; siblings would be copies of each other, give one above 0")
    for side in settings.people:
        _check_person(side, settings, strategy)
    for role, name, kind in schema.chosen:
        guarded(f"{role} {name!r}", lambda kind=kind, role=role: configured(kind, role, getattr(settings, role).config))  # type: ignore[misc]
    return settings


def _check_addresses(given: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Raises UsageError where an address is given for somebody without a chat model."""
    for side in ("", "user_", "judge_"):
        address, model = f"{side}base_url", f"{side}model"
        if given.get(address) and values[model] in (None, OFFLINE):
            raise UsageError(f"{address} is given, but {model} is {values[model]!r}; give --{model} too")


def _check_person(side: str, settings: RunSettings, strategy: Strategy) -> None:
    """Raises UsageError where a person would have several conversations at a time."""
    at_once = settings.traffic.max_concurrency
    several = {
        f"strategy is {settings.strategy.name!r}": strategy.searched,
        f"strategy has {strategy.conversations} conversations": strategy.conversations > 1,
        f"max_concurrency is {at_once}": at_once > 1,
    }
    found = next((words for words, wrong in several.items() if wrong), None)
    if found:
        raise UsageError(f"{found} with a person for the {side}, who has one conversation at a time; use josh play")


def resume_settings(before: RunSettings, given: Mapping[str, Any], where: Path) -> RunSettings:
    """The settings of a run to be resumed: the recorded ones, but for what changes nothing about its requests.

    Args:
        before: the recorded settings.
        given: what was given now.
        where: the run's folder.

    Raises:
        UsageError: a setting that has to stay as it was is given another value.
    """
    schema, old = schema_of(choices_of(before)), flat(before)
    new = schema.read(spelled_out(given))
    for flag, value in new.items():
        if flag == "log_dir":
            raise UsageError("log_dir is given; a run is resumed where it is, leave it out")
        one, was = schema[flag], old[flag]
        if not one.rule.resumable and was not in (value, absolute(value), _whole_path(one, value)):
            raise UsageError(
                f"{flag} is {value!r}, and {was!r} in {where}; it changes what is asked: leave it out, or start a new "
                "run"
            )
    kept = resumable(before, given)
    if not kept:
        return before
    _check_addresses(kept, old)
    return resolve({**_said(old), **kept}, variables=NOTHING)


def resumable(before: RunSettings, given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of some settings, by flag, that a run may be resumed with."""
    schema = schema_of(choices_of(before))
    return {flag: value for flag, value in schema.read(spelled_out(given)).items() if schema[flag].rule.resumable}


def changed(
    before: RunSettings,
    given: Mapping[str, Any],
    variables: Mapping[str, str] = NOTHING,
    *,
    missing: Collection[str] = (),
) -> RunSettings:
    """Settings with some changes, by flag; where a plug-in is replaced, the settings of the old one go with it.

    Args:
        before: the settings.
        given: what changes.
        variables: environment variables, which may give the address of a model that is new.
        missing: roles whose plug-ins may be gone; their settings stay as they are.

    Raises:
        UsageError: a value makes no sense, alone or with another.
    """
    given, schema = spelled_out(given), schema_of(choices_of(before), missing=missing)
    old = schema.flat(before)
    for role in ROLES:
        if role in given and absolute(given[role]) != old[role]:
            for name in schema.of(role):
                old.pop(name, None)
    made = resolve({**_said(old), **given}, variables=variables, missing=missing)
    for role in set(missing) - {role for role, _, _ in schema.chosen}:
        made = replace(made, **{role: replace(getattr(made, role), config=getattr(before, role).config)})
    return made


def without_plug_in(given: Mapping[str, Any], role: str) -> dict[str, Any]:
    """Given settings without those of a role's plug-in, for another plug-in in that role."""
    schema = schema_of(given)
    return {
        name: value
        for name, value in given.items()
        if (one := schema.find(name)) is None or one.flag not in schema.of(role)
    }


def absolute(name: Any) -> Any:
    """A plug-in's `./file.py:Class` with the file's whole path; anything else as it is."""
    file, colon, kind = str(name).rpartition(":")
    return f"{Path(file).resolve()}:{kind}" if colon and file.endswith(".py") else name


def explicit(name: str, base_url: str | None, variables: Mapping[str, str]) -> tuple[str, str | None]:
    """A model's name and address, so that they say all by themselves who is asked."""
    if base_url or name in {OFFLINE, ""} or name.startswith((LITELLM, HF)):
        return name, base_url
    if is_for_litellm(name, None, variables):
        return LITELLM + name, None
    return name, variables.get("OPENAI_BASE_URL") or OPENAI_URL


def _said(values: Mapping[str, Any]) -> dict[str, Any]:
    """Recorded values as if they had been given."""
    return {name: value for name, value in values.items() if value not in (None, "")}


def _complete(schema: RunSchema, given: Mapping[str, Any]) -> dict[str, Any]:
    """A value for every setting, by flag. Raises UsageError."""
    # None stands for the default where it is no value by itself, as it does in records of earlier versions.
    said = {
        name: value
        for name, value in given.items()
        if value is not None or (one := schema.find(name)) is None or one.optional
    }
    values = {flag: one.default for flag, one in schema.items() if one.path} | schema.read(said)
    missing = next((flag for flag, value in values.items() if value is MISSING), None)
    if missing is not None:
        raise UsageError(f"{missing} is not given, and has no default; give --{missing}")
    values["strategy"] = values["strategy"] or ROLLOUTS
    if values["temperature"] is None:
        config = {schema[flag].name: values[flag] for flag in schema.of("strategy")}
        searched = strategy_of(PlugIn(name=values["strategy"], config=config)).searched
        values["temperature"] = 1.0 if searched else 0.0
    # Recorded so, a run can be resumed from anywhere.
    values |= {flag: _whole_path(one, values[flag]) for flag, one in schema.items() if one.path}
    values |= {role: absolute(values[role]) if values[role] else values[role] for role in ROLES}
    values["report_to"] = ",".join(name.strip() for name in values["report_to"].split(","))
    return values


def _whole_path(one: Setting, value: Any) -> Any:
    return str(Path(value).resolve()) if one.kind is Path and value is not None else value


def _with_addresses(values: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, Any]:
    """Names and addresses of all models, so that they are recorded, and a resumption asks the same servers."""
    found: dict[str, Any] = {}
    for side in ("", "judge_"):
        model = values[f"{side}model"]
        if model is not None:
            found[f"{side}model"], found[f"{side}base_url"] = explicit(model, values[f"{side}base_url"], variables)
    if not values["user_base_url"]:
        pairs = [explicit(name.strip(), None, variables) for name in values["user_model"].split(",")]
        urls = {url for _, url in pairs}
        found["user_model"] = ",".join(name for name, _ in pairs)
        found["user_base_url"] = urls.pop() if len(urls) == 1 else ",".join(url or "" for _, url in pairs)
    return found


def _built(schema: RunSchema, values: Mapping[str, Any]) -> RunSettings:
    """The settings as one value."""
    found: dict[tuple[str, ...], Any] = {}
    for flag, value in values.items():
        one = schema[flag]
        if one.of_plug_in:
            found.setdefault(one.path[:-1], {})[one.name] = value
        else:
            found[one.path] = value
    made: RunSettings = build(RunSettings, found)
    return made
