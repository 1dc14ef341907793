"""The flags of every command, command by command."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from josh.config import Schema
from josh.flags import add_json, add_settings, add_trust
from josh.runs.evaluate.settings import BASELINE, EVALUATION_DEFAULTS, NOT_FOR_EVALUATIONS
from josh.runs.loop.settings import LOOP, LOOP_DEFAULTS, NOT_FOR_LOOPS
from josh.runs.probe.settings import PROBE, TITLES
from josh.runs.race.settings import NOT_FOR_RACES, RACE, RACE_DEFAULTS
from josh.runs.registry import (
    BEAM,
    COMMANDS,
    DEFAULT_ENV,
    EXPORTS,
    IMPORTS,
    LENSES,
    PLAIN_ENV,
    ROLLOUTS,
    SUITES,
    system_command,
)
from josh.runs.settings import JOSH, NOT_FOR_PLAY, core, schema_of
from josh.runs.train.grpo_settings import GRPO, NOT_FOR_GRPO
from josh.runs.train.settings import METHODS, TRAINING


def _strategies(chosen: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Returns the strategies whose flags a run shows: `beam` and `rollouts` where none is chosen, else None."""
    return None if chosen.get("strategy") or chosen.get(JOSH) else (BEAM, ROLLOUTS)


def _add_run(run: argparse.ArgumentParser, chosen: Mapping[str, Any], sides: bool) -> None:
    """Add the flags of `josh run`."""
    schema = schema_of(chosen, strategies=_strategies(chosen), sides=sides)
    run.set_defaults(schema=schema)
    run.add_argument("--config", type=Path, default=None, metavar="FILE", help="TOML file with any of these settings")
    run.add_argument(
        "--resume", type=Path, default=None, metavar="RUN", help="continue the run in this folder, with its settings"
    )
    add_trust(run, plays=True)
    run.add_argument(
        "--dry_run",
        action="store_true",
        default=False,
        help="check and print the settings, estimate calls, tokens and dollars, then stop",
    )
    run.add_argument(
        "--sample",
        type=int,
        default=None,
        metavar="TASKS",
        help="play so many tasks, and estimate the whole run from them; --resume plays the others",
    )
    add_settings(run, schema)


def _add_play(play: argparse.ArgumentParser, chosen: Mapping[str, Any], sides: bool) -> None:
    """Add the flags of `josh play`."""
    schema = schema_of(chosen, strategies=_strategies(chosen), sides=sides)
    play.set_defaults(schema=schema)
    play.add_argument(
        "--as",
        dest="side",
        default="user",
        metavar="SIDE",
        help="the side that you play: user or agent, or the environment's word for it (default: user)",
    )
    play.add_argument("--config", type=Path, default=None, metavar="FILE", help="TOML file with any of these settings")
    # `josh play` parses the settings that it cannot use too, so that it can refuse them with the reason.
    add_settings(play, schema, hidden=(*NOT_FOR_PLAY, *schema.of("strategy")))


def _add_evaluate(evaluate: argparse.ArgumentParser, chosen: Mapping[str, Any], sides: bool) -> None:
    """Add the flags of `josh evaluate`."""
    evaluate.description = (
        "The settings of `josh run`, except those of the search, apply to all models. `--model`, `--user` and "
        "`--user_model` may be several, separated by commas: every model plays with every user."
    )
    schema = schema_of(chosen, strategies=(ROLLOUTS,), sides=sides)
    evaluate.set_defaults(schema=schema)
    evaluate.add_argument("--suite", default=None, help=f"an evaluation with numbers of its own: {', '.join(SUITES)}")
    evaluate.add_argument(
        "--file",
        default=None,
        help="with a suite of rows: file of rows, whose `generation` is scored where no model is given",
    )
    add_settings(evaluate, BASELINE, dict.fromkeys(BASELINE), title="baseline")
    evaluate.add_argument(
        "--policies",
        default="",
        help="further policies, as a JSON object: for each name the settings in which its agent differs from the "
        """model's: '{"direct": {"agent": "direct"}}'""",
    )
    evaluate.add_argument(
        "--output",
        type=Path,
        default=None,
        metavar="FILE",
        help="with a suite: also write its results and those of each conversation into this file, as one JSON object",
    )
    evaluate.add_argument(
        "--no_references", action="store_true", default=False, help="do not play the reference policies"
    )
    evaluate.add_argument(
        "--trained_on",
        default="",
        help="training data to check for overlap: runs, loops, export manifests or adapters, separated by commas; "
        "their tasks and people must not be evaluated on (the data of the models' own adapters is always checked)",
    )
    evaluate.add_argument(
        "--trained_users", default="", help="user models of the training, separated by commas, if no run records them"
    )
    evaluate.add_argument(
        "--probe",
        action="store_true",
        default=False,
        help="also check the general ability of the model and its baseline, see `josh probe`",
    )
    evaluate.add_argument("--groups", action="store_true", default=False, help="print the results by group")
    add_json(evaluate)
    evaluate.add_argument(
        "--config", type=Path, default=None, metavar="FILE", help="TOML file with settings of the runs"
    )
    evaluate.add_argument("--resume", type=Path, default=None, metavar="FOLDER", help="continue this evaluation")
    add_trust(evaluate, plays=True)
    add_settings(evaluate, schema, EVALUATION_DEFAULTS, without=NOT_FOR_EVALUATIONS)


