"""The settings of `josh evaluate` beside those of its runs: the flags of the baseline, and other defaults."""

from collections.abc import Mapping
from typing import Any

from josh.config import Schema, settings_in
from josh.runs.settings import CONFIRMING, JOSH, SEARCHES, SHARDS, Side, core

ROLLOUTS = 3
"""Default number of conversations per task and user model."""
TEMPERATURE = 1.0
"""Default sampling temperature of the models: rollouts sample from the model's own distribution."""
SPLIT = "test"
EVALUATION_DEFAULTS: Mapping[str, Any] = {"rollouts": ROLLOUTS, "temperature": TEMPERATURE, "task_split": SPLIT}
NOT_FOR_EVALUATIONS = (JOSH, "strategy", *SHARDS, *SEARCHES, *CONFIRMING)
"""Settings of runs that an evaluation sets itself."""

BASELINE = Schema(
    settings_in(
        Side,
        prefix="baseline_",
        who="the baseline's",
        changes={
            "model": {
                "flag": "baseline",
                "aliases": ("baseline_model",),
                "help": "chat model to compare with, or `offline`; settings that are not given are those of the model",
            },
            "name": {"flag": "baseline_agent", "help": "the baseline's agent"},
        },
    )
)
"""The settings in which a baseline may differ from the model."""


def apart(given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the baseline's settings by the agent's flags.

    Args:
        given: values by the baseline's flags; None stands for a flag that was not given, and is left out.
    """
    agent = agents_flags()
    return {agent[flag]: value for flag, value in given.items() if value is not None}


def unread_by_baseline(of_agent: Mapping[str, str]) -> dict[str, str]:
    """Returns the settings that a baseline's run does not read, by the baseline's flags, each with the reason.

    Args:
        of_agent: the same by the agent's flags; see `josh.runs.play.unread.unread`.
    """
    words = {"the agent": "the baseline", "--model": "--baseline", "--agent": "--baseline_agent"}
    found = {}
    for flag, agents in agents_flags().items():
        if why := of_agent.get(agents):
            for one, other in words.items():
                why = why.replace(one, other)
            found[flag] = why
    return found


def agents_flags() -> dict[str, str]:
    """Returns the agent's flag for each flag of the baseline."""
    agent = {one.path[1:]: flag for flag, one in core().items() if one.path[:1] == ("agent",)}
    return {flag: agent[one.path] for flag, one in BASELINE.items()}
