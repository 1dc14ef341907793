"""What the command line understands: every command with its flags.

The flags of settings come from the settings classes (`josh.config`). Those of plug-ins depend on which plug-ins the
command line, its TOML file or the run that it goes on with choose, so the arguments are looked through for that first.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING
from pathlib import Path
from typing import Any, NoReturn

from josh.config import NOTHING, Schema, Setting
from josh.errors import UsageError
from josh.runs.evaluate.settings import BASELINE, EVALUATION_DEFAULTS, NOT_FOR_EVALUATIONS
from josh.runs.loop.settings import LOOP, LOOP_DEFAULTS, NOT_FOR_LOOPS
from josh.runs.record.settings_json import settings_in_folder
from josh.runs.registry import BEAM, COMMANDS, DEFAULT_ENV, ROLES, ROLLOUTS, system_command
from josh.runs.resolve import read_toml
from josh.runs.settings import JOSH, NOT_FOR_PLAY, PARTS, choices_of, core, schema_of
from josh.runs.train.settings import METHODS, TRAINING
from josh.terminal import in_a_line


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the whole usage; takes no abbreviations, which read like other flags."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"josh: {in_a_line(message)}; see josh --help\n")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """What a command line says: the command's name in `command`, and its settings' schema in `schema`, if it has one.

    Raises:
        UsageError: a flag belongs to a plug-in that is not chosen, or a chosen one cannot be loaded. Everything else
            that is wrong is printed, and ends the process.
    """
    arguments = list(map(_spelled, arguments))
    parser = make_parser(arguments)
    args, rest = parser.parse_known_args(arguments)
    if rest:
        parser.error(_unknown(rest, getattr(args, "schema", None)))
    return args


def make_parser(arguments: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The parser of all commands, with the flags of the plug-ins that some arguments choose. Raises UsageError."""
    parser = _Parser(
        prog="josh",
        description="Teach a dialogue agent from its own best conversations.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and stop")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    command = arguments[0] if arguments else ""
    chosen = _choices(arguments) if command in _ADD else {}
    # Help without any choice shows what every run has, and waits for no class that nobody asked about.
    sides = bool(chosen) or (bool(arguments) and not {"-h", "--help"} & set(arguments))
    for name, (about, add) in _ADD.items():
        own = commands.add_parser(name, help=about, argument_default=argparse.SUPPRESS)
        own.set_defaults(command=name)
        # Only the command that is given needs its flags; without one, the help shows those of `run`.
        if name == command:
            add(own, chosen, sides)
        elif name == "run" and command in {"", "-h", "--help"}:
            add(own, {}, False)
            parser.epilog = (
                f"Flags without a command mean `run`, as in: josh --beam_size 8 --josh\n\n{own.format_help()}"
            )
    for add_more in (_add_records, _add_schema, _add_evaluation, _add_terminal):
        add_more(commands)
    _add_models(commands, training=command == "train")
    return parser


def _spelled(argument: str) -> str:
    """`--beam-size=8` as `--beam_size=8`, and `--agent.temperature` as `--temperature`: all of them work."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument[2:].partition("=")
    one = core().find(name) if "." in name else None
    return f"--{name.replace('-', '_') if one is None else one.flag}{equals}{value}"


def _unknown(rest: Sequence[str], schema: Schema | None) -> str:
    """What to say of arguments that no flag takes. Raises UsageError where a plug-in that is not chosen has it."""
    told = f"unrecognized arguments: {' '.join(rest)}"
    flag = next((one[2:].partition("=")[0] for one in rest if one.startswith("--")), "")
    if not flag or schema is None:
        return told
    why = schema.refusal(flag)
    if " is given, but " in why:
        raise UsageError(why)
    near = schema.near(flag)
    return f"{told}; did you mean --{near}?" if near else told


def _choices(arguments: Sequence[str]) -> dict[str, Any]:
    """The plug-ins and models that arguments choose: by flags, by a TOML file, or by the run that they go on with."""
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
    for name, value in (read_toml(config) if config else {}).items():
        one = core().find(name)
        if one is not None and one.flag in known:
            found[one.flag] = value
    found |= flags
    for name in ("agent", "user"):  # an evaluation takes several users
        if isinstance(found.get(name), str):
            found[name] = found[name].partition(",")[0].strip()
    return found


def _strategies(chosen: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The strategies whose settings a run takes; both of ours where none is chosen."""
    return None if chosen.get("strategy") or chosen.get(JOSH) else (BEAM, ROLLOUTS)


