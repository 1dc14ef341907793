"""The journal gives back what it was given, and reads what was kept before replies had the tokens of their prompt."""

import sqlite3
from contextlib import closing

import pytest

from josh.dialogue import Usage
from josh.models.reply_journal import JournalEntry, ReplyKey
from josh.roles import Reply
from josh.runs.record.journal import FILE, Replies

KEY = ReplyKey("task", "0/1", 2, "agent", 0, "asked")


@pytest.mark.parametrize(
    "reply",
    [
        Reply("Hello."),
        Reply("Hello.", finish_reason="length", token_ids=(7, 8), prompt_ids=(1, 2, 3)),
        Reply("Hello.", token_ids=(7,), logprobs=(-0.5,), prompt_ids=(1,)),
        Reply("", token_ids=(), logprobs=(), prompt_ids=()),
        Reply("", tool_calls=({"id": "a", "function": {"name": "look", "arguments": "{}"}},)),
        Reply("half \ud83d"),
    ],
)
def test_a_reply_comes_back_as_it_was_kept(reply, tmp_path):
    entry = JournalEntry(reply, "model", 5, 1, Usage(1, 2, 3))
    for kept in (True, False):
        with closing(Replies(tmp_path)) as journal:
            if kept:
                journal.keep({KEY: entry}, 0.5)
            assert journal.find(KEY) == entry


def test_a_journal_from_before_prompts_were_kept_opens_and_goes_on(tmp_path):
    with closing(Replies(tmp_path)):
        pass
    with closing(sqlite3.connect(tmp_path / FILE)) as base, base:
        old = '{"text": "Hello.", "finish_reason": "stop", "token_ids": [7], "logprobs": [-0.5]}'
        base.execute(f"INSERT INTO replies VALUES ({', '.join('?' * 14)})", (*KEY, "model", 5, 0, old, 1, 2, 3, 0.5))
    with closing(Replies(tmp_path)) as journal:
        found = journal.find(KEY)
        assert found.reply == Reply("Hello.", token_ids=(7,), logprobs=(-0.5,))
        assert found.reply.prompt_ids is None
        newer = JournalEntry(Reply("Yes.", token_ids=(9,), prompt_ids=(1, 2)), "model", 6, 0, Usage(1, 2, 3))
        journal.keep({KEY._replace(draw=1): newer}, 0.5)
        assert journal.find(KEY._replace(draw=1)) == newer
