"""Weights of learned tokens in `josh train sft --weights advantage`, from the advantages of exported rows.

A turn with the advantage A has the weight exp(A / s), at most `MOST`, where s is the standard deviation of the
advantages of all learned turns of the file (advantage-weighted regression: Peng et al., 2019, arXiv:1910.00177; the
scale makes it independent of the unit of rewards). The weights are divided by their mean over all learned tokens, so
that the size of a step does not change. Where all advantages are equal, all weights are 1.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import pstdev
from typing import Any

from josh.errors import UsageError

COLUMN = "weights"
"""The column of the examples with a number for each token."""
MOST = 5.0
"""The largest weight before the division by the mean."""


def advantages_of(content: Mapping[str, Any], place: str) -> list[float]:
    """Returns the advantage of each message of the assistant in a row of `josh export --format sft --credit`.

    Args:
        content: the row.
        place: the file and the line, for errors.

    Raises:
        UsageError: the row has none.
    """
    given, messages = content.get("advantages"), content.get("messages")
    if not isinstance(given, list) or not isinstance(messages, list):
        raise UsageError(f"{place}: no 'advantages', which --weights needs; export the rows with --credit")
    numbers = all(type(one) in (int, float) and math.isfinite(one) for one in given)
    if len(given) != len(messages) or not numbers:
        raise UsageError(f"{place}: advantages are not one number for each message; export the rows with --credit")
    return [float(one) for one, message in zip(given, messages, strict=True) if message["role"] == "assistant"]


def with_weights(rows: Sequence[dict[str, Any]], advantages: Sequence[Sequence[float | None]]) -> None:
    """Add the column of weights to examples.

    Args:
        rows: the examples; this function changes them.
        advantages: for each example the advantage of each token; None for a token that is not learned.
    """
    learned = [one for each in advantages for one in each if one is not None]
    scale = pstdev(learned) if learned else 0.0
    plain = [[_weight(one, scale) for one in each] for each in advantages]
    mean = sum(map(sum, plain)) / max(1, len(learned))
    for row, each in zip(rows, plain, strict=True):
        row[COLUMN] = [one / mean for one in each]


def _weight(advantage: float | None, scale: float) -> float:
    if advantage is None:
        return 0.0
    return min(MOST, math.exp(min(50.0, advantage / scale))) if scale > 0 else 1.0


def weighted(kind: type) -> type:
    """Returns TRL's trainer for SFT with a weight for each learned token, from the column `weights`."""
    import torch

    parent: Any = kind

    def signature(self: Any) -> None:
        parent._set_signature_columns_if_needed(self)
        self._signature_columns = [*dict.fromkeys([*self._signature_columns, COLUMN])]

    def compute_loss(
        self: Any, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        weights, labels = inputs.pop(COLUMN), inputs.pop("labels")
        outputs = model(**inputs, use_cache=False)
        logits, targets = outputs.logits[:, :-1].float(), labels[:, 1:]
        losses = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=-100, reduction="none"
        )
        learned = (targets != -100).sum() if num_items_in_batch is None else num_items_in_batch
        loss = (losses * weights[:, 1:].flatten()).sum() / learned
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            loss = loss * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss

    def get_collator(self: Any) -> Any:
        own = self.data_collator

        def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
            batch: dict[str, Any] = own([{name: row[name] for name in row if name != COLUMN} for row in rows])
            width = batch["labels"].shape[1]
            padded = [list(row[COLUMN]) + [0.0] * (width - len(row[COLUMN])) for row in rows]
            return {**batch, COLUMN: torch.tensor(padded)}

        return collate

    def get_train_dataloader(self: Any) -> Any:
        before, self.data_collator = self.data_collator, get_collator(self)
        try:
            return parent.get_train_dataloader(self)
        finally:
            self.data_collator = before

    return type(
        f"Weighted{kind.__name__}",
        (kind,),
        {
            "_set_signature_columns_if_needed": signature,
            "compute_loss": compute_loss,
            "get_train_dataloader": get_train_dataloader,
        },
    )