def _add_loop(loop: argparse.ArgumentParser, chosen: Mapping[str, Any], sides: bool) -> None:
    """Add the flags of `josh loop`."""
    searches = (chosen.get("strategy") or BEAM, ROLLOUTS)
    schema = schema_of(chosen, strategies=searches, sides=sides, further=LOOP.values())
    loop.set_defaults(schema=schema)
    add_settings(loop, LOOP)
    loop.add_argument("--config", type=Path, default=None, metavar="FILE", help="TOML file with any of these settings")
    loop.add_argument("--resume", type=Path, default=None, metavar="FOLDER", help="continue the loop in this folder")
    add_trust(loop, plays=True)
    loop.add_argument("--stage", default=None, help=argparse.SUPPRESS)
    add_settings(loop, schema, LOOP_DEFAULTS, without=(*NOT_FOR_LOOPS, *LOOP))


def _add_race(own: argparse.ArgumentParser, chosen: Mapping[str, Any], sides: bool) -> None:
    """Add the flags of `josh race`."""
    own.description = (
        "The settings of `josh run` apply to all searches; those of a strategy apply to each search that has them. "
        "Every search spends the whole budget: it goes on after a win, and begins again where it would end."
    )
    names = str(chosen.get("strategies") or RACE["strategies"].default).split(",")
    schema = schema_of(chosen, strategies=[name.strip() for name in names if name.strip()], sides=sides)
    own.set_defaults(schema=schema)
    add_settings(own, RACE)
    add_json(own)
    own.add_argument("--config", type=Path, default=None, metavar="FILE", help="TOML file with settings of the runs")
    own.add_argument("--resume", type=Path, default=None, metavar="FOLDER", help="continue the race in this folder")
    add_trust(own, plays=True)
    add_settings(own, schema, RACE_DEFAULTS, without=NOT_FOR_RACES)


def _add_rescore(rescore: argparse.ArgumentParser, chosen: Mapping[str, Any], sides: bool) -> None:
    """Add the flags of `josh rescore`."""
    schema = schema_of(chosen, sides=sides, missing=("agent", "user"))
    rescore.set_defaults(schema=schema)
    rescore.add_argument("folder", type=Path, metavar="RUN", help="the run's folder, such as records/<run>")
    add_trust(rescore, plays=True)
    judge = [flag for flag, one in core().items() if one.path[:1] == ("judge",)]
    own = ("rewards", *schema.of("rewards"), *judge, "log_dir")
    defaults = dict.fromkeys(own, "as in the run") | {"log_dir": "beside the run's"}
    add_settings(rescore, {name: schema[name] for name in own}, defaults)


