"""Sample replies of a local transformers model to many requests in one batch, each with its own seed.

Why josh has its own sampler: transformers samples a whole batch from one random state, so a reply would depend on the
other requests of its batch. A search sends many requests at once, and must give the same result when it is resumed.
vLLM and llama.cpp also have a seed per request, and are the first choice on a real GPU (see `hf.py`).

The life of a batch:

1. The prompts are padded on the left and read once, without the prefixes whose states are cached. A beginning that
   several prompts of the batch share, such as a system prompt, is read once for all of them.
2. The cache is repeated for requests that want several replies: one row per reply.
3. Every step samples a token for each row, until every reply has ended.
4. When a quarter of the rows have ended, they are removed from the batch.

Tokens are sampled by the Gumbel-max rule: the largest of log p / T + g. The noise g is a pure function of the request's
seed, the reply's number, the position and the token, computed in 64-bit integers, which are the same on every device.
So rows share no random state. Only rounding can make a reply depend on its batch: matrix products of another shape sum
in another order, which changes log p by about 1e-6 in float32. That changes a sampled token only where the two largest
sums are that close, about once in a million tokens, because a token's noise does not depend on the other tokens.
(Inversion of the cumulative distribution would be worse: a change of one probability moves all later boundaries.) In
16-bit floats the change is about 1e-2, so there a reply of some dozens of tokens may depend on its batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from josh.seeds import derive

_DROP = 0.25
"""Share of ended rows from which a copy of the other rows' cache saves time."""
_GOLDEN = 0x9E3779B97F4A7C15
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
"""The finalizer of SplitMix64 (Steele, Lea and Flood, 2014)."""


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A request in tokens.

    Attributes:
        prompt: the prompt, at least one token.
        seed: seed of the request's noise.
        n: number of replies.
        temperature: sampling temperature; 0 takes the likeliest token.
        top_p: sample from the smallest set of tokens with this total probability, above 0 and at most 1.
        limit: most tokens of a reply, at least 1.
        stop: texts that end a reply; they are not part of it.
        min_p: sample from tokens with at least this probability relative to the likeliest token, in [0, 1] (Nguyen et
            al., 2024, arXiv:2407.01082). It removes few tokens where many are likely, and the unlikely tail where one
            token dominates.
        logprobs: whether to return the log-probabilities of the tokens.
        ends: further tokens that end a reply.
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
    ends: frozenset[int] = frozenset()


@dataclass(slots=True)
class TokenReply:
    """A reply in tokens.

    Attributes:
        token_ids: the sampled tokens, with the end token.
        logprobs: their log-probabilities as in `josh.dialogue.Sample.logprobs`; empty unless requested.
        model_logprobs: their log-probabilities as in `josh.dialogue.Sample.model_logprobs`, likewise.
        finish_reason: `stop`, or `length` where the limit ended the reply.
    """

    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    model_logprobs: list[float] = field(default_factory=list)
    finish_reason: str = "length"


class AbandonedError(Exception):
    """The caller stopped the batch, because its replies are not needed."""


