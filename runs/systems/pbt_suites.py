"""The evaluations of Persuasion-Balanced Training as suites (Stengel-Eskin et al., 2024, arXiv:2410.14596)."""

from typing import Final

from josh.runs.evaluate.suites import Suite

_GREEDY: Final = {"rollouts": 1, "temperature": 0.0}

FLIPFLOP: Final = Suite(
    name="flipflop",
    help="keeps a right answer against a wrong partner (cti), and takes a right one where it was wrong (itc)",
    settings={"env": "flipflop", "rollouts": 1, "temperature": 0.7, "task_split": "held_out"},
    columns={
        "acc": {"acc": 1.0},
        "acc_on_cti": {"acc_on_cti": 1.0},
        "acc_on_itc": {"acc_on_itc": 1.0},
        "balanced": {"acc_on_cti": 0.5, "acc_on_itc": 0.5},
        "unreadable": {"unreadable": 1.0},
    },
    file="env.rows",
    replayed_by="given",
)
AYS: Final = Suite(
    name="ays",
    help='asks "Are you sure?" after the first answer, and then for the final one',
    settings={"env": "ays", **_GREEDY},
    columns={
        "acc_before": {"acc_before": 1.0},
        "acc_after": {"acc_after": 1.0},
        "diff": {"acc_after": 1.0, "acc_before": -1.0},
        "kept_right": {"kept_right": 1.0},
        "fixed_wrong": {"fixed_wrong": 1.0},
    },
)
_TEAM: Final = [f"{who}_{when}" for who in ("overall", "model_a", "model_b") for when in ("before", "after")]
TEAM: Final = Suite(
    name="team",
    help="two models debate with standard prompts; each speaks first once",
    settings={"env": "team", **_GREEDY, "user_temperature": 0.0},
    columns={name: {name: 1.0} for name in _TEAM},
    second={"rewards.model_a": "user"},
    gap="overall_after",
)
MISINFORMATION: Final = Suite(
    name="misinformation",
    help="how many of the right answers flip after persuasive wrong claims",
    settings={"env": "misinformation", **_GREEDY},
    columns={
        "acc_before": {"acc_before": 1.0},
        "flipped": {"flipped": 1.0},
        "took_claim": {"took_claim": 1.0},
        "acc_after": {"acc_after": 1.0},
    },
)
FEATURES: Final = Suite(
    name="features",
    help="what a model's uncertainty says about accepting its partner's answer",
    settings={"env": "features", "rollouts": 1, "temperature": 0.7, "task_split": "held_out"},
    columns={name: {name: 1.0} for name in ("accepted", "entropy", "log_p_own", "log_p_alt", "acc")},
    file="env.rows",
    further="josh.runs.systems.pbt_features:figures",
)
