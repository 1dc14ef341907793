"""Chat templates of transformers: from messages to text and to tokens, in play and in training alike.

Templates differ in what they accept: some have no system role, some take one tool call per message, some want a call's
arguments as text. So a conversation that a template refuses is offered in another form with the same meaning (`FORMS`)
before it is given up. Play and training use this module, so a model is trained on the text that it is asked with.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import combinations
from pathlib import Path
from typing import Any

from josh.config import NOTHING
from josh.errors import UsageError
from josh.messages import Message, fold_system

Tools = Sequence[Any] | None
FOLDED = "folded"
"""The form in which the system prompt is a part of the first user message."""
_PROBE = "josh"
_PRIVATE = range(0xE000, 0xF8FF)
"""Characters without a meaning, one of which marks where a text is cut before it is tokenized."""


class RefusedError(ValueError):
    """A template that raises an error for a conversation, in each of its forms."""


class LostCallError(ValueError):
    """A template that leaves a tool call out. Its text is the call's name."""


@dataclass(frozen=True, slots=True)
class Form:
    """A change of a conversation that keeps its meaning.

    Attributes:
        applies: whether the change makes a difference to messages and tools.
        change: returns the changed messages and tools.
    """

    applies: Callable[[Sequence[Message], Tools], bool]
    change: Callable[[Sequence[Message], Tools], tuple[Sequence[Message], Tools]]


def _calls(messages: Sequence[Message]) -> list[Mapping[str, Any]]:
    return [call for message in messages for call in message.get("tool_calls") or ()]


def _other_arguments(messages: Sequence[Message], tools: Tools) -> tuple[Sequence[Message], Tools]:
    return [_with_calls(message, _other_type) for message in messages], tools


def _other_type(call: Mapping[str, Any]) -> Mapping[str, Any]:
    arguments = call["function"]["arguments"]
    if isinstance(arguments, str):
        try:
            other: Any = json.loads(arguments)
        except ValueError:
            other = arguments
    else:
        other = json.dumps(arguments, ensure_ascii=False)
    return {**call, "function": {**call["function"], "arguments": other}}


