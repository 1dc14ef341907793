"""`josh evaluate`: models, and reference policies, on the same held-out tasks with the same draws.

An evaluation is a folder of ordinary runs, one for every policy and user model, all with the same seed. Every request's
seed follows from the run's seed and its place (task, path, depth, speaker), and a simulated person's character from the
run's seed and their id, so conversation k of a task meets the same person with the same dice whichever policy speaks.
"""

import json
import shutil
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from josh.errors import UsageError
from josh.roles import BaseEnv
from josh.runs.evaluate.held_out import assert_held_out, seen_by, seen_in, users_of
from josh.runs.evaluate.scores import compared, read_policy_results
from josh.runs.evaluate.settings import EVALUATION_DEFAULTS, NOT_FOR_EVALUATIONS, ROLLOUTS, TEMPERATURE
from josh.runs.evaluate.table import as_table
from josh.runs.intervals import RESAMPLES
from josh.runs.play.runtime import Runtime
from josh.runs.play.sub_runs import SubRun, play_sub_run, sub_run_from, sub_run_to_json
from josh.runs.record.folder import EVALUATION, PLAN, make_folder, read_config, read_summary, slug, write_json
from josh.runs.record.summary import counted, describe_left_out
from josh.runs.registry import CHAT, OFFLINE, USERS, default_for, env_class, label_of, name_of, strategy_of
from josh.runs.resolve import defaults_of, resolve, resume_settings, without_plug_in
from josh.runs.settings import choices_of, core, schema_of
from josh.terminal import screen_width

NOT_MEASURED = {
    "preference_alignment_accuracy": "needs preferences that a user states and an answer key; this world has neither",
    "counterfactual_quality": "needs agents that write down counterfactuals, and a judge; nothing here does",
}
"""What the evaluation guide of the planning-ToM agents asks for beside success rate and turns to success."""


@dataclass(frozen=True, slots=True)
class EvaluationSpec:
    """What an evaluation is to be, beside the settings of its runs.

    Attributes:
        baseline: what sets the baseline apart from the model, by setting; empty for no baseline.
        references: play the environment's reference policies against user models that cost nothing.
        trained_on: runs, export manifests and adapters that the model was trained on, see `held_out.seen_in`; what the
            models' own adapters were trained on is found by itself, as far as their runs are there.
        trained_users: user models it was trained against, as far as those do not say.
    """

    baseline: Mapping[str, Any]
    references: bool = True
    trained_on: tuple[Path, ...] = ()
    trained_users: tuple[str, ...] = ()


def sub_runs_of(given: Mapping[str, Any], spec: EvaluationSpec) -> list[SubRun]:
    """The runs that an evaluation is made of, the baseline's first.

    Args:
        given: settings of `josh run`; those of the user may be several by commas.
        spec: the rest.

    Raises:
        UsageError: the settings make no sense.
    """
    strange = next((name for name in NOT_FOR_EVALUATIONS if given.get(name)), None)
    if strange:
        raise UsageError(f"{strange} is given; an evaluation plays the agent by itself, leave it out")
    env = env_class(given.get("env") or core()["env"].default)
    whole = {**EVALUATION_DEFAULTS, **defaults_of(given), **given}
    users = _users(whole)
    model = {name: value for name, value in whole.items() if name not in _several()}
    policies: list[tuple[str, dict[str, Any]]] = [("model", model)]
    if spec.baseline:
        policies.insert(0, ("baseline", _baseline(model, spec.baseline, env)))
    names = _labels([settings for _, settings in policies], _policy_names, env.agents)
    played = [(name, label, False, settings) for (name, settings), label in zip(policies, names, strict=True)]
    if spec.references:
        offline = {"model": OFFLINE, "temperature": TEMPERATURE, "base_url": None, "api_key_var": None}
        plain = without_plug_in(model, "agent")
        played += [
            (label, label, True, plain | offline | {"agent": name_of(agent)}) for label, agent in env.references.items()
        ]
    found = []
    for name, label, is_reference, settings in played:
        for user, user_label in zip(users, _labels(users, _user_names, env.users), strict=True):
            if is_reference and user.get("user_model", OFFLINE) != OFFLINE:
                continue  # that would have to be paid for
            folder = slug(f"{name}-{user_label}")
            found.append(SubRun(folder, label, user_label, is_reference, resolve(settings | user)))
    twice = [folder for folder, count in Counter(part.folder for part in found).items() if count > 1]
    if twice:
        raise UsageError(f"two runs would both be called {twice[0]!r}; rename a reference or a user model")
    return found


def _baseline(model: Mapping[str, Any], apart: Mapping[str, Any], env: type[BaseEnv]) -> dict[str, Any]:
    """The baseline's settings: the model's, but for what sets it apart."""
    found = {**model, **apart}
    kinds = [one.get("model", OFFLINE) == OFFLINE for one in (model, found)]
    if kinds[0] != kinds[1] and "agent" not in apart:
        found.pop("agent", None)  # an agent without a model cannot play with one, and the other way round
    agents = [one.get("agent") or default_for(one.get("model", OFFLINE), env.agents) for one in (model, found)]
    if agents[0] != agents[1]:
        of_agent = set(model) - set(without_plug_in(model, "agent"))
        found = {name: value for name, value in found.items() if name not in of_agent}
    if kinds[1]:
        for name in ("base_url", "api_key_var"):
            if name not in apart:
                found.pop(name, None)
    return found


