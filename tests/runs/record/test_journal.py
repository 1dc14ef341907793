"""The journal gives back what it was given, reads what earlier versions kept, and notices what was lost."""

import json
import shutil
import sqlite3
from contextlib import closing

import pytest

from josh.dialogue import Usage
from josh.errors import UsageError
from josh.models.reply_journal import JournalEntry, ReplyKey
from josh.roles import Reply
from josh.runs.record.journal import FILE, Replies, stored_replies
from josh.runs.record.lock import LOCK

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


ENTRY = JournalEntry(Reply("I give two dollars."), "model", 5, 0, Usage(1, 20, 3))


def kept(folder, *depths):
    journal = Replies(folder)
    for depth in depths:
        journal.keep({KEY._replace(depth=depth): ENTRY}, 0.5)
    return journal


@pytest.mark.parametrize(
    "change",
    ["reply = replace(reply, 'two', 'too')", "model = 'mode'", "seed = 7", "seed = 5.5", "calls = 3", "seconds = 2"],
)
def test_a_row_that_was_changed_is_no_answer(change, tmp_path):
    kept(tmp_path, 1).close()
    with closing(sqlite3.connect(tmp_path / FILE)) as base, base:
        base.execute(f"UPDATE replies SET {change}")
    with closing(Replies(tmp_path)) as journal, pytest.raises(UsageError, match="is damaged"):
        journal.find(KEY._replace(depth=1))
    with stored_replies(tmp_path) as find:
        assert find(KEY._replace(depth=1)) is None


def copied_while_open(tmp_path, journal):
    """The folder as a kill would leave it, with the lock of a process that is gone."""
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "run", copy)
    journal.close()
    owner = json.loads((copy / LOCK).read_text())
    (copy / LOCK).write_text(json.dumps(owner | {"started": "earlier"}))
    return copy


def warned(caplog):
    return [record.getMessage() for record in caplog.records]


@pytest.fixture
def killed(tmp_path):
    (tmp_path / "run").mkdir()
    return copied_while_open(tmp_path, kept(tmp_path / "run", *range(1, 40)))


def test_a_killed_run_has_all_its_replies_and_says_nothing(killed, caplog):
    with closing(Replies(killed)) as journal:
        assert len(journal) == 39
    assert warned(caplog) == []


def test_a_log_that_is_lost_is_noticed(killed, caplog):
    (killed / f"{FILE}-wal").unlink()
    with closing(Replies(killed)) as journal:
        assert len(journal) == 0
    (line,) = warned(caplog)
    assert line == (
        f"{killed / FILE}-wal is missing, although the run was killed; the replies in it are requested again"
    )


@pytest.mark.parametrize("share", [0.0005, 0.1, 0.5, 0.9])
def test_a_flipped_bit_in_the_log_is_noticed(share, killed, caplog):
    log = killed / f"{FILE}-wal"
    data = bytearray(log.read_bytes())
    data[int(share * len(data))] ^= 4
    log.write_bytes(data)
    with closing(Replies(killed)) as journal:
        assert len(journal) < 39
    (line,) = warned(caplog)
    assert line.startswith(f"{log}: it is damaged ")
    assert line.endswith("; the replies there are requested again")


def test_a_log_that_is_used_again_from_its_beginning_is_sound(tmp_path, caplog):
    (tmp_path / "run").mkdir()
    journal = kept(tmp_path / "run", *range(1, 40))
    journal.merge()
    journal.keep({KEY._replace(draw=1): ENTRY}, 0.5)
    with closing(Replies(copied_while_open(tmp_path, journal))) as again:
        assert len(again) == 40
    assert warned(caplog) == []


def test_what_finished_tasks_cost_is_carried_once(tmp_path):
    spent = {"task": {("agent", "model"): Usage(3, 60, 9), ("user", "other"): Usage(2, 5, 5)}}
    with closing(kept(tmp_path, 1)) as journal:
        assert journal.carry(spent) == Usage(4, 45, 11)
        assert journal.account() == spent["task"]
        assert journal.carry(spent) == Usage()
    with closing(Replies(tmp_path)) as journal:
        assert journal.account() == spent["task"]


def test_a_checksum_of_another_kind_is_passed_over(tmp_path):
    with closing(Replies(tmp_path)):
        pass
    with closing(sqlite3.connect(tmp_path / FILE)) as base, base:
        other = '{"text": "Hello.", "finish_reason": "stop", "checksum": "0123456789abcdef"}'
        base.execute(f"INSERT INTO replies VALUES ({', '.join('?' * 14)})", (*KEY, "model", 5, 0, other, 1, 2, 3, 0.5))
    with closing(Replies(tmp_path)) as journal:
        assert journal.find(KEY).reply == Reply("Hello.")
