"""What proactive help is worth: the published numbers, when a task is done, and which action was the better one."""

import asyncio
from itertools import product

import pytest
from helping import CODE, PLAN, ROW, SHORT_PLAN, facts, played, saying, task_of, with_settings

from josh.agents.proactive.offline import ClarifyFirst, Direct
from josh.dialogue import Outcome, Speaker, Turn
from josh.envs.proactive.cost import Weights
from josh.envs.proactive.env import ProactiveEnv
from josh.envs.proactive.reactions import luck_of
from josh.errors import UsageError
from josh.rewards.proactive import ProactiveRewards
from josh.rewards.proactive_worth import FAILED, TIE, UNSCORED, action_pairs, scores_of
from josh.strategies.mainline import Mainline
from josh.testing import ScriptedModel
from josh.tree import Node, Tree

V1, V2 = Weights(), Weights(formula="v2")
ANSWERED, REJECTED = {"answered_clarification": 1}, {"reject_signal": 1}
LUCKY = next(seed for seed in range(99) if all(luck_of(seed, "q", number) < 0.3 for number in range(3)))
UNLUCKY = next(seed for seed in range(999) if luck_of(seed, "q", 0) > 0.9)


def said(questions=0, words=10, task=None, delivers=False):
    """The facts of one message of the agent."""
    return {"questions": questions, "words": words, "task": task, "delivers": delivers}


DONE = said(task=1.0, delivers=True), {}


@pytest.mark.parametrize(
    ("told", "v1", "v2"),
    [
        ([DONE], 1.0, 1.0),
        ([(said(1), ANSWERED), DONE], 0.76, 1.03),
        ([(said(1), REJECTED), DONE], 0.16, 0.93),
        ([(said(1), ANSWERED)], -0.24, 0.03),
    ],
)
def test_a_conversation_is_worth_its_task_less_the_cost_of_its_messages(told, v1, v2):
    assert scores_of(told, V1)["reward"] == pytest.approx(v1)
    assert scores_of(told, V2)["reward"] == pytest.approx(v2)


def test_the_costs_of_several_messages_add_up():
    told = [(said(2), ANSWERED), (said(1), REJECTED), (said(words=210, task=1.0, delivers=True), {})]
    assert scores_of(told, V1)["interrupt"] == pytest.approx(1.5)
    assert scores_of(told, V2)["interrupt"] == pytest.approx(0.1)


def test_the_last_message_that_delivers_counts():
    wrong = said(task=0.0, delivers=True), {}
    assert scores_of([wrong, DONE], V1)["task"] == 1.0
    assert scores_of([DONE, wrong], V1)["task"] == 0.0
    assert scores_of([DONE, (said(1), ANSWERED)], V1)["task"] == 1.0
    assert scores_of([(said(delivers=True), {})], V1) == {"interrupt": 0.0}


@pytest.mark.parametrize(
    ("row", "needs", "action", "text", "done", "task"),
    [
        ({}, None, "Execute", CODE, True, 0.5),
        ({}, None, "Execute", "I sort it.", False, None),
        ({}, None, "Clarify", "Which order do you want?", False, None),
        ({}, ["sorted"], "Execute", CODE, True, 1.0),
        ({}, ["reverse"], "Execute", CODE, False, 0.0),
        ({}, ["sorted", "reverse"], "Execute", CODE, False, 0.0),
        ({}, ["sorted"], "Execute", "sorted", False, None),
        ({"mbpp_tests": "assert work([2, 1]) == [1, 2]"}, None, "Execute", CODE, False, None),
        ({"domain": "planning"}, None, "Execute", PLAN, True, None),
        ({"domain": "planning"}, None, "Execute", SHORT_PLAN, False, None),
        ({"domain": "planning"}, None, "Clarify", f"{PLAN}?", False, None),
        ({"domain": "planning"}, ["by train"], "Execute", f"{PLAN} by train", True, 1.0),
        ({"domain": "planning"}, ["by train"], "Execute", PLAN, False, 0.0),
    ],
)
def test_a_task_is_done_where_its_tests_pass_or_there_are_none(row, needs, action, text, done, task):
    data = {} if needs is None else {"needs": needs}
    episode = played(
        saying((action, text), ("Execute", "Hm.")),
        task_of({**ROW, **row}, **data),
        rewards=with_settings(allow_exec="later"),
        max_rounds=1,
    )
    found = facts(episode)[0]
    assert (found["done"], found["task"]) == (done, task)
    assert found["over"] == (action == "Execute")
    assert (Outcome.WON in episode.outcomes.values()) == done


def test_a_plan_is_scored_by_the_setting_or_by_the_judge():
    row = {**ROW, "domain": "planning"}
    agent = saying(("Execute", PLAN))
    scores = played(agent, task_of(row), rewards=with_settings(planning_score=0.6)).scores
    assert next(iter(scores.values())) == {"task": 0.6, "interrupt": 0.0, "reward": 0.6}
    (unscored,) = played(agent, task_of(row)).scores.values()
    assert unscored == {"interrupt": 0.0}
    for said_by_judge, mark in (("8", 0.8), ("I give it 10.", 1.0), ("2.5 of 10", 0.25), ("11", None), ("good", None)):
        judge = ScriptedModel([said_by_judge])
        episode = played(agent, task_of(row), judge_model=judge)
        assert facts(episode)[0]["task"] == mark
        (request,) = judge.requests
        assert ROW["query"] in request.messages[0]["content"]
        assert PLAN in request.messages[0]["content"]


