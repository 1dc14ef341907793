"""Balanced accuracy on held-out pairs during `josh train dpo`: how often the model prefers the chosen turn, by type.

1. After every epoch the model scores each pair: its margin is `beta` times the difference between the chosen and the
   rejected turn in how much likelier they became since the training began (the implicit reward of DPO; Rafailov et al.,
   2023, arXiv:2305.18290).
2. A pair counts as preferred if its margin is above 0.
3. Balanced accuracy is the mean of the shares within each value of the rows' column `type`. A model that only resists,
   or only accepts, has about one half.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Final

from josh.runs.train.monitor import as_started

_PREFIX: Final = "eval_"
PAIRS: Final = f"{_PREFIX}pairs"
"""The key by which a logged entry is known as an evaluation: its number of pairs."""
BALANCED: Final = f"{_PREFIX}balanced_accuracy"
_OF_TYPE: Final = f"{_PREFIX}accuracy/"


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Held-out pairs.

    Attributes:
        pairs: their tokens: `prompt_ids`, `chosen_ids` and `rejected_ids`.
        types: the type of each pair; None where its row has none.
    """

    pairs: Sequence[Mapping[str, Any]]
    types: Sequence[str | None]


def preference_metrics(margins: Sequence[float], types: Sequence[str | None]) -> dict[str, float]:
    """Returns the metrics of an evaluation, by the names under which trackers show them.

    Args:
        margins: the margin of each pair; at least one.
        types: the type of each pair; None for none.

    Returns:
        `eval_pairs` (number), `eval_margin` (mean), `eval_accuracy` (share of margins above 0), and where pairs have
        types `eval_accuracy/TYPE` for each and their mean `eval_balanced_accuracy`.
    """
    right = [margin > 0 for margin in margins]
    metrics = {PAIRS: len(right), f"{_PREFIX}margin": fmean(margins), f"{_PREFIX}accuracy": fmean(right)}
    shares = {
        kind: fmean(one for one, of in zip(right, types, strict=True) if of == kind)
        for kind in sorted({of for of in types if of is not None})
    }
    metrics |= {f"{_OF_TYPE}{kind}": share for kind, share in shares.items()}
    return metrics | ({BALANCED: fmean(shares.values())} if shares else {})


def described(metrics: Mapping[str, float]) -> str:
    """Returns an evaluation in one line: balanced accuracy and its parts, or accuracy where the pairs have no type."""
    parts = [
        f"{name.removeprefix(_OF_TYPE)} {value:.3f}" for name, value in metrics.items() if name.startswith(_OF_TYPE)
    ]
    number = f"{metrics[PAIRS]:.0f} pairs"
    if not parts:
        return f"accuracy {metrics[f'{_PREFIX}accuracy']:.3f} on {number}"
    return f"balanced accuracy {metrics[BALANCED]:.3f} on {number} ({', '.join(parts)})"


def reward_margins(model: Any, pairs: Sequence[Mapping[str, Any]], beta: float, batch: int, pad: int) -> list[float]:
    """Returns the margin of each pair under a PEFT model. The training mode stays unchanged.

    Args:
        model: the model.
        pairs: see `HeldOut.pairs`.
        beta: DPO's beta.
        batch: number of pairs in one forward pass.
        pad: the token that fills shorter sequences.
    """
    import torch

    training = model.training
    model.eval()
    margins: list[float] = []
    try:
        with torch.no_grad():
            for start in range(0, len(pairs), batch):
                some = pairs[start : start + batch]
                now = _likelihoods(model, some, pad)
                with as_started(model):
                    before = _likelihoods(model, some, pad)
                gains = [one - other for one, other in zip(now, before, strict=True)]
                margins += [beta * (gains[at] - gains[at + 1]) for at in range(0, len(gains), 2)]
    finally:
        model.train(training)
    return margins


def _likelihoods(model: Any, pairs: Sequence[Mapping[str, Any]], pad: int) -> list[float]:
    """Returns the log-likelihood, in nats, of the chosen and the rejected turn of each pair, after their prompt."""
    import torch

    turns = [(list(pair["prompt_ids"]), list(pair[name])) for pair in pairs for name in ("chosen_ids", "rejected_ids")]
    width = max(len(prompt) + len(said) for prompt, said in turns)
    filled = [prompt + said + [pad] * (width - len(prompt) - len(said)) for prompt, said in turns]
    seen = [[1] * (len(prompt) + len(said)) + [0] * (width - len(prompt) - len(said)) for prompt, said in turns]
    ids, attention = torch.tensor(filled, device=model.device), torch.tensor(seen, device=model.device)
    logits = model(input_ids=ids, attention_mask=attention, use_cache=False).logits
    found = []
    for row, (prompt, said) in enumerate(turns):
        scores = logits[row, len(prompt) - 1 : len(prompt) + len(said) - 1].float().log_softmax(-1)
        found.append(float(scores.gather(-1, ids[row, len(prompt) : len(prompt) + len(said), None]).sum()))
    return found


class Preferences:
    """Evaluates held-out pairs. Every process of a training scores its share of them; all get the same metrics."""

    def __init__(self, held_out: HeldOut, beta: float, batch: int, pad: int) -> None:
        """For the arguments see `reward_margins`."""
        self._held_out = held_out
        self._beta = beta
        self._batch = batch
        self._pad = pad

    def look(self, model: Any) -> dict[str, float]:
        """Returns the metrics of a model; see `preference_metrics`."""
        from accelerate.state import PartialState
        from accelerate.utils import gather_object

        state = PartialState()
        first, step = state.process_index, state.num_processes
        mine = self._held_out.pairs[first::step]
        margins = reward_margins(model, mine, self._beta, self._batch, self._pad)
        found = gather_object(list(zip(margins, self._held_out.types[first::step], strict=True)))
        return preference_metrics([margin for margin, _ in found], [kind for _, kind in found])


def evaluation_callback(measure: Any, trainer: Any) -> Any:
    """Returns a callback for transformers' trainer that logs the metrics of `measure.look` after every epoch."""
    from transformers import TrainerCallback

    class Evaluate(TrainerCallback):  # type: ignore[misc]
        def on_epoch_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            trainer.log(measure.look(model))

    return Evaluate()
