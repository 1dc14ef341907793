"""Local transformers models: what they reply, alone and in company, and what is said when they cannot."""

import asyncio
import gc
import json
import math
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from josh.cli import main
from josh.errors import UsageError
from josh.models.chat import ModelError, Request
from josh.models.decoding import AbandonedError, Asked, generate
from josh.models.hf import HFChat
from josh.models.hf_loading import split
from josh.runs.record.folder import EPISODES, EXAMPLES

HELLO = [{"role": "user", "content": "hello there"}]
LONGER = [
    {"role": "user", "content": "hello there, how are you doing today?"},
    {"role": "assistant", "content": "Fine. Have you ever heard of Save the Children?"},
    {"role": "user", "content": "No, what do they do?"},
]


@pytest.fixture(scope="module")
def chat(tiny_model):
    return HFChat(f"hf:{tiny_model}", threads=1)


def ask(chat, *requests):
    async def asking():
        kept = (replace(request, keep_samples=True) for request in requests)
        return await asyncio.gather(*(chat.complete(request) for request in kept), return_exceptions=True)

    return asyncio.run(asking())


def some_requests(count=12):
    return [
        Request(
            (HELLO, LONGER, LONGER[:1])[number % 3],
            temperature=(1.0, 0.7, 0.0, 1.5)[number % 4],
            seed=100 + number,
            n=1 + number % 3,
            options={"max_tokens": 4 + 5 * (number % 4), "top_p": 0.8 if number % 5 == 4 else 1.0},
        )
        for number in range(count)
    ]


def in_tokens(batch, model, **given):
    batch = [replace(asked, logprobs=True) for asked in batch]
    return generate(model, batch, given.pop("ends", frozenset([1])), 0, decode=str, **given)


# What it replies


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
    several, single = ask(chat, Request(HELLO, 1.0, 7, 4), Request(HELLO, 1.0, 7))
    assert len({reply.token_ids for reply in several.replies}) == 4
    assert several.replies[0].token_ids == single.replies[0].token_ids


