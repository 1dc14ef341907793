"""The dialogues from which a tiny model learns to read states."""

from collections import Counter

from josh.envs.proactive.synthetic import made_up_states, read_request
from josh.runs.systems.tiny_helper import dialogues
from josh.runs.train.tiny import SIZES, Tiny


def test_the_same_seed_gives_the_same_states_of_the_training_split():
    said = list(dialogues(60, seed=1))
    assert said == list(dialogues(60, seed=1)) != list(dialogues(60, seed=2))
    held_out = {one.state.query for part in ("valid", "test") for one in made_up_states(1, part, 500)}
    assert not any(query in messages[0]["content"] for messages in said for query in held_out)


def test_a_label_is_drawn_by_chance_and_says_nothing_about_the_state():
    labels = Counter()
    for state, label in dialogues(2000, seed=1):
        labels[(read_request(state["content"].partition("[User Request]\n")[2]).detail != "", label["content"])] += 1
    for clear in (True, False):
        asked = labels[(clear, "Clarify")] / (labels[(clear, "Clarify")] + labels[(clear, "Execute")])
        assert 0.45 < asked < 0.55


def test_states_before_and_after_questions_are_among_them():
    turns = Counter(messages[0]["content"].partition("[Dialogue Turn] ")[2][0] for messages in dialogues(300, seed=1))
    assert set(turns) == {"0", "1", "2"}
    assert turns["0"] > turns["1"] > turns["2"] > 20


def test_the_model_of_the_proactive_world_learns_from_them():
    assert Tiny(env="proactive").scale.steps == SIZES["small"].steps
