"""What the trees teach, as rows of training files; pure, files are the business of `export`.

A tree names its winning paths, and at every split which sibling led to what. From there: whole conversations (`sft` and
its dialects), single messages with a verdict (`kto`), and pairs of siblings (`dpo`). Preference rows are about one
assistant message, with everything before it as the prompt: a turn of several (tool calls, then the answer) gives a
`kto` row for each, and a `dpo` row for the first in which two siblings differ.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import combinations
from typing import Any, Final, TypeAlias

from josh.messages import Message, dumps, same_words, with_opener, without_ids
from josh.runs.episode import Episode
from josh.tree import Collapse, Outcome, Speaker, internal_conversation, order, walk

Row: TypeAlias = dict[str, Any]
Tools: TypeAlias = Sequence[Mapping[str, Any]]

GOLDEN, SUCCESSFUL, LOST = "golden", "successful", "lost"
ROLES: Final = ("system", "user", "assistant", "tool")
START, END = "<|im_start|>", "<|im_end|>"
"""The marks of ChatML."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which parts of a tree are exported.

    Attributes:
        paths: `golden`, the best winning path of every tree, `successful`, all of them, or `lost`, those that came to
            an end without a win: a control, from which nothing good should be learnt.
        top: most successful paths of one task, those worth most (see `best_of_tasks`), or most lost paths of one tree,
            the first in tree order; None for all.
        min_margin: least difference in reward between the best that was reached from two siblings, above 0.
    """

    paths: str
    top: int | None
    min_margin: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row that may be exported.

    Attributes:
        row: the row.
        key: what it says; of rows that say the same one is kept.
        contrary: the key of rows that say the contrary; where there is one, this row is dropped.
        nodes: of a pair, the turns it is made of: the better one, the worse one.
    """

    row: Row
    key: bytes
    contrary: bytes | None = None
    nodes: tuple[int, ...] = ()


class UnfitError(Exception):
    """A conversation that a format has no form for; the text is the reason it is counted under."""


def candidates(
    form: str, episode: Episode, choice: Choice, dropped: Counter[str], best: frozenset[int] | None = None
) -> Iterator[Candidate]:
    """The rows that one episode has to give, in tree order.

    Args:
        form: one of `FORMATS`.
        episode: the episode.
        choice: which parts of its tree.
        dropped: counts what is left out, by reason.
        best: the only winning leaves to take, from `best_of_tasks`.
    """
    whole = replace(choice, top=None)
    leaves = lost_leaves(episode, choice) if choice.paths == LOST else winning_leaves(episode, whole)
    if episode.error or not leaves:
        lacking = "trees without a loss" if choice.paths == LOST else "trees without a win"
        dropped["trees given up" if episode.error else lacking] += 1
        return
    if choice.paths == SUCCESSFUL:
        kept = leaves[: choice.top] if best is None else [leaf for leaf in leaves if leaf in best]
        dropped["winning paths beyond the best of their task"] += len(leaves) - len(kept)
        leaves = kept
    make: Callable[..., Iterator[Candidate]] = FORMATS[form]
    yield from make(episode, leaves, choice, dropped)


def winning_leaves(episode: Episode, choice: Choice) -> list[int]:
    """The leaves that met all goals, best first, ties in tree order; of those that read the same, the first."""
    nodes, worth = episode.tree.nodes, episode.worth
    wins = [leaf for leaf, outcome in episode.outcomes.items() if outcome is Outcome.WON]
    golden = episode.tree.collapses[-1].winner if episode.tree.collapses else None

    def rank(leaf: int) -> tuple[float, bool, tuple[int, ...]]:
        return -worth.get(leaf, 0.0), leaf != golden, order(nodes[leaf].path)

    if choice.paths == GOLDEN and golden is not None:
        return [golden] if golden in wins else []
    best = _told_apart(episode, sorted(wins, key=rank))
    return best[: 1 if choice.paths == GOLDEN else choice.top]


