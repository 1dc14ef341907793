"""The command line: one function for each command. Flags without a command mean `josh run`."""

import argparse
import asyncio
import json
import logging
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from errno import EBADF, EIO, ENOSPC
from functools import partial
from pathlib import Path
from typing import Any

from josh.config import NOTHING
from josh.errors import FatalError, UsageError
from josh.memory import relax_gc
from josh.parser import parse
from josh.redact import redactor
from josh.runs.evaluate.settings import BASELINE, apart
from josh.runs.loop.settings import LOOP, loop_settings
from josh.runs.play.signals import cancelled_error_on_signals
from josh.runs.play.trusted import trust_of
from josh.runs.race.settings import RACE, RaceSettings
from josh.runs.registry import system_command
from josh.runs.resolve import as_published, defaults_of, read_toml, resolve, resume_settings
from josh.runs.settings import RunSettings, core, environment
from josh.runs.train.grpo_settings import GRPO, NOT_FOR_GRPO, resolve_grpo
from josh.runs.train.settings import refuse_unread_by, resolve_training
from josh.terminal import in_a_line, visible
from josh.trust import trusting


def main(argv: Sequence[str] | None = None, typed: Mapping[str, str] = NOTHING) -> int:
    """Run a command, and return its exit code.

    Args:
        argv: the arguments after the program's name; None for those of the process.
        typed: the names by which another command was given the settings, by their flags.

    Returns:
        0: success. 1: the run failed, or scored no task. 2: wrong input. 130: Ctrl-C. 143: SIGTERM.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in {"-h", "--help", "--version"}):
        arguments.insert(0, "run")
    for stream in ("stdout", "stderr"):
        if getattr(sys, stream) is None:  # the parent process closed it
            setattr(sys, stream, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
    if "HUGGINGFACE_TOKEN" in os.environ:  # an earlier name, which the libraries of the hub do not read
        os.environ.setdefault("HF_TOKEN", os.environ["HUGGINGFACE_TOKEN"])
    settings: Mapping[str, Any] = {}
    try:
        # A command with an event loop has its own handlers while that runs.
        with trusting(trust_of(arguments)), cancelled_error_on_signals():
            args = parse(arguments)
            settings = vars(args)
            code = (COMMANDS.get(args.command) or _system)(args)
        sys.stdout.flush()
        return code
    except (UsageError, FatalError, MemoryError) as error:
        full = "the memory is used up; give josh more, or a run a smaller max_concurrency"
        text = full if isinstance(error, MemoryError) else _as_typed(str(error), {**settings.get("typed", {}), **typed})
        print(f"josh: {in_a_line(redactor(environment(), settings)(text))}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        print("josh: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        _drop_output()  # the reader of the output is gone, as with `| head`
        return 1
    except OSError as error:
        if error.errno not in (ENOSPC, EIO, EBADF) or error.filename is not None:
            raise
        with suppress(OSError):  # a plug-in may have closed it
            _drop_output()
        print(f"josh: cannot write to stdout: {error.strerror}", file=sys.stderr)
        return 2
    except asyncio.CancelledError:
        print("josh: terminated", file=sys.stderr)
        return 143


def _system(args: argparse.Namespace) -> int:
    """Run a command of a published system; it may run other commands by `args.main`."""
    _log(vars(args))
    args.main = main
    return system_command(args.command).run(args)


def _as_typed(message: str, typed: Mapping[str, str]) -> str:
    """Returns an error message with a setting's name as it was typed, such as `agent.stop` instead of `stop_at`.

    The name is the message's first word, or follows `no` or `cannot write to`.
    """
    before, flag, rest = re.fullmatch(r"(no |cannot write to |)(\S*)(.*)", message, re.DOTALL).groups()  # type: ignore[union-attr]
    return f"{before}{typed.get(flag, flag)}{rest}"


def _drop_output() -> None:
    """Redirect stdout to the null device, so that the interpreter does not fail to flush it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _given(args: argparse.Namespace) -> dict[str, Any]:
    """Returns the settings from the TOML file and the flags; flags win. Raises UsageError."""
    flags = {name: value for name, value in vars(args).items() if name in args.schema}
    config = getattr(args, "config", None)
    in_file = read_toml(config) if config else {}
    given = {**args.schema.read(in_file, f"{config}: "), **args.schema.read(flags)}
    if getattr(args, "resume", None):
        return given
    given, said = as_published(given, args.spelled | set(in_file))
    for line in said:
        print(f"josh: {line}", file=sys.stderr)
    return given


