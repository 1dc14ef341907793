"""The statistical persuadee: how it is built, and that it behaves like the corpus's people."""

import statistics
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from p4g_figures import Dice, annotated_turns, surveyed_persuadees

from josh.agents.persuasion.offline import PHRASES
from josh.envs.persuasion import acts as s
from josh.envs.persuasion.donation import DONATION
from josh.errors import UsageError
from josh.roles import BaseEnv, BaseJOSHAgent, Task, fork
from josh.seeds import derive
from josh.users.persuasion import donor_phrases
from josh.users.persuasion.donor import (
    AMOUNTS,
    CATEGORICAL_TRAITS,
    COUNTED,
    NUMERIC_TRAITS,
    REACTION_ACTS,
    REACTIONS,
    Donor,
    DonorFirm,
    DonorMild,
    Person,
    State,
    draw_person,
    propensity,
    respond,
)

PRESETS = (DonorMild, Donor, DonorFirm)
NEVER_ASKING = sorted(s.STRATEGIES - {s.FOOT, s.INFORMATION})
ANY_STRATEGY = sorted(s.STRATEGIES | {s.PROPOSITION, s.ASK_AMOUNT})
POLICIES = {
    "never ask": lambda rng: [{rng.choice(NEVER_ASKING)} for _ in range(10)],
    "ask every turn": lambda rng: [{s.PROPOSITION}] * 10,
    "credibility, then ask": lambda rng: [{s.CREDIBILITY}] * 9 + [{s.PROPOSITION}],
    "emotion, then ask": lambda rng: [{s.EMOTION}] * 9 + [{s.PROPOSITION}],
    "random": lambda rng: [{rng.choice(ANY_STRATEGY)} for _ in range(10)],
    "varied": lambda rng: [
        *({s.GREETING}, {s.SOURCE_INQUIRY}, {s.CREDIBILITY}, {s.EMOTION}, {s.STORY}),
        *({s.INFORMATION, s.PROPOSITION}, {s.FOOT, s.LOGICAL}, {s.SELF_MODELING, s.PROPOSITION}),
    ],
}
POOR = ("never ask", "ask every turn", "credibility, then ask", "emotion, then ask")


def made_up_traits(rng):
    numbers = {name: rng.gauss(mean, deviation) for name, (mean, deviation, _) in NUMERIC_TRAITS.items()}
    return numbers | {name: rng.choice(sorted(shifts)) for name, shifts in CATEGORICAL_TRAITS.items()}


def play(person, turns, rng):
    """The amount given and the turn of the gift; (0.0, None) without one."""
    state = State()
    for turn, (acts, anchor) in enumerate(turns):
        state, response = respond(person, state, acts, anchor, rng)
        if response.leaves:
            return (response.amount, turn) if response.amount else (0.0, None)
    return 0.0, None


def in_words(acts, rng):
    return " ".join(rng.choice(PHRASES[act]) for act in sorted(acts))


def rate(policy, spread, people, n=1200, spoken=False, seed=1):
    rng = Random(seed)
    given_to = 0
    for i in range(n):
        name, traits = people(rng, i)
        turns = [(acts, None) for acts in POLICIES[policy](rng)]
        if spoken:
            texts = [in_words(acts, rng) for acts, _ in turns]
            turns = [(s.acts(text), s.anchor(text)) for text in texts]
        given_to += play(draw_person(traits, spread, derive(seed, name)), turns, rng)[0] > 0
    return given_to / n


def strangers(rng, i):
    return f"p{i}", made_up_traits(rng)


class Talker(BaseJOSHAgent):
    def say(self, text):
        self.add_message({"role": "assistant", "content": text})
        return self


def meet(user, persuadee, seed=1):
    user.start(Task("t1", 0, {"persuadee": persuadee} if persuadee else {}), BaseEnv({}), {"seed": seed})
    return user


# The person


def test_the_average_person_is_neutral():
    assert propensity({}) == 0
    assert propensity(dict.fromkeys(NUMERIC_TRAITS)) == 0
    assert propensity({name: mean for name, (mean, _, _) in NUMERIC_TRAITS.items()}) == pytest.approx(0)
    assert propensity({"sex": "Other", "religion": None}) == 0


