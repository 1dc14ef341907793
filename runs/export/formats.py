"""Rows of training files from trees, as pure functions; `export` reads and writes the files.

A tree gives four kinds of rows:

1. Whole conversations on its paths: `sft` and its dialects `openai-sft`, `chatml` and `sharegpt`.
2. Single messages with a label, true on winning paths and false elsewhere: `kto` and `sharegpt-kto`.
3. Pairs of sibling turns, the better one preferred: `dpo`, `openai-dpo` and `sharegpt-dpo`.
4. Tokens with log-probabilities and rewards: `samples` and `grpo` (`token_formats.py`); `verifiers` (its traces).

Every row has the messages that the learner's model is trained on, in which the learner is the assistant. A row of `kto`
or `dpo` is about one assistant message, and its prompt is everything before that message. A turn with several messages
(tool calls, then the answer) gives a `kto` row for each, and a `dpo` row for the first in which two siblings differ.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final

from josh.dialogue import Speaker
from josh.messages import Message, dumps, with_opener, without_ids
from josh.outcomes import Episode
from josh.runs.export.credit import credit, values
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
from josh.runs.export.pairs import PAIR_FORMS, WITHOUT_IDS, check_turns, texts_of
from josh.runs.export.paths import (
    ALL,
    LOST,
    SUCCESSFUL,
    PathSelection,
    check_sound,
    every_leaf,
    losing_leaves,
    node_outcomes,
    was_refused,
    winning_leaves,
)
from josh.runs.export.sharegpt import sharegpt, sharegpt_kto
from josh.runs.export.token_formats import grpo, samples
from josh.runs.export.verifiers_traces import traces
from josh.tree import internal_conversation, walk

START, END = "<|im_start|>", "<|im_end|>"
"""The marks of ChatML."""


@dataclass(frozen=True, slots=True)
class ExportRow:
    """A row that may be exported.

    Attributes:
        row: the row.
        key: hash of its statement; of rows with the same key one is kept.
        contradicts: the key of rows with the opposite statement, which exclude this row; None for no such key.
        nodes: for a pair, the nodes of its two turns: the better one, the worse one; else empty.
    """

    row: Row
    key: bytes
    contradicts: bytes | None = None
    nodes: tuple[int, ...] = ()


def export_rows(
    form: str, episode: Episode, choice: PathSelection, dropped: Counter[str], best: frozenset[int] | None = None
) -> Iterator[ExportRow]:
    """Yields the rows of one episode, in tree order.

    Args:
        form: the format, a key of `FORMATS`.
        episode: the episode.
        choice: which paths of its tree.
        dropped: counts what is left out, by reason.
        best: the only winning leaves to take, from `best_of_tasks`; None for `choice.top` of this tree.
    """
    if episode.no_rows:
        dropped[f"trees {episode.no_rows}"] += 1
        return
    whole = replace(choice, top=None)
    leaves = chosen_leaves(episode, choice, whole)
    if choice.min_confirmed is not None and not episode.error:
        every = chosen_leaves(episode, choice, replace(whole, min_confirmed=None))
        dropped[f"winning paths that fewer than {choice.min_confirmed:g} of fresh users confirm"] += sum(
            leaf not in leaves for leaf in every
        )
        if every and not leaves:
            return
    if episode.error or not leaves:
        lacking = _LACKING.get(choice.paths, "trees without a win")
        dropped["trees given up" if episode.error else lacking] += 1
        return
    if choice.paths == SUCCESSFUL:
        kept = leaves[: choice.top] if best is None else [leaf for leaf in leaves if leaf in best]
        dropped["winning paths beyond the best of their task"] += len(leaves) - len(kept)
        leaves = kept
    make: Callable[..., Iterator[ExportRow]] = FORMATS[form]
    yield from make(episode, leaves, choice, dropped)


_LACKING: Final = {LOST: "trees without a loss", ALL: "trees without a whole path"}


def chosen_leaves(episode: Episode, choice: PathSelection, whole: PathSelection) -> list[int]:
    """Returns the leaves of the chosen paths; `whole` is the choice without its limit of successful paths."""
    if choice.paths == ALL:
        return every_leaf(episode, choice)
    return losing_leaves(episode, choice) if choice.paths == LOST else winning_leaves(episode, whole)


# Whole conversations


def _conversations(
    render: Callable[[Sequence[Message], int, Tools], Row],
) -> Callable[[Episode, Sequence[int], PathSelection, Counter[str]], Iterator[ExportRow]]:
    """Returns a function that yields a row for each chosen path, down to the learner's last message.

    Args:
        render: makes a row from the messages, the number of messages before the first turn, and the tools.
    """

    def rows(
        episode: Episode, leaves: Sequence[int], choice: PathSelection, dropped: Counter[str]
    ) -> Iterator[ExportRow]:
        nodes, learner = episode.tree.nodes, choice.learner
        before = len(with_opener(nodes[0].turn.view(learner)))
        earned = credit(episode, learner) if choice.credit else {}
        for leaf in leaves:
            messages = with_opener(internal_conversation(episode.tree, leaf, learner))
            while messages and messages[-1].get("role") != "assistant":
                messages.pop()
            try:
                if len(messages) <= before:
                    raise UnexportableError(f"paths without a word of the {learner}'s")
                for node in (nodes[index] for index in walk(episode.tree, leaf)):
                    if node.speaker is learner:
                        check_sound(node.turn, learner)
                    if choice.paths != LOST and was_refused(node.turn, learner):
                        raise UnexportableError("paths on which a tool refused a call")
                check_plain(messages)
                row = render(portable(messages), before, episode.tools_of(learner))
                if choice.credit:
                    row["advantages"] = _advantages(episode, leaf, learner, earned, len(messages))
            except UnexportableError as reason:
                dropped[str(reason)] += 1
                continue
            yield ExportRow(row, hashed(row))

    return rows


def _advantages(episode: Episode, leaf: int, learner: Speaker, earned: Mapping[int, float], count: int) -> list[float]:
    """Returns the advantage of the turn of each of a row's first `count` messages; 0 for one that is not learned."""
    messages: list[Message] = []
    found: list[float] = []
    for index in walk(episode.tree, leaf):
        node = episode.tree.nodes[index]
        for message in node.turn.view(learner):
            own = index > 0 and node.speaker is learner and message.get("role") == "assistant"
            messages.append(message)
            found.append(earned.get(index, 0.0) if own else 0.0)
    opened = with_opener(messages)
    if len(opened) > len(messages):
        found.insert(next(at for at, each in enumerate(opened) if each.get("role") != "system"), 0.0)
    return found[:count]