def best_of_tasks(episodes: Iterable[tuple[int, Episode]], choice: Choice) -> Mapping[tuple[int, str], frozenset[int]]:
    """The winning leaves that are among the `choice.top` best of their task in all runs together.

    Ties go to the earlier run, then to the order of `winning_leaves`. Conversations that read the same count once.

    Args:
        episodes: every episode, with the number of its run.
        choice: which parts of their trees.

    Returns:
        The leaves, by run and task.
    """
    of_tasks: dict[str, list[tuple[float, bytes]]] = {}
    of_runs: dict[tuple[int, str], list[tuple[int, bytes]]] = {}
    for run, episode in episodes:
        # What is not among its own tree's best is not among its task's.
        leaves = [] if episode.error else winning_leaves(episode, choice)
        read = [(leaf, _hash(internal_conversation(episode.tree, leaf))) for leaf in leaves]
        of_tasks.setdefault(episode.task.id, []).extend((episode.worth.get(leaf, 0.0), text) for leaf, text in read)
        of_runs[run, episode.task.id] = read
    best = {
        task: set(list(dict.fromkeys(text for _, text in sorted(ranked, key=lambda each: -each[0])))[: choice.top])
        for task, ranked in of_tasks.items()
    }
    return {
        (run, task): frozenset(leaf for leaf, text in read if text in best[task])
        for (run, task), read in of_runs.items()
    }


def lost_leaves(episode: Episode, choice: Choice) -> list[int]:
    """The leaves that ended without a win by themselves, in tree order; those that a collapse cut off are not known."""
    nodes = episode.tree.nodes
    lost = [
        leaf
        for leaf, outcome in episode.outcomes.items()
        if outcome in (Outcome.USER_LEFT, Outcome.TRUNCATED)
        or (outcome is Outcome.LOST and nodes[leaf].turn.outcome is Outcome.LOST)
    ]
    return _told_apart(episode, sorted(lost, key=lambda leaf: order(nodes[leaf].path)))[: choice.top]


def _told_apart(episode: Episode, leaves: Sequence[int]) -> list[int]:
    """Of leaves whose conversations read the same the first."""
    first: dict[str, int] = {}
    for leaf in leaves:
        first.setdefault(dumps(internal_conversation(episode.tree, leaf)), leaf)
    return list(first.values())


@dataclass(frozen=True, slots=True)
class Standing:
    """How the nodes of a tree stand in the phase that each belongs to.

    Attributes:
        best: the reward of the best path of the phase through a node; of nodes that a collapse has judged.
        won: nodes on the way to a leaf rewarded in the phase.
        broken: nodes with an error on them or below.
    """

    best: Mapping[int, float]
    won: frozenset[int]
    broken: frozenset[int]


def standing(episode: Episode) -> Standing:
    """Judge every node by what came of it before the tree was cut, or ended."""
    nodes = episode.tree.nodes
    best: dict[int, float] = {}
    won: set[int] = set()
    broken: set[int] = set()
    for cut in _cuts(episode):
        inside = {cut.root}
        for index in range(cut.root + 1, cut.size):
            if nodes[index].parent in inside:
                inside.add(index)
        won.update(cut.rewarded)
        for index in sorted(inside - {cut.root}, reverse=True):
            if nodes[index].turn.outcome is Outcome.INFRA_ERROR:
                broken.add(index)
            elif index not in best:
                best[index] = episode.worth.get(index, 0.0)
            parent = nodes[index].parent
            if parent == cut.root:
                continue
            if index in best:
                best[parent] = max(best.get(parent, best[index]), best[index])
            for marked in (won, broken):
                if index in marked:
                    marked.add(parent)
    return Standing(best, frozenset(won), frozenset(broken))


def _cuts(episode: Episode) -> Sequence[Collapse]:
    """A tree's collapses; plain conversations are judged together at their end."""
    tree = episode.tree
    if tree.collapses:
        return tree.collapses
    wins = tuple(leaf for leaf, outcome in episode.outcomes.items() if outcome is Outcome.WON)
    return [Collapse(0, len(tree.nodes), wins[0], wins)] if wins else []


# Whole conversations


