"""A cache of attention states with room to grow, so that a new token does not cost a copy of all before it."""

from typing import Any

from transformers.cache_utils import DynamicCache, DynamicLayer

ROOM = 32
"""Tokens that a layer makes room for at a time."""


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
