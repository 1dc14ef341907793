"""Writes runs on τ²-bench as the benchmark's own results, for `tau2 view` and its metrics: `josh export --format tau2`.

1. A conversation that counts is a simulation: the best path of a search, or every plain conversation of a task, as
   trials. The agent's name says that it was searched for, because such a conversation is no trial of an agent.
2. Its reward is the verdict that the run recorded, in which a win was confirmed by the benchmark's evaluator. What the
   benchmark's own judge would have to decide is in the note, and `tau2 evaluate-trajs` decides it.
3. A conversation that its user did not end has the reward 0, as in the benchmark. A task that an error ended is a
   simulation with that error.

The files are written without the benchmark's package, and the same run gives the same bytes.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from josh.dialogue import Outcome
from josh.envs.tau2.env import Tau2Env
from josh.envs.tau2.events import events_of, rows_of
from josh.envs.tau2.world import MAX_STEPS, USER_STOP
from josh.errors import UsageError
from josh.messages import text_of
from josh.outcomes import Episode
from josh.runs.export.run_formats import RunFormat, files_for, write_file
from josh.runs.record.folder import EPISODES, IMPORTED, how_played, read_config, read_settings, slug, started
from josh.runs.record.headline import model_names
from josh.runs.record.stored import stored_episodes
from josh.runs.settings import env_of
from josh.transcript import Transcript, transcript

BY_JOSH: Final = "josh: "
"""How the names of agents and users begin in exported results."""
_REASONS: Final[Mapping[Outcome, str]] = {
    Outcome.TRUNCATED: MAX_STEPS,
    Outcome.LOST: "agent_error",
    Outcome.INFRA_ERROR: "infrastructure_error",
}
"""Why a conversation ended, where its world did not say it; else its user ended it."""
_POLICY: Final = ("<policy>\n", "\n</policy>")


def export_results(runs: Sequence[Path], out: Path) -> Mapping[Path, int]:
    """Write runs as results; see `josh.runs.export.run_formats.RunFormat`."""
    files = files_for(runs, out, lambda run: slug(run.resolve().name))
    counts = {}
    for path, run in files.items():
        results = tau2_results(run)
        write_file(path, results, _is_ours, "results")
        counts[path] = len(results["simulations"])
    return counts


TAU2: Final = RunFormat(export_results, "simulations", "tau2 view --file {file}")
"""The format for `josh export`."""


def _is_ours(found: Any) -> bool:
    return str(found["info"]["agent_info"]["implementation"]).startswith(BY_JOSH)


def tau2_results(run: Path) -> dict[str, Any]:
    """Returns a run as results. Raises UsageError where the folder is not a run on the benchmark."""
    config = read_config(run)
    settings = read_settings(run, config)
    search = how_played(config, settings)
    env = env_of(settings)
    if not isinstance(env, Tau2Env):
        raise UsageError(f"{run} is a run on env {settings.env.name!r}; results of tau2 are about env 'tau2' alone")
    when, policy = _begin(started(run, config)), ""
    tasks: dict[str, Any] = {}
    simulations: list[dict[str, Any]] = []
    domains: set[str] = set()
    for _, episode in stored_episodes(run / EPISODES, []):
        tasks[str(episode.task.data["task"]["id"])] = episode.task.data["task"]
        domains.add(str(episode.task.data["domain"]))
        policy = policy or _policy(episode)
        simulations += _simulations(episode, run.resolve().name, settings.seed, when, imported=search == IMPORTED)
    if not simulations:
        raise UsageError(f"{run} has no whole episode, so there is nothing to export")
    if len(domains) > 1:
        raise UsageError(f"{run} has tasks of {', '.join(sorted(domains))}; results of tau2 are about one domain")
    trials: Counter[str] = Counter()
    for simulation in simulations:
        simulation["trial"] = trials[simulation["task_id"]]
        trials[simulation["task_id"]] += 1
    plays = config.get("plays") or {}
    models = dict(zip(("agent", "user"), model_names(settings), strict=True))
    return {
        "timestamp": when.isoformat(),
        "info": {
            "git_commit": str(config.get("commit") or "unknown"),
            "num_trials": max(trials.values()),
            "max_steps": env.config.max_steps,
            "max_errors": env.config.max_errors,
            "user_info": _player(str(plays.get("user", "")), "", models["user"], settings.user),
            "agent_info": _player(str(plays.get("agent", "")), search.words, models["agent"], settings.agent),
            "environment_info": {"domain_name": domains.pop(), "policy": policy},
            "seed": settings.seed,
        },
        "tasks": list(tasks.values()),
        "simulations": simulations,
    }


def _player(plug_in: str, how: str, model: str, side: Any) -> dict[str, Any]:
    name = f"{BY_JOSH}{plug_in.rpartition(':')[2] or 'imported'}{f', {how}' if how else ''}"
    return {"implementation": name, "llm": model, "llm_args": {"temperature": side.sampling.temperature}}


def _begin(when: str) -> datetime:
    return datetime.strptime(when, "%Y-%m-%d %H:%M:%S") if when else datetime(1970, 1, 1)


def _policy(episode: Episode) -> str:
    """Returns the policy in the agent's system prompt; empty where there is none."""
    opening = episode.tree.nodes[0].turn.internal
    prompt = text_of(opening[0]) if opening and opening[0]["role"] == "system" else ""
    before, after = _POLICY
    return prompt.partition(before)[2].rpartition(after)[0]


