"""The settings of `josh evaluate` beside those of its runs: what sets the baseline apart, and other defaults."""

from collections.abc import Mapping
from typing import Any

from josh.config import Schema, settings_in
from josh.runs.settings import JOSH, Side, core

ROLLOUTS = 3
"""Conversations per task and user model, unless the run says otherwise."""
TEMPERATURE = 1.0
"""Sampling temperature of the models, unless the run says otherwise: rollouts are a sample of what a model does."""
SPLIT = "test"
EVALUATION_DEFAULTS: Mapping[str, Any] = {"rollouts": ROLLOUTS, "temperature": TEMPERATURE, "task_split": SPLIT}
NOT_FOR_EVALUATIONS = (JOSH, "strategy")
"""Settings of runs that an evaluation chooses by itself."""

BASELINE = Schema(
    settings_in(
        Side,
        prefix="baseline_",
        who="the baseline's",
        changes={
            "model": {
                "flag": "baseline",
                "help": "chat model to compare with, or `offline`; what is not said of it is as for the model",
            },
            "name": {"flag": "baseline_agent", "help": "the baseline's agent"},
        },
    )
)
"""What may set a baseline apart from the model."""


def apart(given: Mapping[str, Any]) -> dict[str, Any]:
    """What sets the baseline apart, by the agent's flags, from values by the baseline's; None is left out."""
    agent = {one.path[1:]: flag for flag, one in core().items() if one.path[:1] == ("agent",)}
    return {agent[BASELINE[flag].path]: value for flag, value in given.items() if value is not None}
