"""Local transformers models: what they reply, alone and in company."""

import asyncio
import math
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace

import pytest
from local_models import HELLO, LONGER, ask

from josh.models.chat import ContextError, Request, Sampling
from josh.models.decoding import AbandonedError, TokenRequest, generate, logprobs_of
from josh.models.hf import HFChat


def some_requests(count=12):
    return [
        Request(
            (HELLO, LONGER, LONGER[:1])[number % 3],
            sampling=Sampling(temperature=(1.0, 0.7, 0.0, 1.5)[number % 4]),
            seed=100 + number,
            n=1 + number % 3,
            options={"max_tokens": 4 + 5 * (number % 4), "top_p": 0.8 if number % 5 == 4 else 1.0},
        )
        for number in range(count)
    ]


def in_tokens(batch, model, **given):
    batch = [replace(asked, logprobs=True) for asked in batch]
    return generate(model, batch, given.pop("ends", frozenset([1])), 0, decode=str, **given)


def test_a_reply_does_not_depend_on_who_shares_its_batch(chat):
    requests = some_requests()
    before = chat.batches
    together = ask(chat, *requests)
    assert chat.batches == before + 1
    alone = [ask(chat, request)[0] for request in requests]
    assert chat.batches == before + 1 + len(requests)
    others = ask(chat, *reversed(requests[3:]))[::-1]
    tokens = [[reply.token_ids for reply in one.replies] for one in together]
    assert tokens == [[reply.token_ids for reply in one.replies] for one in alone]
    assert tokens[3:] == [[reply.token_ids for reply in one.replies] for one in others]
    for one, other in zip(together, alone, strict=True):
        assert one.usage == other.usage
        for reply, same in zip(one.replies, other.replies, strict=True):
            assert (reply.text, reply.finish_reason) == (same.text, same.finish_reason)
            assert reply.logprobs == pytest.approx(same.logprobs, abs=1e-4)


def test_a_batch_holds_no_more_replies_than_it_may_and_loses_none(tiny_model):
    small = HFChat(f"hf:{tiny_model}", threads=1, batch_size=4)
    requests = [replace(request, n=1) for request in some_requests()]
    texts = [one.replies[0].text for one in ask(small, *requests)]
    assert small.batches == 3
    assert texts == [ask(small, request)[0].replies[0].text for request in requests]


def test_replies_to_one_request_differ_and_the_first_is_that_of_a_request_for_one(chat):
    several, single = ask(chat, Request(HELLO, Sampling(), 7, 4), Request(HELLO, Sampling(), 7))
    assert len({reply.token_ids for reply in several.replies}) == 4
    assert several.replies[0].token_ids == single.replies[0].token_ids


