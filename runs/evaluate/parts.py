"""The runs of an evaluation: every policy with every user model, by the settings of each."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from josh.errors import UsageError
from josh.roles import BaseEnv
from josh.runs.evaluate.settings import EVALUATION_DEFAULTS, NOT_FOR_EVALUATIONS, TEMPERATURE, agents_flags
from josh.runs.evaluate.suites import Suite
from josh.runs.play.sub_runs import SubRun
from josh.runs.record.folder import slug
from josh.runs.registry import CHAT, OFFLINE, default_for, env_class, label_of, name_of, said
from josh.runs.resolve import defaults_of, resolve, without_plug_in
from josh.runs.settings import core, schema_of


@dataclass(frozen=True, slots=True)
class EvaluationSpec:
    """The request for an evaluation, beside the settings of its runs.

    Attributes:
        baseline: the settings in which the baseline differs from the model, by flag; empty for no baseline.
        references: play the environment's reference policies against the offline user models, which cost nothing.
        trained_on: runs, export manifests and adapters that the model was trained on, see `held_out.seen_in`. The
            evaluation finds the training runs of local adapters itself, if their folders still exist.
        trained_users: user models that the model was trained against and that these sources do not name.
        suite: the suite that the runs belong to; None for none.
        policies: further policies: for each its name, and the settings in which it differs from the model, by flag.
        probe: also check the general ability of the model and its baseline (`josh probe`).
    """

    baseline: Mapping[str, Any]
    references: bool = True
    trained_on: tuple[Path, ...] = ()
    trained_users: tuple[str, ...] = ()
    suite: Suite | None = None
    policies: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    probe: bool = False


FIRST, SECOND = "first", "second"
"""What follows a policy's name where it plays in both orders."""


def sub_runs_of(given: Mapping[str, Any], spec: EvaluationSpec) -> list[SubRun]:
    """Returns the runs of an evaluation, the baseline's runs first.

    Args:
        given: settings of `josh run`; the model and the settings of the user may hold several values, separated by
            commas. Every model plays with every user, and the first policy is the one that others are compared with.
        spec: the rest of the request.

    Raises:
        UsageError: a setting is wrong.
    """
    strange = next((name for name in NOT_FOR_EVALUATIONS if given.get(name)), None)
    if strange:
        raise UsageError(f"{strange} is given; an evaluation plays without a search, leave it out")
    given = {**(spec.suite.settings if spec.suite else {}), **given}
    env = env_class(given.get("env") or core()["env"].default)
    whole = {**EVALUATION_DEFAULTS, **defaults_of(given), **given}
    users = _users(whole)
    model = {name: value for name, value in whole.items() if name not in several_users()}
    models = _models(model)
    policies: list[tuple[str, dict[str, Any]]] = [("model", one) for one in models]
    if spec.baseline:
        policies.insert(0, ("baseline", _baseline(models[0], spec.baseline, env)))
    names = _labels([settings for _, settings in policies], _policy_names, env.agents)
    played = [
        (name if name != "model" or len(models) == 1 else f"model-{label}", label, False, settings)
        for (name, settings), label in zip(policies, names, strict=True)
    ]
    played += [(name, name, False, _further(name, models[0], apart, env)) for name, apart in spec.policies.items()]
    if taken := next((name for name in spec.policies if name in names), ""):
        raise UsageError(f"policies has {taken!r}, and another policy has that name; give it another name")
    if spec.references:
        offline = {"model": OFFLINE, "temperature": TEMPERATURE, "base_url": None, "api_key_var": None}
        plain = without_plug_in(models[0], "agent")
        played += [
            (label, label, True, plain | offline | {"agent": name_of(said(env, "references", agent))})
            for label, agent in env.references.items()
            if label not in (*names, *spec.policies)
        ]
    found = []
    for name, label, is_reference, settings in played:
        for user, user_label in zip(users, _labels(users, _user_names, env.users), strict=True):
            if is_reference and user.get("user_model", OFFLINE) != OFFLINE:
                continue  # a reference policy against a paid user model would cost money
            folder, chosen = slug(f"{name}-{user_label}"), settings | user
            if spec.suite is None or spec.suite.second is None:
                found.append(SubRun(folder, label, user_label, is_reference, resolve(chosen)))
                continue
            other = {**swapped(chosen), **spec.suite.second}
            found.append(SubRun(folder, f"{label} {FIRST}", user_label, is_reference, resolve(chosen)))
            found.append(SubRun(f"{folder}-swapped", f"{label} {SECOND}", user_label, is_reference, resolve(other)))
    twice = [folder for folder, count in Counter(part.folder for part in found).items() if count > 1]
    if twice:
        raise UsageError(f"two runs have the name {twice[0]!r}; rename a reference policy or a user model")
    return found