def _simulations(episode: Episode, run: str, seed: int, when: datetime, *, imported: bool) -> Iterator[dict[str, Any]]:
    """Yields the simulations of a task."""
    task = episode.task
    leaves = episode.reported or (tuple(episode.outcomes)[:1] if not episode.unrated else tuple(episode.outcomes))
    for leaf in leaves:
        outcome = episode.outcomes.get(leaf, Outcome.USER_LEFT)
        record = transcript(episode.tree, leaf, outcome)
        rows = rows_of(task.data["task"], list(events_of(record.turns[1:])))
        for number, row in enumerate(rows):
            row |= {"turn_idx": number, "timestamp": (when + timedelta(seconds=number)).isoformat()}
        seen = record.turns[-1].observed or {}
        reason = seen.get("ended") or (USER_STOP if imported else _REASONS.get(outcome, USER_STOP))
        yield {
            "id": blake2b(f"{run}\n{task.id}\n{leaf}".encode(), digest_size=16).hexdigest(),
            "task_id": str(task.data["task"]["id"]),
            "timestamp": when.isoformat(),
            "start_time": when.isoformat(),
            "end_time": (when + timedelta(seconds=len(rows))).isoformat(),
            "duration": float(len(rows)),
            "termination_reason": reason,
            "reward_info": _reward(episode, leaf, record, imported=imported),
            "messages": rows,
            "trial": 0,
            "seed": seed,
            "info": {"josh": {"run": run, "task": task.id, "outcome": str(outcome), "error": episode.error}},
        }


def _reward(episode: Episode, leaf: int, record: Transcript, *, imported: bool) -> dict[str, Any]:
    """Returns the reward of a conversation in the benchmark's form."""
    seen = record.turns[-1].observed or {}
    criteria = episode.task.data["task"].get("evaluation_criteria") or {}
    basis = criteria.get("reward_basis", [])
    if "parts" not in seen:
        reward = episode.worth.get(leaf, 0.0) if imported else 0.0
        return {"reward": reward, "reward_basis": basis, "info": {"note": "imported" if imported else "not finished"}}
    parts = {part: float(value) for part, value in seen["parts"].items()}
    note = f"{seen['to_judge']} assertions in words are left to the judge of tau2" if seen.get("to_judge") else ""
    found = {"reward": seen["reward"], "reward_basis": basis, "reward_breakdown": parts}
    if "DB" in parts:
        found["db_check"] = {"db_match": bool(parts["DB"]), "db_reward": parts["DB"]}
    return found | ({"info": {"note": note}} if note else {})
