"""The causes of failures: how they are read from what servers answer, and how they are said."""

import asyncio
import json

import pytest
from aiohttp import web
from serving import ChatServer, serving

from josh.errors import FatalError, UsageError
from josh.models.causes import cause_in
from josh.models.chat import ModelError, Request, RetryableError, Sampling
from josh.models.openai_chat import OpenAIChat
from josh.redact import Redactor

WORDS = "unsupported parameter: temperature"


def ask(url, model=OpenAIChat, **options):
    """Ask once; the reply's text, or the error."""

    async def asking():
        client = model("tiny", url, environment={}, **options)
        try:
            request = Request([{"role": "user", "content": "hello"}], Sampling(), 1)
            return (await client.complete(request)).replies[0].text
        except Exception as error:
            return error
        finally:
            await client.aclose()

    return asyncio.run(asking())


def answering(body, status=200, content_type="application/json", broken=False):
    """A server that gives one answer to everything."""

    class Server(ChatServer):
        async def answer(self, request):
            await request.read()
            text = body if isinstance(body, bytes) else json.dumps(body).encode()
            if not broken:
                return web.Response(body=text, status=status, headers={"Content-Type": content_type})
            response = web.StreamResponse(headers={"Content-Type": content_type, "Content-Length": "5000"})
            await response.prepare(request)
            await response.write(text)
            request.transport.abort()
            return response

    return serving(Server())


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"error": {"message": WORDS, "code": "unsupported_parameter", "param": "temperature"}}, "temperature"),
        ({"object": "error", "message": WORDS, "type": "BadRequestError", "param": None, "code": 400}, ""),
        ([{"error": {"code": 400, "message": WORDS, "status": "INVALID_ARGUMENT"}}], ""),
        ({"type": "error", "error": {"type": "invalid_request_error", "message": WORDS}}, ""),
        ({"detail": WORDS}, ""),
        ({"error": WORDS}, ""),
        ({"message": {"detail": [{"msg": WORDS}]}}, ""),
        (f'litellm.BadRequestError: OpenAIException - {{"error": {{"message": "{WORDS}", "param": "x"}}}}', "x"),
        (f"Error code: 400 - {{'error': {{'message': '{WORDS}', 'param': None}}}}", ""),
        (f"litellm.UnsupportedParamsError: {WORDS}", ""),
    ],
)
def test_the_words_of_a_provider_are_found_wherever_they_stand(body, found):
    assert (cause_in(body).text, cause_in(body).param) == (WORDS, found)