def test_tests_are_never_run_unless_that_is_allowed():
    task = task_of({**ROW, "mbpp_tests": "assert work([2, 1]) == [1, 2]"})
    with pytest.raises(UsageError, match=r"task q has tests, which run the code that a model wrote; give --allow_exec"):
        played(Direct, task)
    episode = played(Direct, task, rewards=with_settings(allow_exec="later"))
    assert list(episode.scores.values()) == [{"interrupt": 0.0}]


def test_half_of_the_made_up_states_are_solved_without_a_question():
    env = ProactiveEnv({"seed": 10, "synthetic_tasks": 40})
    direct = [played(Direct, task) for task in env.tasks("test")]
    assert sum(Outcome.WON in episode.outcomes.values() for episode in direct) == 20
    for episode in direct:
        assert (episode.reward == 1.0) == ("hidden" not in episode.task.data)
    asking = [played(ClarifyFirst, task) for task in env.tasks("test")]
    for episode in asking:
        rejected = any((node.turn.facts or {}).get("reaction") == "rejected" for node in episode.tree.nodes)
        solved = not rejected or "hidden" not in episode.task.data
        assert episode.reward == pytest.approx(float(solved) - (0.84 if rejected else 0.24))


def test_a_pair_prefers_the_action_with_the_higher_reward():
    needs = {"needs": ["by date"]}
    asks = ("Clarify", "By what?")
    solved = ("Execute", CODE.replace("sorted(things)", '"by date"'))
    lucky = played(saying(asks, solved), task_of(**needs), strategy=Mainline(), seed=LUCKY)
    (pair,) = lucky.pairs
    better, worse = (lucky.tree.nodes[index].turn.facts["action"] for index in (pair.better, pair.worse))
    assert (pair.label, better, worse) == ("Execute", "Execute", "Clarify")
    assert pair.values == pytest.approx((1.0, 0.76))


def tree_of(*turns):
    """A tree of one decision: an agent's turn for each (action, task score, questions), with its reward's facts."""
    root = Node(-1, Speaker.USER, "", 0, Turn(), ())
    nodes = [root]
    for number, (action, task, questions) in enumerate(turns):
        outcome = Outcome.INFRA_ERROR if task == "failed" else Outcome.WON
        found = {"action": action, **said(questions, task=None if task == "failed" else task, delivers=True)}
        nodes.append(Node(0, Speaker.AGENT, str(number), 1, Turn(outcome=outcome, facts=found), ()))
    return Tree(tuple(nodes), ())


@pytest.mark.parametrize(
    ("turns", "pair"),
    [
        ([("Clarify", 0.03, 0), ("Execute", 0.5, 0), ("Clarify", 0.06, 0)], (2, 1, "Execute", "")),
        ([("Execute", 0.5, 0), ("Clarify", 0.9, 0), ("Execute", 0.1, 0)], (2, 3, "Clarify", "")),
        ([("Execute", 0.5, 0), ("Clarify", 0.5, 0)], (1, 2, "", TIE)),
        ([("Execute", None, 0), ("Clarify", 0.5, 0)], (1, 2, "", UNSCORED)),
        ([("Execute", "failed", 0), ("Clarify", 0.5, 0)], (1, 2, "", FAILED)),
        ([("Execute", "failed", 0), ("Clarify", 0.5, 0), ("Execute", 1.0, 0)], (3, 2, "Execute", "")),
    ],
)
def test_the_best_action_is_compared_with_the_worst_other_one(turns, pair):
    (found,) = action_pairs(tree_of(*turns), V1)
    assert (found.better, found.worse, found.label, found.note) == pair


def test_turns_of_one_action_are_no_pair():
    assert not list(action_pairs(tree_of(("Clarify", 0.1, 0), ("Clarify", 0.9, 0), (None, 1.0, 0)), V1))


def test_other_weights_prefer_another_action():
    told = (("Clarify", 1.0, 1), ("Execute", 0.9, 0))
    labels = {
        weight: next(iter(action_pairs(tree_of(*told), Weights(w_interrupt=weight)))).label for weight in (0.0, 1.0)
    }
    assert labels == {0.0: "Clarify", 1.0: "Execute"}


def test_a_conversation_without_a_task_score_costs_what_its_messages_cost():
    rewards = ProactiveRewards([])
    assert rewards.path_reward([], [], scores={"interrupt": 0.24}) == pytest.approx(-0.24)
    assert rewards.path_reward([], [], scores={"interrupt": 0.24, "reward": 0.5}) == 0.5


def test_facts_are_shown_in_a_few_words():
    episode = played(saying(("Clarify", "Which?"), ("Execute", CODE)), task_of(needs=["sorted"]), seed=LUCKY)
    rewards = ProactiveRewards([])
    words = [rewards.fact_words(node.turn.facts, node.speaker) for node in episode.tree.nodes[1:]]
    assert words == ["Clarify, 1 question", "answered", "Execute, 1 of 1 passed, R_task 1, done"]


def test_what_is_true_of_a_conversation_can_be_found_again():
    for seed, persona in product(range(3), ("Novice-Learner", "Busy-Developer")):
        once, again = (played(task=task_of(persona=persona), seed=seed) for _ in range(2))
        assert facts(once) == facts(again)
    assert asyncio.run(ProactiveRewards([]).score(task_of(), _empty())) == {
        "task": 0.0, "interrupt": 0.0, "reward": 0.0,
    }  # fmt: skip


def _empty():
    from josh.transcript import Transcript

    return Transcript((), Outcome.ALIVE)
