"""`josh proactive generate`: plays states along a main line with branches, and writes trajectories.

1. The published flags become settings of a run (`generation_of`); nearly every other flag of `josh run` works too. The
   run is that of `josh --env proactive --strategy mainline`.
2. The run has a folder beside the file of trajectories. The same command again goes on with it (`own_folder.py`).
3. The file is made of the run's stored trees (`proactive_trees.py`); with `--run` of those of an earlier run.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from josh.envs.proactive.env import ALL, BOTH
from josh.envs.proactive.states import CODING
from josh.errors import UsageError
from josh.flags import add_settings
from josh.memory import relax_gc
from josh.runs.export.files import check_free, sources_in_manifest
from josh.runs.play.run import dry_run
from josh.runs.record.folder import EPISODES, read_config, read_settings
from josh.runs.record.stored import stored_episodes
from josh.runs.record.summary import counted
from josh.runs.registry import OFFLINE
from josh.runs.resolve import defaults_of, resolve
from josh.runs.settings import JOSH, SHARDS, RunSettings
from josh.runs.systems.families import schema_chosen_by
from josh.runs.systems.own_folder import play_in
from josh.runs.systems.proactive_files import make_folder_of, print_file, refuse_same, write_file
from josh.runs.systems.proactive_rows import VERSION
from josh.runs.systems.proactive_trees import trajectory_rows

FORMAT: Final = "trajectories"
N_STATES: Final = 50
"""Made-up states that are played where no number is given, as published."""
TEMPERATURE: Final = 0.7
"""The published sampling temperature of both speakers, which is the default here."""
SYNTHETIC, DATASET = "synthetic", "dataset"

_CHOSEN: Final = {"env": "proactive", "strategy": "mainline"}
_MODEL: Final = "llm_model"
_NAMES: Final[Mapping[str, tuple[str, str]]] = {
    "model": (_MODEL, "chat model of the agent, and of the user where --user_model is not given (default: offline)"),
    "agent.mainline_action": ("mainline_action", "the main line's first action (default: the agent chooses it)"),
    "strategy.decisions": ("decisions", "points of the main line that branch (default: 1; with --multi_turn all)"),
    "strategy.branches": ("branches", "2: the other action, and the main line's once more; 1: the other (default: 2)"),
    "rewards.planning_score": ("planning_score", "R_task of a plan, where no judge scores it (default: it has none)"),
}
"""The published names of settings, with their help, by flag."""
_NUMBERS: Final = {"strategy.branches": int, "strategy.decisions": int, "rewards.planning_score": float}
_OWN: Final = (
    "env.states", "env.n_states", "synthetic_tasks", "env.domain", "env.persona", "env.multi_turn", "env.interactions",
    "max_convo_turns",
)  # fmt: skip
"""Settings that other flags of this command set."""
_TYPED: Final = {
    "synthetic_tasks": "n_states", "env.n_states": "n_states", "env.states": "dataset_path", "env.domain": "domain",
    "env.persona": "persona",
}  # fmt: skip
"""The flags of this command, by the setting that they set."""
_WITHOUT: Final = (JOSH, "env", "strategy", *_OWN, *SHARDS)


def add_generate_flags(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> None:
    """Add the flags of `josh proactive generate`, those of the chosen speakers included."""
    parser.argument_default = argparse.SUPPRESS
    parser.description = (
        "Plays each state along a main line, and at its decision points the other action and the main line's action "
        "once more. Without models nothing is called. `josh proactive rewards` makes preferences of the file."
    )
    tasks = parser.add_argument_group("states")
    tasks.add_argument("--mode", help="synthetic: made-up states; dataset: states of a file (default: by dataset_path)")
    tasks.add_argument("--dataset_path", metavar="FILE", help="file of states, one JSON object on each line")
    tasks.add_argument(
        "--n_states",
        type=int,
        metavar="INT",
        help=f"number of states; beyond the end of a file they repeat, with ids such as q-1 (default: {N_STATES} "
        "made-up ones, all of a file)",
    )
    tasks.add_argument("--domain", help="coding, planning or both (default: coding where made up, else both)")
    tasks.add_argument("--persona", metavar="NAME", help="the user of every state (default: drawn by the state's id)")
    tasks.add_argument("--persona_idx", type=int, metavar="INT", help="the same by its index, from 0")
    talk = parser.add_argument_group("conversations")
    talk.add_argument("--out", type=Path, metavar="FILE", help="the file of trajectories to write")
    talk.add_argument("--run", type=Path, metavar="RUN", help="play nothing; write the trajectories of this run")
    talk.add_argument(
        "--multi_turn", action="store_true", help="play until the task is solved; each turn of the main line branches"
    )
    talk.add_argument("--max_turns", type=int, metavar="INT", help="with --multi_turn: most turns (default: 5)")
    talk.add_argument(
        "--use_interactions", action="store_true", help="play until the agent delivers, which is the default"
    )
    talk.add_argument("--no_interactions", action="store_true", help="one message and the user's reaction")
    talk.add_argument(
        "--max_interactions", type=int, metavar="INT", help="without --multi_turn: most messages (default: 5)"
    )
    talk.add_argument("--dry_run", action="store_true", help="check the settings, estimate the calls, then stop")
    schema = schema_chosen_by(arguments, _CHOSEN, {"model": _MODEL})
    for flag, (name, text) in _NAMES.items():
        if flag in schema:
            kind = _NUMBERS.get(flag, str)
            talk.add_argument(f"--{name}", f"--{flag}", dest=flag, type=kind, metavar=kind.__name__.upper(), help=text)
    parser.set_defaults(schema=schema)
    defaults = {"temperature": TEMPERATURE, "user_temperature": TEMPERATURE}
    add_settings(parser, schema, defaults, without=(*_WITHOUT, *_NAMES))


def run_generate(args: argparse.Namespace) -> int:
    """Play a run, and write its trajectories. Returns the exit code. Raises UsageError."""
    flags = vars(args)
    args.typed |= {flag: name for flag, (name, _) in _NAMES.items()} | _TYPED
    if "run" in flags:
        taken = next((name for name in flags if name in args.schema or name in _PLAYS), None)
        if taken is not None:
            raise UsageError(f"{taken} is given with run, which plays nothing; leave one of them out")
    if "out" not in flags and "dry_run" not in flags:
        raise UsageError("no out given; example: josh proactive generate --n_states 50 --out logs/traj.jsonl")
    relax_gc()
    worked, folder = True, flags.get("run")
    if folder is None:
        given, settings = generation_of(args)
        if "dry_run" in flags:
            config, expected = dry_run(settings, given)
            print(config)
            print(f"josh: estimate: {expected}", file=sys.stderr)
            return 0
        source = settings.env.config.get("states")
        refuse_same("out", args.out, {"dataset_path": Path(source) if source else None})
        earlier = check_free(args.out)
        make_folder_of(args.out)
        folder = Path(settings.output.log_dir) / _folder_name(args.out)
        worked = play_in(folder, settings, given, "another --out or --log_dir")
    else:
        read_config(folder)
        earlier = check_free(args.out)
    manifest = write_trajectories(folder, args.out)
    _print(manifest)
    print_file(manifest, args.out, earlier)
    return 0 if worked else 1


_PLAYS: Final = (
    "mode", "dataset_path", "n_states", "domain", "persona", "persona_idx", "multi_turn", "max_turns",
    "use_interactions", "no_interactions", "max_interactions", "dry_run",
)  # fmt: skip
"""The flags beside those of settings that are for playing."""


def _folder_name(out: Path) -> str:
    """Returns the name of the run's folder for a file: `traj-run` for `traj.jsonl`."""
    return f"{out.name.partition('.')[0] or out.name}-run"


