"""The results of a loop: its models compared with its base, and its first search compared with plain sampling."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from josh.dialogue import Outcome
from josh.roles import BaseEnv, BaseRewards
from josh.runs.evaluate.scores import Metrics, compared, read_policy_results
from josh.runs.evaluate.table import format_interval
from josh.runs.intervals import mean
from josh.runs.loop.plan import BASE_POLICY, CONTROL, Plan, search_of
from josh.runs.play.sub_runs import SubRun
from josh.runs.probe.probing import PROBE_FOLDER, probe_figures
from josh.runs.record.folder import EPISODES, read_summary
from josh.runs.record.stored import stored_episodes
from josh.runs.record.summary import person_of
from josh.runs.registry import rewards_class
from josh.runs.settings import env_of
from josh.terminal import align_columns


def loop_figures(folder: Path, plan: Plan, stages: Mapping[str, Mapping[str, Any]], seconds: float) -> Metrics:
    """Returns all numbers of a finished loop, as `loop.json` has them.

    Args:
        folder: the loop's folder.
        plan: the loop.
        stages: the notes of its stages, by name.
        seconds: the wall-clock time of the loop, over all its sessions.

    Returns:
        `minutes`: the wall-clock time;
        `base`, `rounds`, `references`, `control`: the results of every policy with the user model of the training, each
        with its paired difference from the base;
        `other_users`: the same with the other user models;
        `search`: the first search, and plain conversations on its tasks;
        `probe`: the general ability of the base and the last round's model (`josh probe`); None without one.
    """
    settings = plan.parts[0].settings
    env = env_of(settings)
    rewards = rewards_class(settings.rewards, env)
    main = plan.parts[0].user
    tests = [part for part in plan.parts if part.policy]
    cells = _cells(folder, [part for part in tests if part.user == main], rewards)
    base = cells[BASE_POLICY]
    others = list(dict.fromkeys(part.user for part in tests if part.user != main))
    return {
        "minutes": round(seconds / 60, 2),
        "unit": rewards.unit,
        "names": {"rate": rewards.rate, "mean": rewards.mean},
        "user": main,
        "tasks_per_round": plan.settings.tasks,
        "test_tasks": base["tasks"],
        "conversations_per_task": plan.run["rollouts"],
        "held_out_from": dict(plan.seen),
        "base": {"model": plan.part(_folder(tests, BASE_POLICY, main)).settings.agent.model, **base},
        "rounds": _rounds(folder, plan, stages, cells),
        "references": {part.policy: cells[part.policy] for part in tests if part.reference and part.user == main},
        "control": {**cells[CONTROL], "rows": stages[f"train-{CONTROL}"]["rows"]} if CONTROL in cells else None,
        "other_users": {
            user: _cells(folder, [part for part in tests if part.user == user], rewards) for user in others
        },
        "search": None if plan.settings.no_sampling else _search(folder, env),
        "probe": probe_figures(folder / PROBE_FOLDER) if plan.settings.probe else None,
    }  # fmt: skip


def _rounds(
    folder: Path, plan: Plan, stages: Mapping[str, Mapping[str, Any]], cells: Mapping[str, Metrics]
) -> list[Metrics]:
    """Returns the evaluated rounds; the costs of a round include all rounds since the evaluated round before it."""
    found, before = [], 0
    for number in plan.settings.tested:
        steps = range(before + 1, number + 1)
        cell = cells[f"round {number}"]
        calls = sum(_calls(folder, search_of(step)) for step in steps)
        found.append(
            {
                "round": number,
                "model": plan.part(_folder(plan.parts, f"round {number}", plan.parts[0].user)).settings.agent.model,
                **cell,
                "calls": calls + cell["calls"],
                "search_calls": calls,
                "rows": sum(stages[f"train-{step}"]["rows"] for step in steps),
                "seconds": {
                    "search": round(sum(stages[search_of(step)]["seconds"] for step in steps), 1),
                    "train": round(sum(stages[f"train-{step}"]["seconds"] for step in steps), 1),
                    "test": stages[f"round-{number}"]["seconds"],
                },
            }
        )
        before = number
    return found


def _folder(parts: Iterable[SubRun], policy: str, user: str) -> str:
    return next(part.folder for part in parts if (part.policy, part.user) == (policy, user))


def _calls(folder: Path, run: str) -> int:
    return sum(side["calls"] for side in read_summary(folder / run)["usage"].values())


def _cells(folder: Path, parts: Sequence[SubRun], rewards: type[BaseRewards]) -> dict[str, Metrics]:
    """Returns the results of policies with one user model, by policy; the base is first."""
    samples = [
        read_policy_results(folder / part.folder, part.policy, part.user, read_summary(folder / part.folder))
        for part in parts
    ]
    found = compared(samples)
    base = found["results"][0]["average_reward"]["value"]
    cells = {}
    for part, cell in zip(parts, found["results"], strict=True):
        value, rate = cell["average_reward"], cell["success_rate"]
        cell_metrics = {
            rewards.mean: value["value"],
            f"{rewards.mean}_ci": [value["low"], value["high"]],
            rewards.rate: rate["value"],
            f"{rewards.rate}_ci": [rate["low"], rate["high"]],
            "tasks": len(cell["rows"]),
            "conversations": cell["conversations"],
            "infra_errors": cell["infra_errors"],
            "calls": _calls(folder, part.folder),
        }
        if "difference" in cell:
            apart = cell["difference"]["average_reward"]
            cell_metrics |= {
                "diff": apart["value"],
                "diff_ci": [apart["low"], apart["high"]],
                "gain_percent": round(100 * apart["value"] / base, 1) if base and apart["value"] is not None else None,
            }
        cells[part.policy] = cell_metrics
    return cells


def _search(folder: Path, env: BaseEnv) -> Metrics:
    """Returns the first search beside plain conversations of the same model on the same tasks.

    Their cost is counted in replies (turns of the agent), because one call may return several replies. The plain
    conversations have about as many replies as the search, or more (`josh.runs.loop.stage.conversations`).
    """
    searched, sampled = folder / search_of(1), folder / "sample"
    best: dict[str, tuple[bool, float]] = {}
    people: dict[str, str] = {}
    taken = 0
    for _, episode in stored_episodes(searched / EPISODES, []):
        taken += episode.agent_turns
        if episode.scored:
            won = any(outcome is Outcome.WON for outcome in episode.outcomes.values())
            best[episode.task.id] = (won, episode.reward)
            people[episode.task.id] = person_of(episode.task, env)
    plain: dict[str, list[tuple[bool, float]]] = {}
    replies = 0
    for _, episode in stored_episodes(sampled / EPISODES, []):
        replies += episode.agent_turns
        if episode.scored:
            plain[episode.task.id] = [
                (episode.tree.is_won(leaf), reward)
                for leaf, reward in zip(episode.reported, episode.rewards, strict=True)
            ]
    tasks = [task for task in best if task in plain]
    who = [people[task] for task in tasks]
    chosen = {task: (any(won for won, _ in plain[task]), max(reward for _, reward in plain[task])) for task in tasks}

    def line(values: Mapping[str, tuple[float, float]], replies: int, run: str) -> Metrics:
        rates, rewards = ([float(values[task][place]) for task in tasks] for place in (0, 1))
        return {
            "replies": replies,
            "calls": _calls(folder, run),
            "tasks_won": asdict(mean(rates, who)),
            "reward": asdict(mean(rewards, who)),
        }

    single = {
        task: (_mean(won for won, _ in plain[task]), _mean(reward for _, reward in plain[task])) for task in tasks
    }
    return {
        "tasks": len(tasks),
        "conversations": max((len(one) for one in plain.values()), default=0),
        "beam": line(best, taken, search_of(1)),
        "best_of_n": line(chosen, replies, "sample"),
        "plain": line(single, replies, "sample"),
        "beam_less_best_of_n": {
            "tasks_won": asdict(mean([float(best[task][0]) - chosen[task][0] for task in tasks], who)),
            "reward": asdict(mean([best[task][1] - chosen[task][1] for task in tasks], who)),
        },
    }


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)


def figures_as_text(figures: Metrics, width: int | None = None) -> str:
    """Returns the tables for the terminal, at most `width` columns wide."""
    unit, names = figures["unit"], figures["names"]
    head = ["", names["rate"].replace("_", " "), names["mean"].replace("_", " "), "minus base, paired", "gain", "calls"]
    blocks = [f"user: {figures['user']} (trained against)"]
    lines = [head, _line("base", figures["base"], figures)]
    lines += [_line(f"round {one['round']}", one, figures) for one in figures["rounds"]]
    if figures["control"]:
        lines.append(_line("control: losing paths", figures["control"], figures))
    lines += [_line(name, cell, figures) for name, cell in figures["references"].items()]
    blocks[0] += "\n" + "\n".join(align_columns(lines, width))
    for user, cells in figures["other_users"].items():
        lines = [head, *(_line(name, cell, figures) for name, cell in cells.items())]
        blocks.append("\n".join([f"user: {user} (not trained against)", *align_columns(lines, width)]))
    if figures["search"]:
        blocks.append(_search_text(figures["search"], unit, width))
    blocks.append(f"{figures['minutes']:.1f} minutes")
    return "\n\n".join(blocks)


def _line(name: str, cell: Metrics, figures: Metrics) -> list[str]:
    unit, names = figures["unit"], figures["names"]
    rate, value = (
        format_interval({"value": cell[one], "low": cell[f"{one}_ci"][0], "high": cell[f"{one}_ci"][1]}, mark)
        for one, mark in ((names["rate"], ""), (names["mean"], unit))
    )
    line = [f"  {name}", rate, value, "", "", str(cell["calls"])]
    if "diff" in cell:
        low, high = cell["diff_ci"]
        line[3] = format_interval({"value": cell["diff"], "low": low, "high": high}, unit, "+")
        line[4] = "-" if cell["gain_percent"] is None else f"{cell['gain_percent']:+.0f} %"
    return line


def _search_text(search: Metrics, unit: str, width: int | None) -> str:
    lines = [["", "tasks won", "reward", "replies", "calls"]]
    for name, key in (
        ("beam", "beam"), (f"best of {search['conversations']}", "best_of_n"), ("plain conversations, mean", "plain")
    ):  # fmt: skip
        cell = search[key]
        texts = [
            format_interval(cell["tasks_won"]),
            format_interval(cell["reward"], unit),
            str(cell["replies"]),
            str(cell["calls"]),
        ]
        lines.append([f"  {name}", *texts])
    less = search["beam_less_best_of_n"]
    lines.append(
        [
            "  beam minus best of n",
            format_interval(less["tasks_won"], "", "+"),
            format_interval(less["reward"], unit, "+"),
            "",
            "",
        ]
    )
    return "\n".join([f"the first search, on its {search['tasks']} tasks, with the base", *align_columns(lines, width)])
