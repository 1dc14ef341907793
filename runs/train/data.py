"""Training rows in TRL's conversational formats: read, checked and tokenized before the first step.

1. `read_rows` reads a file and checks the fields of every row.
2. `fitting_template` chooses a chat template that keeps prefixes: a longer conversation must begin with the text of the
   shorter one, or the model would be trained on other text than it sees when it is used.
3. `prepare` tokenizes the rows, marks the assistant's tokens, and leaves out rows that are too long.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from josh.errors import UsageError
from josh.messages import Message, same_words

FORMATS = {"sft": ("messages",), "dpo": ("prompt", "chosen", "rejected"), "kto": ("prompt", "completion", "label")}
_ROLES = {"system", "developer", "user", "assistant", "tool"}
_LOOKED_AT = 50
"""Number of rows that are rendered, user turn by user turn, to check that the template keeps prefixes."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the file: its line number, from 1, and its content."""

    line: int
    content: dict[str, Any]

    @property
    def tools(self) -> list[Any] | None:
        """The schemas of the agent's tools, if it has any."""
        tools = self.content.get("tools") or None
        return json.loads(tools) if isinstance(tools, str) else tools


@dataclass(frozen=True, slots=True)
class Prepared:
    """The input of the trainer.

    Attributes:
        rows: for SFT `input_ids` and `labels` (-100 for tokens without loss), otherwise the rows as they were read.
        prompts: the token ids up to the agent's first token, one entry per distinct prompt, in the order of the rows.
        dropped: the number of rows that are left out, by reason.
        tokens: the number of tokens in the remaining rows.
    """

    rows: list[dict[str, Any]]
    prompts: list[list[int]]
    dropped: dict[str, int]
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
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
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


def _wrong(content: Mapping[str, Any], method: str) -> str | None:
    missing = [name for name in FORMATS[method] if name not in content]
    if missing:
        other = next((one for one, names in FORMATS.items() if set(names) <= set(content)), None)
        hint = f"; it is a row for `josh train {other}`" if other else ""
        return f"no {missing[0]!r}, which {method} rows have{hint}"
    for name in FORMATS[method]:
        if name == "label":
            if not isinstance(content["label"], bool):
                return f"label is {content['label']!r}; give true or false"
        elif not _are_messages(content[name]):
            return f"{name} is not a list of messages with role and content"
    if not _are_tools(content.get("tools")):
        return "tools is not a list of schemas"
    return _wrong_turns(content, method)


def _wrong_turns(content: Mapping[str, Any], method: str) -> str | None:
    if method == "sft":
        spoken = any(message["role"] == "assistant" for message in content["messages"])
        return None if spoken else "messages have no assistant turn to learn"
    if content["prompt"][-1]["role"] == "assistant":
        return "prompt ends with a turn of the assistant; it must end before the assistant speaks"
    for name in FORMATS[method][1:]:
        if name != "label" and (len(content[name]) != 1 or content[name][0]["role"] != "assistant"):
            return f"{name} is not one assistant message"
    same = method == "dpo" and same_words(content["chosen"], content["rejected"])
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


