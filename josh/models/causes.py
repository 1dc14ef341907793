"""Why a request failed: reads the answers of servers and the errors of the SDKs, and says it in one line.

Servers and proxies put the cause in different places: `error.message`, `detail`, `message.detail`, a list, a text that
quotes another server's JSON, the body of an HTTP 200. `cause_in` finds it. `refusal` turns it into one of our
exceptions.
"""

import ast
import errno
import json
import os
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from josh.dialogue import NO_USAGE, Usage
from josh.errors import FatalError
from josh.models.chat import ContextError, ModelError, RetryableError
from josh.models.too_long import says_too_long
from josh.redact import Redactor

ONE_CALL = Usage(calls=1)
_SHOWN = 300
"""Most characters of a provider's text in an error."""
_TRANSIENT = {408, 409, 429}
_REFUSED = {401: "the key was refused", 402: "the account is empty", 404: "no such model or address"}
"""Statuses that every further call would get as well. 403 is not one: some routers refuse a single prompt with it."""
_FINAL = (
    (
        re.compile(r"(?i)invalid model name|model_not_found|server is pinned to|model\b.{0,80}\bdoes not exist"),
        _REFUSED[404],
    ),
    (re.compile(r"(?i)no connected db|invalid_api_key|incorrect api key"), _REFUSED[401]),
)
"""The same, for servers that answer 400."""
_KEYLESS = "no key was sent, and the server asks for one; name its variable with api_key_var"
"""Instead of a refused key, where the request had none."""
_EMPTY = re.compile(r"(?i)insufficient_quota")
_NAMED = {
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "too_many_requests": 429,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "invalid_request_error": 400,
    "overloaded_error": 529,
}
"""HTTP statuses of error codes and types, for errors in bodies without a number."""
_WRAPPED = re.compile(
    r"^(?:(?:litellm\.)?(?:[A-Z]\w*)?(?:Error|Exception|Timeout)(?::| -| (?=[A-Z]\w*Error -))|Error code: \d{3} -)\s*"
)
_UNREACHABLE = re.compile(r"Cannot connect to host (\S+)(?: ssl:(?:<[^>]*>|\S+))?(?: \[(.*)\])?")
_UNREADABLE = re.compile(
    r"(?s)Unable to get json response - .*?Original Response: (?P<body>.*)|Invalid response object|"
    r"provider returned a response with no 'choices'"
)
"""Litellm's words for the body of an HTTP 200 that it cannot read."""
_CONNECTORS = {"ConnectError", "ClientConnectorError", "ClientConnectorDNSError", "ClientConnectorCertificateError"}
_CUT_OFF = {"ClientPayloadError", "IncompleteRead"}
_PAGE = re.compile(r"(?is)^\s*<(?:!doctype|html|head|body|\?xml)")


@dataclass(frozen=True, slots=True)
class Message:
    """Makes the texts of errors about a model.

    Attributes:
        where: the model's name and address.
        redact: removes secrets.
        keyed: whether the requests have a key.
    """

    where: str
    redact: Redactor
    keyed: bool = True

    @property
    def is_bare(self) -> bool:
        """Whether the address is a host alone, without a path."""
        address = urlsplit(self.where.rsplit(" ", 1)[-1])
        return bool(address.netloc) and address.path in {"", "/"}

    def __call__(self, text: object) -> str:
        """Returns where the error is, and the given text without secrets, on one line."""
        return f"{self.where}: {self.redact(' '.join(str(text).split()))[:_SHOWN]}"


@dataclass(frozen=True, slots=True)
class Cause:
    """What a server says about a request that failed.

    Attributes:
        text: its message, on one line; empty where it gives none.
        status: the HTTP status that the body names; None where it names none.
        code: the error's code or type, such as `unsupported_parameter`.
        param: the request's field that the error is about, where it is named.
    """

    text: str = ""
    status: int | None = None
    code: str = ""
    param: str = ""


