"""Trajectories from the stored trees of a run; `proactive_rows.py` describes their rows."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from josh.dialogue import Outcome, Speaker
from josh.envs.proactive.actions import ACTIONS
from josh.envs.proactive.personas import persona_named
from josh.envs.proactive.prompts import INSTRUCTIONS
from josh.envs.proactive.reactions import CONTINUES, meta_of
from josh.errors import UsageError
from josh.messages import text_of
from josh.outcomes import Episode
from josh.runs.systems.proactive_rows import TYPES, VERSION
from josh.tree import Tree, walk

GIVEN_UP: Final = "trees given up"
FAILED: Final = "conversations with errors"
SILENT_ABOUT_ACTION: Final = "turns without an action"


def trajectory_rows(episode: Episode, decisions: int, judged: bool, dropped: Counter[str]) -> Iterator[dict[str, Any]]:
    """Yields the rows of an episode: point after point, the main line's first.

    Args:
        episode: an episode of the proactive world.
        decisions: the strategy's setting: number of decision points of the main line, 0 for each of its turns. A point
            without branches gives one row.
        judged: whether a judge model scored the plans.
        dropped: counts what is left out, by reason.

    Raises:
        UsageError: the episode is of another world.
    """
    if not isinstance(episode.task.data.get("state"), Mapping):
        raise UsageError(f"task {episode.task.id} has no state; give a run of --env proactive")
    if episode.error:
        dropped[GIVEN_UP] += 1
        return
    tree = episode.tree
    children: dict[int, list[int]] = {}
    for index, node in enumerate(tree.nodes[1:], start=1):
        children.setdefault(node.parent, []).append(index)
    place, point = 0, 0
    while place in children:
        turns = children[place]
        if tree.nodes[turns[0]].speaker is Speaker.AGENT:
            if len(turns) > 1 or not decisions or point < decisions:
                yield from _point_rows(episode, turns, point, children, judged, dropped)
            point += 1
        place = turns[0]


def _point_rows(
    episode: Episode,
    turns: Sequence[int],
    point: int,
    children: Mapping[int, Sequence[int]],
    judged: bool,
    dropped: Counter[str],
) -> Iterator[dict[str, Any]]:
    main = None
    for turn in turns:
        leaf = turn
        while leaf in children:
            leaf = children[leaf][0]
        path = walk(episode.tree, leaf)[1:]
        if any(episode.tree.nodes[index].turn.outcome is Outcome.INFRA_ERROR for index in path):
            dropped[FAILED] += 1
            continue
        said = _interactions(episode, path, judged)
        if len(said) <= point or said[point]["type"] is None:
            dropped[SILENT_ABOUT_ACTION] += 1
            continue
        here = said[point]
        action = _action(episode.tree, turn)
        main = action if turn == turns[0] else main
        yield {
            "state": here["state_at_this_point"],
            "action": action,
            "action_prompt": INSTRUCTIONS[here["state_at_this_point"]["domain"]][str(action)],
            "assistant_msg": here["assistant_msg"],
            "persona": episode.task.data["persona"],
            "user_reaction": here["user_reaction"],
            "is_mainline": turn == turns[0],
            "decision_point": point,
            "mainline_action": main,
            "is_variant": turn != turns[0] and action == main,
            "interactions": said,
            "version": VERSION,
        }


def _interactions(episode: Episode, path: Sequence[int], judged: bool) -> list[dict[str, Any]]:
    """Returns the agent's messages on a path, each with the user's reaction."""
    persona = persona_named(episode.task.data.get("persona"), f"task {episode.task.id}")
    found: list[dict[str, Any]] = []
    for index in path:
        node = episode.tree.nodes[index]
        seen = node.turn.observed
        if not isinstance(seen, Mapping) or "rendered" not in seen:
            raise UsageError(f"task {episode.task.id} has a turn without a state; give a run of --env proactive")
        if node.speaker is Speaker.USER:
            if seen["reaction"]:
                found[-1]["user_reaction"] = dict(seen["reaction"])
            continue
        action = _action(episode.tree, index)
        facts = dict(node.turn.facts or {})
        if judged and facts.get("task") is not None and not facts.get("grade"):
            facts["judged"] = True
        found.append(
            {
                "interaction_num": len(found) + 1,
                "type": TYPES.get(str(action)),
                "assistant_msg": "\n\n".join(filter(None, map(text_of, node.turn.messages))),
                "user_reaction": {"user_reply": "", "meta": meta_of(CONTINUES, persona)},
                "state_at_this_point": seen["state"],
                "rendered": seen["rendered"],
                "facts": facts,
            }
        )
    return found


def _action(tree: Tree, index: int) -> str | None:
    node = tree.nodes[index]
    named = (node.turn.facts or {}).get("action") or (node.turn.observed or {}).get("action")
    return named or (node.directive if node.directive in ACTIONS else None)
