"""The command line: `josh run` (which the bare flags mean as well) and the other commands, one function each."""

import argparse
import asyncio
import logging
import os
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from types import UnionType
from typing import Any, NoReturn, get_args

from josh.errors import FatalError, UsageError
from josh.runs.loop_settings import LOOP_FIELDS, NOT_FOR_LOOPS, loop_settings
from josh.runs.redact import redactor
from josh.runs.settings import FIELDS, NOT_FOR_PLAY, RunSettings, again, environment, read_toml, recorded, resolve
from josh.runs.train_settings import METHODS, TRAIN_FIELDS, resolve_training


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code.

    0: done. 1: a run that failed, or scored nothing. 2: bad input. 130: Ctrl-C. 143: SIGTERM.
    """
    arguments = list(map(_underscored, sys.argv[1:] if argv is None else argv))
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in {"-h", "--help", "--version"}):
        arguments.insert(0, "run")
    args = _parser().parse_args(arguments)
    try:
        code = int(args.command(args))
        sys.stdout.flush()
        return code
    except (UsageError, FatalError) as error:
        print(f"josh: {redactor(environment())(str(error))}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        print("josh: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has read enough; the interpreter must not try to flush the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except asyncio.CancelledError:
        print("josh: terminated", file=sys.stderr)
        return 143


def _underscored(argument: str) -> str:
    """`--beam-size=8` as `--beam_size=8`: both spellings of every flag work."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return f"--{name[2:].replace('-', '_')}{equals}{value}"


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"josh: {message}; see josh --help\n")


def _run(args: argparse.Namespace) -> int:
    from josh.runs.casting import env_class
    from josh.runs.run import calm_collector, dry_run, read_config, run

    flags = {name: value for name, value in vars(args).items() if name in FIELDS}
    given = (read_toml(args.config) if args.config else {}) | flags
    if args.resume:
        settings = again(recorded(read_config(args.resume)["settings"], args.resume), given, args.resume)
    else:
        settings = resolve(given, env_class(given.get("env", FIELDS["env"].default)).defaults(environment()))
    _log(settings.debug, settings.josh_debug)
    if args.dry_run:
        print(dry_run(settings))
        return 0
    calm_collector()
    return 0 if asyncio.run(run(settings, args.resume)) else 1


def _log(debug: bool, talkative: bool) -> None:
    """Have warnings, and what else is asked for, written to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_FewOfEach())
    handler.setFormatter(_Redacting("josh: %(message)s"))
    level = logging.DEBUG if debug else logging.INFO if talkative else logging.WARNING
    logging.basicConfig(handlers=[handler], force=True)
    logging.getLogger("josh").setLevel(level)


def _replay(args: argparse.Namespace) -> int:
    from josh.runs.replay import replay

    _log(debug=False, talkative=False)
    return 0 if asyncio.run(replay(args.run, args.log_dir)) else 1


class _Redacting(logging.Formatter):
    """Keeps keys out of the log."""

    def format(self, record: logging.LogRecord) -> str:
        return redactor(environment())(super().format(record))


class _FewOfEach(logging.Filter):
    """Lets a warning through three times; an endpoint that is down would write thousands. All are counted on disk."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: Counter[str] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        reason = str(record.args[-1]) if isinstance(record.args, tuple) and record.args else record.getMessage()
        self._seen[reason] += 1
        if self._seen[reason] == 3:
            record.msg = f"{record.msg} (more of these are only counted)"
        return self._seen[reason] <= 3


def _rescore(args: argparse.Namespace) -> int:
    from josh.runs.rescore import rescore
    from josh.runs.run import calm_collector

    calm_collector()
    return 0 if rescore(args.folder, {name: value for name, value in vars(args).items() if name in FIELDS}) else 1


def _export(args: argparse.Namespace) -> int:
    from josh.runs.check import check
    from josh.runs.export import choose, export, tell

    if args.check:
        if args.runs or args.format or args.out:
            raise UsageError("--check takes a file alone; leave out the runs, --format and --out")
        problems = list(islice(check(args.check), 5))
        print(*problems or [f"{args.check}: sound"], sep="\n", file=sys.stderr if problems else sys.stdout)
        return 1 if problems else 0
    for name in ("runs", "format", "out"):
        if not getattr(args, name):
            raise UsageError(f"no {name} given; as in: josh export records/<run> --format sft --out sft.jsonl")
    choice = choose(args.format, args.paths, args.top, args.min_margin)
    tell(export(args.runs, args.out, args.format, choice, args.seed), args.out)
    return 0


