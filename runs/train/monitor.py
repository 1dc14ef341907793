"""Callbacks of a training: the progress bar, and the monitors that stop a training when loss or text degenerates.

1. Before the first step, the monitor samples replies to fixed prompts from the model that the training starts from.
2. After every so many optimizer steps, it samples replies to the same prompts from the tuned model (`Sampler.look`).
3. `fallen` compares the two; if the text has degenerated, the training stops and writes no adapter.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import isfinite
from statistics import fmean
from typing import Any

_NEW_TOKENS = 32
_LEAST_DISTINCT = 0.5
_REFERENCE = "ref"
"""TRL's name for the frozen copy of an adapter whose training continues."""


@dataclass(frozen=True, slots=True)
class Look:
    """Measures of a model's samples.

    Attributes:
        likelihood: mean log-likelihood, in nats per token, of the samples under the model that training started from.
        distinct: the number of different pairs of neighbouring tokens over the number of all pairs, from 0 to 1; the
            mean over the samples.
        sample: the text of the first sample.
    """

    likelihood: float
    distinct: float
    sample: str


def fallen(first: Look, now: Look, drop: float) -> str | None:
    """Returns how a model's text has degenerated since training began; None if it has not.

    The first sign is likelihood: text that is far less likely under the first model than its own text is gibberish.
    Repeated text can be likely, so the second sign is repetition: less than half the share of different pairs of tokens
    in the first model's own samples.

    Args:
        first: samples of the model that training started from.
        now: samples of the tuned model for the same prompts.
        drop: most nats per token by which `now` may be less likely than `first`.
    """
    if not first.likelihood - now.likelihood <= drop:  # true for NaN too
        return (
            f"its replies are {first.likelihood - now.likelihood:.1f} nats per token less likely than those of the "
            f"model that training started from, under that model; the limit is {drop:g}"
        )
    if now.distinct < _LEAST_DISTINCT * first.distinct:
        return (
            f"its replies repeat themselves: {now.distinct:.0%} of their pairs of tokens are different, "
            f"and {first.distinct:.0%} before the training"
        )
    return None


@contextmanager
def as_started(model: Any) -> Iterator[None]:
    """Switch a PEFT model to the model that training started from: the base, or the base with `--base_adapter`."""
    if _REFERENCE not in model.peft_config:
        with model.disable_adapter():
            yield
        return
    active = model.active_adapter
    model.set_adapter(_REFERENCE)
    try:
        yield
    finally:
        model.set_adapter(active)


