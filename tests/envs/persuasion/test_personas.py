"""The survey's attributes, as prompts show them and as people are made up from them."""

import re
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from josh.envs.persuasion.personas import (
    ATTRIBUTES,
    GROUPED,
    GROUPS,
    INCOME_BANDS,
    describe,
    grouped,
    synthetic_persona,
)

BY_NAME = {each.name: each for each in ATTRIBUTES}


@pytest.fixture(scope="module")
def people():
    return [synthetic_persona(7, number) for number in range(4000)]


def test_there_are_32_attributes_in_five_groups():
    assert len(BY_NAME) == 32
    assert {each.group for each in ATTRIBUTES} == set(GROUPS)
    assert "freedom" in BY_NAME


def test_scales_are_those_of_the_survey():
    tops = {group: {each.high for each in ATTRIBUTES if each.group == group} for group in GROUPS}
    assert tops["Big Five personality"] == tops["decision style"] == {5}
    assert tops["moral foundations"] == tops["Schwartz values"] == {6}


@pytest.mark.parametrize("attribute", [each for each in ATTRIBUTES if each.shares], ids=lambda each: each.name)
def test_shares_add_up_to_one(attribute):
    assert sum(attribute.shares.values()) == pytest.approx(1, abs=0.001)


@given(seed=st.integers(), number=st.integers(min_value=0))
def test_every_made_up_answer_could_have_been_given(seed, number):
    traits = synthetic_persona(seed, number).traits
    assert list(traits) == list(BY_NAME)
    for name, value in traits.items():
        attribute = BY_NAME[name]
        if attribute.numeric:
            steps = (value - attribute.low) / attribute.step
            assert attribute.low <= value <= attribute.high
            assert steps == pytest.approx(round(steps), abs=0.03), "answers are rounded to cents of a point"
        else:
            assert value in attribute.shares


@given(seed=st.integers(), number=st.integers(min_value=0))
def test_the_same_seed_and_number_make_the_same_person(seed, number):
    assert synthetic_persona(seed, number) == synthetic_persona(seed, number)


def test_people_differ(people):
    assert len({tuple(person.traits.values()) for person in people}) == len(people)
    assert len({person.id for person in people}) == len(people)
    assert synthetic_persona(1, 0).traits != synthetic_persona(2, 0).traits


@pytest.mark.parametrize("attribute", [each for each in ATTRIBUTES if each.numeric], ids=lambda each: each.name)
def test_made_up_numbers_have_the_published_mean(attribute, people):
    tolerance = 0.6 if attribute.name == "age" else 0.15
    assert mean(person.traits[attribute.name] for person in people) == pytest.approx(attribute.mean, abs=tolerance)


@pytest.mark.parametrize("attribute", [each for each in ATTRIBUTES if each.shares], ids=lambda each: each.name)
def test_made_up_categories_have_the_published_shares(attribute, people):
    answers = [person.traits[attribute.name] for person in people]
    for answer, share in attribute.shares.items():
        assert answers.count(answer) / len(answers) == pytest.approx(share, abs=0.03)


def test_a_description_gives_every_number_its_scale():
    text = describe({"care": 4.6, "open": 3.0, "power": 2.0, "rational": 4.5, "loyalty": 4.33})
    assert text.splitlines() == [
        "Big Five personality: openness: 3 of 5",
        "Schwartz values: power: 2 of 6",
        "Moral foundations: care: 4.6 of 6, loyalty: 4.33 of 6",
        "Decision style: rational: 4.5 of 5",
    ]


def test_a_description_of_a_life_is_in_words():
    text = describe({"age": 34.0, "sex": "Female", "edu": "Four-year college", "income": 5.0})
    assert text == "Demographics: age: 34, sex: Female, education: Four-year college, yearly income: $40,000 to $49,999"


def test_income_has_twelve_bands():
    assert len(INCOME_BANDS) == len(BY_NAME["income"].shares) == 12
    assert (INCOME_BANDS[0], INCOME_BANDS[9]) == ("less than $10,000", "$90,000 to $99,999")


def test_missing_answers_are_left_out():
    assert describe({"age": None, "care": 3.0, "shoe size": 44.0}) == "Moral foundations: care: 3 of 6"
    assert describe({}) == ""


def test_a_whole_person_is_described_whole(people):
    text = describe(people[0].traits)
    assert all(re.search(rf"\b{re.escape(each.label)}: ", text) for each in ATTRIBUTES)
    assert "None" not in text


def test_groups_are_of_bands_averages_and_answers():
    found = grouped({"age": 30.0, "open": 3.6, "agreeable": 4.2, "religion": "Catholic"})
    assert len(found) == len(GROUPED) == 10
    assert (found["age"], found["openness"], found["agreeableness"]) == ("30 to 44", "below average", "above average")
    assert (found["religion"], found["sex"]) == ("Catholic", "unknown")


def test_everybody_is_in_a_group_and_no_group_has_everybody(people):
    for label in grouped(people[0].traits):
        groups = {grouped(person.traits)[label] for person in people}
        assert 1 < len(groups) < 7
        assert "unknown" not in groups
