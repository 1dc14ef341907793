"""Training rows in TRL's conversational formats: read, checked and tokenized before the first step.

1. `read_rows` reads a file and checks the fields of every row.
2. `prepare` renders and tokenizes the rows with the chat template (`template.py`), and leaves out rows that are too
   long, that the template refuses, or that hold control tokens in a text.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from josh.errors import UsageError
from josh.messages import same_words
from josh.runs.export.not_rows import instead_of_rows
from josh.runs.train.template import LeftOutError, Template
from josh.runs.train.weights import advantages_of, with_weights
from josh.texts import unreadable

FORMATS = {
    "sft": ("messages",),
    "dpo": ("prompt", "chosen", "rejected"),
    "kto": ("prompt", "completion", "label"),
}
_LAST_TURN = ("prompt", "completion")
"""The fields of an sft row of which only the last turn is learned."""
_ROLES = {"system", "developer", "user", "assistant", "tool"}


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the file: its line number, from 1, and its content."""

    line: int
    content: dict[str, Any]

    def texts(self, method: str) -> list[Any]:
        """Returns its messages: the value of every field with messages that a method reads."""
        return [self.content[name] for name in _fields(self.content, method) if name != "label"]

    @property
    def tools(self) -> list[Any] | None:
        """The schemas of the agent's tools, if it has any."""
        tools = self.content.get("tools") or None
        return json.loads(tools) if isinstance(tools, str) else tools


@dataclass(frozen=True, slots=True)
class Prepared:
    """The input of the trainer.

    Attributes:
        rows: the examples in tokens: `input_ids` and `labels` (-100 for tokens without loss) for SFT, `prompt_ids` and
            `chosen_ids`, `rejected_ids` or `completion_ids`, `label` otherwise.
        lines: for each example the line of its row in the file, from 1.
        prompts: the token ids up to the agent's first token, one entry per distinct prompt, in the order of the rows.
        used: the number of rows of the file in `rows`; a conversation may give several examples.
        dropped: the number of rows that are left out, by reason.
        notes: for each reason but the length, the first row that is left out, and why.
        tokens: the number of tokens in the examples.
    """

    rows: list[dict[str, Any]]
    lines: list[int]
    prompts: list[list[int]]
    used: int
    dropped: dict[str, int]
    notes: list[str]
    tokens: int


def read_rows(path: Path, method: str) -> list[Row]:
    """Returns the rows of a file for a method.

    Args:
        path: the JSONL file.
        method: a key of `FORMATS`.

    Raises:
        UsageError: the file cannot be read, a row does not have the method's fields (the text names the line), or the
            file has no rows.
    """
    try:
        data = path.read_bytes()
        if other := instead_of_rows(path, data):
            raise UsageError(f"cannot read {path}: it is {other}")
        lines = data.decode("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from None
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            content = None
        wrong = "it is not a JSON object" if not isinstance(content, dict) else _wrong(content, method)
        if not wrong and not _is_text(content):
            wrong = r"it has half of a surrogate pair (\ud800 to \udfff), which is not text"
        if wrong:
            raise UsageError(f"{path} line {number}: {wrong}")
        rows.append(Row(number, content))
    if not rows:
        raise UsageError(f"{path} has no rows; export rows to train on")
    if method == "kto":
        both_labels(rows, path)
    return rows


def both_labels(rows: Sequence[Row], path: Path) -> None:
    """Raises UsageError if all KTO rows have the same label."""
    labels = {row.content["label"] for row in rows}
    if len(labels) == 1:
        kind = "winning" if labels.pop() else "losing"
        raise UsageError(f"{path} has only {kind} turns; KTO needs rows with label true and rows with label false")


def _fields(content: Mapping[str, Any], method: str) -> tuple[str, ...]:
    """Returns the names of the fields that a method reads in a row: of two forms of sft rows, those that it has."""
    only_last = method == "sft" and "messages" not in content and "label" not in content
    return _LAST_TURN if only_last and content.keys() >= set(_LAST_TURN) else FORMATS[method]


def _wrong(content: Mapping[str, Any], method: str) -> str | None:
    fields = _fields(content, method)
    missing = [name for name in fields if name not in content]
    if missing:
        other = next((one for one in FORMATS if set(_fields(content, one)) <= set(content)), None)
        hint = f"; it is a row for `josh train {other}`" if other else ""
        return f"no {missing[0]!r}, which {method} rows have{hint}"
    for name in fields:
        if name == "label":
            if not isinstance(content["label"], bool):
                return f"label is {content['label']!r}; give true or false"
        elif not _are_messages(content[name]):
            return f"{name} is not a list of messages with role and content"
    if not _are_tools(content.get("tools")):
        return "tools is not a list of schemas"
    return _wrong_turns(content, fields)


def _wrong_turns(content: Mapping[str, Any], fields: Sequence[str]) -> str | None:
    if "messages" in fields:
        spoken = any(message["role"] == "assistant" for message in content["messages"])
        return None if spoken else "messages have no assistant turn to learn"
    if content["prompt"][-1]["role"] == "assistant":
        return "prompt ends with a turn of the assistant; it must end before the assistant speaks"
    for name in fields[1:]:
        if name != "label" and (len(content[name]) != 1 or content[name][0]["role"] != "assistant"):
            return f"{name} is not one assistant message"
    if not isinstance(content.get("type"), str | None):
        return f"type is {content['type']!r:.40}; give a text, or leave it out"
    same = "chosen" in fields and same_words(content["chosen"], content["rejected"])
    return "chosen and rejected say the same" if same else None


def _is_text(content: Mapping[str, Any]) -> bool:
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _are_messages(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_message, value))


