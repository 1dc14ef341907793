"""The loss on held-out rows during `josh train sft`."""

import pytest
from tuning import ASK, MORE, THANKS, card, likelihood, needs_trl, says, write


def row(said):
    return {"messages": [says("user", ASK), says("assistant", said)]}


@needs_trl
def test_the_loss_on_held_out_rows_is_measured_after_every_epoch_and_changes_no_bytes(tune, tiny, tmp_path):
    held_out = write(tmp_path / "valid.jsonl", [row(THANKS), row(MORE), row(MORE)])
    flags = ("--learning_rate", 5e-3, "--epochs", 2, "--batch_size", 2)
    rows = [{"messages": [*row(MORE)["messages"], *row(MORE)["messages"]]}] * 16
    _, _, (plain,) = tune("sft", *flags, rows=rows)
    code, said, (adapter,) = tune("sft", *flags, "--val-data", held_out, rows=rows, out="other")
    assert (code, said.err) == (0, "")
    first, last = card(adapter)["evaluations"]
    assert (first["epoch"], last["epoch"], last["eval_rows"]) == (1, 2, 3)
    from transformers import AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(tiny)
    counts = {words: len(tokens(f"{words}<|end|>")["input_ids"]) for words in (THANKS, MORE)}
    summed = sum(-likelihood(tiny, adapter, words) * counts[words] for words in (THANKS, MORE, MORE))
    assert last["eval_loss"] == pytest.approx(summed / (counts[THANKS] + 2 * counts[MORE]), rel=1e-3)
    assert f"epoch 2   loss {last['eval_loss']:.3f} on 3 held-out rows" in said.out.splitlines()
    weights = [folder / "adapter_model.safetensors" for folder in (plain, adapter)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