def _add_run(run: argparse.ArgumentParser, chosen: Mapping[str, Any], sides: bool) -> None:
    """`josh run`."""
    schema = schema_of(chosen, strategies=_strategies(chosen), sides=sides)
    run.set_defaults(schema=schema)
    run.add_argument("--config", type=Path, default=None, metavar="FILE", help="TOML file with any of these settings")
    run.add_argument(
        "--resume", type=Path, default=None, metavar="RUN", help="go on with a run, by its folder; it has every setting"
    )
    run.add_argument("--dry_run", action="store_true", default=False, help="print the settings and stop")
    _add_settings(run, schema)


def _add_play(play: argparse.ArgumentParser, chosen: Mapping[str, Any], sides: bool) -> None:
    """`josh play`."""
    schema = schema_of(chosen, strategies=_strategies(chosen), sides=sides)
    play.set_defaults(schema=schema)
    play.add_argument(
        "--as",
        dest="side",
        default="user",
        metavar="SIDE",
        help="user or agent, or what the environment calls them (default: user)",
    )
    play.add_argument("--config", type=Path, default=None, metavar="FILE", help="TOML file with any of these settings")
    # Those that make no sense are understood all the same, and refused with the reason.
    _add_settings(play, schema, hidden=(*NOT_FOR_PLAY, *schema.of("strategy")))


def _add_evaluate(evaluate: argparse.ArgumentParser, chosen: Mapping[str, Any], sides: bool) -> None:
    """`josh evaluate`."""
    evaluate.description = (
        "Every setting of `josh run` but the search's holds for all models; `--user` and `--user_model` may be several "
        "by commas, and each is reported apart."
    )
    schema = schema_of(chosen, strategies=(ROLLOUTS,), sides=sides)
    evaluate.set_defaults(schema=schema)
    _add_settings(evaluate, BASELINE, dict.fromkeys(BASELINE), title="baseline")
    evaluate.add_argument(
        "--no_references", action="store_true", default=False, help="leave the reference policies out"
    )
    evaluate.add_argument(
        "--trained_on",
        default="",
        help="runs, loops, export manifests or adapters, by commas, whose tasks and people must not be met (those "
        "behind the models' own adapters are looked for in any case)",
    )
    evaluate.add_argument(
        "--trained_users", default="", help="user models trained against, by commas, if no run says so"
    )
    evaluate.add_argument("--groups", action="store_true", default=False, help="show the breakdown by group")
    evaluate.add_argument(
        "--config", type=Path, default=None, metavar="FILE", help="TOML file with settings of the runs"
    )
    evaluate.add_argument("--resume", type=Path, default=None, metavar="FOLDER", help="go on with an evaluation")
    _add_settings(evaluate, schema, EVALUATION_DEFAULTS, without=NOT_FOR_EVALUATIONS)


def _add_loop(loop: argparse.ArgumentParser, chosen: Mapping[str, Any], sides: bool) -> None:
    """`josh loop`."""
    searches = (chosen.get("strategy") or BEAM, ROLLOUTS)
    schema = schema_of(chosen, strategies=searches, sides=sides, further=LOOP.values())
    loop.set_defaults(schema=schema)
    _add_settings(loop, LOOP)
    loop.add_argument("--config", type=Path, default=None, metavar="FILE", help="TOML file with any of these settings")
    loop.add_argument("--resume", type=Path, default=None, metavar="FOLDER", help="go on with a loop, by its folder")
    loop.add_argument("--stage", default=None, help=argparse.SUPPRESS)
    _add_settings(loop, schema, LOOP_DEFAULTS, without=(*NOT_FOR_LOOPS, *LOOP))


def _add_rescore(rescore: argparse.ArgumentParser, chosen: Mapping[str, Any], sides: bool) -> None:
    """`josh rescore`."""
    schema = schema_of(chosen, sides=sides, missing=("agent", "user"))
    rescore.set_defaults(schema=schema)
    rescore.add_argument("folder", type=Path, metavar="RUN", help="the run's folder, such as records/<run>")
    judge = [flag for flag, one in core().items() if one.path[:1] == ("judge",)]
    own = ("rewards", *schema.of("rewards"), *judge, "log_dir")
    defaults = dict.fromkeys(own, "as in the run") | {"log_dir": "beside the run's"}
    _add_settings(rescore, {name: schema[name] for name in own}, defaults)


