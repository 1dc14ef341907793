"""The numbers of a probe, as pure functions of graded items, judged pairs and log-probabilities."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from math import ceil, sqrt
from typing import Any, Final

from josh.runs.intervals import Estimate, mcnemar, mean, ratio
from josh.runs.probe.judge import HIGHEST, LOWEST
from josh.runs.probe.judging import LOSS, MISSING, TIE, UNREADABLE, WIN, Pair
from josh.runs.probe.questions import REFERENCED
from josh.runs.probe.settings import BASELINE, MODEL

YES, NO, TOO_FEW = "yes", "no", "too few questions to say"
"""The answers to whether the model is no worse than the baseline."""
_POINTS: Final = {WIN: 1.0, TIE: 0.5, LOSS: 0.0}
Figures = dict[str, Any]


def item_figures(
    kinds: Sequence[str], baseline: Sequence[bool | None], model: Sequence[bool | None], margin: float
) -> Figures:
    """Returns the numbers of the items, paired by item.

    Args:
        kinds: the kind of each item.
        baseline: whether the baseline's reply to each item is right; None where there is no reply.
        model: the same of the model.
        margin: see `no_worse`.

    Returns:
        `items`: number of items that both replied to; `passed`: the share of right replies of each side; `difference`:
        model less baseline, with its interval; `lost`, `gained`: items that only the baseline, or only the model,
        passes, with the p-value `mcnemar`; `kinds`: the shares for each kind; `no_worse`, `why`: see `no_worse`.
    """
    both = [
        (kind, float(b), float(m))
        for kind, b, m in zip(kinds, baseline, model, strict=True)
        if b is not None and m is not None
    ]
    own = range(len(both))
    apart = mean([m - b for _, b, m in both], own)
    lost, gained = (sum(b - m == sign for _, b, m in both) for sign in (1.0, -1.0))
    sides = {BASELINE: [b for _, b, _ in both], MODEL: [m for *_, m in both]}
    passed = {side: asdict(mean(values, own)) for side, values in sides.items()}
    floor = passed[BASELINE]["value"]
    answer, why = no_worse(apart, margin)
    if floor is not None and floor <= margin:
        answer, why = (
            TOO_FEW,
            f"the baseline passes {sum(sides[BASELINE]):.0f} of {len(both)}, so it has little to lose",
        )
    return {
        "items": len(both),
        "passed": passed,
        "difference": asdict(apart),
        "lost": lost,
        "gained": gained,
        "mcnemar": mcnemar(lost, gained),
        "kinds": {
            kind: {
                "items": len(chosen := [row for row in both if row[0] == kind]),
                BASELINE: sum(b for _, b, _ in chosen),
                MODEL: sum(m for *_, m in chosen),
            }
            for kind in dict.fromkeys(kinds)
        },
        "no_worse": answer,
        "why": why,
    }


def no_worse(difference: Estimate, margin: float) -> tuple[str, str]:
    """Returns whether a model is no worse than its baseline by more than a margin, and why that cannot be said.

    Yes, where the whole 95 % interval of the difference is above minus the margin, and there are at least 3 / margin
    questions: with fewer, a loss of the size of the margin may be on none of them (the rule of three: Hanley and
    Lippman-Hand, 1983). No, where the whole interval is below minus the margin. Else there are too few questions.

    Args:
        difference: model less baseline, as a share; its clusters are questions.
        margin: the largest loss that counts as no worse.
    """
    least = ceil(3 / margin - 1e-9)
    if difference.value is None:
        return TOO_FEW, "there is nothing to compare"
    if difference.low is None or difference.high is None:
        return TOO_FEW, f"one question has no interval; {least} are needed"
    if difference.high < -margin:
        return NO, ""
    if difference.low < -margin:
        return TOO_FEW, f"a loss of {margin:g} is inside the interval"
    if difference.people < least:
        return TOO_FEW, f"{difference.people} questions, and a loss of {margin:g} can be seen with {least} or more"
    return YES, ""


def pairwise_figures(pairs: Sequence[Pair], margin: float) -> Figures:
    """Returns the numbers of the comparisons, clustered by question.

    Returns:
        `pairs`: number of pairs of answers; `counts` with `win`, `tie`, `loss`, `unreadable`, `missing` and `same`
        (ties of equal answers, about which the judge is not asked); `decided`: wins and losses; `consistency`: the
        share of pairs with two readable verdicts whose verdicts agree, of `consistency_pairs`; `points`: the mean of 1
        for a win, .5 for a tie, 0 for a loss; `difference`: that less .5; `categories`, `turns`: counts for each;
        `length_correlation`: see `correlation`, of points with the longer answer; `no_worse`, `why`: see `no_worse`.
    """
    scored = [one for one in pairs if one.outcome in _POINTS]
    clusters = [one.question for one in scored]
    points = [_POINTS[str(one.outcome)] for one in scored]
    both = [one for one in pairs if one.consistent is not None]
    apart = mean([one - 0.5 for one in points], clusters)
    answer, why = no_worse(apart, margin)
    asked = [(point, one) for point, one in zip(points, scored, strict=True) if not one.same]
    return {
        "pairs": len(pairs),
        "counts": _counts(pairs),
        "decided": sum(one.outcome in (WIN, LOSS) for one in pairs),
        "consistency": sum(bool(one.consistent) for one in both) / len(both) if both else None,
        "consistency_pairs": len(both),
        "points": asdict(mean(points, clusters)),
        "difference": asdict(apart),
        "categories": _grouped(pairs, lambda one: one.category),
        "turns": _grouped(pairs, lambda one: str(one.turn)),
        "length_correlation": correlation(
            [point for point, _ in asked], [float(one.lengths[1] - one.lengths[0]) for _, one in asked]
        ),
        "without_reference": _without_reference(pairs),
        "no_worse": answer,
        "why": why,
    }


def single_figures(pairs: Sequence[Pair], margin: float) -> Figures:
    """Returns the numbers of the scores, paired by answer and clustered by question.

    Returns:
        `pairs`: number of pairs of answers with both scores; `unreadable`: scores that cannot be read; `missing`: pairs
        without a score for another reason; `scores`: the mean score of each side; `difference`: model less baseline, in
        points; `share`: the same as a share of the scale, from 1 to 10; `categories`, `turns`: means for each;
        `length_correlation`: see `correlation`, of scores with lengths; `no_worse`, `why`: see `no_worse`, of `share`.
    """
    scored = [(one, b, m) for one in pairs for b, m in [one.scores] if b is not None and m is not None]
    clusters = [one.question for one, *_ in scored]
    apart = [m - b for _, b, m in scored]
    share = mean([one / (HIGHEST - LOWEST) for one in apart], clusters)
    answer, why = no_worse(share, margin)
    lengths = [float(length) for one, *_ in scored for length in one.lengths]
    return {
        "pairs": len(scored),
        "unreadable": sum(one.unreadable_scores for one in pairs),
        "missing": sum(None in one.scores and not one.unreadable_scores for one in pairs),
        "scores": {
            BASELINE: asdict(mean([b for _, b, _ in scored], clusters)),
            MODEL: asdict(mean([m for *_, m in scored], clusters)),
        },
        "difference": asdict(mean(apart, clusters)),
        "share": asdict(share),
        "categories": _mean_scores(scored, lambda one: one.category),
        "turns": _mean_scores(scored, lambda one: str(one.turn)),
        "length_correlation": correlation([score for _, b, m in scored for score in (b, m)], lengths),
        "without_reference": _without_reference(pairs),
        "no_worse": answer,
        "why": why,
    }


def drift_figures(
    baseline: Sequence[tuple[float, ...] | None],
    model: Sequence[tuple[float, ...] | None],
    samples: Mapping[str, Sequence[Sequence[int]]],
    distinct: Callable[[Sequence[int]], float],
) -> Figures:
    """Returns how far the model is from the baseline.

    Args:
        baseline: for each prompt, the log-probability of each token of the baseline's reply under the baseline.
        model: the same tokens under the model.
        samples: the tokens of each side's own replies, without empty ones.
        distinct: the share of different pairs of tokens in a reply.

    Returns:
        `replies`, `tokens`: what was weighed; `nats`: minus the mean log-probability of a token under each side;
        `drift`: the model's less the baseline's, in nats per token, with an interval clustered by prompt; it estimates
        the Kullback-Leibler divergence from baseline to model. `different_tokens`, `different_pairs`: the shares of
        different tokens, and of different pairs of neighbouring tokens, in a side's own replies; means over replies.
    """
    both = [(b, m) for b, m in zip(baseline, model, strict=True) if b and m and len(b) == len(m)]
    own, counts = range(len(both)), [float(len(b)) for b, _ in both]
    nats = {
        side: ratio([-sum(row[place]) for row in both], counts, own) for place, side in enumerate((BASELINE, MODEL))
    }
    return {
        "replies": len(both),
        "tokens": int(sum(counts)),
        "nats": {side: asdict(one) for side, one in nats.items()},
        "drift": asdict(ratio([sum(b) - sum(m) for b, m in both], counts, own)),
        "different_tokens": {side: _mean([len(set(one)) / len(one) for one in said]) for side, said in samples.items()},
        "different_pairs": {side: _mean([distinct(one) for one in said]) for side, said in samples.items()},
    }


def correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Returns Pearson's correlation of two lists, from -1 to 1; None where one of them does not vary."""
    n = len(first)
    if n < 2:
        return None
    a, b = (sum(values) / n for values in (first, second))
    spread = [sum((value - middle) ** 2 for value in values) for values, middle in ((first, a), (second, b))]
    if not all(spread):
        return None
    return sum((x - a) * (y - b) for x, y in zip(first, second, strict=True)) / sqrt(spread[0] * spread[1])