def test_the_likeliest_tokens_are_those_of_transformers(chat, tiny_model):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    text = tokenizer.apply_chat_template(LONGER, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")
    expected = model.generate(**ids, do_sample=False)[0, ids["input_ids"].shape[1] :].tolist()
    short, long = ask(chat, Request(HELLO, 0.0, 1), Request(LONGER, 0.0, 1))
    assert list(long.replies[0].token_ids) == expected
    assert long.usage.prompt_tokens == ids["input_ids"].shape[1] > short.usage.prompt_tokens
    logits = model(**ids).logits[0, -1].log_softmax(-1)
    assert long.replies[0].logprobs[0] == pytest.approx(logits.max().item(), abs=1e-4)


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
        batch = [Asked(talk, seed=10 * turn + number, n=2, limit=6 + number) for number, talk in enumerate(talks)]
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
    batch = [Asked((3,), seed=seed, **how) for seed in range(1, 101)]
    drawn = Counter()
    for replies in in_tokens(batch, model, ends=frozenset()):
        for reply in replies:
            drawn += Counter(reply.token_ids)
            whole = [odds ** (1 / (temperature or 1)) for odds in model.odds]
            expected = math.log(whole[reply.token_ids[0]] / sum(whole))
            assert reply.logprobs[0] == pytest.approx(expected, abs=1e-5), "before anything was cut off"
    shares = [drawn[token] / 4000 for token in range(4)]
    assert shares == pytest.approx(odds, abs=0.03)


def test_a_reply_ends_at_an_end_token_at_its_limit_or_at_a_stop_text(chat):
    model = Fixed([0.2] * 5)
    batch = [
        Asked((1, 2), seed=1, limit=500),
        Asked((1,), seed=2, limit=3),
        Asked((1, 2, 3), seed=3, limit=500, stop=("4",)),
    ]
    ended, cut, stopped = (replies[0] for replies in in_tokens(batch, model, ends=frozenset([0])))
    assert (ended.finish_reason, ended.token_ids[-1], ended.token_ids.count(0)) == ("stop", 0, 1)
    assert (cut.finish_reason, len(cut.token_ids)) == ("length", 3)
    assert stopped.finish_reason == "stop"
    assert stopped.token_ids[-1] in (0, 4)


def test_a_stop_text_is_no_part_of_the_reply(chat):
    whole = ask(chat, Request(HELLO, 1.0, 5))[0].replies[0].text
    stop = whole[4:7]
    assert stop in whole
    cut = ask(chat, Request(HELLO, 1.0, 5, options={"stop": stop}))[0].replies[0]
    assert cut.text == whole.partition(stop)[0]
    assert cut.finish_reason == "stop"


def test_nothing_goes_on_when_nobody_waits(chat):
    with pytest.raises(AbandonedError):
        in_tokens([Asked((1,), seed=1, limit=500)], Fixed([0.5, 0.5]), ends=frozenset(), abandoned=lambda: True)


def test_a_request_that_is_given_up_is_not_answered(chat):
    async def asking():
        lost = asyncio.ensure_future(chat.complete(Request(HELLO, 1.0, 1)))
        kept = asyncio.ensure_future(chat.complete(Request(HELLO, 1.0, 2, keep_samples=True)))
        await asyncio.sleep(0)
        lost.cancel()
        return await asyncio.gather(lost, kept, return_exceptions=True)

    lost, kept = asyncio.run(asking())
    assert isinstance(lost, asyncio.CancelledError)
    assert kept.replies[0].token_ids == ask(chat, Request(HELLO, 1.0, 2))[0].replies[0].token_ids


# What is wrong


def test_a_conversation_that_is_too_long_costs_only_its_own_turn(chat):
    long = [{"role": "user", "content": "no " * 2000}]
    error, answer = ask(chat, Request(long, 1.0, 1), Request(HELLO, 1.0, 1))
    assert isinstance(error, ModelError)
    assert "tokens, its context 1024" in str(error)
    assert answer.replies


def test_what_its_template_refuses_is_told(tiny_model, tmp_path):
    strict = without(tiny_model, tmp_path)
    template = strict / "chat_template.jinja"
    refusal = "{% if messages[0]['role'] == 'assistant' %}{{ raise_exception('users go first') }}{% endif %}"
    template.write_text(refusal + template.read_text())
    error, answer = ask(HFChat(f"hf:{strict}"), Request(LONGER[1:], 1.0, 1), Request(HELLO, 1.0, 1))
    assert isinstance(error, ModelError)
    assert "its chat template refuses the conversation" in str(error)
    assert "users go first" in str(error)
    assert answer.replies


def test_options_that_it_does_not_know_are_named(chat):
    (error,) = ask(chat, Request(HELLO, 1.0, 1, options={"tools": [{"type": "function"}]}))
    assert isinstance(error, UsageError)
    assert "knows no option 'tools'; give an agent that writes its calls as text (--agent react)" in str(error)


def without(folder, tmp_path, *files):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for file in files:
        (copy / file).unlink()
    return copy


def refused(name, capsys, tmp_path, *flags):
    assert main(["--model", name, "--log_dir", str(tmp_path / "records"), *flags]) == 2
    assert not (tmp_path / "records").exists()
    told = capsys.readouterr().err.strip()
    assert "\n" not in told
    return told


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["config.json"], "has no config.json"),
        (["tokenizer.json", "tokenizer_config.json"], "has no tokenizer; save it beside the model"),
        (["chat_template.jinja"], "has no chat template"),
        (["model.safetensors"], "cannot be loaded"),
    ],
)
def test_a_folder_that_lacks_something_is_refused_with_a_line(tiny_model, tmp_path, capsys, files, words):
    assert words in refused(f"hf:{without(tiny_model, tmp_path, *files)}", capsys, tmp_path)


def test_a_folder_that_is_not_there_is_named(tiny_model, tmp_path, capsys):
    assert "there is no folder /no/such" in refused("hf:/no/such", capsys, tmp_path)
    assert "is no name" in refused("hf:", capsys, tmp_path)
    assert "dtype is 'int8'; give auto," in refused(f"hf:{tiny_model}", capsys, tmp_path, "--dtype", "int8")


def test_an_address_for_a_local_model_is_a_mistake(tiny_model, tmp_path, capsys):
    told = refused(f"hf:{tiny_model}", capsys, tmp_path, "--base_url", "http://localhost:1/v1")
    assert "runs here, and an address is given" in told


def test_four_bits_need_a_gpu(tiny_model, tmp_path, capsys):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    assert "there is no CUDA here" in refused(f"hf:{tiny_model}", capsys, tmp_path, "--load_in_4bit")


