"""Reads the JSON of a chat-completions answer."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from josh.models.causes import usage_in
from josh.models.chat import Completion
from josh.models.sendable import thoughts_of
from josh.roles import Reply

_WORDS = ("text", "output_text", "refusal")
"""The kinds of a content's parts that are said. Other kinds, such as `thinking` and `reasoning`, are not."""


def read_answer(answer: Any, n: int) -> Completion:
    """Returns the replies in an answer's JSON, at most `n`, in the order of their index.

    Raises:
        TypeError, ValueError, KeyError, AttributeError, IndexError: the JSON has another shape.
    """
    choices = sorted(answer["choices"], key=lambda choice: choice.get("index") or 0)
    if not choices:
        raise ValueError("no choices")
    prompt = answer.get("prompt_token_ids")
    prompt_ids = tuple(map(int, prompt)) if prompt else None
    return Completion(tuple(_reply(choice, prompt_ids) for choice in choices[:n]), usage_in(answer))


def _reply(choice: Mapping[str, Any], prompt_ids: tuple[int, ...] | None) -> Reply:
    message = choice["message"]
    logprobs = (choice.get("logprobs") or {}).get("content") or ()
    token_ids = choice.get("token_ids")
    return Reply(
        # A truncated reply may end with half of a surrogate pair, which UTF-8 cannot encode.
        text=_words(message).encode("utf-8", "replace").decode("utf-8"),
        tool_calls=tuple(message.get("tool_calls") or ()),
        finish_reason=str(choice.get("finish_reason") or "stop"),
        token_ids=tuple(token_ids) if token_ids else None,
        prompt_ids=prompt_ids,
        logprobs=tuple(token["logprob"] for token in logprobs) if logprobs else None,
        likely=tuple(map(_likely, logprobs)) if any(token.get("top_logprobs") for token in logprobs) else None,
        thoughts=thoughts_of(message),
    )


def _likely(token: Mapping[str, Any]) -> dict[str, float]:
    """Returns the likeliest tokens at one place, the sampled one first."""
    others = {str(one["token"]): float(one["logprob"]) for one in token.get("top_logprobs") or ()}
    return {str(token["token"]): float(token["logprob"]), **others}


def _words(message: Mapping[str, Any]) -> str:
    """Returns the words of a message. Where it has none and refuses, these are the words of its refusal."""
    content = message.get("content") or ""
    words = content if isinstance(content, str) else "".join(_parts(content))
    refusal = message.get("refusal")
    return words if words.strip() or not isinstance(refusal, str) else refusal


def _parts(content: Sequence[Any]) -> Iterator[str]:
    for part in content:
        if isinstance(part, str):
            yield part
        elif part.get("type", "text") in _WORDS:
            yield str(part.get("text") or part.get("refusal") or "")
