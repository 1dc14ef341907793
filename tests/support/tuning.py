"""Rows to train a very small model on, and what it has learned of them."""

import json
from importlib.util import find_spec

import pytest

from josh.runs.train.data import Row

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


TALK = Row(3, {"messages": [says("user", ASK), says("assistant", MORE), says("user", "?"), says("assistant", THANKS)]})