def test_caring_people_give_more_and_thrill_seekers_less():
    assert propensity({"care": 6, "agreeable": "5.0"}) > 0 > propensity({"stimulation": 6})


def test_a_trait_that_is_no_number_is_named():
    with pytest.raises(UsageError, match="care is 'much'"):
        propensity({"care": "much"})


def test_there_are_32_traits():
    assert len(NUMERIC_TRAITS) + len(CATEGORICAL_TRAITS) == 32


def test_a_persuadee_is_the_same_person_in_every_conversation_of_a_run():
    someone = {"id": "p7", "traits": {"care": 5}}
    first, again, elsewhere = meet(Donor(), someone), meet(Donor(), someone), meet(Donor(), someone, seed=2)
    assert first.person == again.person != elsewhere.person


def test_people_differ_most_among_firm_donors():
    spreads = [
        statistics.stdev(meet(kind(), {"id": str(i), "traits": {}}).person.propensity for i in range(300))
        for kind in PRESETS
    ]
    assert spreads == pytest.approx([0.8, 1.5, 3.0], rel=0.15)


def test_a_task_without_a_persuadee_gets_somebody():
    assert meet(Donor(), None).person != Person()


# The step


histories = st.lists(st.sets(st.sampled_from([*COUNTED, s.OTHER, "nonsense"]), max_size=4), max_size=25)


@given(histories, st.integers(0, 10**6), st.none() | st.floats(0, 1e6), st.floats(-9, 9))
def test_every_response_makes_sense(history, seed, anchor, leaning):
    person, state, rng = Person(leaning, leaning / 9), State(), Random(seed)
    for acts in history:
        after, response = respond(person, state, acts, anchor, rng)
        assert after.turns == state.turns + 1
        assert after.willingness >= state.willingness
        assert after.reactance >= 0
        assert len(after.uses) == len(COUNTED)
        assert response.amount is None or response.leaves
        assert response.amount in (None, 0.0) or 0.01 <= response.amount <= 2.0
        state = after


@given(histories, st.integers(0, 10**6))
def test_the_order_of_acts_does_not_matter(history, seed):
    def run(order):
        state, rng, responses = State(), Random(seed), []
        for acts in history:
            state, response = respond(Person(), state, order(acts), None, rng)
            responses.append(response)
        return state, responses

    assert run(sorted) == run(lambda acts: sorted(acts, reverse=True)) == run(frozenset)


def test_hearing_leaves_the_old_state_alone():
    state = State()
    after, _ = respond(Person(-9), state, {s.STORY}, None, Random(1))
    assert state == State()
    assert after.uses[COUNTED.index(s.STORY)] == 1


def test_repetition_wins_less_each_time_and_then_annoys():
    state, gains = State(), []
    for _ in range(4):
        after, _ = respond(Person(-20), state, {s.EMOTION}, None, Random(1))
        gains.append(after.willingness - state.willingness)
        state = after
    assert gains == sorted(gains, reverse=True)
    assert gains[0] == pytest.approx(0.25)
    assert state.reactance > 0


def test_asking_again_after_a_no_annoys_most():
    calm, _ = respond(Person(-20), State(turns=3), {s.PROPOSITION}, None, Random(1))
    pressed, _ = respond(Person(-20), State(turns=3, refusals=1), {s.PROPOSITION}, None, Random(1))
    assert calm.reactance == 0
    assert pressed.reactance == pytest.approx(0.45)


def share_giving(state, acts, n=2000):
    rng = Random(1)
    return sum(bool(respond(Person(), state, acts, None, rng)[1].amount) for _ in range(n)) / n


def test_a_request_makes_giving_likelier_and_reactance_less_likely():
    warm = State(turns=5, willingness=1.0)
    assert share_giving(warm, {s.PROPOSITION}) > 3 * share_giving(warm, {s.CREDIBILITY})
    assert share_giving(replace(warm, reactance=2.0), {s.PROPOSITION}) < 0.5 * share_giving(warm, {s.PROPOSITION})


