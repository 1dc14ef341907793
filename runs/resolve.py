"""From given values to the settings of a run.

1. `read_toml` and `defaults_of` collect values from a TOML file and from environment variables.
2. `resolve` adds defaults and addresses, and checks every value alone and with the others.
3. `resume_settings` and `changed` apply new values to recorded settings, by the rules of resuming and rescoring.
"""

import os
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import MISSING, replace
from pathlib import Path
from typing import Any

from josh.config import NOTHING, Setting, build, configured, shown
from josh.errors import UsageError
from josh.models.chat_template import template_text
from josh.models.hf_loading import PREFIX as HF
from josh.models.litellm_chat import PREFIX as LITELLM
from josh.models.litellm_chat import is_for_litellm
from josh.models.openai_chat import OPENAI_URL
from josh.models.service import PREFIX as SERVICE
from josh.runs.model_names import require_meant
from josh.runs.registry import (
    HUMAN,
    OFFLINE,
    PUBLISHED_ENV,
    PUBLISHED_USER_MODEL,
    ROLES,
    ROLLOUTS,
    PlugIn,
    env_class,
    guarded,
    needs_model,
    strategy_of,
)
from josh.runs.settings import (
    AGENT_STRATEGY,
    CONFIRMING,
    PARTS,
    USER_MODE,
    RunSchema,
    RunSettings,
    choices_of,
    core,
    environment,
    flat,
    schema_of,
    search_of,
    spelled_out,
)
from josh.search import Strategy
from josh.texts import read_text
from josh.trust import absolute

_YAML = (".yaml", ".yml")


def read_toml(path: Path, flag: str = "config") -> dict[str, Any]:
    """Returns the settings in a TOML file, in any encoding of Unicode.

    A key in the table of a part has a dotted name, such as `env.difficulty`.

    Args:
        path: the file.
        flag: the flag that names it, for error messages.

    Raises:
        UsageError: the file cannot be read, or is not TOML.
    """
    try:
        text = read_text(path)
    except UsageError as error:
        raise UsageError(f"{flag}: {error}") from None
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        yaml = "; it looks like YAML, and TOML has lines such as: beam_size = 8" if path.suffix in _YAML else ""
        raise UsageError(f"{path} is not TOML: {error}{yaml}") from None
    except RecursionError:
        raise UsageError(f"{path} is not TOML that josh reads: it is nested too deeply") from None
    found: dict[str, Any] = {}
    for key, value in raw.items():
        if key in PARTS and isinstance(value, dict):
            found |= {f"{key}.{name}": each for name, each in value.items()}
        else:
            found[key] = value
    return found


def defaults_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings that the chosen environment reads from environment variables; see `BaseEnv.defaults`.

    Raises:
        UsageError: the environment's class cannot be loaded, or its `defaults` fails.
    """
    name = given.get("env") or core()["env"].default
    kind = env_class(name)
    found = guarded(f"env {name!r}: its defaults()", lambda: kind.defaults(environment()))
    if not isinstance(found, Mapping):
        raise UsageError(f"env {name!r}: its defaults() returned {found!r:.60}; return settings by flag name")
    return dict(found)


ADDRESS = ("model", "base_url", "api_key_var")
"""The settings that say which model a side asks, and where."""


def as_published(given: Mapping[str, Any], spelled: Collection[str]) -> tuple[dict[str, Any], list[str]]:
    """Returns settings with the defaults of the published JOSH, where they are given by its names.

    `agent_strategy` or `user_mode` without `env` means its environment. `user_mode` with a user that needs a model,
    without `user_model`, means its model. No other name changes a default.

    Args:
        given: settings by flag name.
        spelled: the names by which they are given.

    Returns:
        The settings, and one line for each default that was added.

    Raises:
        UsageError: the environment or the user cannot be loaded.
    """
    found, said = dict(given), []
    names = [name for name in (AGENT_STRATEGY, USER_MODE) if name in spelled]
    if names and not found.get("env"):
        found["env"] = PUBLISHED_ENV
        said.append(f"--{names[0]} without --env means --env {PUBLISHED_ENV}")
    if USER_MODE in names and not {**defaults_of(found), **found}.get("user_model"):
        users = [name.strip() for name in str(found["user"]).split(",")]
        if all(needs_model("user", name) for name in users):
            found["user_model"] = PUBLISHED_USER_MODEL
            said.append(f"--{USER_MODE} {found['user']} without --user_model means --user_model {PUBLISHED_USER_MODEL}")
    return found, said


def resolve(
    given: Mapping[str, Any],
    env_defaults: Mapping[str, Any] = NOTHING,
    variables: Mapping[str, str] | None = None,
    *,
    missing: Collection[str] = (),
) -> RunSettings:
    """Returns complete settings: the given value, else the one in `env_defaults`, else the default.

    Args:
        given: settings by flag name.
        env_defaults: see `defaults_of`.
        variables: environment variables with models' addresses (`OPENAI_BASE_URL`); None for the process's own.
        missing: roles whose plug-ins may be missing; a missing plug-in has no settings.

    Raises:
        UsageError: no chosen part has such a setting, or a value is invalid, alone or with another one.
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
    values |= _with_templates(values)
    settings = _built(schema, values)
    strategy = search_of(settings)
    if settings.limits.restarts and settings.agent.sampling.temperature == 0:
        raise UsageError("temperature is 0 with restarts; they would repeat the first search, give one above 0")
    if strategy.resamples and settings.agent.sampling.temperature == 0:
        raise UsageError("temperature is 0 with a search; siblings would be copies of each other, give one above 0")
    for side in settings.people:
        _check_person(side, settings, strategy)
    _check_confirming(settings)
    for role, name, kind in schema.chosen:
        guarded(f"{role} {name!r}", lambda kind=kind, role=role: configured(kind, role, getattr(settings, role).config))  # type: ignore[misc]
    return settings


