"""Training on exported rows: the checks before the first step, the adapters, the monitor, and going on."""

import _thread
import json
import os
import re
import shlex
import subprocess
import sys
import threading
import time
import warnings
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import pytest

from josh.cli import main
from josh.errors import UsageError
from josh.parser import make_parser, parse
from josh.runs.train.data import Row, Template, fitting_template, prepare, read_rows
from josh.runs.train.monitor import Look, fallen, spread
from josh.runs.train.settings import PRESETS, resolve_training
from josh.runs.train.train import _training_variant, fingerprint

ROOT = Path(__file__).resolve().parent.parent
# PEFT's own affair, whenever a model is wrapped outside `josh train`.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
needs_trl = pytest.mark.skipif(find_spec("trl") is None, reason="the packages of josh-dialogue[train] are not there")

MARKED = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}<|assistant|>{% generation %}{{ m['content'] }}<|end|>"
    "{% endgeneration %}{% else %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
PLAIN = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
ASK = "Would you give a dollar to the children?"
THANKS, MORE = "No, thank you.", "Maybe, tell me more about them."
LINES = [ASK, THANKS, MORE, "They need food and school."]


def says(role, content):
    return {"role": role, "content": content}


SFT = {"messages": [says("system", "Be kind."), says("user", ASK), says("assistant", MORE)]}
DPO = {"prompt": [says("user", ASK)], "chosen": [says("assistant", THANKS)], "rejected": [says("assistant", MORE)]}
WON = {"prompt": [says("user", ASK)], "completion": [says("assistant", THANKS)], "label": True}
LOST = {"prompt": [says("user", ASK)], "completion": [says("assistant", MORE)], "label": False}
ROWS = {"sft": [SFT] * 16, "dpo": [DPO] * 16, "kto": [WON, LOST] * 8}


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A folder with a Llama of 15 thousand parameters that says one of two replies, each as often."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the libraries say of themselves while they are imported
        import torch
        import trl  # noqa: F401
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
        from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.set_num_threads(1)
    torch.manual_seed(0)
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    special = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        LINES * 4,
        trainers.BpeTrainer(vocab_size=340, special_tokens=special, initial_alphabet=alphabet, show_progress=False),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|end|>", pad_token="<|pad|>")
    tokenizer.chat_template = MARKED
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=256,
            tie_word_embeddings=True,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
        )
    )
    texts = [f"<|user|>{ASK}<|end|><|assistant|>{reply}<|end|>" for reply in (THANKS, MORE)]
    batch = tokenizer(texts, padding=True, padding_side="right", return_tensors="pt", add_special_tokens=False)
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(120):
        model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    folder = tmp_path_factory.mktemp("models") / "tiny"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def tune(tiny, tmp_path, capsys):
    """Run `josh train`: exit code, what stderr said, and the folders in --out afterwards."""

    def run(method, *flags, rows=None, out="out", preset="tiny"):
        data = write(tmp_path / f"{method}.jsonl", rows or ROWS[method])
        given = ["--data", str(data), "--model", str(tiny), "--out", str(tmp_path / out), "--torch_threads", "1"]
        code = main(["train", method, *given, "--preset", preset, *map(str, flags)])
        made = sorted((tmp_path / out).iterdir()) if (tmp_path / out).exists() else []
        return code, capsys.readouterr(), made

    return run


def card(folder):
    return json.loads((folder / "josh_adapter.json").read_text(encoding="utf-8"))


