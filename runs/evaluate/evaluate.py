"""`josh evaluate`: play models and reference policies on the same held-out tasks with the same seeds.

An evaluation is a folder of ordinary runs, one for every policy and user model, all with the same seed. The seed of a
request follows from the run's seed and the request's position (task, path, depth, speaker). The character of a
simulated person follows from the run's seed and the person's id. So conversation k of a task has the same person and
the same random draws for every policy.
"""

import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from josh.errors import UsageError
from josh.runs.evaluate.held_out import assert_held_out, seen_by, seen_in, users_of
from josh.runs.evaluate.parts import EvaluationSpec, several_users, sub_runs_of
from josh.runs.evaluate.scores import compared, read_policy_results
from josh.runs.evaluate.settings import ROLLOUTS, agents_flags, unread_by_baseline
from josh.runs.evaluate.suite_figures import suite_figures, suite_headline, suite_output, suite_table
from josh.runs.evaluate.suites import Suite, suite_of
from josh.runs.evaluate.table import as_table
from josh.runs.intervals import RESAMPLES
from josh.runs.play.destinations import trust_flag
from josh.runs.play.fit import check_fit
from josh.runs.play.runtime import Runtime
from josh.runs.play.sub_runs import SubRun, budget_left, play_sub_run, sub_run_from, sub_run_to_json, whole_limit
from josh.runs.play.unread import refuse_unread, require_read, unread, unread_first
from josh.runs.play.workers.playing import require_executor
from josh.runs.probe.probing import PROBE_FOLDER, Probed, probe_in
from josh.runs.probe.report import as_text as probe_as_text
from josh.runs.probe.settings import ProbeSettings, settings_of_runs
from josh.runs.record.folder import (
    EVALUATION,
    EVALUATION_KIND,
    PLAN,
    make_folder,
    read_config,
    read_summary,
    require_resumable,
    slug,
    write_json,
)
from josh.runs.record.headline import short_name
from josh.runs.record.summary import counted, describe_left_out
from josh.runs.registry import USERS, strategy_of
from josh.runs.resolve import resume_settings
from josh.runs.settings import choices_of, schema_of
from josh.terminal import screen_width
from josh.texts import json_fault

NOT_MEASURED = {
    "preference_alignment_accuracy": "needs preferences that a user states and an answer key; this world has neither",
    "counterfactual_quality": "needs agents that write down counterfactuals, and a judge of them; josh has neither",
}
"""Measures that the evaluation guide of the planning-ToM agents asks for, and why an evaluation lacks them."""


@dataclass(frozen=True, slots=True)
class Printing:
    """How an evaluation prints its result.

    Attributes:
        groups: print the breakdown by group.
        output: also write the results of the suite into this file, as one JSON object; None for no file.
        as_json: print the numbers of `evaluation.json`, with its `folder`, as one JSON object, and nothing else.
        ended: is called with the folder when the result is printed; it writes the page.
    """

    groups: bool = False
    as_json: bool = False
    output: Path | None = None
    ended: Callable[[Path], None] | None = None


