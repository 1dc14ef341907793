"""States: reading rows, what a turn changes, and the published numbers."""

import json

import pytest

from josh.envs.proactive.personas import BUSY, EXPERIENCED, NOVICE, PERSONAS, persona_named
from josh.envs.proactive.states import (
    answered,
    load_states,
    next_turn,
    rejected,
    render_state,
    state_from,
    uncertainty_of,
)
from josh.errors import UsageError

ROW = {
    "id": "task-0",
    "domain": "coding",
    "query": "Sort a list.",
    "dialogue_turn": 1,
    "prev_reject": 0,
    "task_uncertainty": 0.5,
}


@pytest.mark.parametrize(
    ("query", "uncertainty"),
    [
        ("", 0.2),
        ("Write a function.", 0.4),
        ("x" * 300, 0.6),
        ("x" * 150, 0.5),
        ("x" * 3001, 0.4),
        ("Do it?", 0.2),
        ("Do it????", 0.0),
        ("Maybe, perhaps, it could", 0.0),
        ("Maybe it is " + "x" * 200, 0.45),
        ("A function with an input and an output. " + "x" * 200, 0.9),
        ("A test case with an error. " + "x" * 80, 0.9),
    ],
)
def test_the_clarity_of_a_request_follows_from_its_length_and_words(query, uncertainty):
    assert uncertainty_of(query) == pytest.approx(uncertainty)


@pytest.mark.parametrize(
    ("persona", "patience", "expertise", "after"),
    [
        (EXPERIENCED, 0.6, 0.9, (0.2750, 0.15125)),
        (BUSY, 0.3, 0.6, (0.3500, 0.2450)),
        (NOVICE, 0.9, 0.3, (0.4250, 0.36125)),
    ],
)
def test_answers_change_the_uncertainty_by_the_expertise_of_the_persona(persona, patience, expertise, after):
    assert (persona.answers, persona.answer_clarity) == (patience, expertise)
    state = state_from(ROW, "row")
    found = []
    for _ in after:
        state = answered(state, "By what?", "By price.", persona.answer_clarity)
        found.append(state.task_uncertainty)
    assert found == pytest.approx(after)


def test_an_answered_request_becomes_clearer_and_longer():
    state = answered(state_from(ROW, "row"), "By what?", "By price.", 0.6)
    assert state.clarity == pytest.approx(1 - 0.5 * 0.7)
    assert state.query == "Sort a list.\n[Assistant]: By what?\n[User]: By price."
    assert state.row["task_uncertainty"] == pytest.approx(0.35)
    assert state_from(state.row, "row") == state


def test_a_rejection_is_forgotten_after_an_answer():
    state = rejected(state_from(ROW, "row"))
    assert state.prev_reject == 1
    assert next_turn(state).dialogue_turn == 2
    assert answered(state, "?", "yes", 0.3).prev_reject == 0


def test_a_state_is_rendered_in_the_published_form():
    state = state_from(ROW, "row")
    assert render_state(state) == (
        "[Domain] coding\n[Task Uncertainty] 0.50\n[Dialogue Turn] 1\n[Previous Reject] 0\n[User Request]\nSort a list."
    )
    assert "\n[Persona] Busy-Developer, expertise mid, patience low\n" in render_state(state, BUSY.line)
    assert "[Task Uncertainty] 0.65" in render_state(answered(state, "By what?", "By price.", 0.6))


def test_personas_have_their_published_order_names_and_numbers():
    assert [persona.name for persona in PERSONAS] == ["Novice-Learner", "Busy-Developer", "Experienced-Engineer"]
    assert [persona_named(index) for index in (0, "1", 2)] == list(PERSONAS)
    assert persona_named("Busy-Developer") is BUSY
    assert persona_named(BUSY.row("coding")) is BUSY


