"""Scenarios: what a file may have, which option is natural, and who sees the preferences."""

import json

import pytest
from gaming import FACTS, game_row, scenario_row, turn_row, write_rows

from josh.envs.ptom.env import PtomEnv
from josh.envs.ptom.games import game_from, games_in
from josh.envs.ptom.made_up import made_up
from josh.envs.ptom.prompts import as_row, person_prompt, persuader_prompt
from josh.envs.ptom.scenarios import CONDITIONS, load_scenarios, scenario_from
from josh.errors import UsageError
from josh.testing import EnvConformance


class TestMadeUpScenarios(EnvConformance):
    def make(self):
        return PtomEnv({"synthetic_tasks": 5, "seed": 3})


def test_the_natural_option_has_the_larger_sum_of_strengths():
    strengths = {"safety": 0.95, "cost": 0.57, "comfort": 0.8}
    sides = [("A", "cost")] * 3 + [("B", "safety")] * 3 + [("B", "cost")]
    facts = [{"content": str(number), "favors": side, "dimension": one} for number, (side, one) in enumerate(sides)]
    facts += [
        {"content": "x", "favors": "B", "dimension": "half"},
        {"content": "y", "favors": "A", "dimension": "none"},
    ]
    wanted = {"preference_strength": {**strengths, "half": 0.75}}
    scenario = scenario_from({"available_facts": facts, "target_preferences": wanted}, "here")
    assert {side: round(value, 2) for side, value in scenario.weigh().items()} == {"A": 1.71, "B": 4.17}
    assert scenario.natural == "B"
    assert round(scenario.pull, 3) == 0.418


def test_a_fact_that_favours_both_or_neither_and_an_unknown_dimension_count_nothing():
    facts = [
        {"content": "x", "favors": "A/B tension", "dimension": "cost"},
        {"content": "y", "favors": "neutral", "dimension": "cost"},
        {"content": "z", "favors": "option_b", "dimension": "colour"},
    ]
    scenario = scenario_from(scenario_row(available_facts=facts), "here")
    assert scenario.weigh() == {"A": 0, "B": 0}
    assert scenario.natural == "tie"
    assert scenario.pull == 0
    assert [fact.favors for fact in scenario.facts] == ["A/B tension", "neutral", "B"]
    persuader_prompt(scenario)


def test_equal_sums_of_decimal_fractions_are_a_tie():
    strengths = {"a": 0.1, "b": 0.2, "c": 0.3}
    facts = [{"content": one, "favors": "B" if one == "c" else "A", "dimension": one} for one in strengths]
    wanted = {"preference_strength": strengths}
    assert scenario_from({"available_facts": facts, "target_preferences": wanted}, "here").natural == "tie"


def test_a_core_value_is_above_seven_tenths_and_a_moderate_one_at_least_three_tenths():
    wanted = {"preference_strength": {"a": 0.71, "b": 0.7, "c": 0.3, "d": 0.29}}
    scenario = scenario_from(scenario_row(target_preferences=wanted), "here")
    assert scenario.core == ("a",)
    assert "Above all: a.\nSomewhat: b, c.\nHardly: d." in person_prompt(scenario)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_the_persuader_sees_the_preferences_where_they_are_revealed_alone(condition):
    wanted = {"stated_explicitly": ["zeal"], "true_preferences": ["zeal"], "preference_strength": {"zeal": 0.83}}
    scenario = scenario_from(scenario_row(condition=condition, target_preferences=wanted), "here")
    seen = [persuader_prompt(scenario), persuader_prompt(scenario, sections=False), str(as_row(scenario, ()))]
    assert [("zeal" in text) for text in seen] == [condition == "REVEALED"] * 3
    assert not any("0.83" in text for text in seen)
    assert ("You may speak of this by yourself: zeal" in person_prompt(scenario)) == (condition == "PARTIAL")


def test_the_person_knows_neither_the_facts_nor_the_persuaders_goal():
    text = person_prompt(scenario_from(scenario_row(), "here"))
    assert not any(fact["content"] in text for fact in FACTS)
    assert "City Hotel" in text
    assert "want them to choose" not in text


