"""Training examples from a finished or growing tree (reference rules: arXiv:2409.04617, section 3.2).

An example is the conversation from the root to one node, as the learner is trained on it. The learner is the agent,
unless the caller asks for the user. An example is *successful* when a leaf rewarded in the same phase lies on or below
it, and *on the golden path* when the winner does.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from josh.dialogue import Outcome, Speaker
from josh.messages import Message, dumps, trim_user_messages
from josh.tree import Collapse, Tree, internal_conversation, order, walk


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled conversation.

    Attributes:
        messages: the messages, without the other side's messages at the end; the learner's are `assistant`.
        is_successful: whether a rewarded leaf of the phase lies on or below it.
        is_golden_path: whether the leaf that the tree collapsed to lies on or below it.
        node: index of the turn that it ends with.
    """

    messages: tuple[Message, ...]
    is_successful: bool
    is_golden_path: bool
    node: int


def examples_of(tree: Tree, collapse: Collapse, learner: Speaker = Speaker.AGENT) -> Iterator[Example]:
    """Yields the examples of one collapse: one for every branch of the tree that it cut off.

    A branch is a sequence of turns without a split; its example ends with its last turn at the collapse. The examples
    come in tree order, parents before children. Three kinds of branches are left out: unsuccessful ones with an error
    on or below them, because their outcome is unknown; successful ones with a flawed turn of the learner
    (`Turn.flawed`), because it would learn the flaw; and those in which the learner has not spoken.
    """
    last: dict[str, int] = {}
    inside = {collapse.root}
    # A search that began again grows from the root once more; what an earlier collapse cut off is not part of it.
    since = max((cut.size for cut in tree.collapses if cut.size < collapse.size), default=0)
    for index in (collapse.root, *range(max(collapse.root + 1, since), collapse.size)):
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
    """Yields the conversation down to a node as an example.

    Yields nothing where the learner has not spoken, or where it has succeeded with a flawed turn (`Turn.flawed`).
    """
    if (is_successful or is_golden_path) and is_flawed(tree, node, learner):
        return
    messages = tuple(trim_user_messages(internal_conversation(tree, node, learner)))
    if any(message.get("role") == "assistant" for message in messages):
        yield Example(messages, is_successful, is_golden_path, node)


def is_flawed(tree: Tree, node: int, learner: Speaker) -> bool:
    """Returns whether one of the learner's turns down to a node is flawed."""
    turns = (tree.nodes[index] for index in walk(tree, node))
    return any(each.speaker is learner and each.turn.flawed for each in turns)


def distinct(examples: Iterable[Example], seen: set[tuple[str, bool, bool]] | None = None) -> Iterator[Example]:
    """Yields the examples without repetitions of text and labels; pass the same `seen` to continue over calls."""
    seen = set() if seen is None else seen
    for example in examples:
        text = dumps(example.messages, sort_keys=True)
        key = (text, example.is_successful, example.is_golden_path)
        if key not in seen:
            seen.add(key)
            yield example


def _on_path(tree: Tree, leaves: Iterable[int]) -> set[str]:
    """Returns the paths of all branches that lead to any of the leaves."""
    paths: set[str] = set()
    for leaf in leaves:
        path = tree.nodes[leaf].path
        paths.add(path)
        while "/" in path:
            path = path.rpartition("/")[0]
            paths.add(path)
    return paths | {""} if paths else paths