async def evaluate(given: Mapping[str, Any], spec: EvaluationSpec, printing: Printing = Printing()) -> bool:
    """Begin an evaluation and play it until it is complete or its budget is spent.

    Args:
        given: settings of `josh run`; see `sub_runs_of`.
        spec: the rest of the request.
        printing: how the result is printed.

    Returns:
        Whether the evaluation is complete and at least one conversation of every policy was scored.

    Raises:
        UsageError: a setting is wrong, or the tasks are not held out; nothing was played.
        FatalError: an error made it useless to go on.
    """
    parts = sub_runs_of(given, spec)
    each = strategy_of(parts[0].settings.strategy).conversations
    if each < ROLLOUTS and spec.suite is None:
        few = counted(each, "conversation")
        print(f"josh: {few} per task cannot estimate pass^k well; give {ROLLOUTS} or more rollouts", file=sys.stderr)
    require_executor(parts[0].settings)
    seen = seen_in(spec.trained_on)
    policies = seen_by(part.settings.agent.model for part in parts)
    others = seen_by(name.strip() for part in parts for name in part.settings.user.model.split(","))
    seen |= policies.seen | replace(others.seen, users=frozenset())
    unknown = {**policies.unknown, **others.unknown}
    for name, why in unknown.items():
        print(f"josh: cannot check all training data of {name}: {why}", file=sys.stderr)
    named: dict[str, frozenset[str]] = {}
    rehearsed = []
    for part in parts:
        with unread_first(given, lambda: [Runtime(one.settings, recorded=True) for one in parts]):
            runtime = Runtime(part.settings, rehearsed=True)
        rehearsed.append(runtime)
        check_fit(runtime)
        try:
            assert_held_out(runtime.tasks, runtime.env, seen)
            named[part.user] = users_of(part.settings, runtime.names)
            called = runtime.env.called
        finally:
            await runtime.aclose()
    refuse_unread(rehearsed, given)
    if spec.probe:
        probe_settings(parts)
    first = [run for part, run in zip(parts, rehearsed, strict=True) if part.policy == parts[0].policy]
    _refuse_unread_baseline(spec.baseline, first)
    met = seen.users | _trained_users(spec.trained_users, named)
    notes = {user: "trained against" if names & met else "not trained against" for user, names in named.items() if met}
    log_dir = Path(parts[0].settings.output.log_dir)
    try:
        folder = make_folder(
            log_dir, f"eval-{slug(short_name(str(parts[0].settings.env.name)))}-{datetime.now():%Y%m%d-%H%M%S}"
        )
    except OSError as error:
        raise UsageError(f"cannot write to log_dir {str(log_dir)!r}: {error.strerror}") from None
    sources = dict.fromkeys((*map(str, spec.trained_on), *policies.known, *others.known))
    held_out: dict[str, Any] = {"trained_on": list(sources), "tasks": len(seen.tasks), "people": len(seen.people)}
    held_out |= {"unknown": list(unknown)} if unknown else {}
    plan: dict[str, Any] = {"held_out": held_out, "user_notes": notes, "called": called}
    plan |= {"suite": spec.suite.name} if spec.suite else {}
    plan |= {"probe": True} if spec.probe else {}
    write_json(folder / PLAN, plan | {"parts": list(map(sub_run_to_json, parts))})
    return await _play(folder, plan | {"parts": parts}, {}, printing)


def _refuse_unread_baseline(baseline: Mapping[str, Any], runs: Sequence[Runtime]) -> None:
    """Raises UsageError for a setting of the baseline that none of its runs reads."""
    flags = {flag: baseline[agents] for flag, agents in agents_flags().items() if agents in baseline}
    require_read(flags, [unread_by_baseline(unread(run)) for run in runs])