def whole_answer(measures: Mapping[str, str]) -> str:
    """Returns the answer of a probe from those of its measures: no if one is no, yes if all are yes."""
    answers = list(measures.values())
    if NO in answers:
        return NO
    return YES if answers and all(one == YES for one in answers) else TOO_FEW


def _counts(pairs: Sequence[Pair]) -> dict[str, int]:
    counts = {name: sum(one.outcome == name for one in pairs) for name in (WIN, TIE, LOSS, UNREADABLE, MISSING)}
    return counts | {"same": sum(one.same for one in pairs)}


def _grouped(pairs: Sequence[Pair], of: Callable[[Pair], str]) -> dict[str, dict[str, int]]:
    return {name: _counts([one for one in pairs if of(one) == name]) for name in dict.fromkeys(map(of, pairs))}


def _mean_scores(scored: Sequence[tuple[Pair, float, float]], of: Callable[[Pair], str]) -> dict[str, dict[str, Any]]:
    found = {}
    for name in dict.fromkeys(of(one) for one, *_ in scored):
        rows = [row for row in scored if of(row[0]) == name]
        found[name] = {
            "pairs": len(rows),
            BASELINE: _mean([b for _, b, _ in rows]),
            MODEL: _mean([m for *_, m in rows]),
        }
    return found


def _without_reference(pairs: Sequence[Pair]) -> int:
    return sum(one.category in REFERENCED and not one.referenced and one.outcome != MISSING for one in pairs)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