def _with_calls(message: Message, change: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Message:
    return {**message, "tool_calls": list(map(change, message["tool_calls"]))} if message.get("tool_calls") else message


def _with_silence(words: str | None) -> Callable[[Sequence[Message], Tools], tuple[Sequence[Message], Tools]]:
    def changed(messages: Sequence[Message], tools: Tools) -> tuple[Sequence[Message], Tools]:
        return [{**one, "content": words} if _only_calls(one) else one for one in messages], tools

    return changed


def _only_calls(message: Message) -> bool:
    return bool(message.get("tool_calls")) and not message.get("content")


def _short_ids(messages: Sequence[Message], tools: Tools) -> tuple[Sequence[Message], Tools]:
    changed = [_with_calls(message, lambda call: {**call, "id": _short(call.get("id"))}) for message in messages]
    answers = [{"tool_call_id": _short(one["tool_call_id"])} if one.get("tool_call_id") else {} for one in changed]
    return [message | answer for message, answer in zip(changed, answers, strict=True)], tools


def _short(name: Any) -> str:
    return blake2b(str(name).encode("utf-8", "backslashreplace"), digest_size=5).hexdigest()[:9]


def _one_call_each(messages: Sequence[Message], tools: Tools) -> tuple[Sequence[Message], Tools]:
    changed: list[Message] = []
    moved: set[int] = set()
    for place, message in enumerate(messages):
        calls = message.get("tool_calls") or ()
        if place in moved:
            continue
        if len(calls) < 2:
            changed.append(message)
            continue
        end = next((at for at in range(place + 1, len(messages)) if messages[at]["role"] != "tool"), len(messages))
        results = {messages[at].get("tool_call_id"): at for at in range(place + 1, end)}
        for number, call in enumerate(calls):
            changed.append({**message, "content": message.get("content") if not number else "", "tool_calls": [call]})
            if call.get("id") in results:
                at = results[call.get("id")]
                moved.add(at)
                changed.append(messages[at])
    return changed, tools


FORMS: Mapping[str, Form] = {
    "arguments": Form(lambda messages, _: bool(_calls(messages)), _other_arguments),
    "null": Form(lambda messages, _: any(map(_only_calls, messages)), _with_silence(None)),
    "empty": Form(
        lambda messages, _: any(_only_calls(one) and one.get("content") is None for one in messages), _with_silence("")
    ),
    "one_call": Form(
        lambda messages, _: any(len(message.get("tool_calls") or ()) > 1 for message in messages), _one_call_each
    ),
    "short_ids": Form(lambda messages, _: bool(_calls(messages)), _short_ids),
    "no_tools": Form(lambda _, tools: tools is None, lambda messages, _: (messages, [])),
    FOLDED: Form(
        lambda messages, _: any(message["role"] in ("system", "developer") for message in messages),
        lambda messages, tools: (fold_system(messages), tools),
    ),
}
"""The forms, by name:

- `arguments`: a call's arguments as text instead of an object, or the other way round.
- `null`: the content beside a call is null instead of an empty text or none.
- `empty`: the content beside a call is an empty text instead of none.
- `one_call`: a message with several calls becomes several messages, each followed by the call's result.
- `short_ids`: ids of calls have nine letters and digits.
- `no_tools`: an empty list of tools instead of none.
- `folded`: see `josh.messages.fold_system`.
"""


class ChatTemplate:
    """A tokenizer with a chat template.

    Attributes:
        tokenizer: the tokenizer, of transformers.
        text: the template, in Jinja.
    """

    def __init__(self, tokenizer: Any, text: str | None = None, values: Mapping[str, Any] = NOTHING) -> None:
        """Use a tokenizer with its own template or with another one.

        Args:
            tokenizer: a tokenizer of transformers.
            text: a template in place of the tokenizer's own.
            values: values for the template's variables, such as `{"enable_thinking": False}`.

        Raises:
            UsageError: there is no template; the text is for after the model's name.
        """
        own = tokenizer.chat_template
        own = own.get("default") if isinstance(own, dict) else own
        found = text or own
        if not isinstance(found, str):
            raise UsageError("has no chat template; give a chat model, or --chat_template FILE")
        self.tokenizer = tokenizer
        self.text = with_values(found, values)
        self._last: tuple[str, ...] = ()
        self._given_up: set[str] = set()
        self._moves: bool | None = None
        self._control = control_tokens(tokenizer, self.text)

    @property
    def control(self) -> Sequence[str]:
        """The tokens that structure a conversation, the longest first; they do not belong into a message's text."""
        return self._control

    def formed(self, messages: Sequence[Message], tools: Tools) -> tuple[Sequence[Message], Tools, tuple[str, ...]]:
        """Returns a conversation in the first form that the template accepts, and the names of its changes.

        Raises:
            RefusedError: the template refuses every form.
            LostCallError: the template accepts a form, but leaves a tool call out.
        """
        messages = [{name: value for name, value in message.items() if value is not None} for message in messages]
        useful = [name for name, form in FORMS.items() if form.applies(messages, tools)]
        always = {FOLDED} if FOLDED in useful and self._moves_system() else set()
        last = tuple(name for name in useful if name in {*self._last, *always})
        first = self._accepts(messages, tools, last)
        if first is None:
            return *_changed(messages, tools, last), last
        if str(first) in self._given_up:
            raise first
        errors: dict[tuple[str, ...], RefusedError | LostCallError] = {}
        for size in range(len(useful) + 1):
            for names in combinations(useful, size):
                error = self._accepts(messages, tools, names) if always <= set(names) else None
                if error is None and always <= set(names):
                    self._last = names
                    return *_changed(messages, tools, names), names
                if error is not None:
                    errors[names] = error
        self._given_up.add(str(first))
        lost = next((error for error in errors.values() if isinstance(error, LostCallError)), None)
        raise lost or errors.get((FOLDED,)) or next(iter(errors.values()))

    def _moves_system(self) -> bool:
        """Returns whether the template puts the system prompt after the user's first words, or leaves it out later."""
        if self._moves is None:
            words = ["sys" + _PROBE, "one" + _PROBE, "two" + _PROBE, "three" + _PROBE]
            roles = ["system", "user", "assistant", "user"]
            chat = [{"role": role, "content": word} for role, word in zip(roles, words, strict=True)]
            try:
                begun, later = (self.render(chat[:end], None, ask=True) for end in (2, 4))
                place = later.find(words[0])
                self._moves = words[0] in begun and (place < 0 or place > later.find(words[1]))
            except RefusedError:
                self._moves = False
        return self._moves

    def render(self, messages: Sequence[Message], tools: Tools, *, ask: bool = False) -> str:
        """Returns messages as text; with `ask`, it ends with the prompt for the assistant's next turn.

        Raises:
            RefusedError: the template refuses the conversation.
        """
        from transformers.utils.chat_template_utils import render_jinja_template

        try:
            # `apply_chat_template` leaves out what is null, and some templates want null beside a call.
            [text], _ = render_jinja_template(
                conversations=[list(messages)],
                tools=tools,
                chat_template=self.text,
                add_generation_prompt=ask,
                **self.tokenizer.special_tokens_map,
            )
            return str(text)
        except Exception as error:  # a template's expressions may raise anything
            raise RefusedError(" ".join(str(error).split())[:300] or type(error).__name__) from None

    def prompt(self, messages: Sequence[Message], tools: Tools = None) -> tuple[list[int], tuple[str, ...]]:
        """Returns the tokens of the prompt for the assistant's next turn, and the changes of the form.

        Control tokens in the messages' texts are tokenized as ordinary text, so that they cannot end or begin a turn.

        Raises:
            RefusedError, LostCallError: see `formed`.
        """
        text, cut, names = self.prompt_text(messages, tools)
        return self.tokens(text, cut), names

    def prompt_text(
        self, messages: Sequence[Message], tools: Tools = None, cut: str | None = None
    ) -> tuple[str, str, tuple[str, ...]]:
        """Returns the text of the prompt for the assistant's next turn, a mark, and the changes of the form.

        The mark is a character that stands inside each control token of the messages' texts, and nowhere else.

        Args:
            messages: the conversation.
            tools: the schemas of the tools.
            cut: the mark to use; None for a character that the messages do not have.

        Raises:
            RefusedError, LostCallError: see `formed`.
        """
        given, cut = self._defused(messages, cut)
        formed, tools, names = self.formed(given, tools)
        return self.render(formed, tools, ask=True), cut, names

    def tokens(self, text: str, cut: str) -> list[int]:
        """Returns the tokens of a text with marks; see `prompt_text`."""
        return [token for piece in text.split(cut) for token in self.ids(piece)]

    def ids(self, text: str) -> list[int]:
        """Returns the tokens of rendered text."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def control_in(self, value: Any) -> str | None:
        """Returns a control token in a text, or in the texts of a list or an object; None if there is none."""
        if isinstance(value, str):
            return next((token for token in self._control if token in value), None)
        if isinstance(value, Mapping):
            value = [*value, *value.values()]
        if isinstance(value, list | tuple):
            return next((found for found in map(self.control_in, value) if found), None)
        return None

    def _defused(self, messages: Sequence[Message], given: str | None = None) -> tuple[Sequence[Message], str]:
        """Returns the messages with a mark inside every control token, and the mark: the given one, or a free one."""
        texts = json.dumps(messages, ensure_ascii=False, default=str)
        cut = given or next(chr(code) for code in _PRIVATE if chr(code) not in texts)
        if not any(token in texts for token in self._control) and self.control_in(list(messages)) is None:
            return messages, cut

        def defused(value: Any) -> Any:
            if isinstance(value, str):
                for token in self._control:
                    value = value.replace(token, token[0] + cut + token[1:])
                return value
            if isinstance(value, Mapping):
                return {name: defused(each) for name, each in value.items()}
            return list(map(defused, value)) if isinstance(value, list | tuple) else value

        return [{**defused(message), "role": message["role"]} for message in messages], cut

    def _accepts(
        self, messages: Sequence[Message], tools: Tools, names: tuple[str, ...]
    ) -> RefusedError | LostCallError | None:
        formed, given = _changed(messages, tools, names)
        try:
            self.render(formed, given, ask=formed[-1]["role"] != "assistant" if formed else True)
            lost = self._lost(formed, given)
        except RefusedError as error:
            return error
        return LostCallError(lost) if lost is not None else None

    def _lost(self, messages: Sequence[Message], tools: Tools) -> str | None:
        """Returns the name of a call that the text of its own message does not show; None if all are shown."""
        for place, message in enumerate(messages):
            calls = message.get("tool_calls")
            if not calls:
                continue
            shown = self.render(messages[: place + 1], tools)
            silent = {name: value for name, value in message.items() if name != "tool_calls"}
            silent["content"] = message.get("content") or _PROBE
            try:
                without = self.render([*messages[:place], silent], tools)
            except RefusedError:
                without = self.render(messages[:place], tools)
            own = _changed_part(without, shown)
            for call in calls:
                if not all(_shows(own, value) for value in _words_of(call["function"])):
                    return str(call["function"]["name"])
        return None


def _changed(messages: Sequence[Message], tools: Tools, names: Sequence[str]) -> tuple[Sequence[Message], Tools]:
    for name in names:
        messages, tools = FORMS[name].change(messages, tools)
    return messages, tools


def _changed_part(one: str, other: str) -> str:
    """Returns the part of the second text that is not in the first: without the beginning and the end in common."""
    most = min(len(one), len(other))
    start = next((at for at in range(most) if one[at] != other[at]), most)
    end = next((at for at in range(most - start) if one[-1 - at] != other[-1 - at]), most - start)
    return other[start : len(other) - end]


def _words_of(function: Mapping[str, Any]) -> list[str]:
    """Returns a call's name and the texts among its arguments."""
    arguments = function["arguments"]
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            return [function["name"], arguments]
    values = arguments.values() if isinstance(arguments, Mapping) else ()
    return [function["name"], *(value for value in values if isinstance(value, str))]


def _shows(text: str, value: str) -> bool:
    value = value.strip()
    forms = (value, json.dumps(value, ensure_ascii=False)[1:-1], json.dumps(value)[1:-1])
    doubled = tuple(json.dumps(form, ensure_ascii=False)[1:-1] for form in forms)
    return any(form in text for form in (*forms, *doubled))


def template_text(given: str | None) -> str | None:
    """Returns the chat template in a file; a text with Jinja's brackets is the template itself.

    Raises:
        UsageError: the file cannot be read, or its template has a syntax error.
    """
    if not given:
        return None
    text = given
    if "{{" not in given and "{%" not in given:
        try:
            text = Path(given).expanduser().read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            why = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
            raise UsageError(f"chat_template is {given!r}, which cannot be read: {why}") from None
    if "{{" not in text and "{%" not in text:
        raise UsageError(f"chat_template is {given!r}, which is not a chat template; give a file in Jinja")
    return text


def with_values(text: str, values: Mapping[str, Any]) -> str:
    """Returns a template in which variables have values, unless the caller gives others."""
    lines = (
        f"{{%- if {name} is not defined %}}{{%- set {name} = {value!r} %}}{{%- endif %}}"
        for name, value in values.items()
    )
    return "".join(lines) + text


def without_row(tokenizer: Any, rows: int, text: str) -> str | None:
    """Returns the first token in a text, such as a template, whose number is not below a model's number of rows."""
    above = sorted(number for number in tokenizer.added_tokens_decoder if number >= rows)
    return next((found for number in above if (found := str(tokenizer.added_tokens_decoder[number])) in text), None)


def control_tokens(tokenizer: Any, template: str) -> Sequence[str]:
    """Returns the tokens that structure a conversation, the longest first.

    They are the tokenizer's special tokens, and of its other added tokens those that the template writes. The brackets
    of thoughts are not among them, because a row may hold thoughts.
    """
    found = {str(token) for token in tokenizer.all_special_tokens}
    for token in tokenizer.added_tokens_decoder.values():
        if token.special or (str(token.content) in template and token.content[:1] in "<[" and len(token.content) > 2):
            found.add(str(token.content))
    found -= {"<think>", "</think>", ""}
    return sorted((token for token in found if len(token) > 1), key=lambda token: (-len(token), token))