def test_a_field_that_a_server_does_not_know_is_named_with_its_path():
    extra = {"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}
    found = cause_in({"detail": [extra]})
    assert (found.text, found.param) == ("body.seed: Extra inputs are not permitted", "seed")


def test_a_router_quotes_the_provider():
    metadata = {"raw": '{"error": {"message": "seed is not supported", "param": "seed"}}', "provider_name": "X"}
    found = cause_in({"error": {"message": "Provider returned error", "code": 400, "metadata": metadata}})
    assert found.text == "Provider returned error: seed is not supported"
    assert (found.status, found.param) == (400, "seed")


def test_a_page_of_a_proxy_is_said_in_a_few_words():
    page = "<html><head><title>502 Bad Gateway</title></head><body>" + "x" * 500 + "</body></html>"
    assert cause_in(page).text == "an HTML page (502 Bad Gateway)"
    with answering(page.encode(), 502, "text/html") as url:
        assert str(ask(url)) == f"tiny at {url}: HTTP 502: an HTML page (502 Bad Gateway)"


def test_a_refusal_is_the_status_and_the_words():
    with answering({"error": {"message": WORDS, "code": "c", "param": "p"}}, 400) as url:
        error = ask(url)
    assert (type(error), str(error)) == (ModelError, f"tiny at {url}: HTTP 400: {WORDS}")
    assert (error.status, error.code, error.param) == (400, "c", "p")


@pytest.mark.parametrize(
    ("kind", "codes"),
    [
        (RetryableError, (429, "rate_limit_exceeded", 500, None)),
        (FatalError, (401, 402, 404, "404", "invalid_api_key", "insufficient_quota")),
        (ModelError, (400, 403)),
    ],
)
def test_an_error_inside_an_answer_is_an_error_with_its_words(kind, codes):
    for code in codes:
        body = {"choices": None, "usage": None, "error": {"message": "free quota of the day is used up", "code": code}}
        with answering(body) as url:
            error = ask(url)
        assert type(error) is kind
        assert str(error).endswith("free quota of the day is used up")
        if kind is RetryableError:
            assert error.throttled == (code in (429, "rate_limit_exceeded"))
            assert error.billed is None


def test_an_error_inside_a_choice_is_found_and_what_it_took_is_noted():
    choice = {"message": None, "error": {"message": "the provider is gone", "code": 502}}
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    with answering({"choices": [choice], "usage": usage}) as url:
        error = ask(url)
    assert str(error) == f"tiny at {url}: HTTP 502: the provider is gone"
    assert (error.billed.calls, error.billed.prompt_tokens, error.billed.completion_tokens) == (1, 7, 3)


def test_an_address_without_a_path_is_named_where_nothing_is_found_there():
    with answering({"error": {"message": "not found"}}, 404) as url:
        bare = url.removesuffix("/v1")
        assert str(ask(bare)).startswith(
            "no such model or address; most servers listen at an address that ends with /v1: "
            f"tiny at {bare}: HTTP 404: "
        )
        assert "/v1: tiny" not in str(ask(url))


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "Invalid model name passed in model=nope. Call `/v1/models` to view available models"),
        (400, "The model `nope` does not exist"),
        (400, "Server is pinned to `tiny`"),
        (400, "No connected db."),
        (404, "not found"),
    ],
)
def test_what_every_further_call_would_meet_is_final(status, words):
    with answering({"error": {"message": words}}, status) as url:
        error = ask(url)
    assert type(error) is FatalError
    assert f"HTTP {status}: {words}" in str(error)


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (b"", "application/json", "the reply is not a chat completion: it is empty"),
        (b'{"choices": [{"mess', "application/json", "the reply is not JSON: it ends early, or is damaged"),
        (b'{"choices": [{"mess', "", "the reply is not JSON: it ends early, or is damaged"),
        (b"<!DOCTYPE html><html></html>", "text/html", "but an HTML page; is the address right, up to and with /v1?"),
        (b"data: {}\n\n", "text/event-stream", "but a stream of events"),
        (b"hello", "", "and its Content-Type is missing or not JSON: hello"),
        (b'{"choices": [], "usage": {}}', "application/json", "it has no choices"),
        (b'{"choices": [{"text": "hi"}]}', "application/json", "but a text completion"),
        (b'{"type": "message", "content": []}', "application/json", "give the model as anthropic/NAME"),
    ],
)
def test_a_body_that_is_not_a_chat_completion_is_named(body, content_type, words):
    with answering(body, content_type=content_type) as url:
        error = ask(url)
    assert type(error) is RetryableError
    assert words in str(error)
    assert error.billed.calls == 1


def test_a_chat_completion_without_a_content_type_is_read():
    with answering({"choices": [{"message": {"content": "hi"}}]}, content_type="") as url:
        assert ask(url) == "hi"


def test_a_connection_that_breaks_within_the_reply_may_be_billed():
    with answering(b'{"choices": [', broken=True) as url:
        error = ask(url)
    assert str(error) == f"tiny at {url}: the connection broke within the reply"
    assert error.billed.calls == 1


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1:9/v1", "cannot connect: connection refused"),
        ("http://nowhere.invalid/v1", "cannot connect: "),
    ],
)
def test_a_server_that_is_not_reached_is_named_without_talk_of_tls(url, why):
    error = ask(url)
    assert str(error).startswith(f"tiny at {url}: {why}")
    assert (error.unreachable, error.billed) == (True, None)
    assert "ssl" not in str(error)


def test_a_server_that_speaks_no_tls_is_named():
    with answering({}) as url:
        error = ask(url.replace("http:", "https:"), api_key_var="")
    assert "cannot connect: TLS failed (wrong version number)" in str(error)


@pytest.mark.parametrize(
    ("key", "where"), [("sk-\u200b123", "U+200B at place 4 of 7"), ("sk-1\nsk-2", "U+000A at place 5")]
)
def test_a_key_with_an_impossible_character_is_refused_and_not_shown(key, where):
    with pytest.raises(UsageError, match=f"the key in MY_KEY has the character {where}".replace("+", r"\+")) as caught:
        OpenAIChat("m", "http://localhost/v1", "MY_KEY", environment={"MY_KEY": key})
    assert "sk-" not in str(caught.value)


def test_a_key_is_taken_out_in_base64_as_well():
    assert Redactor.of("sk-canary-123")("you sent c2stY2FuYXJ5LTEyMw==") == "you sent ***=="
