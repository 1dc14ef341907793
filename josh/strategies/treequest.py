"""Any algorithm of treequest as a search strategy, such as AB-MCTS (Inoue et al., 2025, arXiv:2503.04412).

treequest asks and tells: an algorithm names the node to expand, and gets the new node's score. Here a node is a round:
the agent's turn and the user's answer. The algorithm's state is no part of the tree, so it is computed from the tree:

    1. The algorithm gets the rounds of the tree again, in their order, each after the question that it answered
       (`_replayed`).
    2. The random numbers of a question follow from the search's seed and the question's number.
    3. What was computed for a tree is remembered (`_MEMORY`), because its next tree begins with the same rounds. This
       saves time and changes nothing.

A score is `worth / (1 + worth)`, from 0 to 1, and 0 where the worth is negative. An algorithm that asks for a round
after a conversation that has ended gets a score of 0, and the algorithm is asked again.
"""

import random
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from itertools import groupby
from typing import Any, Final

from josh.config import setting
from josh.dialogue import Speaker
from josh.errors import UsageError
from josh.seeds import derive
from josh.strategies.growing import ROLLOUT, Growing, children_of, growing, worths
from josh.threads import one_line
from josh.tree import Tree

ACTION: Final = "turn"
"""The only action: one more round."""
_PATIENCE: Final = 200
"""Questions in a row about conversations that have ended, after which the search ends."""
_REMEMBERED: Final = 256
_MEMORY: OrderedDict[Any, "_Asked"] = OrderedDict()


class TreeQuest(Growing):
    """Grows the tree as an algorithm of treequest asks for; the best leaf counts."""

    @dataclass(frozen=True, slots=True)
    class Config(Growing.Config):
        """The settings."""

        algorithm: str = setting("ABMCTSA", "algorithm of treequest, such as ABMCTSA, ABMCTSM or StandardMCTS")
        options: dict = setting({}, 'its arguments, as a JSON object: \'{"dist_type": "beta"}\'')  # type: ignore[type-arg]

    config: Config

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        if find_spec("treequest") is None:
            raise UsageError("strategy treequest needs treequest: pip install -e '.[treequest]' -c constraints.txt")
        self._new()

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[Any, ...]:
        return (self.config.algorithm, repr(sorted(self.config.options.items())), self.config.value)

    def _new(self) -> Any:
        """Returns a new algorithm. Raises UsageError where there is none, or it does not take the options."""
        library: Any = import_module("treequest")
        name = self.config.algorithm
        known = [one for one in library.__all__ if one != "Algorithm" and _is_algorithm(library, one)]
        if name not in known:
            raise UsageError(f"strategy.algorithm is {name!r}; give {', '.join(known)}")
        try:
            return getattr(library, name)(**self.config.options)
        except ImportError as error:
            raise UsageError(f"strategy.algorithm {name} needs more packages: {one_line(error)}") from None
        except Exception as error:
            raise UsageError(f"strategy.options: {name} does not take {self.config.options}: {error}") from None

    def describe(self) -> str:
        """Returns the algorithm's name, the value and the limit, in words."""
        return f"searched by treequest's {self.config.algorithm} (value {self.config.value}, {self.config.turns} turns)"

    def places(self, tree: Tree, room: int) -> Sequence[int]:
        """Returns the nodes that the algorithm asks for; fewer than `room` where it asks for one of them again."""
        if growing(tree, self.config.value):
            return ()  # the scores of the conversations under way come first
        rounds = tuple(_rounds(tree, self.config.value))
        key = (self._key, self.config.at_once, tree.seed)
        known = _MEMORY.get((key, rounds))
        if known is None:
            known = self._replayed(key, rounds, tree.seed)
            _MEMORY[key, rounds] = known
            if len(_MEMORY) > _REMEMBERED:
                _MEMORY.popitem(last=False)
        return known.places[:room]

    def _replayed(self, key: Any, rounds: tuple["Round", ...], seed: int) -> "_Asked":
        """Returns the algorithm after some rounds, with the places that it asks for next."""
        before = tuple([one for one in rounds if one.phase < rounds[-1].phase]) if rounds else ()
        asked = _MEMORY.pop((key, before), None) if rounds else None
        if asked is None:
            asked = _Asked(self._new(), seed)
            asked.next_places(self.config.at_once)
            before = ()
        for _, group in groupby(rounds[len(before) :], key=lambda one: one.phase):
            asked.tell(list(group))
            asked.next_places(self.config.at_once)
        return asked