def _add_import(own: argparse.ArgumentParser, chosen: Mapping[str, Any], sides: bool) -> None:
    """Add the flags of `josh import`."""
    schema = schema_of({"env": PLAIN_ENV, **chosen}, sides=False)
    texts = {
        "format": f"format of the files: {', '.join(IMPORTS)}",
        "played_by": "who took the agent's turns, such as human (default: imported)",
        "roles": "roles of a file, as in visitor=user,bot=assistant: assistant, user, system or tool for each name",
        "columns": "columns of a CSV file, as in id=chat,text=words, for id, role, text, reward, success and person",
        "slots": "how a file of PBT holds the answers: speaker or pbt (default: speaker)",
    }
    switches = {
        "names": "mask names, too, beside e-mail addresses, phone numbers and card numbers",
        "unmasked": "keep personal data as it is",
        "skip_damaged": "leave out damaged rows, and count them",
    }
    own.set_defaults(schema=schema, **dict.fromkeys((*texts, "out", "success_at")), files=[])
    own.add_argument("files", type=Path, nargs="*", metavar="FILE", help="the files; none for a world's own dialogues")
    own.add_argument("--out", type=Path, metavar="RUN", help="folder of the new run (default: a new one in records)")
    own.add_argument("--success_at", type=float, help="smallest reward of a success (default: the source says it)")
    for name, text in texts.items():
        own.add_argument(f"--{name}", metavar="TEXT", help=text)
    for name, text in switches.items():
        own.add_argument(f"--{name}", action="store_true", default=False, help=text)
    flags = ("env", *schema.of("env"), "task_split")
    defaults = {"env": "a plain world", "task_split": "all"}
    add_settings(own, {name: schema[name] for name in flags}, defaults)


RUN_COMMANDS = {
    "run": ("play tasks and record them, with a search if --josh is given (the default command)", _add_run),
    "play": ("take one side of a conversation yourself, and record it", _add_play),
    "evaluate": ("compare models on the same held-out tasks, with confidence intervals", _add_evaluate),
    "race": ("let searches play the same tasks with the same budgets, and compare them", _add_race),
    "loop": ("repeat rounds of search, export, training and evaluation", _add_loop),
    "import": (
        "make a run of conversations from elsewhere: files of chats, or those of people in a corpus",
        _add_import,
    ),
    "rescore": ("rewrite a recorded run under another reward, without calls to agent or user", _add_rescore),
}
"""The commands that have the settings of runs: the help text of each, and the function that adds its flags."""


def add_records(commands: Any) -> None:
    """Add `josh replay` and `josh export`."""
    replay = commands.add_parser("replay", help="replay a run from its journal, without model calls")
    replay.set_defaults(command="replay")
    replay.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
    add_trust(replay)
    replay.add_argument(
        "--log_dir", type=Path, help="directory in which the new run's folder is created (default: beside the old one)"
    )

    export = commands.add_parser("export", help="write training files from recorded runs, or check such a file")
    export.set_defaults(command="export")
    export.add_argument("runs", type=Path, nargs="*", metavar="RUN", help="the runs' folders, such as records/<run>")
    export.add_argument(
        "--format",
        help="sft, kto, dpo, openai-sft, openai-dpo, chatml, sharegpt, sharegpt-kto or sharegpt-dpo; samples or grpo, "
        f"in tokens; or a file of whole runs for another tool: {', '.join(EXPORTS)}",
    )
    export.add_argument("--out", type=Path, metavar="FILE", help="the file to write, with FILE.manifest.json beside it")
    export.add_argument(
        "--learner",
        help="the speaker to train, whose turns become rows: agent or user (default: agent; with --label the speaker "
        "of the pairs)",
    )
    export.add_argument(
        "--label",
        help="export pairs of sibling turns by what they teach: a label of the runs, such as accept or resist, or "
        "balanced for all of them",
    )
    export.add_argument(
        "--match",
        help="with --label, where n is the smallest number of pairs of a label: each takes n of each label, total n in "
        "all, none takes all (default: each)",
    )
    export.add_argument(
        "--part",
        help="with --label: train, valid, test, devtest (the last two) or all; 70, 15 and 15 %% of the questions, by "
        "the hash of their id (default: all)",
    )
    export.add_argument(
        "--label_fixed",
        action="store_true",
        help="with --label: also take pairs in which the learner became right, though both speakers were wrong before",
    )
    export.add_argument(
        "--paths", help="paths to export: golden, successful, lost or all (default: golden; for pairs successful)"
    )
    export.add_argument(
        "--top",
        type=int,
        help="maximum number of successful paths of a task, best first, or of other paths of a tree (default: all)",
    )
    export.add_argument(
        "--min_margin", type=float, help="for pairs: minimum difference in reward, in its unit (default: 0.01)"
    )
    export.add_argument(
        "--min_confirmed",
        type=float,
        help="only winning paths that won again with at least this share of fresh users (runs with --confirm)",
    )
    export.add_argument(
        "--credit",
        action="store_true",
        help="sft, kto: add each turn's advantage over its siblings; dpo: the margin is the difference of mean rewards",
    )
    export.add_argument(
        "--seed",
        type=int,
        default=core()["seed"].default,
        help="for kto and --label: seed that shuffles the rows; for --label also seed of the choice (default: 10)",
    )
    export.add_argument("--check", type=Path, metavar="FILE", help="check an exported file and print what is wrong")


