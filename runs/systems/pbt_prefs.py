"""`josh pbt prefs`: preference rows from trees of debates, with the flags of PBT's preprocessing.

It is `josh export --label` for several sources: josh's runs, folders of runs, and PBT's own files of trees. Beside the
formats of `josh export` it writes PBT's own rows.
"""

import argparse
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from hashlib import blake2b
from heapq import nsmallest
from pathlib import Path
from typing import Any, Final

from josh.errors import UsageError
from josh.messages import Message, text_of
from josh.models.chat_template import RefusedError
from josh.models.hf_loading import LocalModel
from josh.outcomes import Episode
from josh.runs.export.files import check_free
from josh.runs.export.formats import FORMATS
from josh.runs.export.labelled import RunSource, TreeSource, export_labelled, labelled_to_stream, print_yields
from josh.runs.export.labels import (
    ACCEPT,
    BALANCED,
    CHOICES,
    LABEL_FORMS,
    RESIST,
    UNMATCHED,
    LabelForm,
    LabelSelection,
    choose_labels,
    question_of,
)
from josh.runs.export.messages import Row, UnexportableError
from josh.runs.export.pairs import PairTexts
from josh.runs.play.merge import missing_shards
from josh.runs.play.model_factory import ModelFactory
from josh.runs.record.folder import CONFIG, read_config, require_distinct
from josh.runs.settings import core
from josh.runs.systems.pbt_filter import FilteredTrees, ModelFilter
from josh.runs.systems.pbt_trees import PublishedTrees

_MODES: Final = {"resist_only": RESIST, "agree_only": ACCEPT, "combo_only": BALANCED}
"""The published flags of the sets."""
_OWN: Final = ("pbt", "pbt-sft")
"""The formats of PBT's own rows."""
Render = Callable[[Sequence[Message], bool], str]
"""Makes a text of messages; the second argument says whether the assistant is asked to go on."""


def add_prefs_flags(parser: argparse.ArgumentParser, _: Sequence[str] = ()) -> None:
    """Add the flags of `josh pbt prefs`."""
    parser.add_argument(
        "folders",
        type=Path,
        nargs="*",
        metavar="DIR",
        help="josh's runs, folders of such runs, or PBT's files of trees (.jsonl) or folders of these",
    )
    parser.add_argument("--trajectory_dir", type=Path, metavar="DIR", help="one more DIR")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the file to write, with FILE.manifest.json beside it")
    parser.add_argument("--mode", help="the set of pairs: accept, resist or balanced (default: balanced)")
    parser.add_argument("--resist_only", action="store_true", help="the same as --mode resist")
    parser.add_argument("--agree_only", action="store_true", help="the same as --mode accept")
    parser.add_argument("--combo_only", action="store_true", help="the same as --mode balanced")
    parser.add_argument(
        "--split", help=f"the part of the questions: {', '.join(CHOICES)}; devtest is valid and test (default: all)"
    )
    parser.add_argument(
        "--format", help=f"{', '.join(LABEL_FORMS)}; or PBT's own rows, {' and '.join(_OWN)} (default: dpo)"
    )
    parser.add_argument("--sft", action="store_true", help="the same as --format sft")
    parser.add_argument(
        "--match", help="each, total or none: the size of the sets, see `josh export --match` (default: each)"
    )
    parser.add_argument("--balance", action="store_true", help="take as many accept as resist pairs, as by default")
    parser.add_argument(
        "--label_fixed",
        action="store_true",
        help="also take pairs in which the learner became right, though both speakers were wrong before",
    )
    parser.add_argument("--learner", help="agent or user: whose pairs count (default: the speaker of all pairs)")
    parser.add_argument("--train_limit", type=int, help="maximum number of pairs of the train part")
    parser.add_argument("--valid_limit", type=int, help="maximum number of pairs of the valid and of the test part")
    parser.add_argument("--traj_limit", type=int, help="maximum number of questions whose trees are read")
    parser.add_argument(
        "--model_filtering",
        action="store_true",
        help="let a chat model confirm which answers mean the same, and which turns agree; its replies are kept in "
        "FILE.filter",
    )
    parser.add_argument("--filtering_model_name", metavar="MODEL", help="the chat model of the filter")
    parser.add_argument("--filtering_base_url", metavar="URL", help="the address of its server")
    parser.add_argument("--filtering_api_key_var", metavar="NAME", help="the environment variable with its key")
    parser.add_argument(
        "--slots",
        help="how PBT's files hold the answers: speaker (each in its own slot), or pbt (swapped, as published; "
        "default: speaker)",
    )
    parser.add_argument(
        "--model",
        help="for PBT's own rows: the model whose chat template they have (default: Llama 3's template, without a "
        "download)",
    )
    parser.add_argument(
        "--seed", type=int, default=core()["seed"].default, help="seed of choice and order (default: 10)"
    )