def cause_in(body: Any, depth: int = 0) -> Cause:
    """Returns what an error's body says, in any of the forms that servers use."""
    if isinstance(body, bytes):
        body = body.decode("utf-8", "replace")
    if isinstance(body, str):
        return _of_text(body, depth)
    if isinstance(body, list | tuple):
        return cause_in(body[0], depth + 1) if body and depth < 8 else Cause()
    if not isinstance(body, Mapping) or depth > 8:
        return Cause()
    place_of_text = next((body[name] for name in ("error", "message", "detail", "msg") if body.get(name)), None)
    inner = cause_in(place_of_text, depth + 1)
    text, code = inner.text, inner.code or _word(body.get("code")) or _word(body.get("type"))
    place = body.get("loc")
    if isinstance(place, list | tuple) and text:  # pydantic: the path of the field, and what is wrong with it
        inner = replace(inner, param=inner.param or str(place[-1] if place else ""))
        text = f"{'.'.join(map(str, place))}: {text}"
    metadata = body.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
    if raw and (further := cause_in(raw, depth + 1)).text:  # routers quote the provider's answer
        text = f"{text}: {further.text}"
        inner = replace(inner, param=inner.param or further.param)
    status = inner.status or _status(body.get("code")) or _status(body.get("status")) or _NAMED.get(code)
    return Cause(text, status, code, inner.param or _word(body.get("param")))


def refusal(status: int | None, found: Cause, headers: Mapping[str, str], message: Message) -> Exception:
    """Returns the exception for an answer that refuses a request.

    Args:
        status: its HTTP status, or the one that its body names; None where there is none.
        found: what its body says.
        headers: its headers, with names in lower case.
        message: makes the error's text.
    """
    said = message(f"HTTP {status}: {found.text}" if status else found.text)
    known = f"{found.code} {found.text}"
    if status in {None, 400, 401, 403, 404, 422, 429} and _EMPTY.search(known):
        return FatalError(f"the account is empty: {said}")  # a retry cannot succeed
    if status not in {401, 402, 403, 404, 408, 429} and says_too_long(known):
        return ContextError(said, status, found.code, found.param)
    if status is None or status < 400:
        return RetryableError(said)
    if status in _TRANSIENT or status >= 500:
        return RetryableError(said, status, seconds_asked(headers))
    final = _REFUSED.get(status) or next((why for words, why in _FINAL if words.search(known)), "")
    if final == _REFUSED[401] and not message.keyed:
        final = _KEYLESS
    if status == 404 and message.is_bare:
        final = f"{final}; most servers listen at an address that ends with /v1"
    return FatalError(f"{final}: {said}") if final else ModelError(said, status, found.code, found.param)


def failure(error: BaseException, timeout: float, message: Message) -> Exception:
    """Returns the exception for a request that raised an error of the openai SDK, of litellm, or of Python.

    Args:
        error: the error.
        timeout: seconds that the request had.
        message: makes the error's text.
    """
    from openai import APIError

    chain = list(_chain(error))
    if isinstance(error, APIError | TimeoutError):
        broken = _broken(chain, timeout, message)
        if broken is not None or not isinstance(error, APIError):
            return broken or ModelError(message(error))
        # Some of litellm's errors have a status and are not an APIStatusError.
        found, status = cause_in(error.body if error.body else error.message), getattr(error, "status_code", None)
        if type(error).__name__ == "ContextWindowExceededError":  # litellm's own finding
            found = replace(found, code=found.code or "context_length_exceeded")
        if isinstance(error.message, str) and (unread := _UNREADABLE.search(error.message)):
            return RetryableError(message(unusable(unread["body"] or {})), billed=ONE_CALL)
        # Litellm keeps the headers in an attribute of its own, and its response may be missing or artificial.
        headers = getattr(error, "litellm_response_headers", None)
        return refusal(status, found, headers or getattr(getattr(error, "response", None), "headers", {}), message)
    if isinstance(error, ImportError | UnicodeError) and not isinstance(error, UnicodeDecodeError):
        impossible = "the key, the address or the request has an impossible character: "
        return FatalError(message(f"{impossible if isinstance(error, UnicodeError) else ''}{error}"))
    if isinstance(error, ValueError | RecursionError):  # the SDK cannot parse a body whose Content-Type is JSON
        return RetryableError(message(_unparsed(error)), billed=ONE_CALL)
    return ModelError(message(str(error) or repr(error)))