def add_systems(commands: Any, arguments: Sequence[str]) -> None:
    """Add the commands of published systems, such as `josh prepare`; the flags only of the one that is given."""
    for name in COMMANDS:
        command = system_command(name)
        own = commands.add_parser(name, help=command.help)
        own.set_defaults(command=name)
        if arguments and arguments[0] == name:
            command.add_flags(own, arguments[1:])


def add_schema(commands: Any) -> None:
    """Add `josh schema`."""
    schema = commands.add_parser("schema", help="print the format of a run's files as JSON Schema")
    schema.set_defaults(command="schema")
    text = "episodes, training_examples, config or summary (default: all)"
    schema.add_argument("file", nargs="?", metavar="FILE", help=text)


def add_models(commands: Any, *, training: bool, world: Mapping[str, Any] | None = None) -> None:
    """Add `josh tiny` and `josh train`.

    Args:
        commands: gets the commands.
        training: whether the methods and flags of `josh train` are needed.
        world: the plug-ins that the arguments of `josh train grpo` choose; None for another method.
    """
    tiny = commands.add_parser("tiny", help="train a small language model from scratch, to try josh without a download")
    tiny.set_defaults(command="tiny")
    tiny.add_argument(
        "--out", type=Path, required=True, help="the model's folder; an up-to-date model there is not trained again"
    )
    tiny.add_argument("--size", default="small", help="small (half a million parameters), or nano for tests")
    tiny.add_argument(
        "--env", default=DEFAULT_ENV, help=f"environment that gives the training texts (default: {DEFAULT_ENV})"
    )
    tiny.add_argument("--seed", type=int, default=0, help="random seed; every random choice depends on it (default: 0)")
    tiny.add_argument("--torch_threads", type=int, default=1, help="number of threads (default: 1)")
    tiny.add_argument("--force", action="store_true", help="train the model again in any case")

    train = commands.add_parser("train", help="fine-tune a model: train sft, dpo, kto, grpo or openai")
    if training:
        methods = train.add_subparsers(title="methods", metavar="METHOD", required=True)
        _add_training(methods)
        _add_grpo(methods, world)


def add_terminal(commands: Any) -> None:
    """Add `josh show`, `josh acts` and `josh plot`."""
    show = commands.add_parser("show", help="print a run's tasks, or the tree of one task")
    show.set_defaults(command="show")
    show.add_argument(
        "run",
        type=Path,
        nargs="?",
        metavar="RUN",
        help="the run's folder, such as records/<run>, or a folder of runs to list (default: list records/)",
    )
    show.add_argument("task", nargs="?", metavar="TASK", help="a task, by id or by number (default: list all tasks)")
    add_trust(show)
    show.add_argument("--width", type=int, help="width in columns (default: the terminal's)")
    show.add_argument("--full", action="store_true", help="print whole texts, and the messages only the agent saw")
    show.add_argument(
        "--actions",
        action="store_true",
        help="print which acts, tools and instructions stand on winning and losing branches, with siblings as control",
    )
    add_json(show)

    acts = commands.add_parser("acts", help="which acts and choices of a search pay on which people, from siblings")
    acts.set_defaults(command="acts")
    acts.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="the runs' folders, such as records/<run>")
    add_trust(acts)
    acts.add_argument(
        "--lens",
        help=f"what reads the acts: {', '.join(LENSES)}, module:Class or ./file.py:Class (default: the world's own)",
    )
    acts.add_argument("--groups", action="store_true", default=False, help="compare in every group of people, too")
    acts.add_argument(
        "--min_tasks", type=int, default=10, help="tasks with such siblings that a comparison needs (default: 10)"
    )
    acts.add_argument("--width", type=int, help="width in columns (default: the terminal's)")
    add_json(acts)

    plot = commands.add_parser("plot", help="plot loops, runs and evaluations; needs matplotlib")
    plot.set_defaults(command="plot")
    plot.add_argument("paths", type=Path, nargs="+", metavar="FOLDER", help="folder of a run, an evaluation or a loop")
    add_trust(plot)
    plot.add_argument(
        "--out", type=Path, metavar="FILE", help="the picture to write: .png, .svg or .pdf (default: KIND.png)"
    )
    plot.add_argument(
        "--kind",
        choices=("rounds", "turns", "pareto"),
        help="rounds: reward by training round (default for a loop); turns: when conversations are won (default for a "
        "run); pareto: reward against model calls (default for an evaluation and for several folders)",
    )


