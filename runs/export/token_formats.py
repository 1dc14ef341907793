"""Rows in tokens, for trainers on policy: `samples` and `grpo`. They need runs with `--keep_samples`.

Both have one row for each sequence of a path: the whole conversation, or, where the chat template rewrites the past,
one turn each (`josh.token_rows`). Paths that lost count as much as paths that won, and equal conversations are kept,
because they are a sample of what the policy does.

`grpo` adds advantages (Shao et al., 2024, arXiv:2402.03300). Turns that follow the same node are a group; a turn is
worth the mean reward of the whole paths below it, and its advantage is its worth less the group's mean, in standard
deviations of the group. Plain conversations are a group from their first turn on. In a tree each split is a group, so
the advantages belong to turns. A turn without siblings has the advantage of the turn before it, because it follows from
that. A turn that several paths share is trained once: the mask of later rows is 0 there. With `credit` the advantages
are those of `credit.py`, in rewards instead of standard deviations.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from josh.dialogue import Speaker
from josh.outcomes import Episode
from josh.runs.export.credit import credit, sibling_groups, values, whole_leaves
from josh.runs.export.messages import Row, hashed
from josh.runs.export.paths import ALL, PathSelection
from josh.token_rows import TokenRow, token_rows
from josh.tree import walk

SMALL = 1e-4
"""Added to a group's standard deviation, as TRL does."""


def samples(
    episode: Episode, leaves: Sequence[int], choice: PathSelection, dropped: Counter[str]
) -> Iterator[tuple[Row, bytes]]:
    """Yields the rows of the chosen paths, each with a key of its own."""
    for leaf, part, row in _rows(episode, leaves, choice, dropped):
        found = {**_base(episode, leaf, part, row), "loss_mask": row.mask, **_logprobs(row)}
        yield found, _key(episode, leaf, part)


def grpo(
    episode: Episode, leaves: Sequence[int], choice: PathSelection, dropped: Counter[str]
) -> Iterator[tuple[Row, bytes]]:
    """Yields the rows of the chosen paths with advantages, each with a key of its own."""
    found = credit(episode, choice.learner) if choice.credit else advantages(episode, choice.learner)
    trained: set[int] = set()
    for leaf, part, row in _rows(episode, leaves, choice, dropped):
        mask, shares = [0] * len(row.mask), [0.0] * len(row.mask)
        fresh = set(row.nodes) - trained
        ends = (*row.starts[1:], len(row.mask))
        for node, start, end in zip(row.nodes, row.starts, ends, strict=True):
            if node in fresh:
                mask[start:end] = row.mask[start:end]
                shares[start:end] = [found.get(node, 0.0) * one for one in row.mask[start:end]]
        trained |= fresh
        if not fresh:
            dropped["sequences whose turns all stand in an earlier row"] += 1
            continue
        line = {**_base(episode, leaf, part, row), "loss_mask": mask, "advantages": shares, **_logprobs(row)}
        yield line, _key(episode, leaf, part)


def advantages(episode: Episode, learner: Speaker) -> Mapping[int, float]:
    """Returns the advantage of each of a speaker's turns that leads to a whole path, by node index."""
    known, found = values(episode), dict[int, float]()
    for parent, group in sibling_groups(episode, learner, known).items():
        worth = [known[node] for node in group]
        if len(group) > 1:
            mean, spread = fmean(worth), stdev(worth)
            found |= {node: round((one - mean) / (spread + SMALL), 6) for node, one in zip(group, worth, strict=True)}
        else:
            before = next((at for at in reversed(walk(episode.tree, parent)) if at in found), None)
            found[group[0]] = 0.0 if before is None else found[before]
    return found


def _rows(
    episode: Episode, leaves: Sequence[int], choice: PathSelection, dropped: Counter[str]
) -> Iterator[tuple[int, int, TokenRow]]:
    """Yields the sequences of the chosen paths: the leaf, the number of the sequence on its path, the tokens."""
    for leaf in whole_leaves(episode)[: choice.top] if choice.paths == ALL else leaves:
        rows = token_rows(episode.tree, leaf, choice.learner)
        if not rows:
            dropped["paths without tokens (record them with --keep_samples)"] += 1
        for part, row in enumerate(rows):
            yield leaf, part, row


def _base(episode: Episode, leaf: int, part: int, row: TokenRow) -> dict[str, Any]:
    return {
        "task": episode.task.id,
        "path": episode.tree.nodes[leaf].path,
        "part": part,
        "reward": episode.worth.get(leaf, 0.0),
        "finish_reason": row.finish_reason,
        "prompt_ids": row.prompt_ids,
        "token_ids": row.token_ids,
    }


def _logprobs(row: TokenRow) -> dict[str, Any]:
    return {"logprobs": row.logprobs, "model_logprobs": row.model_logprobs}


def _key(episode: Episode, leaf: int, part: int) -> bytes:
    return hashed((episode.task.id, episode.tree.seed, leaf, part))
