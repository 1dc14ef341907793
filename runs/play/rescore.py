"""`josh rescore`: a recorded run under another reward, from its trees alone, without a single model call."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from josh.episode import TOO_LONG, Episode, conclude
from josh.errors import UsageError
from josh.messages import dumps
from josh.roles import BaseEnv, BaseRewards
from josh.runs.play.run import figures, show, tell
from josh.runs.record.folder import CONFIG, EPISODES, Search, read_config, read_settings
from josh.runs.record.journal import FILE
from josh.runs.record.record import Record
from josh.runs.record.redact import redactor
from josh.runs.record.settings_json import settings_to_json
from josh.runs.record.stored import stored_episodes
from josh.runs.record.summary import Result, person_of, result_of, summarize
from josh.runs.registry import new_rewards, path_of, plugged, rewards_class, strategy_of
from josh.runs.resolve import changed
from josh.runs.settings import RunSettings, env_of, environment, options_of
from josh.search import Strategy
from josh.tree import Node, Outcome, Speaker, Tree, Turn, spend
from josh.turns import judge, parting, user_texts


def rescore(folder: Path, given: Mapping[str, Any], *, page: bool = True) -> bool:
    """Write a new run's folder: the trees of an old one, finished or broken off, under another reward.

    Args:
        folder: the old run's folder, which stays as it is.
        given: the settings that change: `rewards` and its own settings, and `log_dir`, where the new folder goes
            (beside the old one unless given).
        page: write its report as well.

    Returns:
        Whether any task could be scored.

    Raises:
        UsageError: there is no such run, a setting is wrong, or a plug-in fails; nothing is left on disk then.
    """
    config = read_config(folder)
    plays, tasks = config.get("plays"), config.get("tasks")
    places = {task_id: place for place, task_id in enumerate(config.get("task_ids", ()))}
    if not isinstance(plays, dict) or not {"agent", "user"} <= plays.keys() or not isinstance(tasks, int):
        raise UsageError(f"{folder / CONFIG} does not say who played and how many tasks; give the folder of a run")
    settings = changed(read_settings(folder, config), given)
    options = options_of(settings)
    env, strategy = env_of(settings), strategy_of(settings.strategy)
    rewards_type = rewards_class(settings.rewards, env)
    plays |= {"rewards": path_of(rewards_type)}
    redact = redactor(environment())
    home = folder.resolve()
    results: list[Result] = []
    people: list[str] = []
    damaged: list[int] = []
    record = Record.create(Path(given.get("log_dir", home.parent)), f"{home.name}-rescored", strategy.searched, redact)
    try:
        changes = {
            "settings": settings_to_json(settings),
            "plays": plays,
            "search": asdict(Search.of(strategy)),
            "rescored_from": home.name,
        }
        record.write_json(CONFIG, config | changes)
        for _, stored in stored_episodes(folder / EPISODES, damaged):
            episode = rescored(stored, rewards_type, env, settings, options)
            record.add(places.get(episode.task.id, len(results)), episode)
            results.append(result_of(episode))
            people.append(plugged(f"the people of task {episode.task.id}", partial(person_of, episode.task, env)))
        if not results:
            raise UsageError(f"{folder / EPISODES} holds no whole episode; there is nothing to rescore")
        record.close()
        # No model was asked for anything, so there is nothing to keep a journal of.
        (record.folder / FILE).unlink()
        summary = figures(record, summarize(results, people, tasks, 0), redact)
        record.write_json("summary.json", summary)
    except BaseException:
        # What can be had again for nothing is not worth keeping by halves.
        record.discard()
        raise
    if damaged or not summary["complete"]:
        left_out = f"; line {', '.join(map(str, damaged))} of {EPISODES} is damaged and left out" if damaged else ""
        print(f"josh: {len(results)} of {tasks} tasks are whole in {folder}{left_out}", file=sys.stderr)
    tell(record, summary, settings, plays, Search.of(strategy), str(getattr(rewards_type, "unit", "")))
    if page:
        show(record.folder)
    return bool(summary["scored"])


def rescored(
    episode: Episode,
    rewards_type: type[BaseRewards],
    env: BaseEnv,
    settings: RunSettings,
    options: Mapping[str, Any],
) -> Episode:
    """An episode under another reward; `options` are the settings by flag. Raises UsageError where a plug-in fails."""

    def score() -> Episode:
        rewards = new_rewards(rewards_type, settings.rewards, list(env.goals(episode.task)))
        rewards.start(episode.task, env, options)
        # The stored actions are what JSON made of them (lists, no tuples), and so are the goals they may meet.
        rewards.rewards = json.loads(dumps(list(rewards.rewards)))
        strategy = strategy_of(settings.strategy)
        tree = regrow(episode.tree, rewards, strategy)
        error = episode.error if episode.error.startswith(TOO_LONG) else ""
        again = conclude(tree, episode.task, env, rewards, strategy, error)
        return replace(again, tools=episode.tools)

    return plugged(f"task {episode.task.id} cannot be rescored", score)


def regrow(stored: Tree, rewards: BaseRewards, strategy: Strategy) -> Tree:
    """Grow a tree again from the turns it has, phase by phase, under another reward.

    Args:
        stored: the tree.
        rewards: a rewards object started on the tree's task; its goals are not spent.
        strategy: what draws the conclusions after every phase.

    Returns:
        The tree. Turns below a leaf that the strategy dropped are gone. Leaves that it would have continued, but that
        have no further turns, are in the frontier, those of the longest conversations first.
    """
    children: dict[int, list[int]] = {}
    for index, node in enumerate(stored.nodes[1:], start=1):
        children.setdefault(node.parent, []).append(index)
    goals = tuple(rewards.rewards)
    tree = Tree((replace(stored.nodes[0], open=goals),), (0,), goals)
    origins, carried = [0], {0: rewards}
    idle: tuple[int, ...] = ()
    while goals:
        idle = (*(leaf for leaf in tree.frontier if origins[leaf] not in children), *idle)
        turns = [(leaf, child) for leaf in tree.frontier for child in children.get(origins[leaf], ())]
        if not turns:
            return replace(tree, frontier=idle)
        new = tuple(_judged(stored.nodes[child], leaf, tree.nodes[leaf].open, carried[leaf]) for leaf, child in turns)
        origins += [child for _, child in turns]
        size, cuts = len(tree.nodes), len(tree.collapses)
        tree = strategy.settle(replace(tree, nodes=tree.nodes + new, frontier=tuple(range(size, size + len(new)))))
        if len(tree.collapses) > cuts:
            idle = ()
        carried = {leaf: _spent(carried[tree.nodes[leaf].parent], tree, leaf) for leaf in tree.frontier}
    return tree


def _judged(node: Node, parent: int, still_open: tuple[Any, ...], rewards: BaseRewards) -> Node:
    """A stored node in its new place, with what its turn earns there."""
    turn = node.turn
    if turn.outcome is not Outcome.INFRA_ERROR:
        turn = _judged_turn(turn, node.speaker, rewards)
    return replace(node, parent=parent, turn=turn, open=spend(still_open, turn.hits)[1])


def _judged_turn(turn: Turn, speaker: Speaker, rewards: BaseRewards) -> Turn:
    by_user, read = speaker is Speaker.USER, rewards.reads is speaker
    actions = turn.actions
    if by_user:
        actions = (tuple(user_texts(turn.messages)),) if read else ()
    verdicts = [judge(rewards, step, number) for number, step in enumerate(actions)] if read else []
    hits = tuple(hit for hit, _ in verdicts if hit)
    outcome = turn.outcome
    if by_user and outcome is not Outcome.ALIVE:
        outcome = parting(hits, verdicts[0][1] if verdicts else None)
    return replace(turn, actions=actions, hits=hits, outcome=outcome)


def _spent(rewards: BaseRewards, tree: Tree, leaf: int) -> BaseRewards:
    """The rewards that a leaf carries on: its parent's, less what its turn met."""
    node = tree.nodes[leaf]
    if not node.turn.hits:
        return rewards
    left = rewards.fork()
    left.delete_reward(list(spend(tree.nodes[node.parent].open, node.turn.hits)[0]))
    return left
