"""The loss on held-out rows during `josh train sft`: the mean over their learned tokens, after every epoch, in nats."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

ROWS: Final = "eval_rows"
"""The key by which a logged entry is known as an evaluation of rows: their number."""
LOSS: Final = "eval_loss"
_NOT_LEARNED: Final = -100


@dataclass(frozen=True, slots=True)
class HeldOutRows:
    """Held-out rows in tokens: `input_ids`, and `labels` with -100 for tokens without loss; at least one."""

    rows: Sequence[Mapping[str, Any]]


def loss_words(metrics: Mapping[str, float]) -> str:
    """Returns an evaluation of rows in one line."""
    return f"loss {metrics[LOSS]:.3f} on {metrics[ROWS]:.0f} held-out rows"


class HeldOutLoss:
    """Evaluates held-out rows. Every process of a training takes its share of them; all get the same metrics."""

    def __init__(self, held_out: HeldOutRows, batch: int, pad: int) -> None:
        """Args: held_out: the rows; batch: rows in one forward pass; pad: the token that fills shorter rows."""
        self._rows = held_out.rows
        self._batch = batch
        self._pad = pad

    def look(self, model: Any) -> dict[str, float]:
        """Returns `eval_rows`, the number of rows, and `eval_loss` of a model."""
        from accelerate.state import PartialState
        from accelerate.utils import gather_object

        state = PartialState()
        mine = self._rows[state.process_index :: state.num_processes]
        found = gather_object([summed_loss(model, mine, self._batch, self._pad)])
        total, tokens = (sum(numbers) for numbers in zip(*found, strict=True))
        return {ROWS: len(self._rows), LOSS: total / max(tokens, 1)}


def summed_loss(model: Any, rows: Sequence[Mapping[str, Any]], batch: int, pad: int) -> tuple[float, int]:
    """Returns the sum of the losses of the learned tokens of rows, and their number; the training mode stays."""
    import torch

    training = model.training
    model.eval()
    total, tokens = 0.0, 0
    try:
        with torch.no_grad():
            for start in range(0, len(rows), batch):
                some = rows[start : start + batch]
                width = max(len(row["input_ids"]) for row in some)
                ids, seen, labels = (
                    torch.tensor([list(row) + [fill] * (width - len(row)) for row in column], device=model.device)
                    for column, fill in (
                        ([row["input_ids"] for row in some], pad),
                        ([[1] * len(row["input_ids"]) for row in some], 0),
                        ([row["labels"] for row in some], _NOT_LEARNED),
                    )
                )
                logits = model(input_ids=ids, attention_mask=seen, use_cache=False).logits[:, :-1]
                targets = labels[:, 1:]
                total += float(
                    torch.nn.functional.cross_entropy(
                        logits.flatten(0, 1).float(), targets.flatten(), ignore_index=_NOT_LEARNED, reduction="sum"
                    )
                )
                tokens += int((targets != _NOT_LEARNED).sum())
    finally:
        model.train(training)
    return total, tokens