def _evaluate(args: argparse.Namespace) -> int:
    from josh.runs.evaluate import Wanted, evaluate, resume
    from josh.runs.run import calm_collector

    flags = {name: value for name, value in vars(args).items() if name in FIELDS}
    given = (read_toml(args.config) if args.config else {}) | flags
    apart = {name: getattr(args, f"baseline_{name}") for name in ("agent", "base_url", "api_key_var", "temperature")}
    baseline = {name: value for name, value in ({"model": args.baseline} | apart).items() if value is not None}
    trained_on = tuple(map(Path, filter(None, args.trained_on.split(","))))
    trained_users = tuple(filter(None, map(str.strip, args.trained_users.split(","))))
    _log(given.get("debug", False), given.get("josh_debug", False))
    calm_collector()
    if args.resume:
        if baseline or trained_on or trained_users or args.no_references:
            raise UsageError(f"{args.resume} says what is played, and what was trained on; leave that out")
        return 0 if asyncio.run(resume(args.resume, given, args.groups)) else 1
    wanted = Wanted(baseline, not args.no_references, trained_on, trained_users)
    return 0 if asyncio.run(evaluate(given, wanted, args.groups)) else 1


def _loop(args: argparse.Namespace) -> int:
    from josh.runs.loop import do_stage, loop, resume

    flags = {name: value for name, value in vars(args).items() if name in {**FIELDS, **LOOP_FIELDS}}
    given = (read_toml(args.config, {**FIELDS, **LOOP_FIELDS}) if args.config else {}) | flags
    own = {name: given.pop(name) for name in LOOP_FIELDS if name in given}
    _log(given.get("debug", False), given.get("josh_debug", False))
    if args.stage:
        do_stage(args.resume, args.stage, given)
    elif args.resume:
        changed = next((name for name in own if name != "jobs"), None)
        if changed:
            raise UsageError(f"{changed} is given; {args.resume} has it already, leave it out or begin a new loop")
        resume(args.resume, given, main, own.get("jobs"))
    else:
        loop(loop_settings(own), given, main)
    return 0


def _compare(args: argparse.Namespace) -> int:
    from josh.runs.compare import compare

    compare(args.folders, args.out, args.groups)
    return 0


def _report(args: argparse.Namespace) -> int:
    from josh.runs.report import report, tell
    from josh.runs.run import calm_collector

    calm_collector()
    tell(report(args.folders, args.out))
    return 0


def _show(args: argparse.Namespace) -> int:
    from josh.runs.show import show

    show(args.run, args.task, args.width, full=args.full)
    return 0


def _plot(args: argparse.Namespace) -> int:
    from josh.runs.plot import plot

    print(f"written to      {plot(args.paths, args.out, args.kind)}")
    return 0


def _play(args: argparse.Namespace) -> int:
    from josh.runs.play import play_settings
    from josh.runs.run import run

    flags = {name: value for name, value in vars(args).items() if name in FIELDS}
    given = (read_toml(args.config) if args.config else {}) | flags
    settings = play_settings(given, args.side)
    _log(settings.debug, settings.josh_debug)
    return 0 if asyncio.run(run(settings)) else 1


def _prepare(args: argparse.Namespace) -> int:
    from josh.runs.prepare import prepare

    limits = args.train_limit, args.test_limit
    counts = prepare(args.corpus, args.output_dir, args.split, args.split_rule, *limits, args.include_bad)
    for split, count in counts.items():
        print(f"{args.output_dir / f'{split}_tasks.jsonl'}: {count} tasks")
    return 0


def _tiny(args: argparse.Namespace) -> int:
    from josh.runs.tiny import Tiny, build

    made = build(args.out, Tiny(args.size, args.seed, args.torch_threads), force=args.force, progress=True)
    figures = f"{made['parameters']:,} parameters, loss {made['loss']:.2f} after {made['steps']} steps"
    print(f"{args.out}: {figures}, made in {made['seconds']:.0f} s; use it with --model hf:{args.out}")
    return 0


