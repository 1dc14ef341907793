"""Writes a run as a log of inspect_ai (https://inspect.aisi.org.uk/eval-logs.html), for its viewer and its analyses.

1. A conversation that counts is a sample: the best path of a search, or every plain conversation of a task, numbered as
   epochs. A task that an error ended is a sample with that error, and without scores.
2. A sample has the messages that the agent's model is trained on, its reward and success as scores, with the world's
   metrics and the rewards' scores, and the usage of the turns on its path.
3. `stats` has the usage of the whole run, all branches included.

The format is version 2 of the log's JSON. It is written without inspect_ai, and the same run gives the same bytes.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from josh.dialogue import NO_USAGE, Outcome, Speaker, Usage
from josh.errors import JoshError, UsageError
from josh.messages import Message, text_of
from josh.outcomes import Episode, metrics_of
from josh.roles import BaseEnv
from josh.runs.export.run_formats import RunFormat, files_for, write_file
from josh.runs.record.folder import (
    EPISODES,
    how_played,
    read_config,
    read_settings,
    read_summary,
    slug,
    started,
    version,
)
from josh.runs.record.headline import model_names, short_name
from josh.runs.record.stored import stored_episodes
from josh.runs.settings import JOSH, RunSettings, env_of, options_of
from josh.tree import internal_conversation, walk

OWN_PACKAGE: Final = "josh-dialogue"
_SECRET: Final = ("base_url", "api_key_var")
_LIMITS: Final = {Outcome.TRUNCATED: "message"}
"""inspect_ai's name of the limit that ended a conversation, by outcome."""


def export_inspect(runs: Sequence[Path], out: Path) -> Mapping[Path, int]:
    """Write runs as logs.

    Args:
        runs: the runs' folders.
        out: a folder for the logs, with the names that `inspect view --log-dir` looks for; or, for one run, the log
            itself, if the name ends in `.json`.

    Returns:
        The number of samples, by log.

    Raises:
        UsageError: a folder is not a run or has no episodes, or a log cannot be written or is another file.
    """
    files = files_for(runs, out, lambda run: f"{_when(run)}_{slug(run.resolve().name)}")
    return {path: _write_log(run, path) for path, run in files.items()}


def _when(run: Path) -> str:
    return datetime.fromisoformat(_created(run, read_config(run))).strftime("%Y-%m-%dT%H-%M-%S")


def _write_log(run: Path, out: Path) -> int:
    """Write one log, and return the number of its samples."""
    log = inspect_log(run)
    if not log["samples"]:
        raise UsageError(f"{run} has no whole episode, so there is nothing to export")
    write_file(out, log, lambda found: OWN_PACKAGE in found["eval"]["packages"], "a log")
    return len(log["samples"])


def inspect_log(run: Path) -> dict[str, Any]:
    """Returns a run as the JSON of an inspect_ai log. Raises UsageError if the folder is not a run."""
    config = read_config(run)
    settings = read_settings(run, config)
    summary = read_summary(run)
    models = dict(zip(("agent", "user"), model_names(settings), strict=True))
    env = BaseEnv({})
    with suppress(JoshError):
        env = env_of(settings)
    damaged: list[int] = []
    samples = [
        sample
        for _, episode in stored_episodes(run / EPISODES, damaged)
        for sample in _samples(episode, models, env, run.resolve().name)
    ]
    search = how_played(config, settings)
    ids = list(dict.fromkeys(sample["id"] for sample in samples))
    created = _created(run, config)
    world = short_name(str(settings.env.name))
    return {
        "version": 2,
        "status": "success" if summary.get("complete") else "cancelled",
        "eval": {
            "eval_id": _name(run.resolve().name, "eval"),
            "run_id": _name(run.resolve().name, "run"),
            "task_id": _name(run.resolve().name, "task"),
            "created": created,
            "task": f"{world}, {search.words}",
            "task_version": 0,
            "task_args": _shown(settings),
            "dataset": {"name": world, "samples": len(ids), "sample_ids": ids, "shuffled": False},
            "model": _provided(models["agent"]),
            "model_roles": {},
            "model_generate_config": {"temperature": settings.agent.sampling.temperature, "seed": settings.seed},
            "model_args": {},
            "config": {"epochs": max(Counter(sample["id"] for sample in samples).values(), default=1)},
            "packages": {OWN_PACKAGE: version(OWN_PACKAGE)},
            "metadata": {"run": run.resolve().name, "user_model": models["user"], "searched": search.searched},
        },
        "plan": {"name": "plan", "steps": [{"solver": search.words, "params": {}}], "config": {}},
        "results": results_of(samples, int(summary.get("tasks") or len(ids))),
        "stats": {"started_at": created, "completed_at": "", **_totals(summary, models)},
        "samples": samples,
    }


