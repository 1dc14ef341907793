"""The training examples of an episode."""

from collections.abc import Iterable, Iterator

from josh.episode import Episode
from josh.examples import Example, example_at, examples_of
from josh.messages import dumps


def examples(episode: Episode, searched: bool) -> Iterator[Example]:
    """An episode's training examples, every text once: where branches that say the same fared differently, the best.

    Of a search: what its collapses yield, also where it was given up later; where it was played to the end, that is
    every branch. Of plain rollouts: every reported
    conversation, successful where it met all goals, golden where it is the first of those worth most.
    """
    tree = episode.tree
    if searched:
        yield from _best_of_each(example for collapse in tree.collapses for example in examples_of(tree, collapse))
        return
    won = [leaf for leaf in episode.reported if not tree.nodes[leaf].open]
    golden = max(won, key=lambda leaf: episode.worth[leaf], default=-1)
    yield from _best_of_each(
        example for leaf in episode.reported for example in example_at(tree, leaf, leaf in won, leaf == golden)
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
