"""What a local model sampled, token by token, as a turn keeps it for on-policy training."""

import asyncio
import json
from dataclasses import replace

import pytest
from local_models import search, written

from josh import BaseEnv, Speaker, Task, play
from josh.agents.chat import Persuader
from josh.cli import main
from josh.messages import dumps
from josh.models.chat import Request, Sampling
from josh.models.hf import HFChat
from josh.models.reply_journal import JournalEntry, ReplyKey
from josh.roles import Reply
from josh.runs.record.episode_json import from_json, to_json
from josh.runs.record.folder import EPISODES
from josh.runs.record.journal import Replies
from josh.strategies.beam import BeamSearch
from josh.testing import ScriptedModel, ScriptedUser
from josh.tree import internal_conversation, walk
from josh.users.persuasion.persuadee import Persuadee

TALK = [{"role": "user", "content": "hello there"}]


class Talk(BaseEnv):
    max_rounds = 3

    def goals(self, task):
        return ["nothing"]

    def agent_prompt(self, task):
        return "You persuade."

    def user_prompt(self, task):
        return "You listen."


@pytest.fixture(scope="module")
def chat(tiny_model):
    return HFChat(f"hf:{tiny_model}", threads=1)


@pytest.fixture(scope="module")
def own(tiny_model):
    """The same model and its tokenizer, as transformers loads them."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(tiny_model), AutoTokenizer.from_pretrained(tiny_model)


def episode(chat, **given):
    how = {"agent": Persuader, "user": Persuadee, "strategy": BeamSearch(4), "model": chat, "user_model": chat}
    warmth = {"sampling": Sampling(temperature=0.8), "user_sampling": Sampling(temperature=1.3)}
    return asyncio.run(play(Task("talk", 0, {}), Talk({}), **how, **warmth, **given))


@pytest.fixture(scope="module")
def played(chat):
    return episode(chat, keep_samples=True)


def sampled(tree, leaf, speaker):
    """The prompts and replies of one side along a path, from its samples alone, with the node of each."""
    sequence = ()
    for index in walk(tree, leaf)[1:]:
        node = tree.nodes[index]
        for sample in node.turn.samples if node.speaker is speaker else ():
            prompt = sequence[: sample.prefix] + sample.prompt_ids
            sequence = prompt + sample.token_ids
            yield index, prompt, sample


def test_a_path_s_samples_give_each_prompt_and_reply_as_they_were(played, own):
    _, tokenizer = own
    found = shared = 0
    for leaf in played.outcomes:
        for speaker in Speaker:
            for index, prompt, sample in sampled(played.tree, leaf, speaker):
                node = played.tree.nodes[index]
                asked = internal_conversation(played.tree, node.parent, speaker)
                text = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
                assert list(prompt) == tokenizer(text, add_special_tokens=False)["input_ids"]
                assert (sample.model, len(sample.logprobs)) == (f"hf:{tokenizer.name_or_path}", len(sample.token_ids))
                shared += sample.prefix
                found += 1
            said = tokenizer.decode(sample.token_ids, skip_special_tokens=True)
            assert said.strip() == node.turn.messages[-1]["content"]
    assert found > 20
    assert shared > 100, "what the sample before holds is not stored again"


def logprobs_of(model, prompt, token_ids, temperature):
    import torch

    with torch.inference_mode():
        logits = model(torch.tensor([[*prompt, *token_ids]])).logits[0, len(prompt) - 1 : -1]
    whole = (logits.double() / temperature).log_softmax(-1)
    return whole.gather(-1, torch.tensor(token_ids)[:, None])[:, 0].tolist()


def test_log_probabilities_are_those_of_a_forward_pass_at_the_temperature(played, own):
    model, _ = own
    for leaf in played.outcomes:
        for speaker, temperature in ((Speaker.AGENT, 0.8), (Speaker.USER, 1.3)):
            for _, prompt, sample in sampled(played.tree, leaf, speaker):
                expected = logprobs_of(model, prompt, sample.token_ids, temperature)
                assert sample.logprobs == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("temperature", "options"),
    [(1.0, {"top_p": 0.5}), (0.5, {"min_p": 0.3}), (1.7, {"top_p": 0.7, "min_p": 0.1}), (0.0, {})],
)
def test_log_probabilities_are_those_that_were_sampled_from_and_the_models_own(chat, own, temperature, options):
    request = Request(TALK, Sampling(temperature=temperature), 5, 2, options, keep_samples=True)
    for reply in asyncio.run(chat.complete(request)).replies:
        warm, whole = (logprobs_of(own[0], reply.prompt_ids, reply.token_ids, t) for t in (temperature or 1.0, 1.0))
        assert reply.model_logprobs == pytest.approx(whole, abs=1e-4)
        if temperature:
            assert all(one >= two - 1e-4 for one, two in zip(reply.logprobs, warm, strict=True)), (
                "fewer tokens are left"
            )
            assert sum(reply.logprobs) > sum(warm) + 0.01
        else:
            assert set(reply.logprobs) == {0.0}


def test_by_default_nothing_is_kept_and_the_words_are_the_same(chat, played):
    plain = episode(chat)
    assert not any(node.turn.samples for node in plain.tree.nodes)
    nodes = [replace(node, turn=replace(node.turn, samples=())) for node in played.tree.nodes]
    assert list(plain.tree.nodes) == nodes
    (reply,) = asyncio.run(chat.complete(Request(TALK, Sampling(), 5))).replies
    assert (reply.prompt_ids, reply.token_ids, reply.logprobs) == (None, None, None)


def test_the_sample_of_a_second_try_follows_the_sample_before_the_turn():
    lines = iter(["same", "same", "other"])

    def script(messages, seed):
        return Reply(next(lines, "more"), (), "stop", (len(messages), 9), (-1.0, -1.0), (5, 6, 7))

    user = {"user": ScriptedUser, "agent": Persuader}
    tree = asyncio.run(
        play(Task("talk", 0, {}), Talk({}), **user, model=ScriptedModel(script), max_rounds=1, keep_samples=True)
    ).tree
    assert [node.turn.messages[0]["content"] for node in tree.nodes[1:3]] == ["same", "other"]
    for node in tree.nodes[1:3]:
        (sample,) = node.turn.samples
        assert (sample.prefix, sample.prompt_ids) == (0, (5, 6, 7))


def test_samples_come_back_from_the_record(played):
    line = dumps(to_json(played))
    again = from_json(json.loads(line))
    assert [node.turn.samples for node in again.tree.nodes] == [node.turn.samples for node in played.tree.nodes]
    assert dumps(to_json(again)) == line


@pytest.mark.usefixtures("elsewhere")
def test_a_run_keeps_them_if_it_is_asked_to_and_a_replay_has_them_from_the_journal(tiny_model, tmp_path):
    folder = search(tiny_model, tmp_path / "records", "--keep_samples", "--end_index", "1")
    assert '"samples"' in (folder / EPISODES).read_text()
    assert main(["replay", str(folder), "--log_dir", "again"]) == 0
    (again,) = (tmp_path / "again").iterdir()
    assert written(again) == written(folder)


def test_a_reply_comes_back_from_the_journal_with_its_tokens(tmp_path):
    reply = Reply("hm", (), "stop", (3, 1), (-0.5, -0.25), (7, 8, 9))
    key = ReplyKey("talk", "0", 1, "agent", 0, "digest")
    journal = Replies(tmp_path)
    journal.keep({key: JournalEntry(reply, "hf:m", 4)}, 0.1)
    assert journal.find(key).reply == reply
    journal.close()
