"""All evaluators."""

from tau2.evaluator.evaluator_action import ActionEvaluator
from tau2.evaluator.evaluator_communicate import CommunicateEvaluator
from tau2.evaluator.evaluator_env import EnvironmentEvaluator

__all__ = ["ActionEvaluator", "CommunicateEvaluator", "EnvironmentEvaluator"]