def run_prefs(args: argparse.Namespace) -> int:
    """Run `josh pbt prefs`, and return its exit code. Raises UsageError and FatalError."""
    paths = [*args.folders, *([args.trajectory_dir] if args.trajectory_dir else [])]
    require_distinct(paths)
    for name, value in (("DIR", paths), ("out", args.out)):
        if not value:
            raise UsageError(f"no {name} given; example: josh pbt prefs records/<run> --mode balanced --out rows.jsonl")
    args.typed |= {"label": "mode", "part": "split"}
    form, choice = _choice(args)
    forms = {**LABEL_FORMS, **_published_forms(args.model, form)}
    sources = list(_sources(paths, _swapped(args.slots)))
    if args.slots is not None and not any(isinstance(source, PublishedTrees) for source in sources):
        raise UsageError(f"slots is {args.slots!r}, but no DIR is a file of trees as PBT writes them; leave it out")
    for line in missing_shards([source.folder for source in sources if isinstance(source, RunSource)]):
        print(f"josh: {line}", file=sys.stderr)
    if str(args.out) == "-" and args.model_filtering:
        raise UsageError("out is '-', but the model filter keeps its replies beside a file; give --out FILE")
    earlier = check_free(args.out)
    if args.traj_limit is not None:
        drawn = _drawn(sources, args.traj_limit, args.seed)
        sources = [DrawnTrees(source, drawn) for source in sources]
    if str(args.out) == "-":
        print_yields(labelled_to_stream(sys.stdout.buffer, sources, form, choice, args.seed, forms), None)
        return 0
    with ExitStack() as stack:
        if args.model_filtering:
            model_filter = stack.enter_context(_filter(args))
            sources = [FilteredTrees(source, model_filter) for source in sources]
        print_yields(export_labelled(sources, args.out, form, choice, args.seed, forms), args.out, earlier)
        if args.model_filtering:
            print(
                f"model filter    {model_filter.calls} calls of {args.filtering_model_name}, kept in {_journal(args)}"
            )
    return 0


def _choice(args: argparse.Namespace) -> tuple[str, LabelSelection]:
    """Returns the format and which pairs to export. Raises UsageError where flags contradict each other."""
    modes = [mode for flag, mode in _MODES.items() if getattr(args, flag)] + ([args.mode] if args.mode else [])
    if len(set(modes)) > 1:
        raise UsageError(f"the flags ask for {' and '.join(modes)} pairs; give one of them")
    if args.balance and args.match == UNMATCHED:
        raise UsageError("balance is given with match 'none'; leave one of them out")
    if args.sft and args.format not in (None, "sft"):
        raise UsageError(f"sft is given with format {args.format!r}; leave one of them out")
    filtering = next((name for name, value in vars(args).items() if name.startswith("filtering_") and value), None)
    if filtering and not args.model_filtering:
        raise UsageError(f"{filtering} is given without model_filtering; give --model_filtering, or leave it out")
    form = "sft" if args.sft else args.format or "dpo"
    if args.model is not None and form not in _OWN:
        raise UsageError(f"model is given, but rows of {form} need no template; leave it out, or give --format pbt")
    like = {"pbt": "dpo", "pbt-sft": "sft"}.get(form, form)
    if like not in FORMATS and like not in LABEL_FORMS:
        raise UsageError(f"no format named {form!r}; known: {', '.join((*LABEL_FORMS, *_OWN))}")
    mode = modes[0] if modes else BALANCED
    choice = choose_labels(like, mode, args.match, args.split, args.label_fixed, args.learner)
    return form, replace(choice, most_pairs=_limits(args, choice))


def _limits(args: argparse.Namespace, choice: LabelSelection) -> Mapping[str, int]:
    """Returns the maximum number of pairs of each part. Raises UsageError."""
    limits: dict[str, int] = {}
    for name, parts in (("train_limit", ("train",)), ("valid_limit", ("valid", "test")), ("traj_limit", ())):
        value = getattr(args, name)
        if value is None:
            continue
        if value < 1:
            raise UsageError(f"{name} is {value}; give 1 or more")
        if parts and not set(parts) & set(choice.parts):
            raise UsageError(f"{name} is {value}, but --split {choice.part} has no such part; leave it out")
        limits |= dict.fromkeys(parts, value)
    return limits


def _swapped(slots: str | None) -> bool:
    if slots not in (None, "pbt", "speaker"):
        raise UsageError(f"slots is {slots!r}; give pbt or speaker")
    return slots == "pbt"


# Sources