def _run(args: argparse.Namespace) -> int:
    from josh.runs.play.run import dry_run, unasked
    from josh.runs.record.folder import RUN, read_settings, require_played, require_resumable

    given = _given(args)
    _require_recorded(args)
    if args.resume:
        require_resumable(args.resume, RUN)
        require_played(args.resume, "resume")
        before = read_settings(args.resume)
        settings = resume_settings(before, given, args.resume, unasked(args.resume, before) if given else ())
    else:
        settings = resolve(given, defaults_of(given))
    _log(core().flat(settings))
    if args.sample is not None:
        return _sampled(settings, args, given)
    if args.dry_run:
        config, expected = dry_run(settings, given)
        print(config)
        print(f"josh: estimate: {expected}", file=sys.stderr)
        return 0
    relax_gc()
    return _played(settings, given, args.resume)


def _require_recorded(args: argparse.Namespace) -> None:
    """Raises UsageError where `--trust` is given without a recorded run."""
    if args.trust and not args.resume:
        raise UsageError("trust is given, but no recorded run is; leave it out, or give --resume with the run")


def _sampled(settings: RunSettings, args: argparse.Namespace, given: Mapping[str, Any]) -> int:
    """Play the first tasks of a run, and print the estimate of the whole run. Raises UsageError."""
    from josh.runs.play.run import run
    from josh.runs.report.ending import print_broken_off, print_sample

    if args.sample < 1:
        raise UsageError(f"sample is {args.sample}; give 1 or more")
    if args.resume is not None:
        raise UsageError(
            f"sample is given with --resume; `josh show {args.resume}` has the cost of its tasks, leave it out"
        )
    if args.dry_run:
        raise UsageError(f"sample is {args.sample} with --dry_run, which plays nothing; leave one of them out")
    relax_gc()
    result = asyncio.run(run(settings, first=args.sample, given=given, broken_off=print_broken_off))
    print_sample(result)
    return 0 if result.summary["scored"] or result.stopped else 1


def _played(settings: RunSettings, given: Mapping[str, Any], resumed: Path | None = None) -> int:
    from josh.runs.play.run import run
    from josh.runs.report.ending import print_broken_off, print_run

    result = asyncio.run(run(settings, resumed, given=given, broken_off=print_broken_off))
    print_run(result)
    return 0 if result.worked else 1


def _log(settings: Mapping[str, Any]) -> None:
    """Log to stderr: josh's warnings; with `josh_debug` also information, and other packages'; with `debug` all."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_FewOfEach())
    if not (settings.get("debug") or settings.get("josh_debug")):
        handler.addFilter(logging.Filter("josh"))
    handler.setFormatter(_Redacting(settings))
    level = logging.DEBUG if settings.get("debug") else logging.INFO if settings.get("josh_debug") else logging.WARNING
    logging.basicConfig(handlers=[handler], force=True)
    logging.getLogger("josh").setLevel(level)


def _replay(args: argparse.Namespace) -> int:
    from josh.runs.play.replay import replay
    from josh.runs.report.ending import print_replayed

    _log({})
    replayed = asyncio.run(replay(args.run, args.log_dir))
    print_replayed(replayed)
    return 1 if replayed.differ else 0


class _Redacting(logging.Formatter):
    """Removes keys and terminal control characters from log messages."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__("josh: %(message)s")
        self._settings = settings

    def format(self, record: logging.LogRecord) -> str:
        return visible(redactor(environment(), self._settings)(super().format(record)))


class _FewOfEach(logging.Filter):
    """Passes each kind of warning three times, because an endpoint that is down would cause thousands.

    A warning with the attribute `once` passes once.

    `summary.json` still counts all retries.
    """

    def __init__(self) -> None:
        super().__init__()
        self._seen: Counter[str] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], KeyboardInterrupt):
            return False  # asyncio logs the task that a second Ctrl-C ended
        if record.levelno < logging.WARNING:
            return True
        if getattr(record, "once", False):
            self._seen[record.getMessage()] += 1
            return self._seen[record.getMessage()] == 1
        reason = str(record.args[-1]) if isinstance(record.args, tuple) and record.args else record.getMessage()
        self._seen[reason] += 1
        if getattr(record, "once", False):
            return self._seen[reason] == 1
        if self._seen[reason] == 3:
            record.msg = f"{record.msg} (further warnings like this are not shown)"
        return self._seen[reason] <= 3


