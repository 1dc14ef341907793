"""Goals that are calls of tools, in any world."""

import asyncio

import pytest

from josh import Outcome, Speaker, Task, Transcript, UsageError
from josh.rewards.call_goals import CallGoals, comparable
from josh.roles import BaseEnv
from josh.testing import FixedModel
from josh.transcript import PastTurn

BOOK = {"name": "book", "arguments": {"people": 2, "day": "Friday"}}


def call(**arguments):
    return {"name": "book", "arguments": arguments, "result": "done"}


@pytest.mark.parametrize(
    ("action", "met"),
    [
        (call(people=2, day="Friday"), True),
        (call(people="2", day=" friday ", note="window"), True),
        (call(people=2.0, day="FRIDAY"), True),
        (call(people=2), False),
        (call(people=3, day="Friday"), False),
        (call(people=True, day="Friday"), False),
        ({"name": "book", "arguments": {"people": 2, "day": "Friday"}, "error": "full"}, False),
        ({"name": "look", "arguments": {"people": 2, "day": "Friday"}, "result": 1}, False),
        ("book", False),
    ],
)
def test_a_successful_call_with_all_wanted_arguments_meets_a_goal(action, met):
    assert CallGoals([BOOK]).is_reward([action]) == (met, [BOOK] if met else [])


def test_every_call_meets_one_copy_of_a_goal():
    rewards = CallGoals([BOOK, BOOK, {"name": "pay"}])
    assert rewards.is_reward([call(people=2, day="Friday")]) == (True, [BOOK])
    assert rewards.is_reward([call(people=2, day="Friday")] * 3) == (True, [BOOK, BOOK])


def test_arguments_are_compared_as_people_read_them():
    assert comparable({"a": ["1", " X  y "]}) == comparable({"a": [1.0, "x Y"]})
    assert comparable("nan") == "nan"


@pytest.mark.parametrize(
    ("goals", "data", "said"),
    [
        (["book"], {}, "is not a call"),
        ([{"name": "book", "arguments": "all"}], {}, "the arguments of book are not an object"),
        ([], {"judge": "It is polite."}, "give --judge_model"),
    ],
)
def test_wrong_goals_are_refused_before_the_first_turn(goals, data, said):
    with pytest.raises(UsageError, match=said):
        CallGoals(goals).start(Task("t", 0, data), BaseEnv({}), {})


def test_the_reward_is_the_mean_of_goals_and_judge():
    rewards = CallGoals([])
    assert rewards.path_reward([BOOK], [], scores={}) == 0.0
    assert rewards.path_reward([BOOK], [], scores={"judged": 1.0}) == 0.5
    assert rewards.path_reward([], [], scores={"judged": 1.0}) == 1.0


def test_the_judge_reads_calls_results_refusals_and_words():
    seen = []

    def verdict(messages, seed):
        seen.append(messages[0]["content"])
        return "It holds.\nYES"

    actions = [
        [{"name": "", "arguments": {}, "error": "it could not be read"}],
        [{"name": "look", "arguments": {"fruit": "figs"}, "result": "3 figs"}],
        [{"name": "buy", "arguments": {}, "error": "no fruit is named"}],
    ]
    said = [{"role": "assistant", "content": "There are three."}]
    turn = PastTurn(Speaker.AGENT, said, said, actions, None, None)
    task = Task("t", 0, {"judge": "It looks first."})
    judge = FixedModel(verdict)
    scores = asyncio.run(CallGoals([]).score(task, Transcript((turn,), Outcome.ALIVE), judge=judge))
    assert scores == {"judged": 1.0}
    lines = seen[0].splitlines()
    shown = lines[lines.index('assistant calls look({"fruit": "figs"})') :][:5]
    assert shown == [
        'assistant calls look({"fruit": "figs"})',
        'result: "3 figs"',
        "assistant calls buy({})",
        "refused: no fruit is named",
        "assistant: There are three.",
    ]
    assert "It looks first." in lines
    assert "could not be read" not in seen[0]


def test_an_answer_without_a_verdict_is_an_error():
    task = Task("t", 0, {"judge": "It looks first."})
    with pytest.raises(ValueError, match="neither YES nor NO"):
        asyncio.run(CallGoals([]).score(task, Transcript((), Outcome.ALIVE), judge=FixedModel(["Perhaps."])))