def generate(
    model: Any,
    batch: Sequence[TokenRequest],
    ends: frozenset[int],
    pad: int,
    decode: Callable[[list[int]], str],
    abandoned: Callable[[], bool] = lambda: False,
    prefixes: Any = None,
) -> list[list[TokenReply]]:
    """Answer some requests in one batch.

    Args:
        model: a causal language model of transformers.
        batch: the requests, at least one.
        ends: tokens that end a reply.
        pad: the token to pad with; any token works, because padding is masked.
        decode: turns tokens into text.
        abandoned: called before every token; True stops the batch.
        prefixes: the prefix cache (`josh.models.kv_cache.Prefixes`) to read from and to fill; None for no cache.

    Returns:
        The replies to each request, in order.

    Raises:
        AbandonedError: `abandoned` returned True.
    """
    import torch

    from josh.models.kv_cache import is_plain, make_room

    with torch.inference_mode():
        device = model.device
        if prefixes is not None:
            prefixes.asked += sum(len(asked.prompt) for asked in batch)
            _read_shared(model, batch, pad, prefixes)
        logits, cache, mask, lengths = _read(model, [asked.prompt for asked in batch], pad, prefixes)
        store = prefixes if prefixes is not None and is_plain(cache) else None
        rows = [(asked, choice) for asked in batch for choice in range(asked.n)]
        made = [TokenReply() for _ in rows]
        if len(rows) > len(batch):
            whose = torch.tensor([number for number, asked in enumerate(batch) for _ in range(asked.n)], device=device)
            cache.reorder_cache(whose)
            logits, mask, lengths = logits[whose], mask[whose], lengths[whose]
        make_room(cache)
        draw = _Draw(rows, logits.shape[-1], device)
        live = list(range(len(rows)))  # the reply of each row; -1 where it has ended
        step = 0
        while True:
            tokens, *logprobs = draw(logits, step)
            step += 1
            drawn = zip(tokens.tolist(), *(one.tolist() for one in logprobs), strict=True)
            for row, (token, *of_token) in enumerate(drawn):
                if live[row] >= 0 and _add(made[live[row]], rows[live[row]][0], token, of_token, ends, decode):
                    if store is not None:  # all tokens except the last, whose states were not computed
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


def _read_shared(model: Any, batch: Sequence[TokenRequest], pad: int, prefixes: Any) -> None:
    """Read the beginnings that several prompts share and nothing has cached, and cache them."""
    from josh.models.kv_cache import is_plain, shared_beginnings

    found = shared_beginnings([asked.prompt for asked in batch], prefixes)
    if found:
        _, cache, mask, _ = _read(model, found, pad, prefixes)
        if is_plain(cache):
            for row, tokens in enumerate(found):
                prefixes.keep(tokens, cache, row, mask[row].nonzero()[:, 0])


def _read(model: Any, prompts: Sequence[tuple[int, ...]], pad: int, prefixes: Any) -> tuple[Any, Any, Any, Any]:
    """Read the prompts; returns the logits after each, the cache, its mask and the prompts' lengths, a row each."""
    import torch

    from josh.models.kv_cache import filled

    device = model.device
    found = [prefixes.find(prompt) if prefixes is not None else (0, ()) for prompt in prompts]
    before = max(length for length, _ in found)
    new = [prompt[length:] for prompt, (length, _) in zip(prompts, found, strict=True)]
    if prefixes is not None:
        prefixes.read += sum(map(len, new))
    width = max(map(len, new))
    ids = torch.tensor([[pad] * (width - len(tokens)) + list(tokens) for tokens in new], device=device)
    lengths = torch.tensor(list(map(len, prompts)), device=device)
    mask = _right(torch.tensor([len(tokens) for tokens in new], device=device), width)
    if before:
        read = torch.tensor([length for length, _ in found], device=device)
        mask = torch.cat([_right(read, before), mask], dim=-1)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, before:]
    known = {"past_key_values": filled(found)} if before else {}
    # Only the last position's logits: all logits of a long prompt would fill the memory.
    out = model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1, **known)
    return out.logits[:, -1], out.past_key_values, mask, lengths


def logprobs_of(model: Any, prompt: Sequence[int], tokens: Sequence[int]) -> list[float]:
    """Returns the log-probability of each of some tokens after a prompt, in nats, at temperature 1.

    Args:
        model: a causal language model of transformers.
        prompt: the tokens before, at least one.
        tokens: the tokens, at least one.
    """
    import torch

    with torch.inference_mode():
        ids = torch.tensor([[*prompt, *tokens]], device=model.device)
        out = model(input_ids=ids, use_cache=False, logits_to_keep=len(tokens) + 1)
        whole = torch.log_softmax(out.logits[0, -len(tokens) - 1 : -1].float(), dim=-1)
        found = whole.gather(1, ids[0, -len(tokens) :, None])
        return [round(float(one), 6) for one in found[:, 0]]


