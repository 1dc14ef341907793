"""What features say about accepting: a logistic regression on standardised features, with intervals by question."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from josh.runs.evaluate.scores import Metrics, PolicyResults
from josh.runs.evaluate.table import format_interval
from josh.terminal import align_columns

FEATURES: Final = ("entropy", "log_p_own", "log_p_alt")
PUBLISHED: Final[Mapping[str, float]] = {"entropy": -0.64, "log_p_own": 0.36, "log_p_alt": -0.36}
RESAMPLES: Final = 1_000
_RIDGE: Final = 1.0
_STEPS: Final = 25

Numbers = NDArray[np.float64]


def logistic(features: Numbers, labels: Numbers, weights: Numbers) -> Numbers:
    """Returns the weights of a logistic regression: the intercept, then one for each feature.

    The features' weights have an L2 penalty of half their squares, so that they exist where the classes separate.

    Args:
        features: standardised, shape (rows, features).
        labels: 0 or 1, shape (rows,).
        weights: how often each row counts, shape (rows,).
    """
    rows = np.column_stack([np.ones(len(labels)), features])
    penalty = np.diag([1e-9] + [_RIDGE] * features.shape[1])
    found = np.zeros(rows.shape[1])
    for _ in range(_STEPS):
        likely = 1 / (1 + np.exp(-np.clip(rows @ found, -30, 30)))
        slope = rows.T @ (weights * (labels - likely)) - penalty @ found
        curve = (rows * (weights * likely * (1 - likely))[:, None]).T @ rows + penalty
        step = np.linalg.solve(curve, slope)
        found = found + step
        if np.abs(step).max() < 1e-8:
            break
    return found


def acceptance(sample: PolicyResults) -> Metrics:
    """Returns the weights of a policy's features for accepting, with 95 % bootstrap intervals over questions.

    Returns:
        `rows` used; `missing`: the features that no row has; `constant`: those that are the same in all rows;
        `weights` by feature; `note`: why there are none.
    """
    talks = [(talk.metrics, row.person) for row in sample.rows.values() for talk in row.conversations.values()]
    judged = [(metrics, person) for metrics, person in talks if "accepted" in metrics]
    missing = [name for name in FEATURES if not any(name in metrics for metrics, _ in judged)]
    names = [name for name in FEATURES if name not in missing]
    used = [(metrics, person) for metrics, person in judged if all(name in metrics for name in names)]
    table = np.array([[metrics[name] for name in names] for metrics, _ in used], dtype=np.float64).reshape(
        len(used), len(names)
    )
    labels = np.array([metrics["accepted"] for metrics, _ in used], dtype=np.float64)
    spread = table.std(axis=0) if used else np.zeros(len(names))
    varied = spread > 1e-9
    found: Metrics = {
        "policy": sample.policy,
        "user": sample.user,
        "rows": len(used),
        "skipped": len(talks) - len(used),
        "missing": missing,
        "constant": [name for name, varies in zip(names, varied, strict=True) if not varies and len(used)],
        "weights": {},
        "note": "",
    }
    if not names:
        return found | {"note": "it has no features"}
    if len(set(labels.tolist())) < 2:
        kind = "accepts" if len(labels) and labels[0] else "keeps"
        return found | {"note": f"it {kind} in all {len(labels)} rows" if len(labels) else "no row has all features"}
    if not varied.any():
        return found | {"note": "its features are the same in all rows"}
    scaled = (table[:, varied] - table[:, varied].mean(axis=0)) / spread[varied]
    people = [person for _, person in used]
    places = {person: place for place, person in enumerate(dict.fromkeys(people))}
    of = np.array([places[person] for person in people])
    value = logistic(scaled, labels, np.ones(len(labels)))[1:]
    drawn = _resampled(scaled, labels, of, len(places))
    for place, name in enumerate(name for name, varies in zip(names, varied, strict=True) if varies):
        low, high = np.quantile(drawn[:, place], [0.025, 0.975]) if len(drawn) else (None, None)
        ends = [None if end is None else round(float(end), 6) + 0.0 for end in (low, high)]
        found["weights"][name] = {"value": round(float(value[place]), 6) + 0.0, "low": ends[0], "high": ends[1]}
    return found


def _resampled(features: Numbers, labels: Numbers, people: NDArray[Any], count: int) -> Numbers:
    """Returns the features' weights in each resample of whole people that has both labels."""
    if count < 2:
        return np.zeros((0, features.shape[1]))
    draws = np.random.default_rng(0).multinomial(count, [1 / count] * count, size=RESAMPLES)
    found = []
    for times in draws:
        weights = times[people].astype(np.float64)
        if 0 < weights @ labels < weights.sum():
            found.append(logistic(features, labels, weights)[1:])
    return np.array(found).reshape(-1, features.shape[1])


def figures(samples: Sequence[PolicyResults]) -> Metrics:
    """Returns the regressions of some policies, and the lines that print them."""
    results = [acceptance(sample) for sample in samples]
    lines = ["what the features say about accepting: logistic regression on standardised features"]
    rows = [["", "rows", *FEATURES]]
    for one in results:
        shown = [
            format_interval(one["weights"][name], sign="+") if name in one["weights"] else "-" for name in FEATURES
        ]
        rows.append([f"  {one['policy']}", str(one["rows"]), *shown])
    rows.append(["  published", "", *(f"{PUBLISHED[name]:+.2f}" for name in FEATURES)])
    lines += align_columns(rows)
    for one in results:
        if one["missing"] and len(one["missing"]) < len(FEATURES):
            lines.append(f"{one['policy']}: the model gives no log-probabilities; {', '.join(one['missing'])} left out")
        if one["note"]:
            lines.append(f"{one['policy']}: {one['note']}, so nothing explains them")
    return {"results": results, "lines": [line.rstrip() for line in lines]}
