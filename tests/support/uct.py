"""UCT over both speakers, in one file: what a search strategy of one's own looks like."""

import math
from dataclasses import dataclass, replace

from josh import Expand, Outcome, Strategy


class UCT(Strategy):
    """Upper confidence bounds for trees: nodes are kept and widened, leaves of any depth and speaker grow together."""

    @dataclass(frozen=True)
    class Config:
        """The settings."""

        simulations: int = 40
        width: int = 3
        batch: int = 4
        explore: float = 1.4

    def plan(self, tree):
        """Picks up to `batch` nodes by walking down from the root, best upper bound first."""
        config = self.config
        if len(tree.nodes) > config.simulations:
            return ()
        children, visits, values = self.statistics(tree)
        chosen, virtual = [], [0] * len(tree.nodes)
        for _ in range(config.batch):
            node = 0
            while node is not None and (len(children.get(node, ())) >= config.width or node in chosen):
                open_children = [each for each in children.get(node, ()) if self.can_go_on(tree, each)]
                node = max(
                    open_children,
                    key=lambda each: (
                        values[each] / visits[each]
                        + config.explore * math.sqrt(math.log(visits[node] + 1) / (visits[each] + virtual[each]))
                    ),
                    default=None,
                )
                if node is not None:
                    virtual[node] += 3
            if node in tree.frontier and node not in chosen:
                chosen.append(node)
        return tuple(Expand(node, tree.nodes[node].speaker.other, keep=True) for node in sorted(chosen))

    def update(self, tree):
        """Drops what ended; everything when the simulations are used up."""
        if len(tree.nodes) > self.config.simulations:
            return replace(tree, frontier=())
        going = (each for each in tree.frontier if tree.nodes[each].turn.outcome is Outcome.ALIVE)
        return replace(tree, frontier=tuple(each for each in going if not tree.is_won(each)))

    def result(self, tree, rewards):
        """The best leaf."""
        return tree, (max(rewards, key=rewards.get),)

    @staticmethod
    def can_go_on(tree, node):
        return tree.nodes[node].turn.outcome is Outcome.ALIVE and not tree.is_won(node)

    @staticmethod
    def statistics(tree):
        """Visits and values of all nodes, backed up from the leaves: a fold over the tree."""
        children, visits, values = {}, [0] * len(tree.nodes), [0.0] * len(tree.nodes)
        for index in range(len(tree.nodes) - 1, -1, -1):
            node = tree.nodes[index]
            visits[index] += 1
            values[index] += sum(hit.value for hit in node.turn.hits)
            if node.parent >= 0:
                children.setdefault(node.parent, []).insert(0, index)
                visits[node.parent] += visits[index]
                values[node.parent] += values[index]
        return children, visits, values