_ADD = {
    "run": ("play tasks, searching with --josh, and record them (the default command)", _add_run),
    "play": ("take part in a conversation yourself, on either side, and have it recorded", _add_play),
    "evaluate": ("play models on held-out tasks, paired, with intervals", _add_evaluate),
    "loop": ("search, export, train and evaluate, round after round", _add_loop),
    "rescore": ("write a recorded run anew under another reward, without a call to either speaker", _add_rescore),
}
"""The commands with settings of runs: what they are for, and what adds their flags."""


def _add_records(commands: Any) -> None:
    """`josh replay` and `josh export`, for records, and `josh prepare`, for tasks."""
    replay = commands.add_parser("replay", help="play a run again from its journal, without any endpoint")
    replay.set_defaults(command="replay")
    replay.add_argument("run", type=Path, help="the run's folder")
    replay.add_argument("--log_dir", type=Path, help="where the new run's folder is made (default: beside the old one)")

    export = commands.add_parser("export", help="write training files from recorded runs, or check one")
    export.set_defaults(command="export")
    export.add_argument("runs", type=Path, nargs="*", metavar="RUN", help="the runs' folders, such as records/<run>")
    export.add_argument("--format", help="sft, kto, dpo, openai-sft, openai-dpo, chatml or sharegpt")
    export.add_argument("--out", type=Path, metavar="FILE", help="the file to write; FILE.manifest.json goes beside it")
    export.add_argument(
        "--learner", default="agent", help="whose turns become rows, as its model is trained on them: agent or user"
    )
    export.add_argument("--paths", help="golden, successful or lost (default: golden; of pairs successful)")
    export.add_argument(
        "--top", type=int, help="most successful paths of a task, the best ones, or lost ones of a tree (default: all)"
    )
    export.add_argument(
        "--min_margin", type=float, help="of pairs: least difference in reward, in its unit (default: 0.01)"
    )
    export.add_argument(
        "--seed", type=int, default=core()["seed"].default, help="shuffles the rows of kto (default: 10)"
    )
    export.add_argument("--check", type=Path, metavar="FILE", help="say what is wrong with an exported file")

    for name in COMMANDS:
        command = system_command(name)
        own = commands.add_parser(name, help=command.help)
        own.set_defaults(command=name)
        command.add_flags(own)


def _add_schema(commands: Any) -> None:
    """`josh schema`."""
    schema = commands.add_parser("schema", help="print what the files of a run hold, as JSON Schema")
    schema.set_defaults(command="schema")
    text = "episodes, training_examples, config or summary (default: all of them)"
    schema.add_argument("file", nargs="?", metavar="FILE", help=text)


def _add_models(commands: Any, *, training: bool) -> None:
    """`josh tiny`, and `josh train`, whose flags are only added for `training`."""
    tiny = commands.add_parser("tiny", help="make a small language model of our own, to learn with where there is none")
    tiny.set_defaults(command="tiny")
    tiny.add_argument("--out", type=Path, required=True, help="the model's folder; made anew only where it has to be")
    tiny.add_argument("--size", default="small", help="small (half a million parameters), or nano for tests")
    tiny.add_argument("--env", default=DEFAULT_ENV, help=f"world that it learns from (default: {DEFAULT_ENV})")
    tiny.add_argument("--seed", type=int, default=0, help="every random choice follows from it (default: 0)")
    tiny.add_argument("--torch_threads", type=int, default=1, help="threads to work with (default: 1)")
    tiny.add_argument("--force", action="store_true", help="make it anew in any case")

    train = commands.add_parser("train", help="tune a model on exported rows: train sft, dpo, kto or openai")
    if training:
        _add_training(train.add_subparsers(title="methods", metavar="METHOD", required=True))


