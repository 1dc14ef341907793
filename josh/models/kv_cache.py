"""Attention states: a cache with room to grow, and the states of conversations that may go on.

It exists because the branches of a search share their beginnings: without it every turn would read the whole
conversation again, once for each branch, and transformers' own cache copies itself for every token. vLLM (automatic
prefix caching) and llama.cpp (prompt cache) have both built in, and are the first choice on a real GPU (see `hf.py`).
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from transformers.cache_utils import DynamicCache, DynamicLayer

ROOM = 32
"""Tokens that a layer makes room for at a time."""
States = tuple[tuple[Any, Any], ...]
"""Keys and values of every layer, shaped (heads, tokens, width)."""


class RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """A layer whose states stand in a tensor that is longer than they are.

    Where transformers' own appends by concatenation, which copies the whole layer for every token (more than half of
    the time that a small model takes for one), this writes the token behind the others. What it returns is the same.
    """

    keys: Any
    values: Any

    def __init__(self, layer: Any) -> None:
        """Take over the states of a layer."""
        super().__init__()
        self.__dict__.update(layer.__dict__)
        self._all_keys, self._all_values = self.keys, self.values

    def update(self, key_states: Any, value_states: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
        """Append states, shaped (rows, heads, tokens, width); all states, shaped alike."""
        before = self.keys.shape[-2]
        after = before + key_states.shape[-2]
        if after > self._all_keys.shape[-2]:
            self._all_keys, self._all_values = (_longer(states, after + ROOM) for states in (self.keys, self.values))
        self._all_keys[..., before:after, :] = key_states
        self._all_values[..., before:after, :] = value_states
        self.keys, self.values = self._all_keys[..., :after, :], self._all_values[..., :after, :]
        return self.keys, self.values

    def reorder_cache(self, beam_idx: Any) -> None:
        """Choose the rows to go on with."""
        super().reorder_cache(beam_idx)
        self._all_keys, self._all_values = self.keys, self.values


def make_room(cache: Any) -> None:
    """Let the plain layers of a cache that has been filled grow without copies; all other kinds stay as they are."""
    if isinstance(cache, DynamicCache):
        cache.layers = [RoomyLayer(layer) if type(layer) is DynamicLayer else layer for layer in cache.layers]


def _longer(states: Any, length: int) -> Any:
    made = states.new_empty(*states.shape[:-2], length, states.shape[-1])
    made[..., : states.shape[-2], :] = states
    return made


class Prefixes:
    """The states of token sequences that were read or written, the last used ones.

    A branch asks again with all that was said before and a few words more. With its states at hand only those words
    have to be read.

    Attributes:
        room: most bytes to keep.
        held: bytes kept.
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self.held = 0
        self._states: OrderedDict[tuple[int, ...], States] = OrderedDict()
        self._lengths: dict[int, int] = {}

    def find(self, tokens: tuple[int, ...]) -> tuple[int, States]:
        """The longest sequence kept that the tokens begin with, and go on after: its length and states, or 0 and ()."""
        for length in sorted((one for one in self._lengths if one < len(tokens)), reverse=True):
            states = self._states.get(tokens[:length])
            if states is not None:
                self._states.move_to_end(tokens[:length])
                return length, states
        return 0, ()

    def keep(self, tokens: tuple[int, ...], cache: DynamicCache, row: int, columns: Any) -> None:
        """Keep a row's states: those of the columns, one for each token."""
        if tokens in self._states:
            self._states.move_to_end(tokens)
            return
        states = tuple((layer.keys[row][:, columns], layer.values[row][:, columns]) for layer in cache.layers)
        size = _size(states)
        if size > self.room:
            return
        self._states[tokens] = states
        self._lengths[len(tokens)] = self._lengths.get(len(tokens), 0) + 1
        self.held += size
        while self.held > self.room:
            old, dropped = self._states.popitem(last=False)
            self.held -= _size(dropped)
            self._lengths[len(old)] -= 1
            if not self._lengths[len(old)]:
                del self._lengths[len(old)]


def is_plain(cache: Any) -> bool:
    """Whether a cache holds keys and values of every token and nothing else."""
    return isinstance(cache, DynamicCache) and all(type(layer) in (DynamicLayer, RoomyLayer) for layer in cache.layers)


def filled(found: Sequence[tuple[int, States]]) -> DynamicCache:
    """A cache with a row for each of some prefixes, padded on the left to the length of the longest, at least 1."""
    width = max(length for length, _ in found)
    like = next(states for length, states in found if length)
    cache = DynamicCache()
    for number, layer in enumerate(like):
        both = []
        for kind, one in enumerate(layer):
            whole = one.new_zeros(len(found), one.shape[0], width, one.shape[2])
            for row, (length, states) in enumerate(found):
                if length:
                    whole[row, :, width - length :] = states[number][kind]
            both.append(whole)
        cache.update(both[0], both[1], number)
    return cache


def _size(states: States) -> int:
    return sum(one.numel() * one.element_size() for layer in states for one in layer)
