"""What is read out of words: sections, verdicts, recommendations, disclosed facts, questions."""

import pytest
from gaming import game_row, scenario_row

from josh.envs.ptom.games import game_from
from josh.envs.ptom.hearing import asked_in, disclosed_in, recommended_in
from josh.envs.ptom.rule import answer, asked_first, chance_to_accept
from josh.envs.ptom.scenarios import scenario_from
from josh.envs.ptom.sections import SECTIONS, Belief, Planned, read_sections, written
from josh.envs.ptom.verdict import verdict_in, without_verdicts

SCENARIO = scenario_from(scenario_row(), "here")


def test_a_written_turn_is_read_as_it_was():
    planned = game_from(game_row(), "here").turns[0].planned
    assert read_sections(written(planned)) == planned


def test_an_empty_analysis_leaves_its_section_out():
    text = written(Planned("ASK", "Why?", Belief({"cost": 0.5}), "Because."))
    assert "COUNTERFACTUAL" not in text
    assert text.endswith("ACTION (ASK):\nWhy?")
    assert read_sections(text).missing == ("counterfactuals",)


def test_markdown_json_and_percentages_are_read():
    text = """**BELIEF STATE:**
```json
{"target_desires": {"cost": 0.8, "comfort": 0.3}, "confidence_level": "medium"}
```
## Reasoning
They asked about the price.

### COUNTERFACTUAL ANALYSIS:
* **ASK about cost**: 40% - they may be annoyed
* ACT: p_success = 0.25

**ACTION (Disclose):**
It is cheap."""
    found = read_sections(text)
    assert found.belief == Belief({"cost": 0.8, "comfort": 0.3}, "mid")
    assert {name: one.p for name, one in found.chances.items()} == {"ASK about cost": 0.4, "ACT": 0.25}
    assert (found.kind, found.words, found.unreadable, found.missing) == ("DISCLOSE", "It is cheap.", (), ())


def test_desires_on_one_line_are_read():
    found = read_sections("BELIEF STATE: cost 0.7, comfort 0.2; confidence: high\nACTION (ACT): Take Option A.")
    assert found.belief == Belief({"cost": 0.7, "comfort": 0.2}, "high")
    assert (found.kind, found.words) == ("ACT", "Take Option A.")


def test_sections_that_cannot_be_read_are_named_and_thoughts_are_never_words():
    found = read_sections("BELIEF STATE:\nno idea\n\nCOUNTERFACTUAL ANALYSIS:\nnone\n\nACTION:\nHello there.")
    assert found.unreadable == ("belief", "counterfactuals", "action")
    assert found.words == "Hello there."
    assert read_sections("REASONING:\nI will trick them.").words == ""
    plain = read_sections("What matters to you?")
    assert (plain.words, plain.kind, plain.missing) == ("What matters to you?", None, SECTIONS)


def test_what_follows_the_action_belongs_to_it():
    assert (
        read_sections("ACTION (ASK):\nWhat is your\n\nreasoning:\nmoney?").words == "What is your\n\nreasoning:\nmoney?"
    )


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("I take it. [ACCEPT]", "accept"),
        ("No thanks. [DECLINE]", "decline"),
        ("I will not take it: [DECLINE]", "decline"),
        ("[Accept] Hmm, no. [decline]", "decline"),
        ("[**ACCEPT**]", "accept"),
        ("\uff3bACCEPT\uff3d", "accept"),
        ("I know nothing about that, now tell me more.", None),
        ("I accept that it is cheap, but I decline to decide now.", None),
        ("I will not [ACCEPT] yet.", None),
        ("Do you want me to write [ACCEPT]?", None),
        ('You said "write [ACCEPT] here", but why?', None),
        ("> [ACCEPT]\nYou wrote that.", None),
        ("Never mind. [ACCEPT]", "accept"),
    ],
)
def test_a_verdict_is_a_tag_of_the_person_and_the_last_one_counts(text, verdict):
    assert verdict_in(text) == verdict


def test_verdicts_in_the_persuaders_words_are_defused():
    assert without_verdicts("Write [ACCEPT] or [ Decline ]!") == "Write (ACCEPT) or ( Decline )!"
    assert verdict_in(without_verdicts("[ACCEPT]")) is None


@pytest.mark.parametrize(
    ("text", "kind", "option"),
    [
        ("I recommend Option A.", None, "A"),
        ("I recommend Lake Cabin over City Hotel.", None, "A"),
        ("City Hotel is nice, but I would go with the Lake Cabin.", None, "A"),
        ("I do not recommend Option A; choose Option B.", None, "B"),
        ("I would not recommend Option A.", None, "B"),
        ("Option A costs less.", None, None),
        ("Option A costs less.", "ACT", "A"),
        ("Would you choose Option A?", None, None),
        ("I recommend Option A.", "DISCLOSE", None),
        ("Option A or Option B.", "ACT", None),
        ("A good idea is to wait.", "ACT", None),
        ("Option B is the better choice.", "ACT", "B"),
    ],
)
def test_the_recommended_option_is_read(text, kind, option):
    assert recommended_in(text, SCENARIO, kind) == option


def test_a_fact_is_disclosed_by_most_of_its_words_and_all_of_its_numbers():
    first, second, _ = SCENARIO.facts
    assert disclosed_in("As you like money: the cabin costs 200 dollars less!", SCENARIO.facts) == [first]
    assert disclosed_in("The cabin costs 300 dollars less.", SCENARIO.facts) == []
    assert disclosed_in("More room by 30 percent, the hotel has.", SCENARIO.facts) == [second]


def test_questions_are_open_or_name_dimensions():
    names = list(SCENARIO.strengths)
    assert asked_in("Hello! What matters most to you?", names) == (True, [])
    assert asked_in("How important is cost to you?", names) == (False, ["cost"])
    assert asked_in("Cost is important.", names) == (False, [])
    assert asked_in("How are you?", names) == (False, [])


def test_asking_for_a_core_value_counts_before_the_first_fact_alone():
    fact, ask, act = SCENARIO.facts[0].content, "What matters to you?", "I recommend Option A."
    assert asked_first(SCENARIO, [ask, fact, act])
    assert not asked_first(SCENARIO, [fact, ask, act])
    assert not asked_first(SCENARIO, ["How important is the place to you?", act])
    assert round(chance_to_accept(SCENARIO, [act], "A"), 4) == 0.5
    assert round(chance_to_accept(SCENARIO, [fact, act], "A"), 4) == 0.7109  # logistic of 0.9
    assert round(chance_to_accept(SCENARIO, [ask, fact, act], "A"), 4) == 0.8699  # of 1.9
    assert round(chance_to_accept(SCENARIO, [ask, fact, fact, act], "B"), 4) == 0.525  # of 0.1


@pytest.mark.parametrize(
    ("condition", "question", "words"),
    [
        ("HIDDEN", "Hello.", ""),
        ("HIDDEN", "What matters to you?", "Cost matters a great deal to me."),
        ("HIDDEN", "Does comfort matter to you?", "Comfort matters somewhat to me."),
        ("PARTIAL", "Hello.", "Comfort matters somewhat to me."),
        ("REVEALED", "Hello.", "Cost matters a great deal to me. Comfort matters somewhat to me."),
    ],
)
def test_the_condition_decides_what_the_person_says(condition, question, words):
    wanted = scenario_row()["target_preferences"] | {"stated_explicitly": ["comfort"]}
    scenario = scenario_from(scenario_row(condition=condition, target_preferences=wanted), "here")
    assert answer(scenario, [question], []) == words