def _samples(episode: Episode, models: Mapping[str, str], env: BaseEnv, run: str) -> Iterator[dict[str, Any]]:
    """Yields the samples of a task."""
    task, tree = episode.task, episode.tree
    common = {
        "id": task.id,
        "target": [goal if isinstance(goal, str) else json.dumps(goal) for goal in tree.goals] or "",
        "metadata": {"data": task.data, "branches": len(episode.outcomes), "turns": len(tree.nodes) - 1},
        "store": {},
        "events": [],
        "attachments": {},
    }
    opening = _messages(tree.nodes[0].turn.internal)
    if not episode.reported and not episode.unrated:
        yield {
            **common,
            "epoch": 1,
            "input": opening or task.id,
            "messages": opening,
            "output": {"model": models["agent"], "choices": []},
            "error": {"message": episode.error, "traceback": episode.error, "traceback_ansi": episode.error},
            "uuid": _name(run, task.id, "1"),
        }
        return
    for epoch, leaf in enumerate(episode.reported or episode.outcomes, 1):
        messages = _messages(internal_conversation(tree, leaf))
        last = next((each for each in reversed(messages) if each["role"] == "assistant"), None)
        outcome = episode.outcomes.get(leaf)
        rounds = sum(tree.nodes[index].speaker is Speaker.AGENT for index in walk(tree, leaf)[1:])
        limit = _LIMITS.get(outcome) if outcome is not None else None
        yield {
            **common,
            "epoch": epoch,
            "input": opening or task.id,
            "messages": messages,
            "output": _output(models["agent"], last),
            **({} if episode.unrated else {"scores": _scores(episode, leaf, env)}),
            **_usage_on(episode, leaf, models),
            "turn_count": rounds,
            **({"limit": {"type": limit, "limit": rounds}} if limit else {}),
            "uuid": _name(run, task.id, str(epoch)),
        }


def _scores(episode: Episode, leaf: int, env: BaseEnv) -> dict[str, dict[str, Any]]:
    """Returns the reward and success of a conversation, the world's metrics and the rewards' scores, by name."""
    outcome = episode.outcomes.get(leaf)
    metrics = metrics_of(env, episode.task, episode.tree, leaf, outcome or Outcome.ALIVE)
    return {
        "reward": {"value": episode.worth[leaf], "explanation": str(outcome or "kept")},
        "success": {"value": float(episode.tree.is_won(leaf))},
        **{name: {"value": value} for name, value in metrics.items()},
        **{name: {"value": value} for name, value in episode.scores.get(leaf, {}).items()},
    }


def _messages(messages: Any) -> list[dict[str, Any]]:
    """Returns chat messages in inspect_ai's form."""
    return [_message(message) for message in messages]


def _message(message: Message) -> dict[str, Any]:
    role = str(message.get("role"))
    found: dict[str, Any] = {"role": role if role in ("system", "user", "assistant", "tool") else "user"}
    found["content"] = text_of(message)
    calls = [call for call in message.get("tool_calls") or () if isinstance(call, dict)]
    if role == "assistant" and calls:
        found["tool_calls"] = [_call(call, at) for at, call in enumerate(calls)]
    if role == "tool":
        found |= {key: str(message[own]) for key, own in _TOOL.items() if message.get(own)}
    return found


_TOOL: Final = {"tool_call_id": "tool_call_id", "function": "name"}


def _call(call: Mapping[str, Any], at: int) -> dict[str, Any]:
    function = call.get("function") if isinstance(call.get("function"), dict) else {}
    given = (function or {}).get("arguments")
    found = {"id": str(call.get("id") or at), "function": str((function or {}).get("name") or ""), "type": "function"}
    try:
        arguments = json.loads(given) if isinstance(given, str) else given
    except (ValueError, RecursionError) as error:
        return found | {"arguments": {}, "parse_error": f"{error}: {given}"}
    if not isinstance(arguments, dict):
        return found | {"arguments": {}, "parse_error": f"the arguments are not an object: {given}"}
    return found | {"arguments": arguments}