def _conversations(
    render: Callable[[Sequence[Message], int, Tools], Row],
) -> Callable[[Episode, Sequence[int], Choice, Counter[str]], Iterator[Candidate]]:
    """Export winning paths, each down to the agent's last words.

    Args:
        render: makes a row of the messages, of which that many at the start were there before the agent's first turn.
    """

    def rows(episode: Episode, leaves: Sequence[int], _: Choice, dropped: Counter[str]) -> Iterator[Candidate]:
        before = len(with_opener(episode.tree.nodes[0].turn.internal))
        for leaf in leaves:
            messages = with_opener(internal_conversation(episode.tree, leaf))
            while messages and messages[-1].get("role") != "assistant":
                messages.pop()
            try:
                if len(messages) <= before:
                    raise UnfitError("paths without a word of the agent's")
                _check_plain(messages)
                row = render(messages, before, episode.tools)
            except UnfitError as reason:
                dropped[str(reason)] += 1
                continue
            yield Candidate(row, _hash(row))

    return rows


def _sft(messages: Sequence[Message], _: int, tools: Tools) -> Row:
    return {"messages": [_for_trl(message) for message in messages]} | _tools(tools)


def _openai_sft(messages: Sequence[Message], before: int, tools: Tools) -> Row:
    found = [_for_openai(message) for message in messages]
    # The agent is not to learn words that were put into its mouth.
    for message in found[:before]:
        if message["role"] == "assistant":
            message["weight"] = 0
    return {"messages": found} | _tools(tools)


def _chatml(messages: Sequence[Message], _: int, tools: Tools) -> Row:
    text = ""
    for message in map(_for_trl, messages):
        content = message.get("content") or ""
        if START in content or END in content:
            raise UnfitError("texts with marks of ChatML")
        calls = [f"<tool_call>\n{dumps(call['function'])}\n</tool_call>" for call in message.get("tool_calls") or ()]
        text += f"{START}{message['role']}\n" + "\n".join(filter(None, (content, *calls))) + f"{END}\n"
    return {"text": text} | _tools(tools)


def _sharegpt(messages: Sequence[Message], _: int, tools: Tools) -> Row:
    first = messages[0]["role"] == "system"
    turns: list[dict[str, str]] = []
    for message in messages[first:]:
        turn = _sharegpt_turn(_for_trl(message))
        if turns and turn["from"] == turns[-1]["from"] == "observation":
            # Calls made at once are one turn, so what came of them is one as well.
            turns[-1]["value"] += f"\n{turn['value']}"
        else:
            turns.append(turn)
    if not sharegpt_alternates([turn["from"] for turn in turns]):
        raise UnfitError("conversations whose roles do not alternate")
    row: Row = {"conversations": turns}
    if first:
        row["system"] = messages[0]["content"]
    if tools:
        row["tools"] = dumps(list(tools))
    return row


def sharegpt_alternates(speakers: Sequence[str]) -> bool:
    """Whether the other side has the even places and the agent the odd ones, the last among them."""
    sides = (("human", "observation"), ("gpt", "function_call"))
    return len(speakers) % 2 == 0 and all(speaker in sides[at % 2] for at, speaker in enumerate(speakers))


def _sharegpt_turn(message: Message) -> dict[str, str]:
    content, calls = message.get("content") or "", message.get("tool_calls")
    if calls:
        if content:
            raise UnfitError("messages that speak and call a tool")
        made = [{key: call["function"].get(key) for key in ("name", "arguments")} for call in calls]
        return {"from": "function_call", "value": dumps(made if len(made) > 1 else made[0])}
    names = {"user": "human", "assistant": "gpt", "tool": "observation"}
    if message["role"] not in names:
        raise UnfitError("conversations whose roles do not alternate")
    return {"from": names[message["role"]], "value": content}


# Single messages with a verdict


