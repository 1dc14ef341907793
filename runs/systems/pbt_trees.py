"""Reads the trees of PBT's own files (esteng/persuasion_balanced_training) as episodes of the world of debates.

A line is one tree: {"data": [{node_idx, agent_idx, generation, extracted_ans, extracted_conf, parent, children}],
"metadata": {question_id, question, answer}, "model_a": ..., "model_b": ...}. Its first node is the root, with index -1.

1. Model A is the agent, and model B, which learns, the user.
2. `extracted_ans` has two slots. The published code writes the answer of A into the second slot, and that of B into the
   first, and reads them the other way round. Only the slot that a turn's own speaker fills is read here.
3. The prompt is that of our world: the root holds an instruction, which no row may have.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from josh.dialogue import Outcome, Speaker, Turn
from josh.envs.debate.answers import Stance, is_right, normalise, resolve, same
from josh.envs.debate.labels import label_pairs
from josh.envs.debate.prompts import opening, view
from josh.envs.debate.questions import Question, read_question
from josh.errors import UsageError
from josh.messages import Message, flip_roles
from josh.outcomes import Episode
from josh.roles import Task
from josh.runs.export.files import relative
from josh.runs.imports.files import json_values
from josh.runs.imports.rows import Found, ReadOptions
from josh.texts import unreadable
from josh.tree import Node, Tree, leaves

SPEAKERS: Final = (Speaker.AGENT, Speaker.USER)
"""The speaker of each `agent_idx`."""
_NO_ANSWER: Final = ("", "none")
_COMPOUND: Final = re.compile(r"([a-z]+_\d+)(?:_\d+)+")
"""TriviaQA's id with the numbers of the tree that PBT adds to it."""


class PublishedTrees:
    """The trees of one of PBT's files."""

    def __init__(self, path: Path, swapped: bool) -> None:
        """Args: path: the file; swapped: whether the answer slots are swapped, as published."""
        self._path = path
        self._swapped = swapped

    @property
    def name(self) -> str:
        """The file's path."""
        return str(self._path)

    @property
    def directives(self) -> Collection[str]:
        """Nothing: the rows have the prompt of our world instead of the root's."""
        return ()

    def episodes(self, damaged: list[int]) -> Iterator[Episode]:
        """Yields the trees; appends the numbers of lines that are not JSON to `damaged`.

        Raises:
            UsageError: the file cannot be read, or a line is not a tree; the text names the line.
        """
        try:
            with self._path.open(encoding="utf-8") as file:
                for number, line in enumerate(file, 1):
                    if not line.strip():
                        continue
                    try:
                        row = json.loads(line)
                    except (ValueError, RecursionError):
                        damaged.append(number)
                        continue
                    yield tree_as_episode(row, f"{self._path} line {number}", self._swapped)
        except (OSError, UnicodeDecodeError) as error:
            raise unreadable(self._path, error) from None

    def manifest(self, home: Path) -> dict[str, Any]:
        """Returns the file with its hash."""
        digest = sha256(self._path.read_bytes()).hexdigest()
        slots = "pbt" if self._swapped else "speaker"
        return {"trees": self._path.name, **relative(self._path, home), "sha256": digest, "slots": slots}


def read_published_trees(path: Path, options: ReadOptions) -> Iterator[Found]:
    """Yields the trees of one of PBT's files, for `josh import`. Raises UsageError for unknown slots."""
    if options.slots not in _SLOTS:
        raise UsageError(f"slots is {options.slots!r:.40}; give {' or '.join(_SLOTS)}")
    for place, row in json_values(path):
        if isinstance(row, UsageError):
            yield row
            continue
        try:
            yield tree_as_episode(row, place, options.slots == _SLOTS[1])
        except UsageError as error:
            yield error


_SLOTS: Final = ("speaker", "pbt")


def tree_as_episode(row: Any, place: str, swapped: bool) -> Episode:
    """Returns the episode of a line of PBT's file.

    Args:
        row: the parsed line.
        place: where it is, for errors.
        swapped: whether the slots of `extracted_ans` are swapped, as published.

    Raises:
        UsageError: it is not a tree, its question has no gold answer, or its slots are the other way round.
    """
    if not isinstance(row, Mapping) or not isinstance(row.get("data"), list) or not row["data"]:
        raise UsageError(
            f"{place} is not a tree of PBT: it has no list `data`; give its files of trees, or josh's runs"
        )
    question = read_question(row.get("metadata"), f"{place}: metadata")
    data = {"question": question.text, "gold": list(question.gold), "choices": list(question.choices)}
    base = _COMPOUND.fullmatch(question.id)
    task = Task(question.id, 0, data | ({"question_id": base[1]} if base else {}))
    turns = list(_turns(row["data"], place))
    _check_slots(turns, place, swapped)
    tree = _grown(turns, task, question, swapped, place)
    ended = {leaf: Outcome.LOST for leaf in leaves(tree) if leaf}
    return Episode(task, tree, (), ended, {}, {}, pairs=label_pairs(tree))