def _trained_users(names: Sequence[str], evaluated: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """Returns the user models that some names mean.

    A name is a registered user class, the label of an evaluated user model, or the name of its class or chat model.
    """
    known = {name: frozenset([path]) for name, path in USERS.items()}
    own = {name: frozenset([name]) for each in evaluated.values() for name in each}
    found = {**own, **known, **evaluated}
    strange = next((name for name in names if name not in found), None)
    if strange is not None:
        raise UsageError(f"trained_users: no user model named {strange!r}; known: {', '.join({**known, **evaluated})}")
    return frozenset(user for name in names for user in found[name])


async def resume_evaluation(folder: Path, given: Mapping[str, Any], printing: Printing = Printing()) -> bool:
    """Continue an evaluation that was interrupted or had errors.

    Args:
        folder: the evaluation's folder.
        given: new values of resumable settings, which change no request.
        printing: how the result is printed.

    Returns:
        See `evaluate`.

    Raises:
        UsageError: the folder holds no evaluation, or a setting cannot be changed.
    """
    require_resumable(folder, EVALUATION_KIND)
    plan = read_evaluation_plan(folder)
    held, notes = plan.get("held_out"), plan.get("user_notes")
    held = held if isinstance(held, dict) and {"tasks", "people"} <= held.keys() else {}
    if not isinstance(held.get("trained_on"), list) or not isinstance(notes, dict):
        raise UsageError(f"{folder / PLAN} does not name the held-out data; start a new evaluation")
    for part in plan["parts"]:
        resume_settings(part.settings, given, folder)
    return await _play(folder, plan, given, printing)


def read_evaluation_plan(folder: Path) -> dict[str, Any]:
    """Returns an evaluation's plan; its `parts` are `SubRun`s. Raises UsageError if the folder holds no evaluation."""
    try:
        plan = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{folder} is not an evaluation: cannot read {folder / PLAN}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{folder / PLAN} is damaged: {json_fault(error)}") from None
    if not isinstance(plan, dict) or not isinstance(plan.get("parts"), list) or not plan["parts"]:
        raise UsageError(f"{folder / PLAN} is not the plan of an evaluation; give the folder of an evaluation")
    return plan | {"parts": [sub_run_from(part, folder / PLAN) for part in plan["parts"]]}


async def _play(folder: Path, plan: Mapping[str, Any], given: Mapping[str, Any], printing: Printing) -> bool:
    parts: list[SubRun] = plan["parts"]
    again = f"go on with: josh evaluate --resume {folder}{trust_flag(part.settings for part in parts)}"
    try:
        stopped = ""
        for part in parts:
            stopped = await play_sub_run(folder, part, parts, given)
            if stopped:
                break
        probed = None if stopped or not plan.get("probe") else await _probed(folder, parts, given)
        stopped = probed.stopped if probed is not None else stopped
    except BaseException:
        if any((folder / part.folder).exists() for part in parts):
            print(f"josh: {again}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    if stopped:
        name = stopped.split(maxsplit=1)[0]
        print(
            f"josh: {stopped} is reached: {again} --{name} MORE",
            file=sys.stderr,
        )
        return False
    figures = evaluation_figures(folder, plan) | ({} if probed is None else {"probe": probed.figures})
    write_json(folder / EVALUATION, figures)
    if printing.output is not None:
        _write_output(printing.output, folder, plan, figures)
    if printing.as_json:
        print(json.dumps({"folder": str(folder), **figures}, indent=1))
    else:
        suite = suite_in(plan)
        print(_headline(figures, suite))
        width = screen_width(sys.stdout)
        table_of = as_table if suite is None else suite_table
        table = table_of(figures, groups=printing.groups, width=width)
        print(f"\n{table}\n")
        print(f"written to      {folder}/ ({EVALUATION}, and a run's folder for every line)")
        if probed is not None:
            print(f"\n{probe_as_text(probed.figures, str(probed.folder), width)}")
    if printing.ended is not None:
        printing.ended(folder)
    owed = sum(read_summary(folder / part.folder)["owed"] for part in parts)
    if owed:
        print(
            f"josh: {counted(owed, 'task')} had errors; {again}",
            file=sys.stderr,
        )
    return all(cell["scored"] for cell in figures["results"])


def probe_settings(parts: Sequence[SubRun]) -> ProbeSettings:
    """Returns the settings of the probe of an evaluation's model and its baseline.

    Raises:
        UsageError: there are several models, or no chat model before the tuning.
    """
    models, baselines = (
        [part for part in parts if part.folder.startswith(f"{name}-")] for name in ("model", "baseline")
    )
    if len({part.policy for part in models}) > 1:
        raise UsageError("probe is given with several models; give one --model, or leave it out")
    return settings_of_runs(models[0].settings, baselines[0].settings if baselines else None)


async def _probed(folder: Path, parts: Sequence[SubRun], given: Mapping[str, Any]) -> Probed:
    """Returns the probe of an evaluation, begun or continued with what is left of the budget."""
    settings = probe_settings([replace(part, settings=resume_settings(part.settings, given, folder)) for part in parts])
    spending, stopped = budget_left(folder, parts, settings.spending)
    if stopped:
        return Probed(folder / PROBE_FOLDER, {"truncated": stopped})
    done = await probe_in(folder / PROBE_FOLDER, replace(settings, spending=spending))
    whole = whole_limit(done.stopped, settings.spending) or None
    return replace(done, figures={**done.figures, "truncated": whole})


def _write_output(path: Path, folder: Path, plan: Mapping[str, Any], figures: Mapping[str, Any]) -> None:
    """Write the results of a suite into a file of the user's."""
    suite, parts = suite_in(plan), plan["parts"]
    assert suite is not None, "output is refused without a suite"
    samples = [
        read_policy_results(folder / part.folder, part.policy, part.user, read_summary(folder / part.folder))
        for part in parts
    ]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"folder": str(folder), **suite_output(suite, figures, samples)})
    except OSError as error:
        raise UsageError(f"cannot write output {str(path)!r}: {error.strerror}; {folder / EVALUATION} has it") from None