def gifts(anchor, willingness=1.23, n=3000):
    rng = Random(1)
    state = State(turns=5, willingness=willingness)
    pairs = (draw_person({}, 0, i) for i in range(n))
    return [respond(replace(person, propensity=50), state, {s.ASK_AMOUNT}, anchor, rng)[1].amount for person in pairs]


def test_gifts_are_spread_like_the_corpus():
    total = sum(AMOUNTS.values())
    expected = sum(amount * weight for amount, weight in AMOUNTS.items()) / total
    assert statistics.fmean(gifts(None)) == pytest.approx(expected, abs=0.05)
    assert set(gifts(None)) <= set(AMOUNTS)


def test_a_named_amount_pulls_the_gift_towards_it():
    assert statistics.fmean(gifts(0.1)) < statistics.fmean(gifts(None)) < statistics.fmean(gifts(2.0))
    assert gifts(500.0) == gifts(None) == gifts(0.0)


def test_trust_raises_the_gift():
    assert statistics.fmean(gifts(None, willingness=2.5)) > statistics.fmean(gifts(None)) + 0.1


def test_pressed_people_walk_away_and_say_so_at_times():
    rng = Random(1)
    pressed = State(turns=5, reactance=4.0, refusals=3)
    ends = [respond(Person(-20), pressed, {s.PROPOSITION}, None, rng)[1] for _ in range(2000)]
    left = [end for end in ends if end.leaves]
    assert 0.2 < len(left) / len(ends) < 0.8
    assert {end.amount for end in left} == {None, 0.0}


def test_reaction_rows_fit_their_columns():
    assert {len(row) for row in REACTIONS.values()} == {len(REACTION_ACTS)}
    assert set(COUNTED) <= set(REACTIONS)


# The user


def test_a_gift_is_said_with_its_tag_and_ends_the_conversation():
    agent = Talker().say("Would you like to donate?")
    same, over = Donor(Person(propensity=50)).step(agent, model=Dice())
    assert (same, over) == (agent, True)
    assert DONATION.read(agent.messages[-1]["content"]) in AMOUNTS
    assert agent.messages[-1]["role"] == "user"


def test_the_same_seed_gives_the_same_words():
    def talk():
        agent, user = Talker(), meet(Donor(), {"id": "p", "traits": {}})
        dice = Dice(3)
        for text in ("Hello!", "Have you heard of Save the Children?", "They help children."):
            user.step(agent.say(text), model=dice)
        return agent.messages

    assert talk() == talk()


def test_only_what_was_said_since_the_last_answer_counts():
    agent, user = Talker(), Donor(Person(-20))
    user.step(agent.say("Hello!").say("When I was a child, we were poor."), model=Dice())
    assert [user.state.uses[COUNTED.index(act)] for act in (s.GREETING, s.STORY)] == [1, 1]
    user.step(agent.say("It breaks my heart."), model=Dice())
    assert [user.state.uses[COUNTED.index(act)] for act in (s.GREETING, s.STORY, s.EMOTION)] == [1, 1, 1]


def test_tool_calls_and_empty_words_are_no_speech():
    agent, user = Talker(), Donor(Person(-20))
    agent.add_message({"role": "assistant", "content": None, "tool_calls": []})
    _, over = user.step(agent, model=Dice())
    assert not over
    assert sum(user.state.uses) == 0


def test_it_greets_when_it_speaks_first():
    agent, user = Talker(), Donor()
    user.step(agent, model=Dice())
    assert agent.messages[-1]["content"] in donor_phrases.SENTENCES["greeting"]
    assert user.state == State()


def test_siblings_do_not_share_what_they_feel():
    agent, user = Talker(), Donor(Person(-20))
    twin = fork(user)
    user.step(agent.say("When I was a child, we were poor."), model=Dice())
    assert twin.state == State()
    assert not twin.said
    assert twin.person is user.person


def test_a_new_task_starts_afresh():
    user = Donor(Person(-20))
    user.step(Talker().say("Hello!"), model=Dice())
    meet(user, {"id": "p", "traits": {}})
    assert user.state == State()
    assert not user.said