def _several() -> list[str]:
    """The settings of the user that may be several by commas: who plays, and where the model is."""
    return [
        flag for flag, one in core().items() if one.path[:1] == ("user",) and one.kind is str and len(one.path) == 2
    ]


def _users(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The settings of every user model, from settings that may be several by commas."""
    lists = {name: [one.strip() for one in str(given[name]).split(",")] for name in _several() if given.get(name)}
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
            if user.get("user_model", OFFLINE) == OFFLINE:  # the addresses are the others'
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
    """What to call them: the shortest kind of name that tells them apart, else numbered."""
    for kind in zip(*(names(one, known) for one in settings), strict=True):
        if len(set(kind)) == len(kind):
            return list(kind)
    return [f"{names(one, known)[0]} ({place})" for place, one in enumerate(settings, 1)]


async def evaluate(given: Mapping[str, Any], spec: EvaluationSpec, groups: bool = False) -> bool:
    """Begin an evaluation and play it to its end, or as far as its budget goes.

    Args:
        given: settings of `josh run`; see `sub_runs_of`.
        spec: the rest.
        groups: show the breakdown by group.

    Returns:
        Whether it came to its end and any conversation could be scored.

    Raises:
        UsageError: a setting is wrong, or the tasks are not held out. Nothing was played then.
        FatalError: going on made no sense.
    """
    parts = sub_runs_of(given, spec)
    each = strategy_of(parts[0].settings.strategy).conversations
    if each < ROLLOUTS:
        few = counted(each, "conversation")
        print(f"josh: {few} per task say little about pass^k and luck; {ROLLOUTS} or more are better", file=sys.stderr)
    seen = seen_in(spec.trained_on)
    policies = seen_by(part.settings.agent.model for part in parts)
    others = seen_by(name.strip() for part in parts for name in part.settings.user.model.split(","))
    seen |= policies.seen | replace(others.seen, users=frozenset())
    unknown = {**policies.unknown, **others.unknown}
    for name, why in unknown.items():
        print(f"josh: not held out from all that {name} was trained on: {why}", file=sys.stderr)
    named: dict[str, frozenset[str]] = {}
    for part in parts:
        runtime = Runtime(part.settings, rehearsed=True)
        try:
            assert_held_out(runtime.tasks, runtime.env, seen)
            named[part.user] = users_of(part.settings, runtime.names)
            called = runtime.env.called
        finally:
            await runtime.aclose()
    met = seen.users | _trained_users(spec.trained_users, named)
    notes = {user: "trained against" if names & met else "not trained against" for user, names in named.items() if met}
    log_dir = Path(parts[0].settings.output.log_dir)
    try:
        folder = make_folder(log_dir, f"eval-{slug(str(parts[0].settings.env.name))}-{datetime.now():%Y%m%d-%H%M%S}")
    except OSError as error:
        raise UsageError(f"cannot write to log_dir {str(log_dir)!r}: {error.strerror}") from None
    sources = dict.fromkeys((*map(str, spec.trained_on), *policies.known, *others.known))
    held_out: dict[str, Any] = {"trained_on": list(sources), "tasks": len(seen.tasks), "people": len(seen.people)}
    held_out |= {"unknown": list(unknown)} if unknown else {}
    plan = {"held_out": held_out, "user_notes": notes, "called": called}
    write_json(folder / PLAN, plan | {"parts": list(map(sub_run_to_json, parts))})
    return await _play(folder, plan | {"parts": parts}, {}, groups)


def _trained_users(names: Sequence[str], evaluated: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """The user models that some names stand for: known classes, or what is evaluated, by its label or its own name."""
    known = {name: frozenset([path]) for name, path in USERS.items()}
    own = {name: frozenset([name]) for each in evaluated.values() for name in each}
    found = {**own, **known, **evaluated}
    strange = next((name for name in names if name not in found), None)
    if strange is not None:
        raise UsageError(f"trained_users: no user model named {strange!r}; known: {', '.join({**known, **evaluated})}")
    return frozenset(user for name in names for user in found[name])


async def resume(folder: Path, given: Mapping[str, Any], groups: bool = False) -> bool:
    """Go on with an evaluation that was broken off, or had errors.

    Args:
        folder: its folder.
        given: settings given anew, of those that change no request.
        groups: show the breakdown by group.

    Returns:
        As `evaluate`.

    Raises:
        UsageError: there is no such evaluation, or a setting cannot be changed.
    """
    plan = read_plan(folder)
    held, notes = plan.get("held_out"), plan.get("user_notes")
    held = held if isinstance(held, dict) and {"tasks", "people"} <= held.keys() else {}
    if not isinstance(held.get("trained_on"), list) or not isinstance(notes, dict):
        raise UsageError(f"{folder / PLAN} does not say what was held out; start a new evaluation")
    for part in plan["parts"]:
        resume_settings(part.settings, given, folder)
    return await _play(folder, plan, given, groups)


def read_plan(folder: Path) -> dict[str, Any]:
    """What an evaluation is made of, with its `SubRun`s. Raises UsageError where the folder holds none."""
    try:
        plan = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{folder} is no evaluation: cannot read {folder / PLAN}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{folder / PLAN} is damaged: {error}") from None
    if not isinstance(plan, dict) or not isinstance(plan.get("parts"), list) or not plan["parts"]:
        raise UsageError(f"{folder / PLAN} holds no plan of an evaluation")
    return plan | {"parts": [sub_run_from(part, folder / PLAN) for part in plan["parts"]]}


async def _play(folder: Path, plan: Mapping[str, Any], given: Mapping[str, Any], groups: bool) -> bool:
    parts: list[SubRun] = plan["parts"]
    try:
        stopped = ""
        for part in parts:
            stopped = await play_sub_run(folder, part, parts, given)
            if stopped:
                break
    except BaseException:
        if any((folder / part.folder).exists() for part in parts):
            print(f"josh: go on with: josh evaluate --resume {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    if stopped:
        name = stopped.split(maxsplit=1)[0]
        print(f"josh: {stopped} is reached: go on with: josh evaluate --resume {folder} --{name} MORE", file=sys.stderr)
        return False
    figures = figures_of(folder, plan)
    write_json(folder / EVALUATION, figures)
    print(_headline(figures))
    print(f"\n{as_table(figures, groups=groups, width=screen_width(sys.stdout))}\n")
    print(f"written to      {folder}/ ({EVALUATION}, and a run's folder for every line)")
    owed = sum(read_summary(folder / part.folder)["owed"] for part in parts)
    if owed:
        print(f"josh: {counted(owed, 'task')} had errors; go on with: josh evaluate --resume {folder}", file=sys.stderr)
    return any(cell["scored"] for cell in figures["results"])


def figures_of(folder: Path, plan: Mapping[str, Any]) -> dict[str, Any]:
    """An evaluation's numbers, from its runs; nothing in them depends on time, or on how often it was resumed."""
    parts: list[SubRun] = plan["parts"]
    samples = [
        read_policy_results(folder / part.folder, part.policy, part.user, read_summary(folder / part.folder))
        for part in parts
    ]
    schema = schema_of(choices_of(parts[0].settings))
    tables = [schema.flat(part.settings) for part in parts]
    apart = [flag for flag, one in schema.items() if one.path[:1] == ("agent",) and not one.rule.resumable]
    shared = {
        name: value
        for name, value in tables[0].items()
        if not schema[name].rule.resumable and name not in (*apart, *_several())
    }
    told = ("agent", "model", "temperature", "user", "user_model")
    runs = [
        {"policy": part.policy, "user": part.user, "reference": part.reference, "run": part.folder}
        | {name: table[name] for name in told}
        | {name: table[name] for name in apart if any(other[name] != table[name] for other in tables)}
        for part, table in zip(parts, tables, strict=True)
    ]
    figures = compared(samples)
    measured = {name for cell in figures["results"] for name in cell["metrics"]}
    return {
        "settings": shared,
        "runs": runs,
        "called": plan.get("called") or f"{shared['env']} task",
        "held_out": plan["held_out"],
        "user_notes": plan["user_notes"],
        "left_out": read_config(folder / parts[0].folder).get("left_out", {}),
        "intervals": {"level": 0.95, "kind": "percentile bootstrap clustered by person", "resamples": RESAMPLES},
        "not_measured": {name: why for name, why in NOT_MEASURED.items() if name not in measured},
        **figures,
    }


def _headline(figures: Mapping[str, Any]) -> str:
    settings, held = figures["settings"], figures["held_out"]
    each = counted(figures["conversations_per_task"], "conversation")
    about, drawn = "", "drawn over tasks"
    if figures["drawn_from"] == "people":
        about, drawn = f", {figures['people']} people", "clustered by person"
    lines = [
        f"{counted(figures['tasks'], figures['called'])} (split {settings['task_split']}{about}), "
        f"{each} each with every user; 95 % intervals, {drawn}"
    ]
    if figures["left_out"]:
        lines.append(f"left out: {describe_left_out(figures['left_out'])}")
    if held["trained_on"]:
        sources = ", ".join(held["trained_on"])
        people = f" and {held['people']} people" if held["people"] else ""
        lines.append(f"held out: nothing of the {held['tasks']} tasks{people} of {sources}")
    elif not held.get("unknown"):
        lines.append("held out: not checked; name the training data's runs or manifests with --trained_on")
    if held.get("unknown"):
        adapters = ", ".join(held["unknown"])
        lines.append(f"not held out from all that {adapters} was trained on; name its runs with --trained_on")
    return "\n".join(lines)