@dataclass(frozen=True, slots=True)
class DrawnTrees:
    """The trees of some questions of a source."""

    source: TreeSource
    questions: Collection[str]

    @property
    def name(self) -> str:
        """The source's name."""
        return self.source.name

    @property
    def directives(self) -> Collection[str]:
        """The source's directives."""
        return self.source.directives

    def episodes(self, damaged: list[int]) -> Iterator[Episode]:
        """Yields the episodes of the questions."""
        return (one for one in self.source.episodes(damaged) if question_of(one) in self.questions)

    def manifest(self, home: Path) -> dict[str, Any]:
        """Returns the source's entry."""
        return self.source.manifest(home)


def _drawn(sources: Sequence[TreeSource], most: int, seed: int) -> frozenset[str]:
    """Returns at most so many questions, drawn by the hash of their ids."""
    names = {question_of(episode) for source in sources for episode in source.episodes([])}
    return frozenset(nsmallest(most, names, key=lambda name: blake2b(f"{seed} {name}".encode()).digest()))


def _sources(paths: Sequence[Path], swapped: bool) -> Iterator[TreeSource]:
    """Yields the sources below some paths. Raises UsageError where a path has none."""
    for path in paths:
        if not path.exists():
            raise UsageError(f"there is no folder {path}; give josh's runs, or files of trees as PBT writes them")
        if path.is_file():
            yield PublishedTrees(path, swapped)
        elif (path / CONFIG).exists():
            yield RunSource(path)
        else:
            files = sorted(path.glob("*.jsonl"))
            runs = _runs_in(path)
            if not files and not runs:
                raise UsageError(f"{path} is not a run, and has neither runs nor files of trees (.jsonl)")
            yield from map(RunSource, runs)
            yield from (PublishedTrees(file, swapped) for file in files)


def _runs_in(folder: Path) -> list[Path]:
    """Returns the runs in a folder, without the shards of which one of them was merged."""
    runs = sorted(found.parent for found in folder.glob(f"*/{CONFIG}"))
    merged = {str(name) for run in runs for name in read_config(run).get("merged_from") or ()}
    return [run for run in runs if run.name not in merged]


# The model filter


def _journal(args: argparse.Namespace) -> Path:
    return Path(f"{args.out}.filter")


def _filter(args: argparse.Namespace) -> ModelFilter:
    """Returns the model filter. Raises UsageError where its model or its journal cannot be set up."""
    if not args.filtering_model_name:
        raise UsageError("model_filtering is given without a model; give --filtering_model_name MODEL")
    factory = ModelFactory(LocalModel(), timeout=120.0)
    model = factory.get(args.filtering_model_name, args.filtering_base_url, args.filtering_api_key_var, "filtering")
    for line in factory.announced(keyless=False):
        print(f"josh: {line}", file=sys.stderr)
    folder = _journal(args)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write {folder}: {error.strerror}") from None
    return ModelFilter(model, folder)


# PBT's own rows


def _published_forms(model: str | None, form: str) -> Mapping[str, LabelForm]:
    """Returns the formats of PBT's own rows where one of them is asked for. Raises UsageError."""
    if form not in _OWN:
        return {}
    render = llama3_text if model is None else _template_of(model)

    def pairs(texts: PairTexts, columns: Row) -> list[Row]:
        said = {"chosen": text_of(texts.chosen), "rejected": text_of(texts.rejected)}
        return [{"prompt": render(texts.prompt, True), **said, **_without(columns, "margin")}]

    def texts(texts: PairTexts, columns: Row) -> list[Row]:
        text = render([*texts.prompt, texts.chosen], False)
        return [{"text": text, **_without(columns, "margin", "pref_score", "dispref_score")}]

    return {"pbt": LabelForm(pairs), "pbt-sft": LabelForm(texts, one_sided=True)}


def _without(columns: Row, *names: str) -> Row:
    return {name: value for name, value in columns.items() if name not in names}


def llama3_text(messages: Sequence[Message], ask: bool) -> str:
    """Returns a conversation in the chat template of Llama 3; with `ask` up to the assistant's next word."""
    turns = [f"{_header(message['role'])}{text_of(message).strip()}<|eot_id|>" for message in messages]
    return "".join(["<|begin_of_text|>", *turns, *([_header("assistant")] if ask else [])])


def _header(role: str) -> str:
    return f"<|start_header_id|>{role}<|end_header_id|>\n\n"


def _template_of(model: str) -> Render:
    """Returns the function that renders messages with a model's chat template. Raises UsageError."""
    from josh.runs.train.base import load_template
    from josh.runs.train.machine import quiet

    with quiet():
        chat = load_template(model).chat

    def render(messages: Sequence[Message], ask: bool) -> str:
        try:
            return chat.render(messages, None, ask=ask)
        except RefusedError as error:
            raise UnexportableError("texts that the chat template refuses") from error

    return render
