"""The tokens of a conversation as on-policy training needs them: one growing sequence, or one for each turn."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from josh.dialogue import Sample, Speaker
from josh.tree import Tree, walk


@dataclass(frozen=True, slots=True)
class TokenRow:
    """Tokens of one speaker's model on one path: a prompt, then replies with the other side's words between them.

    Attributes:
        prompt_ids: the tokens before the first reply.
        token_ids: the later tokens; the last one is a sampled one.
        mask: 1 for each of them that was sampled, 0 for each that was not; an end token that was sampled has 1.
        logprobs: see `Sample.logprobs`, 0 where the mask is 0; None where a reply has none.
        model_logprobs: see `Sample.model_logprobs`, likewise.
        nodes: the node of each reply, in order.
        starts: the place in `token_ids` at which each reply begins.
        finish_reason: why the last reply ended.
    """

    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    mask: tuple[int, ...]
    logprobs: tuple[float, ...] | None
    model_logprobs: tuple[float, ...] | None
    nodes: tuple[int, ...]
    starts: tuple[int, ...]
    finish_reason: str


def token_rows(tree: Tree, leaf: int, speaker: Speaker = Speaker.AGENT) -> list[TokenRow]:
    """Returns the tokens of one path, from its samples (`Turn.samples`); empty where it has none.

    There is one row as long as each prompt begins with all tokens before it. Where a prompt was written otherwise,
    because the chat template rewrites the past or the words were tokenized anew, a new row begins.

    Args:
        tree: the tree.
        leaf: the last node of the path.
        speaker: whose tokens.
    """
    rows: list[TokenRow] = []
    part: list[tuple[int, Sample]] = []
    before: tuple[int, ...] = ()
    sequence: tuple[int, ...] = ()
    for index, sample in _samples(tree, leaf, speaker):
        if part and sample.prefix < len(sequence):
            rows.append(_row(before, part))
            part = []
        if not part:
            before = (*sequence[: sample.prefix], *sample.prompt_ids)
        sequence = (*sequence[: sample.prefix], *sample.prompt_ids, *sample.token_ids)
        part.append((index, sample))
    return [*rows, _row(before, part)] if part else rows


def _samples(tree: Tree, leaf: int, speaker: Speaker) -> Iterator[tuple[int, Sample]]:
    for index in walk(tree, leaf)[1:]:
        if tree.nodes[index].speaker is speaker:
            for sample in tree.nodes[index].turn.samples:
                yield index, sample


def _row(prompt: tuple[int, ...], part: Sequence[tuple[int, Sample]]) -> TokenRow:
    tokens: list[int] = []
    mask: list[int] = []
    starts: list[int] = []
    for number, (_, sample) in enumerate(part):
        between = sample.prompt_ids if number else ()
        tokens += (*between, *sample.token_ids)
        mask += [0] * len(between) + [1] * len(sample.token_ids)
        starts.append(len(tokens) - len(sample.token_ids))
    samples = [sample for _, sample in part]
    return TokenRow(
        prompt,
        tuple(tokens),
        tuple(mask),
        _spread(mask, [sample.logprobs for sample in samples]),
        _spread(mask, [sample.model_logprobs for sample in samples]),
        tuple(index for index, _ in part),
        tuple(starts),
        samples[-1].finish_reason,
    )


def _spread(mask: Sequence[int], given: Sequence[Sequence[float] | None]) -> tuple[float, ...] | None:
    """Returns numbers at the places of the mask and zeros elsewhere; None where a reply has none."""
    if any(one is None for one in given):
        return None
    numbers = iter([number for one in given for number in one or ()])
    return tuple(next(numbers) if one else 0.0 for one in mask)