def likelihood(folder, adapter, reply):
    """Mean log-likelihood of a reply's tokens, under a model with or without an adapter."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    model = PeftModel.from_pretrained(model, adapter) if adapter else model
    prompt = tokenizer(f"<|user|>{ASK}<|end|><|assistant|>", add_special_tokens=False)["input_ids"]
    ids = prompt + tokenizer(f"{reply}<|end|>", add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        scores = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    return sum(float(scores[place - 1, ids[place]]) for place in range(len(prompt), len(ids))) / (
        len(ids) - len(prompt)
    )


# Adapters


@needs_trl
@pytest.mark.parametrize(
    ("method", "wanted", "unwanted"), [("sft", MORE, None), ("dpo", THANKS, MORE), ("kto", THANKS, MORE)]
)
def test_a_model_learns_what_the_rows_want(tune, tiny, method, wanted, unwanted):
    code, said, (adapter,) = tune(method, "--learning_rate", 5e-3, *(("--epochs", 8) if method == "sft" else ()))
    assert code == 0, said.err
    assert said.err == "", "quiet without a terminal"
    assert said.out.splitlines()[-1].split()[1] == str(adapter)
    assert likelihood(tiny, adapter, wanted) > likelihood(tiny, None, wanted)
    if unwanted:
        assert likelihood(tiny, adapter, unwanted) < likelihood(tiny, None, unwanted)


@needs_trl
def test_the_adapter_says_what_it_was_made_of(tune, tiny, tmp_path):
    long = {**DPO, "prompt": [says("user", ASK * 9)]}
    rows = [*ROWS["dpo"], long]
    digest = sha256(write(tmp_path / "dpo.jsonl", rows).read_bytes()).hexdigest()
    write(tmp_path / "dpo.jsonl.manifest.json", [{"sha256": digest}])
    code, said, (adapter,) = tune("dpo", "--max_length", 60, rows=rows)
    assert code == 0, said.err
    assert "1 of 17 rows are longer than 60 tokens" in said.err
    told = card(adapter)
    assert adapter.name == told["name"] == f"josh-dpo-{told['name'][-8:]}"
    assert told["base"]["name"] == str(tiny)
    assert len(told["base"]["sha256"]) == len(told["data"]["sha256"]) == 64
    assert told["data"]["manifest"] == {"sha256": digest}
    assert told["rows"]["used"] == 16
    assert told["rows"]["dropped"] == {"too_long": 1}
    assert told["settings"]["beta"] == 0.3
    assert told["settings"]["preset"] == "tiny"
    assert told["versions"]["trl"]
    assert told["losses"]["last"] < told["losses"]["first"]
    assert told["losses"]["rewards/accuracies"] > 0.5
    assert [look["step"] for look in told["monitor"]] == [0, 4]
    assert {path.name for path in adapter.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "chat_template.jinja",
        "josh_adapter.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    config = json.loads((adapter / "adapter_config.json").read_text())
    assert set(config["target_modules"]) == {
        *("q_proj", "k_proj", "v_proj", "o_proj"),
        *("gate_proj", "up_proj", "down_proj"),
    }


@needs_trl
def test_a_manifest_of_other_rows_is_left_out_and_one_that_is_none_is_refused(tune, tmp_path):
    manifest = tmp_path / "sft.jsonl.manifest.json"
    write(manifest, [{"sha256": "0" * 64, "runs": []}])
    code, said, (adapter,) = tune("sft", "--epochs", 1)
    assert code == 0
    assert "sft.jsonl.manifest.json is not of this sft.jsonl" in said.err
    assert card(adapter)["data"]["manifest"] is None
    for garbage in ("{", "[]", "[" * 100_000):
        manifest.write_text(garbage)
        code, said, made = tune("sft", out="none")
        assert (code, made) == (2, [])
        (line,) = said.err.splitlines()
        assert f"{manifest} is no manifest that can be read" in line


@needs_trl
def test_what_a_tracker_writes_to_files_stays_with_the_adapter(tune):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: pip install 'josh-dialogue[dev]'")
    code, said, (adapter,) = tune("sft", "--report_to", "tensorboard")
    assert code == 0, said.err
    assert list((adapter / "tensorboard").rglob("events.out.*"))
    assert not (adapter / "checkpoints").exists()


@needs_trl
def test_the_same_training_has_the_same_name_and_the_same_bytes(tune):
    _, _, (one,) = tune("sft", out="one")
    _, _, (other,) = tune("sft", out="other")
    assert one.name == other.name
    weights = "adapter_model.safetensors"
    assert (one / weights).read_bytes() == (other / weights).read_bytes()
    code, said, made = tune("sft", out="one")
    assert code == 2
    assert made == [one]
    assert "is there already" in said.err
    _, _, made = tune("sft", "--seed", 7, out="one")
    assert len(made) == 2, "another seed is another adapter"


@pytest.mark.parametrize(
    "name",
    [
        *("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json"),
        *("generation_config.json", "adapter_config.json", "model.safetensors"),
    ],
)
def test_whatever_makes_another_model_makes_another_fingerprint(tmp_path, name):
    (tmp_path / name).write_text("one")
    one = fingerprint(tmp_path)
    assert one == fingerprint(tmp_path)
    (tmp_path / name).write_text("two")
    assert fingerprint(tmp_path) != one


@needs_trl
def test_an_adapter_can_be_trained_on_and_merged(tune, tiny, tmp_path):
    code, said, (first,) = tune("sft", "--name", "first", out="a")
    assert (code, first.name) == (0, "first"), said.err
    code, said, (whole,) = tune("dpo", "--base_adapter", first, "--merge", "--learning_rate", 5e-3, out="b")
    assert code == 0, said.err
    assert card(whole)["base_adapter"]["name"] == str(first)
    assert (whole / "config.json").exists()
    assert not (whole / "adapter_config.json").exists()
    assert likelihood(whole, None, THANKS) > likelihood(tiny, first, THANKS)
    code, said, _ = tune("sft", "--base_adapter", first, "--lora_rank", 4)
    assert code == 2
    assert "lora_rank is given with base_adapter" in said.err


@pytest.fixture
def broken_off(tune, tmp_path):
    """Break a supervised training off once its `.part` folder has a checkpoint."""

    def whole(state):
        try:
            return bool(json.loads(state.read_text()))
        except ValueError:
            return False

    def run(part, *flags):
        def interrupt():
            while not any(map(whole, sorted((part / "checkpoints").glob("checkpoint-*/trainer_state.json")))):
                time.sleep(0.005)
            time.sleep(0.05)  # transformers lists its checkpoints right after that, and leaves an open iterator behind
            _thread.interrupt_main()

        waiting = threading.Thread(target=interrupt, daemon=True)
        waiting.start()
        code, said, made = tune("sft", *flags, out=part.parent.name)
        waiting.join()
        assert code == 130
        assert "go on from it with --resume" in said.err
        assert made == [part], "nothing looks finished"

    return run


@needs_trl
@pytest.mark.filterwarnings("ignore:.*ScandirIterator:pytest.PytestUnraisableExceptionWarning")
def test_a_training_that_was_broken_off_goes_on_and_comes_out_the_same(tune, broken_off, tmp_path):
    flags = "--epochs", 12, "--save_steps", 6
    _, _, (whole,) = tune("sft", *flags, out="whole")
    broken_off(tmp_path / "broken" / f"{whole.name}.part", *flags)
    code, said, _ = tune("sft", *flags, out="broken")
    assert code == 2
    assert "--resume" in said.err
    code, said, (again,) = tune("sft", *flags, "--resume", out="broken")
    assert code == 0, said.err
    assert said.err == ""
    assert {path.name for path in again.iterdir()} == {path.name for path in whole.iterdir()}
    assert again.name == whole.name
    weights = "adapter_model.safetensors"
    assert (again / weights).read_bytes() == (whole / weights).read_bytes()


@needs_trl
@pytest.mark.filterwarnings("ignore:.*ScandirIterator:pytest.PytestUnraisableExceptionWarning")
def test_a_checkpoint_that_was_being_written_is_passed_over(tune, broken_off, tmp_path):
    part = tmp_path / "out" / "mine.part"
    flags = "--name", "mine", "--epochs", 24, "--save_steps", 6
    broken_off(part, *flags)
    for number, torn in enumerate(("", '{"epoch": 3.0, "log_')):
        later = part / "checkpoints" / f"checkpoint-{1000 + number}"
        later.mkdir()
        (later / "trainer_state.json").write_text(torn)
    code, said, (adapter,) = tune("sft", *flags, "--resume")
    assert code == 0, said.err
    assert card(adapter)["losses"]["steps"] == 48


@needs_trl
@pytest.mark.filterwarnings("ignore:.*ScandirIterator:pytest.PytestUnraisableExceptionWarning")
def test_a_training_goes_on_with_the_same_data_and_settings_alone(tune, broken_off, tmp_path):
    part = tmp_path / "out" / "mine.part"
    flags = "--name", "mine", "--epochs", 200, "--save_steps", 6
    broken_off(part, *flags)
    for other in ({"rows": [SFT] * 17}, {"flags": ("--learning_rate", 1e-3)}):
        code, said, made = tune("sft", *flags, *other.get("flags", ()), "--resume", rows=other.get("rows"))
        assert (code, made) == (2, [part])
        (line,) = said.err.splitlines()
        assert f"{part} is of other data, another model or other settings" in line


@needs_trl
def test_where_there_is_nothing_to_go_on_from_a_training_begins_anew_and_says_so(tune, tmp_path):
    code, said, (adapter,) = tune("sft", "--resume", "--name", "mine", "--epochs", 8)
    assert code == 0
    (line,) = said.err.splitlines()
    assert "mine.part has no checkpoint to go on from; the training begins anew" in line
    assert card(adapter)["losses"]["steps"] == 16


@needs_trl
def test_two_processes_make_one_adapter(tiny, tmp_path):
    data = write(tmp_path / "dpo.jsonl", ROWS["dpo"])
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "josh"]
    flags = ["--data", data, "--model", tiny, "--out", tmp_path / "out", "--preset", "tiny", "--batch_size", "4"]
    done = subprocess.run(
        [*launch, "train", "dpo", *map(str, flags)],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    (adapter,) = (tmp_path / "out").iterdir()
    told = card(adapter)
    assert told["devices"] == 2
    assert told["losses"]["steps"] == 4
    assert [look["step"] for look in told["monitor"]] == [0, 4]
    assert [line.split()[-1] for line in done.stdout.splitlines() if line.startswith("adapter")] == [str(adapter)]
    assert likelihood(tiny, adapter, THANKS) > likelihood(tiny, None, THANKS)


@needs_trl
def test_settings_come_from_a_file_and_flags_win(tune, tmp_path):
    (tmp_path / "mine.toml").write_text("epochs = 1\nlora-rank = 4\nlearning_rate = 0.1\n")
    code, said, (adapter,) = tune("sft", "--config", tmp_path / "mine.toml", "--learning_rate", 1e-3)
    assert code == 0, said.err
    told = card(adapter)
    assert told["losses"]["steps"] == 2
    assert [told["settings"][name] for name in ("lora_rank", "learning_rate")] == [4, 1e-3]


# The monitor


@needs_trl
@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_a_collapse_ends_the_training_and_leaves_nothing(tune, method):
    code, said, made = tune(method, "--learning_rate", 1, "--epochs", 20, "--monitor_every", 5)
    assert code == 1
    assert made == []
    assert len(said.err.splitlines()) == 1
    assert "fell apart by step" in said.err
    assert "no adapter was written" in said.err


@needs_trl
@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_a_low_learning_rate_does_not_set_the_monitor_off(tune, method):
    code, said, (adapter,) = tune(method, "--learning_rate", 1e-3, "--epochs", 10, "--monitor_every", 5)
    assert code == 0, said.err
    looks = card(adapter)["monitor"]
    assert len(looks) >= 4
    assert all(abs(look["likelihood"] - looks[0]["likelihood"]) < 1 for look in looks)


@needs_trl
@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_an_adapter_that_speaks_unlike_the_base_is_measured_against_itself(tune, method):
    odd = {"messages": [says("user", ASK), says("assistant", LINES[3])]}
    _, _, (adapter,) = tune("sft", "--learning_rate", 1e-2, "--epochs", 40, rows=[odd] * 16, out="odd")
    code, said, (tuned,) = tune(method, "--base_adapter", adapter, "--learning_rate", 1e-12, "--monitor_every", 2)
    assert code == 0, said.err
    looks = card(tuned)["monitor"]
    assert all(abs(look["likelihood"] - looks[0]["likelihood"]) < 0.1 for look in looks)


def test_gibberish_loops_and_nans_are_a_collapse_and_a_new_taste_is_none():
    base = Look(-1.0, 0.9, "")
    assert fallen(base, Look(-1.8, 0.8, ""), 2.0) is None
    assert "2.5 nats" in fallen(base, Look(-3.5, 0.9, ""), 2.0)
    assert "repeat" in fallen(base, Look(-0.1, 0.3, ""), 2.0)
    assert fallen(base, Look(float("nan"), 0.9, ""), 2.0)


def test_short_and_long_prompts_are_sampled_alike():
    prompts = [[0] * length for length in range(100, 0, -1)]
    assert list(map(len, spread(prompts, 4))) == [13, 38, 63, 88]
    assert list(map(len, spread(prompts[:3], 8))) == [98, 99, 100]


# Checks before the first step


@pytest.mark.parametrize(
    ("method", "rows", "sentence"),
    [
        ("sft", ["not json"], "line 1: it is not a JSON object"),
        ("sft", [SFT, DPO], "line 2: no 'messages', which sft rows have; it is a row for `josh train dpo`"),
        ("sft", [{"messages": [says("user", "hello")]}], "line 1: messages have no assistant turn"),
        ("sft", [{"messages": [{"role": "robot", "content": ""}]}], "line 1: messages is no list of messages"),
        ("sft", [SFT, "[" * 100_000], "line 2: it is not a JSON object"),
        ("sft", [{"messages": [{"role": [], "content": ""}]}], "line 1: messages is no list of messages"),
        ("sft", [{"messages": [{**SFT["messages"][2], "tool_calls": "zz"}]}], "line 1: messages is no list"),
        ("sft", [{"messages": [{**SFT["messages"][2], "tool_calls": [{"id": "1"}]}]}], "line 1: messages is no list"),
        ("sft", [{"messages": [says("assistant", "\ud800")]}], "line 1: it has half of a surrogate pair"),
        ("sft", [{**SFT, "tools": "not json"}], "line 1: tools is no list of schemas"),
        ("kto", [{**WON, "tools": [5]}], "line 1: tools is no list of schemas"),
        ("dpo", [{**DPO, "rejected": DPO["chosen"]}], "line 1: chosen and rejected say the same"),
        ("dpo", [{**DPO, "chosen": DPO["prompt"]}], "line 1: chosen is not one assistant message"),
        ("dpo", [{**DPO, "prompt": DPO["chosen"]}], "line 1: prompt ends with the assistant's own words"),
        ("kto", [WON, {**LOST, "label": "no"}], "line 2: label is 'no'; give true or false"),
        ("kto", [WON, WON], "has only winning turns"),
        ("kto", [], "has no rows"),
    ],
)
def test_rows_that_do_not_fit_are_named(method, rows, sentence, tmp_path):
    data = tmp_path / "rows.jsonl"
    data.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    with pytest.raises(UsageError) as error:
        read_rows(data, method)
    assert sentence in str(error.value)


@needs_trl
@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--data", "nowhere.jsonl"), "cannot read nowhere.jsonl: No such file"),
        (("--model", "/nowhere/model"), "there is no folder /nowhere/model"),
        (("--max_length", "5"), "longer than max_length, 5 tokens"),
        (("--load_in_4bit",), "this machine has no CUDA device"),
        (("--base_adapter", "nowhere"), "holds no adapter"),
        (("--preset", "josh-kto"), "preset 'josh-kto' has no values for sft; give one of josh-sft,"),
        (("--preset", "best"), "no preset named 'best'"),
        (("--epochs", "0"), "epochs is 0.0; give a number above 0"),
        (("--name", "../up"), "give a folder's name"),
    ],
)
def test_what_cannot_be_is_said_in_a_line_and_nothing_is_left(tune, flags, sentence):
    code, said, made = tune("sft", *flags)
    assert code == 2
    assert made == []
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert sentence in said.err


def test_kto_needs_two_rows_in_a_batch():
    with pytest.raises(UsageError, match="batch_size is 1; KTO compares"):
        resolve_training("kto", {"data": "d", "model": "m", "out": "o", "batch_size": 1})


# Chat templates


@pytest.fixture
def template(tiny):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny)

    def make(text, stop="<|end|>"):
        return Template(tokenizer, "tiny", [tokenizer.convert_tokens_to_ids(stop)], text)

    return make


TALK = Row(3, {"messages": [says("user", ASK), says("assistant", MORE), says("user", "?"), says("assistant", THANKS)]})


@needs_trl
@pytest.mark.parametrize("text", [MARKED, PLAIN])
def test_the_assistants_words_and_their_stop_token_are_learned_and_nothing_else(template, text):
    template = template(text)
    ids, mask = template.labelled(TALK)
    learned = [token for token, own in zip(ids, mask, strict=True) if own]
    assert template.tokenizer.decode(learned) == f"{MORE}<|end|>{THANKS}<|end|>"


@needs_trl
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (MARKED.replace("{{ m['content'] }}<|end|>{% endg", "{{ m['content'] }}{% endg"), "the stop token is outside"),
        (
            MARKED.replace("{% generation %}{{ m['content'] }}<|end|>", "{{ m['content'] }}<|end|>{% generation %}"),
            "is empty",
        ),
        (
            MARKED.replace("{% if m['role'] == 'assistant' %}", "{% if m['role'] == 'assistant' and loop.last %}"),
            "line 3 is empty for message 2",
        ),
        (
            MARKED.replace("%}<|assistant|>{% endif %}", "%}<|assistant|><think>{% endif %}"),
            "takes the <think> block out of earlier turns",
        ),
        (
            PLAIN.replace("{% if add", "{% if not add_generation_prompt %}<|pad|>{% endif %}{% if add"),
            "ends a rendering",
        ),
        (
            PLAIN.replace("{{ m['content'] }}", "{% if loop.last %}<think></think>{% endif %}{{ m['content'] }}"),
            "takes the <think> block out of earlier turns",
        ),
        (PLAIN.replace("{% for", "<|system|>{{ messages|length }}{% for"), "once another turn follows"),
        ("{% for m in messages %}{% if m['role'] == 'user' %}{{ m['content'] }}{% endif %}{% endfor %}", "of line 3"),
    ],
)
def test_a_template_that_would_spoil_the_training_is_refused_by_its_feature(template, text, sentence):
    with pytest.raises(UsageError) as error:
        prepare([TALK], "sft", fitting_template(template(text), [TALK], lambda _: None), 512, Path("rows.jsonl"))
    assert sentence in str(error.value)


@needs_trl
def test_a_template_may_merge_the_assistants_adjacent_messages(template):
    said = [says("user", ASK), says("assistant", MORE), says("assistant", THANKS), says("user", "?")]
    row = Row(1, {"messages": [*said, says("assistant", MORE)]})
    ends = "{% if loop.last or loop.nextitem['role'] != 'assistant' %}<|end|>{% endif %}"
    begins = "{% if loop.first or loop.previtem['role'] != 'assistant' %}<|assistant|>{% endif %}"
    merging = MARKED.replace("<|assistant|>{% gen", f"{begins}{{% gen").replace("<|end|>{% endg", f"{ends}{{% endg")
    template = template(merging)
    ids, mask = template.labelled(row)
    learned = [token for token, own in zip(ids, mask, strict=True) if own]
    assert template.tokenizer.decode(learned) == f"{MORE}{THANKS}<|end|>{MORE}<|end|>"


@needs_trl
def test_a_template_may_have_a_variant_for_training(template):
    spoilt = template(PLAIN.replace("{% for", "<|system|>{{ messages|length }}{% for"))
    assert fitting_template(spoilt, [TALK], lambda _: MARKED).text == MARKED
    assert fitting_template(template(PLAIN), [TALK], lambda _: MARKED).text == PLAIN


@needs_trl
def test_a_template_that_lets_only_the_user_open_names_the_opener(template):
    strict = template("{% if messages[0]['role'] != 'user' %}{{ raise_exception('user first') }}{% endif %}" + PLAIN)
    row = Row(1, {"messages": [says("assistant", THANKS), says("user", "?"), says("assistant", MORE)]})
    with pytest.raises(
        UsageError, match=r"refuses dialogues that the assistant opens \(user first\).*\(chat started\)"
    ):
        prepare([row], "sft", strict, 512, Path("rows.jsonl"))


CALL = {"type": "function", "id": "c", "function": {"name": "book", "arguments": {"day": "monday"}}}
BOOKED = [
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "done", "tool_call_id": "c"},
    says("assistant", MORE),
]


@pytest.fixture
def shipped(tiny):
    """Real families' templates, as TRL ships them, for a tokenizer that knows their special tokens."""
    import trl
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny)
    ends = ["<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end|>"]
    tokenizer.add_special_tokens({"additional_special_tokens": [*ends, "<|im_start|>", "<|start_header_id|>"]})
    tokenizer.bos_token = "<|begin_of_text|>"

    def make(name):
        tokenizer.chat_template = (Path(trl.__file__).parent / "chat_templates" / f"{name}.jinja").read_text()
        return Template(tokenizer, name, tokenizer.convert_tokens_to_ids(ends))

    return make


