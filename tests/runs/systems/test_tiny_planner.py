"""The dialogues of the tiny planner: short, in sections, and of an agent that does not always ask first."""

from itertools import islice

from josh.envs.ptom.sections import read_sections
from josh.runs.systems.tiny_planner import dialogues


def test_the_tiny_planners_turns_are_short_and_name_their_action():
    talks = list(islice(dialogues(60, 1), 60))
    turns = [read_sections(one["content"]) for talk in talks for one in talk if one["role"] == "assistant"]
    assert {turn.kind for turn in turns} == {"ASK", "ACT"}
    assert all(turn.words and not turn.unreadable for turn in turns)
    first = [read_sections(talk[1]["content"]).kind for talk in talks]
    assert 15 < first.count("ASK") < 45
    assert [list(talk) for talk in dialogues(60, 1)] == talks
    assert all("ACT" in talk[-2]["content"] for talk in talks if "[" in talk[-1]["content"])
    assert max(len(one["content"]) for talk in talks for one in talk) < 300