def test_without_torch_the_way_to_get_it_is_told(tmp_path):
    code = "import sys; sys.modules['torch'] = None; from josh.cli import main; sys.exit(main(['--model', 'hf:x/y']))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "josh: model 'hf:x/y' needs torch: pip install 'josh-dialogue[train]'\n"


# Adapters


@pytest.fixture(scope="module")
def adapter(tiny_model, tmp_path_factory):
    return an_adapter(tiny_model, tmp_path_factory.mktemp("adapters") / "louder")


def an_adapter(base, folder):
    peft = pytest.importorskip("peft", reason="peft is not installed: pip install 'josh-dialogue[train]'")
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "o_proj", "up_proj"], task_type="CAUSAL_LM")
    model = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    for name, weights in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights, std=1.0)
    model.save_pretrained(folder)
    return folder


def test_a_name_is_a_base_and_perhaps_an_adapter(tmp_path):
    (tmp_path / "c++").mkdir()
    assert split("hf:org/name") == ("org/name", None)
    assert split("hf:org/name+my/adapter") == ("org/name", "my/adapter")
    assert split(f"hf:{tmp_path}/c++") == (f"{tmp_path}/c++", None)


def test_an_adapter_changes_what_is_said(chat, tiny_model, adapter):
    tuned = HFChat(f"hf:{tiny_model}+{adapter}", threads=1)
    assert tuned.name == f"hf:{tiny_model}+{adapter}"
    request = Request(HELLO, 1.0, 1)
    assert ask(tuned, request)[0].replies[0].token_ids != ask(chat, request)[0].replies[0].token_ids