@needs_trl
@pytest.mark.parametrize(
    ("name", "row", "learned"),
    [
        ("llama3_1", TALK, f"{MORE}<|eot_id|>{THANKS}<|eot_id|>"),
        ("qwen3_instruct_2507", TALK, f"{MORE}<|im_end|>{THANKS}<|im_end|>"),
        ("gemma3", TALK, f"{MORE}<end_of_turn>{THANKS}<end_of_turn>"),
        # The hybrid takes think blocks out of earlier turns; TRL's variant keeps them.
        ("qwen3", TALK, f"<think>\n\n</think>\n\n{MORE}<|im_end|><think>\n\n</think>\n\n{THANKS}<|im_end|>"),
        (
            "qwen2_5",
            Row(1, {"messages": [says("user", ASK), *BOOKED]}),
            '<tool_call>\n{"name": "book", "arguments": {"day": "monday"}}\n</tool_call><|im_end|>'
            f"{MORE}<|im_end|>",
        ),
    ],
)
def test_the_families_templates_are_masked_to_the_assistants_words(shipped, name, row, learned):
    template = fitting_template(shipped(name), [row], _training_variant)
    ids, mask = template.labelled(row)
    assert template.tokenizer.decode([token for token, own in zip(ids, mask, strict=True) if own]) == learned


