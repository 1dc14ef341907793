"""`josh export`: its flags are in `josh/commands.py`."""

import argparse
import sys
from itertools import islice

from josh.dialogue import Speaker
from josh.errors import UsageError
from josh.runs.export.check import problems_in
from josh.runs.export.export import choose, export, print_summary, to_stream
from josh.runs.export.files import check_free
from josh.runs.export.labelled import RunSource, export_labelled, labelled_to_stream, labels_of, print_yields
from josh.runs.export.labels import choose_labels
from josh.runs.export.run_formats import RunFormat
from josh.runs.record.folder import read_config, require_distinct
from josh.runs.registry import EXPORTS, load_run_format

_ALIASES = {"tokens": "samples"}
"""Other names of formats."""
_OF_PATHS = ("paths", "top", "min_margin", "min_confirmed", "credit")
"""The flags that choose paths and turns."""


def run_export(args: argparse.Namespace) -> int:
    """Run `josh export`, and return its exit code. Raises UsageError."""
    if args.check:
        if args.runs or args.format or args.out:
            raise UsageError("--check takes one file only; leave out the runs, --format and --out")
        problems = list(islice(problems_in(args.check), 5))
        print(*problems or [f"{args.check}: sound"], sep="\n", file=sys.stderr if problems else sys.stdout)
        return 1 if problems else 0
    args.format = _ALIASES.get(args.format, args.format)
    require_distinct(args.runs)
    for folder in args.runs:
        read_config(folder)
    for name in ("runs", "format", "out"):
        if not getattr(args, name):
            raise UsageError(f"no {name} given; example: josh export records/<run> --format sft --out sft.jsonl")
    if args.label is not None:
        return _export_labels(args)
    if chosen := next(
        (name for name in ("match", "part", "label_fixed") if getattr(args, name) not in (None, False)), None
    ):
        raise UsageError(f"{chosen} is given without label; give --label accept, resist or balanced, or leave it out")
    if args.format in EXPORTS:
        return _export_whole(args)
    choice = choose(
        args.format,
        args.paths,
        args.top,
        args.min_margin,
        Speaker.AGENT if args.learner is None else args.learner,
        args.min_confirmed,
        args.credit,
    )
    if str(args.out) == "-":
        print_summary(to_stream(sys.stdout.buffer, args.runs, args.format, choice, args.seed), None)
        return 0
    earlier = check_free(args.out)
    print_summary(export(args.runs, args.out, args.format, choice, args.seed), args.out, earlier)
    return 0


def _export_labels(args: argparse.Namespace) -> int:
    if chosen := next((name for name in _OF_PATHS if getattr(args, name) not in (None, False)), None):
        raise UsageError(f"{chosen} is given, but --label takes pairs by their labels; leave one of them out")
    known = labels_of(args.runs)
    choice = choose_labels(args.format, args.label, args.match, args.part, args.label_fixed, args.learner, known)
    sources = [RunSource(folder) for folder in args.runs]
    if str(args.out) == "-":
        print_yields(labelled_to_stream(sys.stdout.buffer, sources, args.format, choice, args.seed), None)
        return 0
    earlier = check_free(args.out)
    print_yields(export_labelled(sources, args.out, args.format, choice, args.seed), args.out, earlier)
    return 0


def _export_whole(args: argparse.Namespace) -> int:
    if chosen := next((name for name in _OF_PATHS if getattr(args, name) not in (None, False)), None):
        raise UsageError(f"{chosen} is given, but {args.format} has all conversations of a run; leave it out")
    form: RunFormat = load_run_format(args.format)
    files = form.write(args.runs, args.out)
    for path, count in files.items():
        print(f"{args.format:<15} {count} {form.entries}\nwritten to      {path}")
    folder = args.out if args.out.is_dir() else args.out.parent
    print(f"see it with     {form.seen_with.format(folder=folder, file=next(iter(files)))}")
    return 0