def write_trajectories(folder: Path, out: Path) -> dict[str, Any]:
    """Write the trajectories of a run, and return the manifest. Raises UsageError where there are none."""
    config = read_config(folder)
    settings = read_settings(folder, config)
    decisions = int(settings.strategy.config.get("decisions", 1))
    dropped: Counter[str] = Counter()
    damaged: list[int] = []
    tasks: dict[str, int] = {}

    def rows() -> Iterator[dict[str, Any]]:
        for _, episode in stored_episodes(folder / EPISODES, damaged):
            tasks[episode.task.id] = 0
            for row in trajectory_rows(episode, decisions, settings.judge.model is not None, dropped):
                tasks[episode.task.id] += 1
                yield row

    first = next(found := rows(), None)
    if first is None:
        reasons = "".join(f", {count} {reason}" for reason, count in dropped.items())
        raise UsageError(f"{folder} has no trajectory: {counted(len(tasks), 'whole episode')}{reasons}")

    def all_rows() -> Iterator[dict[str, Any]]:
        yield first
        yield from found
        manifest["tasks"] = [name for name, count in tasks.items() if count]
        manifest["dropped"] = {**dropped, **({"damaged lines": len(damaged)} if damaged else {})}

    manifest: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "tasks": [],
        "dropped": {},
        "runs": sources_in_manifest([folder], [config], out.parent),
    }
    return write_file(out, all_rows(), manifest)


