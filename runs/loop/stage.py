"""Do one stage of a loop. A stage has its own process, so its models and threads are gone before the next stage."""

import asyncio
import shutil
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import replace
from math import floor
from pathlib import Path
from typing import Any

from josh.errors import FatalError
from josh.memory import relax_gc
from josh.runs.export.export import NoRowsError, export, print_summary
from josh.runs.loop.plan import ADAPTERS, BASE_POLICY, CONTROL, MODEL, Plan, Stage, adapter_of, choice_of, search_of
from josh.runs.loop.settings import ALL, LAST
from josh.runs.play.destinations import trust_flag
from josh.runs.play.sub_runs import SubRun, budget_left, play_sub_run, whole_limit
from josh.runs.probe.probing import PROBE_FOLDER, probe_in
from josh.runs.probe.report import sentence
from josh.runs.probe.settings import settings_of_runs
from josh.runs.record.folder import CONFIG, EPISODES, read_settings, read_summary
from josh.runs.record.stored import stored_episodes
from josh.runs.record.summary import counted
from josh.runs.registry import strategy_of
from josh.runs.resolve import changed, resume_settings
from josh.runs.train.adapter_folder import CARD
from josh.runs.train.settings import resolve_training
from josh.runs.train.tiny import Tiny, build
from josh.runs.train.train import train

Done = dict[str, Any]
"""The note of a complete stage; `result` is a line about its result."""


class BudgetSpentError(FatalError):
    """The loop's budget is spent; the text names the limit and the flag that raises it."""


def run_stage(folder: Path, plan: Plan, stage: Stage, given: Mapping[str, Any], unit: str) -> Done:
    """Do a stage, or continue an interrupted one.

    Args:
        folder: the loop's folder.
        plan: the loop.
        stage: the stage.
        given: new values of resumable settings of runs, which change no request.
        unit: the unit of rewards.

    Returns:
        The stage's note; `result` is a line about its result.

    Raises:
        UsageError: a setting is wrong, or the disk is full.
        FatalError: an error made it useless to go on, or the budget is spent.
    """
    if stage.kind == "model":
        made = build(
            folder / MODEL, Tiny(plan.settings.tiny_size, plan.run["seed"], env=plan.run["env"]), progress=True
        )
        return {"result": f"{made['parameters']:,} parameters, loss {made['loss']:.2f}"}
    if stage.kind == "train":
        return _train(folder, plan, stage)
    relax_gc()
    if stage.kind == PROBE_FOLDER:
        return _probe(folder, plan, given)
    for name in stage.plays:
        part = plan.part(name)
        if stage.kind == "sample":
            part = replace(part, settings=changed(part.settings, {"rollouts": conversations(folder, part)}))
        stopped = asyncio.run(play_sub_run(folder, part, plan.parts, given))
        if stopped:
            raise _spent(folder, plan, stopped)
        if not read_summary(folder / name)["scored"]:
            why = read_summary(folder / name)["first_error"]
            raise FatalError(f"{name}: every conversation ended with an error; the first: {why}")
    return {"result": _result_line(folder, stage, unit)}


def _spent(folder: Path, plan: Plan, stopped: str) -> BudgetSpentError:
    """Returns the error for a limit that is reached, such as `max_calls 100`."""
    flag, limit = trust_flag(part.settings for part in plan.parts), stopped.split(maxsplit=1)[0]
    return BudgetSpentError(f"{stopped} is reached; go on with: josh loop --resume {folder}{flag} --{limit} MORE")


def _probe(folder: Path, plan: Plan, given: Mapping[str, Any]) -> Done:
    """Check the general ability of the base and the last round's model."""
    last, base = (
        resume_settings(next(part for part in plan.parts if part.policy == policy).settings, given, folder)
        for policy in (f"round {plan.settings.rounds}", BASE_POLICY)
    )
    settings = settings_of_runs(last, base)
    spending, stopped = budget_left(folder, plan.parts, settings.spending)
    if not stopped:
        done = asyncio.run(probe_in(folder / PROBE_FOLDER, replace(settings, spending=spending)))
        stopped = whole_limit(done.stopped, settings.spending)
    if stopped:
        raise _spent(folder, plan, stopped)
    return {"result": sentence(done.figures)}


def conversations(folder: Path, part: SubRun) -> int:
    """Returns how many plain conversations per task have about as many turns of the agent as the first search, or more.

    It divides the search's turns per task by the mean turns of the base's test conversations, rounds down and adds one.
    """
    if (folder / part.folder / CONFIG).exists():
        return strategy_of(read_settings(folder / part.folder).strategy).conversations
    summary = read_summary(folder / search_of(1))
    each = read_summary(folder / f"{BASE_POLICY}-{part.user}")["mean_rounds"]
    replies = sum(episode.agent_turns for _, episode in stored_episodes(folder / search_of(1) / EPISODES, []))
    return floor(replies / float(summary["finished"] * each)) + 1


def _result_line(folder: Path, stage: Stage, unit: str) -> str:
    summary = read_summary(folder / stage.plays[0])
    share, mean = summary["success_rate"], summary["average_reward"]
    missing = f"; {summary['infra_errors']} not scored" if summary.get("infra_errors") else ""
    if stage.kind == "search":
        return f"won on {share:.2f} of {summary['scored']} tasks, best paths {unit}{mean:.2f}{missing}"
    if len(stage.plays) > 1:
        return f"{len(stage.plays)} runs"
    return f"{share:.2f} of conversations won, {unit}{mean:.2f}{missing}"


def _train(folder: Path, plan: Plan, stage: Stage) -> Done:
    """Export the rows of a training, and train."""
    settings, control = plan.settings, not stage.round
    name = CONTROL if control else stage.round
    first = 1 if control or settings.learn_from == ALL else stage.round
    runs = [folder / search_of(number) for number in range(first, max(1, stage.round) + 1)]
    data = folder / f"{stage.name}.jsonl"
    choice = choice_of(settings, control=control)
    target = adapter_of(folder, name)
    try:
        manifest = export(runs, data, settings.method, choice, plan.run["seed"])
    except NoRowsError:
        if control or stage.round == 1:
            raise
        _take_over(adapter_of(folder, stage.round - 1), target)
        return {"rows": 0, "result": "nothing to learn from; the last round's adapter stays"}
    print_summary(manifest, data)
    if not (target / CARD).exists():
        own: dict[str, Any] = {
            "data": str(data),
            "model": plan.base,
            "out": str(folder / ADAPTERS),
            "name": target.name,
        }
        whole = {**plan.train, **own, "resume": target.with_name(f"{target.name}.part").exists()}
        if settings.start == LAST and stage.round > 1:
            whole = {key: value for key, value in whole.items() if not key.startswith("lora_")}
            whole["base_adapter"] = str(adapter_of(folder, stage.round - 1))
        with redirect_stdout(sys.stderr):
            train(settings.method, resolve_training(settings.method, whole))
    return {"rows": manifest["rows"], "result": counted(manifest["rows"], "row")}


def _take_over(last: Path, target: Path) -> None:
    """Copy the last round's adapter as the adapter of a round."""
    part = target.with_name(f"{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(last, part)
    if not target.exists():
        part.rename(target)