def evaluation_figures(folder: Path, plan: Mapping[str, Any]) -> dict[str, Any]:
    """Returns an evaluation's numbers, from its runs. They depend neither on time nor on how often it was resumed."""
    parts: list[SubRun] = plan["parts"]
    samples = [
        read_policy_results(folder / part.folder, part.policy, part.user, read_summary(folder / part.folder))
        for part in parts
    ]
    schema = schema_of(choices_of(parts[0].settings))
    tables = [schema.flat(part.settings) for part in parts]
    apart = [flag for flag, one in schema.items() if one.path[:1] == ("agent",) and not one.rule.resumable]
    suite = suite_in(plan)
    if suite is not None and suite.second is not None:  # the users' settings differ too
        apart += [name for name in tables[0] if any(other.get(name) != tables[0][name] for other in tables)]
    shared = {
        name: value
        for name, value in tables[0].items()
        if not schema[name].rule.resumable and name not in (*apart, *several_users())
    }
    identity = ("agent", "model", "temperature", "user", "user_model")
    runs = [
        {"policy": part.policy, "user": part.user, "reference": part.reference, "run": part.folder}
        | {name: table[name] for name in identity}
        | {name: table[name] for name in apart if any(other.get(name) != table[name] for other in tables)}
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
        **({} if suite is None else {"suite": suite_figures(suite, samples)}),
    }


def suite_in(plan: Mapping[str, Any]) -> Suite | None:
    """Returns the suite of an evaluation's plan; None for none. Raises UsageError where there is no such suite."""
    name = plan.get("suite")
    return None if name is None else suite_of(str(name))


def _headline(figures: Mapping[str, Any], suite: Suite | None) -> str:
    settings, held = figures["settings"], figures["held_out"]
    each = counted(figures["conversations_per_task"], "conversation")
    about, drawn = "", "drawn over tasks"
    if figures["drawn_from"] == "people":
        about, drawn = f", {figures['people']} people", "clustered by person"
    lines = [
        f"{counted(figures['tasks'], figures['called'])} (split {settings['task_split']}{about}), "
        f"{each} each with every user; 95 % intervals, {drawn}"
        if suite is None
        else suite_headline(suite, figures)
    ]
    if figures["left_out"]:
        lines.append(f"left out: {describe_left_out(figures['left_out'])}")
    if held["trained_on"]:
        sources = ", ".join(held["trained_on"])
        people = f" and {held['people']} people" if held["people"] else ""
        lines.append(f"held out: none of the {held['tasks']} tasks{people} of {sources}")
    elif not held.get("unknown"):
        lines.append("held out: not checked; name the training data's runs or manifests with --trained_on")
    if held.get("unknown"):
        adapters = ", ".join(held["unknown"])
        lines.append(f"held out: not checked against all training data of {adapters}; name its runs with --trained_on")
    return "\n".join(lines)
