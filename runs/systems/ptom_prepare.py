"""`josh ptom prepare`: training rows of recorded games, one for each turn of the persuader.

1. The games are read (`josh.envs.ptom.games`) and filtered.
2. They are split by scenario, so that no scenario is on both sides; never by turn.
3. A row is the system prompt, the history of words as one message, and the turn in sections, which is what the model of
   `--agent planner --agent.view row` sees and writes.
"""

import argparse
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from josh.config import listed
from josh.envs.ptom.games import Game, games_in
from josh.envs.ptom.prompts import as_row
from josh.envs.ptom.sections import written
from josh.errors import UsageError
from josh.messages import Message
from josh.runs.export.files import check_free
from josh.runs.record.summary import counted
from josh.runs.settings import core
from josh.runs.systems.proactive_files import print_file, write_file
from josh.seeds import derive

COLUMNS: Final = ("game_id", "turn", "strategy_type", "success")
"""The columns of a row beside its messages."""
FAILED: Final = "failed"
"""The strategy of games that were to fail; asking for it takes failed games."""
STRATEGIES: Final = ("optimal", "alternative_success", FAILED, "recovery", "information_efficiency")
"""The published values of `strategy_type`; a file may have others."""
TRAIN_SPLIT: Final = 0.9
_FROM: Final = {"system": "system", "user": "human", "assistant": "gpt"}

Row = dict[str, Any]


def add_prepare_flags(parser: argparse.ArgumentParser, _: Sequence[str] = ()) -> None:
    """Add the flags of `josh ptom prepare`."""
    parser.description = (
        "Writes training rows of games, one for each turn of the persuader. The validation rows are in a file beside "
        "it, which has `_validation` in its name. `josh train sft --data` takes chatml, `josh train openai` openai."
    )
    parser.add_argument("--input", type=Path, metavar="FILE", help="file of games, one JSON object on each line")
    parser.add_argument("--output", "--out", dest="output", type=Path, metavar="FILE", help="the file to write")
    parser.add_argument(
        "--format",
        default="chatml",
        help="chatml: rows with messages; sharegpt: with conversations; openai: with messages alone (default: chatml)",
    )
    parser.add_argument(
        "--train_split",
        type=float,
        default=TRAIN_SPLIT,
        metavar="SHARE",
        help=f"share of the scenarios whose games are training rows; 1: no validation file (default: {TRAIN_SPLIT})",
    )
    parser.add_argument(
        "--filter_strategy",
        metavar="NAME",
        help=f"games of these strategies alone, separated by commas: {', '.join(STRATEGIES)}; {FAILED} also takes "
        "failed games (default: all but failed games)",
    )
    parser.add_argument("--max_examples", type=int, metavar="INT", help="most rows of both files (default: all)")
    parser.add_argument(
        "--only_success", action="store_true", help="games that were won alone, also where the file does not say it"
    )
    seed = core()["seed"].default
    parser.add_argument("--seed", type=int, default=seed, help=f"seed of the split (default: {seed})")


@dataclass(slots=True)
class Chosen:
    """The games that are used.

    Attributes:
        games: the games, in the order of the file.
        dropped: how many games are left out, by reason.
    """

    games: list[Game] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)


def run_prepare(args: argparse.Namespace) -> int:
    """Write the rows. Returns the exit code. Raises UsageError; nothing is written."""
    _check(args)
    validation = args.output.with_name(f"{args.output.stem}_validation{args.output.suffix}")
    earlier = {out: check_free(out) for out in (args.output, validation)}
    chosen = _chosen(args)
    train, held = split_games(chosen.games, args.train_split, args.seed)
    left = args.max_examples
    sides = {args.output: ("train", train), validation: ("validation", held)}
    rows: dict[Path, list[tuple[Game, Row]]] = {}
    for out, (_, games) in sides.items():
        rows[out] = [(game, row) for game in games for row in game_rows(game, args.format)][:left]
        left = None if left is None else left - len(rows[out])
    digest = hashlib.sha256(args.input.read_bytes()).hexdigest()
    settings = {
        "source": args.input.name,
        "format": args.format,
        "train_split": args.train_split,
        "filter_strategy": args.filter_strategy,
        "only_success": args.only_success,
        "seed": args.seed,
    }
    for reason, count in chosen.dropped.items():
        print(f"{'left out':<15} {reason}: {count}")
    for out, (side, _) in reversed(sides.items()):
        used = {game.id: game for game, _ in rows[out]}
        if not used and out == validation:
            continue
        columns = {} if args.format == "openai" else {"columns": list(COLUMNS)}
        manifest = {
            "format": _FORMATS[args.format][0],
            **columns,
            "side": side,
            "settings": settings,
            "tasks": list(used),
            "questions": list(dict.fromkeys(game.scenario.id for game in used.values())),
            "dropped": dict(chosen.dropped),
            "runs": [{"trees": args.input.name, "sha256": digest}],
        }
        written_manifest = write_file(out, (row for _, row in rows[out]), manifest)
        scenarios = counted(len(manifest["questions"]), "scenario")
        print(f"{side:<15} {written_manifest['rows']} rows of {counted(len(used), 'game')}, {scenarios}")
        print_file(written_manifest, out, earlier[out])
    return 0