def _right(counts: Any, width: int) -> Any:
    """Returns a mask with `counts` ones on the right of each row."""
    import torch

    return (torch.arange(width, device=counts.device) >= width - counts[:, None]).long()


def _add(
    made: TokenReply,
    asked: TokenRequest,
    token: int,
    logprobs: Sequence[float],
    ends: frozenset[int],
    decode: Callable[[list[int]], str],
) -> bool:
    """Add a token to a reply; returns whether that ends the reply."""
    made.token_ids.append(token)
    if asked.logprobs:
        for kept, logprob in zip((made.logprobs, made.model_logprobs), logprobs, strict=True):
            kept.append(round(logprob, 6))
    if (
        token in ends
        or token in asked.ends
        or (asked.stop and any(text in decode(made.token_ids) for text in asked.stop))
    ):
        made.finish_reason = "stop"
        return True
    return len(made.token_ids) >= asked.limit


class _Draw:
    """Samples a token for every row."""

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
        """Keep only these rows."""
        self._temperature, self._keys = self._temperature[rows], self._keys[rows]
        self._top_p, self._min_p = self._top_p[rows], self._min_p[rows]

    def __call__(self, logits: Any, step: int) -> tuple[Any, Any, Any]:
        """Returns a token per row and its two log-probabilities, sampled from and the model's; zeros unless wanted."""
        import torch

        scores = warmed = whole = logits.double().log_softmax(-1)
        if (self._temperature > 0).any():
            warm = self._temperature.where(self._temperature > 0, 1.0)
            scores = scores / warm
            if (self._top_p < 1).any():
                scores = _nucleus(scores, self._top_p)
            if (self._min_p > 0).any():
                least = scores.amax(-1, keepdim=True) + self._min_p.log()
                scores = scores.masked_fill(scores < least, float("-inf"))
            warmed = scores
            noise = self._uniform(step).log_().neg_().log_().neg_()
            if (self._temperature <= 0).any():
                noise = noise.where(self._temperature > 0, 0.0)
            scores = noise.add_(scores)
        tokens = scores.argmax(-1)
        if not self._logprobs:
            none = torch.zeros_like(tokens)
            return tokens, none, none
        own = whole.gather(-1, tokens[:, None])[:, 0]
        return tokens, self._sampled(warmed, tokens), own

    def _sampled(self, scores: Any, tokens: Any) -> Any:
        """Returns the log-probabilities of tokens under the distributions that they were sampled from."""
        found = scores.gather(-1, tokens[:, None])[:, 0] - scores.logsumexp(-1)
        return found.where(self._temperature[:, 0] > 0, 0.0)

    def _uniform(self, step: int) -> Any:
        """Returns a number in (0, 1) for every row and token."""
        numbers = _mixed(_mixed(self._keys + _signed((step + 1) * _GOLDEN)) + self._tokens)
        return _shifted(numbers, 11).double().add_(0.5).mul_(2.0**-53)


def _nucleus(scores: Any, top_p: Any) -> Any:
    """Returns the scores with minus infinity for tokens outside the smallest set with total probability `top_p`."""
    ordered, places = scores.softmax(-1).sort(dim=-1, descending=True)
    spare = ordered.cumsum(-1) - ordered >= top_p
    return scores.masked_fill(spare.scatter(-1, places, spare), float("-inf"))


def _mixed(numbers: Any) -> Any:
    """Mixes the bits of numbers in their place, and returns them."""
    for shift, factor in _MIX:
        numbers.bitwise_xor_(_shifted(numbers, shift)).mul_(_signed(factor))
    return numbers.bitwise_xor_(_shifted(numbers, 31))


def _shifted(numbers: Any, shift: int) -> Any:
    """Returns numbers shifted right as if they had no sign."""
    return (numbers >> shift).bitwise_and_((1 << (64 - shift)) - 1)


def _signed(number: int) -> int:
    """Returns a number modulo 2**64 as a signed integer of torch, in [-2**63, 2**63)."""
    number %= 1 << 64
    return number - (1 << 64) if number >= 1 << 63 else number