def test_a_row_needs_a_query_alone(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text(
        '{"query": "Sort a list."}\n\n{"query": "Plan a trip.", "id": 7, "domain": "planning", "note": 1}\n'
    )
    first, second = load_states(path)
    assert (first.id, first.domain, first.dialogue_turn, first.prev_reject) == ("mine-0", "coding", 0, 0)
    assert first.task_uncertainty == uncertainty_of("Sort a list.") == first.clarity
    assert (second.id, second.domain, second.row["note"]) == ("7", "planning", 1)
    assert load_states(path, "planning")[0].domain == "planning"


def test_tests_keep_their_setup():
    tests = "import math\nassert f(1) == 2\nassert f(2) == math.inf"
    state = state_from({**ROW, "mbpp_tests": tests}, "row")
    assert state.tests == ("assert f(1) == 2", "assert f(2) == math.inf")
    assert state.setup == "import math"
    listed = state_from({**ROW, "mbpp_tests": list(state.tests), "mbpp_setup": "import math"}, "row")
    assert (listed.tests, listed.setup) == (state.tests, state.setup)
    assert state_from(json.loads(json.dumps(state.row)), "row") == state


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"query": None}, "line 2: query is None; give the user's request as a text"),
        ({"query": "  "}, "line 2: query is '  '; give"),
        ({"query": ["x"]}, "line 2: query is ['x']; give"),
        ({"domain": "cooking"}, "line 2: domain is 'cooking'; give coding or planning"),
        ({"domain": ["coding"]}, "line 2: domain is ['coding']; give coding or planning"),
        ({"persona": "Nobody"}, "line 2: persona is 'Nobody'; give Novice-Learner, Busy-Developer, "),
        ({"persona": 3}, "line 2: persona is 3; give"),
        ({"persona": True}, "line 2: persona is True; give"),
        ({"id": "task-0"}, "line 2: the id 'task-0' occurs twice, first at "),
        ({"id": ""}, "line 2: id is ''; give a text"),
        ({"id": []}, "line 2: id is []; give a text"),
        ({"dialogue_turn": -1}, "line 2: dialogue_turn is -1; give a whole number"),
        ({"dialogue_turn": "0"}, "line 2: dialogue_turn is '0'; give a whole number"),
        ({"prev_reject": 2}, "line 2: prev_reject is 2; give 0 or 1"),
        ({"task_uncertainty": 1.5}, "line 2: task_uncertainty is 1.5; give a number from 0 to 1"),
        ({"task_uncertainty": float("nan")}, "line 2: task_uncertainty is nan; give a number from 0 to 1"),
        ({"task_uncertainty": True}, "line 2: task_uncertainty is True; give a number from 0 to 1"),
        ({"mbpp_tests": "assert f("}, "line 2: mbpp_tests does not parse ("),
        ({"mbpp_tests": [1]}, "line 2: mbpp_tests has 1; give Python as a text, or a list of texts"),
        ({"mbpp_tests": "print(1)"}, "line 2: mbpp_tests has no assertion; give at least one"),
        ({"mbpp_setup": "import"}, "line 2: mbpp_setup does not parse ("),
    ],
)
def test_a_wrong_row_is_named_with_its_file_and_line(tmp_path, change, words):
    path = tmp_path / "states.jsonl"
    path.write_text(json.dumps(ROW) + "\n" + json.dumps({**ROW, "id": "other", **change}) + "\n")
    with pytest.raises(UsageError) as refused:
        load_states(path)
    assert str(refused.value).startswith(f"{path} {words}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no states; give one JSON object with a query on each line"),
        ("[]", "has no states; give one JSON object with a query on each line"),
        ('{"query": "x"}\n{"query": ', "line 2 is not JSON: it ends too early"),
        ("17", "line 1 is 17; give a JSON object with a query"),
        ('["x"]', "entry 1 is 'x'; give a JSON object with a query"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path, text, words):
    path = tmp_path / "states.jsonl"
    path.write_text(text)
    with pytest.raises(UsageError) as refused:
        load_states(path)
    assert str(refused.value) == f"{path} {words}"