def _kto(episode: Episode, leaves: Sequence[int], _: Choice, dropped: Counter[str]) -> Iterator[Candidate]:
    """JOSH's juxtaposed rule: the agent's messages on the winning paths, and those that lost after the same prompt."""
    nodes = episode.tree.nodes
    stand = standing(episode)
    golden = sorted({index for leaf in leaves for index in walk(episode.tree, leaf)[1:]})
    prompts: set[bytes] = set()
    for index in golden:
        for prompt, message in _spoken(episode, index):
            try:
                yield _verdict(prompt, message, True, episode.tools)
                prompts.add(_hash(prompt))
            except UnfitError as reason:
                dropped[str(reason)] += 1
    for index in sorted(stand.best.keys() - stand.won - set(golden)):
        for prompt, message in _spoken(episode, index) if nodes[index].speaker is Speaker.AGENT else ():
            if _hash(prompt) not in prompts:
                dropped["losing turns whose prompt no winning turn has"] += 1
            elif index in stand.broken or nodes[index].turn.duplicate:
                dropped["losing turns with errors below" if index in stand.broken else "duplicates of a sibling"] += 1
            else:
                try:
                    yield _verdict(prompt, message, False, episode.tools)
                except UnfitError as reason:
                    dropped[str(reason)] += 1


def _verdict(prompt: Sequence[Message], message: Message, label: bool, tools: Tools) -> Candidate:
    _check_prompt(prompt)
    _check_plain([*prompt, message])
    row: Row = {"prompt": list(map(_for_trl, prompt)), "completion": [_for_trl(message)], "label": label} | _tools(
        tools
    )
    says = (row["prompt"], without_ids(row["completion"][0]), list(tools))
    # What won somewhere is no negative elsewhere.
    return Candidate(row, _hash((*says, label)), None if label else _hash((*says, True)))


def _spoken(episode: Episode, node: int) -> Iterator[tuple[list[Message], Message]]:
    """The assistant's messages in a turn of the agent's, each with everything before it."""
    turn = episode.tree.nodes[node].turn
    context = with_opener(internal_conversation(episode.tree, episode.tree.nodes[node].parent))
    for at, message in enumerate(turn.internal):
        if message.get("role") == "assistant":
            yield [*context, *turn.internal[:at]], message


# Pairs of siblings


def _pairs(
    render: Callable[[Sequence[Message], Message, Message, float, Tools], Row],
) -> Callable[[Episode, Sequence[int], Choice, Counter[str]], Iterator[Candidate]]:
    """Export, for every two turns of the agent's after the same node, the better over the worse.

    The better one is on a winning path; the worse one led to a smaller reward, or none, and to no error.
    """

    def rows(episode: Episode, leaves: Sequence[int], choice: Choice, dropped: Counter[str]) -> Iterator[Candidate]:
        nodes = episode.tree.nodes
        stand = standing(episode)
        golden = {index for leaf in leaves for index in walk(episode.tree, leaf)}
        families: dict[int, list[int]] = {}
        for index in sorted(stand.best.keys() | stand.broken):
            if nodes[index].speaker is Speaker.AGENT:
                families.setdefault(nodes[index].parent, []).append(index)
        for parent, siblings in families.items():
            context = with_opener(internal_conversation(episode.tree, parent))
            for pair in combinations(siblings, 2):
                better, worse = sorted(pair, key=lambda index: -stand.best.get(index, 0.0))
                if better not in golden:
                    continue
                margin = round(stand.best.get(better, 0.0) - stand.best.get(worse, 0.0), 6)
                try:
                    if nodes[better].turn.duplicate or nodes[worse].turn.duplicate:
                        raise UnfitError("duplicates of a sibling")
                    if worse in stand.broken and worse not in stand.won:
                        raise UnfitError("losing turns with errors below")
                    if margin <= 0 or margin < choice.min_margin:
                        raise UnfitError("pairs with too small a margin")
                    same, chosen, rejected = _parted(nodes[better].turn.internal, nodes[worse].turn.internal)
                    prompt = [*context, *same]
                    _check_prompt(prompt)
                    _check_plain([*prompt, chosen, rejected])
                    row = render(prompt, chosen, rejected, margin, episode.tools)
                except UnfitError as reason:
                    dropped[str(reason)] += 1
                    continue
                asked = _hash((list(prompt), list(episode.tools)))
                one, other = (_hash(without_ids(message)) for message in (chosen, rejected))
                yield Candidate(row, asked + one + other, asked + other + one, (better, worse))

    return rows


