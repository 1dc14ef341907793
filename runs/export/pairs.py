"""Pairs of sibling turns as rows: the text of a pair, and its form in each format."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from josh.messages import Message, same_words, text_of, with_opener, without_ids
from josh.outcomes import Episode
from josh.runs.export.messages import (
    Row,
    Tools,
    UnexportableError,
    check_plain,
    check_prompt,
    for_openai,
    for_trl,
    hashed,
    portable,
    with_tools,
)
from josh.runs.export.paths import check_sound, was_refused
from josh.runs.export.sharegpt import sharegpt_dpo
from josh.tree import internal_conversation


@dataclass(frozen=True, slots=True)
class PairTexts:
    """The messages of a pair, as the learner's model is trained on them.

    Attributes:
        prompt: all messages before the two that are compared.
        chosen: the first message of the better turn that differs from the worse turn.
        rejected: its counterpart.
        tools: the schemas of the learner's tools.
        asked: the prompt with the ids of tool calls as they were recorded.
    """

    prompt: Sequence[Message]
    chosen: Message
    rejected: Message
    tools: Tools
    asked: Sequence[Message]

    def keys(self, *, ids: bool = True) -> tuple[bytes, bytes]:
        """Returns the key of the pair's statement, and that of the opposite one.

        Args:
            ids: whether prompts that differ in the ids of tool calls are different.
        """
        asked = self.asked if ids else [without_ids(message) for message in map(for_trl, self.prompt)]
        before = hashed((list(asked), list(self.tools)))
        one, other = (hashed(without_ids(message)) for message in (self.chosen, self.rejected))
        return before + one + other, before + other + one

    def asks_and_prefers(self) -> bytes:
        """Returns the key of the prompt and the chosen message alone."""
        return hashed((list(self.asked), list(self.tools), without_ids(self.chosen)))


def check_turns(episode: Episode, better: int, worse: int) -> None:
    """Raises UnexportableError where a turn of a pair repeats a sibling, or is not a good example."""
    one, other = episode.tree.nodes[better], episode.tree.nodes[worse]
    if one.turn.duplicate or other.turn.duplicate:
        raise UnexportableError("duplicates of a sibling")
    check_sound(one.turn, one.speaker)
    check_sound(other.turn, one.speaker)
    if was_refused(one.turn, one.speaker):
        raise UnexportableError("pairs whose better turn has a call that a tool refused")


def texts_of(episode: Episode, better: int, worse: int) -> PairTexts:
    """Returns the messages of a pair of sibling turns; their speaker is the learner.

    Raises:
        UnexportableError: the turns say the same, or their messages have no form in a row.
    """
    nodes = episode.tree.nodes
    learner = nodes[better].speaker
    context = with_opener(internal_conversation(episode.tree, nodes[better].parent, learner))
    same, chosen, rejected = _split_at_difference(*(nodes[index].turn.view(learner) for index in (better, worse)))
    prompt = [*context, *same]
    check_prompt(prompt, learner)
    check_plain([*prompt, chosen, rejected])
    one, other = (portable([*prompt, message])[-1] for message in (chosen, rejected))
    return PairTexts(portable(prompt), one, other, episode.tools_of(learner), prompt)


def _split_at_difference(
    one: Sequence[Message], other: Sequence[Message]
) -> tuple[Sequence[Message], Message, Message]:
    """Returns the common beginning of two turns, and the first assistant message of each that differs.

    Raises:
        UnexportableError: the turns have the same text, or differ first in a tool's result.
    """
    for at, (left, right) in enumerate(zip(one, other, strict=False)):
        if not same_words([left], [right]):
            if left.get("role") != "assistant" or right.get("role") != "assistant":
                raise UnexportableError("turns that part at a tool's result")
            calls = left.get("tool_calls") or right.get("tool_calls")
            if not calls and text_of(left).strip() == text_of(right).strip():
                raise UnexportableError("pairs of the same text")
            return one[:at], left, right
    raise UnexportableError("pairs of the same text")


def _dpo(texts: PairTexts, margin: float) -> Row:
    return {
        "prompt": list(map(for_trl, texts.prompt)),
        "chosen": [for_trl(texts.chosen)],
        "rejected": [for_trl(texts.rejected)],
        "margin": margin,
    } | with_tools(texts.tools)


def _openai_dpo(texts: PairTexts, _: float) -> Row:
    if texts.chosen.get("tool_calls") or texts.rejected.get("tool_calls"):
        raise UnexportableError("answers that call a tool")
    return {
        "input": {"messages": list(map(for_openai, texts.prompt))} | with_tools(texts.tools),
        "preferred_output": [for_openai(texts.chosen)],
        "non_preferred_output": [for_openai(texts.rejected)],
    }


def _sharegpt_dpo(texts: PairTexts, margin: float) -> Row:
    return sharegpt_dpo(texts.prompt, texts.chosen, texts.rejected, margin, texts.tools)


PAIR_FORMS: Final[Mapping[str, Callable[[PairTexts, float], Row]]] = {
    "dpo": _dpo,
    "openai-dpo": _openai_dpo,
    "sharegpt-dpo": _sharegpt_dpo,
}
"""Makes a row of a pair and its margin, by format."""
WITHOUT_IDS: Final = ("sharegpt-dpo",)
"""The formats whose rows have no ids of tool calls."""
