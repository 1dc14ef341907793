"""The tokens of a path as trainers take them."""

import asyncio
from dataclasses import replace

import pytest

from josh.dialogue import Sample, Speaker, Turn
from josh.models.chat import Sampling
from josh.token_rows import token_rows
from josh.tree import Node, Tree

AGENT, USER = Speaker.AGENT, Speaker.USER
ROOT = Node(-1, USER, "", 0, Turn(), ())


def line(*turns):
    """A tree of one path from (speaker, samples)."""
    nodes = [ROOT]
    for speaker, samples in turns:
        nodes.append(Node(len(nodes) - 1, speaker, "0", len(nodes), Turn(samples=tuple(samples)), ()))
    return Tree(tuple(nodes), (len(nodes) - 1,))


FIRST = Sample(0, (1, 2), (3, 4), (-0.1, -0.2), model_logprobs=(-0.3, -0.4))
NEXT = Sample(4, (5,), (6, 4), (-0.5, -0.6), "length", model_logprobs=(-0.7, -0.8))


def test_turns_that_continue_each_other_are_one_row():
    tree = line((AGENT, [FIRST]), (USER, [Sample(0, (9,), (9,))]), (AGENT, [NEXT]))
    (row,) = token_rows(tree, 3)
    assert (row.prompt_ids, row.token_ids, row.mask) == ((1, 2), (3, 4, 5, 6, 4), (1, 1, 0, 1, 1))
    assert row.logprobs == (-0.1, -0.2, 0.0, -0.5, -0.6)
    assert row.model_logprobs == (-0.3, -0.4, 0.0, -0.7, -0.8)
    assert (row.nodes, row.starts, row.finish_reason) == ((1, 3), (0, 3), "length")
    (other,) = token_rows(tree, 3, USER)
    assert (other.prompt_ids, other.token_ids, other.logprobs) == ((9,), (9,), None)
    (begun,) = token_rows(tree, 1)
    assert (begun.token_ids, begun.nodes, begun.finish_reason) == ((3, 4), (1,), "stop")


@pytest.mark.parametrize("prefix", [0, 2, 3])
def test_a_prompt_that_was_written_otherwise_begins_a_row(prefix):
    tree = line((AGENT, [FIRST]), (USER, []), (AGENT, [replace(NEXT, prefix=prefix)]))
    one, two = token_rows(tree, 3)
    assert (one.prompt_ids, one.token_ids, one.nodes) == ((1, 2), (3, 4), (1,))
    assert (two.prompt_ids, two.token_ids) == ((*(1, 2, 3, 4)[:prefix], 5), (6, 4))
    assert two.mask == (1, 1)


def test_several_requests_of_one_turn_are_in_the_row_and_no_samples_are_no_rows():
    tree = line((AGENT, [FIRST, NEXT]), (USER, []))
    (row,) = token_rows(tree, 2)
    assert row.nodes == (1, 1)
    assert token_rows(line((AGENT, []), (USER, [])), 2) == []


def test_a_local_models_tokens_are_those_that_its_forward_pass_gives(tiny_model):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from josh.models.hf import HFChat
    from josh.runs.play.seats import Seats
    from josh.strategies.beam import BeamSearch

    model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny_model), AutoTokenizer.from_pretrained(tiny_model)
    seats = Seats({"env": "persuasion", "max_convo_turns": 4})

    async def played():
        chat = HFChat.of(model, tokenizer, threads=1, exact=True)
        how = {"sampling": Sampling(temperature=0.7, top_p=0.9)}
        several = await asyncio.gather(*(seats.play(seats.task("0"), chat, seed, **how) for seed in (1, 1, 2)))
        tree = await seats.play(seats.task("1"), chat, 1, strategy=BeamSearch(4), **how)
        talk = seats.conversation(seats.task("0"), 1)
        answer = await talk.asay(several[0].tree.nodes[1].turn.messages[-1]["content"])
        await chat.aclose()
        await seats.aclose()
        return several, tree, answer

    (one, same, other), tree, answer = asyncio.run(played())
    assert answer.reply == one.tree.nodes[2].turn.messages[-1]["content"], "the same user, seed and words"
    rows = [row for episode in (one, other) for row in token_rows(episode.tree, episode.reported[0])]
    rows += [row for leaf in tree.outcomes for row in token_rows(tree.tree, leaf)]
    assert token_rows(one.tree, one.reported[0]) == token_rows(same.tree, same.reported[0]) == rows[:1]
    assert rows[0] != rows[1]
    assert len(rows) > 4
    for row in rows:
        ids = torch.tensor([[*row.prompt_ids, *row.token_ids]])
        with torch.inference_mode():
            whole = model(ids).logits[0].double().log_softmax(-1)
        for place, (token, sampled) in enumerate(zip(row.token_ids, row.mask, strict=True)):
            own = whole[len(row.prompt_ids) - 1 + place, token].item() if sampled else 0.0
            assert row.model_logprobs[place] == pytest.approx(own, abs=1e-4)
        assert all(row.mask[start] for start in row.starts)
        assert not row.starts[0]


def test_words_that_the_model_would_never_split_so_are_kept_as_they_were_sampled(tiny_model):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from josh.models.chat import Request
    from josh.models.hf import HFChat

    model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny_model), AutoTokenizer.from_pretrained(tiny_model)

    async def asked(exact):
        chat = HFChat.of(model, tokenizer, threads=1, exact=exact)
        talk = [{"role": "user", "content": "hello"}]
        same = 0
        for seed in range(20):
            (first,) = (await chat.complete(Request(talk, Sampling(temperature=2.0), seed, keep_samples=True))).replies
            later = [*talk, first.message, {"role": "user", "content": "so"}]
            (second,) = (await chat.complete(Request(later, Sampling(), seed, keep_samples=True))).replies
            same += second.prompt_ids[: len(first.prompt_ids + first.token_ids)] == first.prompt_ids + first.token_ids
        rewritten = chat.rewritten
        chat.forget()
        await chat.aclose()
        return same, rewritten

    assert asyncio.run(asked(True)) == (20, 0)
    same, _ = asyncio.run(asked(False))
    assert same < 20, "a babbling model often splits words otherwise than its tokenizer"
