"""A model of 15 thousand parameters, and `josh train` run on it."""

import _thread
import json
import threading
import time
import warnings

import pytest
from sharing import made_once
from tuning import ASK, LINES, MARKED, MORE, ROWS, THANKS, write

from josh.cli import main


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A folder with a Llama of 15 thousand parameters that says one of two replies, each as often."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the libraries say of themselves while they are imported
        import torch
        import trl  # noqa: F401

    torch.set_num_threads(1)
    return made_once(tmp_path_factory, "models", lambda folder: teach(folder / "tiny")) / "tiny"


def teach(folder):
    """Train the Llama on the two replies, and save it with its tokenizer."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

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
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


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
        assert "go on with --resume" in said.err
        assert made == [part], "nothing looks finished"

    return run