def swapped(given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns settings in which agent and user change places, with their plug-ins' settings and their models."""
    sides = {"agent": "user", "user": "agent"}
    flags = {one.path: flag for flag, one in core().items() if one.path[:1] in (("agent",), ("user",))}
    names = {flag: flags[(sides[path[0]], *path[1:])] for path, flag in flags.items()}
    schema = schema_of(given)
    for role, other in sides.items():
        names |= {flag: f"{other}.{schema[flag].name}" for flag in schema.of(role)}
    found = {one.flag if (one := schema.find(name)) is not None else name: value for name, value in given.items()}
    return {names.get(flag, flag): value for flag, value in found.items()}


def _baseline(model: Mapping[str, Any], apart: Mapping[str, Any], env: type[BaseEnv]) -> dict[str, Any]:
    """Returns the baseline's settings: those of the model, changed by `apart`."""
    found = {**model, **apart}
    kinds = [one.get("model", OFFLINE) == OFFLINE for one in (model, found)]
    if kinds[0] != kinds[1] and "agent" not in apart:
        found.pop("agent", None)  # an agent for a model cannot play offline, and an offline agent uses no model
    agents = [one.get("agent") or default_for(one.get("model", OFFLINE), env.agents) for one in (model, found)]
    if agents[0] != agents[1]:
        of_agent = set(model) - set(without_plug_in(model, "agent"))
        found = {name: value for name, value in found.items() if name not in of_agent}
    if kinds[1] and apart.get("base_url"):
        raise UsageError("baseline_base_url is given, but baseline is 'offline'; give --baseline too")
    if kinds[1]:
        for name in ("base_url", "api_key_var"):
            if name not in apart:
                found.pop(name, None)
    return found


def policies_in(text: str) -> dict[str, dict[str, Any]]:
    """Returns further policies, from the JSON object of `--policies`; none for an empty text. Raises UsageError."""
    if not text:
        return {}
    try:
        found = json.loads(text)
    except ValueError as error:
        raise UsageError(f"policies is {text!r:.60}, which is not JSON ({error}); give an object") from None
    if not isinstance(found, dict) or not all(isinstance(one, dict) and one for one in found.values()):
        raise UsageError(f"policies is {text!r:.60}; give a JSON object with the settings of each policy")
    return found


def _further(name: str, model: Mapping[str, Any], apart: Mapping[str, Any], env: type[BaseEnv]) -> dict[str, Any]:
    """Returns the settings of a further policy. Raises UsageError for a setting that is not one of the agent's."""
    known = agents_flags().values()
    if strange := next((flag for flag in apart if flag not in known and not flag.startswith("agent.")), ""):
        raise UsageError(f"policies gives {strange} to {name!r}; give settings of the agent, such as agent or model")
    return {**_baseline(model, apart, env), **apart}


def _models(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the settings of every model, from a `model` that may hold several names, separated by commas.

    `base_url` and `api_key_var` then hold one value, or one for each model.
    """
    names = [one.strip() for one in str(given.get("model") or "").split(",")]
    if len(names) == 1:
        return [dict(given)]
    if twice := next((name for place, name in enumerate(names) if name in names[:place]), ""):
        raise UsageError(f"the model {twice} is given twice; give each once")
    if not all(names):
        raise UsageError(f"model is {given['model']!r}; give names with a comma between two of them")
    found = [{**given, "model": name} for name in names]
    for flag in ("base_url", "api_key_var"):
        values = [one.strip() for one in str(given[flag]).split(",")] if given.get(flag) else [None]
        if len(values) not in (1, len(names)):
            raise UsageError(f"{flag} has {len(values)} values for {len(names)} models; give one, or one for each")
        for place, one in enumerate(found):
            one[flag] = None if one["model"] == OFFLINE else values[place % len(values)] or None
    return found


def several_users() -> list[str]:
    """Returns the settings of the user that may hold several values: the user, its model, and the model's address."""
    return [
        flag for flag, one in core().items() if one.path[:1] == ("user",) and one.kind is str and len(one.path) == 2
    ]


def _users(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the settings of every user model, from settings that may hold several values, separated by commas."""
    lists = {name: [one.strip() for one in str(given[name]).split(",")] for name in several_users() if given.get(name)}
    count = max(map(len, lists.values()), default=1)
    for name, values in lists.items():
        if len(values) not in (1, count):
            raise UsageError(f"{name} has {len(values)} values for {count} user models; give one, or one for each")
    users = [{name: values[place % len(values)] for name, values in lists.items()} for place in range(count)]
    if count > 1:
        twice = next((user for place, user in enumerate(users) if user in users[:place]), None)
        if twice is not None:
            raise UsageError(f"the user model {' '.join(twice.values())} is given twice; give each once")
        for user in users:
            if user.get("user_model", OFFLINE) == OFFLINE:  # the addresses belong to the other user models
                for name in ("user_base_url", "user_api_key_var"):
                    user.pop(name, None)
    return users


def _policy_names(settings: Mapping[str, Any], agents: Mapping[str, str | type]) -> list[str]:
    model, temperature = settings.get("model", OFFLINE), settings["temperature"]
    agent = settings.get("agent") or label_of(default_for(model, agents)) or "agent"
    name = agent if model == OFFLINE else model
    return [str(name), f"{name} T={temperature:g}", f"{name} {agent}", f"{name} at {settings.get('base_url')}"]


def _user_names(settings: Mapping[str, Any], users: Mapping[str, str | type]) -> list[str]:
    model = settings.get("user_model", OFFLINE)
    user = settings.get("user") or label_of(users.get(OFFLINE if model == OFFLINE else CHAT)) or "user"
    name = user if model == OFFLINE else model
    return [str(name), f"{name} {user}", f"{name} at {settings.get('user_base_url')}"]


def _labels(settings: Sequence[Mapping[str, Any]], names: Any, known: Mapping[str, str | type]) -> list[str]:
    """Returns distinct labels: the shortest kind of name that is different for all, otherwise numbered names."""
    for kind in zip(*(names(one, known) for one in settings), strict=True):
        if len(set(kind)) == len(kind):
            return list(kind)
    return [f"{names(one, known)[0]} ({place})" for place, one in enumerate(settings, 1)]
