"""The best fixed script for the offline persuader, searched for on people of the training split.

python -m josh.runs.systems.best_script --acts 1

Coordinate ascent from several starts: turn after turn, every script that differs from the best so far by one act
(another, one more, one less) or by two turns that changed places is played to the same people with the same draws, and
the best is kept, until a whole sweep changes nothing. Deterministic. It finds a local optimum, fitted to the draws it
saw: its own score flatters it, and `josh evaluate` has the held-out one.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from josh.agents.persuasion.offline import ACTS_BY_TURN
from josh.agents.persuasion.scripts import Script, ScriptPersuader
from josh.envs.persuasion.donation import DONATION
from josh.envs.persuasion.env import PersuasionEnv
from josh.roles import BaseEnv, Task
from josh.runs.settings import core
from josh.seeds import derive
from josh.users.persuasion.donor import Donor

ACTS = tuple(ACTS_BY_TURN)
"""All acts, in the order in which one says them."""


def neighbours(script: Script, turn: int, most: int) -> Iterator[Script]:
    """The scripts that differ in one act of one turn, or in that two turns have changed places.

    Args:
        script: the script.
        turn: the turn that differs, counted from 0; turns before it do not.
        most: most acts a turn; at least 1.
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


class _Draw(NamedTuple):
    """All that a step of offline speakers asks of a line."""

    seed: int
    temperature: float = 1.0

    def draw(self) -> int:
        return self.seed


class _Speaker(ScriptPersuader):
    """A script persuader whose script is its own."""

    def __init__(self) -> None:
        super().__init__()
        self.now: tuple[str, ...] = ()

    def choose(self, *_: object) -> tuple[str, ...]:
        return self.now


@dataclass(frozen=True)
class Talk:
    """A conversation so far."""

    name: tuple[object, ...]
    agent: _Speaker
    user: Donor
    over: bool = False
    gift: float = 0.0

    def heard(self, acts: tuple[str, ...], turn: int) -> "Talk":
        """The conversation after one more round; this one stays as it is."""
        if self.over:
            return self
        agent, user = _Speaker(), self.user.fork()
        agent.now, agent.messages = acts, list(self.agent.messages)
        lines: list[Any] = [_Draw(derive(*self.name, turn, side)) for side in ("agent", "user")]
        agent.step(model=lines[0])
        _, over = user.step(agent, model=lines[1])
        gift = DONATION.read(agent.messages[-1]["content"]) if over else None
        return replace(self, agent=agent, user=user, over=over, gift=gift or 0.0)


def mean_gift(talks: Sequence[Talk], script: Script, turn: int) -> float:
    """Dollars per conversation when they go on with a script from a turn to its end."""
    total = 0.0
    for talk in talks:
        for place in range(turn, len(script)):
            talk = talk.heard(script[place], place)  # noqa: PLW2901
            if talk.over:
                break
        total += talk.gift
    return total / len(talks)


def ascend(talks: Sequence[Talk], script: Script, most: int, say: Callable[[str], None]) -> tuple[float, Script]:
    """Coordinate ascent from a script; the mean gift it ends with, and its script."""
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
    """Where the search sets out: saying nothing of note, asking all the time, and the acts of the corpus's people."""
    likeliest = [max(ACTS, key=lambda act: ACTS_BY_TURN[act][turn]) for turn in range(turns)]
    return [(("other",),) * turns, (("proposition-of-donation",),) * turns, tuple((act,) for act in likeliest)]


def opening(people: int, rollouts: int, seed: int) -> list[Talk]:
    """Conversations that have not begun, with the people of the training split."""
    env = PersuasionEnv({"seed": seed, "synthetic_tasks": people})

    def met(task: Task, env: BaseEnv) -> Donor:
        donor = Donor()
        donor.start(task, env, {"seed": seed})
        return donor

    tasks = env.tasks("train")
    return [Talk((seed, task.id, k), _Speaker(), met(task, env)) for task in tasks for k in range(rollouts)]


def main(argv: Sequence[str] | None = None) -> int:
    """Search, and print the script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--acts", type=int, default=1, help="most acts a turn (default: 1)")
    parser.add_argument("--people", type=int, default=200, help="people of the training split (default: 200)")
    parser.add_argument("--rollouts", type=int, default=2, help="conversations with each (default: 2)")
    parser.add_argument("--starts", type=int, default=3, help="how many of the starts (default: all 3)")
    parser.add_argument(
        "--seed", type=int, default=core()["seed"].default, help="of people and draws (default: the run's)"
    )
    args = parser.parse_args(argv)
    talks = opening(args.people, args.rollouts, args.seed)

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    found = [ascend(talks, start, args.acts, say) for start in starts(PersuasionEnv.max_rounds)[: args.starts]]
    gift, script = max(found, key=lambda one: one[0])
    print(f"${gift:.3f} a conversation with {args.people} people, {args.rollouts} each")
    for acts in script:
        print(f"    {acts},")
    return 0


if __name__ == "__main__":
    sys.exit(main())