def _rescore(args: argparse.Namespace) -> int:
    from josh.runs.play.rescore import rescore
    from josh.runs.report.ending import print_rescored

    relax_gc()
    rescored = asyncio.run(rescore(args.folder, _given(args)))
    print_rescored(rescored)
    return 0 if rescored.result.summary["scored"] else 1


def _import(args: argparse.Namespace) -> int:
    from josh.runs.imports.command import run_import

    _log({})
    relax_gc()
    return run_import(args, _given(args))


def _export(args: argparse.Namespace) -> int:
    from josh.runs.export.command import run_export

    return run_export(args)


def _schema(args: argparse.Namespace) -> int:
    from josh.runs.record.schema import json_schema

    print(json.dumps(json_schema(args.file), indent=2))
    return 0


def _evaluate(args: argparse.Namespace) -> int:
    from josh.runs.evaluate.evaluate import Printing, evaluate, resume_evaluation
    from josh.runs.evaluate.parts import EvaluationSpec, policies_in
    from josh.runs.evaluate.suites import given_to, suite_of
    from josh.runs.report.ending import write_page

    given = _given(args)
    _require_recorded(args)
    suite = None if args.suite is None else suite_of(args.suite)
    if args.file is not None and suite is None and not args.resume:
        raise UsageError(f"file is {args.file!r}, but no suite is given; give --suite")
    baseline = apart(BASELINE.read({name: value for name, value in vars(args).items() if name in BASELINE}))
    trained_on = tuple(map(Path, filter(None, args.trained_on.split(","))))
    printing = Printing(args.groups, args.json, args.output, partial(write_page, silent=args.json))
    trained_users = tuple(filter(None, map(str.strip, args.trained_users.split(","))))
    _log(given)
    relax_gc()
    if args.resume:
        own = (baseline, trained_on, trained_users, args.no_references, suite, args.policies, args.file, args.probe)
        if any(own):
            raise UsageError(f"{args.resume} records its models and training data; leave these flags out")
        return 0 if asyncio.run(resume_evaluation(args.resume, given, printing)) else 1
    if suite is not None:
        given = given_to(suite, given, args.file)
    elif args.output is not None:
        raise UsageError(f"output is {str(args.output)!r}, but no suite is given; evaluation.json has the numbers")
    policies = policies_in(args.policies)
    spec = EvaluationSpec(baseline, not args.no_references, trained_on, trained_users, suite, policies, args.probe)
    return 0 if asyncio.run(evaluate(given, spec, printing)) else 1


def _probe(args: argparse.Namespace) -> int:
    from josh.runs.probe.command import run_probe

    given = _given(args)
    _require_recorded(args)
    _log(given)
    relax_gc()
    return run_probe(given, args.resume, as_json=args.json)


def _race(args: argparse.Namespace) -> int:
    from josh.runs.race.race import race, resume_race

    given = _given(args)
    _require_recorded(args)
    own = RACE.read({name: value for name, value in vars(args).items() if name in RACE})
    _log(given)
    relax_gc()
    if args.resume:
        if own:
            raise UsageError(f"{next(iter(own))} is given, but {args.resume} records it; leave it out")
        return 0 if asyncio.run(resume_race(args.resume, given, as_json=args.json)) else 1
    return 0 if asyncio.run(race(given, RaceSettings(**own), as_json=args.json)) else 1


def _loop(args: argparse.Namespace) -> int:
    from josh.runs.loop.loop import do_stage, loop, resume_loop

    given = _given(args)
    _require_recorded(args)
    own = {name: given.pop(name) for name in LOOP if name in given}
    _log(given)
    if args.stage:
        do_stage(args.resume, args.stage, given)
    elif args.resume:
        changed = next((name for name in own if name != "jobs"), None)
        if changed:
            raise UsageError(f"{changed} is given, but {args.resume} records it; leave it out, or start a new loop")
        resume_loop(args.resume, given, main, own.get("jobs"))
    else:
        loop(loop_settings(own), given, main)
    return 0


def _compare(args: argparse.Namespace) -> int:
    from josh.runs.evaluate.compare import compare

    _log({})
    compare(args.folders, args.out, args.groups, args.json)
    return 0


def _realism(args: argparse.Namespace) -> int:
    from josh.runs.evaluate.realism.realism import Comparison, print_realism, realism

    _log({})
    relax_gc()
    trained_on = tuple(map(Path, filter(None, args.trained_on.split(","))))
    wanted = Comparison(
        runs=args.runs, data=args.corpus, split=args.split, trained_on=trained_on, out=args.out, seed=args.seed
    )
    print_realism(realism(wanted), as_json=args.json)
    return 0


