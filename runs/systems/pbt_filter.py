"""PBT's model filter (`--model_filtering`): a chat model confirms the answers and the labels of trees.

1. For each turn after which the two answers differ, the model is asked whether they mean the same. If so, the wrong one
   becomes the right one; where both are wrong, they become equal. The pairs are labelled again.
2. A labelled pair stays only if the model reads its two turns as the label says: for `accept` the preferred turn agrees
   with the partner and the other one disagrees, for `resist` the reverse.

Equal questions are asked once. The replies are in a journal beside the rows, so that a second export asks nothing.
"""

import asyncio
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from shutil import rmtree
from typing import Any, Final

from josh.branch import TurnContext
from josh.dialogue import Speaker, Turn
from josh.envs.debate.labels import ACCEPT, RESIST, label_pairs
from josh.envs.debate.prompts import text
from josh.episode import first_of
from josh.errors import FatalError, TurnError
from josh.models.chat import ChatModel, Sampling
from josh.models.gateway import ModelGateway
from josh.models.turn_model import BoundModel
from josh.outcomes import Episode
from josh.runs.export.labelled import TreeSource
from josh.runs.record.journal import Replies
from josh.tree import Node, Pair, Tree

AT_ONCE: Final = 64
"""Trees that are filtered concurrently."""
NOT_CONFIRMED: Final = "not confirmed by the model filter"
SAME_PROMPT: Final = """\
Two people answer a question. Decide whether their answers mean the same thing: other words, spellings or parts of a \
name count as the same, different things do not.

Question: {question}
First answer: {one}
Second answer: {other}

Reply with one word: "agree" if the answers mean the same, or "disagree" if they differ."""
STANCE_PROMPT: Final = """\
In a debate, one speaker answers another. Decide whether the answer agrees with the other speaker or disagrees.

The other speaker said: {heard}
The answer: {said}

Reply with one word: "agree" or "disagree"."""
_VERDICT: Final = re.compile(r"\b(dis)?agree", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FilteredTrees:
    """The trees of a source, filtered by a model."""

    source: TreeSource
    model_filter: "ModelFilter"

    @property
    def name(self) -> str:
        """The source's name."""
        return self.source.name

    @property
    def directives(self) -> Collection[str]:
        """The source's directives."""
        return self.source.directives

    def episodes(self, damaged: list[int]) -> Iterator[Episode]:
        """Yields the source's episodes, with the answers and the pairs that the filter leaves."""
        whole = self.source.episodes(damaged)
        while some := list(islice(whole, AT_ONCE)):
            yield from self.model_filter.filtered(some)

    def manifest(self, home: Path) -> dict[str, Any]:
        """Returns the source's entry, with the model's name."""
        return {**self.source.manifest(home), "filtering_model_name": self.model_filter.name}


class ModelFilter:
    """Asks a chat model about answers and turns; a context manager, which closes the model and the journal."""

    def __init__(self, model: ChatModel, folder: Path, max_concurrency: int = 16) -> None:
        """Open the journal.

        Args:
            model: the model.
            folder: the journal's folder, which exists; it is removed at the end where it holds no reply.
            max_concurrency: most calls in flight.

        Raises:
            UsageError: the journal is damaged, in use, or cannot be written.
        """
        self._model = model
        self._folder = folder
        self._replies = Replies(folder)
        self._gateway = ModelGateway(max_concurrency, journal=self._replies)
        self._gateway.notes = self._replies
        self._runner = asyncio.Runner()
        self._asked: dict[str, asyncio.Task[bool | None]] = {}

    def __enter__(self) -> "ModelFilter":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._runner.run(self._gateway.aclose())
            self._runner.run(self._model.aclose())
        finally:
            self._runner.close()
            unused = len(self._replies) == 0
            self._replies.close()
            if unused:
                rmtree(self._folder, ignore_errors=True)

    @property
    def name(self) -> str:
        """The model's name."""
        return self._model.name

    @property
    def calls(self) -> int:
        """The number of calls that were sent."""
        return sum(usage.calls for usage in self._gateway.account.values())

    def filtered(self, episodes: Iterable[Episode]) -> list[Episode]:
        """Returns the episodes with confirmed answers and pairs.

        Raises:
            FatalError: the model does not answer.
        """
        return self._runner.run(self._all(list(episodes)))

    async def _all(self, episodes: list[Episode]) -> list[Episode]:
        self._asked.clear()
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._confirmed(episode)) for episode in episodes]
        except ExceptionGroup as errors:
            raise first_of(errors) from None
        return [task.result() for task in tasks]

    async def _confirmed(self, episode: Episode) -> Episode:
        if episode.error or not episode.pairs:
            return episode
        learner = episode.tree.nodes[episode.pairs[0].better].speaker
        tree = await self._with_equal_answers(episode)
        pairs = episode.pairs if tree == episode.tree else label_pairs(tree, learner)
        kept = await asyncio.gather(*(self._is_as_labelled(tree, pair) for pair in pairs))
        checked = (
            pair if sound else replace(pair, label="", note=NOT_CONFIRMED)
            for pair, sound in zip(pairs, kept, strict=True)
        )
        return replace(episode, tree=tree, pairs=tuple(checked))

    async def _with_equal_answers(self, episode: Episode) -> Tree:
        question = str(episode.task.data.get("question"))
        nodes = await asyncio.gather(*(self._with_equal(question, node) for node in episode.tree.nodes))
        return replace(episode.tree, nodes=tuple(nodes))

    async def _with_equal(self, question: str, node: Node) -> Node:
        facts = node.turn.facts
        if facts is None or "answers" not in facts or facts["agree"] or None in facts["answers"].values():
            return node
        one, other = (facts["answers"][side] for side in Speaker)
        if not await self._ask(SAME_PROMPT.format(question=question, one=one, other=other)):
            return node
        return replace(node, turn=replace(node.turn, facts=agreed(facts)))

    async def _is_as_labelled(self, tree: Tree, pair: Pair) -> bool:
        if pair.label not in (ACCEPT, RESIST):
            return True
        heard = tree.nodes[tree.nodes[pair.better].parent].turn
        stances = await asyncio.gather(
            *(self._takes_over(heard, tree.nodes[node].turn) for node in (pair.better, pair.worse))
        )
        return stances == ([True, False] if pair.label == ACCEPT else [False, True])

    async def _takes_over(self, heard: Turn, said: Turn) -> bool | None:
        return await self._ask(STANCE_PROMPT.format(heard=text(heard.messages), said=text(said.messages)))

    async def _ask(self, prompt: str) -> bool | None:
        """Returns whether the model says `agree`; None where it says neither word."""
        if prompt not in self._asked:
            self._asked[prompt] = asyncio.ensure_future(self._answer(prompt))
        return await self._asked[prompt]

    async def _answer(self, prompt: str) -> bool | None:
        context = TurnContext(blake2b(prompt.encode(), digest_size=16).hexdigest(), 0, "filter")
        bound = BoundModel(self._model, Sampling(temperature=0.0), context, self._gateway, 0, "filter")
        try:
            reply = await bound.reply([{"role": "user", "content": prompt}])
        except TurnError as error:
            raise FatalError(f"the model filter has no answer: {error}") from None
        found = _VERDICT.search(reply.text)
        return None if found is None else not found[1]


def agreed(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the facts of a turn whose two answers mean the same: both become the right one, or the agent's."""
    answers, right = facts["answers"], facts["right"]
    best = next((side for side in Speaker if right[side]), Speaker.AGENT)
    return {
        "answers": dict.fromkeys(answers, answers[best]),
        "right": dict.fromkeys(right, right[best]),
        "agree": True,
    }