def _add_terminal(commands: Any) -> None:
    """`josh show` and `josh plot`: what people look at."""
    show = commands.add_parser("show", help="print a run's tasks, or the tree of one of them")
    show.set_defaults(command="show")
    show.add_argument("run", type=Path, metavar="RUN", help="the run's folder, such as records/<run>")
    show.add_argument("task", nargs="?", metavar="TASK", help="a task, by id or by number (default: list them)")
    show.add_argument("--width", type=int, help="columns to write in (default: the terminal's)")
    show.add_argument("--full", action="store_true", help="whole texts, and what only the agent saw")

    plot = commands.add_parser("plot", help="draw loops, runs and evaluations; needs matplotlib")
    plot.set_defaults(command="plot")
    plot.add_argument("paths", type=Path, nargs="+", metavar="FOLDER", help="of a run, an evaluation or a loop")
    plot.add_argument("--out", type=Path, metavar="FILE", help=".png, .svg or .pdf (default: KIND.png)")
    plot.add_argument(
        "--kind",
        choices=("rounds", "turns", "pareto"),
        help="reward by round of training (default for a loop), when conversations are won (default for a run), or "
        "reward against model calls (default for several, and for an evaluation)",
    )


def _add_evaluation(commands: Any) -> None:
    """`josh compare` and `josh report`."""
    compare = commands.add_parser(
        "compare", help="set evaluations, or runs, against each other on the tasks they share"
    )
    compare.set_defaults(command="compare")
    compare.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="an evaluation's or a run's folder")
    compare.add_argument("--out", type=Path, help="JSON file for all numbers")
    compare.add_argument("--groups", action="store_true", help="show the breakdown by group")

    report = commands.add_parser("report", help="write a run's report.html anew, or set two runs against each other")
    report.set_defaults(command="report")
    report.add_argument(
        "folders", type=Path, nargs="+", metavar="RUN", help="a run's folder, one with runs in it, or two runs'"
    )
    report.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="the page (default: report.html, or report-vs-RUN.html, in the first folder)",
    )


def _add_training(methods: Any) -> None:
    """`josh train sft|dpo|kto` for local models, `josh train openai` for hosted ones."""
    for name, text in METHODS.items():
        tuning = methods.add_parser(name, help=text, description=text, argument_default=argparse.SUPPRESS)
        tuning.set_defaults(command="train", method=name, schema=TRAINING)
        # Presets have other numbers than the classes.
        _add_settings(tuning, TRAINING, dict.fromkeys(TRAINING))
        tuning.add_argument("--config", type=Path, default=None, metavar="FILE", help="TOML file with these settings")

    hosted = methods.add_parser("openai", help="fine-tune a hosted model by OpenAI's API")
    hosted.set_defaults(command="train_openai")
    hosted.add_argument("--data", type=Path, help="file of `josh export --format openai-sft` or `openai-dpo`")
    hosted.add_argument("--model", help="the model to tune, such as gpt-4.1-mini-2025-04-14")
    hosted.add_argument("--out", type=Path, required=True, help="folder for josh_openai_job.json")
    hosted.add_argument("--method", dest="openai_method", choices=("sft", "dpo"), default="sft", help="(default: sft)")
    hosted.add_argument("--suffix", help="goes into the tuned model's name")
    hosted.add_argument("--price", type=float, help="dollars per million training tokens, to show the cost")
    hosted.add_argument("--epochs", type=int, help="times that every row is seen (default: the service chooses)")
    hosted.add_argument("--batch_size", type=int, help="rows to a step (default: the service chooses)")
    hosted.add_argument("--learning_rate_multiplier", type=float, help="(default: the service chooses)")
    hosted.add_argument("--beta", type=float, help="dpo: how strongly the model is held (default: the service chooses)")
    hosted.add_argument("--seed", type=int, help="the job's seed")
    hosted.add_argument("--base_url", help="address of the API (default: OPENAI_BASE_URL, else OpenAI)")
    hosted.add_argument("--api_key_var", help="environment variable with the key (default: OPENAI_API_KEY)")
    hosted.add_argument("--yes", action="store_true", help="start without asking")
    hosted.add_argument("--follow", metavar="JOB_ID", help="follow a job that was started before")
    hosted.add_argument("--poll_seconds", type=float, default=30.0, help="longest pause between looks (default: 30)")
    hosted.add_argument("--max_retry_seconds", type=float, default=600.0, help="longest silence (default: 600)")


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
    """Add flags for settings, under the titles of their parts.

    Args:
        parser: takes the flags.
        schema: the settings.
        defaults: other defaults that the help shows; None for none.
        hidden: flags that are understood, and not in the help.
        without: flags that are left out.
        title: the title of them all.
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
    """A setting as a flag."""
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
    """One text, or a JSON list."""
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
