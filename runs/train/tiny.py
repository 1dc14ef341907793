"""`josh tiny`: make a small language model, for machines without a larger one.

The model has a byte-level BPE tokenizer and half a million parameters in the style of Llama. It is pretrained on
made-up dialogues that its world offers (`tiny_dialogues`). It speaks their language fluently but without skill, so that
a search finds better turns and a training on them can improve the model.

Its chat template has two peculiarities:

1. It leaves out system messages. An environment's prompt may have hundreds of tokens, several times as many as a whole
   dialogue, and a model of this size cannot use it. Requests, records and exports still contain the prompt, so the rest
   of josh works as with a large model.
2. It numbers the assistant's turns with a special token before the words. A model of this size cannot count turns, but
   it has to learn when to ask.
"""

import json
import math
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from types import ModuleType
from typing import Any

from josh.errors import UsageError
from josh.loading import load, said_by
from josh.messages import Message
from josh.roles import BaseEnv
from josh.runs.record.folder import from_here, version
from josh.runs.registry import DEFAULT_ENV, env_class
from josh.seeds import derive

MANIFEST = "josh_tiny.json"
"""A file in the model's folder with the settings, the results of the training, and a digest of settings and code."""
_FILES = {
    MANIFEST,
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
}
"""The files in a tiny model's folder."""
PAD, END, SYSTEM, USER, ASSISTANT = "<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"
TURNS = tuple(f"<|{number}|>" for number in range(1, 11))
"""The tokens that number the assistant's turns; turns after the tenth have the tenth token."""
TEMPLATE = (
    "{% set said = namespace(turns=0) %}{% for m in messages %}{% if m['role'] == 'assistant' %}"
    "{% if said.turns < 10 %}{% set said.turns = said.turns + 1 %}{% endif %}"
    "<|assistant|><|{{ said.turns }}|>{% generation %}{{ m['content'] }}<|end|>{% endgeneration %}"
    "{% elif m['role'] != 'system' %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{% if said.turns < 10 %}{% set said.turns = said.turns + 1 %}{% endif %}"
    "<|assistant|><|{{ said.turns }}|>{% endif %}"
)
CONTEXT = 1024
"""Most tokens of the model's context; a dialogue of ten rounds has about 200, at most about 350."""


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a model and of its training.

    Attributes:
        hidden: the hidden size; the feed-forward layers are three times as wide.
        layers: the number of Transformer layers.
        heads: the number of attention heads per layer.
        vocab: most entries of the vocabulary, at least 271 (256 bytes and the special tokens). There are fewer if the
            dialogues have fewer different words.
        steps: the number of training steps, for dialogues with `times` 1.
        batch: dialogues per step.
        reply: most tokens of a reply.
    """

    hidden: int
    layers: int
    heads: int
    vocab: int
    steps: int
    batch: int
    reply: int


SIZES: Mapping[str, Size] = {
    "small": Size(hidden=128, layers=2, heads=4, vocab=2048, steps=400, batch=8, reply=64),
    "nano": Size(hidden=32, layers=1, heads=2, vocab=512, steps=20, batch=4, reply=16),
}
"""Sizes by name; `nano` is for tests, and its text is gibberish."""
LEARNING_RATE = 5e-3
BETAS = (0.9, 0.98)
CLIP = 1.0
WARMUP = 50
SORTED = 25
"""Number of batches in which dialogues are sorted by length together; less padding saves a third of the work."""


@dataclass(frozen=True, slots=True)
class TinyDialogues:
    """The dialogues from which a tiny model learns a world's language.

    Attributes:
        write: takes a number of conversations and a seed. It yields that many conversations, as the agent's model sees
            them, without a system prompt.
        code: the modules that determine the conversations; a change in one of them makes a new model necessary.
        times: how many times the training steps of a size the language needs.
        learning_rate: the peak learning rate of the training.
    """

    write: Callable[[int, int], Iterator[list[Message]]]
    code: tuple[ModuleType, ...]
    times: int = 1
    learning_rate: float = LEARNING_RATE


def tiny_dialogues(env: type[BaseEnv]) -> TinyDialogues | None:
    """Returns the dialogues that a world offers: `tiny_dialogues` is their import path; None if it offers none."""
    path = env.tiny_dialogues
    if not path:
        return None
    found: TinyDialogues = load(said_by(env, "tiny_dialogues", path), {}, "tiny_dialogues")
    return found


@dataclass(frozen=True, slots=True)
class Tiny:
    """The settings of a tiny model. The same settings, code and packages give the same bytes on the same machine.

    Attributes:
        size: a key of `SIZES`.
        seed: the seed of every random choice.
        threads: torch's number of threads, at least 1. Sums may round differently with another number of threads.
        env: the world whose language the model learns.
    """

    size: str = "small"
    seed: int = 0
    threads: int = 1
    env: str = DEFAULT_ENV

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise UsageError(f"no size named {self.size!r}; known: {', '.join(SIZES)}")
        if not 1 <= self.threads <= 1024:
            raise UsageError(f"torch_threads is {self.threads}; give 1 to 1024")

    @property
    def dialogues(self) -> TinyDialogues:
        """The dialogues that the model learns from. Raises UsageError if its world offers none."""
        found = tiny_dialogues(env_class(self.env))
        if found is None:
            raise UsageError(f"env {self.env!r} has no dialogues for a tiny model to learn from; give another --env")
        return found

    @property
    def scale(self) -> Size:
        """The size of the model and of its training on the dialogues of its world."""
        size = SIZES[self.size]
        return replace(size, steps=size.steps * self.dialogues.times)


def build(folder: Path, tiny: Tiny = Tiny(), *, force: bool = False, progress: bool = False) -> dict[str, Any]:
    """Make a tiny model, unless the folder has the same model already.

    Args:
        folder: the folder for model and tokenizer. An incomplete tiny model in it is replaced, and so is a tiny model
            with other settings or from other code.
        tiny: the model's settings.
        force: make the model even if the folder has it already.
        progress: show a progress bar on stderr; a line for every tenth of the steps if it is not a terminal.

    Returns:
        The content of `MANIFEST`.

    Raises:
        UsageError: torch or transformers is missing, the folder has other files, or it cannot be written.
    """
    folder = folder.resolve()
    digest = model_digest(tiny)
    there = manifest(folder)
    try:
        if there.get("digest") == digest and not force and set(_names(folder)) >= _FILES:
            return there
        _replaceable(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        return _made(folder, digest, tiny, progress)
    except OSError as error:
        raise UsageError(
            f"cannot write to {from_here(folder)}: {error.strerror or error}; give another --out"
        ) from None


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def _replaceable(folder: Path) -> None:
    """Raises UsageError unless a folder is missing, is empty, or has the files of a tiny model and no others."""
    if folder.exists() and not manifest(folder) and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{from_here(folder)} exists and is not a tiny model; give another --out")
    other = next((name for name in _names(folder) if name not in _FILES), None)
    if other is not None:
        raise UsageError(
            f"{from_here(folder)} also has {other}, which does not belong to a tiny model; move it, or give another "
            "--out"
        )


def _made(folder: Path, digest: str, tiny: Tiny, progress: bool) -> dict[str, Any]:
    """Make a model, replace the folder by it, and return its manifest."""
    # The model is made in a scratch folder and moved when it is complete, so an interruption leaves no partial model.
    scratch = Path(mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        content = {"digest": digest, **asdict(tiny), **_train(scratch, tiny, progress)}
        (scratch / MANIFEST).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        scratch.chmod(0o755)
        # The weights are readable for their owner only, and a model server may run as another user.
        (scratch / "model.safetensors").chmod((scratch / MANIFEST).stat().st_mode)
        if folder.exists():
            _replaceable(folder)  # check again, because the folder may have changed during the training
            shutil.rmtree(folder)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return content


def manifest(folder: Path) -> dict[str, Any]:
    """Returns the content of `MANIFEST` in a folder; empty if there is none."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def model_digest(tiny: Tiny) -> str:
    """Returns a hash of everything that determines a tiny model: settings, packages and code."""
    code = blake2b(digest_size=8)
    for module in tiny.dialogues.code:
        code.update(Path(str(module.__file__)).read_bytes())
    code.update(Path(__file__).read_bytes())
    packages = [version(name) for name in ("torch", "transformers", "tokenizers")]
    made_from = [asdict(tiny), asdict(tiny.scale), tiny.dialogues.learning_rate, packages, code.hexdigest()]
    return blake2b(json.dumps(made_from).encode(), digest_size=8).hexdigest()


