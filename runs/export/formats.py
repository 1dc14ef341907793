"""What the trees teach, as rows of training files; pure, files are the business of `export`.

A tree names its winning paths, and at every split which sibling led to what. From there: whole conversations (`sft` and
its dialects), single messages with a verdict (`kto`), and pairs of siblings (`dpo`). All rows are the conversation as
the learner's model is trained on it: the learner's words are the assistant's. Preference rows are about one assistant
message, with everything before it as the prompt: a turn of several (tool calls, then the answer) gives a `kto` row for
each, and a `dpo` row for the first in which two siblings differ.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final

from josh.dialogue import Speaker
from josh.messages import Message, dumps, same_words, text_of, with_opener, without_ids
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
    with_tools,
)
from josh.runs.export.paths import (
    LOST,
    SUCCESSFUL,
    PathSelection,
    losing_leaves,
    node_outcomes,
    was_refused,
    winning_leaves,
)
from josh.tree import internal_conversation, walk

START, END = "<|im_start|>", "<|im_end|>"
"""The marks of ChatML."""


@dataclass(frozen=True, slots=True)
class ExportRow:
    """A row that may be exported.

    Attributes:
        row: the row.
        key: what it says; of rows that say the same one is kept.
        contradicts: the key of rows that say the contrary; where there is one, this row is dropped.
        nodes: of a pair, the turns it is made of: the better one, the worse one.
    """

    row: Row
    key: bytes
    contradicts: bytes | None = None
    nodes: tuple[int, ...] = ()


def export_rows(
    form: str, episode: Episode, choice: PathSelection, dropped: Counter[str], best: frozenset[int] | None = None
) -> Iterator[ExportRow]:
    """The rows that one episode has to give, in tree order.

    Args:
        form: one of `FORMATS`.
        episode: the episode.
        choice: which parts of its tree.
        dropped: counts what is left out, by reason.
        best: the only winning leaves to take, from `best_of_tasks`.
    """
    whole = replace(choice, top=None)
    leaves = losing_leaves(episode, choice) if choice.paths == LOST else winning_leaves(episode, whole)
    if episode.error or not leaves:
        lacking = "trees without a loss" if choice.paths == LOST else "trees without a win"
        dropped["trees given up" if episode.error else lacking] += 1
        return
    if choice.paths == SUCCESSFUL:
        kept = leaves[: choice.top] if best is None else [leaf for leaf in leaves if leaf in best]
        dropped["winning paths beyond the best of their task"] += len(leaves) - len(kept)
        leaves = kept
    make: Callable[..., Iterator[ExportRow]] = FORMATS[form]
    yield from make(episode, leaves, choice, dropped)


# Whole conversations


def _conversations(
    render: Callable[[Sequence[Message], int, Tools], Row],
) -> Callable[[Episode, Sequence[int], PathSelection, Counter[str]], Iterator[ExportRow]]:
    """Export winning paths, each down to the learner's last words.

    Args:
        render: makes a row of the messages, of which that many at the start were there before the first turn.
    """

    def rows(
        episode: Episode, leaves: Sequence[int], choice: PathSelection, dropped: Counter[str]
    ) -> Iterator[ExportRow]:
        nodes, learner = episode.tree.nodes, choice.learner
        before = len(with_opener(nodes[0].turn.view(learner)))
        for leaf in leaves:
            messages = with_opener(internal_conversation(episode.tree, leaf, learner))
            while messages and messages[-1].get("role") != "assistant":
                messages.pop()
            try:
                if len(messages) <= before:
                    raise UnexportableError(f"paths without a word of the {learner}'s")
                turns = (nodes[index].turn for index in walk(episode.tree, leaf))
                if choice.paths != LOST and any(was_refused(turn, learner) for turn in turns):
                    raise UnexportableError("paths on which a tool refused a call")
                check_plain(messages)
                row = render(messages, before, episode.tools_of(learner))
            except UnexportableError as reason:
                dropped[str(reason)] += 1
                continue
            yield ExportRow(row, hashed(row))

    return rows


def _sft(messages: Sequence[Message], _: int, tools: Tools) -> Row:
    return {"messages": [for_trl(message) for message in messages]} | with_tools(tools)


def _openai_sft(messages: Sequence[Message], before: int, tools: Tools) -> Row:
    found = [for_openai(message) for message in messages]
    # The learner does not learn words that were put into its mouth.
    for message in found[:before]:
        if message["role"] == "assistant":
            message["weight"] = 0
    return {"messages": found} | with_tools(tools)


def _chatml(messages: Sequence[Message], _: int, tools: Tools) -> Row:
    text = ""
    for message in map(for_trl, messages):
        content = message.get("content") or ""
        if START in content or END in content:
            raise UnexportableError("texts with marks of ChatML")
        calls = [f"<tool_call>\n{dumps(call['function'])}\n</tool_call>" for call in message.get("tool_calls") or ()]
        text += f"{START}{message['role']}\n" + "\n".join(filter(None, (content, *calls))) + f"{END}\n"
    return {"text": text} | with_tools(tools)


def _sharegpt(messages: Sequence[Message], _: int, tools: Tools) -> Row:
    first = messages[0]["role"] == "system"
    turns: list[dict[str, str]] = []
    for message in messages[first:]:
        turn = _sharegpt_turn(for_trl(message))
        if turns and turn["from"] == turns[-1]["from"] == "observation":
            # Calls made at once are one turn, so what came of them is one as well.
            turns[-1]["value"] += f"\n{turn['value']}"
        else:
            turns.append(turn)
    if not sharegpt_alternates([turn["from"] for turn in turns]):
        raise UnexportableError("conversations whose roles do not alternate")
    row: Row = {"conversations": turns}
    if first:
        row["system"] = messages[0]["content"]
    if tools:
        row["tools"] = dumps(list(tools))
    return row


def sharegpt_alternates(speakers: Sequence[str]) -> bool:
    """Whether the other side has the even places and the learner the odd ones, the last among them."""
    sides = (("human", "observation"), ("gpt", "function_call"))
    return len(speakers) % 2 == 0 and all(speaker in sides[at % 2] for at, speaker in enumerate(speakers))


def _sharegpt_turn(message: Message) -> dict[str, str]:
    content, calls = message.get("content") or "", message.get("tool_calls")
    if calls:
        if content:
            raise UnexportableError("messages that speak and call a tool")
        made = [{key: call["function"].get(key) for key in ("name", "arguments")} for call in calls]
        return {"from": "function_call", "value": dumps(made if len(made) > 1 else made[0])}
    names = {"user": "human", "assistant": "gpt", "tool": "observation"}
    if message["role"] not in names:
        raise UnexportableError("conversations whose roles do not alternate")
    return {"from": names[message["role"]], "value": content}


# Single messages with a verdict


def _kto(episode: Episode, leaves: Sequence[int], choice: PathSelection, dropped: Counter[str]) -> Iterator[ExportRow]:
    """JOSH's juxtaposed rule: the learner's messages on winning paths, and those that lost after the same prompt."""
    nodes, learner = episode.tree.nodes, choice.learner
    stand = node_outcomes(episode)
    golden = sorted({index for leaf in leaves for index in walk(episode.tree, leaf)[1:]})
    prompts: set[bytes] = set()
    for index in golden:
        for prompt, message in _spoken(episode, index, learner):
            try:
                if was_refused(nodes[index].turn, learner):
                    raise UnexportableError("messages of winning turns in which a tool refused a call")
                yield _verdict(prompt, message, True, episode, learner)
                prompts.add(hashed(prompt))
            except UnexportableError as reason:
                dropped[str(reason)] += 1
    for index in sorted(stand.best.keys() - stand.won - set(golden)):
        for prompt, message in _spoken(episode, index, learner):
            if hashed(prompt) not in prompts:
                dropped["losing turns whose prompt no winning turn has"] += 1
            elif index in stand.broken or nodes[index].turn.duplicate:
                dropped["losing turns with errors below" if index in stand.broken else "duplicates of a sibling"] += 1
            else:
                try:
                    yield _verdict(prompt, message, False, episode, learner)
                except UnexportableError as reason:
                    dropped[str(reason)] += 1


def _verdict(prompt: Sequence[Message], message: Message, label: bool, episode: Episode, learner: Speaker) -> ExportRow:
    check_prompt(prompt, learner)
    check_plain([*prompt, message])
    tools = episode.tools_of(learner)
    row: Row = {"prompt": list(map(for_trl, prompt)), "completion": [for_trl(message)], "label": label} | with_tools(
        tools
    )
    says = (row["prompt"], without_ids(row["completion"][0]), list(tools))
    # What won somewhere is no negative elsewhere.
    return ExportRow(row, hashed((*says, label)), None if label else hashed((*says, True)))


def _spoken(episode: Episode, index: int, learner: Speaker) -> Iterator[tuple[list[Message], Message]]:
    """The assistant's messages in a turn of the learner's, each with everything before it; none of other turns."""
    node = episode.tree.nodes[index]
    if node.speaker is not learner:
        return
    said = node.turn.view(learner)
    context = with_opener(internal_conversation(episode.tree, node.parent, learner))
    for at, message in enumerate(said):
        if message.get("role") == "assistant":
            yield [*context, *said[:at]], message


# Pairs of siblings


def _pairs(
    render: Callable[[Sequence[Message], Message, Message, float, Tools], Row],
) -> Callable[[Episode, Sequence[int], PathSelection, Counter[str]], Iterator[ExportRow]]:
    """Export, for every two turns of the learner's after the same node, the better over the worse.

    The better one is on a winning path; the worse one led to a smaller reward, or none, and to no error.
    """

    def rows(
        episode: Episode, leaves: Sequence[int], choice: PathSelection, dropped: Counter[str]
    ) -> Iterator[ExportRow]:
        nodes, learner, tools = episode.tree.nodes, choice.learner, episode.tools_of(choice.learner)
        stand = node_outcomes(episode)
        golden = {index for leaf in leaves for index in walk(episode.tree, leaf)}
        families: dict[int, list[int]] = {}
        for index in sorted(stand.best.keys() | stand.broken):
            if nodes[index].speaker is learner:
                families.setdefault(nodes[index].parent, []).append(index)
        for parent, siblings in families.items():
            context = with_opener(internal_conversation(episode.tree, parent, learner))
            for pair in combinations(siblings, 2):
                better, worse = sorted(pair, key=lambda index: -stand.best.get(index, 0.0))
                if better not in golden:
                    continue
                margin = round(stand.best.get(better, 0.0) - stand.best.get(worse, 0.0), 6)
                try:
                    if nodes[better].turn.duplicate or nodes[worse].turn.duplicate:
                        raise UnexportableError("duplicates of a sibling")
                    if was_refused(nodes[better].turn, learner):
                        raise UnexportableError("pairs whose better turn has a call that a tool refused")
                    if worse in stand.broken and worse not in stand.won:
                        raise UnexportableError("losing turns with errors below")
                    if margin <= 0 or margin < choice.min_margin:
                        raise UnexportableError("pairs with too small a margin")
                    said = (nodes[index].turn.view(learner) for index in (better, worse))
                    same, chosen, rejected = _parted(*said)
                    prompt = [*context, *same]
                    check_prompt(prompt, learner)
                    check_plain([*prompt, chosen, rejected])
                    row = render(prompt, chosen, rejected, margin, tools)
                except UnexportableError as reason:
                    dropped[str(reason)] += 1
                    continue
                asked = hashed((list(prompt), list(tools)))
                one, other = (hashed(without_ids(message)) for message in (chosen, rejected))
                yield ExportRow(row, asked + one + other, asked + other + one, (better, worse))

    return rows


def _parted(one: Sequence[Message], other: Sequence[Message]) -> tuple[Sequence[Message], Message, Message]:
    """Two turns up to where they part, and the assistant's messages with which they do."""
    for at, (left, right) in enumerate(zip(one, other, strict=False)):
        if not same_words([left], [right]):
            if left.get("role") != "assistant" or right.get("role") != "assistant":
                raise UnexportableError("turns that part at a tool's result")
            calls = left.get("tool_calls") or right.get("tool_calls")
            if not calls and text_of(left).strip() == text_of(right).strip():
                raise UnexportableError("pairs of the same text")
            return one[:at], left, right
    raise UnexportableError("pairs of the same text")


def _dpo(prompt: Sequence[Message], chosen: Message, rejected: Message, margin: float, tools: Tools) -> Row:
    return {
        "prompt": list(map(for_trl, prompt)),
        "chosen": [for_trl(chosen)],
        "rejected": [for_trl(rejected)],
        "margin": margin,
    } | with_tools(tools)


def _openai_dpo(prompt: Sequence[Message], chosen: Message, rejected: Message, _: float, tools: Tools) -> Row:
    if chosen.get("tool_calls") or rejected.get("tool_calls"):
        raise UnexportableError("answers that call a tool")
    return {
        "input": {"messages": list(map(for_openai, prompt))} | with_tools(tools),
        "preferred_output": [for_openai(chosen)],
        "non_preferred_output": [for_openai(rejected)],
    }


FORMATS: Final[Mapping[str, Callable[..., Iterator[ExportRow]]]] = {
    "sft": _conversations(_sft),
    "kto": _kto,
    "dpo": _pairs(_dpo),
    "openai-sft": _conversations(_openai_sft),
    "openai-dpo": _pairs(_openai_dpo),
    "chatml": _conversations(_chatml),
    "sharegpt": _conversations(_sharegpt),
}
PAIRED: Final = ("dpo", "openai-dpo")