def _report(args: argparse.Namespace) -> int:
    from josh.runs.report.report import print_pages, report

    _log({})
    relax_gc()
    print_pages(report(args.folders, args.out))
    return 0


def _show(args: argparse.Namespace) -> int:
    from josh.runs.report.show import show

    _log({})
    show(args.run, args.task, args.width, full=args.full, actions=args.actions, as_json=args.json)
    return 0


def _acts(args: argparse.Namespace) -> int:
    from josh.runs.report.acts_command import show_acts

    _log({})
    relax_gc()
    show_acts(args.runs, args.lens, args.min_tasks, args.width, groups=args.groups, as_json=args.json)
    return 0


def _plot(args: argparse.Namespace) -> int:
    from josh.runs.report.plot import plot

    _log({})
    print(f"written to      {plot(args.paths, args.out, args.kind)}")
    return 0


def _play(args: argparse.Namespace) -> int:
    from josh.runs.play.person import play_settings

    given = _given(args)
    settings = play_settings(given, args.side)
    _log(core().flat(settings))
    return _played(settings, given)


def _tiny(args: argparse.Namespace) -> int:
    from josh.runs.train.tiny import Tiny, build

    made = build(args.out, Tiny(args.size, args.seed, args.torch_threads, args.env), force=args.force, progress=True)
    figures = f"{made['parameters']:,} parameters, loss {made['loss']:.2f} after {made['steps']} steps"
    print(f"{args.out}: {figures}, made in {made['seconds']:.0f} s; use it with --model hf:{args.out}")
    return 0


def _train(args: argparse.Namespace) -> int:
    from josh.runs.train.train import train

    try:
        given = _given(args)
        refuse_unread_by(args.method, given)
        if args.wandb_project is not None:
            os.environ["WANDB_PROJECT"] = args.wandb_project
        train(args.method, resolve_training(args.method, given))
    except (UsageError, FatalError):
        if environment().get("RANK", "0") != "0":
            return 1  # only the first of several processes prints the error
        raise
    return 0


def _train_grpo(args: argparse.Namespace) -> int:
    from josh.runs.train.grpo import train_grpo

    in_file = read_toml(args.config) if args.config else {}
    own, world = ({name: value for name, value in in_file.items() if (name in GRPO) is mine} for mine in (True, False))
    own = {**GRPO.read(own, f"{args.config}: "), **{name: value for name, value in vars(args).items() if name in GRPO}}
    flags = {name: value for name, value in vars(args).items() if name in args.schema and name not in GRPO}
    world = {**args.schema.read(world, f"{args.config}: "), **args.schema.read(flags)}
    world, said = as_published(world, args.spelled | set(in_file))
    for line in said:
        print(f"josh: {line}", file=sys.stderr)
    refused = next((name for name in world if name in NOT_FOR_GRPO), None)
    if refused:
        raise UsageError(f"{refused} is given, but a training on policy does not take it; leave it out")
    _log({})
    try:
        train_grpo(resolve_grpo(own), world)
    except (UsageError, FatalError):
        if environment().get("RANK", "0") != "0":
            return 1  # only the first of several processes prints the error
        raise
    return 0


def _train_openai(args: argparse.Namespace) -> int:
    from josh.runs.train.openai_jobs import Service, follow, train_openai

    for name in ("data", "model"):
        if not args.follow and not getattr(args, name):
            raise UsageError(f"no {name} is given; give --{name}, or --follow with the id of a job")
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
            validation=args.validation_file,
            model=args.model,
            out=args.out,
            method=args.openai_method,
            suffix=args.suffix,
            price=args.price,
            hyperparameters={name: value for name, value in given.items() if value is not None},
            seed=args.seed,
            yes=args.yes,
            wait=not args.no_monitor,
        )
    finally:
        service.close()
    return 0


COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "run": _run,
    "replay": _replay,
    "rescore": _rescore,
    "import": _import,
    "export": _export,
    "schema": _schema,
    "evaluate": _evaluate,
    "compare": _compare,
    "probe": _probe,
    "realism": _realism,
    "report": _report,
    "tiny": _tiny,
    "train": _train,
    "train_grpo": _train_grpo,
    "train_openai": _train_openai,
    "race": _race,
    "loop": _loop,
    "show": _show,
    "acts": _acts,
    "play": _play,
    "plot": _plot,
}
"""The function of each command, by its name in `josh.parser`; `registry.COMMANDS` holds those of published systems."""
