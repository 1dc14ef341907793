"""TRL's GRPOTrainer itself, over a world of josh."""

import warnings

import pytest
from families import ENDS, a_tokenizer, family_text

import josh

pytest.importorskip("transformers", reason="transformers is not installed: pip install 'josh-dialogue[train]'")
pytestmark = pytest.mark.slow
SAYS = ("look", {"colour": "red"}), ("sell", {"colour": "red"}), ("talk_to_user", {"message": "Which one?"})


def a_caller(calls):
    """A tokenizer with one token for each call, and a Llama that writes any of the calls, each as often."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = a_tokenizer(family_text("qwen3"), ENDS["qwen3"])
    tokenizer.add_tokens(calls)
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=8192,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    ids = tokenizer.convert_tokens_to_ids(calls)
    (newline,) = tokenizer("\n", add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        layer = model.model.layers[0]
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
        table = torch.nn.functional.normalize(torch.randn(len(tokenizer), 64), dim=-1)
        model.model.embed_tokens.weight.copy_(table)
        model.lm_head.weight.zero_()
        model.lm_head.weight[ids] = 4 * table[newline]
        model.lm_head.weight[tokenizer.eos_token_id] = 4 * table[ids].sum(dim=0)
    return model, tokenizer


def test_two_steps_on_a_world_with_tools(elsewhere, tmp_path, monkeypatch):
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the libraries say of themselves
        import torch
        from datasets import Dataset
        from trl import GRPOConfig, GRPOTrainer

        torch.set_num_threads(1)
        calls = [josh.messages.dumps({"name": name, "arguments": arguments}) for name, arguments in SAYS]
        model, tokenizer = a_caller([f"<tool_call>\n{call}\n</tool_call>" for call in calls])
        before = model.lm_head.weight.detach().clone()
        kiosk = josh.environment_factory(env="toy_kiosk:Kiosk", start_index=0, end_index=1)
        trainer = GRPOTrainer(
            model=model,
            args=GRPOConfig(
                output_dir=str(tmp_path / "out"),
                max_steps=2,
                per_device_train_batch_size=4,
                num_generations=4,
                max_completion_length=1024,
                max_tool_calling_iterations=3,
                learning_rate=1e-2,
                logging_steps=1,
                use_cpu=True,
                report_to="none",
                save_strategy="no",
                seed=1,
            ),
            train_dataset=Dataset.from_list(kiosk.rows()),
            processing_class=tokenizer,
            environment_factory=kiosk,
        )
        trainer.train()
    kiosk.close()
    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert len(logs) == 2
    assert [entry["tools/call_frequency"] for entry in logs] == [3, 3]
    assert [entry["tools/failure_frequency"] for entry in logs] == [0, 0]
    assert any(entry["rewards/KioskEnvironment/std"] > 0 for entry in logs)
    assert all(entry["rewards/KioskEnvironment/mean"] == entry["reward"] for entry in logs)
    assert not torch.equal(before, model.lm_head.weight), "it learned"
