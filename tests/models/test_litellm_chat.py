"""Models by litellm, against servers on this machine."""

import asyncio
import copy
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aiohttp import web
from serving import LocalServer, serving

from josh.cli import main
from josh.errors import FatalError, UsageError
from josh.models.budget import Price
from josh.models.chat import ModelError, Request, RetryableError, Sampling
from josh.models.litellm_chat import LiteLLMChat, is_for_litellm
from josh.models.openai_chat import NO_KEY
from josh.runs.record.prices import prices_of

HELLO = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}]
CANARY = "sk-canary-123456"
CLAUDE = "anthropic/claude-sonnet-4-5"
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
COMPATIBLE = pytest.mark.parametrize("name", ["openai/tiny", "hosted_vllm/tiny"])


class Anthropic(LocalServer):
    """Anthropic's Messages API.

    Attributes:
        requests: the bodies received.
        keys: the keys received.
        faults: statuses to answer the next requests with.
    """

    def __init__(self):
        self.requests, self.keys, self.faults = [], [], []

    def app(self):
        app = web.Application()
        app.router.add_post("/v1/messages", self._answer)
        return app

    async def _answer(self, request):
        self.requests.append(await request.json())
        self.keys.append(request.headers.get("x-api-key"))
        if self.faults:
            status = self.faults.pop(0)
            kind = "overloaded_error" if status == 529 else "some_error"
            error = {"type": kind, "message": f"you sent {self.keys[-1]}"}
            return web.json_response({"type": "error", "error": error}, status=status, headers={"Retry-After": "7"})
        content = [{"type": "text", "text": "Hi there."}]
        if "tools" in self.requests[-1]:
            content.append({"type": "tool_use", "id": "call-1", "name": "look", "input": {"at": "it"}})
        usage = {"input_tokens": 5, "output_tokens": 2}
        head = {"id": "msg", "type": "message", "role": "assistant", "model": "claude", "stop_reason": "end_turn"}
        return web.json_response({**head, "content": content, "usage": usage})


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A folder of its own, without anybody's settings."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("PERSUASION_", "OPENAI_", "ANTHROPIC_", "GEMINI_", "GOOGLE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MY_KEY", CANARY)


