"""What persuaders without sense earn from the donor, in whole conversations with 300 people."""

import re
from random import Random

import pytest
from p4g_figures import Dice

from josh.agents.persuasion.offline import PHRASES
from josh.agents.persuasion.scripts import DenseScriptPersuader, ScriptPersuader
from josh.envs.persuasion.donation import DONATION
from josh.envs.persuasion.env import PersuasionEnv
from josh.roles import BaseJOSHAgent
from josh.seeds import derive
from josh.users.persuasion.donor import Donor, DonorFirm, DonorMild

PITCHED = sorted(
    {word for choices in PHRASES.values() for one in choices for word in re.findall("[a-z']+", one.lower())}
)
OTHER = (
    "apple", "carburetor", "sideways", "lamp", "purple", "yesterday", "under", "seventeen", "quickly", "velvet", "is",
    "anchor", "because", "triangle", "of", "mustard", "running", "window", "the", "blue", "hollow", "and", "cement",
    "giraffe", "whispered", "bottle", "into", "marble", "seldom", "trumpet", "for", "orbit",
)  # fmt: skip
KEYWORDS = ("donate", "children", "save", "please", "charity", "money", "help", "give", "kids", "now")
TRAINS = (
    "Trains are the best way to travel, don't you think?",
    "I love the sound of a steam engine pulling out of the station.",
    "The express to Leeds leaves at nine from platform four.",
    "Did you know that the first railway opened in 1825?",
    "They run on time in Japan, and the carriages are very clean.",
    "Would you like to give me your seat by the window?",
    "When I was a child, my father took me to the station every Sunday.",
    "If everyone took the train, the roads would be empty.",
    "The bridge over the river was built for heavy trains.",
    "I can give you two dollars for the old ticket.",
    "Do you prefer diesel or electric trains?",
)
SPANISH = (
    "Hola, ¿cómo estás hoy?",
    "¿Te gustaría donar algo de tu pago a Save the Children?",
    "Los niños necesitan nuestra ayuda.",
    "Cada centavo cuenta para ellos.",
    "Mi hermana trabaja con niños pobres.",
)


def words(known):
    return lambda rng, heard: " ".join(rng.choices(known, k=rng.randint(3, 14)))


def letters(rng, heard):
    return " ".join("".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(8))


NONSENSE = {
    "random words": words(OTHER),
    "random words of the pitch": words(PITCHED),
    "random letters": letters,
    "an echo": lambda rng, heard: heard or "Hello!",
    "talk of trains": lambda rng, heard: " ".join(rng.sample(TRAINS, rng.randint(1, 2))),
    "another language": lambda rng, heard: rng.choice(SPANISH),
    "punctuation": lambda rng, heard: rng.choice(["...", "?", "!!!", ":)", "", "---"]),
    "keywords": words(KEYWORDS),
    "the same keywords": lambda rng, heard: "donate children save please donate",
    "one word": lambda rng, heard: "Donate.",
}


class Says(BaseJOSHAgent):
    def __init__(self, say):
        super().__init__()
        self.say = say

    def step(self, *, model, **_):
        heard = self.messages[-1]["content"] if self.messages else ""
        self.add_message({"role": "assistant", "content": self.say(Random(model.draw()), heard)})
        return True


class Wrapped(BaseJOSHAgent):
    """Says what another persuader says, within other words."""

    def __init__(self, inner, wrap):
        super().__init__()
        self.inner, self.wrap = inner(), wrap

    def step(self, *, model, **_):
        self.inner.messages += self.messages[-1:]
        self.inner.step(model=model)
        text = self.wrap(Random(model.draw()), self.inner.messages[-1]["content"])
        self.add_message({"role": "assistant", "content": text})
        return True


def gifts(make, kind=Donor, people=300):
    """The dollars that a persuader gets from each person, and the persons' words."""
    world = PersuasionEnv({"seed": 4, "synthetic_tasks": people})
    earned, said = [], []
    for task in world.tasks("test"):
        agent, user, over = make(), kind(), False
        user.start(task, world, {"seed": 4})
        speaking, hearing = Dice(derive(4, task.id, "agent")), Dice(derive(4, task.id, "user"))
        while not over and len(agent.messages) < 2 * world.max_rounds:
            agent.step(model=speaking)
            _, over = user.step(agent, model=hearing)
        earned.append(DONATION.read(agent.messages[-1]["content"]) or 0.0 if over else 0.0)
        said.append([message["content"] for message in agent.messages])
    return earned, said


