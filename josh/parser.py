"""What the command line understands: every command with its flags."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from types import UnionType
from typing import Any, NoReturn, get_args

from josh.runs.loop.settings import LOOP_FIELDS, NOT_FOR_LOOPS
from josh.runs.registry import COMMANDS, system_command
from josh.runs.settings import FIELDS, NOT_FOR_PLAY, RunSettings
from josh.runs.train.settings import METHODS, TRAIN_FIELDS
from josh.terminal import in_a_line


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the whole usage; takes no abbreviations, which read like other flags."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"josh: {in_a_line(message)}; see josh --help\n")


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands; what it finds holds the command's name in `command`."""
    parser = _Parser(
        prog="josh",
        description="Teach a dialogue agent from its own best conversations.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and stop")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    run = _add_run(commands)
    parser.epilog = f"Flags without a command mean `run`, as in: josh --beam_size 8 --josh\n\n{run.format_help()}"
    for add in (_add_records, _add_schema, _add_evaluation, _add_models, _add_loop, _add_terminal):
        add(commands)
    return parser


def _add_run(commands: Any) -> argparse.ArgumentParser:
    """`josh run`."""
    run: argparse.ArgumentParser = commands.add_parser(
        "run",
        help="play tasks, searching with --josh, and record them (the default command)",
        argument_default=argparse.SUPPRESS,
    )
    run.set_defaults(command="run")
    for name, one in FIELDS.items():
        _add_flag(run, name, one.type, f"{one.metadata['help']}{_default(one.default)}", one.metadata["aliases"])
    run.add_argument("--config", type=Path, default=None, metavar="FILE", help="TOML file with any of these settings")
    run.add_argument(
        "--resume", type=Path, default=None, metavar="RUN", help="go on with a run, by its folder; it has every setting"
    )
    run.add_argument("--dry_run", action="store_true", default=False, help="print the settings and stop")
    return run


def _add_records(commands: Any) -> None:
    """`josh replay`, `josh rescore` and `josh export`, for records, and the commands of single systems."""
    replay = commands.add_parser("replay", help="play a run again from its journal, without any endpoint")
    replay.set_defaults(command="replay")
    replay.add_argument("run", type=Path, help="the run's folder")
    replay.add_argument("--log_dir", type=Path, help="where the new run's folder is made (default: beside the old one)")

    rescore = commands.add_parser(
        "rescore",
        help="write a recorded run anew under another reward, without model calls",
        argument_default=argparse.SUPPRESS,
    )
    rescore.set_defaults(command="rescore")
    rescore.add_argument("folder", type=Path, metavar="RUN", help="the run's folder, such as records/<run>")
    rescore.add_argument("--rewards", help="what counts (default: as in the run)")
    rescore.add_argument("--min_reward", type=float, help="smallest reward that counts (default: as in the run)")
    rescore.add_argument("--log_dir", help="where the new folder is made (default: beside the run's)")

    export = commands.add_parser("export", help="write training files from recorded runs, or check one")
    export.set_defaults(command="export")
    export.add_argument("runs", type=Path, nargs="*", metavar="RUN", help="the runs' folders, such as records/<run>")
    export.add_argument("--format", help="sft, kto, dpo, openai-sft, openai-dpo, chatml or sharegpt")
    export.add_argument("--out", type=Path, metavar="FILE", help="the file to write; FILE.manifest.json goes beside it")
    export.add_argument("--paths", help="golden, successful or lost (default: golden; of pairs successful)")
    export.add_argument(
        "--top", type=int, help="most successful paths of a task, the best ones, or lost ones of a tree (default: all)"
    )
    export.add_argument(
        "--min_margin", type=float, help="of pairs: least difference in reward, in its unit (default: 0.01)"
    )
    export.add_argument("--seed", type=int, default=RunSettings.seed, help="shuffles the rows of kto (default: 10)")
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


def _add_models(commands: Any) -> None:
    """`josh tiny` and `josh train`."""
    tiny = commands.add_parser("tiny", help="make a small language model of our own, to learn with where there is none")
    tiny.set_defaults(command="tiny")
    tiny.add_argument("--out", type=Path, required=True, help="the model's folder; made anew only where it has to be")
    tiny.add_argument("--size", default="small", help="small (half a million parameters), or nano for tests")
    tiny.add_argument("--env", default=RunSettings.env, help=f"world that it learns from (default: {RunSettings.env})")
    tiny.add_argument("--seed", type=int, default=0, help="every random choice follows from it (default: 0)")
    tiny.add_argument("--torch_threads", type=int, default=1, help="threads to work with (default: 1)")
    tiny.add_argument("--force", action="store_true", help="make it anew in any case")

    train = commands.add_parser("train", help="tune a model on exported rows: train sft, dpo, kto or openai")
    _add_training(train.add_subparsers(title="methods", metavar="METHOD", required=True))