@needs_trl
@pytest.mark.parametrize(
    ("name", "messages", "sentence"),
    [
        ("phi3", TALK.content["messages"], "it ends a rendering with '<|end|>'"),
        ("gemma3", [*TALK.content["messages"][1:]], "refuses dialogues that the assistant opens"),
        ("llama3", [says("user", ASK), *BOOKED], "leaves tool calls out, here of 'book'"),
    ],
)
def test_the_families_that_cannot_be_trained_so_are_refused(shipped, name, messages, sentence):
    rows = [Row(1, {"messages": messages})]
    with pytest.raises(UsageError) as error:
        prepare(rows, "sft", fitting_template(shipped(name), rows, _training_variant), 512, Path("rows.jsonl"))
    assert sentence in str(error.value)


# Presets and recipes


def test_the_presets_are_the_published_hyperparameters():
    kto, sft = PRESETS["josh-kto"]["kto"], PRESETS["josh-sft"]["sft"]
    assert (kto["learning_rate"], kto["beta"], kto["desirable_weight"], kto["undesirable_weight"]) == (
        5e-7,
        0.03,
        2.05,
        1,
    )
    assert (sft["learning_rate"], sft["lora_rank"], sft["lora_alpha"], sft["epochs"]) == (2e-5, 64, 64, 3)
    for method, rows in (("sft", 16), ("kto", 8)):
        settings = resolve_training(method, {"data": "d", "model": "m", "out": "o"})
        assert settings.batch_size * settings.accumulation == rows


def recipe_lines():
    for path in sorted((ROOT / "runs" / "recipes").glob("*.md")):
        for block in re.findall(r"^```bash\n(.*?)^```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if "josh" in words:
                    yield pytest.param(words[words.index("josh") + 1 :], id=f"{path.stem}: {line[:60]}")


@pytest.mark.parametrize("words", list(recipe_lines()))
def test_the_commands_of_the_recipes_parse(words):
    parser = make_parser()
    (commands,) = (action.choices for action in parser._actions if action.dest == "==SUPPRESS==" and action.choices)
    if words[0].startswith("-"):
        words = ["run", *words]
    if words[0] not in commands:
        pytest.skip(f"there is no josh {words[0]} yet")
    parse(words)
