"""`josh pbt generate`: grows PBT's trees, which are those of `josh --env debate --strategy fan_out`.

1. The published flags become settings of a run (`settings_of`); nearly every other flag of `josh run` works too.
2. The run, or one shard of it, has a folder in `--out_dir`. The same command again goes on with it (`own_folder.py`).
3. `--merge` makes one run of all shards (`josh.runs.play.merge`).
"""

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, cycle, islice
from pathlib import Path
from typing import Any, Final

from josh.dialogue import Speaker
from josh.envs.debate.env import ALL
from josh.envs.debate.questions import DATASETS
from josh.errors import UsageError
from josh.flags import add_settings
from josh.memory import relax_gc
from josh.runs.export.labels import agrees_throughout
from josh.runs.play.merge import merge
from josh.runs.play.run import dry_run
from josh.runs.play.tasks import check_shard, choose_tasks
from josh.runs.record.folder import EPISODES
from josh.runs.record.stored import stored_episodes
from josh.runs.record.summary import counted
from josh.runs.report.ending import print_run
from josh.runs.resolve import defaults_of, resolve
from josh.runs.settings import JOSH, SHARDS, RunSettings, env_of
from josh.runs.systems.families import schema_chosen_by
from josh.runs.systems.own_folder import play_in
from josh.strategies.fan_out import PUBLISHED, table_as_text

OUT_DIR: Final = Path("records/pbt")
SHARD_SIZE: Final = 500
TEMPERATURE: Final = 0.7
"""The published sampling temperature of both speakers, which is the default here."""
MOST_TURNS: Final = 12
"""The most turns of a conversation: a tree has 7,776 paths then."""
WHOLE: Final = "trees"
"""Name of the folder of a run without shards, and of a merged one."""

_CHOSEN: Final = {"env": "debate", "strategy": "fan_out"}
_NAMES: Final[Mapping[str, tuple[str, str]]] = {
    "model": ("model_a", "chat model of speaker A, who speaks first and persuades (default: the offline debater)"),
    "user_model": ("model_b", "chat model of speaker B, the learner (default: the offline debater)"),
    "judge_model": ("extractor_model", "chat model that reads answers that the rules cannot read (default: none)"),
    "env.trees": ("num_per_example", "trees of each question (default: 1)"),
}
"""The published names of settings, with their help, by flag."""
_TASKS: Final = "tasks and shards"
_SPLITS: Final = {"validation": "valid", "dev": "valid"}
_WITHOUT: Final = (JOSH, "env", "strategy", "log_dir", "task_split", "start_index", "end_index", *SHARDS)
"""Settings of runs that `generate` sets itself."""
_OF_PLAYING: Final = (
    "limit", "split", "num_shards", "shard_size", "shard_idx", "dry_run", "max_turns", "both_do_first", "deterministic",
)  # fmt: skip
"""The flags beside those of settings that are for playing."""


