"""What the donor's tests take from the real corpus; they skip where it is not at hand. And a line without a model."""

from functools import lru_cache
from random import Random

from p4g_small import real_corpus

from josh.dialogue import Speaker
from josh.envs.persuasion.corpus import load_corpus


class Dice:
    """What a step sees of a model, without a model."""

    def __init__(self, seed=1, temperature=1.0):
        self.temperature = temperature
        self.rng = Random(seed)

    def draw(self):
        return self.rng.randrange(1, 2**31)


@lru_cache(maxsize=1)
def corpus():
    return load_corpus(real_corpus())


def annotated_turns():
    """The 300 annotated dialogues, as persuader turns (acts by label, text)."""
    return [
        [
            (frozenset(said.acts or ("other",)), said.text)
            for said in dialogue.utterances
            if said.speaker is Speaker.AGENT
        ]
        for dialogue in corpus().dialogues
        if dialogue.annotated
    ]


def surveyed_persuadees():
    """The corpus's persuadees, once per dialogue, as (id, traits)."""
    return [(dialogue.persuadee.id, dialogue.persuadee.traits) for dialogue in corpus().dialogues]
