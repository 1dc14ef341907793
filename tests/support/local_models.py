"""Requests to a local model of transformers, and searches by one."""

import asyncio
import shutil

import pytest

from josh.cli import main
from josh.runs.record.folder import EPISODES, EXAMPLES

HELLO = [{"role": "user", "content": "hello there"}]
LONGER = [
    {"role": "user", "content": "hello there, how are you doing today?"},
    {"role": "assistant", "content": "Fine. Have you ever heard of Save the Children?"},
    {"role": "user", "content": "No, what do they do?"},
]


def ask(chat, *requests):
    async def asking():
        return await asyncio.gather(*(chat.complete(request) for request in requests), return_exceptions=True)

    return asyncio.run(asking())


def without(folder, tmp_path, *files):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for file in files:
        (copy / file).unlink()
    return copy


# In a run


def search(tiny_model, tmp_path, *flags):
    arguments = ["--josh", "--beam_size", "4", "--max_convo_turns", "3", "--synthetic_tasks", "3"]
    arguments += ["--model", f"hf:{tiny_model}", "--torch_threads", "1", "--log_dir", str(tmp_path)]
    assert main([*arguments, *flags]) == 0
    return max(tmp_path.iterdir(), key=lambda folder: folder.stat().st_mtime_ns)


def written(folder):
    return [(folder / file).read_bytes() for file in (EPISODES, EXAMPLES)]


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
