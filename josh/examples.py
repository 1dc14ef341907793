"""Training examples from a finished or growing tree (reference rules: arXiv:2409.04617, section 3.2).

An example is the whole conversation so far, as the learner is trained on it, down to one place in the tree. The learner
is the agent, unless the user is asked for. An example is *successful* when a leaf rewarded in the same phase lies below
it, *on the golden path* when the winner does.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from josh.dialogue import Outcome, Speaker
from josh.messages import Message, dumps, trim_user_messages
from josh.tree import Collapse, Tree, internal_conversation, order


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled conversation.

    Attributes:
        messages: from the first message to the last one that is not the other side's; the learner's are `assistant`.
        is_successful: a rewarded leaf of the phase lies on or below it.
        is_golden_path: the leaf that the tree collapsed to lies on or below it.
        node: index of the turn it ends with.
    """

    messages: tuple[Message, ...]
    is_successful: bool
    is_golden_path: bool
    node: int


def examples_of(tree: Tree, collapse: Collapse, learner: Speaker = Speaker.AGENT) -> Iterator[Example]:
    """The examples that one collapse yields: one for every branch of the tree it cut off.

    A branch is a run of turns without a split; its example ends where it stood at the collapse. They come in tree
    order, parents before children. Left out are unsuccessful branches with an error on them or below, of which nobody
    knows what would have come, and those in which the learner has not spoken.
    """
    last: dict[str, int] = {}
    inside = {collapse.root}
    for index in range(collapse.root, collapse.size):
        node = tree.nodes[index]
        if index == collapse.root or node.parent in inside:
            inside.add(index)
            last[node.path] = index
    successful = _on_path(tree, collapse.rewarded)
    golden = _on_path(tree, {collapse.winner} & set(collapse.rewarded))
    broken = _on_path(tree, (index for index in inside if tree.nodes[index].turn.outcome is Outcome.INFRA_ERROR))
    for path in sorted(last, key=order):
        index = last[path]
        if path in broken and path not in successful:
            continue
        yield from example_at(tree, index, path in successful, path in golden, learner)


def example_at(
    tree: Tree, node: int, is_successful: bool, is_golden_path: bool, learner: Speaker = Speaker.AGENT
) -> Iterator[Example]:
    """The conversation down to a node as an example; none where the learner has not spoken."""
    messages = tuple(trim_user_messages(internal_conversation(tree, node, learner)))
    if any(message.get("role") == "assistant" for message in messages):
        yield Example(messages, is_successful, is_golden_path, node)


def distinct(examples: Iterable[Example], seen: set[tuple[str, bool, bool]] | None = None) -> Iterator[Example]:
    """Drop every example whose text and labels came before; `seen` carries over from one call to the next."""
    seen = set() if seen is None else seen
    for example in examples:
        text = dumps(example.messages, sort_keys=True)
        key = (text, example.is_successful, example.is_golden_path)
        if key not in seen:
            seen.add(key)
            yield example


def _on_path(tree: Tree, leaves: Iterable[int]) -> set[str]:
    """The paths of the branches that lead to any of the leaves."""
    paths: set[str] = set()
    for leaf in leaves:
        path = tree.nodes[leaf].path
        paths.add(path)
        while "/" in path:
            path = path.rpartition("/")[0]
            paths.add(path)
    return paths | {""} if paths else paths