def _broken(chain: Sequence[BaseException], timeout: float, message: Message) -> RetryableError | None:
    """Returns the exception for a request without a whole answer; None where the error is about something else."""
    from openai import APIConnectionError

    names = {type(one).__name__ for one in chain}
    if names & _CONNECTORS or any(_UNREACHABLE.search(str(one)) for one in chain):
        return _not_connected(chain, message)
    if names & _CUT_OFF:
        return RetryableError(message("the connection broke within the reply"), billed=ONE_CALL)
    # Litellm makes a `Timeout` of a server's HTTP 408, too.
    late = type(chain[0]).__name__ == "Timeout" and re.search(r"(?i)timed out", str(chain[0]))
    if late or "ReadTimeout" in names or any(isinstance(one, TimeoutError) for one in chain):
        return RetryableError(message(f"no reply within {timeout:g} seconds"), late=True, billed=ONE_CALL)
    if isinstance(chain[0], APIConnectionError) and not hasattr(chain[0], "status_code"):
        return RetryableError(message(f"the connection broke: {_spelled(str(chain[0].__cause__ or chain[0]))}"))
    return None


def not_usable(answer: Any, message: Message) -> Exception:
    """Returns the exception for the body of an HTTP 200 that is not a chat completion: an error, or something else.

    Args:
        answer: the body, parsed where it is JSON, else as text.
        message: makes the error's text.
    """
    wrong = answer.get("error") if isinstance(answer, Mapping) else None
    choices = answer.get("choices") if isinstance(answer, Mapping) else None
    if not wrong and isinstance(choices, list) and choices and isinstance(choices[0], Mapping):
        wrong = choices[0].get("error")
    used = usage_in(answer)
    found = cause_in({"error": wrong}) if wrong else Cause()
    if isinstance(answer, Mapping) and not wrong and not choices:
        found = cause_in(answer) if answer.get("object") == "error" or "detail" in answer else Cause()
    if found.text:
        error = refusal(found.status, found, {}, message)
        if found.status is None and isinstance(error, RetryableError):
            error = RetryableError(message(f"an error instead of a reply: {found.text}"))
        if isinstance(error, ModelError) and used != NO_USAGE:
            error.billed = ONE_CALL + used
        return error
    return RetryableError(message(unusable(answer)), billed=ONE_CALL + used)


def _not_connected(chain: Sequence[BaseException], message: Message) -> RetryableError:
    """Returns the exception for a request that reached no server."""
    found = next((match for one in chain if (match := _UNREACHABLE.search(str(one)))), None)
    failed = next((one for one in chain if isinstance(one, OSError) and not hasattr(one, "os_error")), None)
    number = (failed.errno or 0) if failed is not None else 0
    if number in {errno.EMFILE, errno.ENFILE}:
        # Fewer calls at a time may fit into the limit.
        return RetryableError(message(f"{os.strerror(number)}; raise the limit with ulimit -n"), 429)
    why = os.strerror(number) if number > 0 else str(failed.strerror or failed) if failed is not None else ""
    why = why or (found.group(2) if found is not None else "") or ""
    if re.match(r"Connect call failed", why):
        why = "connection refused"
    if isinstance(failed, ssl.SSLError):
        why = f"TLS failed ({(failed.reason or str(failed)).replace('_', ' ').lower()})"
    why = why if why.startswith("TLS") else f"{why[:1].lower()}{why[1:]}"
    cannot = f"cannot connect: {why}" if why else "cannot connect"
    return RetryableError(message(cannot), unreachable=True)


