"""The client for OpenAI-compatible servers, against a server on this machine."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from josh.errors import FatalError, UsageError
from josh.models.causes import seconds_asked
from josh.models.chat import ModelError, Request, RetryableError, Sampling
from josh.models.openai_chat import OpenAIChat

HELLO = [{"role": "user", "content": "hello"}]
KEY = {"OPENAI_API_KEY": "sk-canary-123"}


def ask(model, times=1, n=1, **options):
    """Ask once, or several times at once; the completions."""

    async def asking():
        try:
            requests = [Request(HELLO, Sampling(temperature=0.7), 11 + number, n, options) for number in range(times)]
            return await asyncio.gather(*map(model.complete, requests))
        finally:
            await model.aclose()

    return asyncio.run(asking())


def model_at(url, **options):
    return OpenAIChat("tiny", url, environment=options.pop("environment", KEY), **options)


def test_a_reply_comes_with_its_usage(endpoint):
    url, server = endpoint()
    (completion,) = ask(model_at(url, api_key_var="OPENAI_API_KEY"), max_tokens=5)
    assert completion.replies[0].text == "reply to 1 messages, seed 11"
    assert completion.replies[0].finish_reason == "stop"
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (1, 6)
    assert server.requests == [{"model": "tiny", "messages": HELLO, "temperature": 0.7, "seed": 11, "max_tokens": 5}]
    assert server.headers[0]["Authorization"] == "Bearer sk-canary-123"


def test_several_replies_share_one_request(endpoint):
    url, server = endpoint()
    (completion,) = ask(model_at(url), n=3)
    assert len(completion.replies) == 3
    assert len(server.requests) == 1


def test_calls_run_at_the_same_time(endpoint):
    url, server = endpoint(latency=0.1)
    ask(model_at(url), times=20)
    assert server.peak_concurrency == 20


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_passing_troubles_are_told_apart(endpoint, status):
    url, server = endpoint()
    server.faults = [status]
    with pytest.raises(RetryableError, match=rf"tiny at http://.*: HTTP {status}: status {status}") as caught:
        ask(model_at(url))
    assert (caught.value.status, caught.value.throttled, caught.value.wait) == (status, status == 429, None)
    assert len(server.requests) == 1


def test_an_empty_account_is_no_passing_trouble(endpoint):
    url, server = endpoint()
    server.faults = [(429, {"error": {"message": "spent", "code": "insufficient_quota"}}, {"Retry-After": "1"})]
    with pytest.raises(FatalError, match="the account is empty: tiny at"):
        ask(model_at(url))


@pytest.mark.parametrize(
    ("status", "error"), [(400, ModelError), (401, FatalError), (402, FatalError), (403, ModelError), (404, FatalError)]
)
def test_refusals_are_not_repeated_and_show_no_key(endpoint, status, error):
    url, server = endpoint()
    server.faults = [status] * 9
    with pytest.raises(error) as caught:
        ask(model_at(url, api_key_var="OPENAI_API_KEY"))
    assert type(caught.value) is error
    assert len(server.requests) == 1
    assert str(status) in str(caught.value)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(("status", "text"), [(401, "Unauthorized"), (400, "No connected db.")])
def test_a_server_that_wants_a_key_where_none_was_sent_is_not_said_to_refuse_one(endpoint, status, text):
    url, server = endpoint()
    server.faults = [(status, {"error": {"message": text}}, {})] * 2
    with pytest.raises(FatalError) as caught:
        ask(model_at(url))
    wanted = "no key was sent, and the server asks for one; name its variable with api_key_var"
    assert str(caught.value) == f"{wanted}: tiny at {url}: HTTP {status}: {text}"
    with pytest.raises(FatalError, match=r"^the key was refused: tiny at"):
        ask(model_at(url, api_key_var="OPENAI_API_KEY"))


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"text"',
        b'{"choices": []}',
        b'{"choices": [null]}',
        b'{"error": 1}',
        b'{"choices": [{"message": 1}]}',
    ],
)
def test_a_body_that_makes_no_sense_may_pass(endpoint, body):
    url, server = endpoint()
    server.faults = [body]
    with pytest.raises(RetryableError, match="the reply is no"):
        ask(model_at(url))


def test_a_server_that_gives_one_reply_to_a_request_for_several_is_taken_at_its_word(endpoint):
    url, _ = endpoint(several=False)
    (completion,) = ask(model_at(url), n=3)
    assert len(completion.replies) == 1


def test_a_key_that_the_server_repeats_is_taken_out(endpoint):
    url, server = endpoint(respond=lambda body: "your key is sk-canary-123, is it not?")
    (completion,) = ask(model_at(url, api_key_var="OPENAI_API_KEY"))
    assert completion.replies[0].text == "your key is ***, is it not?"
    server.faults = [(400, {"error": {"message": "x" * 290 + "sk-canary-123"}}, {})]
    with pytest.raises(ModelError) as caught:
        ask(model_at(url, api_key_var="OPENAI_API_KEY"))
    assert "sk-c" not in str(caught.value)


def test_odd_contents_become_plain_text(endpoint):
    url, server = endpoint()
    parts = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    server.faults = [json.dumps({"choices": [{"message": {"content": parts}}]}).encode()]
    assert ask(model_at(url))[0].replies[0].text == "one two"
    server.faults = [b'{"choices": [{"message": {"content": "half \\ud83d"}}]}']
    assert ask(model_at(url))[0].replies[0].text == "half ?"


def test_a_server_that_asks_to_wait_is_given_the_time():
    assert seconds_asked({"retry-after": "0.5"}) == 0.5
    assert seconds_asked({"retry-after": "999999"}) == 999999
    assert seconds_asked({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.0
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert 85 < seconds_asked({"retry-after": soon}) <= 90
    assert seconds_asked({"retry-after": "soon"}) is None
    assert seconds_asked({}) is None


def test_a_server_that_is_not_there_is_named():
    with pytest.raises(ModelError, match=r"tiny at http://127\.0\.0\.1:9/v1: "):
        ask(model_at("http://127.0.0.1:9/v1"))


def test_a_reply_that_takes_too_long_fails(endpoint):
    url, _ = endpoint(latency=2.0)
    with pytest.raises(ModelError, match="tiny at"):
        ask(model_at(url, timeout=0.1))


def test_a_missing_key_is_named_before_anything_is_sent():
    with pytest.raises(
        UsageError, match=r"no key for model 'gpt': set OPENAI_API_KEY \(api\.openai\.com asks for one\)"
    ):
        OpenAIChat("gpt", environment={})
    with pytest.raises(UsageError, match="set ROUTER_KEY"):
        OpenAIChat("gpt", "http://localhost:8000/v1", "ROUTER_KEY", environment=KEY)


def test_a_plain_http_server_gets_no_key_unless_one_is_named(endpoint):
    url, server = endpoint()
    ask(model_at(url))
    ask(model_at(url, environment={}))
    assert [headers["Authorization"] for headers in server.headers] == ["Bearer none"] * 2


def test_a_key_given_in_place_of_its_variable_is_not_repeated():
    with pytest.raises(UsageError) as caught:
        OpenAIChat("gpt", "http://localhost:1/v1", "sk-canary-123", environment=KEY)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host/v1", "http://"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(UsageError, match="give an address such as"):
        OpenAIChat("gpt", url, environment=KEY)


@pytest.mark.parametrize(
    "url", ["https://me:hunter2@host/v1", "https://host/v1?key=hunter2", "https://host/v1#hunter2"]
)
def test_a_password_in_the_address_is_refused_and_not_shown(url):
    with pytest.raises(UsageError) as caught:
        OpenAIChat("gpt", url, environment=KEY)
    assert "hunter2" not in str(caught.value)


def test_the_environment_gives_the_address():
    assert OpenAIChat("m", environment={"OPENAI_BASE_URL": "http://localhost:1/v1"}).base_url == "http://localhost:1/v1"
    assert json.dumps(OpenAIChat("m", environment=KEY).base_url) == '"https://api.openai.com/v1"'


def test_a_server_that_trickles_is_cut_off_at_the_timeout():
    async def trickle(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n")
        try:
            for _ in range(100):
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.05)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def asking():
        server = await asyncio.start_server(trickle, "127.0.0.1", 0)
        model = model_at(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", timeout=0.4)
        try:
            async with asyncio.timeout(4):
                await model.complete(Request(HELLO, Sampling(), 1))
        finally:
            await model.aclose()
            server.close()

    with pytest.raises(ModelError, match=r"no reply within 0\.4 seconds"):
        asyncio.run(asking())