def rate(earned):
    return sum(amount > 0 for amount in earned) / len(earned)


@pytest.mark.parametrize("policy", NONSENSE)
def test_hardly_anybody_gives_to_nonsense(policy):
    earned, said = gifts(lambda: Says(NONSENSE[policy]))
    assert rate(earned) <= 0.03
    assert any(len(talk) < 20 for talk in said)


@pytest.mark.parametrize("kind", [DonorMild, DonorFirm])
def test_hardly_anybody_gives_to_nonsense_among_other_people(kind):
    for policy in ("random words", "random words of the pitch", "an echo", "talk of trains"):
        assert rate(gifts(lambda say=NONSENSE[policy]: Says(say), kind, 150)[0]) <= 0.03


WRAPS = {
    "before": lambda rng, text: f"{words(OTHER)(rng, '')}. {text}",
    "after": lambda rng, text: f"{text} {words(OTHER)(rng, '')}.",
    "letters around": lambda rng, text: f"{letters(rng, '')}. {text} {letters(rng, '')}",
    "trains before": lambda rng, text: f"{rng.choice(TRAINS)} {text}",
    "in the middle": lambda rng, text: f" {words(OTHER)(rng, '')} ".join(
        [text[: len(text) // 2], text[len(text) // 2 :]]
    ),
}


@pytest.mark.parametrize("wrap", WRAPS)
def test_a_pitch_within_nonsense_earns_less_than_the_pitch(wrap):
    plain = gifts(lambda: Wrapped(ScriptPersuader, lambda rng, text: text), people=120)[0]
    wrapped = gifts(lambda: Wrapped(ScriptPersuader, WRAPS[wrap]), people=120)[0]
    assert rate(wrapped) < rate(plain) - 0.2
    assert sum(wrapped) < 0.7 * sum(plain)


def test_a_rich_pitch_within_nonsense_earns_less_than_the_pitch():
    plain = gifts(lambda: Wrapped(DenseScriptPersuader, lambda rng, text: text), people=120)[0]
    wrapped = gifts(lambda: Wrapped(DenseScriptPersuader, WRAPS["before"]), people=120)[0]
    assert sum(wrapped) < 0.9 * sum(plain)


def test_the_same_message_in_every_turn_earns_less_than_the_same_request_in_other_words():
    request = "Would you like to donate to Save the Children today?"
    same = gifts(lambda: Says(lambda rng, heard: request))[0]
    other = gifts(lambda: Says(lambda rng, heard: rng.choice(PHRASES["proposition-of-donation"])))[0]
    assert rate(same) < 0.5 * rate(other)


def test_a_wall_of_text_earns_less_than_a_few_sentences():
    phrases = [phrase for choices in PHRASES.values() for phrase in choices]
    wall = gifts(lambda: Says(lambda rng, heard: " ".join(rng.sample(phrases, len(phrases)))), people=120)[0]
    few = gifts(lambda: Says(lambda rng, heard: " ".join(rng.sample(phrases, 3))), people=120)[0]
    assert rate(wall) < 0.5 * rate(few)


def test_what_people_ask_takes_up_what_was_said():
    def replies(policy, wanted):
        said = gifts(lambda: Says(NONSENSE[policy]), people=40)[1]
        return [
            answer
            for talk in said
            for turn, answer in zip(talk[::2], talk[1::2], strict=False)
            if any(word in answer.lower() for word in wanted.findall(turn.lower()))
        ]

    assert len(replies("random letters", re.compile("[a-z]{6,}"))) > 60
    assert len(replies("random words", re.compile("[a-z]{6,}"))) > 60
    assert len(replies("talk of trains", re.compile("express|railway|carriages|trains|diesel|platform|leeds"))) > 20
    assert len(set(replies("random words", re.compile("[a-z]{6,}")))) > 40
