"""The statistical persuadee as a user: its person, its memory and its words."""

import statistics
from random import Random

import pytest
from p4g_figures import Dice

from josh.envs.persuasion import acts as s
from josh.envs.persuasion.donation import DONATION
from josh.roles import BaseEnv, BaseJOSHAgent, Task, fork
from josh.users.persuasion import donor_phrases
from josh.users.persuasion.donor import Donor, DonorFirm, DonorMild
from josh.users.persuasion.figures import AMOUNTS, COUNTED, REACTION_ACTS
from josh.users.persuasion.person import PUZZLED, Person, State

PRESETS = (DonorMild, Donor, DonorFirm)


class Talker(BaseJOSHAgent):
    def say(self, text):
        self.add_message({"role": "assistant", "content": text})
        return self


def meet(user, persuadee, seed=1):
    user.start(Task("t1", 0, {"persuadee": persuadee} if persuadee else {}), BaseEnv({}), {"seed": seed})
    return user


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
    acts = {*REACTION_ACTS, *PUZZLED.values(), "leave", "leave-puzzled", "disagree-donation", "disagree-donation-more"}
    assert acts <= donor_phrases.SENTENCES.keys()
    assert all(len(choices) >= 4 for choices in donor_phrases.SENTENCES.values())


def test_undecided_people_stall_when_asked():
    sentence = donor_phrases.choose("neutral-reaction-to-donation", {s.PROPOSITION}, None, "", (), Random(1))
    assert sentence in donor_phrases.SENTENCES["stall"]


def test_sentences_are_not_repeated_while_others_are_left():
    said, rng = set(), Random(1)
    for _ in donor_phrases.SENTENCES["ask-org-info"]:
        said.add(donor_phrases.choose("ask-org-info", {s.CREDIBILITY}, None, "", said, rng))
    assert said == set(donor_phrases.SENTENCES["ask-org-info"])


@pytest.mark.parametrize(
    ("amount", "words"),
    [(0.01, "1 cent"), (0.3, "30 cents"), (1.0, "$1"), (1.5, "$1.50"), (2.0, "$2")],
)
def test_amounts_are_said_as_people_say_them(amount, words):
    assert donor_phrases.fill("{sum} it is. {tag}", amount) == f"{words} it is. [DONATE ${amount:.2f}]"
