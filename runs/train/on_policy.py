"""Plays a policy's conversations and gives their tokens to TRL's GRPOTrainer: its `rollout_func`.

TRL asks for the rows of a batch, group by group, and compares the rewards within each group. Which tasks a step plays,
and every seed, follow from the training's seed and the number of the step, so that a resumed training goes on as if it
had never stopped, on any number of processes. TRL's own prompts are placeholders: the world, the agent and the chat
template write the model's real prompts.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from statistics import fmean
from typing import Any

from josh.errors import FatalError
from josh.models.chat import ChatModel, Sampling
from josh.models.decoding import TokenReply, TokenRequest
from josh.models.hf import HFChat
from josh.outcomes import Episode
from josh.roles import Task
from josh.runs.play.seats import Seats
from josh.runs.play.signals import cancelled_by_signals
from josh.runs.train.grpo_settings import GrpoSettings
from josh.runs.train.sibling_group import SiblingGroup
from josh.seeds import derive
from josh.token_rows import TokenRow, token_rows


@dataclass(frozen=True, slots=True)
class Played:
    """One conversation of a group.

    Attributes:
        row: the tokens that are learned; None where there are none, because an error ended it at once.
        reward: its reward; None where an error ended it, so that it does not count.
        success: whether it won.
        rounds: the agent's turns.
    """

    row: TokenRow | None
    reward: float | None
    success: bool
    rounds: float


class OnPolicy:
    """Plays the conversations of each step with the model as it is then.

    Attributes:
        several: conversations so far whose tokens were several rows, because the chat template rewrites the past or the
            agent changed the words; one row of each, drawn by the seed, was learned.
        failed: conversations so far that an error ended.
    """

    def __init__(self, seats: Seats, tokenizer: Any, settings: GrpoSettings, sampling: Sampling) -> None:
        """Args: seats: the world; tokenizer: the model's; settings: the training's; sampling: of its replies."""
        self.several = 0
        self.failed = 0
        self._seats = seats
        self._tokenizer = tokenizer
        self._settings = settings
        self._sampling = sampling
        self._chat: HFChat | None = None
        self._runner = asyncio.Runner()

    def __call__(self, prompts: Sequence[str], trainer: Any) -> dict[str, list[Any]]:
        """Play one conversation for each row that TRL wants; see its `RolloutFunc`.

        Args:
            prompts: placeholders, as many as rows; whole groups where groups are siblings.
            trainer: the trainer.

        Returns:
            Lists with one entry a prompt: `prompt_ids`, `completion_ids`, `logprobs`, `env_mask`; and for the reward
            `reward`, None where an error ended the conversation.

        Raises:
            FatalError: all conversations of the batch failed.
        """
        model = trainer.accelerator.unwrap_model(trainer.model)
        training = model.training
        model.eval()
        try:
            step, first = int(trainer.state.global_step), int(trainer.accelerator.process_index) * len(prompts)
            places = range(first, first + len(prompts))
            played = self._runner.run(self._play(step, places, self._model(model, trainer)))
        finally:
            model.train(training)
        sound = [one for one in played if one.reward is not None]
        self.failed += len(played) - len(sound)
        if not sound:
            raise FatalError("all conversations of a step failed; play one with `josh run` to see why")
        self._log(trainer, sound)
        pad = self._tokenizer.pad_token_id
        end = self._tokenizer.eos_token_id
        empty = TokenRow((end if pad is None else pad,), (end,), (0,), (0.0,), None, (), (), "stop")
        rows = [one.row or empty for one in played]
        return {
            "prompt_ids": [list(row.prompt_ids) for row in rows],
            "completion_ids": [list(row.token_ids) for row in rows],
            "env_mask": [list(row.mask) for row in rows],
            "logprobs": [list(row.logprobs or ()) for row in rows],
            "reward": [one.reward if one.row is not None else None for one in played],
        }

    def close(self) -> None:
        """Close the models and the event loop."""

        async def closed() -> None:
            if self._chat is not None:
                await self._chat.aclose()
            await self._seats.aclose()

        self._runner.run(closed())
        self._runner.close()

    def _model(self, model: Any, trainer: Any) -> HFChat:
        """Returns the chat model over the weights as they are now."""
        if self._chat is None:
            engine = _vllm(trainer) if self._settings.use_vllm else None
            self._chat = HFChat.of(
                model,
                self._tokenizer,
                name=self._settings.model,
                threads=self._settings.torch_threads,
                sampling=self._sampling,
                exact=True,
                engine=engine,
            )
        self._chat.forget()
        return self._chat

    def task(self, step: int, group: int) -> Task:
        """Returns the task of a group of a step: all tasks in an order that the seed gives, then all in another one."""
        tasks = list(self._seats.tasks.values())
        round_, place = divmod(step * self._settings.tasks_per_step + group, len(tasks))
        Random(derive(self._settings.seed, "order", str(round_))).shuffle(tasks)
        return tasks[place]

    async def _play(self, step: int, rows: range, chat: ChatModel) -> list[Played]:
        whole = self._settings.group_size
        size = whole if self._settings.group == "siblings" else 1
        with cancelled_by_signals():  # an exception in the middle of a turn would pass for that turn's own
            groups = await asyncio.gather(*(self._group(step, row // whole, row, chat, size) for row in rows[::size]))
        return [one for group in groups for one in group]

    async def _group(self, step: int, group: int, row: int, chat: ChatModel, size: int) -> list[Played]:
        """Play a conversation of a group, or `size` conversations that share a beginning.

        The user's luck is the same in a group of conversations from the start, so that only the agent's words differ.
        """
        seats, task = self._seats, self.task(step, group)
        seed = derive(self._settings.seed, "agent", str(step), str(row))
        user_seed = derive(self._settings.seed, "user", str(step), str(group))
        if size == 1:
            episode = await seats.play(task, chat, seed, sampling=self._sampling, user_seed=user_seed)
            return [self._played(episode, leaf, seed) for leaf in episode.outcomes] or [Played(None, None, False, 0.0)]
        strategy = SiblingGroup(SiblingGroup.Config(size))
        episode = await seats.play(task, chat, seed, sampling=self._sampling, strategy=strategy)
        kept = strategy.place(episode.tree) if episode.tree.kept else 0
        found = [self._played(episode, leaf, seed, kept) for leaf in episode.outcomes]
        return (found + [Played(None, None, False, 0.0)] * size)[:size]

    def _played(self, episode: Episode, leaf: int, seed: int, kept: int | None = None) -> Played:
        """Returns one conversation of an episode; with `kept`, of its tokens those after that node are learned."""
        tree = episode.tree
        rows = token_rows(tree, leaf)
        if kept is not None:
            rows = [cut for row in rows if (cut := after(row, kept, [tree.nodes[node].parent for node in row.nodes]))]
        self.several += len(rows) > 1
        row = rows[derive(seed, "row", str(leaf)) % len(rows)] if rows else None
        rounds = float(sum(bool(node) for node in {node for one in rows for node in one.nodes}))
        return Played(row, episode.worth.get(leaf), tree.is_won(leaf), rounds)

    def _log(self, trainer: Any, sound: Sequence[Played]) -> None:
        metrics = getattr(trainer, "_metrics", None)
        if metrics is not None:
            metrics["train"]["success"].append(fmean(one.success for one in sound))
            metrics["train"]["rounds"].append(fmean(one.rounds for one in sound))


def after(row: TokenRow, kept: int, parents: Sequence[int]) -> TokenRow | None:
    """Returns the part of a row from the first turn after a node on, with all before it as the prompt.

    Args:
        row: the row.
        kept: the node.
        parents: the parent of the node of each reply in the row.

    Returns:
        The part; the whole row where all of it is later; None where all of it is earlier.
    """
    place = next((at for at, parent in enumerate(parents) if parent >= kept), None)
    if place is None:
        return None
    start = row.starts[place]
    cut = slice(start, None)
    return TokenRow(
        (*row.prompt_ids, *row.token_ids[:start]),
        row.token_ids[cut],
        row.mask[cut],
        None if row.logprobs is None else row.logprobs[cut],
        None if row.model_logprobs is None else row.model_logprobs[cut],
        row.nodes[place:],
        tuple(one - start for one in row.starts[place:]),
        row.finish_reason,
    )


def _vllm(trainer: Any) -> Any:
    """Returns an engine that samples with the trainer's vLLM, whose weights follow the training."""

    def sampled(batch: Sequence[TokenRequest]) -> list[list[TokenReply]]:
        if trainer.state.global_step != trainer._last_loaded_step:
            trainer.vllm_generation.sync_weights()
            trainer._last_loaded_step = trainer.state.global_step
        prompts = [list(asked.prompt) for asked in batch for _ in range(asked.n)]
        _, tokens, logprobs, _ = trainer.vllm_generation.generate(prompts=prompts, images=None, num_generations=1)
        limits = [asked.limit for asked in batch for _ in range(asked.n)]
        made = iter(
            TokenReply(
                list(ids),
                [float(one[0]) for one in scores],
                [],
                "length" if len(ids) >= limit else "stop",
            )
            for ids, scores, limit in zip(tokens, logprobs, limits, strict=True)
        )
        return [[next(made) for _ in range(asked.n)] for asked in batch]

    return sampled
