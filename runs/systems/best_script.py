"""Search for the best fixed script of the offline persuader, on people of the training split.

`python -m josh.runs.systems.persuasion best_script` prints it.

The search is coordinate ascent from several starts:

1. For each turn, take every script that differs from the best so far in one act of that turn (replaced, added or
   removed), or by the exchange of that turn with a later one.
2. Play each of them with the same people and the same seeds, and keep the best.
3. Repeat until a sweep over all turns changes nothing.

The search is deterministic. It finds a local optimum that is fitted to its seeds, so the printed score is too high;
`josh evaluate` measures the script on held-out people.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from josh.agents.persuasion.offline import ACTS_BY_TURN
from josh.agents.persuasion.scripts import Script, ScriptPersuader
from josh.envs.persuasion.donation import DONATION
from josh.envs.persuasion.env import PersuasionEnv
from josh.roles import BaseEnv, Task
from josh.seeds import derive
from josh.users.persuasion.donor import Donor

ACTS = tuple(ACTS_BY_TURN)
"""All acts, in the order in which a turn says them."""


def neighbours(script: Script, turn: int, most: int) -> Iterator[Script]:
    """Yields the scripts that differ in one act of a turn, or by the exchange of that turn with a later one.

    Args:
        script: the script.
        turn: the turn that differs, counted from 0; the turns before it stay the same.
        most: most acts of a turn; at least 1.
    """
    now = set(script[turn])
    others = [act for act in ACTS if act not in now]
    changed = [now - {old} | {new} for old in script[turn] for new in others]
    changed += [now | {new} for new in others if len(now) < most]
    changed += [now - {old} for old in script[turn] if len(now) > 1]
    for acts in changed:
        yield (*script[:turn], tuple(act for act in ACTS if act in acts), *script[turn + 1 :])
    for later in range(turn + 1, len(script)):
        if script[later] != script[turn]:
            swapped = list(script)
            swapped[turn], swapped[later] = script[later], script[turn]
            yield tuple(swapped)


class Found(NamedTuple):
    """A script, and the mean US dollars per conversation that it earned during the search."""

    gift: float
    script: Script


class _Draw(NamedTuple):
    """The part of a model handle that offline speakers use for one step."""

    seed: int
    temperature: float = 1.0

    def draw(self) -> int:
        return self.seed


class _Speaker(ScriptPersuader):
    """A script persuader whose acts the search sets before each turn."""

    def __init__(self) -> None:
        super().__init__()
        self.now: tuple[str, ...] = ()

    def choose(self, *_: object) -> tuple[str, ...]:
        return self.now


@dataclass(frozen=True)
class Talk:
    """A conversation so far.

    Attributes:
        name: the parts of its seed: the run's seed, the task's id, and the number of the conversation.
        agent: the persuader.
        user: the donor.
        over: whether it has ended.
        gift: the donation in US dollars; 0 until it has ended.
    """

    name: tuple[object, ...]
    agent: _Speaker
    user: Donor
    over: bool = False
    gift: float = 0.0

    def heard(self, acts: tuple[str, ...], turn: int) -> "Talk":
        """Returns the conversation after one more round; this object does not change."""
        if self.over:
            return self
        agent, user = _Speaker(), self.user.fork()
        agent.now, agent.messages = acts, list(self.agent.messages)
        models: list[Any] = [_Draw(derive(*self.name, turn, side)) for side in ("agent", "user")]
        agent.step(model=models[0])
        _, over = user.step(agent, model=models[1])
        gift = DONATION.read(agent.messages[-1]["content"]) if over else None
        return replace(self, agent=agent, user=user, over=over, gift=gift or 0.0)


def mean_gift(talks: Sequence[Talk], script: Script, turn: int) -> float:
    """Returns the mean US dollars of conversations that continue with a script from a turn to its end."""
    total = 0.0
    for talk in talks:
        for place in range(turn, len(script)):
            talk = talk.heard(script[place], place)  # noqa: PLW2901
            if talk.over:
                break
        total += talk.gift
    return total / len(talks)


def ascend(talks: Sequence[Talk], script: Script, most: int, say: Callable[[str], None]) -> tuple[float, Script]:
    """Climb from a script by coordinate ascent. Returns the mean gift of the best script found, and that script."""
    best, better = mean_gift(talks, script, 0), True
    while better:
        better, at = False, list(talks)
        for turn in range(len(script)):
            for other in neighbours(script, turn, most):
                score = mean_gift(at, other, turn)
                if score > best + 1e-12:
                    best, script, better = score, other, True
            at = [talk.heard(script[turn], turn) for talk in at]
        say(f"${best:.4f}  {script}")
    return best, script


def starts(turns: int) -> list[Script]:
    """Returns the starts of the search, one act a turn: `other`, the request, and the corpus's most frequent act."""
    likeliest = [max(ACTS, key=lambda act: ACTS_BY_TURN[act][turn]) for turn in range(turns)]
    return [(("other",),) * turns, (("proposition-of-donation",),) * turns, tuple((act,) for act in likeliest)]


def opening(people: int, rollouts: int, seed: int) -> list[Talk]:
    """Returns conversations with people of the training split, before their first turn."""
    env = PersuasionEnv({"seed": seed, "synthetic_tasks": people})

    def donor_of(task: Task, env: BaseEnv) -> Donor:
        donor = Donor()
        donor.start(task, env, {"seed": seed})
        return donor

    tasks = env.tasks("train")
    return [Talk((seed, task.id, k), _Speaker(), donor_of(task, env)) for task in tasks for k in range(rollouts)]


def search(*, acts: int, people: int, rollouts: int, most_starts: int, seed: int, say: Callable[[str], None]) -> Found:
    """Search from several starts, and return the best script.

    Args:
        acts: most acts of a turn; at least 1.
        people: number of people of the training split.
        rollouts: conversations with each person.
        most_starts: number of `starts` to use, the first ones.
        seed: the seed of people and conversations.
        say: gets a line after every sweep.
    """
    talks = opening(people, rollouts, seed)
    found = [ascend(talks, start, acts, say) for start in starts(PersuasionEnv.max_rounds)[:most_starts]]
    return Found(*max(found, key=lambda one: one[0]))
