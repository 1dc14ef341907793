"""Chat templates of model families, with tokenizers that know their special tokens; and conversations of two worlds.

TRL ships the texts of most families; `tests/runs/train/templates` has short texts of ours for the others, which treat
roles, tools, calls and ends of turns as the family's do.
"""

import re
from pathlib import Path

OWN = Path(__file__).parents[1] / "runs" / "train" / "templates"
ENDS = {
    "cohere2": ["<|END_OF_TURN_TOKEN|>"],
    "deepseek_r1_distill": ["<\uff5cend\u2581of\u2581sentence\uff5c>"],
    "deepseekv3": ["<\uff5cend\u2581of\u2581sentence\uff5c>"],
    "gemma": ["<eos>", "<end_of_turn>"],
    "gemma3": ["<eos>", "<end_of_turn>"],
    "gemma4_v5": ["<eos>", "<turn|>", "<|tool_response>"],
    "glm4moe": ["<|endoftext|>", "<|user|>", "<|observation|>"],
    "gptoss": ["<|return|>", "<|call|>", "<|endoftext|>"],
    "lfm2": ["<|im_end|>"],
    "llama3": ["<|eot_id|>"],
    "llama3_1": ["<|eot_id|>", "<|eom_id|>"],
    "llama3_2": ["<|eot_id|>", "<|eom_id|>"],
    "mistral_nemo": ["</s>"],
    "mistral_small31": ["</s>"],
    "mistral_v01": ["</s>"],
    "mistral_v03": ["</s>"],
    "nemotron_3_nano": ["<|im_end|>"],
    "phi3_5": ["<|endoftext|>", "<|end|>"],
    "phi4": ["<|im_end|>"],
    "phi4_mini": ["<|endoftext|>", "<|end|>"],
    "phi4_old": ["<|im_end|>"],
    "qwen2_5": ["<|im_end|>"],
    "qwen3": ["<|im_end|>"],
    "qwen3_5_think": ["<|im_end|>"],
    "qwen3_6": ["<|im_end|>"],
    "qwen3_instruct_2507": ["<|im_end|>"],
    "smollm2": ["<|im_end|>"],
    "smollm3": ["<|im_end|>"],
}
"""The stop tokens of each family; the first one is the tokenizer's eos_token."""
BEGIN = "<|begin|>"


def family_text(name):
    """The template of a family."""
    own = OWN / f"{name}.jinja"
    if own.exists():
        return own.read_text(encoding="utf-8")
    import trl

    return (Path(trl.__file__).parent / "chat_templates" / f"{name}.jinja").read_text(encoding="utf-8")


def marks_in(text):
    """The special tokens that a template writes."""
    return re.findall(r"<[|\uff5c]?[A-Za-z_\u2581/|]+[|\uff5c]?>|\[/?[A-Z_]+\]", text)


def a_tokenizer(text, ends):
    """A byte-level tokenizer with a template, its marks and its stop tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        ["a word"], trainers.BpeTrainer(vocab_size=260, initial_alphabet=alphabet, show_progress=False)
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token=BEGIN, eos_token=ends[0], pad_token=ends[0], chat_template=text
    )
    tokenizer.add_special_tokens({"additional_special_tokens": sorted({*marks_in(text), *ends, BEGIN})})
    return tokenizer


def a_llama(tokenizer, ends, folder, context=4096):
    """Save a random Llama of one layer for a tokenizer; returns the folder."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=context,
            bos_token_id=None,
            eos_token_id=tokenizer.convert_tokens_to_ids(ends),
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def called(identity, name, /, **arguments):
    """A tool call."""
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def _tool(name, argument):
    properties = {argument: {"type": "string", "description": argument}}
    parameters = {"type": "object", "properties": properties, "required": [argument]}
    return {"type": "function", "function": {"name": name, "description": name, "parameters": parameters}}


HELLO, WHY = "Hello, do you give?", "Why not?"
INN, DONE = "The Inn is in the north.", "It is booked; there is no train."
SYSTEM = {"role": "system", "content": "You are kind."}
PERSUASION = [
    SYSTEM,
    {"role": "user", "content": "(The chat is open.)"},
    {"role": "assistant", "content": HELLO},
    {"role": "user", "content": "No."},
    {"role": "assistant", "content": WHY},
]
BOOKING = [
    SYSTEM,
    {"role": "user", "content": "A hotel and a train."},
    {"role": "assistant", "content": "", "tool_calls": [called("aaaaaaaa1", "search_hotel", area="north")]},
    {"role": "tool", "tool_call_id": "aaaaaaaa1", "content": '[{"name": "Inn"}]'},
    {"role": "assistant", "content": INN},
    {"role": "user", "content": "Fine."},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            called("aaaaaaaa2", "book_hotel", name="Inn"),
            called("aaaaaaaa3", "search_train", day="monday"),
        ],
    },
    {"role": "tool", "tool_call_id": "aaaaaaaa2", "content": '"done"'},
    {"role": "tool", "tool_call_id": "aaaaaaaa3", "content": "[]"},
    {"role": "assistant", "content": DONE},
]
TOOLS = [_tool("search_hotel", "area"), _tool("book_hotel", "name"), _tool("search_train", "day")]
