"""The evaluation of proactive help as a suite; `proactive_eval.py` is its command."""

from typing import Final

from josh.runs.evaluate.suites import Suite

_NUMBERS: Final = (
    "success", "utility", "action_accuracy", "clarify", "turns", "rejected", "over", "under", "cost", "task_score",
)  # fmt: skip

PROACTIVE_EVAL: Final = Suite(
    name="proactive",
    help="whether an agent asks where it has to, and delivers where it can",
    settings={
        "env": "proactive",
        "rewards": "proactive_measures",
        "rollouts": 1,
        "temperature": 0.0,
    },
    columns={name: {name: 1.0} for name in _NUMBERS},
    clusters="states",
    file="env.states",
    group="persona",
    by_number=True,
)