def unusable(answer: Any) -> str:
    """Returns why the body of an HTTP 200 is not a chat completion; it begins with "the reply is not"."""
    if isinstance(answer, str) and answer.lstrip()[:1] in ("{", "["):
        return "the reply is not JSON: it ends early, or is damaged"
    if isinstance(answer, str):
        text = " ".join(answer.split())
        why = f", and its Content-Type is missing or not JSON: {text[:100]}" if text else ": it is empty"
        if _PAGE.match(answer):
            why = ", but an HTML page; is the address right, up to and with /v1?"
        if text.startswith(("data:", "event:")):
            why = ", but a stream of events"
    else:
        body = answer if isinstance(answer, Mapping) else {}
        choices = body.get("choices")
        why = ": it has no choices" if choices == [] else ""
        if choices and isinstance(choices, list) and isinstance(choices[0], Mapping) and "text" in choices[0]:
            why = ", but a text completion"
        if body.get("type") == "message":
            why = ", but one of Anthropic's Messages API; give the model as anthropic/NAME"
    return f"the reply is not a chat completion{why}"


def usage_in(answer: Any) -> Usage:
    """Returns the tokens that an answer says it took; zeros where it does not say, or is cut off before it."""
    counts = answer.get("usage") if isinstance(answer, Mapping) else None
    if not isinstance(counts, Mapping):
        return Usage()
    return Usage(
        prompt_tokens=_number(counts.get("prompt_tokens")), completion_tokens=_number(counts.get("completion_tokens"))
    )


def seconds_asked(headers: Mapping[str, str]) -> float | None:
    """Returns the seconds until a retry by the Retry-After header, which holds seconds or a date; None without one."""
    header = headers.get("retry-after") or ""
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def _of_text(text: str, depth: int) -> Cause:
    """Returns what a text says; proxies wrap class names around another server's JSON, or Python's form of it."""
    rest = text.strip()
    while match := _WRAPPED.match(rest):
        rest = rest[match.end() :]
    if rest[:1] in ("{", "[") and depth < 8:
        parsed = _parsed(rest)
        if isinstance(parsed, Mapping | list) and (found := cause_in(parsed, depth + 1)).text:
            return found
    if _PAGE.match(rest):
        title = re.search(r"(?is)<(?:title|h1)[^>]*>(.*?)</(?:title|h1)>", rest)
        plain = re.sub(r"<[^>]*>", " ", title.group(1) if title else rest)
        rest = f"an HTML page ({' '.join(plain.split())[:80]})"
    return Cause(_spelled(" ".join(rest.split())))


def _parsed(text: str) -> Any:
    try:
        return json.JSONDecoder().raw_decode(text)[0]
    except (ValueError, RecursionError):
        pass
    try:
        end = max(text.rfind("}"), text.rfind("]")) + 1
        return ast.literal_eval(text[:end])
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def _spelled(text: str) -> str:
    """Returns a text without aiohttp's `ssl:default`, which stands there for connections without TLS, too."""
    return re.sub(r" ssl:(?:<[^>]*>|\S+)", "", text)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yields an exception, and those that led to it."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        inner = getattr(one, "os_error", None)
        if isinstance(inner, BaseException):
            yield inner
        one = one.__cause__ or one.__context__


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and value > 0 else 0


def _status(value: Any) -> int | None:
    """Returns an HTTP status of an error; None for another code."""
    number = int(value) if isinstance(value, str) and value.isdecimal() and len(value) == 3 else value
    return number if isinstance(number, int) and 400 <= number < 600 else None


def _unparsed(error: ValueError | RecursionError) -> str:
    """Returns why a body whose Content-Type is JSON cannot be read."""
    if isinstance(error, UnicodeDecodeError | RecursionError):
        why = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else "it is nested too deeply"
        return f"the reply is not a chat completion: {why}"
    return unusable(str(getattr(error, "doc", "{")))