def _is_message(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("role"), str) or value["role"] not in _ROLES:
        return False
    words, calls = value.get("content"), value.get("tool_calls") or []
    called = isinstance(calls, list) and all(map(_is_call, calls))
    return called and (isinstance(words, str) or (words is None and bool(calls)))


def _is_call(value: Any) -> bool:
    function = value.get("function") if isinstance(value, dict) else None
    return (
        isinstance(function, dict)
        and isinstance(function.get("name"), str)
        and isinstance(function.get("arguments"), dict | str)
    )


def _are_tools(value: Any) -> bool:
    if value and isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return False
    return not value or (isinstance(value, list) and all(isinstance(tool, dict) for tool in value))


def prepare(
    rows: Sequence[Row], method: str, template: Template, max_length: int, path: Path, weights: bool = False
) -> Prepared:
    """Tokenize rows, and leave out those that are too long or do not fit the template.

    Args:
        rows: the rows.
        method: a key of `FORMATS`.
        template: the chat template.
        max_length: most tokens of an example.
        path: the file of the rows, for errors.
        weights: give each learned token a weight by the advantage of its turn, see `weights.py`.

    Raises:
        UsageError: see `Template`; no row remains; the remaining KTO rows have only one label; or a row lacks what its
            weights come from.
    """
    advantages: list[list[float | None]] = []
    kept: list[Row] = []
    ready: list[dict[str, Any]] = []
    lines: list[int] = []
    prompts: dict[tuple[int, ...], None] = {}
    dropped = {"too_long": 0, "control_tokens": 0, "refused": 0}
    notes: dict[str, str] = {}
    for row in rows:
        control = template.chat.control_in(row.texts(method))
        if control is not None:
            dropped["control_tokens"] += 1
            notes.setdefault("control_tokens", f"line {row.line} has the control token {control!r} in a text")
            continue
        own: list[list[float | None]] = []
        try:
            if weights:
                examples, own = _weighted(row, template, advantages_of(row.content, f"{path} line {row.line}"))
            else:
                examples = _examples(row, method, template)
        except LeftOutError as error:
            dropped["refused"] += 1
            notes.setdefault("refused", f"line {row.line} does not fit the chat template of {template.model}: {error}")
            continue
        if any(_length(one) > max_length for one in examples):
            dropped["too_long"] += 1
            continue
        kept.append(row)
        ready += examples
        advantages += own
        lines += [row.line] * len(examples)
        for one in examples:
            prompts.setdefault(tuple(_prompt(one)))
    if not kept:
        if dropped["too_long"] == len(rows):
            raise UsageError(
                f"all {len(rows)} rows of {path} are longer than max_length, {max_length} tokens; give more"
            )
        why = "; ".join(notes.values())
        raise UsageError(f"none of the {len(rows)} rows of {path} can be used: {why}{_way_out(notes)}")
    if method == "kto":
        both_labels(kept, path)
    if weights:
        with_weights(ready, advantages)
    tokens = sum(map(_length, ready))
    return Prepared(ready, lines, list(map(list, prompts)), len(kept), dropped, list(notes.values()), tokens)


def _examples(row: Row, method: str, template: Template) -> list[dict[str, Any]]:
    content, tools = row.content, row.tools
    if _fields(content, method) == _LAST_TURN:
        asked, said = template.completed(content["prompt"], content["completion"][0], tools, row.line)
        return [{"input_ids": asked + said, "labels": [-100] * len(asked) + said}]
    if method == "sft":
        return [
            {
                "input_ids": one.ids,
                "labels": [token if own else -100 for token, own in zip(one.ids, one.learned, strict=True)],
            }
            for one in template.labelled(content["messages"], tools, row.line)
        ]
    sides = [name for name in FORMATS[method][1:] if name != "label"]
    made = [template.completed(content["prompt"], content[name][0], tools, row.line) for name in sides]
    if any(prompt != made[0][0] for prompt, _ in made):
        raise LeftOutError("it renders the prompt of the chosen and of the rejected turn differently")
    example: dict[str, Any] = {"prompt_ids": made[0][0]}
    example |= {f"{name}_ids": ids for name, (_, ids) in zip(sides, made, strict=True)}
    return [example | ({"label": content["label"]} if method == "kto" else {})]


def _weighted(
    row: Row, template: Template, advantages: Sequence[float]
) -> tuple[list[dict[str, Any]], list[list[float | None]]]:
    """Returns the examples of an sft row, each with the advantage of every token; None for those not learned.

    Raises:
        LeftOutError: the template makes fewer or more turns of the assistant's messages, so that none can be weighted.
    """
    found = template.labelled(row.content["messages"], row.tools, row.line)
    turns = {turn for one in found for turn in one.turns} - {-1}
    if len(turns) != len(advantages):
        raise LeftOutError(f"it makes {len(turns)} turns of {len(advantages)} messages, which cannot be weighted")
    examples = [
        {
            "input_ids": one.ids,
            "labels": [token if own else -100 for token, own in zip(one.ids, one.learned, strict=True)],
        }
        for one in found
    ]
    return examples, [[None if turn < 0 else advantages[turn] for turn in one.turns] for one in found]


def _length(example: Mapping[str, Any]) -> int:
    if "input_ids" in example:
        return len(example["input_ids"])
    said = max(len(ids) for name, ids in example.items() if name.endswith("_ids") and name != "prompt_ids")
    return len(example["prompt_ids"]) + said


def _prompt(example: Mapping[str, Any]) -> list[int]:
    if "prompt_ids" in example:
        return list(example["prompt_ids"])
    first = next(place for place, label in enumerate(example["labels"]) if label != -100)
    return list(example["input_ids"][:first])


def _way_out(notes: Mapping[str, str]) -> str:
    return "; use another model, or give --chat_template FILE" if "refused" in notes else ""