def _sft(messages: Sequence[Message], _: int, tools: Tools) -> Row:
    return {"messages": [for_trl(message) for message in messages]} | with_tools(tools)


def _openai_sft(messages: Sequence[Message], before: int, tools: Tools) -> Row:
    found = [for_openai(message) for message in messages]
    # The learner is not trained on messages that it did not generate.
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


# Single messages with a label


def _verdicts(
    render: Callable[[Sequence[Message], Message, bool, Tools], Row], *, ids: bool = True
) -> Callable[[Episode, Sequence[int], PathSelection, Counter[str]], Iterator[ExportRow]]:
    """Returns a function that yields rows by JOSH's juxtaposed rule.

    Positive: the learner's messages on winning paths. Negative: messages after the same prompt on losing paths.

    Args:
        render: makes a row from the prompt, the message, its label and the tools.
        ids: whether the prompts of its rows have the ids of tool calls.
    """

    def rows(
        episode: Episode, leaves: Sequence[int], choice: PathSelection, dropped: Counter[str]
    ) -> Iterator[ExportRow]:
        def verdict(index: int, prompt: Sequence[Message], message: Message, label: bool) -> ExportRow:
            check_prompt(prompt, learner)
            check_plain([*prompt, message])
            *prompt, message = portable([*prompt, message])
            row = render(prompt, message, label, tools)
            if earned is not None:
                row["advantage"] = earned.get(index, 0.0)
            says = (_stated(prompt, ids), without_ids(for_trl(message)), list(tools))
            # A message that won in one place is not negative in another, so a positive row excludes a negative one.
            return ExportRow(row, hashed((*says, label)), None if label else hashed((*says, True)))

        nodes, learner, tools = episode.tree.nodes, choice.learner, episode.tools_of(choice.learner)
        earned = credit(episode, learner) if choice.credit else None
        outcomes = node_outcomes(episode)
        golden = sorted({index for leaf in leaves for index in walk(episode.tree, leaf)[1:]})
        prompts: set[bytes] = set()
        for index in golden:
            for prompt, message in _spoken(episode, index, learner):
                try:
                    check_sound(nodes[index].turn, learner)
                    if was_refused(nodes[index].turn, learner):
                        raise UnexportableError("messages of winning turns in which a tool refused a call")
                    yield verdict(index, prompt, message, True)
                    prompts.add(hashed(prompt))
                except UnexportableError as reason:
                    dropped[str(reason)] += 1
        for index in sorted(outcomes.best.keys() - outcomes.won - set(golden)):
            for prompt, message in _spoken(episode, index, learner):
                if hashed(prompt) not in prompts:
                    dropped["losing turns whose prompt no winning turn has"] += 1
                elif index in outcomes.broken or nodes[index].turn.duplicate:
                    why = "losing turns with errors below" if index in outcomes.broken else "duplicates of a sibling"
                    dropped[why] += 1
                else:
                    try:
                        check_sound(nodes[index].turn, learner)
                        yield verdict(index, prompt, message, False)
                    except UnexportableError as reason:
                        dropped[str(reason)] += 1

    return rows