def test_the_likeliest_tokens_are_those_of_transformers(chat, tiny_model):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    text = tokenizer.apply_chat_template(LONGER, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")
    expected = model.generate(**ids, do_sample=False)[0, ids["input_ids"].shape[1] :].tolist()
    short, long = ask(chat, Request(HELLO, Sampling(temperature=0.0), 1), Request(LONGER, Sampling(temperature=0.0), 1))
    assert list(long.replies[0].token_ids) == expected
    assert long.usage.prompt_tokens == ids["input_ids"].shape[1] > short.usage.prompt_tokens
    logits = model(**ids).logits[0, -1].log_softmax(-1)
    assert long.replies[0].model_logprobs[0] == pytest.approx(logits.max().item(), abs=1e-4)
    assert set(long.replies[0].logprobs) == {0.0}, "at temperature 0 nothing else could be sampled"


@contextmanager
def tokens_read(model):
    """Count the tokens that a model reads at a time, padding left out."""
    read = []

    def look(_, __, given):
        width = given["input_ids"].shape[1]
        read.append(int(given["attention_mask"][:, -width:].sum()))

    handle = model.register_forward_pre_hook(look, with_kwargs=True)
    try:
        yield read
    finally:
        handle.remove()


def test_what_was_said_before_is_not_read_again_and_changes_no_reply(chat):
    from josh.models.kv_cache import Prefixes

    model, prefixes = chat._model, Prefixes(1 << 24)
    talks = [(70, 71, 72), (80,), (70, 71, 90, 91, 92)]
    for turn in range(3):
        batch = [
            TokenRequest(talk, seed=10 * turn + number, n=2, limit=6 + number) for number, talk in enumerate(talks)
        ]
        with tokens_read(model) as read:
            replies = in_tokens(batch, model, prefixes=prefixes)
        with tokens_read(model) as anew:
            others = in_tokens(batch, model)
        for one, other in zip(replies, others, strict=True):
            assert [reply.token_ids for reply in one] == [reply.token_ids for reply in other]
        assert anew[0] == sum(map(len, talks))
        assert read[0] == (anew[0] if not turn else 3 * 4), "the last token of a reply, and three new ones"
        talks = [(*talk, *one[turn % 2].token_ids, 95, 96, 97) for talk, one in zip(talks, replies, strict=True)]


def test_the_conversations_used_last_are_kept_as_far_as_there_is_room(chat):
    import torch
    from transformers import DynamicCache

    from josh.models.kv_cache import Prefixes

    def keep(prefixes, *tokens):
        cache = DynamicCache()
        chat._model(input_ids=torch.tensor([tokens]), past_key_values=cache, use_cache=True)
        prefixes.keep(tokens, cache, 0, torch.arange(len(tokens)))

    one = Prefixes(1 << 20)
    keep(one, 5, 6, 7)
    prefixes = Prefixes(2 * one.held)
    keep(prefixes, 5, 6, 7)
    keep(prefixes, 5, 6, 8)
    assert prefixes.held == prefixes.room
    assert prefixes.find((5, 6, 7)) == (0, ()), "one token at least is to be read"
    assert prefixes.find((5, 6, 7, 9))[0] == 3
    keep(prefixes, 5, 6)
    assert prefixes.find((5, 6, 8, 9))[0] == 2, "the longer one went, which nobody had asked for"
    assert prefixes.find((5, 6, 7, 9))[0] == 3
    assert prefixes.find((4, 6, 7, 9)) == (0, ())
    keep(prefixes, *range(20))
    assert prefixes.held <= prefixes.room


class Fixed:
    """A model that always gives its tokens the same odds."""

    device = "cpu"

    def __init__(self, odds):
        self.odds = odds

    def __call__(self, input_ids, **_):
        import torch

        logits = torch.tensor(self.odds).log().expand(input_ids.shape[0], 1, len(self.odds))
        return type("Out", (), {"logits": logits, "past_key_values": self})()

    def reorder_cache(self, rows):
        pass


@pytest.mark.parametrize(
    ("temperature", "top_p", "min_p", "odds"),
    [
        (1.0, 1.0, 0.0, [0.5, 0.3, 0.15, 0.05]),
        (0.5, 1.0, 0.0, [0.6849, 0.2466, 0.0616, 0.0068]),
        (1.0, 0.7, 0.0, [0.625, 0.375, 0.0, 0.0]),
        (1.0, 0.01, 0.0, [1.0, 0.0, 0.0, 0.0]),
        (1.0, 1.0, 0.2, [0.5263, 0.3158, 0.1579, 0.0]),
        (0.5, 1.0, 0.2, [0.7353, 0.2647, 0.0, 0.0]),
        (1.0, 0.7, 0.7, [1.0, 0.0, 0.0, 0.0]),
        (0.0, 1.0, 0.0, [1.0, 0.0, 0.0, 0.0]),
    ],
)
def test_tokens_are_drawn_as_often_as_they_are_likely(chat, temperature, top_p, min_p, odds):
    model = Fixed([0.5, 0.3, 0.15, 0.05])
    how = {"n": 2, "temperature": temperature, "top_p": top_p, "min_p": min_p, "limit": 20}
    batch = [TokenRequest((3,), seed=seed, **how) for seed in range(1, 101)]
    drawn = Counter()
    for replies in in_tokens(batch, model, ends=frozenset()):
        for reply in replies:
            drawn += Counter(reply.token_ids)
            first = reply.token_ids[0]
            assert reply.logprobs[0] == pytest.approx(math.log(odds[first]), abs=0.01), "as it was sampled"
            assert reply.model_logprobs[0] == pytest.approx(math.log(model.odds[first]), abs=1e-5)
    shares = [drawn[token] / 4000 for token in range(4)]
    assert shares == pytest.approx(odds, abs=0.03)


def test_a_reply_ends_at_an_end_token_at_its_limit_or_at_a_stop_text(chat):
    model = Fixed([0.2] * 5)
    batch = [
        TokenRequest((1, 2), seed=1, limit=500),
        TokenRequest((1,), seed=2, limit=3),
        TokenRequest((1, 2, 3), seed=3, limit=500, stop=("4",)),
    ]
    ended, cut, stopped = (replies[0] for replies in in_tokens(batch, model, ends=frozenset([0])))
    assert (ended.finish_reason, ended.token_ids[-1], ended.token_ids.count(0)) == ("stop", 0, 1)
    assert (cut.finish_reason, len(cut.token_ids)) == ("length", 3)
    assert stopped.finish_reason == "stop"
    assert stopped.token_ids[-1] in (0, 4)


def test_a_stop_text_is_no_part_of_the_reply(chat):
    whole = ask(chat, Request(HELLO, Sampling(), 5))[0].replies[0].text
    stop = whole[4:7]
    assert stop in whole
    cut = ask(chat, Request(HELLO, Sampling(), 5, options={"stop": stop}))[0].replies[0]
    assert cut.text == whole.partition(stop)[0]
    assert cut.finish_reason == "stop"


def test_nothing_goes_on_when_nobody_waits(chat):
    with pytest.raises(AbandonedError):
        in_tokens([TokenRequest((1,), seed=1, limit=500)], Fixed([0.5, 0.5]), ends=frozenset(), abandoned=lambda: True)


def test_a_request_that_is_given_up_is_not_answered(chat):
    async def asking():
        lost = asyncio.ensure_future(chat.complete(Request(HELLO, Sampling(), 1)))
        kept = asyncio.ensure_future(chat.complete(Request(HELLO, Sampling(), 2, keep_samples=True)))
        await asyncio.sleep(0)
        lost.cancel()
        return await asyncio.gather(lost, kept, return_exceptions=True)

    lost, kept = asyncio.run(asking())
    assert isinstance(lost, asyncio.CancelledError)
    assert kept.replies[0].token_ids == ask(chat, Request(HELLO, Sampling(), 2))[0].replies[0].token_ids


def test_the_log_probabilities_of_tokens_are_those_of_sampling_them(tiny_model):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    asked = TokenRequest((5, 6, 7, 8), seed=3, limit=6)
    ((made,),) = in_tokens([asked], model)
    assert logprobs_of(model, asked.prompt, made.token_ids) == pytest.approx(made.logprobs, abs=1e-4)


def test_the_log_probability_of_a_text_is_the_sum_over_its_parts(chat):
    parts = [("", "I hope"), ("I hope", " you will"), ("", "I hope you will")]
    options = [{"logprobs_of": {"after": after, "text": text}} for after, text in parts]
    replies = [one.replies[0] for one in ask(chat, *(Request(LONGER, Sampling(), 7, options=each) for each in options))]
    first, second, whole = (sum(reply.logprobs) for reply in replies)
    assert first + second == pytest.approx(whole, abs=1e-3)
    assert whole < second < 0
    assert [reply.text for reply in replies] == [text for _, text in parts]


def test_a_text_that_does_not_fit_into_the_context_is_refused(chat):
    options = {"logprobs_of": {"after": "I hope", "text": " you" * 9000}}
    (refused,) = ask(chat, Request(HELLO, Sampling(), 7, options=options))
    assert isinstance(refused, ContextError)


def test_a_beginning_that_prompts_share_is_read_once_and_changes_no_reply(chat):
    from josh.models.kv_cache import SHARED, Prefixes

    model, prefixes = chat._model, Prefixes(1 << 26)
    long, longer = tuple(range(70, 70 + SHARED)), tuple(range(20, 20 + 2 * SHARED))
    prompts = [(*long, 9), (*longer, 8), (*long, 7, 6), (*longer, 5), (4, 3), (*longer, 5, 4)]
    batch = [TokenRequest(prompt, seed=number, limit=4) for number, prompt in enumerate(prompts)]
    with tokens_read(model) as read:
        replies = in_tokens(batch, model, prefixes=prefixes)
    others = in_tokens(batch, model)
    assert [one[0].token_ids for one in replies] == [one[0].token_ids for one in others]
    assert read[0] == len(long) + len(longer)
    assert read[1] == 1 + 1 + 2 + 1 + 2 + 2
    assert (prefixes.asked, prefixes.read) == (sum(map(len, prompts)), sum(read[:2]))
    with tokens_read(model) as read:
        in_tokens([TokenRequest((*longer, 3), seed=1, limit=1)], model, prefixes=prefixes)
    assert read == [1]


def test_a_conversation_that_is_tokenized_otherwise_is_read_from_where_it_differs(chat):
    from josh.models.kv_cache import BLOCK, Prefixes

    model, prefixes = chat._model, Prefixes(1 << 26)
    prompt = tuple(range(50, 50 + 3 * BLOCK))
    (one,) = in_tokens([TokenRequest(prompt, seed=1, limit=6)], model, prefixes=prefixes)
    again = [
        TokenRequest((*prompt, *one[0].token_ids[:2], 99, 98), seed=2, limit=4),
        TokenRequest((*prompt[: BLOCK + 3], 97), seed=3, limit=4),
        TokenRequest((*prompt[: BLOCK - 1], 97), seed=3, limit=4),
    ]
    for asked, new in zip(again, (2, 1, BLOCK), strict=True):
        with tokens_read(model) as read:
            (reply,) = in_tokens([asked], model, prefixes=prefixes)
        assert read[0] == new
        assert reply[0].token_ids == in_tokens([asked], model)[0][0].token_ids


def test_what_is_dropped_is_found_no_more_by_its_beginning(chat):
    import torch
    from transformers import DynamicCache

    from josh.models.kv_cache import BLOCK, Prefixes

    def keep(prefixes, tokens):
        cache = DynamicCache()
        chat._model(input_ids=torch.tensor([tokens]), past_key_values=cache, use_cache=True)
        prefixes.keep(tokens, cache, 0, torch.arange(len(tokens)))

    first, second = tuple(range(10, 10 + 2 * BLOCK)), tuple(range(60, 60 + 2 * BLOCK))
    one = Prefixes(1 << 26)
    keep(one, first)
    prefixes = Prefixes(one.held)
    keep(prefixes, first)
    assert prefixes.find((*first[: BLOCK + 1], 1))[0] == BLOCK + 1
    keep(prefixes, second)
    assert prefixes.find((*first[: BLOCK + 1], 1)) == (0, ())
    assert prefixes.find((*second, 1))[0] == 2 * BLOCK


@pytest.mark.parametrize("masked", [True, False])
def test_attention_by_groups_of_heads_is_that_of_torch(masked):
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    from josh.models.attention import grouped_attention

    torch.manual_seed(0)
    module = torch.nn.Module()
    module.num_key_value_groups, module.is_causal = 3, True
    for tokens in (1, 4):
        query, (key, value) = torch.randn(2, 6, tokens, 8), torch.randn(2, 2, 2, 5, 8)
        mask = torch.rand(2, 1, tokens, 5) > 0.3
        mask[..., 0] = True
        if not masked:
            mask = torch.zeros(2, 1, tokens, 5).masked_fill(~mask, float("-inf"))
        expected, _ = sdpa_attention_forward(module, query, key, value, mask)
        found, _ = grouped_attention(module, query, key, value, mask)
        assert torch.allclose(found, expected, atol=1e-6)


def test_a_model_in_16_bits_samples_nearly_what_it_samples_in_32(tiny_model):
    from josh.models.attention import GROUPED

    half, whole = (HFChat(f"hf:{tiny_model}", dtype=dtype) for dtype in ("bfloat16", "float32"))
    assert half._model.config._attn_implementation == GROUPED != whole._model.config._attn_implementation
    prompt = tuple(range(40, 60))
    for one, other in zip(
        logprobs_of(half._model, prompt, range(60, 70)), logprobs_of(whole._model, prompt, range(60, 70)), strict=True
    ):
        assert one == pytest.approx(other, abs=0.1)
    requests = [Request(LONGER, Sampling(temperature=0.0), number, options={"max_tokens": 8}) for number in range(3)]
    texts = {one.replies[0].text for one in ask(half, *requests)}
    assert len(texts) == 1
