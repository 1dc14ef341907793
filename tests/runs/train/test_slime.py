"""Rollouts for slime, on a double of its `Sample` and of its engine, whose tokens a tiny model samples."""

import asyncio
import copy
import os
import subprocess
import sys
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import SimpleNamespace

import pytest
from families import ENDS, a_llama, a_tokenizer, family_text

from josh.errors import UsageError
from josh.models.chat_template import ChatTemplate
from josh.models.decoding import TokenRequest, generate
from josh.runs.registry import ON_POLICY
from josh.runs.train import slime
from josh.runs.train.slime import Rollouts, post_process_rewards

pytest.importorskip("transformers", reason="transformers is not installed: pip install 'josh-dialogue[train]'")


@dataclass
class Sample:
    """The fields and rules of slime's `Sample` that a rollout needs."""

    class Status(Enum):
        PENDING = "pending"
        COMPLETED = "completed"
        TRUNCATED = "truncated"
        ABORTED = "aborted"

    index: int = 0
    group_index: int = 0
    rollout_id: int | None = None
    prompt: str = ""
    tokens: list = field(default_factory=list)
    response: str = ""
    response_length: int = 0
    reward: float | None = None
    loss_mask: list | None = None
    rollout_log_probs: list | None = None
    rollout_top_p_token_ids: list | None = None
    remove_sample: bool = False
    status: Status = Status.PENDING
    metadata: dict = field(default_factory=dict)
    session_id: str | None = None

    def append_response_tokens(self, args, *, tokens, log_probs, trainable, meta_info=None, text=None):
        assert (log_probs is not None) == trainable
        self.tokens += tokens
        self.response += text or ""
        self.response_length += len(tokens)
        self.loss_mask = (self.loss_mask or []) + [int(trainable)] * len(tokens)
        self.rollout_log_probs = (self.rollout_log_probs or []) + list(log_probs or [0.0] * len(tokens))
        assert (meta_info is not None) == trainable, "the engine's account of each sampled part"
        self.status = self.Status.COMPLETED


class Engine:
    """Answers as SGLang's `/generate` does; aborts from a given request on."""

    def __init__(self, model, tokenizer, abort_from=10**9):
        self.model, self.tokenizer, self.abort_from = model, tokenizer, abort_from
        self.requests, self.headers = [], []

    async def post(self, url, payload, headers=None):
        self.requests.append(payload)
        self.headers.append((url, headers))
        if len(self.requests) >= self.abort_from:
            return {"text": "", "meta_info": {"finish_reason": {"type": "abort"}, "output_token_logprobs": []}}
        prompt, params = tuple(payload["input_ids"]), payload["sampling_params"]
        asked = TokenRequest(prompt, seed=len(self.requests), limit=min(12, params["max_new_tokens"]), logprobs=True)
        ends = frozenset({self.tokenizer.eos_token_id})
        decode = self.tokenizer.decode
        ((reply,),) = generate(self.model, [asked], ends, self.tokenizer.pad_token_id, decode)
        pairs = [[one, token, None] for one, token in zip(reply.logprobs, reply.token_ids, strict=True)]
        why = {"type": reply.finish_reason}
        return {"text": decode(reply.token_ids), "meta_info": {"finish_reason": why, "output_token_logprobs": pairs}}


@pytest.fixture(scope="module")
def tiny(tiny_model):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(tiny_model), AutoTokenizer.from_pretrained(tiny_model)