def _add_terminal(commands: Any) -> None:
    """`josh show`, `josh play` and `josh plot`: what people look at, and take part in."""
    show = commands.add_parser("show", help="print a run's tasks, or the tree of one of them")
    show.set_defaults(command="show")
    show.add_argument("run", type=Path, metavar="RUN", help="the run's folder, such as records/<run>")
    show.add_argument("task", nargs="?", metavar="TASK", help="a task, by id or by number (default: list them)")
    show.add_argument("--width", type=int, help="columns to write in (default: the terminal's)")
    show.add_argument("--full", action="store_true", help="whole texts, and what only the agent saw")

    play = commands.add_parser(
        "play",
        help="take part in a conversation yourself, on either side, and have it recorded",
        argument_default=argparse.SUPPRESS,
    )
    play.set_defaults(command="play")
    play.add_argument(
        "--as",
        dest="side",
        default="user",
        metavar="SIDE",
        help="user or agent, or what the environment calls them (default: user)",
    )
    play.add_argument("--config", type=Path, default=None, metavar="FILE", help="TOML file with any of these settings")
    for name, one in FIELDS.items():
        # Those that make no sense are understood all the same, and refused with the reason.
        told = argparse.SUPPRESS if name in NOT_FOR_PLAY else f"{one.metadata['help']}{_default(one.default)}"
        _add_flag(play, name, one.type, told, one.metadata["aliases"])

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


def _add_loop(commands: Any) -> None:
    about = "search, export, train and evaluate, round after round"
    loop = commands.add_parser("loop", help=about, argument_default=argparse.SUPPRESS)
    loop.set_defaults(command="loop")
    for name, one in LOOP_FIELDS.items():
        _add_flag(loop, name, one.type, f"{one.metadata['help']}{_default(one.default)}", one.metadata["aliases"])
    loop.add_argument("--config", type=Path, default=None, metavar="FILE", help="TOML file with any of these settings")
    loop.add_argument("--resume", type=Path, default=None, metavar="FOLDER", help="go on with a loop, by its folder")
    loop.add_argument("--stage", default=None, help=argparse.SUPPRESS)
    other = {"rollouts": 3, "temperature": 1.0, "max_concurrency": 64, "stop": "best"}
    runs = loop.add_argument_group("settings of its runs (see josh run)")
    for name, one in FIELDS.items():
        if name not in NOT_FOR_LOOPS:
            text = one.metadata["help"].partition(" (default")[0] if name in other else one.metadata["help"]
            _add_flag(runs, name, one.type, f"{text}{_default(other.get(name, one.default))}", one.metadata["aliases"])


def _add_evaluation(commands: Any) -> None:
    """`josh evaluate`, `josh compare` and `josh report`."""
    evaluate = commands.add_parser(
        "evaluate",
        help="play models on held-out tasks, paired, with intervals",
        description="Every setting of `josh run` but the search's holds for all models; `--user` and `--user_model` "
        "may be several by commas, and each is reported apart.",
        argument_default=argparse.SUPPRESS,
    )
    evaluate.set_defaults(command="evaluate")
    for flag, text in {
        "--baseline": "chat model to compare with, or `offline`; what is not said of it is as for the model",
        "--baseline_agent": "its agent",
        "--baseline_base_url": "its address",
        "--baseline_api_key_var": "environment variable with its key",
    }.items():
        evaluate.add_argument(flag, default=None, help=text)
    evaluate.add_argument("--baseline_temperature", type=float, default=None, help="its sampling temperature")
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
    other = {"rollouts": 3, "temperature": 1.0, "task_split": "test"}
    for name, one in FIELDS.items():
        if name not in {"josh", "beam_size"}:
            text = one.metadata["help"].partition(" (default")[0] if name in other else one.metadata["help"]
            shown = f"{text}{_default(other.get(name, one.default))}"
            _add_flag(evaluate, name, one.type, shown, one.metadata["aliases"])

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
        tuning.set_defaults(command="train", method=name)
        for setting, one in TRAIN_FIELDS.items():
            _add_flag(tuning, setting, one.type, one.metadata["help"], one.metadata["aliases"])
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


def _add_flag(parser: Any, name: str, kind: Any, text: str, aliases: Sequence[str]) -> None:
    """A setting as a flag, under its name and its aliases."""
    names = [f"--{one}" for one in (name, *aliases)]
    text = text.replace("%", "%%")
    if kind is bool:
        parser.add_argument(*names, dest=name, action="store_true", help=text)
        return
    base = get_args(kind)[0] if isinstance(kind, UnionType) else kind
    parser.add_argument(*names, dest=name, type=base, metavar=base.__name__.upper(), help=text)


def _default(value: object) -> str:
    return "" if value is None or value is False else f" (default: {value})"
