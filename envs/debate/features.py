"""Features: what a model's own uncertainty says about accepting its partner's answer.

The model takes one turn, as in `flipflop`. Before it, several answers are sampled from the model, and the probabilities
of its own and of the partner's answer are read, where the model gives them.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from josh.envs.debate.answers import Stance, find, normalise
from josh.envs.debate.flipflop import FlipflopEnv

ENTRY: Final = "features"
"""The name of the action that holds a turn's features."""
AFTER: Final = "Final answer:"
ANSWER_ONLY: Final = 'Reply with one line and nothing else: "Final answer: " and the answer.'


class FeaturesEnv(FlipflopEnv):
    """The rows of `flipflop`, for debaters that are surveyed before their turn."""

    agents: Mapping[str, str] = {"chat": "featured", "offline": "offline_featured"}
    rewards = "josh.rewards.debate_suites:FeaturesRewards"
    references: Mapping[str, str] = {}


def entropy(texts: Sequence[str], data: Mapping[str, Any]) -> float | None:
    """Returns the entropy of the answers in some texts, in nats; None where fewer than two can be read.

    Args:
        texts: what a model said several times.
        data: the question; names of the right answer count as one.
    """
    read = [find(text, data) for text in texts]
    answers = ["" if one in data["gold"] else one for one in read if one is not None and not isinstance(one, Stance)]
    if len(answers) < 2:
        return None
    shares = [count / len(answers) for count in Counter(answers).values()]
    return -sum(share * math.log(share) for share in shares) + 0.0


def log_probability(answer: str, likely: Sequence[Mapping[str, float]] | None) -> float | None:
    """Returns the log-probability of an answer after "Final answer:", in nats, from the likeliest tokens of a reply.

    The tokens of the answer are followed as long as the reply has them; where the reply goes on otherwise, the
    probability of the answer's next token there is the last one that is known, so that the result is an upper bound.

    Args:
        answer: a normalised answer.
        likely: see `roles.Reply.likely`.

    Returns:
        None where the reply has no such tokens, or the answer is not among them.
    """
    places = list(likely or ())
    said, start = "", 0
    for place, tokens in enumerate(places):
        said += next(iter(tokens))
        if said.rstrip().endswith(AFTER):
            start = place + 1
    rest, total = _squeezed(answer), 0.0
    begun = False
    for tokens in places[start:]:
        sampled = next(iter(tokens))
        if not begun and not _squeezed(sampled):
            continue
        fitting = {token: number for token, number in tokens.items() if _begins(rest, token)}
        if not fitting:
            return None if not begun else round(total, 6)
        begun = True
        total += math.log(min(1.0, sum(map(math.exp, fitting.values()))))
        if sampled not in fitting:
            break
        rest = rest.removeprefix(_squeezed(sampled))
        if not rest:
            break
    return round(total, 6) if begun else None


def _squeezed(text: str) -> str:
    return normalise(text).replace(" ", "") if normalise(text) else ""


def _begins(rest: str, token: str) -> bool:
    piece = _squeezed(token)
    return bool(piece) and (rest.startswith(piece) or piece.startswith(rest))