@pytest.fixture
def anthropic(monkeypatch):
    server = Anthropic()
    with serving(server) as url:
        monkeypatch.setenv("ANTHROPIC_API_BASE", url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", CANARY)
        yield server


def ask(model, times=1, n=1, messages=HELLO, **options):
    """Ask once, or several times at once; the completions."""

    async def asking():
        try:
            requests = [
                Request(messages, Sampling(temperature=0.7), 11 + number, n, options) for number in range(times)
            ]
            return await asyncio.gather(*map(model.complete, requests))
        finally:
            await model.aclose()

    return asyncio.run(asking())


@COMPATIBLE
def test_a_reply_comes_with_its_usage_and_from_its_seed(endpoint, name):
    url, server = endpoint()
    model = LiteLLMChat(f"litellm:{name}", url, "MY_KEY")
    assert (model.name, model.endpoint) == (name, url)
    (completion,) = ask(model, max_tokens=5)
    assert completion.replies[0].text == "reply to 2 messages, seed 11"
    assert completion.replies[0].finish_reason == "stop"
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (3, 6)
    assert server.requests == [{"model": "tiny", "messages": HELLO, "temperature": 0.7, "seed": 11, "max_tokens": 5}]
    assert server.headers[0]["Authorization"] == f"Bearer {CANARY}"


@COMPATIBLE
def test_the_fields_that_a_user_adds_are_sent(endpoint, name):
    url, server = endpoint()
    extra = {"enable_thinking": False, "chat_template_kwargs": {"a": 1}, "reasoning_effort": "low", "temperature": None}
    model = LiteLLMChat(name, url)

    async def asking():
        try:
            await model.complete(Request(HELLO, Sampling(extra_body=extra, leave_out=("seed",)), 11))
        finally:
            await model.aclose()

    asyncio.run(asking())
    (body,) = server.requests
    added = {name: value for name, value in extra.items() if value is not None}
    assert {name: value for name, value in body.items() if name not in ("model", "messages")} == added


@COMPATIBLE
def test_several_replies_share_one_request(endpoint, name):
    url, server = endpoint()
    (completion,) = ask(LiteLLMChat(name, url), n=3)
    assert len(completion.replies) == 3
    assert [body["n"] for body in server.requests] == [3]


@COMPATIBLE
def test_tools_are_called(endpoint, name):
    url, server = endpoint()
    call = {"function": {"name": "look", "arguments": "{}"}, "id": "call-1", "type": "function"}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    server.faults = [json.dumps({"choices": [{"message": message, "finish_reason": "tool_calls"}]}).encode()]
    (completion,) = ask(LiteLLMChat(name, url), tools=[TOOL])
    (reply,) = completion.replies
    assert (reply.text, reply.tool_calls, reply.finish_reason) == ("", (call,), "tool_calls")
    assert server.requests[0]["tools"] == [TOOL]


@COMPATIBLE
def test_calls_run_at_the_same_time(endpoint, name):
    url, server = endpoint(latency=0.5)
    ask(LiteLLMChat(name, url), times=64)
    assert server.peak_concurrency == 64


@COMPATIBLE
@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
def test_passing_troubles_are_told_apart_and_nothing_is_repeated_here(endpoint, name, status):
    url, server = endpoint()
    server.faults = [status]
    with pytest.raises(RetryableError, match=f"{name} at {url}: .*status {status}") as caught:
        ask(LiteLLMChat(name, url))
    assert caught.value.throttled == (status == 429)
    assert len(server.requests) == 1


@COMPATIBLE
@pytest.mark.parametrize(
    ("status", "error"), [(400, ModelError), (401, FatalError), (402, FatalError), (403, ModelError), (404, FatalError)]
)
def test_refusals_are_for_good(endpoint, name, status, error):
    url, server = endpoint()
    server.faults = [status]
    with pytest.raises(error, match=str(status)) as caught:
        ask(LiteLLMChat(name, url))
    assert not isinstance(caught.value, RetryableError)
    assert len(server.requests) == 1


@COMPATIBLE
@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'"text"', b'{"choices": []}', b'{"choices": [null]}', b'{"choices": [{"message": 1}]}']
)
def test_a_body_that_makes_no_sense_may_pass(endpoint, name, body):
    url, server = endpoint()
    server.faults = [body]
    with pytest.raises(RetryableError):
        ask(LiteLLMChat(name, url))


@COMPATIBLE
def test_an_account_without_credit_is_no_passing_trouble(name):
    async def broke(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        body = b'{"error": {"message": "no", "code": "insufficient_quota"}}'
        head = f"HTTP/1.1 429 No\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    async def asking():
        async with await asyncio.start_server(broke, "127.0.0.1", 0) as server:
            model = LiteLLMChat(name, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
            try:
                await model.complete(Request(HELLO, Sampling(temperature=0.7), 1))
            finally:
                await model.aclose()

    with pytest.raises(FatalError, match="the account is empty"):
        asyncio.run(asking())


@pytest.mark.parametrize("name", ["openai/tiny", CLAUDE])
def test_a_server_that_is_not_there_may_come_back(name):
    with pytest.raises(RetryableError, match=f"{name} at http://127.0.0.1:9"):
        ask(LiteLLMChat(name, "http://127.0.0.1:9/v1"))


@COMPATIBLE
def test_a_reply_that_takes_too_long_fails(endpoint, name):
    (quick, _), (url, _) = endpoint(), endpoint(latency=60.0)
    ask(LiteLLMChat(name, quick))  # litellm loads its client at the first call, which may take longer than the timeout
    begun = time.monotonic()
    with pytest.raises(RetryableError, match=f"{name} at"):
        ask(LiteLLMChat(name, url, timeout=0.2))
    assert time.monotonic() - begun < 30


def test_anthropic_answers_once_and_is_sent_no_seed(anthropic):
    model = LiteLLMChat(CLAUDE)
    assert (model.name, model.endpoint) == (CLAUDE, "anthropic")
    (completion,) = ask(model, n=2)
    assert [reply.text for reply in completion.replies] == ["Hi there."]
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (5, 2)
    (body,) = anthropic.requests
    assert (body["model"], body["temperature"], body["system"][0]["text"]) == ("claude-sonnet-4-5", 0.7, "be brief")
    assert not {"seed", "n"} & set(body)
    assert anthropic.keys == [CANARY]


def test_anthropic_calls_tools_in_the_chat_format_and_reads_it_back(anthropic):
    (completion,) = ask(LiteLLMChat(CLAUDE), tools=[TOOL])
    (call,) = completion.replies[0].tool_calls
    assert (call["id"], call["type"], call["function"]["name"]) == ("call-1", "function", "look")
    assert json.loads(call["function"]["arguments"]) == {"at": "it"}
    said = [*HELLO, completion.replies[0].message, {"role": "tool", "tool_call_id": "call-1", "content": "seen"}]
    before = copy.deepcopy(said)
    ask(LiteLLMChat(CLAUDE), messages=said, tools=[TOOL])
    assert said == before
    assert [message["role"] for message in anthropic.requests[-1]["messages"]] == ["user", "assistant", "user"]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 529])
