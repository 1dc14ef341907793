"""Rows that a model continues: conversations in which the partner has just spoken, with the gold answers.

`josh pbt prefs --split devtest` writes such rows, and so does PBT. Each has:
    prompt: chat messages, the model's own words as `assistant`, the partner's last; or their text in the form of a chat
        template (Llama 3's, Mistral's or ChatML).
    type: `flip_correct_to_incorrect` where the model was right and the partner's answer is wrong, else
        `flip_incorrect_to_correct`.
    gold_answers: the right answer's names.
    question, question_id, parent_answers: optional; the answers that stand before the turn, in any order.
    generation: optional; the turn that some model gave.
    correct: optional; whether the generation is right, instead of `gold_answers`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from josh.envs.debate.answers import normalise, standing
from josh.envs.debate.prompts import CHOICES
from josh.errors import UsageError
from josh.messages import Message
from josh.seeds import id_of_text
from josh.texts import json_rows

RESIST, ACCEPT = "flip_correct_to_incorrect", "flip_incorrect_to_correct"
TYPES: Final = (RESIST, ACCEPT)
_WAY: Final = "give rows as `josh pbt prefs --split devtest` writes them"
_LLAMA = re.compile(
    r"<\|start_header_id\|>(\w+)<\|end_header_id\|>(.*?)(?=<\|eot_id\|>|<\|start_header_id\|>|$)", re.DOTALL
)
_CHATML = re.compile(r"<\|im_start\|>(\w+)\n(.*?)(?=<\|im_end\|>|<\|im_start\|>|$)", re.DOTALL)
_CHOICES = re.compile(rf"^{CHOICES.format(choices='(.+)')}$", re.MULTILINE)
_MISTRAL = re.compile(r"\[/?INST\]")


@dataclass(frozen=True, slots=True)
class PromptRow:
    """One row.

    Attributes:
        question: the question's text.
        question_id: its id; rows of one question are related.
        data: the data of a task: see `env.DebateEnv` and `flipflop.FlipflopEnv`.
        part: `train`, `valid` or `test`; empty where the row does not say.
    """

    question: str
    question_id: str
    data: Mapping[str, Any]
    part: str = ""


def load_rows(path: Path) -> tuple[list[PromptRow], int]:
    """Returns the rows of a file, and the number of rows that were left out because their pair has no type.

    Raises:
        UsageError: the file cannot be read or is empty, or a row is of another kind.
    """
    found: list[PromptRow] = []
    untyped = 0
    for place, row in json_rows(path):
        if isinstance(row, Mapping) and "type" in row and row["type"] is None:
            untyped += 1
            continue
        found.append(read_row(row, place))
    if not found:
        raise UsageError(f"{path} has no rows; {_WAY}")
    return found, untyped


def read_row(row: Any, place: str) -> PromptRow:
    """Returns a row.

    Args:
        row: the parsed JSON.
        place: where it is, for error messages.

    Raises:
        UsageError: it lacks its prompt, type or gold answers, or one of them is of another kind.
    """
    if not isinstance(row, Mapping):
        raise UsageError(f"{place} is {row!r:.60}; {_WAY}")
    kind = row.get("type")
    if kind not in TYPES:
        raise UsageError(f"{place} has the type {kind!r:.60}, not {TYPES[0]} or {TYPES[1]}; {_WAY}")
    prompt = _prompt(row.get("prompt"), place)
    gold = _gold(row, place)
    generation, correct = row.get("generation"), row.get("correct")
    if generation is not None and not isinstance(generation, str):
        raise UsageError(f"{place}: the generation is {generation!r:.60}; give a text")
    question = row.get("question")
    if not isinstance(question, str) or not question.strip():
        question = _question_in(prompt)
    first = next(at for at, message in enumerate(prompt) if message["role"] == "user")
    choices = _choices_in(prompt[first]["content"], gold)
    data: dict[str, Any] = {"question": question.strip(), "gold": gold, "choices": choices, "type": kind}
    data["history"] = prompt[first + 1 :] or prompt[first:]
    data["answers"] = _answers(row.get("parent_answers"), data)
    data["prompt"] = prompt
    if generation is not None:
        data["generation"] = generation
    if isinstance(correct, bool):
        data["correct"] = correct
    name = row.get("question_id")
    question_id = id_of_text(question) if name in (None, "") else str(name)
    return PromptRow(question.strip(), question_id, data, str(row.get("part") or ""))


def messages_in(text: str) -> list[Message]:
    """Returns the messages of a text in the form of a chat template: Llama 3's, ChatML or Mistral's; else none."""
    pairs = [match.groups() for pattern in (_LLAMA, _CHATML) for match in pattern.finditer(text)]
    if not pairs:
        words = _MISTRAL.split(text)[1:]
        pairs = [(("user", "assistant")[at % 2], each.replace("</s>", "")) for at, each in enumerate(words)]
    return [{"role": role, "content": words.strip()} for role, words in pairs if words.strip()]


def _prompt(given: Any, place: str) -> list[Message]:
    """Returns a row's prompt as messages that end with the partner's. Raises UsageError."""
    if isinstance(given, str):
        prompt = messages_in(given)
        if not prompt:
            raise UsageError(f"{place}: the prompt is a text without a chat template that josh reads; give messages")
    elif isinstance(given, Sequence) and given and all(map(_is_message, given)):
        prompt = [{"role": each["role"], "content": each["content"]} for each in given]
    else:
        raise UsageError(f"{place}: the prompt is {given!r:.60}; {_WAY}")
    if not prompt or prompt[-1]["role"] != "user":
        raise UsageError(f"{place}: the prompt does not end with the partner's words, as `user`; {_WAY}")
    if all(message["role"] != "assistant" for message in prompt):
        raise UsageError(f"{place}: the model never speaks in the prompt (no message is `assistant`'s); {_WAY}")
    return prompt


def _is_message(given: Any) -> bool:
    return isinstance(given, Mapping) and all(isinstance(given.get(name), str) for name in ("role", "content"))


def _gold(row: Mapping[str, Any], place: str) -> list[str]:
    given = row.get("gold_answers")
    names = [given] if isinstance(given, str) else given
    if names is None or names == []:
        if isinstance(row.get("correct"), bool) and row.get("generation") is not None:
            return []
        raise UsageError(f"{place} has no gold answer; give it as `gold_answers`, a list of texts")
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise UsageError(f"{place}: gold_answers is {given!r:.60}; give a list of texts")
    gold = list(dict.fromkeys(filter(None, map(normalise, names))))
    if not gold:
        raise UsageError(f"{place} has no gold answer; give it as `gold_answers`, a list of texts")
    return gold


def _answers(given: Any, data: Mapping[str, Any]) -> dict[str, str | None]:
    """Returns the answers that stand before the turn, by `agent` (the model) and `user` (its partner).

    One of a row's two answers is right, and its type says whose.
    """
    if isinstance(given, Sequence) and not isinstance(given, str) and len(given) == 2 and data["gold"]:
        both = [normalise(each) if isinstance(each, str) else None for each in given]
        right = [each for each in both if each in data["gold"]]
        wrong = [each for each in both if each not in data["gold"]]
        if len(right) == 1:
            own, other = (right[0], wrong[0]) if data["type"] == RESIST else (wrong[0], right[0])
            return {"agent": own, "user": other}
    found = standing(data["history"], {**data, "history": []}, both_first=False)
    side = "agent" if data["type"] == RESIST else "user"
    if data["gold"] and found[side] not in data["gold"]:
        found[side] = data["gold"][0]
    return found


def _choices_in(text: str, gold: Sequence[str]) -> list[str]:
    """Returns the possible answers that a prompt lists; none where the right one is not among them."""
    match = _CHOICES.search(text)
    found = match[1].split(", ") if match else []
    return found if any(normalise(each) in gold for each in found) else []


def _question_in(prompt: Sequence[Message]) -> str:
    """Returns the question in a prompt: what follows the last "Question:" in its first message, else all of it."""
    text = next(str(message["content"]) for message in prompt if message["role"] == "user")
    return text.rpartition("Question:")[2].strip().split("\n", 1)[0] or text.strip()