def _train(folder: Path, tiny: Tiny, progress: bool) -> dict[str, Any]:
    """Train tokenizer and model, save both, and return the results of the training."""
    torch = require_torch()
    from tqdm import tqdm

    size, started, worked = tiny.scale, time.perf_counter(), time.process_time()
    said = list(tiny.dialogues.write(size.steps * size.batch, tiny.seed))
    tokenizer = _tokenizer(said, size.vocab)
    texts = [tokenizer.apply_chat_template(messages, tokenize=False) for messages in said]
    rows = tokenizer(texts, add_special_tokens=False)["input_ids"]
    before = torch.get_num_threads()
    torch.set_num_threads(tiny.threads)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(tiny.seed)
            model = _model(size, tokenizer)
            losses = []
            drawn = progress and sys.stderr.isatty()
            steps = tqdm(
                _batches(rows, size, tiny.seed), total=size.steps, desc="pretraining", unit="step", disable=not drawn
            )
            usual, peak = sum(map(len, rows)) / size.steps, tiny.dialogues.learning_rate
            for loss in _steps(model, steps, size.steps, usual, tokenizer.pad_token_id, peak):
                losses.append(loss)
                steps.set_postfix_str(f"loss {loss:.2f}", refresh=False)
                if progress and not drawn and len(losses) % max(1, size.steps // 10) == 0:
                    print(f"josh: pretraining {len(losses)} of {size.steps} steps, loss {loss:.2f}", file=sys.stderr)
    finally:
        torch.set_num_threads(before)
    try:
        with no_progress_bars():
            model.eval().save_pretrained(folder)
            tokenizer.save_pretrained(folder)
    except Exception as error:  # safetensors raises its own exception for a full disk
        raise UsageError(f"cannot write {from_here(folder)}: {error}") from None
    last = losses[-20:]
    return {
        "parameters": model.num_parameters(),
        "steps": size.steps,
        "tokens": sum(map(len, rows)),
        "longest_dialogue": max(map(len, rows)),
        "loss": round(sum(last) / len(last), 4),
        "seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(time.process_time() - worked, 1),
    }


def _batches(rows: Sequence[list[int]], size: Size, seed: int) -> Iterator[list[list[int]]]:
    """Yields the rows in batches of similar length; the order of the batches is random."""
    rng = Random(derive(seed, "batches"))
    for start in range(0, len(rows), SORTED * size.batch):
        near = sorted(rows[start : start + SORTED * size.batch], key=len)
        batches = [near[first : first + size.batch] for first in range(0, len(near), size.batch)]
        rng.shuffle(batches)
        yield from batches


def _steps(model: Any, batches: Any, steps: int, usual: float, pad: int, peak: float) -> Iterator[float]:
    """Train on every batch once, and yield the loss of each step, in nats per token.

    Args:
        model: the model.
        batches: batches of rows of token ids.
        steps: the number of batches.
        usual: the mean number of tokens of a batch, by which the gradient is scaled.
        pad: the id of the padding token.
        peak: the peak learning rate.
    """
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, betas=BETAS)
    warmup = min(WARMUP, max(1, steps // 4))

    def rate(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    model.train()
    for rows in batches:
        longest = max(map(len, rows))
        ids = torch.tensor([row + [pad] * (longest - len(row)) for row in rows])
        inputs, targets = ids[:, :-1], ids[:, 1:]
        # Padding is at the end, where no token attends to it, so a mask is not necessary.
        logits = model(input_ids=inputs, use_cache=False).logits
        total = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=pad, reduction="sum"
        )
        # Every token has the same weight. A mean per batch would give tokens of short dialogues more weight, and the
        # model would end conversations more often than the speaker that it learns from.
        loss = total / usual
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        schedule.step()
        yield float(total.detach()) / sum(len(row) - 1 for row in rows)


def _tokenizer(said: Sequence[Sequence[Message]], vocab: int) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=[PAD, END, SYSTEM, USER, ASSISTANT, *TURNS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    core.train_from_iterator((message["content"] for messages in said for message in messages), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[SYSTEM, USER, ASSISTANT, *TURNS],
        padding_side="left",
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
        chat_template=TEMPLATE,
    )


def _model(size: Size, tokenizer: Any) -> Any:
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=size.hidden,
        intermediate_size=3 * size.hidden,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(
        pad_token_id=config.pad_token_id,
        bos_token_id=None,
        eos_token_id=config.eos_token_id,
        max_new_tokens=size.reply,
        do_sample=True,
    )
    return model


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Hide transformers' progress bars, which appear even for small files."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def require_torch() -> Any:
    """Returns the module torch. Raises UsageError if torch or transformers is missing."""
    try:
        import torch
        import transformers  # noqa: F401 (only to check that it is installed)
    except ImportError as error:
        raise UsageError(f"a tiny model needs {error.name}: pip install -e '.[train]' -c constraints.txt") from None
    return torch