def _print(manifest: Mapping[str, Any]) -> None:
    for reason, count in manifest["dropped"].items():
        print(f"{'left out':<15} {reason}: {count}")
    print(f"{'trajectories':<15} {manifest['rows']} of {counted(len(manifest['tasks']), 'state')}")


# The settings of the run


def generation_of(args: argparse.Namespace) -> tuple[Mapping[str, Any], RunSettings]:
    """Returns the settings that a command gives, by flag, and the run's settings.

    Raises:
        UsageError: flags are wrong, alone or together.
    """
    flags = vars(args)
    given = args.schema.read({name: value for name, value in flags.items() if name in args.schema})
    own: dict[str, Any] = {**_CHOSEN, **_states(flags, given), **_persona(flags), **_turns(flags), **_user(given)}
    own |= {name: TEMPERATURE for name in ("temperature", "user_temperature") if name not in given}
    if "out" in flags and "log_dir" not in given:
        own["log_dir"] = str(args.out.parent)
    whole = {**given, **own}
    return given, resolve(whole, defaults_of(whole))


def _states(flags: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns which states are played: their source, domain, split and number."""
    path, number = flags.get("dataset_path"), flags.get("n_states")
    mode = flags.get("mode", SYNTHETIC if path is None else DATASET)
    if mode not in (SYNTHETIC, DATASET):
        raise UsageError(f"mode is {mode!r}; give {SYNTHETIC} or {DATASET}")
    if (mode == DATASET) != (path is not None):
        way = "give --dataset_path FILE" if path is None else f"leave it out, or give --mode {DATASET}"
        state = "no dataset_path is given" if path is None else f"dataset_path is {path!r}"
        raise UsageError(f"mode is {mode!r}, but {state}; {way}")
    if number is not None and number < 1:
        raise UsageError(f"n_states is {number}; give 1 or more")
    found: dict[str, Any] = {"env.domain": flags.get("domain", CODING if path is None else BOTH)}
    if path is None:
        return {**found, "synthetic_tasks": N_STATES if number is None else number}
    split = {} if "task_split" in given else {"task_split": ALL}
    return {**found, **split, "env.states": path, **({} if number is None else {"env.n_states": number})}


def _persona(flags: Mapping[str, Any]) -> dict[str, str]:
    found = [str(flags[name]) for name in ("persona", "persona_idx") if name in flags]
    if len(found) > 1:
        raise UsageError(f"persona is {found[0]!r} with persona_idx {found[1]}; leave one of them out")
    return {"env.persona": found[0]} if found else {}


def _turns(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Returns how long conversations are."""
    several, short = flags.get("multi_turn", False), flags.get("no_interactions", False)
    clashes = (
        ("use_interactions", "no_interactions", short),
        ("multi_turn", "no_interactions", short),
        ("max_interactions", "no_interactions", short),
        ("max_interactions", "multi_turn", several),
    )
    for name, other, clash in clashes:
        if clash and name in flags:
            raise UsageError(f"{name} is given with {other}; leave one of them out")
    if "max_turns" in flags and not several:
        raise UsageError(f"max_turns is {flags['max_turns']} without multi_turn; give --multi_turn too")
    found: dict[str, Any] = {"env.multi_turn": True} if several else {}
    if several and "strategy.decisions" not in flags:
        found["strategy.decisions"] = 0
    found |= {"env.interactions": False} if short else {}
    for name in ("max_turns", "max_interactions"):
        if name in flags:
            if flags[name] < 1:
                raise UsageError(f"{name} is {flags[name]}; give 1 or more")
            found["max_convo_turns"] = flags[name]
    return found


def _user(given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the user's model: the agent's, where none is given."""
    if given.get("model", OFFLINE) == OFFLINE or "user_model" in given or "user" in given:
        return {}
    same = {"model": "user_model", "base_url": "user_base_url", "api_key_var": "user_api_key_var"}
    return {user: given[name] for name, user in same.items() if name in given and user not in given}