def add_evaluation(commands: Any) -> None:
    """Add `josh compare` and `josh report`."""
    compare = commands.add_parser("compare", help="compare evaluations, or runs, on the tasks that they share")
    compare.set_defaults(command="compare")
    compare.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="folder of an evaluation or a run")
    compare.add_argument("--out", type=Path, help="JSON file to write all numbers to")
    add_trust(compare)
    compare.add_argument("--groups", action="store_true", help="print the results by group")
    add_json(compare)

    report = commands.add_parser("report", help="rewrite a report.html, list all runs on a page, or compare two runs")
    report.set_defaults(command="report")
    report.add_argument(
        "folders",
        type=Path,
        nargs="+",
        metavar="RUN",
        help="folder of a run, an evaluation or a loop, a folder of these such as records, or the folders of two runs",
    )
    add_trust(report)
    report.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="the page to write (default: report.html, or report-vs-RUN.html, in the first folder)",
    )


def add_probe(commands: Any) -> None:
    """Add `josh probe`."""
    text = "check general ability before and after tuning: exact items, drift, and questions for a judge"
    probe = commands.add_parser(
        "probe",
        help=text,
        description=f"{text[0].upper()}{text[1:]}. The last line says whether the model is no worse than its base.",
        usage="josh probe [FLAGS]",
        argument_default=argparse.SUPPRESS,
    )
    probe.set_defaults(command="probe", schema=PROBE)
    for part, title in TITLES.items():
        own = {flag: one for flag, one in PROBE.items() if (one.path[0] if len(one.path) > 1 else "questions") == part}
        add_settings(probe, Schema(own.values()), title=title)
    add_json(probe)
    probe.add_argument("--config", type=Path, default=None, metavar="FILE", help="TOML file with any of these settings")
    probe.add_argument("--resume", type=Path, default=None, metavar="FOLDER", help="continue the probe in this folder")
    add_trust(probe, plays=True)


def add_realism(commands: Any) -> None:
    """Add `josh realism`."""
    text = "measure how far simulated users can be told from people; needs scikit-learn"
    realism = commands.add_parser("realism", help=text)
    realism.set_defaults(command="realism")
    realism.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folders of runs of one world")
    realism.add_argument(
        "--corpus",
        "--data",
        dest="corpus",
        type=Path,
        metavar="DIR",
        help="folder with the world's conversations of people (default: as in the run)",
    )
    realism.add_argument("--split", help="split of the people (default: that of the first run)")
    realism.add_argument(
        "--trained_on",
        default="",
        help="training data of the users' models: runs, export manifests or adapters, separated by commas; their "
        "people must not be compared (the data of the models' own adapters is always checked)",
    )
    realism.add_argument(
        "--out", type=Path, metavar="FOLDER", help="folder to write (default: realism in the first run)"
    )
    realism.add_argument("--seed", type=int, default=0, help="seed of the draws and intervals (default: 0)")
    add_trust(realism)
    add_json(realism)


