"""What an evaluation of proactive help measures of each conversation."""

import pytest
from helping import CODE, PLAN, played, saying, task_of

from josh.rewards.proactive_measures import ProactiveMeasures

ASK, WRONG = ("Clarify", "By what do I sort them?"), ("Execute", "Here.\n\n```python\npass\n```")
RIGHT = ("Execute", CODE)
UNCLEAR = task_of(needs=["sorted"], hidden="by price")
CLEAR = task_of(needs=["sorted"])


def measures(task, *turns, seed=10, **options):
    """The measures of one conversation, by name."""
    episode = played(saying(*turns), task, rewards=ProactiveMeasures, seed=seed, **options)
    (found,) = episode.scores.values()
    return found


def of(found, *names):
    return tuple(found[name] for name in names)


def test_a_direct_answer_to_an_unclear_request_is_under_clarified():
    found = measures(UNCLEAR, WRONG)
    assert of(found, "success", "under", "over", "clarify", "turns", "action_accuracy") == (0, 1, 0, 0, 1, 0)
    assert of(found, "utility", "cost", "task_score") == (0, 0, 0)


def test_a_question_that_is_answered_costs_what_it_costs_and_is_the_best_first_action():
    found = measures(UNCLEAR, ASK, RIGHT)
    assert of(found, "success", "clarify", "clarify_turns", "turns", "rejected") == (1, 1, 1, 2, 0)
    assert of(found, "utility", "cost", "action_accuracy") == (0.76, 0.24, 1)
    assert of(measures(CLEAR, ASK, RIGHT), "success", "action_accuracy") == (1, 0)
    assert of(measures(CLEAR, RIGHT), "success", "utility", "action_accuracy") == (1, 1, 1)


def test_two_questions_without_a_solution_are_over_clarified():
    found = measures(UNCLEAR, ASK, ASK, WRONG)
    assert of(found, "success", "over", "under", "clarify_turns") == (0, 1, 0, 2)


def test_a_rejection_counts_once_for_its_conversation():
    seeds = range(40)
    found = [measures(UNCLEAR, ASK, WRONG, seed=seed)["rejected"] for seed in seeds]
    assert set(found) == {0, 1}  # the patient user rejects one question of ten
    assert sum(found) < len(seeds) / 3


def test_a_task_that_nothing_scores_is_in_the_denominator_and_not_solved():
    plan = task_of({**task_of().data["state"], "domain": "planning", "query": "Plan a trip for my class."})
    found = measures(plan, ("Execute", PLAN))
    assert "task" not in found
    assert of(found, "success", "task_score", "utility", "under") == (0, 0, 0, 1)
    assert "action_accuracy" not in found  # nobody knows what the request lacks


@pytest.mark.parametrize(("chosen", "accuracy"), [("Execute", 1), ("Clarify", 0)])
def test_the_better_action_of_a_file_of_preferences_comes_before_the_computed_one(chosen, accuracy):
    state = {**UNCLEAR.data["state"], "chosen_action": chosen}
    task = task_of(state, needs=["sorted"], hidden="by price")
    assert measures(task, WRONG)["action_accuracy"] == accuracy