ARGS = SimpleNamespace(
    partial_rollout=False, sglang_router_ip="10.0.0.1", sglang_router_port=3000, rollout_max_context_len=1000,
    rollout_seed=7, reward_key=None,
)  # fmt: skip
PARAMS = {"temperature": 1.0, "max_new_tokens": 200}


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    for name in [*os.environ]:
        if name.startswith(("PERSUASION_", "JOSH_SLIME")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PERSUASION_MAX_TURNS", "3")


def rolled(tiny, sample, *, engine=None, evaluation=False, args=ARGS, params=PARAMS, name="generate_with_persuasion"):
    model, tokenizer = tiny
    engine = engine or Engine(model, tokenizer)
    rollouts = Rollouts(ON_POLICY[name], engine.post, ChatTemplate(tokenizer))

    async def once():
        try:
            return await rollouts.generate(args, sample, params, evaluation)
        finally:
            await rollouts.aclose()

    return asyncio.run(once()), engine


def check(sample, model):
    import torch

    assert len(sample.loss_mask) == len(sample.rollout_log_probs) == sample.response_length
    size = len(sample.tokens) - sample.response_length
    with torch.inference_mode():
        whole = model(torch.tensor([sample.tokens])).logits[0].double().log_softmax(-1)
    for place, (learned, logprob) in enumerate(zip(sample.loss_mask, sample.rollout_log_probs, strict=True)):
        own = whole[size + place - 1, sample.tokens[size + place]].item() if learned else 0.0
        assert logprob == pytest.approx(own, abs=1e-4)


def test_a_sample_comes_back_whole(tiny):
    sample = Sample(index=3, group_index=1, prompt="synthetic-train-0002", session_id="s")
    params = dict(PARAMS)
    made, engine = rolled(tiny, sample, params=params)
    assert made is sample
    assert params == PARAMS, "evaluations share them"
    check(sample, tiny[0])
    assert engine.headers[0] == ("http://10.0.0.1:3000/generate", {"X-SMG-Routing-Key": "s"})
    assert sample.tokens[: len(engine.requests[-1]["input_ids"])] == engine.requests[-1]["input_ids"]
    assert sample.status in (Sample.Status.COMPLETED, Sample.Status.TRUNCATED)
    facts = sample.metadata
    assert facts["num_turns"] == len(engine.requests) <= 3
    assert (facts["conversation_id"], facts["persuadee_model"]) == ("synthetic-train-0002", "offline")
    assert facts["raw_reward"] == facts["donation"] == sample.reward
    assert facts["completed"] != facts["truncated"]
    assert (sample.index, sample.group_index, sample.session_id, sample.remove_sample) == (3, 1, "s", False)


def test_the_masks_are_the_sampled_tokens(tiny):
    sample = Sample(prompt="0")
    _, engine = rolled(tiny, sample)
    ends = [*(len(one["input_ids"]) for one in engine.requests[1:]), len(sample.tokens)]
    size = len(sample.tokens) - sample.response_length
    for request, end in zip(engine.requests, ends, strict=True):
        start = len(request["input_ids"])
        assert sample.loss_mask[start - size] == 1
        assert sample.tokens[:start] == request["input_ids"]
        assert end > start


def test_the_same_sample_is_the_same_again_and_an_aborted_one_starts_anew(tiny):
    first, second = (Sample(index=5, prompt="1") for _ in range(2))
    rolled(tiny, first)
    model, tokenizer = tiny
    rolled(tiny, second, engine=Engine(model, tokenizer, abort_from=2))
    assert second.status is Sample.Status.ABORTED
    assert (second.loss_mask, second.rollout_log_probs, second.response_length) == ([0], [0.0], 1)
    assert (second.reward, second.remove_sample) == (0.0, True)
    assert "gave it up" in second.metadata["error"]
    rolled(tiny, second)
    assert (second.tokens, second.loss_mask, second.reward) == (first.tokens, first.loss_mask, first.reward)
    assert not second.remove_sample


def test_a_partial_rollout_is_refused_with_the_reason(tiny):
    args = SimpleNamespace(**{**vars(ARGS), "partial_rollout": True})
    with pytest.raises(UsageError, match="partial_rollout is set, but half a conversation cannot be continued"):
        rolled(tiny, Sample(prompt="0"), args=args)


def test_the_response_and_the_context_have_limits(tiny):
    sample = Sample(prompt="0")
    _, engine = rolled(tiny, sample, params={"max_new_tokens": 20})
    assert sample.response_length <= 20 + 12
    assert [one["sampling_params"]["max_new_tokens"] for one in engine.requests] == sorted(
        (one["sampling_params"]["max_new_tokens"] for one in engine.requests), reverse=True
    )
    assert sample.status in (Sample.Status.TRUNCATED, Sample.Status.COMPLETED)


def test_models_take_turns_in_training_and_a_row_decides_before_variables(tiny, endpoint, monkeypatch):
    url, server = endpoint()
    monkeypatch.setenv("PERSUASION_PERSUADEE_MODEL_ROTATION", "one,two")
    monkeypatch.setenv("PERSUASION_PERSUADEE_BASE_URL", url)
    names = []
    for index in range(3):
        sample = Sample(index=index, prompt="0")
        rolled(tiny, sample)
        names.append(sample.metadata["persuadee_model"])
    assert names == ["one", "two", "one"]
    sample = Sample(index=1, prompt="0")
    rolled(tiny, sample, evaluation=True)
    assert sample.metadata["persuadee_model"] == "one"
    own = Sample(index=1, prompt="0", metadata={"persuadee_model": "three"})
    rolled(tiny, own)
    assert own.metadata["persuadee_model"] == "three"
    assert {body["model"] for body in server.requests} == {"one", "two", "three"}


def test_rows_may_set_split_rounds_and_the_shape_of_the_reward(tiny, monkeypatch):
    monkeypatch.setenv("PERSUASION_TASK_SPLIT", "test")
    sample = Sample(prompt="0", metadata={"max_turns": 1, "reward": "centred"})
    rolled(tiny, sample)
    assert sample.metadata["conversation_id"].startswith("synthetic-test")
    assert sample.metadata["num_turns"] == 1
    assert sample.reward == sample.metadata["raw_reward"] - 1
    other = Sample(prompt="0", metadata={"task_split": "train"})
    rolled(tiny, other)
    assert other.metadata["conversation_id"].startswith("synthetic-train")
    with pytest.raises(UsageError, match="reward is 'euros'; give dollars or centred"):
        rolled(tiny, Sample(prompt="0", metadata={"reward": "euros"}))
    with pytest.raises(UsageError, match="there is no task 'nobody'"):
        rolled(tiny, Sample(prompt="nobody"))


@pytest.mark.parametrize("family", ["qwen3_instruct_2507", "qwen3_6", "glm4moe", "llama3_1"])
def test_a_template_that_rewrites_the_past_gives_a_sample_for_each_turn(family, tmp_path):
    from transformers import AutoModelForCausalLM

    tokenizer = a_tokenizer(family_text(family), ENDS[family])
    model = AutoModelForCausalLM.from_pretrained(a_llama(tokenizer, ENDS[family], tmp_path / "m"))
    sample = Sample(index=4, prompt="0")
    args = SimpleNamespace(**{**vars(ARGS), "rollout_max_context_len": 4000})
    made, engine = rolled((model, tokenizer), sample, args=args)
    several = made if isinstance(made, list) else [made]
    assert len(several) == (1 if family in ("qwen3_instruct_2507", "llama3_1") else len(engine.requests))
    for one in several:
        check(one, model)
        assert one.reward == several[0].reward
    assert len(several) == 1 or {one.rollout_id for one in several} == {4}


def test_a_tree_gives_its_turns_with_their_advantages(tiny, monkeypatch):
    monkeypatch.setenv("JOSH_SLIME_SETTINGS", '{"strategy": "beam", "beam_size": 4, "stop": "best"}')
    sample = Sample(index=2, group_index=6, prompt="0")
    made, engine = rolled(tiny, sample)
    assert made[0] is sample
    assert len(made) == len(engine.requests)
    assert {one.rollout_id for one in made} == {2}
    for one in made:
        check(one, tiny[0])
        assert set(one.loss_mask) == {1}
    raw, shares = post_process_rewards(ARGS, made)
    assert len(raw) == len(shares) == len(made)
    assert shares == [one.metadata["advantage"] for one in made]
    plain, _ = rolled(tiny, Sample(prompt="0"), evaluation=True)
    assert not isinstance(plain, list), "evaluations play one conversation"


def test_rewards_are_compared_within_their_group_each_rollout_once():
    def one(group, rollout, reward):
        return Sample(group_index=group, rollout_id=rollout, reward=reward, metadata={"raw_reward": reward})

    samples = [one(1, 1, 0.0), one(1, 2, 1.0), one(1, 2, 1.0), one(2, 3, 5.0), one(2, 4, 5.0)]
    raw, found = post_process_rewards(ARGS, samples)
    assert raw == [0.0, 1.0, 1.0, 5.0, 5.0]
    assert found[0] == pytest.approx(-0.5 / (0.5**0.5 + 1e-4))
    assert found[1] == found[2] == -found[0]
    assert found[3] == found[4] == 0.0


def test_another_world_can_be_rolled_out(tiny, monkeypatch):
    monkeypatch.setenv("JOSH_SLIME_SETTINGS", '{"env": "toolwoz", "user": "offline_goal", "max_convo_turns": 2}')
    sample = Sample(prompt="0")
    args = SimpleNamespace(**{**vars(ARGS), "rollout_max_context_len": None})
    made, _ = rolled(tiny, sample, args=args, name="generate")
    several = made if isinstance(made, list) else [made]
    assert all(one.status is not Sample.Status.PENDING for one in several)


def test_importing_it_imports_nothing_heavy():
    code = "import sys, josh.runs.train.slime as s; s.generate; s.generate_with_persuasion; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "transformers", "slime"} & set(found)
    with pytest.raises(AttributeError):
        slime.generate_with_nothing  # noqa: B018


def test_slimes_own_contract_holds(tmp_path, tiny_model):
    checkout = os.environ.get("JOSH_TEST_SLIME")
    if not checkout:
        pytest.skip("JOSH_TEST_SLIME names no checkout of slime")
    plugin = tmp_path / "contract_generate.py"
    plugin.write_text(
        "import transformers, ray_stub  # noqa\n"
        "from transformers import AutoTokenizer\n"
        "from josh.models.chat_template import ChatTemplate\n"
        "from josh.runs.registry import ON_POLICY\n"
        "from josh.runs.train.slime import Rollouts\n"
        f"tokenizer = AutoTokenizer.from_pretrained({str(tiny_model)!r})\n"
        "async def post(url, payload, headers=None):\n"
        "    ids = tokenizer('Will you give?', add_special_tokens=False)['input_ids'] + [tokenizer.eos_token_id]\n"
        "    pairs = [[-1.0, one, None] for one in ids]\n"
        "    return {'text': '', 'meta_info': {'finish_reason': {'type': 'stop'}, 'output_token_logprobs': pairs}}\n"
        "rollouts = Rollouts(ON_POLICY['generate'], post, ChatTemplate(tokenizer))\n"
        "async def generate(args, sample, sampling_params, evaluation=False):\n"
        "    sample.prompt = '0'\n"
        "    return await rollouts.generate(args, sample, {**sampling_params, 'max_new_tokens': 100}, evaluation)\n",
        encoding="utf-8",
    )
    (tmp_path / "ray_stub.py").write_text("", encoding="utf-8")
    test = Path(checkout) / "tests" / "plugin_contracts" / "test_plugin_generate_contracts.py"
    run = (
        "import runpy, sys, transformers; sys.argv = ["
        f"{str(test)!r}, '--custom-generate-function-path', 'contract_generate.generate']; "
        f"runpy.run_path({str(test)!r}, run_name='__main__')"
    )
    paths = os.pathsep.join([str(tmp_path), checkout, str(test.parent), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", run]
    own = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(command, capture_output=True, text=True, env=own, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "4 passed" in done.stdout


def test_a_sample_can_be_copied_while_it_is_empty():
    assert copy.deepcopy(Sample(prompt="0")) == Sample(prompt="0")