def test_anthropic_has_passing_troubles(anthropic, status):
    anthropic.faults = [status]
    with pytest.raises(RetryableError) as caught:
        ask(LiteLLMChat(CLAUDE))
    assert caught.value.throttled == (status == 429)
    assert str(caught.value).startswith(f"{CLAUDE} at anthropic: HTTP ")
    assert str(caught.value).endswith(": you sent REDACTED")
    assert caught.value.wait == 7.0
    assert len(anthropic.requests) == 1


@pytest.mark.parametrize(("status", "error"), [(400, ModelError), (401, FatalError), (404, FatalError)])
@pytest.mark.parametrize("variable", [None, "MY_KEY"])
def test_anthropic_refuses_and_a_key_that_it_quotes_is_taken_out(anthropic, status, error, variable, monkeypatch):
    # Of another shape than those that litellm takes out by itself.
    for name in ("MY_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, "canary bird")
    anthropic.faults = [status]
    with pytest.raises(error, match=r"you sent \*\*\*") as caught:
        ask(LiteLLMChat(CLAUDE, api_key_var=variable))
    assert "canary" not in str(caught.value)
    assert anthropic.keys == ["canary bird"]


def test_no_key_goes_to_a_plain_address_unless_it_is_named(anthropic, endpoint, monkeypatch):
    for name in ("OPENAI_API_KEY", "HOSTED_VLLM_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.setenv(name, CANARY)
    url, server = endpoint()
    for name in ("openai/tiny", "hosted_vllm/tiny"):
        ask(LiteLLMChat(name, url))
        ask(LiteLLMChat(name, url, NO_KEY))
    ask(LiteLLMChat(CLAUDE, os.environ["ANTHROPIC_API_BASE"]))
    assert CANARY not in json.dumps([server.headers, anthropic.keys])
    with pytest.raises(UsageError, match=r"'bedrock/x' at http://host needs a key; name its variable with api_key_var"):
        LiteLLMChat("bedrock/x", "http://host")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (CLAUDE, "no key for model 'anthropic/claude-sonnet-4-5': litellm looks for ANTHROPIC_API_KEY"),
        ("gemini/gemini-2.0-flash", "litellm looks for GOOGLE_API_KEY, GEMINI_API_KEY"),
        ("azure/gpt-4o", "litellm looks for AZURE_API_BASE, AZURE_API_KEY"),
        ("zai/glm-4.6", "no key for model 'zai/glm-4.6': litellm finds none; name its variable with api_key_var"),
        (
            "Qwen/Qwen3-8B",
            "litellm does not know the provider of model 'Qwen/Qwen3-8B'; give PROVIDER/MODEL, or the base_url",
        ),
        ("litellm:", "litellm does not know the provider of model ''"),
    ],
)
def test_what_is_missing_is_named_before_anything_is_sent(name, text):
    with pytest.raises(UsageError) as caught:
        LiteLLMChat(name)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_key_variable_or_address_that_is_none_is_refused():
    with pytest.raises(UsageError, match="no key for model 'anthropic/claude-sonnet-4-5': set OTHER_KEY"):
        LiteLLMChat(CLAUDE, api_key_var="OTHER_KEY")
    with pytest.raises(UsageError, match="give an address such as"):
        LiteLLMChat("openai/tiny", "localhost:8000")


