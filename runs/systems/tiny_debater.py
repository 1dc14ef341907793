"""Debates from which a tiny model learns the quiz, without learning which speaker to believe.

One speaker of a debate is the learner, and has no directives: as often as not it accepts its partner's answer, whoever
is right. So the model becomes fluent and gullible, and a training on labelled pairs can teach it when to accept. Its
partner persuades. Three learners of four are the second speaker, as in Persuasion-Balanced Training; the others are the
first one, so that the model can play either side.

The debates differ from those of a run in three ways, because a model of this size needs many examples to learn to copy
an answer from an earlier turn:
1. One of the two speakers begins with the right answer and the other does not, so that they always disagree.
2. They go on for up to `MOST_TURNS` turns.
3. The first `BARE` of them are without prompt and question. They take half of the time, and without them some models
   write a third answer in every second turn.
"""

import sys
from collections.abc import Iterator
from random import Random
from typing import Any, Final

from josh.agents.debate import debater, offline
from josh.dialogue import Speaker
from josh.envs.debate import answers, env, prompts, quiz, speech
from josh.envs.debate.answers import same, standing
from josh.envs.debate.env import DebateEnv
from josh.envs.debate.prompts import opening, view
from josh.envs.debate.speech import STYLES, Traits
from josh.messages import Message, flip_roles
from josh.roles import Task
from josh.runs.systems.tiny_persuader import Dice
from josh.runs.train.tiny import TinyDialogues
from josh.seeds import derive
from josh.users.debate import offline as offline_users

MOST_TURNS: Final = 8
BARE: Final = 0.6
TIMES: Final = 2
LEARNING_RATE: Final = 1e-2
_NO_PROMPT: Final = "Begin."
_FIRST_LEARNS: Final = 4
"""One learner of so many is the first speaker."""


def dialogues(count: int, seed: int) -> Iterator[list[Message]]:
    """Yields debates of offline debaters over training questions, as the learner sees them; the bare ones first.

    Args:
        count: number of debates.
        seed: their seed.
    """
    order = derive("tiny", seed)
    world = DebateEnv({"synthetic_tasks": count, "seed": order})
    for task in world.tasks("train"):
        learner = Speaker.USER if task.index % _FIRST_LEARNS else Speaker.AGENT
        turns = _debate(task, world, learner, Dice(derive(order, task.id)))
        prompt = _NO_PROMPT if task.index < BARE * count else opening(task.data, "a tiny model")
        seen = turns if learner is Speaker.AGENT else flip_roles(turns)
        yield view(prompt, seen, begins=learner is Speaker.AGENT)


def _debate(task: Task, world: DebateEnv, learner: Speaker, dice: Dice) -> list[Message]:
    """Returns the turns of a debate, which ends where both agree."""
    rng = Random(dice.draw())
    agent_is_right = rng.random() < 0.5
    agent, user = offline.OfflineDebater(), offline_users.OfflineDebater()
    agent.config, user.config = Traits(knows=float(agent_is_right)), Traits(knows=float(not agent_is_right))
    agent.start(task, world, {})
    user.start(task, world, {})
    for number in range(MOST_TURNS):
        speaker = Speaker.USER if number % 2 else Speaker.AGENT
        directive = None if speaker is learner else rng.choice(tuple(STYLES))
        if speaker is Speaker.AGENT:
            agent.step(model=dice, directive=directive)
        else:
            user.step(agent, model=dice, directive=directive)
        said = standing(agent.messages, task.data)
        if same(said["agent"], said["user"], task.data["gold"]):
            break
    return agent.messages


_CODE: Final[tuple[Any, ...]] = (
    debater, offline, offline_users, speech, answers, prompts, quiz, env, sys.modules[__name__],
)  # fmt: skip
DIALOGUES: Final = TinyDialogues(dialogues, _CODE, times=TIMES, learning_rate=LEARNING_RATE)
