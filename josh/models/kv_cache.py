"""A key-value cache with room to grow, and a prefix cache of conversations that may continue.

Why: the branches of a search share their beginnings. Without a prefix cache every branch would read the whole
conversation again in every turn, and transformers' own cache copies itself for every token. vLLM (automatic prefix
caching) and llama.cpp (prompt cache) have both, and are the first choice on a real GPU (see `hf.py`).
"""

from collections import Counter, OrderedDict
from collections.abc import Sequence
from itertools import pairwise, takewhile
from typing import Any

from transformers.cache_utils import DynamicCache, DynamicLayer

BLOCK = 16
"""Number of tokens of a block, by which beginnings of cached sequences are found."""
SHARED = 32
"""Number of tokens from which a beginning that several prompts share is read by itself."""
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
    only these words. Sequences are also found by their beginnings, in blocks of `BLOCK` tokens, because a conversation
    that is tokenized anew may differ from the sampled tokens in its last words.

    Attributes:
        room: most bytes of the states.
        held: bytes of the states now.
        asked, read: number of tokens in all prompts so far, and of those that the model read.
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self.held = self.asked = self.read = 0
        self._states: OrderedDict[tuple[int, ...], States] = OrderedDict()
        self._lengths: Counter[int] = Counter()
        self._beginnings: dict[int, tuple[int, ...]] = {}

    def find(self, tokens: tuple[int, ...]) -> tuple[int, States]:
        """Returns length and states of the longest cached beginning of the tokens, or 0 and ().

        At least one token is left to be read.
        """
        held, length = self._longest(tokens)
        if not length:
            return 0, ()
        self._states.move_to_end(held)
        states = self._states[held]
        if length < len(held):
            states = tuple((keys[:, :length], values[:, :length]) for keys, values in states)
        return length, states

    def known(self, tokens: tuple[int, ...]) -> int:
        """Returns how many tokens from the start are cached."""
        return self._longest((*tokens, -1))[1]

    def _longest(self, tokens: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
        """Returns the cached sequence that shares most tokens with the given ones, and their number."""
        for length in sorted((one for one in self._lengths if one < len(tokens)), reverse=True):
            if tokens[:length] in self._states:
                whole = tokens[:length]
                break
        else:
            whole = ()
        for number in reversed(_beginnings(tokens)):
            held = self._beginnings.get(number, ())
            length = min(_shared(held, tokens), len(tokens) - 1)
            if length > len(whole):
                return held, length
        return whole, len(whole)

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
        self._lengths[len(tokens)] += 1
        self._beginnings.update(dict.fromkeys(_beginnings(tokens), tokens))
        self.held += size
        while self.held > self.room:
            self._drop()

    def _drop(self) -> None:
        """Forget the sequence that was used longest ago."""
        old, states = self._states.popitem(last=False)
        self.held -= _size(states)
        self._lengths[len(old)] -= 1
        self._lengths += Counter()  # without zeros
        for number in _beginnings(old):
            if self._beginnings.get(number) == old:
                del self._beginnings[number]


def shared_beginnings(prompts: Sequence[tuple[int, ...]], prefixes: Prefixes) -> list[tuple[int, ...]]:
    """Returns the beginnings that several prompts share, of which at least `SHARED` tokens are not cached.

    Args:
        prompts: the prompts.
        prefixes: the cache.
    """
    found: list[tuple[int, ...]] = []
    ordered = sorted(set(prompts))
    for one, other in pairwise(ordered):
        both = one[: min(_shared(one, other), len(one) - 1)]
        last = found[-1] if found else ()
        if last and both[: len(last)] == last:
            continue  # the prompts before share less, and all of it
        if last and last[: len(both)] == both and len(both) - prefixes.known(both) >= SHARED:
            found[-1] = both
        elif len(both) - max(prefixes.known(both), _shared(last, both)) >= SHARED:
            found.append(both)
    return found


def _beginnings(tokens: tuple[int, ...]) -> list[int]:
    """Returns a number for every beginning of whole blocks, the shortest first; a number may stand for several."""
    found, last = [], 0
    for end in range(BLOCK, len(tokens) + 1, BLOCK):
        last = hash((last, tokens[end - BLOCK : end]))
        found.append(last)
    return found


def _shared(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """Returns how many tokens two sequences share from their start."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


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