def _turns(rows: Sequence[Any], place: str) -> Iterator[Mapping[str, Any]]:
    """Yields the turns of a tree, parents before children. Raises UsageError."""
    known = {-1}
    for number, row in enumerate(rows):
        where = f"{place} node {number}"
        if not isinstance(row, Mapping) or type(row.get("node_idx")) is not int:
            raise UsageError(f"{where} has no number `node_idx`; give a file of trees as PBT writes it")
        if row["node_idx"] == -1:
            continue
        if row["node_idx"] in known or row.get("parent") not in known:
            raise UsageError(f"{where}: its parent, {row.get('parent')!r:.20}, must come before it, and once")
        if row.get("agent_idx") not in (0, 1) or not isinstance(row.get("generation"), str):
            raise UsageError(f"{where}: give agent_idx 0 or 1, and a text as generation")
        answers = row.get("extracted_ans")
        if not isinstance(answers, list) or len(answers) != 2 or not all(isinstance(a, str | None) for a in answers):
            raise UsageError(f"{where}: extracted_ans is {answers!r:.40}; give a list of two texts or nulls")
        known.add(row["node_idx"])
        yield row


def _check_slots(turns: Sequence[Mapping[str, Any]], place: str, swapped: bool) -> None:
    """Raises UsageError where the first turn's answer is in the slot of the other speaker."""
    if not turns:
        return
    own = _slot(turns[0], swapped)
    answers = turns[0]["extracted_ans"]
    if answers[own] is None and answers[1 - own] is not None:
        way = "leave --slots pbt out" if swapped else "give --slots pbt"
        raise UsageError(f"{place}: the answer of the first turn is in the slot of the other speaker; {way}")


def _slot(turn: Mapping[str, Any], swapped: bool) -> int:
    """Returns the slot that a turn's speaker fills."""
    return int(turn["agent_idx"]) ^ swapped


def _grown(turns: Sequence[Mapping[str, Any]], task: Task, question: Question, swapped: bool, place: str) -> Tree:
    prompt = opening(task.data, "the tree")
    nodes = [Node(-1, Speaker.USER, "", 0, Turn(internal=tuple(view(prompt, (), True)), user_internal=()), ())]
    places, children = {-1: 0}, dict[int, int]()
    gold = frozenset(question.gold)
    for row in turns:
        parent = places[row["parent"]]
        before, speaker = nodes[parent], SPEAKERS[row["agent_idx"]]
        if speaker is before.speaker:
            raise UsageError(f"{place}: node {row['node_idx']} and its parent have the same speaker")
        facts = _facts(row, before, speaker, gold, swapped)
        role = "assistant" if speaker is Speaker.AGENT else "user"
        said: tuple[Message, ...] = ({"role": role, "content": row["generation"].strip()},)
        heard = flip_roles(said)
        user_view = view(prompt, heard, True) if parent == 0 else heard
        number = children[parent] = children.get(parent, -1) + 1
        turn = Turn(messages=said, internal=said, user_internal=tuple(user_view), facts=facts)
        places[row["node_idx"]] = len(nodes)
        path = f"{before.path}/{number}".strip("/")
        nodes.append(Node(parent, speaker, path, before.depth + 1, turn, (), phase=before.depth + 1))
    return Tree(tuple(nodes), ())


def _facts(
    row: Mapping[str, Any], before: Node, speaker: Speaker, gold: frozenset[str], swapped: bool
) -> Mapping[str, Any]:
    """Returns the facts after a turn, from the answer that was extracted of it; see `josh.rewards.debate`."""
    answers = dict((before.turn.facts or {"answers": {"agent": None, "user": None}})["answers"])
    given = row["extracted_ans"][_slot(row, swapped)]
    answers[speaker] = resolve(_found(given), answers[speaker], answers[speaker.other])
    return {
        "answers": {str(side): answers[side] for side in SPEAKERS},
        "right": {str(side): is_right(answers[side], gold) for side in SPEAKERS},
        "agree": same(answers["agent"], answers["user"], gold),
    }


def _found(given: str | None) -> str | None:
    """Returns an extracted answer in normal form, `Stance`, or None for none."""
    plain = normalise(given or "")
    if plain in _NO_ANSWER:
        return None
    first = plain.partition(" ")[0]
    return next((stance for stance in Stance if first == normalise(stance)), plain)
