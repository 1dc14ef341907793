"""Endpoints whose model has no system role: the system prompt is put before the first user message, once learned."""

import json

import pytest
from aiohttp import web
from serving import ChatServer, serving

from josh.cli import main
from josh.models.chat import ModelError, Request, Sampling
from josh.models.lessons import SYSTEM, Refused, refused_in_messages

TALK = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello."}]


def refusal_of(text, status, messages=TALK):
    return refused_in_messages(ModelError(text, status), Request(messages, Sampling(), 1))


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("System role not supported", 400),
        ("System role not supported", 500),
        ("Error in template: Conversation roles must alternate user/assistant/user/assistant/...", 400),
        ("Only user and assistant roles are supported!", 400),
        ("Developer instruction is not enabled for models/gemma-3-27b-it", 400),
        ("Unexpected role 'system' for this model", 422),
        ('messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter', 400),
        ("This model does not support a system prompt: system messages are not supported", 400),
        ("unsupported system role", 500),
    ],
)
def test_a_refused_system_message_is_read_from_the_words_of_servers(text, status):
    assert refusal_of(text, status) == Refused(SYSTEM)
    assert refusal_of(text, status, TALK[1:]) is None, "the request has no system message"


@pytest.mark.parametrize(
    ("text", "status"),
    [("the operating system is out of memory", 500), ("internal error", 500), ("System role not supported", None)],
)
def test_other_errors_teach_nothing_about_system_messages(text, status):
    assert refusal_of(text, status) is None


class NoSystem(ChatServer):
    """An endpoint that refuses system messages and answers everything else.

    Attributes:
        asked: the messages of the requests that were answered.
        refused: the number of those that were not.
    """

    def __init__(self, status):
        self.status, self.asked, self.refused = status, [], 0

    async def answer(self, request):
        messages = (body := await request.json())["messages"]
        if messages[0]["role"] == "system":
            self.refused += 1
            return web.json_response({"error": {"message": "System role not supported"}}, status=self.status)
        self.asked.append(messages)
        said = {"role": "assistant", "content": "Would you give a dollar to the children?"}
        choices = [{"index": at, "message": said, "finish_reason": "stop"} for at in range(body.get("n") or 1)]
        return web.json_response({"choices": choices, "usage": {"prompt_tokens": 1, "completion_tokens": 1}})


@pytest.mark.parametrize("status", [400, 500])
def test_a_search_goes_on_with_the_system_prompt_in_the_first_user_message(status, tmp_path, capsys):
    server = NoSystem(status)
    flags = ["--josh", "--beam_size", "2", "--synthetic_tasks", "2", "--max_convo_turns", "2", "--max_concurrency", "1"]
    with serving(server) as url:
        assert main([*flags, "--model", "m", "--base_url", url, "--log_dir", str(tmp_path)]) == 0
    assert server.refused == 1
    assert all(messages[0]["role"] == "user" for messages in server.asked)
    assert server.asked[0][0]["content"].count("\n\n(The chat is open. You write first.)") == 1
    printed = capsys.readouterr().err
    assert printed.count("a system message is refused, so the system prompt is put before the first user message") == 1
    [run] = tmp_path.iterdir()
    episodes = [json.loads(line) for line in (run / "episodes.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(episodes) == 2
    assert "infra" not in json.dumps(episodes)
    assert main(["replay", str(run)]) == 0