def _stated(prompt: Sequence[Message], ids: bool) -> list[Message]:
    """Returns a prompt as rows are compared by it: with or without the ids of tool calls."""
    return [message if ids else without_ids(message) for message in map(for_trl, prompt)]


def _kto(prompt: Sequence[Message], message: Message, label: bool, tools: Tools) -> Row:
    return {"prompt": list(map(for_trl, prompt)), "completion": [for_trl(message)], "label": label} | with_tools(tools)


def _spoken(episode: Episode, index: int, learner: Speaker) -> Iterator[tuple[list[Message], Message]]:
    """Yields the assistant messages of a learner's turn, each after its prompt; none for the other speaker's turns."""
    node = episode.tree.nodes[index]
    if node.speaker is not learner:
        return
    said = node.turn.view(learner)
    context = with_opener(internal_conversation(episode.tree, node.parent, learner))
    for at, message in enumerate(said):
        if message.get("role") == "assistant":
            yield [*context, *said[:at]], message


# Pairs of siblings


def _pairs(form: str) -> Callable[[Episode, Sequence[int], PathSelection, Counter[str]], Iterator[ExportRow]]:
    """Returns a function that yields a row for each pair of the learner's turns after the same node.

    The better turn is on a winning path; the worse turn led to a smaller reward, or to none, and not to an error.

    Args:
        form: a key of `PAIR_FORMS`.
    """

    def rows(
        episode: Episode, leaves: Sequence[int], choice: PathSelection, dropped: Counter[str]
    ) -> Iterator[ExportRow]:
        nodes, learner = episode.tree.nodes, choice.learner
        outcomes = node_outcomes(episode)
        below = values(episode) if choice.credit else outcomes.best
        golden = {index for leaf in leaves for index in walk(episode.tree, leaf)}
        sibling_groups: dict[int, list[int]] = {}
        for index in sorted(outcomes.best.keys() | outcomes.broken):
            if nodes[index].speaker is learner:
                sibling_groups.setdefault(nodes[index].parent, []).append(index)
        if all(len(siblings) < 2 for siblings in sibling_groups.values()):
            dropped[f"trees in which the {learner} has no sibling turns"] += 1
        for siblings in sibling_groups.values():
            for pair in combinations(siblings, 2):
                better, worse = sorted(pair, key=lambda index: -outcomes.best.get(index, 0.0))
                if better not in golden:
                    continue
                margin = round(below.get(better, 0.0) - below.get(worse, 0.0), 6)
                try:
                    if choice.credit and not {better, worse} <= below.keys():
                        raise UnexportableError("pairs of a turn that no whole path goes through")
                    check_turns(episode, better, worse)
                    if worse in outcomes.broken and worse not in outcomes.won:
                        raise UnexportableError("losing turns with errors below")
                    if margin <= 0 or margin < choice.min_margin:
                        raise UnexportableError("pairs with too small a margin")
                    texts = texts_of(episode, better, worse)
                    row = PAIR_FORMS[form](texts, margin)
                except UnexportableError as reason:
                    dropped[str(reason)] += 1
                    continue
                key, contradicts = texts.keys(ids=form not in WITHOUT_IDS)
                yield ExportRow(row, key, contradicts, (better, worse))

    return rows


# Tokens


def _tokens(
    make: Callable[..., Iterator[tuple[Row, bytes]]],
) -> Callable[[Episode, Sequence[int], PathSelection, Counter[str]], Iterator[ExportRow]]:
    """Returns a function that yields the rows of a format in tokens (`token_formats`)."""

    def rows(
        episode: Episode, leaves: Sequence[int], choice: PathSelection, dropped: Counter[str]
    ) -> Iterator[ExportRow]:
        for row, key in make(episode, leaves, choice, dropped):
            yield ExportRow(row, key)

    return rows


FORMATS: Final[Mapping[str, Callable[..., Iterator[ExportRow]]]] = {
    "sft": _conversations(_sft),
    "kto": _verdicts(_kto),
    "dpo": _pairs("dpo"),
    "openai-sft": _conversations(_openai_sft),
    "openai-dpo": _pairs("openai-dpo"),
    "chatml": _conversations(_chatml),
    "sharegpt": _conversations(sharegpt),
    "sharegpt-kto": _verdicts(sharegpt_kto, ids=False),
    "sharegpt-dpo": _pairs("sharegpt-dpo"),
    "samples": _tokens(samples),
    "grpo": _tokens(grpo),
    "verifiers": _tokens(traces),
}
IN_TOKENS: Final = ("samples", "grpo", "verifiers")
"""The formats for trainers on policy, of won and lost paths alike."""
CREDITED: Final = ("sft", "kto", "dpo", "grpo")
"""The formats that can have the advantages of turns."""
PAIRED: Final = tuple(PAIR_FORMS)
"""The formats of pairs."""
LABELLED: Final = {"kto": "label", "sharegpt-kto": "kto_tag"}
"""The formats of single messages, with the key of their label."""