def _train(args: argparse.Namespace) -> int:
    from josh.runs.train import train

    flags = {name: value for name, value in vars(args).items() if name in TRAIN_FIELDS}
    given = (read_toml(args.config, TRAIN_FIELDS) if args.config else {}) | flags
    try:
        train(args.method, resolve_training(args.method, given))
    except (UsageError, FatalError):
        if environment().get("RANK", "0") != "0":
            return 1  # the first of several processes says it
        raise
    return 0


def _train_openai(args: argparse.Namespace) -> int:
    from josh.runs.train_openai import Service, follow, train_openai

    for name in ("data", "model"):
        if not args.follow and not getattr(args, name):
            raise UsageError(f"no {name} is given; give --{name}, or --follow with a job's id")
    for name in ("poll_seconds", "price", "epochs", "batch_size", "learning_rate_multiplier", "beta"):
        if getattr(args, name) is not None and not getattr(args, name) > 0:
            raise UsageError(f"{name} is {getattr(args, name)}; give a number above 0")
    service = Service(args.base_url, args.api_key_var, environment(), args.poll_seconds, args.max_retry_seconds)
    try:
        if args.follow:
            follow(service, args.follow, args.out)
            return 0
        given = {
            "n_epochs": args.epochs,
            "batch_size": args.batch_size,
            "learning_rate_multiplier": args.learning_rate_multiplier,
            "beta": args.beta,
        }
        train_openai(
            service,
            data=args.data,
            model=args.model,
            out=args.out,
            method=args.openai_method,
            suffix=args.suffix,
            price=args.price,
            hyperparameters={name: value for name, value in given.items() if value is not None},
            seed=args.seed,
            yes=args.yes,
        )
    finally:
        service.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="josh",
        description="Teach a dialogue agent from its own best conversations.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and stop")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    run = commands.add_parser(
        "run",
        help="play tasks, searching with --josh, and record them (the default command)",
        argument_default=argparse.SUPPRESS,
    )
    run.set_defaults(command=_run)
    for name, one in FIELDS.items():
        _add_flag(run, name, one.type, f"{one.metadata['help']}{_default(one.default)}", one.metadata["aliases"])
    run.add_argument("--config", type=Path, default=None, metavar="FILE", help="TOML file with any of these settings")
    run.add_argument(
        "--resume", type=Path, default=None, metavar="RUN", help="go on with a run, by its folder; it has every setting"
    )
    run.add_argument("--dry_run", action="store_true", default=False, help="print the settings and stop")

    parser.epilog = f"Flags without a command mean `run`, as in: josh --beam_size 8 --josh\n\n{run.format_help()}"

    replay = commands.add_parser("replay", help="play a run again from its journal, without any endpoint")
    replay.set_defaults(command=_replay)
    replay.add_argument("run", type=Path, help="the run's folder")
    replay.add_argument("--log_dir", type=Path, help="where the new run's folder is made (default: beside the old one)")

    rescore = commands.add_parser(
        "rescore",
        help="write a recorded run anew under another reward, without model calls",
        argument_default=argparse.SUPPRESS,
    )
    rescore.set_defaults(command=_rescore)
    rescore.add_argument("folder", type=Path, metavar="RUN", help="the run's folder, such as records/<run>")
    rescore.add_argument("--rewards", help="what counts (default: as in the run)")
    rescore.add_argument("--min_reward", type=float, help="smallest reward that counts (default: as in the run)")
    rescore.add_argument("--log_dir", help="where the new folder is made (default: beside the run's)")

    export = commands.add_parser("export", help="write training files from recorded runs, or check one")
    export.set_defaults(command=_export)
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

    _add_evaluation(commands)

    prepare = commands.add_parser("prepare", help="write train_tasks.jsonl and test_tasks.jsonl from the real corpus")
    prepare.set_defaults(command=_prepare)
    prepare.add_argument("--corpus", "--corpus_path", type=Path, required=True, help="corpus folder")
    prepare.add_argument("--output_dir", type=Path, required=True, help="where the files go")
    prepare.add_argument("--split", choices=("train", "test", "both"), default="both", help="which (default: both)")
    prepare.add_argument("--split_rule", default=RunSettings.split_rule, help="convokit, annotated or user_disjoint")
    prepare.add_argument("--include_bad", action="store_true", help="keep the dialogues marked as spoilt")
    prepare.add_argument("--train_limit", type=int, help="most training tasks")
    prepare.add_argument("--test_limit", type=int, help="most test tasks")

    tiny = commands.add_parser("tiny", help="make a small language model of our own, to learn with where there is none")
    tiny.set_defaults(command=_tiny)
    tiny.add_argument("--out", type=Path, required=True, help="the model's folder; made anew only where it has to be")
    tiny.add_argument("--size", default="small", help="small (half a million parameters), or nano for tests")
    tiny.add_argument("--seed", type=int, default=0, help="every random choice follows from it (default: 0)")
    tiny.add_argument("--torch_threads", type=int, default=1, help="threads to work with (default: 1)")
    tiny.add_argument("--force", action="store_true", help="make it anew in any case")
    train = commands.add_parser("train", help="tune a model on exported rows: train sft, dpo, kto or openai")
    _add_training(train.add_subparsers(title="methods", metavar="METHOD", required=True))
    for add in (_add_loop, _add_terminal):
        add(commands)
    return parser