# The words


def test_only_decisions_carry_a_tag():
    decisions = {"agree-donation", "provide-donation-amount"}
    for act, choices in donor_phrases.SENTENCES.items():
        for sentence in choices:
            assert DONATION.count(donor_phrases.fill(sentence, 0.5)) == (act in decisions), sentence
            assert "[" not in sentence
    for sentence in donor_phrases.FINAL_REFUSALS:
        assert DONATION.read(donor_phrases.fill(sentence, 0.0)) == 0


def test_every_response_has_words():
    acts = {*REACTION_ACTS, "disagree-donation", "disagree-donation-more", "leave", s.GREETING, s.CLOSING}
    assert acts <= donor_phrases.SENTENCES.keys()
    assert all(len(choices) >= 4 for choices in donor_phrases.SENTENCES.values())


def test_undecided_people_stall_when_asked():
    sentence = donor_phrases.choose("neutral-reaction-to-donation", {s.PROPOSITION}, None, (), Random(1))
    assert sentence in donor_phrases.SENTENCES["stall"]


def test_sentences_are_not_repeated_while_others_are_left():
    said, rng = set(), Random(1)
    for _ in donor_phrases.SENTENCES["ask-org-info"]:
        said.add(donor_phrases.choose("ask-org-info", {s.CREDIBILITY}, None, said, rng))
    assert said == set(donor_phrases.SENTENCES["ask-org-info"])


@pytest.mark.parametrize(
    ("amount", "words"),
    [(0.01, "1 cent"), (0.3, "30 cents"), (1.0, "$1"), (1.5, "$1.50"), (2.0, "$2")],
)
def test_amounts_are_said_as_people_say_them(amount, words):
    assert donor_phrases.fill("{sum} it is. {tag}", amount) == f"{words} it is. [DONATE ${amount:.2f}]"


# The policies and the corpus


@pytest.mark.parametrize("kind", PRESETS)
def test_asking_well_pays(kind):
    rates = {policy: rate(policy, kind.spread, strangers) for policy in POLICIES}
    for poor in POOR:
        assert rates[poor] < rates["random"] - 0.06, rates
    assert rates["varied"] > rates["random"] + 0.08, rates


def test_asking_well_pays_in_words_too():
    rates = {policy: rate(policy, Donor.spread, strangers, spoken=True) for policy in POLICIES}
    for poor in POOR:
        assert rates[poor] < rates["random"] - 0.1, rates
    assert rates["varied"] > rates["random"] + 0.1, rates


@pytest.mark.parametrize("kind", PRESETS)
@pytest.mark.parametrize("read", ["labels", "text"])
def test_replayed_humans_earn_what_they_earned(kind, read):
    people = surveyed_persuadees()
    dialogues = [
        [(labels if read == "labels" else s.acts(text), s.anchor(text)) for labels, text in turns]
        for turns in annotated_turns()
    ]
    rng = Random(1)
    results = []
    for number in range(6000):
        # A new personal part every time: what is calibrated is the mean over whom the same surveys may belong to.
        name, traits = rng.choice(people)
        results.append(play(draw_person(traits, kind.spread, derive(number, name)), rng.choice(dialogues), rng))
    turns = [turn for _, turn in results if turn is not None]
    early, middle, late = statistics.quantiles(turns, n=4)
    assert len(turns) / len(results) == pytest.approx(0.519, abs=0.03 if read == "labels" else 0.05)
    assert statistics.fmean(amount for amount, _ in results) == pytest.approx(0.352, abs=0.05)
    if kind is not DonorFirm:
        assert 5 <= middle <= 6
        assert early == pytest.approx(3, abs=1)
        assert late == pytest.approx(8, abs=1)


def test_surveyed_people_are_average_on_the_whole():
    leanings = [propensity(traits) for _, traits in surveyed_persuadees()]
    assert statistics.fmean(leanings) == pytest.approx(0, abs=0.03)
    assert statistics.stdev(leanings) == pytest.approx(0.5, abs=0.05)
