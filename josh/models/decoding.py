"""Replies of a local transformers model to many requests at once, each from its own seed.

It is written by hand because transformers samples a whole batch from one random state: which requests happen to be
answered together would change every reply. A search asks for many replies at once, and has to come out the same when it
is resumed. vLLM and llama.cpp keep a seed for each request too, and are the first choice on a real GPU (see `hf.py`).

A batch is padded on the left and read once, but for what is known of it from turns before; the cache is then repeated
for the requests that want several replies, and grows a token at a time until every reply has ended. Rows that have
ended are taken out when a quarter of them have.

A token is drawn by the Gumbel-max rule: the largest of log p / T + g, with g a noise that is a pure function of the
request's seed, the reply's number, the position and the token, in 64-bit integers that are the same on every device.
So nothing random is shared between rows. What is left of a batch in a reply is rounding: matrix products of another
shape add up in another order, and move log p by some 1e-6 in float32. That changes a draw only where the two largest
sums are as near as that, about once in a million tokens, because noise and token belong together whatever the others
do. (Inverting the cumulative distribution would move every boundary behind the one that moved.) In 16 bits the same
happens at 1e-2, so that there one reply in some dozens of tokens depends on its batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from josh.seeds import derive

_DROP = 0.25
"""Share of rows that have ended from which it pays to copy the others' cache."""
_GOLDEN = 0x9E3779B97F4A7C15
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
"""The finalizer of SplitMix64 (Steele, Lea and Flood, 2014)."""


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A request in tokens.

    Attributes:
        prompt: the prompt, at least one token.
        seed: what its noise comes from.
        n: replies wanted.
        temperature: 0 takes the likeliest token.
        top_p: draw from the smallest set of tokens that is this likely, above 0 and at most 1.
        limit: tokens after which a reply is cut off, at least 1.
        stop: texts that end a reply; they are no part of it.
        min_p: draw from tokens at least so many times as likely as the likeliest, in [0, 1] (Nguyen et al., 2024,
            arXiv:2407.01082). Where much is likely little is cut off, and slips are where little is.
        logprobs: whether the log-probabilities of the tokens are wanted.
    """

    prompt: tuple[int, ...]
    seed: int
    n: int = 1
    temperature: float = 1.0
    top_p: float = 1.0
    limit: int = 512
    stop: tuple[str, ...] = ()
    min_p: float = 0.0
    logprobs: bool = False


@dataclass(slots=True)
class TokenReply:
    """A reply in tokens.

    Attributes:
        token_ids: what was drawn, the end token included.
        logprobs: their log-probabilities as `josh.tree.Sample` has them; empty unless they were asked for.
        finish_reason: `stop`, or `length` where it was cut off.
    """

    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish_reason: str = "length"


class AbandonedError(Exception):
    """Nobody waits for the batch any more."""


def generate(
    model: Any,
    batch: Sequence[TokenRequest],
    ends: frozenset[int],
    pad: int,
    decode: Callable[[list[int]], str],
    abandoned: Callable[[], bool] = lambda: False,
    prefixes: Any = None,
) -> list[list[TokenReply]]:
    """Answer some requests together.

    Args:
        model: a causal language model of transformers.
        batch: the requests, at least one.
        ends: tokens that end a reply.
        pad: the token to pad with; any will do, nobody sees it.
        decode: from tokens to text.
        abandoned: asked before every token; True ends it all.
        prefixes: `josh.models.kv_cache.Prefixes`, if states are to be kept for conversations that go on.

    Returns:
        The replies to every request.

    Raises:
        AbandonedError: as was said.
    """
    import torch

    from josh.models.kv_cache import is_plain, make_room

    with torch.inference_mode():
        device = model.device
        logits, cache, mask, lengths = _read(model, batch, pad, prefixes)
        store = prefixes if prefixes is not None and is_plain(cache) else None
        rows = [(asked, choice) for asked in batch for choice in range(asked.n)]
        made = [TokenReply() for _ in rows]
        if len(rows) > len(batch):
            whose = torch.tensor([number for number, asked in enumerate(batch) for _ in range(asked.n)], device=device)
            cache.reorder_cache(whose)
            logits, mask, lengths = logits[whose], mask[whose], lengths[whose]
        make_room(cache)
        draw = _Draw(rows, logits.shape[-1], device)
        live = list(range(len(rows)))  # which reply stands in which row; None where it has ended
        step = 0
        while True:
            tokens, logprobs = draw(logits, step)
            step += 1
            for row, (token, logprob) in enumerate(zip(tokens.tolist(), logprobs.tolist(), strict=True)):
                if live[row] >= 0 and _add(made[live[row]], rows[live[row]][0], token, logprob, ends, decode):
                    if store is not None:  # all but the last token, which nobody has read
                        seen = (*rows[live[row]][0].prompt, *made[live[row]].token_ids[:-1])
                        store.keep(seen, cache, row, mask[row].nonzero()[:, 0])
                    live[row] = -1
            going = [row for row, reply in enumerate(live) if reply >= 0]
            if not going:
                break
            if abandoned():
                raise AbandonedError
            if len(live) - len(going) >= _DROP * len(live):
                kept = torch.tensor(going, device=device)
                cache.reorder_cache(kept)
                mask, lengths, tokens = mask[kept], lengths[kept], tokens[kept]
                live = [live[row] for row in going]
                draw.keep(kept)
            mask = torch.cat([mask, mask.new_ones(len(live), 1)], dim=-1)
            out = model(
                input_ids=tokens[:, None],
                attention_mask=mask,
                position_ids=(lengths + step - 1)[:, None],
                past_key_values=cache,
                use_cache=True,
            )
            logits = out.logits[:, -1]
    replies = iter(made)
    return [[next(replies) for _ in range(asked.n)] for asked in batch]


def _read(model: Any, batch: Sequence[TokenRequest], pad: int, prefixes: Any) -> tuple[Any, Any, Any, Any]:
    """Read the prompts: the logits after each, the cache, its mask and the prompts' lengths, a row for each."""
    import torch

    from josh.models.kv_cache import filled

    device = model.device
    found = [prefixes.find(asked.prompt) if prefixes is not None else (0, ()) for asked in batch]
    before = max(length for length, _ in found)
    new = [asked.prompt[length:] for asked, (length, _) in zip(batch, found, strict=True)]
    width = max(map(len, new))
    ids = torch.tensor([[pad] * (width - len(tokens)) + list(tokens) for tokens in new], device=device)
    lengths = torch.tensor([len(asked.prompt) for asked in batch], device=device)
    mask = _right(torch.tensor([len(tokens) for tokens in new], device=device), width)
    if before:
        read = torch.tensor([length for length, _ in found], device=device)
        mask = torch.cat([_right(read, before), mask], dim=-1)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, before:]
    known = {"past_key_values": filled(found)} if before else {}
    # Logits of the last place only: those of a long prompt would fill the memory.
    out = model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1, **known)
    return out.logits[:, -1], out.past_key_values, mask, lengths


