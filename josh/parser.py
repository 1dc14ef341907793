"""The command-line parser: every command with its flags.

The flags of settings come from the settings classes (`josh.config`). The flags of plug-ins depend on the chosen
plug-ins, so a command line is parsed in two steps:

1. `_choices` reads only the choice of plug-ins: from flags, from the TOML file, or from the run that is resumed.
2. `make_parser` adds the flags of these plug-ins, and parses everything.
"""

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from josh.config import NOTHING, Schema, Setting
from josh.errors import UsageError
from josh.runs.evaluate.settings import BASELINE, EVALUATION_DEFAULTS, NOT_FOR_EVALUATIONS
from josh.runs.loop.settings import LOOP, LOOP_DEFAULTS, NOT_FOR_LOOPS
from josh.runs.record.settings_json import settings_in_folder
from josh.runs.registry import BEAM, COMMANDS, DEFAULT_ENV, ROLES, ROLLOUTS, system_command
from josh.runs.resolve import as_published, read_toml
from josh.runs.settings import JOSH, NOT_FOR_PLAY, PARTS, choices_of, core, schema_of
from josh.runs.train.settings import METHODS, TRAINING
from josh.terminal import in_a_line


def _path(given: str) -> Path:
    """Returns a path of the command line; refuses an empty text, such as that of a variable that is not set."""
    if not given:
        raise argparse.ArgumentTypeError("the path is empty; give one, or leave it out")
    if "\0" in given:
        raise argparse.ArgumentTypeError(f"the path {given!r} has a null character")
    return Path(given)


class _Parser(argparse.ArgumentParser):
    """Prints an error in one line, without the usage; refuses abbreviations, which could stand for another flag."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "allow_abbrev": False})
        self.register("type", Path, _path)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parses as usual, and adds `known_flags`: the flags of the innermost command."""
        found, rest = super().parse_known_args(args, namespace)
        if not hasattr(found, "known_flags"):
            found.known_flags = [one for one in self._option_string_actions if one.startswith("--")]
        return found, rest

    def error(self, message: str) -> NoReturn:
        message = _with_command(message)
        self.exit(2, f"josh: {in_a_line(message)}; see josh --help\n")


_WRONG_COMMAND = re.compile(r"argument (COMMAND|METHOD): invalid choice: '?(.*?)'? \(choose from (.*)\)$")
_WITH_VALUE = re.compile(r"argument (--[\w.]+).*: ignored explicit argument (.*)$")
_WRONG_VALUE = re.compile(r"argument (--[\w.]+).*: invalid (int|float) value: (.*)$")


def _with_command(message: str) -> str:
    """Returns argparse's message about a command or a number in josh's form."""
    if found := _WRONG_VALUE.match(message):
        flag, kind, value = found.groups()
        return (
            f"argument {flag}: invalid {kind} value: {value}; give {'a whole number' if kind == 'int' else 'a number'}"
        )
    if found := _WITH_VALUE.match(message):
        return f"{found[1]} takes no value, but {found[2]} is given; leave the value out"
    found = _WRONG_COMMAND.match(message)
    if found is None:
        return message
    kind, name, known = found[1].lower(), found[2], re.findall(r"[\w-]+", found[3])
    if name == "resume":
        return "no command named 'resume'; give josh --resume RUN"
    near = get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"
    return f"no {kind} named {name!r}{hint}"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Returns the parsed command line: the command's name in `command`, the schema of its settings in `schema`, if any.

    Raises:
        UsageError: a flag belongs to a plug-in that is not chosen, or a chosen plug-in cannot be loaded.
        SystemExit: anything else is wrong, with exit code 2 and a message on stderr; or --help or --version is given.
    """
    arguments = list(map(_spelled, arguments))
    parser = make_parser(arguments)
    args, rest = parser.parse_known_args(arguments)
    args.spelled = _names_in(arguments)
    if rest:
        parser.error(_unknown(rest, args.command, getattr(args, "schema", None), args.known_flags))
    return args


def make_parser(arguments: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Returns the parser of all commands, with the flags of the plug-ins that the arguments choose.

    Raises:
        UsageError: a chosen plug-in cannot be loaded, or the TOML file cannot be read.
    """
    parser = _Parser(
        prog="josh",
        description="Teach a dialogue agent from its own best conversations.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and stop")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    command = arguments[0] if arguments else ""
    chosen = _choices(arguments) if command in _ADD else {}
    # Help without any choice shows the settings of every run, and saves the time to load the default plug-ins.
    sides = bool(chosen) or (bool(arguments) and not {"-h", "--help"} & set(arguments))
    for name, (about, add) in _ADD.items():
        usage = f"josh {name} [FLAGS]{' RUN' * (name == 'rescore')}"  # not the list of all flags, which the help has
        own = commands.add_parser(name, help=about, usage=usage, argument_default=argparse.SUPPRESS)
        own.set_defaults(command=name)
        if name == command:  # only the given command needs its flags
            add(own, chosen, sides)
    if command in {"", "-h", "--help"}:
        parser.epilog = _main_flags()
    for add_more in (_add_records, _add_schema, _add_evaluation, _add_terminal):
        add_more(commands)
    _add_models(commands, training=command == "train")
    return parser