def _parted(one: Sequence[Message], other: Sequence[Message]) -> tuple[Sequence[Message], Message, Message]:
    """Two turns up to where they part, and the assistant's messages with which they do."""
    for at, (left, right) in enumerate(zip(one, other, strict=False)):
        if not same_words([left], [right]):
            if left.get("role") != "assistant" or right.get("role") != "assistant":
                raise UnfitError("turns that part at a tool's result")
            if not left.get("tool_calls") and not right.get("tool_calls") and _text(left) == _text(right):
                raise UnfitError("pairs of the same text")
            return one[:at], left, right
    raise UnfitError("pairs of the same text")


def _dpo(prompt: Sequence[Message], chosen: Message, rejected: Message, margin: float, tools: Tools) -> Row:
    return {
        "prompt": list(map(_for_trl, prompt)),
        "chosen": [_for_trl(chosen)],
        "rejected": [_for_trl(rejected)],
        "margin": margin,
    } | _tools(tools)


def _openai_dpo(prompt: Sequence[Message], chosen: Message, rejected: Message, _: float, tools: Tools) -> Row:
    if chosen.get("tool_calls") or rejected.get("tool_calls"):
        raise UnfitError("answers that call a tool")
    return {
        "input": {"messages": list(map(_for_openai, prompt))} | _tools(tools),
        "preferred_output": [_for_openai(chosen)],
        "non_preferred_output": [_for_openai(rejected)],
    }


FORMATS: Final[Mapping[str, Callable[..., Iterator[Candidate]]]] = {
    "sft": _conversations(_sft),
    "kto": _kto,
    "dpo": _pairs(_dpo),
    "openai-sft": _conversations(_openai_sft),
    "openai-dpo": _pairs(_openai_dpo),
    "chatml": _conversations(_chatml),
    "sharegpt": _conversations(_sharegpt),
}
PAIRED: Final = ("dpo", "openai-dpo")


# Messages


def _check_prompt(prompt: Sequence[Message]) -> None:
    if not prompt or prompt[-1].get("role") not in ("user", "tool"):
        raise UnfitError("messages right after another of the agent's")


def _check_plain(messages: Sequence[Message]) -> None:
    """Raises UnfitError where a message is of an unknown role, is no text, or says (and calls) nothing."""
    for message in messages:
        if message.get("role") not in ROLES:
            raise UnfitError("messages of an unknown role")
        if not isinstance(message.get("content"), str | None):
            raise UnfitError("messages that are no plain text")
        if message["role"] != "tool" and not _text(message) and not message.get("tool_calls"):
            raise UnfitError("messages without words")


def _text(message: Message) -> str:
    return str(message.get("content") or "").strip()


def _for_trl(message: Message) -> Message:
    """A message as chat templates read it: the arguments of tool calls as objects."""
    return _with_calls(message, _as_object)


def _for_openai(message: Message) -> Message:
    """A message with OpenAI's fields alone: the arguments of tool calls as text."""
    fields = ("role", "content", "name", "tool_calls", "tool_call_id")
    plain = {name: message[name] for name in fields if name in message}
    return _with_calls(plain, lambda given: given if _as_object(given) is not given else dumps(given))


def _as_object(arguments: Any) -> Any:
    """Arguments read, if they are text. Raises ValueError where they are no JSON object."""
    found = json.loads(arguments, parse_constant=_refuse) if isinstance(arguments, str) else arguments
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON number")


def _with_calls(message: Message, convert: Callable[[Any], Any]) -> Message:
    calls = message.get("tool_calls")
    if not calls:
        return {name: value for name, value in message.items() if name != "tool_calls"}
    try:
        converted = [
            {**call, "function": {**call["function"], "arguments": convert(call["function"]["arguments"])}}
            for call in calls
        ]
    except (KeyError, TypeError, ValueError, RecursionError):
        raise UnfitError("tool calls that make no sense") from None
    return {**message, "tool_calls": converted}


def _tools(tools: Tools) -> Row:
    return {"tools": list(tools)} if tools else {}


def _hash(value: Any) -> bytes:
    return blake2b(dumps(value, sort_keys=True).encode("utf-8", "backslashreplace"), digest_size=16).digest()