def test_an_adapter_that_does_not_fit_is_refused(tiny_model, adapter, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(adapter, other)
    config = json.loads((other / "adapter_config.json").read_text())
    config["target_modules"] = ["q_proj"]
    (other / "adapter_config.json").write_text(json.dumps(config))
    assert "the adapter does not fit" in refused(f"hf:{tiny_model}+{other}", capsys, tmp_path)
    config["r"] = 3
    (other / "adapter_config.json").write_text(json.dumps(config))
    assert "the adapter does not fit" in refused(f"hf:{tiny_model}+{other}", capsys, tmp_path)
    assert "it holds an adapter: give hf:BASE+" in refused(f"hf:{adapter}", capsys, tmp_path)
    assert "there is no folder /no/adapter" in refused(f"hf:{tiny_model}+/no/adapter", capsys, tmp_path)
    assert "has no adapter_config.json" in refused(f"hf:{tiny_model}+{tiny_model}", capsys, tmp_path)


# In a run


def search(tiny_model, tmp_path, *flags):
    arguments = ["--josh", "--beam_size", "4", "--max_convo_turns", "3", "--synthetic_tasks", "3"]
    arguments += ["--model", f"hf:{tiny_model}", "--torch_threads", "1", "--log_dir", str(tmp_path)]
    assert main([*arguments, *flags]) == 0
    return max(tmp_path.iterdir(), key=lambda folder: folder.stat().st_mtime_ns)


def written(folder):
    return [(folder / file).read_bytes() for file in (EPISODES, EXAMPLES)]


def test_a_search_comes_out_the_same_in_any_company_and_from_its_journal(tiny_model, tmp_path, capsys):
    whole = search(tiny_model, tmp_path / "a")
    alone = search(tiny_model, tmp_path / "b", "--max_concurrency", "1", "--batch_size", "2")
    assert written(whole) == written(alone)
    assert main(["replay", str(whole)]) == 0
    assert "the same as" in capsys.readouterr().out
    summary = json.loads((whole / "summary.json").read_text())
    assert summary["cost"] == 0
    config = json.loads((whole / "config.json").read_text())
    assert config["plays"]["models"] == [f"hf:{tiny_model}", "offline"]
    assert config["versions"]["torch"] != "not installed"


def test_a_broken_off_search_goes_on(tiny_model, tmp_path, capsys):
    whole = search(tiny_model, tmp_path / "a")
    broken = search(tiny_model, tmp_path / "b", "--max_calls", "7")
    assert written(broken) != written(whole)
    assert main(["--resume", str(broken), "--max_calls", "9999"]) == 0
    assert written(broken) == written(whole)
    assert main(["--resume", str(broken), "--dtype", "bfloat16"]) == 2


def test_both_sides_can_be_one_local_model(tiny_model, tmp_path):
    folder = search(tiny_model, tmp_path, "--user_model", f"hf:{tiny_model}")
    config = json.loads((folder / "config.json").read_text())
    assert config["plays"]["models"] == [f"hf:{tiny_model}"]
    assert Path(folder).name.startswith("persuasion-hf-")


WATCHES = '''
import gc
from pathlib import Path

from transformers import GenerationMixin

from josh.users.persuasion.donor import Donor


class Watches(Donor):
    """Notes how many models there are whenever somebody is cast."""

    def start(self, task, env, options):
        super().start(task, env, options)
        there = sum(issubclass(type(each), GenerationMixin) for each in gc.get_objects())
        with Path("there.txt").open("a") as file:
            file.write(f"{there}\\n")
'''


def test_an_evaluation_has_one_model_at_a_time_in_memory(tiny_model, tmp_path, monkeypatch):
    from transformers import GenerationMixin

    monkeypatch.chdir(tmp_path)
    Path("watches.py").write_text(WATCHES)
    shutil.copytree(tiny_model, "other")
    gc.collect()
    before = sum(issubclass(type(each), GenerationMixin) for each in gc.get_objects())
    cast = ["--model", f"hf:{tiny_model}", "--baseline", "hf:other", "--user", "./watches.py:Watches"]
    few = ["--synthetic_tasks", "2", "--max_convo_turns", "2", "--no_references", "--torch_threads", "1"]
    assert main(["evaluate", *cast, *few]) == 0
    there = [int(line) - before for line in Path("there.txt").read_text().split()]
    assert set(there[:4]) == {0}, "nothing is loaded to see whether the tasks are held out"
    assert set(there[4:]) == {1}
    gc.collect()
    assert sum(issubclass(type(each), GenerationMixin) for each in gc.get_objects()) == before


def test_an_evaluation_is_held_out_from_what_its_adapter_was_trained_on(
    tiny_model, adapter, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    few = ["--synthetic_tasks", "2", "--max_convo_turns", "2"]
    assert main(["--josh", *few, "--log_dir", "trained"]) == 0
    (run,) = Path("trained").iterdir()
    manifest = {"runs": [{"run": run.name, "folder": str(run.resolve())}]}
    tuned = Path(shutil.copytree(adapter, "tuned"))
    (tuned / "josh_adapter.json").write_text(json.dumps({"data": {"file": "sft.jsonl", "manifest": manifest}}))
    evaluate = ["evaluate", *few, "--no_references", "--torch_threads", "1"]
    both = ["--model", f"hf:{tiny_model}+{tuned}"], ["--model", "offline", "--baseline", f"hf:{tiny_model}+{tuned}"]
    capsys.readouterr()
    for side in both:
        assert main([*evaluate, *side, "--task_split", "train"]) == 2
        told = capsys.readouterr().err
        assert told.startswith("josh: not held out: the training data has 2 tasks")
        assert told.count("\n") == 1
    assert main([*evaluate, *both[0]]) == 0
    told = capsys.readouterr()
    assert "held out: nothing of the 2 tasks and 4 people of tuned\n" in told.out
    assert "user: donor (trained against)" in told.out
    assert told.err == ""
    run.rename("gone")
    assert main([*evaluate, *both[0]]) == 0
    told = capsys.readouterr()
    assert "\nnot held out from all that tuned was trained on; name its runs with --trained_on\n" in told.out
    assert told.err.startswith(
        "josh: not held out from all that tuned was trained on: tuned/josh_adapter.json: runs[0]"
    )
    assert told.err.count("\n") == 1


def test_an_evaluation_misses_a_model_before_it_loads_another(tiny_model, tmp_path, capsys):
    cast = ["--model", "hf:/no/such", "--baseline", f"hf:{tiny_model}", "--log_dir", str(tmp_path / "records")]
    assert main(["evaluate", *cast]) == 2
    assert "there is no folder /no/such" in capsys.readouterr().err
    assert not (tmp_path / "records").exists()


def test_a_closed_model_says_so(tiny_model):
    closed = HFChat(f"hf:{tiny_model}", threads=1)
    asyncio.run(closed.aclose())
    (error,) = ask(closed, Request(HELLO, 1.0, 1))
    assert isinstance(error, ModelError)
    assert str(error) == f"hf:{tiny_model} is closed"
