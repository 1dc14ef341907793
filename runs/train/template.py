"""The chat template in training: which text the model is asked with, and which tokens it learns to answer.

The principle: every turn is learned after exactly the text that prompts the model for it. `Template` renders that text,
then the conversation with the turn. What the turn adds, up to its first stop token, is learned, and nothing else.

1. Where a template only appends, the turns of a conversation share one example. Where it changes earlier turns (it
   takes thoughts out, or moves the tools to the last user message), a turn that the next one changes has its own.
2. What a template writes after the stop token, or only at the end of a conversation, is cut off.
3. An empty thought that the template writes before the words is given, and not learned: the rows have no thoughts, and
   the model should not learn to have none.
4. Where the next speaker's mark is the stop token, as in GLM's templates, it is taken from the next turn.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from josh.errors import UsageError
from josh.messages import Message
from josh.models.chat_template import ChatTemplate, LostCallError, RefusedError, Tools, without_row

_EMPTY_THOUGHT = re.compile(r"\s*(<[\w:]*think\w*>)?\s*</[\w:]*think\w*>\s*")
_NO_THOUGHTS = ({"enable_thinking": False}, {"thinking": False})
"""Values by which known templates leave thoughts out."""

_AS_TEXT = "search with an agent that writes its calls as text (--agent react)"


class LeftOutError(Exception):
    """A row that a template cannot render, so that it is left out of the training. The text says why."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """A turn in rendered text.

    Attributes:
        text: the prompt and the turn, with its stop token.
        start: where the learned part begins in the text; it ends with the text.
    """

    text: str
    start: int


@dataclass(frozen=True, slots=True)
class Example:
    """A tokenized example.

    Attributes:
        ids: the tokens.
        learned: for each token, whether it is learned.
        turns: for each learned token the number of its turn in the conversation, from 0; -1 for the others.
    """

    ids: list[int]
    learned: list[bool]
    turns: list[int]


class Template:
    """A tokenizer and its chat template, which render and tokenize conversations for training.

    Attributes:
        chat: the template and its tokenizer.
        model: the model's name.
        stops: the tokens that end a turn.
        forms: the names of the changes that rows needed so far; see `josh.models.chat_template.FORMS`.
        thoughts: whether a turn so far has an empty thought before its words.
    """

    def __init__(self, chat: ChatTemplate, model: str, stops: Sequence[int], rows: int | None = None) -> None:
        """Use a chat template.

        Args:
            chat: the template and its tokenizer.
            model: the model's name, for errors.
            stops: the tokens that end a turn.
            rows: the number of rows of the model's embedding; None if unknown.

        Raises:
            UsageError: there is no stop token, or the template writes a token for which the model has no row.
        """
        self.chat = chat
        self.model = model
        self.stops = frozenset(stops)
        self.forms: set[str] = set()
        self.thoughts = False
        self._rows = rows
        if not self.stops:
            raise UsageError(
                f"the tokenizer of {model} has no stop token (eos_token), so the model could not end a turn; "
                "give another model"
            )
        self._ends = sorted(map(str, chat.tokenizer.convert_ids_to_tokens(sorted(self.stops))), key=len, reverse=True)
        missing = without_row(chat.tokenizer, rows, chat.text) if rows is not None else None
        if missing is not None:
            raise self._without_row(missing)

    @property
    def tokenizer(self) -> Any:
        """The tokenizer."""
        return self.chat.tokenizer

    def spoken(self, messages: Sequence[Message], tools: Tools, line: int) -> list[Spoken]:
        """Returns the assistant's turns in a conversation.

        Args:
            messages: the conversation.
            tools: the schemas of the agent's tools, or None.
            line: the row's line, for errors.

        Raises:
            LeftOutError: the template refuses the conversation.
            UsageError: the template does not fit the training at all, because it leaves calls or words out, has no stop
                token, or does not prompt for a turn with the text before it.
        """
        messages, tools = self._formed(messages, tools, line)
        found: list[Spoken] = []
        for first, end in _turns(messages):
            try:
                found += [self._turn(messages, tools, place, place + 1, line) for place in range(first, end)]
            except (UsageError, LeftOutError):
                if end == first + 1:
                    raise
                # The template may merge adjacent messages.
                found.append(self._turn(messages, tools, first, end, line))
        return found

    def labelled(self, messages: Sequence[Message], tools: Tools, line: int) -> list[Example]:
        """Returns the examples of a conversation in which every turn is learned once; see `spoken` for the rest."""
        turns = self.spoken(messages, tools, line)
        examples: list[Example] = []
        while turns:
            last = turns.pop()
            spans = [(last.start, len(last.text))]
            while turns and last.text.startswith(turns[-1].text):
                earlier = turns.pop()
                spans.insert(0, (earlier.start, len(earlier.text)))
            examples.insert(0, self._example(last.text, spans, line, len(turns)))
        return examples

    def completed(
        self, prompt: Sequence[Message], completion: Message, tools: Tools, line: int
    ) -> tuple[list[int], list[int]]:
        """Returns the tokens of a prompt and of the turn after it; see `spoken` for arguments and errors."""
        formed, tools = self._formed([*prompt, completion], tools, line)
        if formed[-1]["role"] != "assistant" or (len(formed) > 1 and formed[-2]["role"] == "assistant"):
            raise LeftOutError("it takes one tool call per message")
        turn = self._turn(formed, tools, len(formed) - 1, len(formed), line)
        example = self._example(turn.text, [(turn.start, len(turn.text))], line)
        start = example.learned.index(True)
        return example.ids[:start], example.ids[start:]

    def _formed(self, messages: Sequence[Message], tools: Tools, line: int) -> tuple[Sequence[Message], Tools]:
        try:
            formed, tools, names = self.chat.formed(messages, tools)
        except LostCallError as error:
            raise UsageError(
                f"the chat template of {self.model} leaves out tool calls, here {str(error)!r} in line {line}, so the "
                "model would learn to say nothing; use another model, give --chat_template FILE with a template that "
                f"shows calls, or {_AS_TEXT}"
            ) from None
        except RefusedError as error:
            spoken = [message["role"] for message in messages if message["role"] not in {"system", "developer"}]
            if spoken and spoken[0] == "assistant":
                raise LeftOutError(
                    f"it refuses dialogues that begin with the assistant ({error}); begin the rows with a neutral user "
                    "message such as '(chat started)'"
                ) from None
            hint = f"; {_AS_TEXT}" if any(message.get("tool_calls") for message in messages) else ""
            raise LeftOutError(f"it refuses the dialogue: {error}{hint}") from None
        self.forms |= set(names)
        return formed, tools

    def _turn(self, messages: Sequence[Message], tools: Tools, first: int, end: int, line: int) -> Spoken:
        """Returns the turn that consists of the messages from `first` to before `end`."""
        asked = self._render(messages[:first], tools, True)
        whole = self._render(messages[:end], tools, False)
        if not whole.startswith(asked):
            raise self._not_asked(messages, tools, first, line)
        turn = messages[first:end]
        thought = None if any("</" in (one.get("content") or "") for one in turn) else _EMPTY_THOUGHT
        lead = thought.match(whole, len(asked)) if thought else None
        start = lead.end() if lead else len(asked)
        self.thoughts |= lead is not None
        stop = self._stop(whole, start)
        if stop is None:
            whole = self._continued(messages, tools, end)
            stop = self._stop(whole, start)
        if stop is None:
            raise UsageError(
                f"the chat template of {self.model} puts no stop token after the assistant's turn in line {line}, "
                f"which ends with {whole[start:][-40:]!r}, so the model would not learn to stop; correct eos_token in "
                "the model's generation_config.json, or give --chat_template FILE"
            )
        self._check_words(turn, whole[start:stop], line)
        return Spoken(whole[:stop], start)

    def _render(self, messages: Sequence[Message], tools: Tools, ask: bool) -> str:
        try:
            return self.chat.render(messages, tools, ask=ask)
        except RefusedError as error:
            if not messages:
                raise LeftOutError("it does not prompt for a dialogue that begins with the assistant") from None
            raise LeftOutError(f"it refuses the first {len(messages)} messages: {error}") from None

    def _stop(self, text: str, start: int) -> int | None:
        """Returns the end of the first stop token after a place."""
        found = [(place, -len(end)) for end in self._ends if (place := text.find(end, start)) >= 0]
        if not found:
            return None
        place, length = min(found)
        return place - length

    def _continued(self, messages: Sequence[Message], tools: Tools, end: int) -> str:
        """Returns the text up to the mark of the speaker after a turn."""
        text = self._render(messages[:end], tools, False)
        calls = messages[end - 1].get("tool_calls")
        following: Message = {"role": "user", "content": "?"}
        if end < len(messages):
            following = messages[end]
        elif calls:
            following = {"role": "tool", "content": "?", "tool_call_id": calls[0].get("id")}
        longer = self._render([*messages[:end], following], tools, False)
        if not longer.startswith(text):
            return text
        after = longer[len(text) :]
        mark = next((mark for mark in self._ends if after.lstrip().startswith(mark)), "")
        return longer[: len(text) + len(after) - len(after.lstrip()) + len(mark)] if mark else text

    def _check_words(self, turn: Sequence[Message], said: str, line: int) -> None:
        """Raises an error if the learned text does not hold what a turn says."""
        words = [(one.get("content") or "").strip() for one in turn]
        calls = [call["function"]["name"] for one in turn for call in one.get("tool_calls") or ()]
        if not any(words) and not calls:
            raise LeftOutError("a turn of the assistant is empty")
        lost = [word for word in words if word not in said and "think>" not in word]
        lost += [name for name in calls if name not in said]
        if lost or not said.removesuffix(next(end for end in self._ends if said.endswith(end))).strip():
            here = f", here {lost[0][:40]!r}" if lost else ""
            raise UsageError(
                f"the chat template of {self.model} leaves out what the assistant says in line {line}{here}; use "
                "another model, or give --chat_template FILE"
            )

    def _not_asked(self, messages: Sequence[Message], tools: Tools, place: int, line: int) -> UsageError:
        """Returns the error for a turn that does not begin with the prompt for it."""
        asked = self._render(messages[:place], tools, True)
        whole = self._render(messages[: place + 1], tools, False)
        at = next(
            (at for at, (one, other) in enumerate(zip(asked, whole, strict=False)) if one != other),
            min(len(asked), len(whole)),
        )
        if "think" not in asked[max(0, at - 8) :]:
            return UsageError(
                f"the chat template of {self.model} asks the model with {asked[max(0, at - 20) :][:60]!r}, but renders "
                f"the turn in line {line} as {whole[max(0, at - 20) :][:60]!r}; the model would be trained on other "
                "text than it sees later, give --chat_template FILE"
            )
        way = "give --chat_template FILE with a template that does not"
        for values in _NO_THOUGHTS:
            silent = ChatTemplate(self.tokenizer, self.chat.text, values)
            try:
                fits = silent.render(messages[: place + 1], tools).startswith(
                    silent.render(messages[:place], tools, ask=True)
                )
            except RefusedError:
                continue
            if fits:
                given = "{" + ", ".join(f'"{name}": false' for name in values) + "}"
                way = f"give --chat_template_kwargs '{given}', here and where the model is asked"
                break
        return UsageError(
            f"the chat template of {self.model} opens a thought in the prompt ({asked[-30:]!r}), and the assistant's "
            f"turn in line {line} has none, so it does not follow that prompt; {way}"
        )

    def _example(self, text: str, spans: Sequence[tuple[int, int]], line: int, first: int = 0) -> Example:
        """Returns the example of a text; `spans` are its learned turns, of which `first` is the number of the first."""
        coded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ids, places = list(coded["input_ids"]), list(coded["offset_mapping"])
        starts = [start for start, _ in spans]
        if any(left < start < right for left, right in places for start in starts):
            # A token joins the end of a prompt and the beginning of a turn, which are two texts when it is asked.
            ids, places = [], []
            for left, right in pairwise([0, *starts, len(text)]):
                coded = self.tokenizer(text[left:right], add_special_tokens=False, return_offsets_mapping=True)
                ids += coded["input_ids"]
                places += [(left + one, left + other) for one, other in coded["offset_mapping"]]
        turns = [
            next((first + at for at, (start, end) in enumerate(spans) if start < right and left < end), -1)
            for left, right in places
        ]
        ended = [token in self.stops for token, (left, right) in zip(ids, places, strict=True)]
        for _, end in spans:
            if not any(stop and left < end <= right for stop, (left, right) in zip(ended, places, strict=True)):
                raise UsageError(
                    f"the tokenizer of {self.model} does not read the stop token at the end of the assistant's turn in "
                    f"line {line} as one token, which ends with {text[max(0, end - 20) : end]!r}; use another model"
                )
        if self._rows is not None and max(ids) >= self._rows:
            number = next(number for number in ids if number >= self._rows)
            raise self._without_row(str(self.tokenizer.convert_ids_to_tokens(number)))
        return Example(ids, [turn >= 0 for turn in turns], turns)

    def _without_row(self, token: str) -> UsageError:
        return UsageError(
            f"the tokenizer of {self.model} has the token {token!r}, for which the model has no row (it has "
            f"{self._rows}); give the model and the tokenizer that belong together, or enlarge the model's embedding"
        )


def _turns(messages: Sequence[Message]) -> Iterator[tuple[int, int]]:
    """Yields the start and the end of each run of the assistant's messages."""
    start = None
    for place, message in enumerate([*messages, {"role": "user"}]):
        if message["role"] == "assistant":
            start = place if start is None else start
        elif start is not None:
            yield start, place
            start = None