def _with_templates(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the text of each chat template that is given as a file, so that the run records the text."""
    names = [f"{side}chat_template" for side in ("", "user_", "judge_")]
    return {name: template_text(values[name]) for name in names if values.get(name)}


def _check_addresses(given: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Raises UsageError where an address is given for a speaker or judge that has no chat model."""
    for side in ("", "user_", "judge_"):
        address, model = f"{side}base_url", f"{side}model"
        if given.get(address) and values[model] in (None, OFFLINE):
            raise UsageError(f"{address} is given, but {model} is {values[model]!r}; give --{model} too")


def _check_person(side: str, settings: RunSettings, strategy: Strategy) -> None:
    """Raises UsageError where a person would have several conversations at the same time."""
    concurrency = settings.traffic.max_concurrency
    several = {
        f"strategy is {settings.strategy.name!r}": strategy.searched,
        f"strategy has {strategy.conversations} conversations": strategy.conversations > 1,
        f"max_concurrency is {concurrency}": concurrency > 1,
    }
    found = next((words for words, wrong in several.items() if wrong), None)
    if found:
        raise UsageError(f"{found} with a person for the {side}, who has one conversation at a time; use josh play")


def _check_confirming(settings: RunSettings) -> None:
    """Raises UsageError where settings of confirmations are given without any, or a person would be the fresh user."""
    rule = settings.confirming
    for flag in CONFIRMING[1:]:
        value = getattr(rule, flag)
        if value not in (None, False) and not rule.confirm:
            raise UsageError(f"{flag} is {shown(value)}, but no win is confirmed; give --confirm K too")
    fresh = (rule.confirm_users or settings.user.name or "").split(",")
    if rule.confirm and HUMAN in map(str.strip, fresh):
        raise UsageError(f"confirm is {rule.confirm} with a person for the user; give --confirm_users, or leave it out")
    if rule.confirm_users is not None and not all(map(str.strip, fresh)):
        raise UsageError(f"confirm_users is {rule.confirm_users!r}; one of the names is empty")


def resume_settings(
    before: RunSettings, given: Mapping[str, Any], where: Path, unasked: Collection[str] = ()
) -> RunSettings:
    """Returns the settings of a run that is resumed: the recorded ones, with new values for resumable settings.

    Only settings that change no request and no result are resumable (`Rule.resumable`), and the model of a side that
    has not been asked yet.

    Args:
        before: the recorded settings.
        given: the settings given now, by flag name.
        where: the run's folder.
        unasked: the sides (`agent`, `user`, `judge`) whose model and its address may change.

    Raises:
        UsageError: a setting that is not resumable has another value than before.
    """
    schema, old = schema_of(choices_of(before)), flat(before)
    new = schema.read(spelled_out(given))
    changes: dict[str, Any] = {}
    for flag, value in new.items():
        if flag == "log_dir":
            raise UsageError("log_dir is given; a run is resumed where it is, leave it out")
        one, was = schema[flag], old[flag]
        if one.path[0] in unasked and one.name in ADDRESS:
            changes[flag] = value
        elif not one.rule.resumable and was not in (value, absolute(str(value)), _whole_path(one, value)):
            raise UsageError(
                f"{flag} is {value!r}, and {was!r} in {where}; it changes what is asked: leave it out, or start a new "
                "run"
            )
    kept = resumable(before, given) | changes
    if not kept:
        return before
    for side in ("", "user_", "judge_"):
        # An address that `explicit` filled in belongs to the former model.
        if f"{side}model" in changes and old[f"{side}base_url"] == OPENAI_URL:
            old[f"{side}base_url"] = None
    _check_addresses(kept, {**old, **kept})
    return resolve({**_said(old), **kept}, variables=environment() if changes else NOTHING)


def resumable(before: RunSettings, given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns those of the given settings, by flag, that may change when a run is resumed."""
    schema = schema_of(choices_of(before))
    return {flag: value for flag, value in schema.read(spelled_out(given)).items() if schema[flag].rule.resumable}


def fixed_settings(settings: RunSettings) -> dict[str, Any]:
    """Returns the settings that keep their value when a run is resumed, because they may change a result, by flag."""
    schema = schema_of(choices_of(settings))
    return {flag: value for flag, value in flat(settings).items() if not schema[flag].rule.resumable}


def changed(
    before: RunSettings,
    given: Mapping[str, Any],
    variables: Mapping[str, str] = NOTHING,
    *,
    missing: Collection[str] = (),
) -> RunSettings:
    """Returns settings with some changes. Where a plug-in is replaced, the old one's settings are dropped.

    Args:
        before: the settings.
        given: the new values, by flag name.
        variables: environment variables, which may give the address of a new model.
        missing: roles whose plug-ins may be missing; their settings stay unchanged.

    Raises:
        UsageError: a value is invalid, alone or with another one.
    """
    given, schema = spelled_out(given), schema_of(choices_of(before), missing=missing)
    old = schema.flat(before)
    for role in ROLES:
        if role in given and absolute(str(given[role])) != old[role]:
            for name in schema.of(role):
                old.pop(name, None)
    made = resolve({**_said(old), **given}, variables=variables, missing=missing)
    for role in set(missing) - {role for role, _, _ in schema.chosen}:
        made = replace(made, **{role: replace(getattr(made, role), config=getattr(before, role).config)})
    return made


def without_plug_in(given: Mapping[str, Any], role: str) -> dict[str, Any]:
    """Returns the given settings without those of a role's plug-in, so that another plug-in can take the role."""
    schema = schema_of(given)
    return {
        name: value
        for name, value in given.items()
        if (one := schema.find(name)) is None or one.flag not in schema.of(role)
    }


def explicit(name: str, base_url: str | None, variables: Mapping[str, str]) -> tuple[str, str | None]:
    """Returns a model's name and address, complete enough to find its server without environment variables."""
    if base_url or name in {OFFLINE, ""} or name.startswith((LITELLM, HF, SERVICE)):
        return name, base_url
    if is_for_litellm(name, None, variables):
        return LITELLM + name, None
    return name, variables.get("OPENAI_BASE_URL") or OPENAI_URL


def _said(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns recorded values in the form of given values: without None and empty texts."""
    return {name: value for name, value in values.items() if value not in (None, "")}


def _complete(schema: RunSchema, given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a value for every setting, by flag. Raises UsageError."""
    # Records of earlier versions have None for a default; it counts as a value only where the setting is optional.
    said = {
        name: value
        for name, value in given.items()
        if value is not None or (one := schema.find(name)) is None or one.optional
    }
    values = {flag: one.default for flag, one in schema.items() if one.path} | schema.read(said)
    missing = next((flag for flag, value in values.items() if value is MISSING), None)
    if missing is not None:
        raise UsageError(f"{missing} is not given and has no default; give --{missing}")
    values["strategy"] = values["strategy"] or ROLLOUTS
    if values["temperature"] is None:
        config = {schema[flag].name: values[flag] for flag in schema.of("strategy")}
        searched = strategy_of(PlugIn(name=values["strategy"], config=config)).searched
        values["temperature"] = 1.0 if searched else 0.0
    # Absolute paths are recorded, so that a run can be resumed from any working directory.
    values |= {flag: _whole_path(one, values[flag]) for flag, one in schema.items() if one.path}
    values |= {role: absolute(values[role]) if values[role] else values[role] for role in ROLES}
    if users := values["confirm_users"]:
        values["confirm_users"] = ",".join(absolute(name.strip()) if name.strip() else "" for name in users.split(","))
    values["report_to"] = ",".join(name.strip() for name in values["report_to"].split(","))
    return values


def _whole_path(one: Setting, value: Any) -> Any:
    return os.path.realpath(value) if one.kind is Path and value is not None else value


def _with_addresses(values: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, Any]:
    """Returns names and addresses of all models; they are recorded, so that a resumed run asks the same servers."""
    found: dict[str, Any] = {}
    own_server = variables.get("OPENAI_BASE_URL")
    for side in ("", "user_", "judge_"):
        if not (own_server or values[f"{side}base_url"]):
            for name in (values[f"{side}model"] or "").split(","):
                require_meant(name.strip(), f"{side}model")
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
    """Returns the settings as one object."""
    found: dict[tuple[str, ...], Any] = {}
    for flag, value in values.items():
        one = schema[flag]
        if one.of_plug_in:
            found.setdefault(one.path[:-1], {})[one.name] = value
        else:
            found[one.path] = value
    made: RunSettings = build(RunSettings, found)
    return made