class Template:
    """A tokenizer and its chat template, which render and tokenize conversations for training."""

    def __init__(self, tokenizer: Any, model: str, stops: Sequence[int], text: str | None = None) -> None:
        """Use a tokenizer with its own template, or with another one.

        Args:
            tokenizer: a fast tokenizer of transformers.
            model: the model's name, for errors.
            stops: the tokens that end a turn.
            text: a template in place of the tokenizer's own.

        Raises:
            UsageError: there is no template or no stop token.
        """
        self.tokenizer = tokenizer
        self.model = model
        self.stops = frozenset(stops)
        self.text = text or tokenizer.chat_template
        if not isinstance(self.text, str):
            raise UsageError(f"{model} has no chat template; give a chat model, or one with a chat_template.jinja")
        if not self.stops:
            raise UsageError(
                f"the tokenizer of {model} has no stop token (eos_token), so the model could not end a turn; "
                "give another model"
            )

    @property
    def marked(self) -> bool:
        """Whether the template marks the assistant's text with {% generation %}."""
        return "endgeneration" in self.text

    def render(self, messages: Sequence[Message], tools: Any, ask: bool = False) -> str:
        """Returns messages as text.

        Args:
            messages: the conversation.
            tools: the schemas of the agent's tools, or None.
            ask: end with the prompt for the assistant's next turn.

        Raises:
            UsageError: the template refuses the conversation, or leaves a tool call out.
        """
        from jinja2.exceptions import TemplateError

        try:
            text = str(
                self.tokenizer.apply_chat_template(
                    list(messages), tools=tools, chat_template=self.text, tokenize=False, add_generation_prompt=ask
                )
            )
        except (TemplateError, TypeError, ValueError, KeyError, RecursionError) as error:
            spoken = [message["role"] for message in messages if message["role"] not in {"system", "developer"}]
            said = " ".join(str(error).split())
            if spoken and spoken[0] == "assistant":
                raise UsageError(
                    f"the chat template of {self.model} refuses dialogues that begin with the assistant ({said}); "
                    "begin the rows with a neutral user message such as '(chat started)'"
                ) from None
            raise UsageError(f"the chat template of {self.model} refuses the dialogue: {said}") from None
        called = [call["function"]["name"] for message in messages for call in message.get("tool_calls") or ()]
        lost = next((name for name in called if name not in text), None)
        if lost is not None:
            raise UsageError(f"the chat template of {self.model} leaves out tool calls, here {lost!r}; use another")
        return text

    def ids(self, text: str) -> list[int]:
        """Returns the tokens of rendered text."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def breach(self, rows: Sequence[Row]) -> str | None:
        """Returns how the template changes earlier turns when the user speaks again; None if it keeps all prefixes."""
        for row in rows[:_LOOKED_AT]:
            messages = _conversation(row)
            for end in range(1, len(messages)):
                if messages[end - 1]["role"] == "assistant" and messages[end]["role"] == "user":
                    before = self.render(messages[:end], row.tools)
                    after = self.render(messages[: end + 1], row.tools)
                    if not after.startswith(before):
                        return _feature(before, after)
        return None

    def labelled(self, row: Row) -> tuple[list[int], list[bool]]:
        """Returns the tokens of a supervised row, and a mask that is true for the assistant's tokens and stop tokens.

        Raises:
            UsageError: a turn of the assistant is not marked, does not end with a stop token, or does not begin with
                the text that prompts the model for it.
        """
        messages, tools = row.content["messages"], row.tools
        text = self.render(messages, tools)
        if self.marked:
            both = self.tokenizer.apply_chat_template(
                list(messages),
                tools=tools,
                chat_template=self.text,
                tokenize=True,
                return_dict=True,
                return_assistant_tokens_mask=True,
            )
            ids, mask = list(both["input_ids"]), list(map(bool, both["assistant_masks"]))
            self._all_marked(row, text, mask)
        else:
            ids, mask = self._labelled_by_prefix(text, messages, tools)
        if not any(mask):
            raise UsageError(
                f"the chat template of {self.model} leaves out the assistant's words, here in line {row.line}; "
                "use another model"
            )
        for start, end in _runs(mask):
            stop = next((place for place in reversed(range(start, end)) if ids[place] in self.stops), None)
            if stop is None:
                self._no_stop(self.tokenizer.decode(ids[start:end])[-40:], row.line)
            elif not self.tokenizer.decode(ids[stop + 1 : end]).strip():
                # The model does not generate the line break after its stop token.
                mask[stop + 1 : end] = [False] * (end - stop - 1)
        return ids, mask

    def completed(self, row: Row, name: str) -> tuple[list[int], int]:
        """Returns the tokens of a preference row's prompt, and the number of tokens of prompt and completion together.

        Args:
            row: the row.
            name: the field with the completion.

        Raises:
            UsageError: the completion changes the text of the prompt, or has no stop token.
        """
        prompt = self.render(row.content["prompt"], row.tools, ask=True)
        whole = self.render([*row.content["prompt"], *row.content[name]], row.tools)
        if not whole.startswith(prompt):
            self._no_prefix(prompt, whole)
        prompt_ids, ids = self.ids(prompt), self.ids(whole)
        if not self.stops.intersection(ids[len(prompt_ids) :]):
            self._no_stop(whole[len(prompt) :][-40:], row.line)
        return prompt_ids, len(ids)

    def _all_marked(self, row: Row, text: str, mask: Sequence[bool]) -> None:
        """Raises UsageError if the template does not mark an assistant message, or changes the text before it."""
        messages = row.content["messages"]
        starts: list[tuple[int, int]] = []
        for place, message in enumerate(messages):
            if message["role"] == "assistant":
                asked = self.render(messages[:place], row.tools, ask=True) if place else ""
                if text.startswith(asked):
                    starts.append((place, len(asked)))
                elif messages[place - 1]["role"] != "assistant":
                    self._no_prefix(asked, text)
        coded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        marked = [span for span, own in zip(coded["offset_mapping"], mask, strict=True) if own]
        for (place, start), (_, end) in pairwise([*starts, (len(messages), len(text))]):
            if not any(start < right and left < end for left, right in marked):
                raise UsageError(
                    f"the assistant mask of line {row.line} is empty for message {place + 1}: the chat template of "
                    f"{self.model} puts none of its text between {{% generation %}} and {{% endgeneration %}}"
                )

    def _labelled_by_prefix(self, text: str, messages: Sequence[Message], tools: Any) -> tuple[list[int], list[bool]]:
        """Returns tokens and mask for a template without markers, from the rendered text before and after each turn."""
        spans = []
        for place, message in enumerate(messages):
            if message["role"] == "assistant":
                start = self.render(messages[:place], tools, ask=True) if place else ""
                end = self.render(messages[: place + 1], tools)
                if not text.startswith(start):
                    self._no_prefix(start, text)
                if not text.startswith(end):
                    self._no_prefix(end, text)
                spans.append((len(start), len(end)))
        coded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        mask = [any(start < right and left < end for start, end in spans) for left, right in coded["offset_mapping"]]
        return list(coded["input_ids"]), mask

    def _no_prefix(self, before: str, after: str) -> None:
        raise UsageError(
            f"the chat template of {self.model} does not keep prefixes: {_feature(before, after)}; "
            "the model would be trained on other text than it sees later, use another model"
        )

    def _no_stop(self, ending: str, line: int) -> None:
        raise UsageError(
            f"the stop token is outside the assistant's part in line {line}, which ends with {ending!r}; the model "
            "would not learn to stop: put the stop token before {% endgeneration %} in the chat template, or correct "
            "eos_token"
        )


def fitting_template(template: Template, rows: Sequence[Row], training: Callable[[Any], str | None]) -> Template:
    """Returns a template that keeps prefixes over the user's turns: the given one, otherwise its training variant.

    Args:
        template: the model's own template.
        rows: the rows to render.
        training: returns the training variant of a tokenizer's template, or None.

    Raises:
        UsageError: neither keeps prefixes; the text says how the given template breaks them.
    """
    feature = template.breach(rows)
    if feature is None:
        return template
    text = training(template.tokenizer)
    if text is not None:
        variant = Template(template.tokenizer, template.model, tuple(template.stops), text)
        if variant.breach(rows) is None:
            return variant
    raise UsageError(
        f"the chat template of {template.model} does not keep prefixes: {feature}; the model would be trained on other "
        "text than it sees later, use a model whose template only appends"
    )


def prepare(rows: Sequence[Row], method: str, template: Template, max_length: int, path: Path) -> Prepared:
    """Check rows against a template, tokenize them, and leave out those that are too long.

    Args:
        rows: the rows.
        method: a key of `FORMATS`.
        template: a template that keeps prefixes.
        max_length: most tokens of a row.
        path: the file of the rows, for errors.

    Raises:
        UsageError: see `Template`; all rows are too long; or the remaining KTO rows have only one label.
    """
    kept: list[Row] = []
    ready: list[dict[str, Any]] = []
    prompts: dict[tuple[int, ...], None] = {}
    tokens = 0
    for row in rows:
        if method == "sft":
            ids, mask = template.labelled(row)
            length = len(ids)
            asked = ids[: mask.index(True)]
            one: dict[str, Any] = {
                "input_ids": ids,
                "labels": [token if own else -100 for token, own in zip(ids, mask, strict=True)],
            }
        else:
            sizes = [template.completed(row, name) for name in FORMATS[method][1:] if name != "label"]
            asked, length = sizes[0][0], max(size for _, size in sizes)
            one = {name: row.content[name] for name in FORMATS[method]}
            if row.tools:
                one["tools"] = json.dumps(row.tools)
        if length > max_length:
            continue
        kept.append(row)
        ready.append(one)
        prompts.setdefault(tuple(asked))
        tokens += length
    if not kept:
        raise UsageError(f"all {len(rows)} rows of {path} are longer than max_length, {max_length} tokens; give more")
    if method == "kto":
        both_labels(kept, path)
    return Prepared(ready, list(map(list, prompts)), {"too_long": len(rows) - len(kept)}, tokens)


def _conversation(row: Row) -> list[Message]:
    if "messages" in row.content:
        return list(row.content["messages"])
    return [*row.content["prompt"], *(row.content.get("chosen") or row.content.get("completion") or ())]


def _runs(mask: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """Yields the start and the end of each run of True."""
    start = None
    for place, own in enumerate([*mask, False]):
        if own and start is None:
            start = place
        elif not own and start is not None:
            yield start, place
            start = None


def _feature(before: str, after: str) -> str:
    """Returns how a template changes a text when another turn follows; the text should stay the same."""
    place = next(
        (place for place, (one, other) in enumerate(zip(before, after, strict=False)) if one != other),
        min(len(before), len(after)),
    )
    while place and before[place - 1] in "<|":
        place -= 1  # move back to the bracket that begins a special token
    lost = before[place:]
    if "think>" in before[max(0, place - 8) : place + 8]:
        return "it removes the <think> block from earlier turns"
    if len(lost) <= 40 and lost.strip():
        return f"it ends the text with {lost!r}, and leaves that out when another turn follows"
    return f"it renders {lost[:40]!r} as {after[place : place + 40]!r} when another turn follows"
