"""Made-up states: half of them lack a fact, and their text is unique."""

from random import Random

import pytest

from josh.envs.proactive.env import ProactiveEnv
from josh.envs.proactive.speech import offline_words
from josh.envs.proactive.states import State, answered
from josh.envs.proactive.synthetic import FAMILIES, made_up, made_up_states, read_request
from josh.errors import UsageError
from josh.testing import EnvConformance


class TestProactiveEnv(EnvConformance):
    def make(self):
        env = ProactiveEnv({"synthetic_tasks": 12})
        env.splits = ("train", "valid", "test")  # `all` has the tasks of the others again
        return env


def words(state, action, seed=1):

    return offline_words(state, action, Random(seed))


def solves(one, state):
    return all(need in words(state, "Execute") for need in one.needs)


def test_exactly_half_of_the_states_cannot_be_solved_without_the_hidden_fact():
    drawn = made_up_states(10, "train", 200)
    assert sum(bool(one.hidden) for one in drawn) == 100
    assert sum(one.state.domain == "coding" for one in drawn) == 100
    for one in drawn:
        assert solves(one, one.state) == (not one.hidden)
        told = answered(one.state, "Which?", f"I think {one.hidden or 'that is all'}.", 0.3)
        assert solves(one, told)


def test_no_text_is_in_two_states_and_no_state_in_two_parts():
    parts = [{one.state.id for one in made_up_states(seed, part, 300)} for seed, part in ((1, "train"), (2, "test"))]
    assert not parts[0] & parts[1]
    drawn = made_up_states(5, None, 3000)
    assert len({one.state.query for one in drawn}) == 3000
    assert made_up(drawn[7].state.id) == drawn[7]


def test_unclear_states_meet_the_patient_persona_and_clear_ones_any():
    drawn = made_up_states(1, "valid", 100)
    assert {len(one.personas) for one in drawn if one.hidden} == {1}
    assert {len(one.personas) for one in drawn if not one.hidden} == {3}


def test_a_request_is_read_with_the_answers_behind_it():
    for name, family in FAMILIES.items():
        detail = next(iter(family.details))
        open_query = family.request.format(place="place", thing="things", detail="as usual")
        assert read_request(open_query).detail == ""
        assert read_request(f"{open_query}\n[Assistant]: Which?\n[User]: Exactly {detail}, nothing else.") == (
            read_request(family.request.format(place="place", thing="things", detail=detail))
        )
        assert read_request(open_query).family == name
    assert read_request("Write a poem.") is None


def test_other_requests_get_general_words():
    assert "```python" in words(State("q", "coding", "Write a poem."), "Execute")
    assert len(words(State("q", "planning", "Write a poem."), "Execute").split()) > 50
    assert words(State("q", "coding", "Write a poem."), "Clarify").count("?") == 1


def test_there_are_so_many_states_and_not_more():
    with pytest.raises(UsageError, match="synthetic_tasks is 99999; there are"):
        made_up_states(1, "test", 99_999)
