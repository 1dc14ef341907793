"""`josh rescore`: scores the trees of a recorded run under another reward, without calls to agent or user.

1. Every stored tree is grown again from its turns, phase by phase (`regrow`).
2. In each phase the new rewards judge the turns, and the conversations with fresh users that confirm a win
   (`reconfirmed`); the strategy drops leaves as in a search (`Strategy.update`).
3. The result is a new run, with a folder of its own.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from josh.calls import alone
from josh.dialogue import Outcome, Speaker, Turn
from josh.driver import Facts
from josh.episode import TOO_LONG, first_of
from josh.errors import JoshError, UsageError
from josh.messages import dumps
from josh.outcomes import Episode, conclude, final_outcomes
from josh.redact import redactor
from josh.roles import BaseEnv, BaseRewards
from josh.runs.play.closing import RunResult, with_examples
from josh.runs.play.confirming import ALONE
from josh.runs.play.fit import is_own
from josh.runs.play.judging import RecordedJudge
from josh.runs.play.unread import require_read, unread_by_judge, unread_by_rewards
from josh.runs.record.folder import (
    CONFIG,
    EPISODES,
    IMPORTED,
    SUMMARY,
    HowPlayed,
    beside,
    is_imported,
    now,
    read_config,
    read_settings,
    write_json,
)
from josh.runs.record.journal import FILE
from josh.runs.record.record import Record
from josh.runs.record.settings_json import settings_to_json
from josh.runs.record.stored import stored_episodes
from josh.runs.record.summary import Result, person_of, result_of, summarize
from josh.runs.registry import PlugIn, guarded, import_path, label_of, new_rewards, rewards_class
from josh.runs.resolve import changed
from josh.runs.settings import RunSettings, env_of, environment, options_of, search_of
from josh.scoring import Scorer, has_facts
from josh.search import Strategy
from josh.threads import one_line
from josh.tree import Confirmation, Node, Replay, Tree, hits, spend
from josh.turns import final, judge, outcome_of_ending, reads_world, user_texts

RESCORED = "rescored"
"""What `config.json` says in `rewards_from` where the rewards of an imported run are not those of its source."""


@dataclass(frozen=True, slots=True)
class Rescored:
    """A recorded run under another reward.

    Attributes:
        source: the folder of the recorded run.
        result: the new run.
        damaged: the lines of the recorded run's episodes that could not be read, counted from 1.
    """

    source: Path
    result: RunResult
    damaged: tuple[int, ...]


async def rescore(folder: Path, given: Mapping[str, Any]) -> Rescored:
    """Write a new run's folder with the trees of an old run, complete or not, under another reward.

    Args:
        folder: the old run's folder, which stays as it is.
        given: the settings that change: `rewards` and its own settings, those of the judge, and `log_dir`, the
            directory for the new folder (by default that of the old one).

    Raises:
        UsageError: the run does not exist, a setting is wrong, or a plug-in fails; no new folder is left.
    """
    config = read_config(folder)
    plays, tasks = config.get("plays"), config.get("tasks")
    positions = {task_id: position for position, task_id in enumerate(config.get("task_ids", ()))}
    if not isinstance(plays, dict) or not {"agent", "user"} <= plays.keys() or not isinstance(tasks, int):
        raise UsageError(f"{folder / CONFIG} has no plug-ins or number of tasks; give the folder of a run")
    settings = changed(read_settings(folder, config), given, environment(), missing=("agent", "user"))
    options = options_of(settings)
    env, strategy = env_of(settings), search_of(settings)
    rewards_type = rewards_class(settings.rewards, env)
    kept = _keeps_source_rewards(folder, config, given, settings, env)
    how = IMPORTED if is_imported(config) else HowPlayed.of(strategy)
    require_read(given, [unread_by_judge(settings, rewards_type) | unread_by_rewards(settings, rewards_type)])
    plays |= {"rewards": import_path(rewards_type)}
    redact = redactor(environment(), options)
    home = folder.resolve()
    results: list[Result] = []
    people: list[str] = []
    damaged: list[int] = []
    earned = False
    record = Record.create(
        Path(given.get("log_dir") or beside(folder)), f"{home.name}-rescored", strategy.collapses, redact
    )
    judge = RecordedJudge(settings, folder, record.replies)
    try:
        changes = {
            "settings": settings_to_json(settings),
            "plays": plays,
            "search": asdict(how),
            **({"rewards_from": RESCORED} if is_imported(config) and not kept else {}),
            "rescored_from": home.name,
            "started": now(),
        }
        write_json(record.folder / CONFIG, config | changes)
        for _, stored in stored_episodes(folder / EPISODES, damaged):
            episode = stored
            computed = not (kept and stored.scored)
            if computed:
                episode = await rescored(stored, rewards_type, env, settings, options, judge.scorer(stored.task))
            record.add(positions.get(episode.task.id, len(results)), episode)
            results.append(result_of(episode))
            earned = earned or not computed or bool(episode.reward)
            people.append(guarded(f"the people of task {episode.task.id}", partial(person_of, episode.task, env)))
        if not results:
            raise UsageError(f"{folder / EPISODES} has no whole episode; there is nothing to rescore")
        if not earned:
            _require_earnable(folder, rewards_type, env, settings, imported=is_imported(config))
        record.close()
        if not judge.asked:
            (record.folder / FILE).unlink()  # no model was called, so the journal is empty
        summary = with_examples(record, summarize(results, people, tasks, judge.retries), redact)
        judge.add_cost(summary)
        write_json(record.folder / SUMMARY, summary)
    except BaseException:
        # A rescored run can be made again without cost, so a partial folder is not kept.
        record.discard()
        raise
    finally:
        await judge.aclose()
    unit = str(getattr(rewards_type, "unit", ""))
    return Rescored(folder, RunResult(record.folder, settings, plays, how, unit, summary), tuple(damaged))


def _require_earnable(
    folder: Path, rewards_type: type[BaseRewards], env: BaseEnv, settings: RunSettings, *, imported: bool
) -> None:
    """Raises UsageError where a run that earned nothing has nothing that the new rewards could count."""
    usual = rewards_type is rewards_class(PlugIn(), env)
    if usual and not imported:
        return
    other = f"give other --rewards, such as those of env {settings.env.name!r}: {label_of(env.rewards)}"
    if usual or rewards_class(PlugIn(), env) is BaseRewards:
        other = "give other --rewards, or leave it out to keep those of the source"
    if rewards_type is BaseRewards:
        needs = "needs an action that equals a goal"
        raise UsageError(f"rewards 'goals' {needs}, and no turn of {folder} has one; {other}")
    if imported and is_own(rewards_type) and rewards_type.needs_calls:
        turns = (node.turn for _, stored in stored_episodes(folder / EPISODES, []) for node in stored.tree.nodes[1:])
        if not any(isinstance(action, Mapping) for turn in turns for step in turn.actions for action in step):
            raise UsageError(f"the rewards need calls of tools, and no turn of {folder} has one; {other}")
    tag = rewards_type.tag if is_own(rewards_type) else None
    turns = (node.turn for _, stored in stored_episodes(folder / EPISODES, []) for node in stored.tree.nodes[1:])
    if tag is not None and not any(tag.count(text) for turn in turns for text in user_texts(turn.messages)):
        needs = f"read {tag.write(tag.high)} in the user's words"
        raise UsageError(f"rewards {settings.rewards.name!r} {needs}, and no turn of {folder} has it; {other}")


def _keeps_source_rewards(
    folder: Path, config: Mapping[str, Any], given: Mapping[str, Any], settings: RunSettings, env: BaseEnv
) -> bool:
    """Returns whether a run was imported, and keeps the rewards that its source gives, because no others are wanted.

    Raises:
        UsageError: it does, but settings of other rewards are given, or a dialogue has no reward and the world none.
    """
    if not is_imported(config) or config.get("rewards_from") == RESCORED or "rewards" in given:
        return False
    own = next((name for name in given if name != "log_dir"), None)
    if own is not None:
        raise UsageError(
            f"{own} is given, but {folder} keeps the rewards of its source; give --rewards, such as "
            f"{label_of(env.rewards)}, to compute others"
        )
    if rewards_class(settings.rewards, env) is BaseRewards:
        unrated = next((one for _, one in stored_episodes(folder / EPISODES, []) if one.unrated), None)
        if unrated is not None:
            raise UsageError(
                f"{folder}: dialogue {unrated.task.id} has no reward; give --rewards, a class that judges "
                "conversations, such as ./mine.py:Judged"
            )
    return True


async def rescored(
    episode: Episode,
    rewards_type: type[BaseRewards],
    env: BaseEnv,
    settings: RunSettings,
    options: Mapping[str, Any],
    scorer: Scorer,
) -> Episode:
    """Returns an episode under another reward.

    Args:
        episode: the stored episode.
        rewards_type: the new rewards class.
        env: the environment.
        settings: the new run's settings.
        options: the same by flag, as plug-ins get them.
        scorer: the scorer of the episode's task.

    Raises:
        UsageError: a plug-in raises an error.
    """
    what = f"task {episode.task.id} cannot be rescored"

    def set_up() -> BaseRewards:
        rewards = new_rewards(rewards_type, settings.rewards, list(env.goals(episode.task)))
        rewards.start(episode.task, env, options)
        # Stored actions have the types of JSON (lists instead of tuples), so the goals must have them too.
        rewards.rewards = json.loads(dumps(list(rewards.rewards)))
        return rewards

    rewards, strategy = guarded(what, set_up), search_of(settings)

    async def regrown() -> Episode:
        facts = scorer.facts if has_facts(rewards) else None

        async def again(node: Node) -> Confirmation:
            needed = settings.confirming.confirm_first or 0.0
            return await reconfirmed(node, needed, rewards, facts, env, scorer)

        confirm = again if settings.confirming.confirm else None
        tree = await regrow(episode.tree, rewards, strategy, facts, confirm)
        outcomes = final_outcomes(tree)
        sound = [leaf for leaf, outcome in outcomes.items() if outcome is not Outcome.INFRA_ERROR]
        error = episode.error if episode.error.startswith(TOO_LONG) else ""
        scores = {} if error else await scorer.scores(tree, sound, outcomes, rewards)
        return conclude(tree, episode.task, env, rewards, strategy, error, scores)

    try:
        concluded: Episode = await alone(regrown())
    except* JoshError as group:
        raise first_of(group) from None
    except* Exception as group:
        raise UsageError(f"{what}: {one_line(first_of(group))}") from group
    return replace(
        concluded,
        tools=episode.tools,
        user_tools=episode.user_tools,
        judged=scorer.usage,
        no_rows=episode.no_rows,
        budget=episode.budget,
    )


async def reconfirmed(
    node: Node, needed: float, rewards: BaseRewards, facts: Facts | None, env: BaseEnv, scorer: Scorer
) -> Confirmation:
    """Returns the confirmation of a stored node under another reward.

    Args:
        node: the node, which wins under that reward.
        needed: see `Confirmation.needed`; where it is above 0, a win that the recorded run did not confirm is doubtful.
        rewards: a rewards object started on the task, with all goals open.
        facts: see `regrow`.
        env: the environment.
        scorer: the scorer of the task.
    """
    replays = []
    for replay in node.confirmation.replays if node.confirmation else ():
        own = rewards.fork()
        tree = await regrow(replay.tree, own.fork(), ALONE, facts)
        outcomes = final_outcomes(tree)
        leaf = len(tree.nodes) - 1
        sound = [leaf] if outcomes.get(leaf) is not Outcome.INFRA_ERROR else []
        scores = await scorer.scores(tree, sound, outcomes, own)
        episode = conclude(tree, scorer.task, env, own, ALONE, "", scores)
        tree = replace(episode.tree, frontier=())
        replays.append(Replay(replay.user, tree, outcomes.get(leaf) is Outcome.WON, episode.worth.get(leaf, 0.0)))
    return Confirmation(tuple(replays), needed)


async def regrow(
    stored: Tree,
    rewards: BaseRewards,
    strategy: Strategy,
    facts: Facts | None = None,
    confirm: Callable[[Node], Awaitable[Confirmation]] | None = None,
) -> Tree:
    """Grow a stored tree again from its turns, phase by phase, under another reward.

    Args:
        stored: the tree.
        rewards: a rewards object started on the tree's task, with all goals open.
        strategy: updates the tree after each phase.
        facts: finds the facts of each turn; None where the rewards have none.
        confirm: judges the confirmation of a stored node whose path wins; None where the run confirms nothing.

    Returns:
        The new tree. Turns below a leaf that the strategy dropped are left out. Leaves that the strategy would
        continue, but that have no stored turns below them, stay in the frontier, latest phase first.
    """
    goals = tuple(rewards.rewards)
    tree = Tree((replace(stored.nodes[0], open=goals),), (0,), goals, seed=stored.seed)
    grown, carried = {-1: -1, 0: 0}, {0: rewards}
    last = {node.parent: node.phase for node in stored.nodes}
    # A node that is in the frontier at the end was kept by its last expansion too.
    last |= dict.fromkeys(stored.frontier, -1)
    for phase, indices in groupby(range(1, len(stored.nodes)), key=lambda index: stored.nodes[index].phase):
        frontier = set(tree.frontier)
        taken = [index for index in indices if grown.get(stored.nodes[index].parent) in frontier]
        new = []
        for index in taken:
            parent = grown[stored.nodes[index].parent]
            new.append(await _judged(stored.nodes[index], parent, tree, carried[parent], facts))
        if not new:
            continue
        size, cuts = len(tree.nodes), len(tree.collapses)
        grown |= {index: size + offset for offset, index in enumerate(taken)}
        gone = {
            node.parent for node, index in zip(new, taken, strict=True) if last[stored.nodes[index].parent] == phase
        }
        stay = (leaf for leaf in tree.frontier if leaf not in gone)
        wider = replace(tree, nodes=tree.nodes + tuple(new), frontier=(*stay, *range(size, size + len(new))))
        tree = strategy.update(await _with_confirmations(wider, size, confirm))
        carried = {
            leaf: carried[leaf] if leaf < size else _spent(carried[tree.nodes[leaf].parent], tree, leaf)
            for leaf in tree.frontier
        }
        assert len(tree.collapses) <= cuts + 1, "a phase collapses once"
    return tree


async def _with_confirmations(
    tree: Tree, first: int, confirm: Callable[[Node], Awaitable[Confirmation]] | None
) -> Tree:
    """Returns a tree whose nodes from `first` on have confirmations where they win, and only there."""
    nodes = list(tree.nodes)
    for index in range(first, len(nodes)):
        found = None
        if confirm is not None and tree.met_all(index) and nodes[index].turn.outcome is not Outcome.INFRA_ERROR:
            found = await confirm(nodes[index])
        if found is not None and not (found.replays or found.needed):
            found = None
        if found is not None or nodes[index].confirmation is not None:
            nodes[index] = replace(nodes[index], confirmation=found)
    return replace(tree, nodes=tuple(nodes))


async def _judged(node: Node, parent: int, tree: Tree, rewards: BaseRewards, facts: Facts | None) -> Node:
    """Returns a stored node at its place in the new tree, with the reward events and facts of its turn there."""
    turn, still_open = node.turn, tree.nodes[parent].open
    if turn.outcome is not Outcome.INFRA_ERROR:
        turn = await _judged_turn(turn, node.speaker, rewards)
        outcome = final(turn.outcome, still_open, lambda: hits(tree, parent), turn.hits, rewards)
        turn = replace(turn, outcome=outcome, facts=None)
        if facts is not None:
            turn = await facts(rewards, tree, replace(node, parent=parent, turn=turn))
    return replace(node, parent=parent, turn=turn, open=spend(still_open, turn.hits)[1])


async def _judged_turn(turn: Turn, speaker: Speaker, rewards: BaseRewards) -> Turn:
    by_user, read = speaker is Speaker.USER, rewards.reads is speaker
    actions = turn.actions
    if turn.facts is not None and turn.outcome in (Outcome.WON, Outcome.LOST) and not turn.failure:
        turn = replace(turn, outcome=Outcome.ALIVE)  # the facts of the old rewards ended the conversation
    if by_user:
        actions = (tuple(user_texts(turn.messages)),) if read else ()
    verdicts = []
    for number, step in enumerate(actions if read else ()):
        world = turn.observed if number == len(actions) - 1 else None
        verdicts.append(await judge(rewards, step, number, world))
    if not read and reads_world(rewards) and turn.observed is not None:
        verdicts.append(await judge(rewards, (), max(len(actions) - 1, 0), turn.observed))
    earned = tuple(hit for hit, _ in verdicts if hit)
    outcome = turn.outcome
    if by_user and outcome is not Outcome.ALIVE:
        outcome = outcome_of_ending(earned, verdicts[0][1] if verdicts and read else None)
    elif outcome is Outcome.WON:
        outcome = Outcome.ALIVE  # the win was the old reward's verdict
    return replace(turn, actions=actions, hits=earned, outcome=outcome)


def _spent(rewards: BaseRewards, tree: Tree, leaf: int) -> BaseRewards:
    """Returns the rewards object of a leaf: its parent's, without the goals that its turn met."""
    node = tree.nodes[leaf]
    if not node.turn.hits:
        return rewards
    left = rewards.fork()
    left.delete_reward(list(spend(tree.nodes[node.parent].open, node.turn.hits)[0]))
    return left