def test_a_scenario_is_the_same_after_it_was_written_and_read():
    for row in (scenario_row(), {"available_facts": [{"content": "x"}]}):
        scenario = scenario_from(row, "here", "me")
        assert scenario_from(json.loads(json.dumps(scenario.row)), "here") == scenario
    assert scenario_from(made_up(1, "train", 0).row, "here") == made_up(1, "train", 0)


def test_a_file_of_games_is_a_file_of_scenarios(tmp_path):
    whole = scenario_row() | {"game_id": "g1", "trajectory": []}
    path = write_rows(tmp_path / "all.jsonl", whole, {**whole, "game_id": "g2"}, scenario_row(scenario_id="s2"))
    assert [one.id for one in load_scenarios(path)] == ["s1", "s2"]
    env = PtomEnv({"scenarios": path, "env.n_scenarios": 1, "seed": 1})
    (task,) = env.tasks("all")
    assert env.people(task) == (task.id,)
    assert env.groups(task) == {"condition": "HIDDEN", "natural option": "A"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"available_facts": []}, "available_facts is []; give a list of objects with a content"),
        ({"available_facts": [{"id": "f"}]}, "fact 1 is {'id': 'f'}; give an object with a content"),
        ({"condition": "SECRET"}, "condition is 'SECRET'; give HIDDEN, PARTIAL, REVEALED"),
        ({"persuader_goal": "C"}, "persuader_goal is 'C'; give A, B"),
        ({"target_preferences": {"preference_strength": {"a": 2}}}, "'a' is 2; give a number from 0 to 1"),
        ({"option_a": 3}, "option_a is 3; give a name, or an object with a name"),
    ],
)
def test_a_wrong_row_is_named_with_its_line(tmp_path, change, words):
    path = write_rows(tmp_path / "s.jsonl", scenario_row(), scenario_row(scenario_id="s2", **change))
    with pytest.raises(UsageError, match=r"s\.jsonl line 2: ") as raised:
        load_scenarios(path)
    assert words in str(raised.value)


def test_one_id_with_two_contents_is_refused(tmp_path):
    path = write_rows(tmp_path / "s.jsonl", scenario_row(), scenario_row(condition="PARTIAL"))
    with pytest.raises(UsageError, match="line 2: the id 's1' occurs twice, with other content"):
        load_scenarios(path)


def test_made_up_scenarios_are_mixed_and_the_same_for_the_same_seed():
    drawn = [made_up(10, "test", index) for index in range(200)]
    assert drawn == [made_up(10, "test", index) for index in range(200)]
    assert {one.condition for one in drawn} == set(CONDITIONS)
    natural = [one.natural for one in drawn]
    assert min(natural.count("A"), natural.count("B")) > 60
    assert all(len({fact.content for fact in one.facts}) == len(one.facts) for one in drawn)
    assert all(one.core for one in drawn)


def test_a_game_is_read_with_its_scenario(tmp_path):

    merged = game_row("g2") | {"context": "A flat.", "option_a": {"name": "Mill Street"}, "scenario_id": "s9"}
    ((_, plain), (_, full)) = games_in(write_rows(tmp_path / "games.jsonl", game_row(), merged))
    assert plain.scenario.names == {"A": "Option A", "B": "Option B"}
    assert plain.grouped == ("g1",)
    assert full.grouped == ("s9", "g2")
    assert full.scenario.names["A"] == "Mill Street"
    assert [turn.planned.kind for turn in full.turns] == ["ASK", "ACT"]
    assert full.turns[0].planned.chances["ASK"].p == 0.7


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"action": ""}, "here turn 1: action is ''; give the persuader's words"),
        ({"action_type": "WAIT"}, "here turn 1: action_type is 'WAIT'; give ASK, DISCLOSE, ACT"),
        ({"belief_state": {"cost": 1}}, "here turn 1: belief_state is {'cost': 1}; give an object with target_desires"),
        ({"counterfactual_analysis": {"ASK": {"p_success": 7}}}, "p_success of 'ASK' is 7; give a number from 0 to 1"),
    ],
)
def test_a_wrong_turn_of_a_game_is_named(change, words):

    with pytest.raises(UsageError) as raised:
        game_from(game_row(trajectory=[turn_row(**change)]), "here")
    assert words in str(raised.value)