_MAIN = (
    "josh", "beam_size", "env", "agent", "model", "base_url", "temperature", "user", "user_model", "end_index", "seed",
    "max_cost", "log_dir",
)  # fmt: skip
"""The flags of `josh run` that the help of all commands shows."""


def _main_flags() -> str:
    """Returns the text after the list of commands: the main flags of `josh run`."""
    parser = _Parser(usage=argparse.SUPPRESS, add_help=False, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.epilog = "All flags: josh run --help. Those of another command: josh COMMAND --help."
    schema = schema_of({}, strategies=(BEAM,), sides=False)
    shown = {flag: schema[flag] for flag in _MAIN}
    title = "main flags of run (without a command, flags mean run: josh --josh --beam_size 8)"
    _add_settings(parser, Schema(shown.values()), title=title)
    return parser.format_help()


def _spelled(argument: str) -> str:
    """Spell an argument as the parser does: `--beam-size=8` as `--beam_size=8`, `--agent.model` as `--model`."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument[2:].partition("=")
    one = core().find(name) if "." in name else None
    return f"--{name.replace('-', '_') if one is None else one.flag}{equals}{value}"


def _names_in(arguments: Sequence[str]) -> frozenset[str]:
    """Returns the names of the flags in some arguments, without hyphens and values."""
    return frozenset(one[2:].partition("=")[0] for one in arguments if one.startswith("--"))


_OTHER_NAMES = {
    "lr": "learning_rate",
    "output": "out",
    "output_dir": "out",
    "train_data": "data",
    "peft_dir": "model hf:BASE+ADAPTER",
    "eval_config": "config",
    "limit": "end_index",
    "n": "rollouts",
    "api_key": "api_key_var",
    "key": "api_key_var",
    "url": "base_url",
    "max_turns": "max_convo_turns",
    "concurrency": "max_concurrency",
    "max_new_tokens": "max_tokens",
}
"""Names that other tools give to a flag, and josh's name for it."""


def _near(name: str, known: Sequence[str]) -> str:
    """Returns the flag that an unknown name probably means, without hyphens; empty where none is near."""
    flags = {one[2:] for one in known}
    other = _OTHER_NAMES.get(name, "")
    if other.partition(" ")[0] in flags:
        return other
    longer = sorted(one for one in flags if len(name) > 2 and one.startswith(f"{name}_"))
    return next(iter([*longer, *get_close_matches(name, sorted(flags), n=1)]), "")


def _unknown(rest: Sequence[str], command: str, schema: Schema | None, known: Sequence[str]) -> str:
    """Returns the error message for unknown arguments. Raises UsageError where a plug-in not chosen has the flag."""
    message = f"unrecognized arguments: {' '.join(rest)}"
    flag = next((one[2:].partition("=")[0] for one in rest if one.startswith("--")), "")
    if not flag:
        return message
    if schema is not None:
        if schema.find(flag) is not None:
            raise UsageError(f"{flag} is given, but `josh {command}` does not take it; leave it out")
        why = schema.refusal(flag)
        if " is given, but " in why:
            raise UsageError(why)
    if near := _near(flag, known):
        return f"{message}; did you mean --{near}?"
    trained = TRAINING.find(_OTHER_NAMES.get(flag, flag))
    return message if trained is None else f"{message}; `josh train` has --{trained.flag}"


def _choices(arguments: Sequence[str]) -> dict[str, Any]:
    """Returns the plug-ins and models that the arguments choose: by flag, else by TOML file, else by a recorded run."""
    peek = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    known = [*ROLES, JOSH, "model", "user_model"]
    _add_settings(peek, {name: core()[name] for name in known})
    peek.add_argument("--config", type=Path)
    peek.add_argument("--resume", type=Path)
    flags = vars(peek.parse_known_args(arguments)[0])
    resumed, config = flags.pop("resume", None), flags.pop("config", None)
    if arguments[0] == "rescore":
        resumed = next(filter(Path.is_dir, map(Path, arguments[1:])), None)
    found: dict[str, Any] = {}
    if resumed and (settings := settings_in_folder(resumed)) is not None:
        found |= choices_of(settings)
    in_file = read_toml(config) if config else {}
    for name, value in in_file.items():
        one = core().find(name)
        if one is not None and one.flag in known:
            found[one.flag] = value
    found |= flags
    if not resumed:
        found, _ = as_published(found, _names_in(arguments) | set(in_file))
    several = ("model",) if arguments[0] == "evaluate" else ()
    for name in ("agent", "user", *several):  # an evaluation may have several; the first one chooses the flags
        if isinstance(found.get(name), str):
            found[name] = found[name].partition(",")[0].strip()
    return found


def _strategies(chosen: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Returns the strategies whose flags a run shows: `beam` and `rollouts` where none is chosen, else None."""
    return None if chosen.get("strategy") or chosen.get(JOSH) else (BEAM, ROLLOUTS)


def _add_trust(command: Any, *, plays: bool = False) -> None:
    """Add `--trust`, where `plays` is true for a command that plays or scores a recorded run."""
    text = "run the code that a recorded run names"
    more = ", and send keys to the addresses that it names: for runs that you know"
    command.add_argument("--trust", action="store_true", default=False, help=text + more * plays)


def _add_run(run: argparse.ArgumentParser, chosen: Mapping[str, Any], sides: bool) -> None:
    """Add the flags of `josh run`."""
    schema = schema_of(chosen, strategies=_strategies(chosen), sides=sides)
    run.set_defaults(schema=schema)
    run.add_argument("--config", type=Path, default=None, metavar="FILE", help="TOML file with any of these settings")
    run.add_argument(
        "--resume", type=Path, default=None, metavar="RUN", help="continue the run in this folder, with its settings"
    )
    _add_trust(run, plays=True)
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
    _add_settings(run, schema)


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
    _add_settings(play, schema, hidden=(*NOT_FOR_PLAY, *schema.of("strategy")))


def _add_evaluate(evaluate: argparse.ArgumentParser, chosen: Mapping[str, Any], sides: bool) -> None:
    """Add the flags of `josh evaluate`."""
    evaluate.description = (
        "The settings of `josh run`, except those of the search, apply to all models. `--model`, `--user` and "
        "`--user_model` may be several, separated by commas: every model plays with every user."
    )
    schema = schema_of(chosen, strategies=(ROLLOUTS,), sides=sides)
    evaluate.set_defaults(schema=schema)
    _add_settings(evaluate, BASELINE, dict.fromkeys(BASELINE), title="baseline")
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
    evaluate.add_argument("--groups", action="store_true", default=False, help="print the results by group")
    _add_json(evaluate)
    evaluate.add_argument(
        "--config", type=Path, default=None, metavar="FILE", help="TOML file with settings of the runs"
    )
    evaluate.add_argument("--resume", type=Path, default=None, metavar="FOLDER", help="continue this evaluation")
    _add_trust(evaluate, plays=True)
    _add_settings(evaluate, schema, EVALUATION_DEFAULTS, without=NOT_FOR_EVALUATIONS)


def _add_loop(loop: argparse.ArgumentParser, chosen: Mapping[str, Any], sides: bool) -> None:
    """Add the flags of `josh loop`."""
    searches = (chosen.get("strategy") or BEAM, ROLLOUTS)
    schema = schema_of(chosen, strategies=searches, sides=sides, further=LOOP.values())
    loop.set_defaults(schema=schema)
    _add_settings(loop, LOOP)
    loop.add_argument("--config", type=Path, default=None, metavar="FILE", help="TOML file with any of these settings")
    loop.add_argument("--resume", type=Path, default=None, metavar="FOLDER", help="continue the loop in this folder")
    _add_trust(loop, plays=True)
    loop.add_argument("--stage", default=None, help=argparse.SUPPRESS)
    _add_settings(loop, schema, LOOP_DEFAULTS, without=(*NOT_FOR_LOOPS, *LOOP))


def _add_rescore(rescore: argparse.ArgumentParser, chosen: Mapping[str, Any], sides: bool) -> None:
    """Add the flags of `josh rescore`."""
    schema = schema_of(chosen, sides=sides, missing=("agent", "user"))
    rescore.set_defaults(schema=schema)
    rescore.add_argument("folder", type=Path, metavar="RUN", help="the run's folder, such as records/<run>")
    _add_trust(rescore, plays=True)
    judge = [flag for flag, one in core().items() if one.path[:1] == ("judge",)]
    own = ("rewards", *schema.of("rewards"), *judge, "log_dir")
    defaults = dict.fromkeys(own, "as in the run") | {"log_dir": "beside the run's"}
    _add_settings(rescore, {name: schema[name] for name in own}, defaults)


_ADD = {
    "run": ("play tasks and record them, with a search if --josh is given (the default command)", _add_run),
    "play": ("take one side of a conversation yourself, and record it", _add_play),
    "evaluate": ("compare models on the same held-out tasks, with confidence intervals", _add_evaluate),
    "loop": ("repeat rounds of search, export, training and evaluation", _add_loop),
    "rescore": ("rewrite a recorded run under another reward, without calls to agent or user", _add_rescore),
}
"""The commands that have the settings of runs: the help text of each, and the function that adds its flags."""


def _add_records(commands: Any) -> None:
    """Add `josh replay`, `josh export`, and the commands of published systems, such as `josh prepare`."""
    replay = commands.add_parser("replay", help="replay a run from its journal, without model calls")
    replay.set_defaults(command="replay")
    replay.add_argument("run", type=Path, help="the run's folder")
    _add_trust(replay)
    replay.add_argument(
        "--log_dir", type=Path, help="directory in which the new run's folder is created (default: beside the old one)"
    )

    export = commands.add_parser("export", help="write training files from recorded runs, or check such a file")
    export.set_defaults(command="export")
    export.add_argument("runs", type=Path, nargs="*", metavar="RUN", help="the runs' folders, such as records/<run>")
    export.add_argument(
        "--format",
        help="sft, kto, dpo, openai-sft, openai-dpo, chatml, sharegpt, sharegpt-kto or sharegpt-dpo; or inspect, a "
        "log for inspect_ai's viewer",
    )
    export.add_argument("--out", type=Path, metavar="FILE", help="the file to write, with FILE.manifest.json beside it")
    export.add_argument(
        "--learner", default="agent", help="the speaker to train, whose turns become rows: agent or user"
    )
    export.add_argument(
        "--paths", help="paths to export: golden, successful or lost (default: golden; for pairs successful)"
    )
    export.add_argument(
        "--top",
        type=int,
        help="maximum number of successful paths of a task, best first, or of lost paths of a tree (default: all)",
    )
    export.add_argument(
        "--min_margin", type=float, help="for pairs: minimum difference in reward, in its unit (default: 0.01)"
    )
    export.add_argument(
        "--seed", type=int, default=core()["seed"].default, help="for kto: seed that shuffles the rows (default: 10)"
    )
    export.add_argument("--check", type=Path, metavar="FILE", help="check an exported file and print what is wrong")

    for name in COMMANDS:
        command = system_command(name)
        own = commands.add_parser(name, help=command.help)
        own.set_defaults(command=name)
        command.add_flags(own)


def _add_schema(commands: Any) -> None:
    """Add `josh schema`."""
    schema = commands.add_parser("schema", help="print the format of a run's files as JSON Schema")
    schema.set_defaults(command="schema")
    text = "episodes, training_examples, config or summary (default: all)"
    schema.add_argument("file", nargs="?", metavar="FILE", help=text)


def _add_models(commands: Any, *, training: bool) -> None:
    """Add `josh tiny` and `josh train`; the methods and flags of `josh train` only where `training` is true."""
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

    train = commands.add_parser("train", help="fine-tune a model on exported rows: train sft, dpo, kto or openai")
    if training:
        _add_training(train.add_subparsers(title="methods", metavar="METHOD", required=True))


def _add_terminal(commands: Any) -> None:
    """Add `josh show` and `josh plot`."""
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
    _add_trust(show)
    show.add_argument("--width", type=int, help="width in columns (default: the terminal's)")
    show.add_argument("--full", action="store_true", help="print whole texts, and the messages only the agent saw")
    show.add_argument(
        "--actions",
        action="store_true",
        help="print which acts, tools and instructions stand on winning and losing branches, with siblings as control",
    )
    _add_json(show)

    plot = commands.add_parser("plot", help="plot loops, runs and evaluations; needs matplotlib")
    plot.set_defaults(command="plot")
    plot.add_argument("paths", type=Path, nargs="+", metavar="FOLDER", help="folder of a run, an evaluation or a loop")
    _add_trust(plot)
    plot.add_argument(
        "--out", type=Path, metavar="FILE", help="the picture to write: .png, .svg or .pdf (default: KIND.png)"
    )
    plot.add_argument(
        "--kind",
        choices=("rounds", "turns", "pareto"),
        help="rounds: reward by training round (default for a loop); turns: when conversations are won (default for a "
        "run); pareto: reward against model calls (default for an evaluation and for several folders)",
    )


def _add_json(command: Any) -> None:
    command.add_argument("--json", action="store_true", default=False, help="print one JSON object, and nothing else")


def _add_evaluation(commands: Any) -> None:
    """Add `josh compare` and `josh report`."""
    compare = commands.add_parser("compare", help="compare evaluations, or runs, on the tasks that they share")
    compare.set_defaults(command="compare")
    compare.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="folder of an evaluation or a run")
    compare.add_argument("--out", type=Path, help="JSON file to write all numbers to")
    _add_trust(compare)
    compare.add_argument("--groups", action="store_true", help="print the results by group")
    _add_json(compare)

    report = commands.add_parser("report", help="rewrite a report.html, list all runs on a page, or compare two runs")
    report.set_defaults(command="report")
    report.add_argument(
        "folders",
        type=Path,
        nargs="+",
        metavar="RUN",
        help="folder of a run, an evaluation or a loop, a folder of these such as records, or the folders of two runs",
    )
    _add_trust(report)
    report.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="the page to write (default: report.html, or report-vs-RUN.html, in the first folder)",
    )


def _add_training(methods: Any) -> None:
    """Add `josh train sft|dpo|kto` for local models, and `josh train openai` for hosted models."""
    for name, text in METHODS.items():
        tuning = methods.add_parser(name, help=text, description=text, argument_default=argparse.SUPPRESS)
        tuning.set_defaults(command="train", method=name, schema=TRAINING)
        # The help shows no defaults: presets replace those of the settings classes.
        _add_settings(tuning, TRAINING, dict.fromkeys(TRAINING))
        tuning.add_argument("--config", type=Path, default=None, metavar="FILE", help="TOML file with these settings")

    hosted = methods.add_parser("openai", help="fine-tune a hosted model with OpenAI's API")
    hosted.set_defaults(command="train_openai")
    hosted.add_argument("--data", type=Path, help="file from `josh export --format openai-sft` or `openai-dpo`")
    hosted.add_argument("--model", help="the model to fine-tune, such as gpt-4.1-mini-2025-04-14")
    hosted.add_argument("--out", type=Path, required=True, help="folder for josh_openai_job.json")
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


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from josh.runs.record.folder import version

        print(f"josh {version('josh-dialogue')}")
        parser.exit()


def _add_settings(
    parser: Any,
    schema: Mapping[str, Setting],
    defaults: Mapping[str, Any] = NOTHING,
    *,
    hidden: Sequence[str] = (),
    without: Sequence[str] = (),
    title: str = "",
) -> None:
    """Add flags for settings, grouped under the titles of their parts.

    Args:
        parser: gets the flags.
        schema: the settings.
        defaults: defaults that the help shows instead of the settings' own, by flag; None to show none.
        hidden: flags that the parser accepts and the help omits.
        without: flags to leave out.
        title: one title for all of them; empty to use the titles of the parts.
    """
    groups: dict[str, Any] = {}
    known = schema if isinstance(schema, Schema) else Schema(schema.values())
    for flag, one in schema.items():
        if flag in without:
            continue
        heading = title or PARTS.get(one.path[0] if one.path else "strategy", "")
        if heading and heading not in groups:
            groups[heading] = parser.add_argument_group(heading)
        text = one.rule.help
        if flag in defaults:
            text = f"{text.partition(' (default')[0]}{_default(defaults[flag])}"
        else:
            text += _default(one.default)
        names = [one.dotted] if one.of_plug_in and one.dotted != flag and known.find(one.dotted) is one else []
        _add_flag(
            groups.get(heading, parser),
            [f"--{name}" for name in (flag, *names, *one.rule.aliases)],
            one,
            argparse.SUPPRESS if flag in hidden else text.replace("%", "%%"),
        )


def _add_flag(parser: Any, names: Sequence[str], one: Setting, text: str) -> None:
    """Add the flag of one setting."""
    if one.kind is bool and one.default is not True:
        parser.add_argument(*names, dest=one.flag, action="store_true", help=text)
        return
    metavar = {tuple: "TEXT", dict: "JSON", Path: "PATH"}.get(one.kind, one.kind.__name__.upper())
    kind = {bool: _truth, tuple: _items, dict: _object, Path: str}.get(one.kind, one.kind)
    parser.add_argument(*names, dest=one.flag, type=kind, metavar=metavar, help=text)


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text == "true"


def _items(text: str) -> Any:
    """Returns a text unchanged, or the list where the text is a JSON list."""
    if not text.startswith("["):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a JSON list: {error}") from None


def _object(text: str) -> Any:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError(f"{text!r} is not a JSON object")
    return found


def _default(value: object) -> str:
    nothing = value is None or value is False or value is MISSING or value in ("", ()) or value == {}
    return "" if nothing else f" (default: {value})"