def add_generate_flags(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> None:
    """Add the flags of `josh pbt generate`, those of the chosen speakers included."""
    parser.argument_default = argparse.SUPPRESS
    parser.description = (
        "Grows a tree of debates for each question. Without models the offline debaters play a made-up quiz. Answers, "
        "facts and labels are stored with the trees; `josh pbt prefs` makes training rows of them."
    )
    tasks = parser.add_argument_group(_TASKS)
    tasks.add_argument(
        "--limit", type=int, metavar="INT", help="number of questions (default: all of a file; 20 of the quiz)"
    )
    tasks.add_argument(
        "--split",
        help="split of the questions, by the hash of their ids: train, valid, test or all (default: all, because "
        "`josh pbt prefs` splits the trees); with --questions datasets the data set's own split",
    )
    tasks.add_argument("--num_shards", type=int, metavar="INT", help="number of shards of the questions")
    tasks.add_argument(
        "--shard_size",
        type=int,
        metavar="INT",
        help=f"least number of questions of a shard, instead of --num_shards (default: {SHARD_SIZE} with --shard_idx)",
    )
    tasks.add_argument("--shard_idx", type=int, metavar="INT", help="the shard to play, from 0")
    tasks.add_argument("--out_dir", type=Path, help=f"folder for the folders of shards and runs (default: {OUT_DIR})")
    tasks.add_argument(
        "--merge",
        type=Path,
        nargs="+",
        metavar="DIR",
        help="play nothing; make one run of all shards in these folders, in --out_dir",
    )
    tasks.add_argument(
        "--dry_run", action="store_true", help="check the settings, estimate calls, tokens and dollars, then stop"
    )
    tree = parser.add_argument_group("trees")
    tree.add_argument(
        "--max_turns",
        type=int,
        metavar="INT",
        help="turns of a conversation; beyond 4 the table goes on with A [logical, emotional, credibility] and B "
        "[resist, accept] (default: 4)",
    )
    tree.add_argument(
        "--both_do_first",
        nargs="?",
        const=True,
        type=_truth,
        metavar="true|false",
        help="speaker B answers once before it hears A (default: true)",
    )
    tree.add_argument("--deterministic", action="store_true", help="sample at temperature 0")
    for flag, (name, text) in _NAMES.items():
        kind = int if flag == "env.trees" else str
        tree.add_argument(f"--{name}", f"--{flag}", dest=flag, type=kind, metavar=kind.__name__.upper(), help=text)
    schema = schema_chosen_by(arguments, _CHOSEN, {flag: name for flag, (name, _) in _NAMES.items()})
    parser.set_defaults(schema=schema)
    defaults = {"temperature": TEMPERATURE, "user_temperature": TEMPERATURE}
    add_settings(parser, schema, defaults, hidden=("env.both_first",), without=(*_WITHOUT, *_NAMES))


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text == "true"


@dataclass(frozen=True, slots=True)
class Generation:
    """What one command plays.

    Attributes:
        given: the settings that the command gives, by flag; one that nothing reads is refused.
        settings: the run's settings, complete.
    """

    given: Mapping[str, Any]
    settings: RunSettings

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        tasks = self.settings.tasks
        return f"shard_{tasks.shard_idx}_of_{tasks.num_shards}" if tasks.num_shards > 1 else WHOLE

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return Path(self.settings.output.log_dir) / self.name


def generation_of(args: argparse.Namespace) -> Generation:
    """Returns what a command plays. Raises UsageError where flags are wrong, alone or together."""
    flags = vars(args)
    given = args.schema.read({name: value for name, value in flags.items() if name in args.schema})
    own: dict[str, Any] = {**_CHOSEN, "log_dir": str(flags.get("out_dir", OUT_DIR))}
    own |= _sampling(flags, given) | _table(flags, given) | _questions(flags, given)
    if "both_do_first" in flags:
        own["env.both_first"] = flags["both_do_first"]
    whole = {**given, **own}
    defaults = defaults_of(whole)
    whole |= _shards(flags, lambda: _number_of_questions(resolve(whole, defaults)))
    return Generation(given, resolve(whole, defaults))


def _sampling(flags: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, float]:
    """Returns the temperatures that are not given."""
    names, greedy = ("temperature", "user_temperature"), flags.get("deterministic", False)
    taken = next((name for name in names if given.get(name)), None)
    if greedy and taken:
        raise UsageError(f"deterministic is given with {taken} {given[taken]:g}; leave one of them out")
    return {name: 0.0 if greedy else TEMPERATURE for name in names if name not in given}


def _table(flags: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the table and the number of rounds for another number of turns than the published one."""
    turns = flags.get("max_turns")
    if turns is None:
        return {}
    taken = next((name for name in ("strategy.table", "max_convo_turns") if name in given), None)
    if taken:
        raise UsageError(f"max_turns is given with {taken}; leave one of them out")
    if not 1 <= turns <= MOST_TURNS:
        raise UsageError(f"max_turns is {turns}; give 1 to {MOST_TURNS}")
    if turns == len(PUBLISHED):
        return {}
    table = tuple(islice(chain(PUBLISHED, cycle(PUBLISHED[-2:])), turns))
    return {"strategy.table": table_as_text(table), "max_convo_turns": (turns + 1) // 2}


def _questions(flags: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns which questions are played: their source, split and number."""
    source, split, limit = given.get("env.questions"), flags.get("split", ALL), flags.get("limit")
    if limit is not None and limit < 1:
        raise UsageError(f"limit is {limit}; give 1 or more")
    found: dict[str, Any] = {"task_split": _SPLITS.get(split, split)}
    if source in DATASETS and split != ALL:
        found = {"task_split": ALL, "env.questions": f"{source}:{split}"}
    if limit is None:
        return found
    if source is not None:
        return {**found, "end_index": limit * given.get("env.trees", 1)}
    if "synthetic_tasks" in given:
        raise UsageError("limit is given with synthetic_tasks; leave one of them out")
    return {**found, "synthetic_tasks": limit}


def _shards(flags: Mapping[str, Any], questions: Callable[[], int]) -> dict[str, int]:
    """Returns the shard to play.

    Args:
        flags: the flags.
        questions: returns the number of questions; called only where there is no `limit`.
    """
    number, of, size = (flags.get(name) for name in ("shard_idx", "num_shards", "shard_size"))
    if of is not None and size is not None:
        raise UsageError("num_shards is given with shard_size; leave one of them out")
    if (of, size, number) == (None, None, None):
        return {}
    if of is None:
        size = SHARD_SIZE if size is None else size
        if size < 1:
            raise UsageError(f"shard_size is {size}; give 1 or more")
        of = max(1, (flags.get("limit") or questions()) // size)
    if number is None:
        raise UsageError(f"there are {of} shards, but shard_idx is not given; give --shard_idx 0 to {of - 1}")
    if number < 0 or of < 1:
        name, value, least = ("shard_idx", number, 0) if number < 0 else ("num_shards", of, 1)
        raise UsageError(f"{name} is {value}; give {least} or more")
    check_shard(number, of)
    return {"num_shards": of, "shard_idx": number}


def _number_of_questions(settings: RunSettings) -> int:
    return len(choose_tasks(env_of(settings), settings)) // int(settings.env.config["trees"])


def run_generate(args: argparse.Namespace) -> int:
    """Play a run or a shard, or merge shards; print the result and the yields. Returns the exit code."""
    relax_gc()
    args.typed |= _typed(args)
    if "merge" in args:
        return _merge(args)
    generation = generation_of(args)
    if "dry_run" in args:
        config, expected = dry_run(generation.settings, generation.given)
        print(config)
        print(f"josh: estimate: {expected}", file=sys.stderr)
        return 0
    worked = play_in(generation.folder, generation.settings, generation.given, "another --out_dir")
    readable = print_trees(generation.settings, generation.folder)
    return 0 if worked and readable else 1


def _typed(args: argparse.Namespace) -> dict[str, str]:
    """Returns the names in messages of the settings that flags of this command stand for."""
    names = {"log_dir": "out_dir", "task_split": "split"}
    if "limit" in args:
        names["synthetic_tasks"] = "limit"
    if _NAMES["env.trees"][0] in args.spelled:
        names["env.trees"] = _NAMES["env.trees"][0]
    return names


def _merge(args: argparse.Namespace) -> int:
    """Merge shards, and print the result."""
    taken = next((name for name in vars(args) if name in args.schema or name in _OF_PLAYING), None)
    if taken is not None:
        raise UsageError(f"{taken} is given with merge, which plays nothing; leave one of them out")
    result = asyncio.run(merge(args.merge, getattr(args, "out_dir", OUT_DIR), WHOLE))
    print_run(result)
    return 0 if print_trees(result.settings, result.folder) else 1


def print_trees(settings: RunSettings, folder: Path) -> bool:
    """Print how many trees a run has, in how many of them the speakers never disagree, and who is never understood.

    Returns:
        Whether some answer of either speaker could be read, if it spoke at all.
    """
    trees = agreed = given_up = 0
    turns: Counter[Speaker] = Counter()
    answers: Counter[Speaker] = Counter()
    for _, episode in stored_episodes(folder / EPISODES, []):
        if episode.error:
            given_up += 1
            continue
        trees, agreed = trees + 1, agreed + agrees_throughout(episode.tree)
        for node in episode.tree.nodes[1:]:
            turns[node.speaker] += 1
            answers[node.speaker] += ((node.turn.facts or {}).get("answers") or {}).get(node.speaker) is not None
    more = f"; errors ended {given_up} more" if given_up else ""
    print(f"trees           {trees}, {agreed} of them without disagreement{more}")
    models = {Speaker.AGENT: settings.agent.model, Speaker.USER: settings.user.model}
    mute = [speaker for speaker in Speaker if turns[speaker] and not answers[speaker]]
    for speaker in mute:
        print(
            f"josh: {models[speaker]}, as the {speaker}: no answer could be read in {counted(turns[speaker], 'turn')}; "
            "give --extractor_model MODEL, or another model",
            file=sys.stderr,
        )
    return not mute
