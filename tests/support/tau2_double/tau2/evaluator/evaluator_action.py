"""Looks for calls that have to be made."""

from tau2.data_model.simulation import RewardInfo


class ActionEvaluator:
    """Judges the calls."""

    @classmethod
    def calculate_reward(cls, task, full_trajectory):
        made = [call for message in full_trajectory for call in getattr(message, "tool_calls", None) or ()]
        wanted = (task.evaluation_criteria and task.evaluation_criteria.actions) or []
        return RewardInfo(reward=all(any(cls._is(call, action) for call in made) for action in wanted))

    @classmethod
    def _is(cls, call, action):
        names = set(action.arguments) | set(call.arguments) if action.compare_args is None else action.compare_args
        return call.name == action.name and all(call.arguments.get(one) == action.arguments.get(one) for one in names)
