"""The command `josh import`."""

import argparse
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from josh.errors import UsageError
from josh.runs.imports.importing import ALL, ImportedRun, ImportRequest, import_dialogues
from josh.runs.imports.rows import ReadOptions
from josh.runs.imports.turns import KINDS, ROLES
from josh.runs.record.folder import slug
from josh.runs.record.headline import headline
from josh.runs.record.summary import as_text, counted
from josh.runs.registry import IMPORTS
from josh.terminal import in_a_line

_RECORDS: Final = Path("records")


def run_import(args: argparse.Namespace, given: Mapping[str, Any]) -> int:
    """Run `josh import`, and return its exit code. Raises UsageError.

    Args:
        args: the command line.
        given: the settings of the world, by flag name.
    """
    _require_read(args)
    given = dict(given)
    split = given.pop("task_split", None)
    request = ImportRequest(
        files=args.files,
        form=args.format,
        given=given,
        split=None if split == ALL else split,
        out=args.out or _default_out(args.files, given),
        played_by=args.played_by or "",
        success_at=args.success_at,
        names=args.names,
        unmasked=args.unmasked,
        skip_damaged=args.skip_damaged,
        options=ReadOptions(
            {**ROLES, **_roles(args.roles)} if args.roles else ROLES,
            _pairs("columns", args.columns),
            args.slots or "speaker",
        ),
    )
    print_imported(import_dialogues(request))
    return 0


_READ_BY: Final = {
    "roles": ("messages", "sharegpt", "josh", "csv", "verifiers", "inspect"),
    "columns": ("csv",),
    "slots": ("pbt",),
}
"""The formats that read a flag, by flag."""


def _require_read(args: argparse.Namespace) -> None:
    """Raises UsageError for a flag that the chosen format does not read, or without a text."""
    for flag in (*_READ_BY, "played_by"):
        if getattr(args, flag) == "":
            raise UsageError(f"{flag} is empty; give a text, or leave it out")
    for flag, formats in _READ_BY.items():
        if getattr(args, flag) is not None and args.format in IMPORTS and args.format not in formats:
            raise UsageError(f"{flag} is given, but format {args.format!r} does not read it; leave it out")
        if getattr(args, flag) is not None and not args.files:
            raise UsageError(f"{flag} is given, but no file is; leave it out, or give files")


def _default_out(files: list[Path], given: Mapping[str, Any]) -> Path:
    name = files[0].name.partition(".")[0] if files else str(given.get("env", ""))
    return _RECORDS / slug(f"{name}-imported-{datetime.now():%Y%m%d-%H%M%S}")


def _pairs(flag: str, text: str | None) -> dict[str, str]:
    """Returns the pairs of `a=b,c=d`. Raises UsageError."""
    found = {}
    for pair in filter(None, (text or "").split(",")):
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or not name or not value:
            raise UsageError(f"{flag} is {text!r:.60}; give pairs, such as --{flag} {_EXAMPLES[flag]}")
        found[name] = value
    return found


_EXAMPLES: Final = {"columns": "id=conversation,role=who,text=words", "roles": "bot=assistant,visitor=user"}


def _roles(text: str) -> dict[str, str]:
    """Returns josh's role of each role, by `--roles`. Raises UsageError."""
    found = {name.lower(): role for name, role in _pairs("roles", text).items()}
    wrong = next((role for role in found.values() if role not in KINDS), None)
    if wrong is not None:
        raise UsageError(f"roles has the role {wrong!r:.40}; give {', '.join(KINDS[:-1])} or {KINDS[-1]}")
    return found


def print_imported(imported: ImportedRun) -> None:
    """Print what was imported, what was left out and why, and how to go on."""
    result, summary = imported.result, dict(imported.result.summary)
    print(f"{in_a_line(headline(result.settings, result.plays, result.how, summary['tasks']))}\n")
    if summary["scored"]:
        text = as_text(summary, searched=False, unit=result.unit).splitlines()
        print("\n".join(line for line in text if not line.startswith("model calls")))
    if unrated := summary.get("unrated"):
        of = "no dialogue has" if not summary["scored"] else f"{counted(unrated, 'dialogue')} without"
        print(f"rewards         {of} a reward; josh rescore {result.folder} --rewards ... can give one")
    for reason, count in imported.left_out.items():
        print(f"left out        {count} {in_a_line(reason)}")
    for reason, count in imported.no_rows.items():
        print(f"no rows         {count} {in_a_line(reason)}: shown and counted, and never exported")
    if imported.masked:
        print(f"masked          {', '.join(f'{count} {kind}' for kind, count in imported.masked.items())}")
    print(f"examples        {summary['training_examples']}, {summary['golden_examples']} of them on golden paths")
    print(f"written to      {result.folder}/")
    print(f"see it with     josh show {result.folder} 1, or josh report {result.folder}")
