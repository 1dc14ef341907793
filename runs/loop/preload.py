"""Slow imports that the stages of a loop need; the process that stages fork from imports them once."""

from contextlib import suppress

with suppress(ImportError):  # a stage that needs a missing package reports it
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