def _check(args: argparse.Namespace) -> None:
    for name in ("input", "output"):
        if getattr(args, name) is None:
            raise UsageError(f"no {name} given; example: josh ptom prepare --input games.jsonl --output training.jsonl")
    if args.format not in _FORMATS:
        raise UsageError(f"format is {args.format!r}; give {listed(tuple(_FORMATS))}")
    if not 0 < args.train_split <= 1:
        raise UsageError(f"train_split is {args.train_split:g}; give a share above 0, at most 1")
    if args.max_examples is not None and args.max_examples < 1:
        raise UsageError(f"max_examples is {args.max_examples}; give 1 or more")
    if args.only_success and FAILED in _strategies(args):
        raise UsageError("only_success is given with filter_strategy failed; leave one of them out")
    if args.input.resolve() == args.output.resolve():
        raise UsageError(f"output is {args.output}, which is the input; give another --output")


def _strategies(args: argparse.Namespace) -> list[str]:
    return [name.strip() for name in (args.filter_strategy or "").split(",") if name.strip()]


def _chosen(args: argparse.Namespace) -> Chosen:
    """Returns the games that the flags choose. Raises UsageError where there are none."""
    wanted, chosen, seen = _strategies(args), Chosen(), Counter[str]()
    for _, game in games_in(args.input):
        seen[game.strategy or "none"] += 1
        failed = game.success is False or game.strategy == FAILED
        if wanted and game.strategy not in wanted and not (failed and FAILED in wanted):
            chosen.dropped["games of another strategy"] += 1
        elif failed and FAILED not in wanted:
            chosen.dropped["failed games"] += 1
        elif args.only_success and not game.success:
            chosen.dropped["games of which the file does not say that they were won"] += 1
        else:
            chosen.games.append(game)
    if not chosen.games:
        found = ", ".join(f"{count} of {name}" for name, count in seen.items()) or "none"
        ways = "give another --filter_strategy" + ("" if FAILED in wanted else f", or --filter_strategy {FAILED}")
        raise UsageError(f"{args.input} has no game to train on; by strategy there are {found}; {ways}")
    return chosen


def split_games(games: Sequence[Game], share: float, seed: int) -> tuple[list[Game], list[Game]]:
    """Returns the games for training and for validation. Games of one scenario are on one side.

    Args:
        games: the games.
        share: the share of the scenarios on the first side; below 1 each side has at least one, if there are two.
        seed: chooses them.
    """
    names = sorted({game.scenario.id for game in games}, key=lambda name: derive(seed, "ptom split", name))
    first = round(share * len(names))
    if share < 1 and len(names) > 1:
        first = min(max(first, 1), len(names) - 1)
    training = set(names[: max(first, 1)])
    sides: tuple[list[Game], list[Game]] = ([], [])
    for game in games:
        sides[game.scenario.id not in training].append(game)
    return sides


def game_rows(game: Game, form: str) -> Iterator[Row]:
    """Yields a row for each turn of a game; its history holds actions and responses alone, not the thoughts."""
    history: list[tuple[str, str]] = []
    for turn in game.turns:
        messages = [*as_row(game.scenario, history), {"role": "assistant", "content": written(turn.planned)}]
        columns = {"game_id": game.id, "turn": turn.number, "strategy_type": game.strategy, "success": game.success}
        yield _FORMATS[form][1](messages, columns)
        history.append(("assistant", turn.planned.words))
        if turn.response:
            history.append(("user", turn.response))


def _chatml(messages: Sequence[Message], columns: Mapping[str, Any]) -> Row:
    return {"messages": list(messages), **columns}


def _sharegpt(messages: Sequence[Message], columns: Mapping[str, Any]) -> Row:
    turns = [{"from": _FROM[message["role"]], "value": message["content"]} for message in messages]
    return {"conversations": turns, **columns}


def _openai(messages: Sequence[Message], _: Mapping[str, Any]) -> Row:
    return {"messages": list(messages)}


_FORMATS: Final[Mapping[str, tuple[str, Callable[[Sequence[Message], Mapping[str, Any]], Row]]]] = {
    "chatml": ("sft", _chatml),
    "sharegpt": ("sharegpt", _sharegpt),
    "openai": ("openai-sft", _openai),
}
"""For each format its name in `josh export`, and a function that makes its rows."""