def test_litellm_takes_marked_names_and_providers_without_an_address():
    nowhere, somewhere = {}, {"OPENAI_BASE_URL": "http://host/v1"}
    assert is_for_litellm("litellm:openai/tiny", "http://host/v1", somewhere)
    assert is_for_litellm(CLAUDE, None, nowhere)
    assert not is_for_litellm(CLAUDE, None, somewhere)
    assert not is_for_litellm("Qwen/Qwen3-8B", "http://host/v1", nowhere)
    assert not is_for_litellm("gpt-4o", None, nowhere)


def test_prices_are_those_of_the_provider(anthropic):
    own = LiteLLMChat(CLAUDE)
    assert prices_of([own], {}) == {CLAUDE: Price(3e-6, 15e-6)}
    elsewhere = LiteLLMChat(CLAUDE, "http://host")
    assert prices_of([elsewhere], {}) == {CLAUDE: None}
    another = LiteLLMChat("hosted_vllm/claude-sonnet-4-5")
    assert prices_of([another], {}) == {another.name: None}


def run(folder, url, marker):
    flags = ["--josh", "--beam_size", "4", "--synthetic_tasks", "2", "--max_convo_turns", "3", "--log_dir", folder]
    names = ["--model", f"{marker}openai/tiny", "--user_model", f"{marker}openai/small"]
    assert main([*flags, *names, "--base_url", url, "--user_base_url", url]) == 0
    (written,) = Path(folder).iterdir()
    return (written / "episodes.jsonl").read_bytes()


def test_a_run_by_litellm_is_the_run_by_the_plain_client(endpoint):
    url, _ = endpoint()
    assert run("by_litellm", url, "litellm:") == run("plain", url, "")


def test_a_run_with_anthropic_needs_no_address_and_its_replay_no_key(anthropic, monkeypatch):
    flags = ["--josh", "--beam_size", "2", "--synthetic_tasks", "1", "--max_convo_turns", "2"]
    assert main([*flags, "--model", CLAUDE, "--user_model", f"litellm:{CLAUDE}"]) == 0
    assert anthropic.requests
    assert set(anthropic.keys) == {CANARY}
    written = "".join(path.read_text() for path in Path("records").rglob("*.json*"))
    assert CLAUDE in written
    assert f"litellm:{CLAUDE}" not in (next(Path("records").iterdir()) / "episodes.jsonl").read_text()
    assert CANARY not in written
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    asked = len(anthropic.requests)
    assert main(["replay", str(next(Path("records").iterdir())), "--log_dir", "replayed"]) == 0
    assert len(anthropic.requests) == asked


def test_a_refused_key_ends_the_run_without_showing_it(anthropic, capsys):
    anthropic.faults = [401] * 99
    assert main(["--synthetic_tasks", "1", "--model", CLAUDE]) == 1
    shown = "".join(capsys.readouterr())
    assert "the key was refused" in shown
    assert "canary" not in shown + "".join(path.read_text() for path in Path("records").rglob("*.json*"))


def test_a_run_without_a_key_is_refused_in_one_line(capsys):
    assert main(["--synthetic_tasks", "1", "--model", CLAUDE]) == 2
    out, err = capsys.readouterr()
    assert "litellm looks for ANTHROPIC_API_KEY" in err
    assert (out, err.count("\n")) == ("", 1)


def test_only_a_run_that_asks_it_loads_litellm(endpoint):
    url, _ = endpoint()
    code = (
        "import sys, josh.cli\n"
        f"flags = '--synthetic_tasks 1 --max_convo_turns 1 --model org/tiny --base_url {url}'.split()\n"
        "assert josh.cli.main(flags) == 0\n"
        "print('litellm' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["False"], done.stderr


def test_without_litellm_the_way_to_get_it_is_named():
    code = (
        "import sys, josh.cli\n"
        "sys.modules['litellm'] = None\n"
        f"sys.exit(josh.cli.main('--synthetic_tasks 1 --model {CLAUDE}'.split()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install litellm" in done.stderr
