"""A chat endpoint that answers as a function says: words, a message, why it ended, or an HTTP error."""

from aiohttp import web

from josh.runs.experiments.loopback import Loopback


class FrankServer(Loopback):
    """Answers with the result of `say(body)`.

    This is a text, a message with or without `finish_reason`, or a status and the JSON of an error.
    """

    def __init__(self, say, **options):
        super().__init__(**options)
        self._say = say

    async def _answer(self, request):
        body = await request.json()
        self.requests.append(body)
        said = self._say(body)
        if isinstance(said, tuple):
            return web.json_response(said[1], status=said[0])
        message = {"content": said} if isinstance(said, str) else dict(said)
        ended = message.pop("finish_reason", "tool_calls" if message.get("tool_calls") else "stop")
        choice = {"index": 0, "finish_reason": ended, "message": {"role": "assistant"} | message}
        return web.json_response({"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})


def too_long(body):
    """llama.cpp's answer to a conversation that does not fit."""
    tokens = 400 * len(body["messages"])
    message = f"request ({tokens} tokens) exceeds the available context size (1024 tokens), try increasing it"
    return 400, {"error": {"code": 400, "message": message, "type": "exceed_context_size_error"}}
