"""Compares the end of a conversation with the end of the golden actions."""

from contextlib import suppress

from tau2.data_model.simulation import RewardInfo
from tau2.data_model.tasks import RewardType


class EnvironmentEvaluator:
    """Judges the state."""

    @classmethod
    def calculate_reward(cls, environment_constructor, task, full_trajectory, solo_mode=False):
        criteria, begin = task.evaluation_criteria, task.initial_state
        if criteria is None or (criteria.actions is None and criteria.env_assertions is None):
            return RewardInfo(reward=1.0)
        data, actions = (begin and begin.initialization_data), (begin and begin.initialization_actions)
        played, golden = environment_constructor(), environment_constructor()
        played.set_state(data, actions, full_trajectory)
        golden.set_state(data, actions, (begin and begin.message_history) or [])
        for action in criteria.actions or ():
            with suppress(Exception):
                golden.make_tool_call(action.name, action.requestor, **action.arguments)
        reward = 1.0
        if RewardType.DB in criteria.reward_basis:
            reward *= golden.get_db_hash() == played.get_db_hash()
            reward *= golden.get_user_db_hash() == played.get_user_db_hash()
        if RewardType.ENV_ASSERTION in criteria.reward_basis:
            for assertion in criteria.env_assertions or ():
                reward *= played.run_env_assertion(assertion, raise_assertion_error=False)
        return RewardInfo(reward=reward)