def _add_terminal(commands: Any) -> None:
    """`josh show`, `josh play` and `josh plot`: what people look at, and take part in."""
    show = commands.add_parser("show", help="print a run's tasks, or the tree of one of them")
    show.set_defaults(command=_show)
    show.add_argument("run", type=Path, metavar="RUN", help="the run's folder, such as records/<run>")
    show.add_argument("task", nargs="?", metavar="TASK", help="a task, by id or by number (default: list them)")
    show.add_argument("--width", type=int, help="columns to write in (default: the terminal's)")
    show.add_argument("--full", action="store_true", help="whole texts, and what only the agent saw")

    play = commands.add_parser(
        "play",
        help="take part in a conversation yourself, on either side, and have it recorded",
        argument_default=argparse.SUPPRESS,
    )
    play.set_defaults(command=_play)
    play.add_argument(
        "--as",
        dest="side",
        default="user",
        metavar="SIDE",
        help="user or agent, or what the environment calls them: persuadee or persuader (default: user)",
    )
    play.add_argument("--config", type=Path, default=None, metavar="FILE", help="TOML file with any of these settings")
    for name, one in FIELDS.items():
        if name not in NOT_FOR_PLAY:
            _add_flag(play, name, one.type, f"{one.metadata['help']}{_default(one.default)}", one.metadata["aliases"])

    plot = commands.add_parser("plot", help="draw loops, runs and evaluations; needs matplotlib")
    plot.set_defaults(command=_plot)
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
    loop.set_defaults(command=_loop)
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
    evaluate.set_defaults(command=_evaluate)
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
        help="runs, export manifests or adapters, by commas, whose tasks and people must not be met (those behind the "
        "models' own adapters are looked for in any case)",
    )
    evaluate.add_argument(
        "--trained_users", default="", help="user models trained against, by commas, if no run says so"
    )
    evaluate.add_argument("--groups", action="store_true", default=False, help="show the breakdown by groups of people")
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
    compare.set_defaults(command=_compare)
    compare.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="an evaluation's or a run's folder")
    compare.add_argument("--out", type=Path, help="JSON file for all numbers")
    compare.add_argument("--groups", action="store_true", help="show the breakdown by groups of people")

    report = commands.add_parser("report", help="write a run's report.html anew, or set two runs against each other")
    report.set_defaults(command=_report)
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
        tuning.set_defaults(command=_train, method=name)
        for setting, one in TRAIN_FIELDS.items():
            _add_flag(tuning, setting, one.type, one.metadata["help"], one.metadata["aliases"])
        tuning.add_argument("--config", type=Path, default=None, metavar="FILE", help="TOML file with these settings")

    hosted = methods.add_parser("openai", help="fine-tune a hosted model by OpenAI's API")
    hosted.set_defaults(command=_train_openai)
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
        from josh.runs.run import version

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
