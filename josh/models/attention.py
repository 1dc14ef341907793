"""Attention for models in 16 bits on a CPU, where that of torch is slow for one new token per row.

torch's attention repeats the keys and values of grouped heads (GQA, Ainslie et al., 2023) for every token, and takes
longer in 16 bits than in 32. Here a group of heads is one matrix product, and nothing is repeated. Prompts are read by
torch's attention.
"""

from typing import Any, Final

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

GROUPED: Final = "josh_grouped"
"""The name under which transformers knows this attention."""
SHORT: Final = (torch.bfloat16, torch.float16)


def use_grouped_attention(model: Any) -> None:
    """Let a model use this attention if it is in 16 bits on a CPU and uses that of torch."""
    config = model.config.get_text_config()
    if model.device.type == "cpu" and model.dtype in SHORT and config._attn_implementation == "sdpa":
        AttentionInterface.register(GROUPED, grouped_attention)
        AttentionMaskInterface.register(GROUPED, sdpa_mask)
        config._attn_implementation = GROUPED


def grouped_attention(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, scaling: float | None = None, **options: Any
) -> tuple[Any, None]:
    """Returns the attention of some queries; see transformers' attention interface.

    Args:
        module: the layer.
        query: shaped (rows, heads, tokens, width).
        key: shaped (rows, groups, all tokens, width), as is `value`.
        attention_mask: true, or 0 in floats, where a query may look; None for everywhere.
        scaling: factor of the scores; None is 1 / sqrt(width).

    Returns:
        The attention, shaped (rows, tokens, heads, width), and None.
    """
    if query.shape[2] > 1:
        found: tuple[Any, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **options
        )
        return found
    rows, heads, _, width = query.shape
    groups, seen = key.shape[1], key.shape[2]
    asked = query.reshape(rows, groups, heads // groups, width) * (width**-0.5 if scaling is None else scaling)
    scores = (key @ asked.transpose(-1, -2)).transpose(-1, -2)  # the other order would copy all keys
    if attention_mask is not None:
        mask = attention_mask[..., :seen]
        scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
    weights = scores.softmax(-1, dtype=torch.float32).to(value.dtype)
    return (weights @ value).reshape(rows, 1, heads, width), None
