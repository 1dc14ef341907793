"""A message that a plug-in changes after its turn is noticed, and the record keeps what was said."""

from pathlib import Path

import pytest
from playing import lines, only_run

from josh.cli import main

PLUG_INS = """
from josh.agents.persuasion.offline import OfflinePersuader

class Rewrites(OfflinePersuader):
    which = 0
    history = "messages"

    def step(self, **given):
        if len(self.messages) > 3:
            self.change(getattr(self, self.history)[self.which])
        return super().step(**given)

    def change(self, message):
        message["content"] = "never said"

class Last(Rewrites):
    which = -1

class Prompt(Rewrites):
    history = "messages_internal"

class Nested(Rewrites):
    def add_message(self, message):
        super().add_message({**message, "note": {"marks": ["a"]}})

    def change(self, message):
        message.get("note", {"marks": []})["marks"].append("never said")

class Adds(OfflinePersuader):
    pass
"""
SMALL = ("--synthetic_tasks", "2", "--max_convo_turns", "3")
NOTICE = "a message was changed after its turn, from "


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("odd.py").write_text(PLUG_INS)


@pytest.mark.parametrize("search", [(), ("--josh", "--beam_size", "4")])
@pytest.mark.parametrize("plug_in", ["agent Rewrites", "agent Last", "agent Prompt", "agent Nested"])
def test_a_changed_message_is_noticed_and_the_record_keeps_it_as_it_was(plug_in, search, capsys):
    flag, _, name = plug_in.partition(" ")
    assert main([f"--{flag}", f"./odd.py:{name}", *SMALL, *search]) == 0
    assert capsys.readouterr().err.count(NOTICE) == 2, "once for each task"
    assert "never said" not in (only_run() / "episodes.jsonl").read_text()
    assert all(row["nodes"][1]["messages"][0]["content"] for row in lines(only_run() / "episodes.jsonl"))


@pytest.mark.parametrize("search", [(), ("--josh",)])
def test_messages_that_stay_are_not_mentioned(search, capsys):
    assert main(["--agent", "./odd.py:Adds", *SMALL, *search]) == 0
    assert NOTICE not in capsys.readouterr().err
