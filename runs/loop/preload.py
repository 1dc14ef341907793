"""What every stage of a loop needs and takes seconds to import; imported once, by the server that stages fork from."""

from contextlib import suppress

with suppress(ImportError):  # a stage that misses one says so
    import datasets
    import peft
    import torch
    import transformers
    import trl
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM
    from trl import DPOConfig, KTOConfig, SFTConfig, SFTTrainer

__all__ = [
    "AutoModelForCausalLM",
    "AutoTokenizer",
    "DPOConfig",
    "KTOConfig",
    "LlamaForCausalLM",
    "LoraConfig",
    "SFTConfig",
    "SFTTrainer",
    "datasets",
    "peft",
    "torch",
    "transformers",
    "trl",
]
