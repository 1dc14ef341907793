"""Dialogues from which a tiny model learns to read states, but not to decide.

Each dialogue is a state as text (`render_state`), and one of the two labels, which is drawn by chance. So the model
knows the words of requests, questions and answers and the two labels, and prefers neither label in any state; a
training on labelled pairs can teach it when to ask. Its own words are of no use: an offline helper writes them.
"""

import sys
from collections.abc import Iterator
from random import Random
from typing import Any, Final

from josh.envs.proactive import actions, personas, prompts, speech, states, synthetic
from josh.envs.proactive.actions import ACTIONS, CLARIFY
from josh.envs.proactive.prompts import decision
from josh.envs.proactive.speech import offline_answer, offline_words
from josh.envs.proactive.states import State, answered, next_turn, rejected, render_state
from josh.envs.proactive.synthetic import MadeUp, made_up_states
from josh.messages import Message
from josh.runs.train.tiny import TinyDialogues
from josh.seeds import derive

MOST_TURNS: Final = 2
"""Most questions before the state of a dialogue."""
TIMES: Final = 1


def dialogues(count: int, seed: int) -> Iterator[list[Message]]:
    """Yields states of the training split, each with a label that is drawn by chance.

    Args:
        count: number of dialogues.
        seed: their seed.
    """
    order = derive("tiny", seed)
    for one in made_up_states(order, "train", count):
        rng = Random(derive(order, one.state.id))
        state = _after_questions(one, rng.choices(range(MOST_TURNS + 1), (3, 2, 1))[0], rng)
        yield [*decision(render_state(state)), {"role": "assistant", "content": rng.choice(ACTIONS)}]


def _after_questions(one: MadeUp, questions: int, rng: Random) -> State:
    """Returns a state after some questions, which a user of a fitting persona answers or rejects."""
    state, persona, disclosed = one.state, rng.choice(one.personas), False
    for _ in range(questions):
        question = offline_words(state, CLARIFY, rng)
        if rng.random() < persona.answers:
            answer = offline_answer(one.hidden, disclosed, persona, rng)
            state, disclosed = answered(state, question, answer, persona.answer_clarity), True
        else:
            state = rejected(state)
        state = next_turn(state)
    return state


_CODE: Final[tuple[Any, ...]] = (actions, personas, prompts, speech, states, synthetic, sys.modules[__name__])
DIALOGUES: Final = TinyDialogues(dialogues, _CODE, times=TIMES)
"""The dialogues of `josh tiny --env proactive`."""