def spread(prompts: Sequence[Sequence[int]], count: int) -> list[Sequence[int]]:
    """Returns at most `count` of the prompts, evenly spaced by rank of length, the shortest first."""
    ordered = sorted(prompts, key=len)
    count = min(count, len(ordered))
    return [ordered[(2 * at + 1) * len(ordered) // (2 * count)] for at in range(count)]


class Sampler:
    """Samples replies to fixed prompts with a fixed seed; the model that training started from measures them."""

    def __init__(self, tokenizer: Any, prompts: Sequence[Sequence[int]], stops: Sequence[int], seed: int) -> None:
        """Create a sampler.

        Args:
            tokenizer: decodes the first sample.
            prompts: the prompts as token ids; at least one.
            stops: the tokens that end a reply; at least one.
            seed: the seed of every sampling.
        """
        self._tokenizer = tokenizer
        self._prompts = prompts
        self._stops = sorted(stops)
        self._seed = seed

    def look(self, model: Any, started: bool = False) -> Look:
        """Sample from a PEFT model and measure the samples. The random state and the training mode stay unchanged.

        Args:
            model: the model.
            started: sample from the model that training started from.
        """
        import torch

        device = model.device
        training = model.training
        devices = [device] if device.type == "cuda" else []
        model.eval()
        try:
            with torch.random.fork_rng(devices), torch.no_grad():
                torch.manual_seed(self._seed)
                pad = self._stops[0]
                width = max(map(len, self._prompts))
                rows = [[pad] * (width - len(prompt)) + list(prompt) for prompt in self._prompts]
                given = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in self._prompts]
                ids, seen = torch.tensor(rows, device=device), torch.tensor(given, device=device)
                with as_started(model) if started else nullcontext():
                    whole = model.generate(
                        input_ids=ids,
                        attention_mask=seen,
                        max_new_tokens=_NEW_TOKENS,
                        do_sample=True,
                        temperature=1.0,
                        top_p=1.0,
                        top_k=0,
                        use_cache=True,
                        eos_token_id=self._stops,
                        pad_token_id=pad,
                    )
                replies = [self._reply(row) for row in whole[:, width:].tolist()]
                attention = torch.cat([seen, torch.ones_like(whole[:, width:])], dim=1)
                places = (attention.cumsum(dim=1) - 1).clamp(min=0)
                with as_started(model):
                    logits = model(
                        input_ids=whole, attention_mask=attention, position_ids=places, use_cache=False
                    ).logits[:, width - 1 : -1]
                likely = logits.float().log_softmax(-1).gather(-1, whole[:, width:, None])[..., 0].tolist()
        finally:
            model.train(training)
        scores = [score for row, reply in zip(likely, replies, strict=True) for score in row[: len(reply)]]
        return Look(fmean(scores), fmean(map(distinct, replies)), self._tokenizer.decode(replies[0]))

    def _reply(self, tokens: list[int]) -> list[int]:
        """Returns the tokens up to and including the first stop token."""
        end = next((place for place, token in enumerate(tokens) if token in self._stops), len(tokens) - 1)
        return tokens[: end + 1]


def distinct(tokens: Sequence[int]) -> float:
    """Returns the share of different pairs of neighbouring tokens, from 0 to 1; 1 where there is no pair."""
    pairs = list(pairwise(tokens))
    return len(set(pairs)) / len(pairs) if pairs else 1.0


class Watch:
    """The monitor of one training.

    Attributes:
        looks: measures by optimizer step; step 0 is the model that training started from.
        verdict: how the text degenerated, or None.
    """

    def __init__(self, sampler: Sampler, every: int, drop: float) -> None:
        """Create a monitor.

        Args:
            sampler: takes the samples.
            every: optimizer steps between two looks; there is one more look after the last step.
            drop: see `fallen`.
        """
        self.looks: dict[int, Look] = {}
        self.verdict: str | None = None
        self._sampler = sampler
        self._every = every
        self._drop = drop

    def begin(self, model: Any) -> None:
        """Sample from the model that training started from."""
        self.looks[0] = self._sampler.look(model, started=True)

    def step(self, model: Any, step: int, last: bool) -> bool:
        """Returns whether the training goes on after a step.

        Every process of a training must call this after the same steps; all get the same result.
        """
        if step % self._every and not last:
            return True
        from accelerate.utils import gather_object

        now = self._sampler.look(model)
        self.looks[step] = now
        reasons = [reason for reason in gather_object([fallen(self.looks[0], now, self._drop)]) if reason]
        if reasons:
            self.verdict = f"the model's text degenerated by step {step}: {reasons[0]}; it says {now.sample[:60]!r}"
        return not reasons

    def written(self) -> list[Mapping[str, Any]]:
        """Returns the measures for the adapter's card."""
        return [{"step": step, **asdict(look)} for step, look in self.looks.items()]


class Course:
    """The course of a training's loss.

    Attributes:
        verdict: how the loss diverged, or None.
    """

    def __init__(self, most: float | None) -> None:
        """Begin with no loss.

        Args:
            most: most nats per token by which the loss may rise above the first one; None for no limit, where the loss
                is not in nats per token.
        """
        self.verdict: str | None = None
        self._most = most
        self._first: float | None = None

    def logged(self, loss: float, step: int) -> bool:
        """Returns whether the training goes on after a logged loss."""
        if self._first is None:
            self._first = loss
        if not isfinite(loss):
            self.verdict = f"the loss is {loss} at step {step}"
        elif self._most is not None and loss > self._first + self._most:
            self.verdict = f"the loss rose from {self._first:.3f} to {loss:.3f} by step {step}"
        return self.verdict is None


def callbacks(watch: Watch | None, course: Course, show: bool) -> list[Any]:
    """Returns callbacks for transformers' trainer: log the last loss, show a progress bar on stderr, run the monitor.

    Args:
        watch: the monitor; None for none.
        course: follows the logged losses.
        show: show the bar.
    """
    from transformers import TrainerCallback

    class Last(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            control.should_log = control.should_log or state.global_step >= state.max_steps

    class Follow(TrainerCallback):  # type: ignore[misc]
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if logs and "loss" in logs and not course.logged(float(logs["loss"]), state.global_step):
                control.should_training_stop = True

    class Monitor(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            assert watch is not None
            watch.begin(model)

        def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            assert watch is not None
            if not watch.step(model, state.global_step, state.global_step >= state.max_steps):
                control.should_training_stop = True

    class Bar(TrainerCallback):  # type: ignore[misc]
        bar: Any = None

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            from tqdm import tqdm

            self.bar = tqdm(total=state.max_steps, initial=state.global_step, unit="step", file=sys.stderr)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.bar.update(state.global_step - self.bar.n)

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if logs and "loss" in logs:
                self.bar.set_postfix_str(f"loss {float(logs['loss']):.3f}")

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.bar.close()

    made: list[Callable[[], Any]] = [Last, Follow, *([Bar] if show else []), *([Monitor] if watch is not None else [])]
    return [make() for make in made]