def _add_grpo(methods: Any, world: Mapping[str, Any] | None) -> None:
    """Add `josh train grpo`: its own flags, and those of `josh run` for the world."""
    text = "learn from the model's own conversations, on policy (GRPO)"
    own = methods.add_parser(
        "grpo",
        help=text,
        description=f"{text[0].upper()}{text[1:]}. The settings of `josh run` give the world, its tasks, the user and "
        "the rewards; the agent's temperature is 1.",
        usage="josh train grpo [FLAGS]",
        argument_default=argparse.SUPPRESS,
    )
    own.set_defaults(command="train_grpo")
    if world is None:
        return
    schema = schema_of(world, strategies=(ROLLOUTS,))
    own.set_defaults(schema=schema)
    own.add_argument("--config", type=Path, default=None, metavar="FILE", help="TOML file with these settings")
    add_settings(own, GRPO, dict.fromkeys(GRPO), title="training")
    add_settings(own, schema, without=(*GRPO, *NOT_FOR_GRPO, *schema.of("strategy")))


def _add_training(methods: Any) -> None:
    """Add `josh train sft|dpo|kto` for local models, and `josh train openai` for hosted models."""
    for name, text in METHODS.items():
        tuning = methods.add_parser(name, help=text, description=text, argument_default=argparse.SUPPRESS)
        tuning.set_defaults(command="train", method=name, schema=TRAINING)
        # The help shows no defaults: presets replace those of the settings classes.
        add_settings(tuning, TRAINING, dict.fromkeys(TRAINING))
        tuning.add_argument(
            "--use_wandb", dest="report_to", action="store_const", const="wandb", help="the same as --report_to wandb"
        )
        tuning.add_argument("--wandb_project", default=None, help="its project (default: WANDB_PROJECT, else josh)")
        tuning.add_argument("--config", type=Path, default=None, metavar="FILE", help="TOML file with these settings")

    hosted = methods.add_parser("openai", help="fine-tune a hosted model with OpenAI's API")
    hosted.set_defaults(command="train_openai")
    hosted.add_argument(
        "--data",
        "--training_file",
        dest="data",
        type=Path,
        help="file from `josh export --format openai-sft` or `openai-dpo`",
    )
    hosted.add_argument("--model", help="the model to fine-tune, such as gpt-4.1-mini-2025-04-14")
    hosted.add_argument("--validation_file", type=Path, help="file of held-out rows, on which the service measures")
    hosted.add_argument(
        "--out",
        "--output",
        "--output_dir",
        dest="out",
        type=Path,
        default=Path(),
        help="folder for josh_openai_job.json (default: the current one)",
    )
    hosted.add_argument(
        "--method", dest="openai_method", choices=("sft", "dpo"), default="sft", help="training method (default: sft)"
    )
    hosted.add_argument("--suffix", help="text to add to the fine-tuned model's name")
    hosted.add_argument("--price", type=float, help="dollars per million training tokens, to show the cost")
    hosted.add_argument("--epochs", type=int, help="number of epochs (default: the service chooses)")
    hosted.add_argument("--batch_size", type=int, help="rows per training step (default: the service chooses)")
    hosted.add_argument(
        "--learning_rate_multiplier",
        type=float,
        help="factor of the service's learning rate (default: the service chooses)",
    )
    hosted.add_argument(
        "--beta",
        type=float,
        help="for dpo: how close the model stays to the original one (default: the service chooses)",
    )
    hosted.add_argument("--seed", type=int, help="random seed of the job")
    hosted.add_argument("--base_url", help="address of the API (default: OPENAI_BASE_URL, else OpenAI)")
    hosted.add_argument("--api_key_var", help="environment variable with the key (default: OPENAI_API_KEY)")
    hosted.add_argument("--yes", action="store_true", help="start the job without asking for confirmation")
    hosted.add_argument("--no_monitor", action="store_true", help="start the job, and do not wait for its end")
    hosted.add_argument("--follow", metavar="JOB_ID", help="wait for a job that was started before")
    hosted.add_argument(
        "--poll_seconds", type=float, default=30.0, help="maximum seconds between status requests (default: 30)"
    )
    hosted.add_argument(
        "--max_retry_seconds",
        type=float,
        default=600.0,
        help="seconds to retry failing requests without an answer before giving up (default: 600)",
    )
