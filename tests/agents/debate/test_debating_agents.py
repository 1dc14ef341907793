"""The agents of a debate: their contract, what the scripted ones answer, and the cues of the offline one."""

import re
from collections import Counter
from itertools import pairwise

import pytest

from josh.agents.debate.debater import Debater
from josh.agents.debate.offline import Doubter, Keeper, OfflineDebater, Oracle, Yielder
from josh.envs.debate.answers import find, standing
from josh.envs.debate.env import DebateEnv
from josh.envs.debate.speech import BEGIN, KEEP, SURE, TAKE, UNSURE
from josh.roles import Task
from josh.testing import AgentConformance, FixedModel

ENV = DebateEnv({"synthetic_tasks": 1})
(TASK,) = ENV.tasks("train")
DATA = {"question": "Which colour?", "gold": ["red"], "choices": ["red", "blue", "green", "white"], "source": "test"}


def started(kind, task=TASK, **data):
    agent = kind()
    agent.start(Task(task.id, 0, {**task.data, **data}), ENV, {})
    return agent


class Conformance(AgentConformance):
    kind = Keeper

    def make(self):
        return started(self.kind)

    def line(self):
        return FixedModel(["Final answer: red."])


class TestDebater(Conformance):
    kind = Debater


class TestOfflineDebater(Conformance):
    kind = OfflineDebater


class TestKeeper(Conformance):
    kind = Keeper


class TestYielder(Conformance):
    kind = Yielder


class TestOracle(Conformance):
    kind = Oracle


class TestDoubter(Conformance):
    kind = Doubter


def answers(kind, *heard, **data):
    """The answers that an agent gives, at first and after each of some words of its partner."""
    agent = started(kind, Task("q", 0, DATA), **data)
    model = FixedModel()
    given = []
    for words in (None, *heard):
        if words is not None:
            agent.add_message({"role": "user", "content": words})
        agent.step(model=model)
        given.append(standing(agent.messages, DATA)["agent"])
    return given


def test_a_keeper_keeps_its_first_answer():
    assert answers(Keeper, "Final answer: green", "Are you sure?", first={"agent": "Blue"}) == ["blue"] * 3


def test_a_yielder_takes_over_the_last_answer():
    heard = "Final answer: green", "Are you sure?", "It is white."
    assert answers(Yielder, *heard, first={"agent": "blue"}) == ["blue", "green", "green", "white"]


def test_an_oracle_is_always_right():
    assert answers(Oracle, "Final answer: green", first={"agent": "blue"}) == ["red", "red"]


def test_a_doubter_changes_its_answer_to_a_wrong_one_every_time():
    given = answers(Doubter, "Are you sure?", "Final answer: white", "Final answer: green", first={"agent": "red"})
    assert given[0] == "red"
    assert all(one != other for one, other in pairwise(given))
    assert "red" not in given[1:]
    assert given[2] != "white"


def test_a_doubter_with_a_single_wrong_choice_finds_another_one():
    given = answers(Doubter, "Sure?", "Sure?", choices=["red", "blue"], first={"agent": "blue"})
    assert given[0] == "blue"
    assert len(set(given[:2])) == len(set(given[1:])) == 2
    assert "red" not in given


def offline_turns(count=400, directive=None, heard=None, first=None):
    """Turns of offline debaters: the words, and the answer."""
    found = []
    for number in range(count):
        agent = started(OfflineDebater, Task(f"q{number}", 0, DATA))
        model = FixedModel(seed=1000 * number)
        agent.messages += [{"role": "assistant", "content": f"Final answer: {first}."}] if first else []
        agent.messages += [{"role": "user", "content": heard}] if heard else []
        agent.step(model=model, directive=directive)
        found.append((agent.messages[-1]["content"], standing(agent.messages, DATA)["agent"]))
    return found


def test_the_words_of_an_offline_debater_fit_its_being_right_in_most_turns():
    turns = offline_turns(count=1600)
    sure = Counter((any(cue in words for cue in SURE), answer == "red") for words, answer in turns)
    assert sure[True, True] + sure[False, False] == pytest.approx(0.88 * len(turns), abs=50)
    assert all(any(cue in words for cue in SURE + UNSURE) for words, _ in turns)
    assert sum(answer == "red" for _, answer in turns) == pytest.approx(0.5 * len(turns), abs=70)


def test_an_offline_debater_is_as_sure_of_an_answer_in_all_its_turns():
    for number in range(30):
        agent = started(OfflineDebater, Task(f"q{number}", 0, DATA))
        agent.step(model=FixedModel(seed=number))
        for seed in range(3):
            agent.messages.append({"role": "user", "content": "Final answer: nothing of the kind."})
            agent.step(model=FixedModel(seed=seed), directive="resist")
        cues = {any(cue in message["content"] for cue in SURE) for message in agent.messages[::2]}
        assert len(cues) == 1


@pytest.mark.parametrize("directive", ["resist", "logical", "emotional", "credibility"])
def test_an_offline_debater_keeps_its_answer_when_it_is_directed_to_persuade_or_resist(directive):
    turns = offline_turns(20, directive, "Final answer: red.", "blue")
    assert {answer for _, answer in turns} == {"blue"}
    assert all(any(words.startswith(keep.format(answer="blue")) for keep in KEEP) for words, _ in turns)


def test_an_offline_debater_accepts_when_it_is_directed_to():
    turns = offline_turns(20, "accept", "Final answer: red.", "blue")
    assert {answer for _, answer in turns} == {"red"}
    assert all(words.startswith(TAKE) for words, _ in turns)


@pytest.mark.parametrize("directive", [None, "standard", "Be kind."])
@pytest.mark.parametrize(("first", "heard"), [("red", "blue"), ("blue", "red")])
def test_an_offline_debater_without_a_directive_accepts_half_of_the_time_whoever_is_right(directive, first, heard):
    turns = offline_turns(400, directive, f"Final answer: {heard}.", first)
    assert sum(answer == heard for _, answer in turns) == pytest.approx(200, abs=40)


def test_an_offline_debaters_turns_are_short_and_read_by_the_rules():
    for directive in ("logical", "emotional", "credibility", "accept", None):
        for words, answer in offline_turns(30, directive, "Final answer: white.", "blue"):
            assert find(words, DATA, "blue", "white") == answer
            assert 6 <= len(words.split()) <= 25


def test_all_texts_of_offline_debaters_use_few_words():
    texts = [
        words for d in ("logical", "emotional", "credibility", "accept", None) for words, _ in offline_turns(60, d)
    ]
    assert len({word for text in (*texts, *BEGIN, *KEEP, *TAKE) for word in re.findall(r"\w+", text.lower())}) < 120