def _is_algorithm(library: Any, name: str) -> bool:
    """Returns whether a public name of treequest is an algorithm, also one whose packages are missing."""
    kind = getattr(library, name)
    return issubclass(kind, library.Algorithm) if isinstance(kind, type) else type(kind).__name__.startswith("_ABMCTS")


@dataclass(frozen=True, slots=True)
class Round:
    """A round that the algorithm asked for.

    Attributes:
        place: the node that it follows.
        last: its last node.
        phase: the phase of its first node; the algorithm asked for all rounds of a phase together.
        score: its score, from 0 to 1.
        is_open: whether another round can follow.
    """

    place: int
    last: int
    phase: int
    score: float
    is_open: bool


def _rounds(tree: Tree, value: str) -> list[Round]:
    """Returns the rounds of a tree that the algorithm asked for, in their order.

    In a rollout the first child of a round goes on with it, so that it was not asked for.
    """
    worth, children, frontier = worths(tree, value), children_of(tree), frozenset(tree.frontier)
    ends: dict[int, int] = {0: 0}
    found: list[Round] = []
    for index, node in enumerate(tree.nodes):
        place = node.parent
        if place not in ends or (value == ROLLOUT and place and children[place][0] == index):
            continue
        last = index
        if node.speaker is Speaker.AGENT and index in children:
            last = children[index][0]
        leaf = last
        while value == ROLLOUT and leaf in children:
            leaf = children[leaf][0]
        ends[last] = index
        score = worth[leaf] / (1 + worth[leaf]) if worth[leaf] > 0 else 0.0
        found.append(Round(place, last, node.phase, score, last in frontier))
    return found


class _Asked:
    """An algorithm with its state, and the questions that it has asked."""

    def __init__(self, algorithm: Any, seed: int) -> None:
        self.places: list[int] = []
        self._algorithm, self._seed = algorithm, seed
        self._state = algorithm.init_tree()
        self._closed: set[int] = set()
        self._trials: dict[int, Any] = {}
        self._questions = 0

    def next_places(self, room: int) -> None:
        """Let the algorithm ask for the next rounds, up to `room`; `places` are the nodes that they follow."""
        self.places, self._trials = [], {}
        for _ in range(_PATIENCE):
            place, trial = self._ask()
            if place in self._closed:
                self._tell(trial, place, 0.0)
            elif place in self._trials:
                return
            else:
                self._trials[place] = trial
                self.places.append(place)
                if len(self.places) == room:
                    return

    def tell(self, rounds: Sequence[Round]) -> None:
        """Tell the algorithm the rounds that it asked for."""
        for one in rounds:
            if not one.is_open:
                self._closed.add(one.last)
            trial = self._trials.get(one.place)
            if trial is not None:
                self._tell(trial, one.last, one.score)

    def _ask(self) -> tuple[int, Any]:
        self._questions += 1
        with _seeded(derive(self._seed, "treequest", self._questions)):
            self._state, trials = self._algorithm.ask_batch(self._state, 1, [ACTION])
        state = trials[0].parent_state
        return (0 if state is None else int(state)), trials[0]

    def _tell(self, trial: Any, node: int, score: float) -> None:
        self._state = self._algorithm.tell(self._state, trial.trial_id, (node, score))


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global generators that treequest draws from, and restore them afterwards."""
    import numpy as np

    before, numpys = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)
        np.random.set_state(numpys)
