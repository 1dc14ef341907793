"""The persuader without a model."""

from collections import Counter
from random import Random

import pytest
from p4g_figures import Dice

from josh.agents.persuasion.offline import (
    ACTS_BY_TURN,
    ACTS_PER_TURN,
    PHRASES,
    TAKES_UP,
    TURNS,
    OfflinePersuader,
    UniformPersuader,
    draw_acts,
)
from josh.envs.persuasion.donation import DONATION
from josh.roles import BaseEnv, Task
from josh.users.persuasion.donor import Donor
from josh.users.persuasion.figures import CATEGORICAL_TRAITS, NUMERIC_TRAITS


def talk(i, temperature=1.0, rounds=10):
    """A conversation with a made-up persuadee: the agent and what was given."""
    rng = Random(i)
    traits = {name: rng.gauss(mean, deviation) for name, (mean, deviation, _) in NUMERIC_TRAITS.items()}
    traits |= {name: rng.choice(sorted(shifts)) for name, shifts in CATEGORICAL_TRAITS.items()}
    agent, user = OfflinePersuader(), Donor()
    user.start(Task(str(i), i, {"persuadee": {"id": f"p{i}", "traits": traits}}), BaseEnv({}), {"seed": 1})
    for _ in range(rounds):
        assert agent.step(model=Dice(rng.random(), temperature)) is True
        _, over = user.step(agent, model=Dice(rng.random()))
        if over:
            break
    return agent, DONATION.read(agent.messages[-1]["content"])


def words(agent):
    return [message["content"] for message in agent.messages if message["role"] == "assistant"]


def test_it_speaks_once_and_hands_over():
    agent = OfflinePersuader()
    assert agent.step(model=Dice()) is True
    assert [message["role"] for message in agent.messages] == ["assistant"]
    assert agent.messages == agent.messages_internal
    assert agent.messages[0]["content"]
    assert 1 <= len(agent.recent_actions) <= 3


def test_it_keeps_the_system_prompt():
    class Env(BaseEnv):
        def agent_prompt(self, task):
            return "Be kind."

    agent = OfflinePersuader()
    agent.start(Task("t", 0, {}), Env({}), {})
    agent.step(model=Dice())
    assert [message["role"] for message in agent.messages_internal] == ["system", "assistant"]


def test_the_same_seed_says_the_same_and_another_something_else():
    def opening(seed):
        agent = OfflinePersuader()
        agent.step(model=Dice(seed))
        return words(agent)

    assert opening(1) == opening(1)
    assert len({opening(seed)[0] for seed in range(20)}) > 10


def test_at_temperature_zero_nothing_is_left_to_chance():
    def monologue(seed):
        agent = OfflinePersuader()
        for _ in range(TURNS):
            agent.step(model=Dice(seed, temperature=0.0))
        return words(agent)

    assert monologue(1) == monologue(2)
    assert len(set(monologue(1))) == TURNS


def test_each_turn_has_the_acts_that_people_use_there():
    for turn in (0, 2, 9):
        drawn = Counter(act for i in range(4000) for act in draw_acts(turn, "", (), 1.0, Random(i)))
        assert all(ACTS_BY_TURN[act][turn] for act in drawn)
        top = max((act for act in ACTS_BY_TURN if act in drawn), key=lambda act: ACTS_BY_TURN[act][turn])
        assert drawn.most_common(1)[0][0] == top
    assert drawn["proposition-of-donation"] / 4000 == pytest.approx(0.1, abs=0.03)


def test_cooler_draws_are_sharper():
    def share_of_top(temperature):
        return sum("credibility-appeal" in draw_acts(2, "", (), temperature, Random(i)) for i in range(1000)) / 1000

    shares = [share_of_top(temperature) for temperature in (2.0, 1.0, 0.5, 0.01, 0.0)]
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_questions_are_met_with_facts_more_often():
    def share(reply):
        return sum("credibility-appeal" in draw_acts(5, reply, (), 1.0, Random(i)) for i in range(1000)) / 1000

    assert share("What do they do?") > share("I see.") + 0.1


def test_what_takes_something_up_needs_something_to_take_up():
    for i in range(3000):
        assert not TAKES_UP.keys() & set(draw_acts(8, "I see.", (), 3.0, Random(i)))
    assert any("ask-donate-more" in draw_acts(8, "Maybe 10 cents.", (), 3.0, Random(i)) for i in range(1000))


def test_it_greets_once():
    for i in range(30):
        text = "\n".join(words(talk(i)[0]))
        assert sum(text.count(phrase) for phrase in PHRASES["greeting"]) <= 1


def test_long_conversations_go_on_like_their_end():
    assert draw_acts(9, "", (), 1.0, Random(3)) == draw_acts(40, "", (), 1.0, Random(3))


def test_every_act_has_phrases_and_none_holds_a_tag():
    assert PHRASES.keys() == ACTS_BY_TURN.keys()
    for choices in PHRASES.values():
        assert len(set(choices)) == len(choices) >= 4
        assert not any(DONATION.count(phrase) or "[" in phrase for phrase in choices)
    assert {len(row) for row in ACTS_BY_TURN.values()} == {TURNS}


def test_sentences_are_not_repeated():
    for i in range(50):
        said = words(talk(i)[0])
        assert len(set(said)) == len(said)


def test_it_is_a_mediocre_persuader():
    gifts = [talk(i)[1] for i in range(1000)]
    assert 0.3 < sum(bool(gift) for gift in gifts) / len(gifts) < 0.52


def test_the_uniform_persuader_draws_every_act_that_fits_alike():
    drawn: Counter[str] = Counter()
    turns: Counter[int] = Counter()
    for i in range(4000):
        agent = UniformPersuader()
        agent.step(model=Dice(i))
        assert len(set(agent.recent_actions)) == len(agent.recent_actions)
        turns[len(agent.recent_actions)] += 1
        drawn += Counter(agent.recent_actions)
    for acts, share in enumerate(ACTS_PER_TURN, 1):
        assert turns[acts] == pytest.approx(4000 * share, rel=0.1)
    assert drawn.keys() == ACTS_BY_TURN.keys() - TAKES_UP.keys()
    assert max(drawn.values()) < 1.5 * min(drawn.values())
