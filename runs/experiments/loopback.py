"""A chat-completions endpoint on this machine, for tests and benchmarks, with a fixed latency and a request log.

python -m josh.runs.experiments.loopback --latency 0.05
"""

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web

Responder = Callable[[dict[str, Any]], str | dict[str, Any]]
"""Returns, for a request's body, the text of the reply, or the fields of its message such as `tool_calls`.

The fields `logprobs` and `token_ids` become ones of the choice, and `prompt_token_ids` one of the answer, where servers
have them.
"""

Fault = int | bytes | tuple[int, dict[str, Any], dict[str, str]]
"""An answer instead of a reply: an HTTP status, a raw body, or a status with a JSON body and headers."""


def echo(body: dict[str, Any]) -> str:
    """Returns a reply that states the number of messages and the seed of a request."""
    return f"reply to {len(body['messages'])} messages, seed {body.get('seed')}"


class Loopback:
    """A chat-completions server on 127.0.0.1.

    Attributes:
        requests: the bodies received, in order.
        headers: the headers received, in order.
        peak_concurrency: the highest number of requests in flight at the same time.
        faults: the answers to the next requests, one each; later requests get replies.
    """

    def __init__(
        self, respond: Responder = echo, latency: float = 0.0, keep: bool = True, several: bool = True
    ) -> None:
        """Create a server.

        Args:
            respond: makes the replies.
            latency: seconds before every answer.
            keep: keep requests and headers.
            several: give as many replies as a request's `n` asks for; if false, always one, as many servers do.
        """
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.peak_concurrency = 0
        self.faults: list[Fault] = []
        self._respond = respond
        self._latency = latency
        self._keep = keep
        self._several = several
        self._concurrency = 0
        self._runner: web.AppRunner | None = None

    async def start(self, port: int = 0) -> str:
        """Listen on 127.0.0.1, and return the base URL.

        Args:
            port: the port; 0 for any free one.
        """
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self._concurrency += 1
        self.peak_concurrency = max(self.peak_concurrency, self._concurrency)
        try:
            body = await request.json()
            if self._keep:
                self.requests.append(body)
                self.headers.append(dict(request.headers))
            if self._latency:
                await asyncio.sleep(self._latency)
            if self.faults:
                return _faulty(self.faults.pop(0))
            if not self._several:
                body.pop("n", None)
            answer = _completion(body, self._respond)
            return await _streamed(request, body, answer) if body.get("stream") else web.json_response(answer)
        finally:
            self._concurrency -= 1


def _faulty(fault: Fault) -> web.Response:
    if isinstance(fault, bytes):
        return web.Response(body=fault, content_type="application/json")
    if isinstance(fault, int):
        fault = fault, {"error": {"message": f"status {fault}"}}, {}
    status, content, headers = fault
    return web.json_response(content, status=status, headers=headers)


async def _streamed(request: web.Request, body: dict[str, Any], answer: dict[str, Any]) -> web.StreamResponse:
    """Send an answer as server-sent events: for each choice its words, then why it ended; at last the usage."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    head = {name: answer[name] for name in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    chunks: list[dict[str, Any]] = []
    for choice in answer["choices"]:
        index = choice["index"]
        chunks.append(head | {"choices": [{"index": index, "delta": choice["message"], "finish_reason": None}]})
        chunks.append(head | {"choices": [{"index": index, "delta": {}, "finish_reason": choice["finish_reason"]}]})
    if (body.get("stream_options") or {}).get("include_usage"):
        chunks.append(head | {"choices": [], "usage": answer["usage"]})
    for chunk in chunks:
        await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
    await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response


_OF_CHOICE = ("logprobs", "token_ids")
_OF_PROMPT = "prompt_token_ids"


def _completion(body: dict[str, Any], respond: Responder) -> dict[str, Any]:
    prompt = sum(len(str(message.get("content")).split()) for message in body["messages"])
    # Like vLLM, sample the replies to one request with consecutive seeds.
    seed = body.get("seed") or 0
    given = [respond(body | {"seed": seed + choice}) for choice in range(body.get("n") or 1)]
    messages = [{"role": "assistant"} | ({"content": one} if isinstance(one, str) else one) for one in given]
    own = [{name: message.pop(name) for name in _OF_CHOICE if name in message} for message in messages]
    prompts = [message.pop(_OF_PROMPT) for message in messages if _OF_PROMPT in message]
    choices = [
        {"index": index, "finish_reason": "tool_calls" if message.get("tool_calls") else "stop", "message": message}
        | own[index]
        for index, message in enumerate(messages)
    ]
    completion = sum(len(str(message.get("content") or "").split()) for message in messages)
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {
        "id": "chatcmpl-loopback",
        "object": "chat.completion",
        "created": 0,
        "model": body.get("model", ""),
        "choices": choices,
        "usage": usage,
        **({_OF_PROMPT: prompts[0]} if prompts else {}),
    }


async def _serve(latency: float, port: int) -> None:
    server = Loopback(latency=latency, keep=False)
    print(json.dumps({"base_url": await server.start(port)}), flush=True)
    await asyncio.Event().wait()


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until killed; the first line on stdout is a JSON object with the base URL."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds before every answer (default 0.05)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 for any free one")
    args = parser.parse_args(argv)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(args.latency, args.port))
    return 0


if __name__ == "__main__":
    sys.exit(main())
