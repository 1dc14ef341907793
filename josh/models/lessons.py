"""What the endpoints of a run refuse: fields of a request, by name, which later requests leave out or rename.

1. An endpoint answers HTTP 400 or 422 and names a field that the request had (`refused_field`).
2. The gateway keeps that as a `Lesson` about the endpoint and the model, says it in one line, and sends the request
   again at once, without the field.
3. Lessons are stored with the run's journal, so that a resumed run begins with them.
4. A reply's key contains the lessons that changed its request. `Lessons.known_for` gives all states in which earlier
   requests may have been sent, so that a resumed or replayed run finds replies from before and after each lesson.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from josh.messages import fold_system
from josh.models.chat import Completion, ContextError, Lesson, ModelError, Request, RetryableError
from josh.models.sendable import fields_added, sendable, tool_names, without_fields

SEVERAL = "n"
"""The field of a request for several replies. A lesson about it changes no key, because siblings then ask singly."""
SYSTEM = "system"
"""What a lesson names where an endpoint refuses system messages. It changes no key: the conversation says the same."""
TWINS = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
"""Fields that mean the same; a refused one is sent under the other name."""
OWN = ("temperature", "seed", "top_p", "min_p", "top_k", "stop", "logprobs", "top_logprobs", *TWINS, SEVERAL)
OWN += (
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "return_token_ids",
    "parallel_tool_calls",
    "user",
)
"""Fields that a request can do without. Tools and the format of a reply are not among them."""
_REFUSES = re.compile(
    r"(?i)unsupported|n[o']t (?:be )?(?:support|permit|allow|accept|available|recogni|both|valid)|unrecogni[sz]ed|"
    r"unknown|unexpected|extra|forbidden|deprecated|only|cannot|invalid|has to be|must be|no such|may not|remove"
)
_OUT_OF_RANGE = re.compile(
    r"(?i)between|less than|greater than|at (?:most|least)|range|smaller|larger|above|below|[<>]=?"
)
_NO_SEVERAL = re.compile(
    r"(?i)(?<![\w.])[\"'`]?n[\"'`]?(?=\s*(?:=|>|<|:|must|has|is|should|value|param|greater|more|not|cannot|,|\.?$))|"
    r"(?:parameter|argument|field|value of|name|key)s?\W{1,4}n\b|only one (?:completion|choice|reply)|"
    r"(?:multiple|several) (?:completions|choices|replies)"
)
_NO_SYSTEM = re.compile(
    r"(?i)(?:system|developer)\W{0,3}(?:role|message|prompt|instruction)s?\W.*?"
    r"(?:n[o']t\b|unsupported|invalid|only|disabled|cannot|unknown|unexpected)|"
    r"(?:no|unsupported|invalid|unknown|unexpected|without a) (?:system|developer)\W{0,3}(?:role|message|prompt)|"
    r"(?:role|input)\W{1,4}[\"'`]?(?:system|developer)\b[\"'`]?|"
    r"roles must alternate|only user and assistant|only supports? user and assistant"
)
"""The words of servers and chat templates that refuse a system message."""
_FAULTS = re.compile(r"(?i)unexpected keyword|unsupported|not support|unrecogni[sz]ed|unknown (?:param|field|arg)")
"""The words of a refusal that a server answers with 5xx."""


IDS = "tool_call_id"
"""The field of a lesson that every id of a tool call must have nine letters and digits."""
IN_MESSAGES = "messages."
"""The beginning of the field of a lesson about messages; it changes no key, because it changes no words."""
_NINE = re.compile(r"(?i)tool.?call.?id\b.*(?:length of 9|a-z, A-Z, 0-9|\b9 (?:char|letter|alphanum))")
_NOT_WANTED = re.compile(
    r"(?i)unsupported|n[o']t (?:be )?(?:support|permit|allow|accept|recogni)|unrecogni[sz]ed|unknown|unexpected|extra "
    r"|forbidden|extraneous|must not|should not|remove"
)


class Refused(NamedTuple):
    """A field that an endpoint refuses, and the name under which it is sent instead; empty to leave it out."""

    field: str
    instead: str = ""


def refused_field(error: ModelError, request: Request) -> Refused | None:
    """Returns the field that an endpoint's refusal names; None where it refuses something else.

    Only a field that the request has and can do without counts, and none that the user's `extra_body` sets. A number
    out of the endpoint's range is a wrong setting, unless josh chose it.

    Args:
        error: the endpoint's refusal.
        request: the request as it was sent.
    """
    text, status = str(error), error.status or 0
    if isinstance(error, ContextError) or not (status in {400, 422} or (status >= 500 and _FAULTS.search(text))):
        return None
    body = request.body
    mine = [name for name in OWN if name in body and name not in request.sampling.extra_body]
    named = re.split(r"[.\[\]]+", error.param.strip("].")) if error.param else []
    found = [name for name in mine if name in named] or [name for name in mine if _names(text, name)]
    if not found or not (_REFUSES.search(text) or error.code.startswith("unsupported")):
        return None
    if {"temperature", "top_p"} <= set(found):
        # They exclude each other: keep the one that was chosen.
        found = ["temperature" if body["temperature"] == 1 else "top_p"]
    field = found[0]
    if field not in ("seed", SEVERAL) and not error.code.startswith("unsupported") and _OUT_OF_RANGE.search(text):
        return None
    if field in TWINS:
        renamed = any(lesson.instead == field for lesson in request.lessons)
        return None if renamed or TWINS[field] in body else Refused(field, TWINS[field])
    return Refused(field)


def refused_in_messages(error: ModelError, request: Request) -> Refused | None:
    """Returns what an endpoint refuses in the history of a request.

    That is a system message, short ids, or a field that a provider wants back.

    Args:
        error: the endpoint's refusal.
        request: the request as it was sent.
    """
    text = str(error)
    if (error.status or 0) >= 400 and request.has_system and _NO_SYSTEM.search(text):
        return Refused(SYSTEM)
    if error.status not in {400, 422}:
        return None
    if _NINE.search(text) and not any(lesson.field == IDS for lesson in request.lessons):
        return Refused(IDS)
    added = sorted(fields_added(request.messages)) if _NOT_WANTED.search(text) else []
    return next((Refused(f"{IN_MESSAGES}{name}") for name in added if _names(text, name)), None)


def adapted(request: Request, lessons: tuple[Lesson, ...]) -> Request:
    """Returns a request that follows some lessons."""
    messages = request.messages
    unwanted = {one.field.removeprefix(IN_MESSAGES) for one in lessons if one.field.startswith(IN_MESSAGES)}
    if unwanted:
        messages = without_fields(messages, unwanted)
    if any(lesson.field == IDS for lesson in lessons):
        messages = sendable(messages, tools=tool_names(request.options), nine=True)
    if any(lesson.field == SYSTEM for lesson in lessons):
        messages = fold_system(messages)
    return replace(request, messages=messages, lessons=lessons)


def names_several(error: ModelError) -> bool:
    """Returns whether an error says that the endpoint gives one reply per request."""
    return bool(_NO_SEVERAL.search(str(error)))


def without_ends(completion: Completion, request: Request) -> Completion:
    """Returns the completion with its replies cut at the texts that end a reply.

    Servers do this themselves, unless they refuse or ignore `stop`.
    """
    ends = request.sampling.added_to(request.options).get("stop") or ()
    ends = (ends,) if isinstance(ends, str) else ends
    if not any(end in reply.text for end in ends for reply in completion.replies):
        return completion
    replies = []
    for reply in completion.replies:
        place = min((at for end in ends if end and (at := reply.text.find(end)) >= 0), default=None)
        replies.append(reply if place is None else replace(reply, text=reply.text[:place], finish_reason="stop"))
    return replace(completion, replies=tuple(replies))


class Lessons:
    """The lessons of a run, in the order in which they were learned."""

    def __init__(self, known: Iterable[Lesson] = ()) -> None:
        """Start with the lessons of earlier sessions."""
        self._known: dict[tuple[str, str], tuple[Lesson, ...]] = {}
        for lesson in known:
            self.add(lesson)

    def __bool__(self) -> bool:
        return bool(self._known)

    def add(self, lesson: Lesson) -> bool:
        """Add a lesson. Returns whether it is new."""
        key = lesson.endpoint, lesson.model
        known = self._known.get(key, ())
        if any(one.field == lesson.field for one in known):
            return False
        self._known[key] = (*known, lesson)
        return True

    def of(self, endpoint: str, model: str) -> tuple[Lesson, ...]:
        """Returns the lessons about a model of an endpoint, in order."""
        return self._known.get((endpoint, model), ())

    def single(self, endpoint: str, model: str) -> bool:
        """Returns whether a model gives one reply per request."""
        return any(lesson.field == SEVERAL for lesson in self.of(endpoint, model))

    def known_for(self, endpoint: str, model: str) -> Iterator[tuple[Lesson, ...]]:
        """Yields the lessons under which requests to a model may have been sent, the present ones first.

        A model may have had another address in an earlier session, so all endpoints with a model of this name count.
        """
        mine = self.of(endpoint, model)
        chains = [mine] + [chain for (where, name), chain in self._known.items() if name == model and where != endpoint]
        for chain in chains:
            for length in range(len(chain), 0, -1):
                yield chain[:length]


def hint(error: ModelError, speaker: str) -> str:
    """Returns the flags that may help where an endpoint asks for a field or is late; empty where none are known.

    Args:
        error: the error of the last attempt.
        speaker: whose request it was: `agent`, `user` or `judge`.
    """
    text, flag = str(error), "" if speaker == "agent" else f"{speaker}_"
    if isinstance(error, RetryableError) and error.late:
        return "try a longer --timeout, or a smaller --max_concurrency"
    if error.status not in {400, 422} or isinstance(error, ContextError):
        return ""
    for words, way in _WAYS:
        if words.search(text):
            return f"try --{flag}{way}"
    asked = error.param if re.fullmatch(r"[a-z]\w*", error.param) else ""
    if match := _WANTED.search(text):
        asked = match["before"] or match["after"]
    if asked and asked not in {"messages", "model", "content", "role", *OWN} and _WANTED.search(text):
        return f"try --{flag}extra_body '{{\"{asked}\": ...}}'"
    return ""


_WAYS = (
    (re.compile(r"chat_template_kwargs"), 'extra_body \'{"chat_template_kwargs": {"enable_thinking": false}}\''),
    (re.compile(r"enable_thinking"), "extra_body '{\"enable_thinking\": false}'"),
    (re.compile(r"reasoning_effort"), 'extra_body \'{"reasoning_effort": "low"}\''),
    (re.compile(r"max_(?:completion_)?tokens"), "max_tokens 1024"),
    (re.compile(r"(?i)\btemperature\b"), "leave_out temperature"),
    (re.compile(r"(?i)\btop_p\b"), "leave_out top_p"),
    (re.compile(r"(?i)\bmin_p\b"), "leave_out min_p"),
)
_WANTED = re.compile(
    r"(?i)(?:missing|requires?|set|provide|specify)\W+(?:(?:required|the|a|field|parameter|argument)\W+)*"
    r"(?P<after>[a-z]+(?:_[a-z]+)+)|(?P<before>[a-z]+(?:_[a-z]+)+)\W+(?:field |is |parameter )*required"
)


def _names(text: str, name: str) -> bool:
    """Returns whether a text names a field."""
    if name == SEVERAL:
        return bool(_NO_SEVERAL.search(text))
    return bool(re.search(rf"(?<![\w]){re.escape(name)}(?![\w])", text))


def effective(lessons: Iterable[Lesson], fields: Collection[str]) -> list[tuple[str, str]]:
    """Returns the lessons that change a request with these fields, as pairs of field and new name, in order."""
    return [(one.field, one.instead) for one in lessons if one.field in fields and one.field != SEVERAL]
