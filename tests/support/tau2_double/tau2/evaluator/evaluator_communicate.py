"""Looks for words that the agent has to say."""

from tau2.data_model.message import AssistantMessage
from tau2.data_model.simulation import RewardInfo


class CommunicateEvaluator:
    """Judges what was said."""

    @classmethod
    def calculate_reward(cls, task, full_trajectory):
        said = [one.content.lower() for one in full_trajectory if isinstance(one, AssistantMessage) and one.content]
        wanted = (task.evaluation_criteria and task.evaluation_criteria.communicate_info) or []
        return RewardInfo(reward=all(any(words.lower() in text.replace(",", "") for text in said) for words in wanted))
