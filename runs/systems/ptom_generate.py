"""`josh ptom generate`: plays scenarios, and writes the conversations as games for `josh ptom prepare`.

The run has a folder beside the file, and the same command again goes on with it. It is the run of `josh --env ptom`.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from josh.dialogue import Speaker
from josh.envs.ptom.env import scenario_of
from josh.envs.ptom.hearing import action_in, thought_in
from josh.errors import UsageError
from josh.flags import add_settings
from josh.messages import text_of
from josh.outcomes import Episode
from josh.runs.export.files import check_free, sources_in_manifest
from josh.runs.record.folder import EPISODES, how_played, read_config, read_settings
from josh.runs.record.stored import stored_episodes
from josh.runs.record.summary import counted
from josh.runs.resolve import defaults_of, resolve
from josh.runs.settings import JOSH, SHARDS
from josh.runs.systems.families import schema_chosen_by
from josh.runs.systems.own_folder import play_in
from josh.runs.systems.proactive_files import make_folder_of, print_file, write_file
from josh.tree import walk

FORMAT: Final = "games"
_CHOSEN: Final = {"env": "ptom"}
_PUBLISHED: Final = {
    "num_scenarios": ("synthetic_tasks", int, "made-up scenarios; with --scenarios, how many of the file are drawn"),
    "trajectories_per_scenario": ("rollouts", int, "games of each scenario (default: 1)"),
    "max_parallel": ("max_concurrency", int, "conversations at the same time"),
    "start_id": ("start_index", int, "number of the first scenario (default: 0)"),
}
"""The published flags: the setting, its type and its help."""


def add_generate_flags(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> None:
    """Add the flags of `josh ptom generate`, those of the chosen speakers included."""
    parser.argument_default = argparse.SUPPRESS
    parser.description = "Plays scenarios, and writes the conversations as games. Without models nothing is called."
    parser.add_argument("--output", "--out", dest="output", type=Path, metavar="FILE", help="the file to write")
    for name, (_, kind, text) in _PUBLISHED.items():
        parser.add_argument(f"--{name}", type=kind, metavar="INT", help=text)
    schema = schema_chosen_by(arguments, _CHOSEN, {})
    parser.set_defaults(schema=schema)
    add_settings(parser, schema, {}, without=(JOSH, "env", "strategy", *SHARDS))


def run_generate(args: argparse.Namespace) -> int:
    """Play a run, and write its games. Returns the exit code. Raises UsageError."""
    flags = vars(args)
    if "output" not in flags:
        raise UsageError("no output given; example: josh ptom generate --num_scenarios 50 --output games.jsonl")
    given = args.schema.read({name: value for name, value in flags.items() if name in args.schema})
    own = dict(_CHOSEN)
    for name, (flag, _, _) in _PUBLISHED.items():
        if name in flags:
            drawn = name == "num_scenarios" and "scenarios" in given
            own["env.n_scenarios" if drawn else flag] = flags[name]
            args.typed["env.n_scenarios" if drawn else flag] = name
    if "log_dir" not in given:
        own["log_dir"] = str(args.output.parent)
    whole = {**given, **own}
    settings = resolve(whole, defaults_of(whole))
    earlier = check_free(args.output)
    make_folder_of(args.output)
    stem = args.output.name.partition(".")[0] or args.output.name
    folder = Path(settings.output.log_dir) / f"{stem}-run"
    worked = play_in(folder, settings, given, "another --output or --log_dir")
    config = read_config(folder)
    paths = how_played(config, read_settings(folder, config)).paths
    rows = [row for _, episode in stored_episodes(folder / EPISODES, []) for row in games_of(episode, len(paths) > 1)]
    if not rows:
        raise UsageError(f"{folder} has no game: no conversation ended without an error")
    manifest = {
        "format": FORMAT,
        "tasks": list(dict.fromkeys(row["scenario_id"] for row in rows)),
        "runs": sources_in_manifest([folder], [config], args.output.parent),
    }
    whole_manifest = write_file(args.output, rows, manifest)
    won = sum(row["success"] for row in rows)
    print(f"{'games':<15} {whole_manifest['rows']} of {counted(len(manifest['tasks']), 'scenario')}, {won} won")
    print_file(whole_manifest, args.output, earlier)
    return 0 if worked else 1


def games_of(episode: Episode, several: bool) -> Iterator[dict[str, Any]]:
    """Yields the finished conversations of a task as games.

    Args:
        episode: the task.
        several: whether it has several conversations, so that a game's id is not the scenario's alone.
    """
    scenario = scenario_of(episode.task)
    for number, leaf in enumerate(episode.reported, start=1):
        nodes = [episode.tree.nodes[index] for index in walk(episode.tree, leaf)][1:]
        turns: list[dict[str, Any]] = []
        for node, after in pairwise([*nodes, None]):
            if node is None or node.speaker is not Speaker.AGENT:
                continue
            said = " ".join(filter(None, map(text_of, node.turn.messages)))
            replied = "" if after is None else " ".join(filter(None, map(text_of, after.turn.messages)))
            turns.append(_turn(len(turns) + 1, said, replied, node.turn.actions))
        success = bool(episode.scores.get(leaf, {}).get("success", 0.0))
        yield {
            "game_id": f"{scenario.id}-{number}" if several else scenario.id,
            **scenario.row,
            "strategy_type": "played",
            "success": success,
            "trajectory": turns,
        }


def _turn(number: int, said: str, replied: str, actions: Sequence[Sequence[Any]]) -> dict[str, Any]:
    thought: Mapping[str, Any] = thought_in(actions) or {}
    belief = thought.get("belief")
    names = {"desires": "target_desires", "confidence": "confidence_level", "entropy": "information_entropy"}
    found: dict[str, Any] = {"turn": number}
    if belief:
        found["belief_state"] = {names[name]: value for name, value in belief.items()}
    if thought.get("reasoning"):
        found["reasoning"] = thought["reasoning"]
    chances = thought.get("counterfactuals") or {}
    found["counterfactual_analysis"] = {name: {"p_success": value} for name, value in chances.items()}
    return {**found, "action_type": action_in(actions) or "ASK", "action": said, "response": replied}
