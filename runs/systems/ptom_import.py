"""Reads the games of planning theory of mind for `josh import`: one model wrote both sides of each.

The persuader is the agent: both sides see its words, and its training view has its sections, too, which are also the
turn's actions. The reward is 1 where the game says that it succeeded, and 0 where it says that it did not.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from josh.dialogue import Speaker, Turn
from josh.envs.ptom.dialogue import GameWorld
from josh.envs.ptom.games import Game, game_from
from josh.envs.ptom.prompts import persuader_prompt
from josh.envs.ptom.sections import written
from josh.errors import UsageError
from josh.imported import ImportedDialogue
from josh.runs.imports.files import json_values
from josh.runs.imports.rows import Found, ReadOptions


def read_games(path: Path, _: ReadOptions) -> Iterator[Found]:
    """Yields the games of a file; see `josh.envs.ptom.games`."""
    for number, (place, row) in enumerate(json_values(path)):
        if isinstance(row, UsageError):
            yield row
            continue
        try:
            yield _dialogue(game_from(row, place, f"{path.name.partition('.')[0]}-{number}"), place)
        except UsageError as error:
            yield error


def _dialogue(game: Game, place: str) -> ImportedDialogue:
    scenario = game.scenario
    turns: list[tuple[Speaker, Turn]] = []
    world = GameWorld(scenario)
    for one in game.turns:
        said, wrote = ({"role": "assistant", "content": text} for text in (one.planned.words, written(one.planned)))
        world.say(one.planned.words, one.planned.kind)
        seen = world.observe()  # so that `josh rescore --rewards ptom` knows which option a verdict is about
        turns.append((Speaker.AGENT, Turn((said,), (wrote,), (tuple(one.planned.actions),), observed=seen)))
        if one.response:
            heard = ({"role": "user", "content": one.response},)
            turns.append((Speaker.USER, Turn(heard, heard, observed=seen)))
    prompt = {"role": "system", "content": persuader_prompt(scenario)}
    # Training on a game counts as training on its scenario, see `question_id` in `josh evaluate --trained_on`.
    data: dict[str, Any] = {**scenario.row, "question_id": scenario.id}
    return ImportedDialogue(
        place,
        game.id,
        turns,
        Turn(internal=(prompt,)),
        None if game.success is None else float(game.success),
        game.success,
        data,
    )


def add_import_flags(parser: argparse.ArgumentParser, _: Sequence[str] = ()) -> None:
    """Add the flags of `josh ptom import`."""
    parser.description = "Makes a run of games; see josh import for what it prints."
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="files of games")
    parser.add_argument("--out", type=Path, metavar="RUN", help="folder of the new run (default: a new one in records)")


def run_import(args: argparse.Namespace) -> int:
    """Import games, by the command that `args.main` runs. Returns the exit code."""
    out = [] if args.out is None else ["--out", str(args.out)]
    code: int = args.main(["import", *map(str, args.files), "--env", "ptom", "--format", "ptom", *out])
    return code