def _output(model: str, last: Mapping[str, Any] | None) -> dict[str, Any]:
    if last is None:
        return {"model": model, "choices": []}
    return {"model": model, "choices": [{"message": dict(last), "stop_reason": "stop"}], "completion": last["content"]}


def _usage_on(episode: Episode, leaf: int, models: Mapping[str, str]) -> dict[str, Any]:
    """Returns the usage of the turns on a path, by model and by side. A request of siblings is the eldest's."""
    by_model: dict[str, Usage] = {}
    by_side: dict[str, Usage] = {}
    for index in walk(episode.tree, leaf)[1:]:
        node = episode.tree.nodes[index]
        if not node.turn.usage.calls:
            continue
        side = str(node.speaker)
        model = node.turn.model or models[side]
        by_model[model] = by_model.get(model, NO_USAGE) + node.turn.usage
        by_side[side] = by_side.get(side, NO_USAGE) + node.turn.usage
    return {
        "model_usage": {model: _used(used.prompt_tokens, used.completion_tokens) for model, used in by_model.items()},
        "role_usage": {side: _used(used.prompt_tokens, used.completion_tokens) for side, used in by_side.items()},
    }


def _used(prompt: int, completion: int) -> dict[str, int]:
    return {"input_tokens": prompt, "output_tokens": completion, "total_tokens": prompt + completion}


def _totals(summary: Mapping[str, Any], models: Mapping[str, str]) -> dict[str, Any]:
    """Returns the usage of a whole run, by model and by side."""
    by_model: Counter[tuple[str, str]] = Counter()
    by_side = {}
    for side, used in summary.get("usage", {}).items():
        if not used["calls"]:
            continue
        by_side[side] = _used(used["prompt_tokens"], used["completion_tokens"])
        for kind in ("prompt_tokens", "completion_tokens"):
            by_model[models.get(side, side), kind] += used[kind]
    names = dict.fromkeys(model for model, _ in by_model)
    return {
        "model_usage": {
            name: _used(by_model[name, "prompt_tokens"], by_model[name, "completion_tokens"]) for name in names
        },
        "role_usage": by_side,
    }


def results_of(samples: list[dict[str, Any]], tasks: int) -> dict[str, Any]:
    """Returns the means of all scores; every task has the same weight, as in `summary.json`."""
    values: dict[str, dict[str, list[float]]] = {}
    for sample in samples:
        for name, score in sample.get("scores", {}).items():
            values.setdefault(name, {}).setdefault(sample["id"], []).append(score["value"])
    scored = sum("scores" in sample for sample in samples)
    return {
        "total_samples": max(len(samples), tasks),
        "completed_samples": scored,
        "scores": [
            {
                "name": name,
                "scorer": name,
                "scored_samples": sum(map(len, found.values())),
                "params": {},
                "metrics": {"mean": {"name": "mean", "value": fmean(map(fmean, found.values())), "params": {}}},
            }
            for name, found in values.items()
        ],
    }


def _shown(settings: RunSettings) -> dict[str, Any]:
    """Returns a run's settings without addresses, folders and the names of key variables."""
    options = {name: value for name, value in options_of(settings).items() if not name.endswith(_SECRET)}
    shown = {name: value for name, value in options.items() if name not in ("log_dir", JOSH) and value is not None}
    plain: dict[str, Any] = json.loads(json.dumps(shown, default=str))
    return plain


def _created(run: Path, config: Mapping[str, Any]) -> str:
    """Returns when a run was begun, in this machine's time zone; the beginning of time where nothing says so."""
    when = started(run, config)
    moment = datetime.strptime(when, "%Y-%m-%d %H:%M:%S") if when else datetime(1970, 1, 1)
    return moment.astimezone().isoformat()


def _provided(model: str) -> str:
    """Returns a model's name with a provider, as inspect_ai writes it."""
    return model if "/" in model else f"josh/{model}"


def _name(*parts: str) -> str:
    return blake2b("\n".join(parts).encode("utf-8", "backslashreplace"), digest_size=11).hexdigest()


INSPECT: Final = RunFormat(export_inspect, "samples", "inspect view --log-dir {folder}")
"""The format for `josh export`."""
