"""A key-value cache with room to grow, and a prefix cache of conversations that may continue.

Why: the branches of a search share their beginnings. Without a prefix cache every branch would read the whole
conversation again in every turn, and transformers' own cache copies itself for every token. vLLM (automatic prefix
caching) and llama.cpp (prompt cache) have both, and are the first choice on a real GPU (see `hf.py`).
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from transformers.cache_utils import DynamicCache, DynamicLayer

ROOM = 32
"""Number of tokens by which a layer's tensors grow."""
States = tuple[tuple[Any, Any], ...]
"""Keys and values of every layer, shaped (heads, tokens, width)."""


class RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """A layer that keeps its states in a tensor with spare room.

    The layer of transformers appends by concatenation, which copies the whole layer for every token (more than half of
    a small model's time per token). This layer writes the new token into the spare room. The results are the same.
    """

    keys: Any
    values: Any

    def __init__(self, layer: Any) -> None:
        """Take over the states of a layer."""
        super().__init__()
        self.__dict__.update(layer.__dict__)
        self._all_keys, self._all_values = self.keys, self.values

    def update(self, key_states: Any, value_states: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
        """Append states, shaped (rows, heads, tokens, width); returns all states, in the same order of axes."""
        before = self.keys.shape[-2]
        after = before + key_states.shape[-2]
        if after > self._all_keys.shape[-2]:
            self._all_keys, self._all_values = (_longer(states, after + ROOM) for states in (self.keys, self.values))
        self._all_keys[..., before:after, :] = key_states
        self._all_values[..., before:after, :] = value_states
        self.keys, self.values = self._all_keys[..., :after, :], self._all_values[..., :after, :]
        return self.keys, self.values

    def reorder_cache(self, beam_idx: Any) -> None:
        """Keep the given rows, in the given order."""
        super().reorder_cache(beam_idx)
        self._all_keys, self._all_values = self.keys, self.values


def make_room(cache: Any) -> None:
    """Replace the plain layers of a filled cache by layers with spare room; layers of other types stay."""
    if isinstance(cache, DynamicCache):
        cache.layers = [RoomyLayer(layer) if type(layer) is DynamicLayer else layer for layer in cache.layers]


def _longer(states: Any, length: int) -> Any:
    made = states.new_empty(*states.shape[:-2], length, states.shape[-1])
    made[..., : states.shape[-2], :] = states
    return made


class Prefixes:
    """A prefix cache: the states of the token sequences that were used last.

    A branch's next request repeats the whole conversation and adds a few words. With the cached states, the model reads
    only these words.

    Attributes:
        room: most bytes of the states.
        held: bytes of the states now.
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self.held = 0
        self._states: OrderedDict[tuple[int, ...], States] = OrderedDict()
        self._lengths: dict[int, int] = {}

    def find(self, tokens: tuple[int, ...]) -> tuple[int, States]:
        """Returns length and states of the longest cached sequence that the tokens continue, or 0 and ()."""
        for length in sorted((one for one in self._lengths if one < len(tokens)), reverse=True):
            states = self._states.get(tokens[:length])
            if states is not None:
                self._states.move_to_end(tokens[:length])
                return length, states
        return 0, ()

    def keep(self, tokens: tuple[int, ...], cache: DynamicCache, row: int, columns: Any) -> None:
        """Store a row's states under its tokens.

        Args:
            tokens: the sequence.
            cache: holds the states.
            row: the row of the cache.
            columns: the columns of the tokens, one for each.
        """
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
    """Returns whether a cache holds exactly the keys and values of every token."""
    return isinstance(cache, DynamicCache) and all(type(layer) in (DynamicLayer, RoomyLayer) for layer in cache.layers)


def filled(found: Sequence[tuple[int, States]]) -> DynamicCache:
    """Returns a cache with a row for each prefix, padded on the left to the longest, which has a token at least."""
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
