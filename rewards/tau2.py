"""The rewards of τ²-bench: a confirmed win at the end, and partial goals that steer a search."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from josh.dialogue import Hit
from josh.envs.tau2.events import ASSISTANT, USER
from josh.envs.tau2.world import END_STATE
from josh.roles import BaseRewards
from josh.tree import spend


class Tau2Rewards(BaseRewards):
    """A conversation wins with the goal `end_state`, which the world reports once the user has ended it.

    The benchmark's own evaluator has then confirmed the win. Its reward is 1, also where other goals stay open, because
    golden actions are one way among others. Without it the reward is the share of the goals that were met.

    Partial goals, by `--env.goals`: a golden call of the agent or the user, met by a successful call with the same name
    and arguments (those in `compare_args`, where the task names some); words that the agent has to say; an assertion
    about the state that did not hold at the start.
    """

    def is_reward(
        self, agent_actions: Sequence[Any], *, observed: Mapping[str, Any] | None = None
    ) -> tuple[bool, list[Any]]:
        """Returns whether calls, or what the world reports, meet open goals, and which."""
        left, met = list(self.rewards), []
        for found in _met(left, agent_actions, observed or {}):
            left.remove(found)
            met.append(found)
        return bool(met), met

    def won(self, open_goals: Sequence[Any], hits: Sequence[Hit]) -> bool:
        """Returns whether the path has met `end_state`."""
        return any(END_STATE in hit.goals for hit in hits)

    def path_reward(self, goals: Sequence[Any], hits: Sequence[Hit]) -> float:
        """Returns 1 for a win, else the share of the goals that were met, below 1."""
        if self.won((), hits):
            return 1.0
        return len(spend(goals, hits)[0]) / len(goals) if goals else 0.0


def _met(left: Sequence[Any], actions: Sequence[Any], observed: Mapping[str, Any]) -> Iterator[Any]:
    """Yields the goals that are met; `left` may shrink meanwhile."""
    calls = [(ASSISTANT, action) for action in actions if isinstance(action, Mapping)]
    calls += [(USER, call) for call in observed.get("user_calls", ())]
    for caller, call in calls:
        found = next((goal for goal in left if _is_call(goal) and _meets(caller, call, goal)), None)
        if found is not None:
            yield found
    for key, place in (("said", "say"), ("holding", "assert")):
        for at in observed.get(key, ()):
            found = next((goal for goal in left if isinstance(goal, Mapping) and goal.get(place) == at), None)
            if found is not None:
                yield found
    if observed.get("reward") == 1 and END_STATE in left:
        yield END_STATE


def _is_call(goal: Any) -> bool:
    return isinstance(goal, Mapping) and "requestor" in goal


def _meets(caller: str, call: Mapping[str, Any], goal: Mapping[str, Any]) -> bool:
    """Returns whether a successful call has the goal's name and arguments, and no others."""
    if "error" in call or (caller, call.get("name")) != (goal["requestor"], goal["name"]):
        return False
    given, wanted = call.get("arguments") or {}, goal["arguments"]
    names = goal.get("compare_args")
    if names is not None:
        given, wanted = ({name: side[name] for name in names if name in side} for side in (given, wanted))
    return same(given, wanted)


def same(one: Any, other: Any) -> bool:
    """Returns whether two JSON values are the same; 2 and 2.0 are, true and 1 are not, and lists have an order."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)