def _right(counts: Any, width: int) -> Any:
    """A mask: in every row so many ones, on the right."""
    import torch

    return (torch.arange(width, device=counts.device) >= width - counts[:, None]).long()


def _add(
    made: TokenReply,
    asked: TokenRequest,
    token: int,
    logprob: float,
    ends: frozenset[int],
    decode: Callable[[list[int]], str],
) -> bool:
    """Add a token to a reply; whether that ends it."""
    made.token_ids.append(token)
    if asked.logprobs:
        made.logprobs.append(round(logprob, 6))
    if token in ends or (asked.stop and any(text in decode(made.token_ids) for text in asked.stop)):
        made.finish_reason = "stop"
        return True
    return len(made.token_ids) >= asked.limit


class _Draw:
    """Draws a token for every row."""

    def __init__(self, rows: Sequence[tuple[TokenRequest, int]], vocabulary: int, device: Any) -> None:
        import torch

        self._temperature = torch.tensor([[asked.temperature] for asked, _ in rows], device=device).double()
        self._top_p = torch.tensor([[asked.top_p] for asked, _ in rows], device=device).double()
        self._min_p = torch.tensor([[asked.min_p] for asked, _ in rows], device=device).double()
        self._keys = torch.tensor([[_signed(derive(asked.seed, choice) * _GOLDEN)] for asked, choice in rows])
        self._keys = self._keys.to(device)
        self._logprobs = any(asked.logprobs for asked, _ in rows)
        self._tokens = torch.arange(vocabulary, device=device)[None] * _signed(_GOLDEN)

    def keep(self, rows: Any) -> None:
        """Go on with these rows only."""
        self._temperature, self._keys = self._temperature[rows], self._keys[rows]
        self._top_p, self._min_p = self._top_p[rows], self._min_p[rows]

    def __call__(self, logits: Any, step: int) -> tuple[Any, Any]:
        """A token for every row, and its log-probability at the row's temperature; zeros unless a row asked for it."""
        import torch

        scores = whole = logits.double().log_softmax(-1)
        if (self._temperature > 0).any():
            warm = self._temperature.where(self._temperature > 0, 1.0)
            scores = whole = scores / warm
            if (self._top_p < 1).any():
                scores = _nucleus(scores, self._top_p)
            if (self._min_p > 0).any():
                least = scores.amax(-1, keepdim=True) + self._min_p.log()
                scores = scores.masked_fill(scores < least, float("-inf"))
            noise = -(-self._uniform(step).log()).log()
            scores = scores + noise.where(self._temperature > 0, 0.0)
        tokens = scores.argmax(-1)
        if not self._logprobs:
            return tokens, torch.zeros_like(tokens)
        return tokens, whole.gather(-1, tokens[:, None])[:, 0] - whole.logsumexp(-1)

    def _uniform(self, step: int) -> Any:
        """A number in (0, 1) for every row and token."""
        numbers = _mixed(_mixed(self._keys + _signed((step + 1) * _GOLDEN)) + self._tokens)
        return (((numbers >> 11) & ((1 << 53) - 1)).double() + 0.5) * 2.0**-53


def _nucleus(scores: Any, top_p: Any) -> Any:
    """Scores without the tokens that are not among the likeliest that make up `top_p` together."""
    ordered, places = scores.softmax(-1).sort(dim=-1, descending=True)
    spare = ordered.cumsum(-1) - ordered >= top_p
    return scores.masked_fill(spare.scatter(-1, places, spare), float("-inf"))


def _mixed(numbers: Any) -> Any:
    for shift, factor in _MIX:
        numbers = (numbers ^ ((numbers >> shift) & ((1 << (64 - shift)) - 1))) * _signed(factor)
    return numbers ^ ((numbers >> 31) & ((1 << 33) - 1))


def _signed(number: int) -> int:
    """A number modulo 2**64, as torch has it: from -2**63 up."""
    number %= 1 << 64
    return number - (1 << 64) if number >= 1 << 63 else number
