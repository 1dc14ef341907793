"""The training examples of an episode."""

from collections.abc import Iterable, Iterator

from josh.dialogue import Outcome
from josh.examples import Example, example_at, examples_of
from josh.messages import dumps
from josh.outcomes import Episode


def examples(episode: Episode, collapses: bool) -> Iterator[Example]:
    """Returns an episode's training examples, each text once: of branches that say the same, the one that fared best.

    Args:
        episode: the episode.
        collapses: whether its strategy draws examples from collapses alone (`Strategy.collapses`). They then are what
            the collapses yield, also where the task was given up later. Otherwise each leaf that came to an end
            without an error is one: successful where it won; golden is the first leaf of the result or, where the task
            has goals, the one of its winners that earned most.
    """
    tree = episode.tree
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
    """One example for each text, golden over successful over neither, where the text first came."""
    best: dict[str, Example] = {}
    for example in examples:
        text = dumps(example.messages, sort_keys=True)
        if text not in best or _label(example) > _label(best[text]):
            best[text] = example
    return best.values()


def _label(example: Example) -> tuple[bool, bool]:
    return example.is_golden_path, example.is_successful
