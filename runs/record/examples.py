"""The training examples of an episode."""

from collections.abc import Iterable, Iterator

from josh.dialogue import Outcome
from josh.examples import Example, example_at, examples_of
from josh.messages import dumps
from josh.outcomes import Episode


def examples(episode: Episode, collapses: bool) -> Iterator[Example]:
    """Returns an episode's training examples.

    Each text occurs once: of branches with the same text, the example with the best label stays.

    Args:
        episode: the episode.
        collapses: whether its strategy takes examples from collapses only (`Strategy.collapses`). If true, the
            examples are those of the collapses, even where the task was given up later. If false, each leaf that ended
            without an error is an example; it is successful where it won. Golden is the winner with the highest reward
            where the task has goals, and the first reported leaf where it has none.
    """
    tree = episode.tree
    if episode.no_rows:
        return
    if collapses:
        yield from _best_of_each(example for collapse in tree.collapses for example in examples_of(tree, collapse))
        return
    won = [leaf for leaf in episode.reported if tree.is_won(leaf)]
    golden = max(won, key=lambda leaf: episode.worth[leaf], default=-1)
    if not tree.goals and episode.reported:
        golden = episode.reported[0]
    yield from _best_of_each(
        example
        for leaf, outcome in episode.outcomes.items()
        if outcome is not Outcome.INFRA_ERROR and episode.reported
        for example in example_at(tree, leaf, tree.is_won(leaf), leaf == golden)
    )


def _best_of_each(examples: Iterable[Example]) -> Iterable[Example]:
    """Returns one example for each text, in the order of first occurrence: golden before successful before neither."""
    examples = list(examples)
    if len(examples) < 2:
        return examples
    best: dict[str, Example] = {}
    for example in examples:
        text = dumps(example.messages, sort_keys=True)
        if text not in best or _label(example) > _label(best[text]):
            best[text] = example
    return best.values()


def _label(example: Example) -> tuple[bool, bool]:
    return example.is_golden_path, example.is_successful
