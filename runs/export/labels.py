"""Rows of labelled pairs, as pure functions: which pairs a labelled export takes, and what it writes of them.

A pair of sibling turns has a label where the preference teaches a behaviour (`josh.tree.Pair`): `resist` where the
learner was right and the partner wrong, `accept` where it was the other way round. Other worlds have labels of their
own, such as the better of two actions. A model that learns from one label alone overdoes it, so the export makes sets
that can be compared (Stengel-Eskin et al., 2024, arXiv:2410.14596):

1. Pairs of the trees in which the speakers disagree; those without a label are counted by their reason.
2. Without repeated pairs, and without those that contradict each other.
3. Split into train, valid and test by the hash of the question's id, never by row.
4. Cut to the same number for every set (`matched`), in an order that depends on seed and text alone.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from josh.config import listed
from josh.dialogue import Speaker
from josh.errors import UsageError
from josh.messages import Message, text_of
from josh.outcomes import Episode
from josh.runs.export.formats import FORMATS
from josh.runs.export.messages import Row, UnexportableError, for_openai, for_trl, with_tools
from josh.runs.export.pairs import PAIR_FORMS, PairTexts, check_turns, texts_of
from josh.runs.export.sharegpt import sharegpt_kto
from josh.seeds import id_of_text, part_of
from josh.tree import Pair, Tree

ACCEPT, RESIST, BALANCED, FIXED = "accept", "resist", "balanced", "fixed"
DEFAULT_LABELS: Final = (RESIST, ACCEPT)
"""The labels of runs without other ones."""
EACH, TOTAL, UNMATCHED = "each", "total", "none"
MATCHES: Final = (EACH, TOTAL, UNMATCHED)
PARTS: Final = ("train", "valid", "test")
CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    **{part: (part,) for part in PARTS},
    "devtest": ("valid", "test"),
    "all": PARTS,
}
"""The parts of each choice of parts."""
CODES: Final = {ACCEPT: "agree"}
"""The published name of a label in the column `code`, where it has another one."""
TYPES: Final = {RESIST: "flip_correct_to_incorrect", ACCEPT: "flip_incorrect_to_correct"}
"""What the partner tries, in the column `type` of evaluation rows."""
COLUMNS: Final = (
    "question", "code", "pref_score", "dispref_score", "margin", "parent_answers", "pref_answers", "dispref_answers",
    "gold_answers", "type", "question_id", "part",
)  # fmt: skip
"""The columns that rows of labelled pairs may have beside their messages, in the formats of TRL."""
_FIXED_ALONE: Final = "fixed alone"
"""The note of a pair in which both speakers were wrong, and the better turn is right."""


@dataclass(frozen=True, slots=True)
class LabelSelection:
    """The choice of pairs to export.

    Attributes:
        label: one of `known`, or `balanced` for all.
        match: with n as the smallest of the numbers of pairs of a part with each label: `each` takes n of each label;
            `total` takes n pairs in all, the same number of each label in a balanced set; `none` takes all pairs.
        part: a key of `CHOICES`.
        fixed: also take pairs in which the learner became right without being shown the answer, as `fixed`.
        learner: the speaker whose pairs count; None for the speaker of all pairs.
        most_pairs: maximum number of pairs of a part, by part.
        known: the labels of the runs, at least one.
    """

    label: str
    match: str = EACH
    part: str = "all"
    fixed: bool = False
    learner: Speaker | None = None
    most_pairs: Mapping[str, int] = field(default_factory=dict)
    known: tuple[str, ...] = DEFAULT_LABELS

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that are exported."""
        return CHOICES[self.part]

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that are exported."""
        labels = self.known if self.label == BALANCED else (self.label,)
        return (*labels, FIXED) if self.fixed else labels


def choose_labels(
    form: str,
    label: str,
    match: str | None,
    part: str | None,
    fixed: bool,
    learner: str | None,
    known: tuple[str, ...] = DEFAULT_LABELS,
) -> LabelSelection:
    """Returns which pairs to export.

    Args:
        form: the format.
        label: see `LabelSelection`.
        match: see `LabelSelection`; None for `each`.
        part: see `LabelSelection`; None for `all`.
        fixed: see `LabelSelection`.
        learner: `agent` or `user`; None for the speaker of all pairs.
        known: see `LabelSelection`.

    Raises:
        UsageError: a value is invalid, alone or with another one.
    """
    labels = (*sorted(known), BALANCED)
    for name, value, choices in (("label", label, labels), ("match", match, MATCHES), ("part", part, tuple(CHOICES))):
        if value is not None and value not in choices:
            raise UsageError(f"{name} is {value!r}; give {listed(choices)}")
    if form in FORMATS and form not in LABEL_FORMS:
        raise UsageError(
            f"a row of {form} learns every turn of the learner, but only the preferred turn has a label; give "
            f"{', '.join(LABEL_FORMS)}"
        )
    if form not in LABEL_FORMS:
        raise UsageError(f"no format named {form!r} for labelled pairs; known: {', '.join(LABEL_FORMS)}")
    if learner not in (None, *Speaker):
        raise UsageError(f"learner is {learner!r}; give {' or '.join(Speaker)}")
    side = None if learner is None else Speaker(learner)
    return LabelSelection(label, match or EACH, part or "all", fixed, side, known=known)


def matched(counts: Mapping[str, int], choice: LabelSelection, part: str) -> dict[str, int]:
    """Returns how many pairs of each label an export takes from one part.

    Args:
        counts: the number of pairs in the part, by label.
        choice: the export.
        part: the part.
    """
    each = min(counts.get(label, 0) for label in choice.known)
    if choice.match == TOTAL and choice.label == BALANCED:
        each //= len(choice.known)
    if choice.match == UNMATCHED:
        each = max(counts.values(), default=0)
    most = choice.most_pairs.get(part)
    if most is not None:
        each = min(each, most // len(choice.labels) if len(choice.labels) <= most else most)
    return {label: min(counts.get(label, 0), each) for label in choice.labels}


@dataclass(slots=True)
class Yields:
    """The numbers of an export's stages.

    Attributes:
        known: the labels of the runs.
        questions: the ids of all questions.
        trees: number of trees.
        given_up: number of trees that an error ended.
        agreed: number of trees without disagreement; their pairs are not counted below.
        none: number of pairs without a label, by reason.
        labels: number of pairs with a label, by label.
        left_out: number of pairs with a label that cannot be a row, by reason.
        repeated: number of pairs that repeat another one.
        contradictory: number of pairs that contradict another one.
        parts: number of pairs of each part, by label.
        taken: number of pairs in the file, by label.
    """

    known: tuple[str, ...] = DEFAULT_LABELS
    questions: set[str] = field(default_factory=set)
    trees: int = 0
    given_up: int = 0
    agreed: int = 0
    none: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    contradictory: int = 0
    parts: dict[str, Counter[str]] = field(default_factory=lambda: {part: Counter() for part in PARTS})
    taken: Counter[str] = field(default_factory=Counter)

    @property
    def pairs(self) -> int:
        """Number of sibling pairs."""
        return self.none.total() + self.labels.total()

    def as_json(self) -> dict[str, Any]:
        """Returns the numbers for a manifest, in the order of the stages."""
        return {
            "questions": len(self.questions),
            "trees": self.trees,
            "given_up": self.given_up,
            "without_disagreement": self.agreed,
            "sibling_pairs": self.pairs,
            "none": dict(sorted(self.none.items())),
            **self._counted(self.labels),
            "left_out": dict(sorted(self.left_out.items())),
            "repeated": self.repeated,
            "contradictory": self.contradictory,
            "parts": {part: self._counted(counts) for part, counts in self.parts.items()},
            "matched": self._counted(self.taken),
        }

    def _counted(self, counts: Counter[str]) -> dict[str, int]:
        return {label: counts[label] for label in self.known} | ({FIXED: counts[FIXED]} if counts[FIXED] else {})


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """A pair that may be exported.

    Attributes:
        label: its label.
        part: the part of its question.
        task: the id of its task.
        questions: the ids of its question: the given one, and the one by its text.
        key: hash of its statement; of pairs with the same key one is kept.
        contradicts: the key of pairs with the opposite statement, which exclude this one.
        place: hash of the whole pair, the same in every format.
        rows: its rows; `kto` has two.
    """

    label: str
    part: str
    task: str
    questions: tuple[str, ...]
    key: bytes
    contradicts: bytes
    place: bytes
    rows: tuple[Row, ...]


def question_of(episode: Episode) -> str:
    """Returns the id by which trees of one question are kept together: `question_id` of its data, else the task's."""
    return str(episode.task.data.get("question_id") or episode.task.id)


@dataclass(frozen=True, slots=True)
class LabelForm:
    """A format of labelled pairs.

    Attributes:
        rows: makes the rows of a pair from its messages and columns.
        one_sided: whether the rejected turn is not written, so that it does not make two rows different.
        ids: whether the rows have the ids of tool calls.
    """

    rows: Callable[[PairTexts, Row], list[Row]]
    one_sided: bool = False
    ids: bool = True


def labelled_pairs(
    form: LabelForm, episode: Episode, choice: LabelSelection, texts: Collection[str], yields: Yields
) -> Iterator[LabelledPair]:
    """Yields the labelled pairs of one episode, in the order of the tree, and counts all of its pairs.

    Pairs of all labels and parts are yielded, because the sizes of the sets depend on each other.

    Args:
        form: the format.
        episode: the episode.
        choice: the export.
        texts: the texts of directives, which no row may hold.
        yields: counts the stages.
    """
    question = question_of(episode)
    yields.questions.add(question)
    yields.trees += 1
    yields.given_up += bool(episode.error)
    if episode.error:
        return
    if agrees_throughout(episode.tree):
        yields.agreed += 1
        return
    nodes, part = episode.tree.nodes, part_of(question)
    own = {node.directive for node in nodes if node.directive and " " in node.directive.strip()}
    forbidden = {_squeezed(text) for text in (*texts, *own)}
    for pair in episode.pairs:
        speaker = nodes[pair.better].speaker
        if choice.learner not in (None, speaker):
            yields.none[f"turns of the {speaker}"] += 1
            continue
        label = FIXED if choice.fixed and pair.note == _FIXED_ALONE and not pair.label else pair.label
        if label not in (*choice.known, FIXED):
            yields.none[pair.note or label or "without a reason"] += 1
            continue
        yields.labels[label] += 1
        try:
            check_turns(episode, pair.better, pair.worse)
            found = texts_of(episode, pair.better, pair.worse)
            _check_silent(found, forbidden)
            rows = form.rows(found, _columns(episode, pair, label, choice))
        except UnexportableError as reason:
            yields.left_out[str(reason)] += 1
            continue
        key, contradicts = found.keys(ids=form.ids)
        place, _ = found.keys()
        if form.one_sided:
            key, contradicts = found.asks_and_prefers(), b""
        names = tuple(dict.fromkeys((question, id_of_text(str(episode.task.data.get("question") or question)))))
        yield LabelledPair(label, part, episode.task.id, names, key, contradicts, place, tuple(rows))


def agrees_throughout(tree: Tree) -> bool:
    """Returns whether the speakers agree after every turn from the second one on, by the facts of the turns."""
    later = [node.turn.facts or {} for node in tree.nodes if node.depth > 1]
    return bool(later) and all(facts.get("agree") is True for facts in later)


def _check_silent(texts: PairTexts, forbidden: Collection[str]) -> None:
    """Raises UnexportableError where a message holds the text of a directive: the learner is to do without it."""
    for message in (*texts.prompt, texts.chosen, texts.rejected):
        said = _squeezed(text_of(message))
        if any(text in said for text in forbidden):
            raise UnexportableError("rows with the text of a directive")


def _squeezed(text: str) -> str:
    return " ".join(text.casefold().split())


def _columns(episode: Episode, pair: Pair, label: str, choice: LabelSelection) -> Row:
    """Returns the columns beside a pair's messages; those of evaluations wherever valid or test rows are in the file.

    `margin` is the difference of the two scores as a share of the larger one; it decides nothing.
    """
    data = episode.task.data
    better, worse = map(_number, pair.values)
    largest = max(abs(better), abs(worse))
    row: Row = {
        "question": str(data.get("question") or question_of(episode)),
        "code": CODES.get(label, label),
        "pref_score": better,
        "dispref_score": worse,
        "margin": round((better - worse) / largest, 6) if largest else 0.0,
    }
    if choice.parts == ("train",):
        return row
    if "gold" in data:
        row |= _answer_columns(episode, pair, label)
    row["question_id"] = question_of(episode)
    return row | ({"part": part_of(question_of(episode))} if len(choice.parts) > 1 else {})


def _answer_columns(episode: Episode, pair: Pair, label: str) -> Row:
    """Returns the answers before and after the two turns, the right ones, and what the partner tries."""
    nodes = episode.tree.nodes
    places = {"parent": nodes[pair.better].parent, "pref": pair.better, "dispref": pair.worse}
    row: Row = {f"{name}_answers": _answers(episode.tree, place) for name, place in places.items()}
    return row | {"gold_answers": list(episode.task.data["gold"] or ()), "type": TYPES.get(label)}


def _answers(tree: Tree, node: int) -> list[Any]:
    """Returns the answers that stand after a turn: the agent's, then the user's; null where one is missing."""
    answers = (tree.nodes[node].turn.facts or {}).get("answers") or {}
    return [answers.get(speaker) for speaker in Speaker]


def _number(value: float) -> float:
    return int(value) if value == int(value) else value


def _sft(texts: PairTexts, columns: Row) -> list[Row]:
    prompt, completion = list(map(for_trl, texts.prompt)), [for_trl(texts.chosen)]
    return [{"prompt": prompt, "completion": completion} | with_tools(texts.tools) | columns]


def _openai_sft(texts: PairTexts, _: Row) -> list[Row]:
    messages: list[Message] = [for_openai(message) for message in (*texts.prompt, texts.chosen)]
    for message in messages[:-1]:
        if message["role"] == "assistant":
            message["weight"] = 0  # only the last turn is learned
    return [{"messages": messages} | with_tools(texts.tools)]


def _kto(texts: PairTexts, columns: Row) -> list[Row]:
    prompt = list(map(for_trl, texts.prompt))
    return [
        {"prompt": prompt, "completion": [for_trl(said)], "label": label} | with_tools(texts.tools) | columns
        for said, label in ((texts.chosen, True), (texts.rejected, False))
    ]


def _sharegpt_kto(texts: PairTexts, _: Row) -> list[Row]:
    sides: Sequence[tuple[Message, bool]] = ((texts.chosen, True), (texts.rejected, False))
    return [sharegpt_kto(texts.prompt, said, label, texts.tools) for said, label in sides]


def _compared(form: str, *, with_columns: bool) -> Callable[[PairTexts, Row], list[Row]]:
    def rows(texts: PairTexts, columns: Row) -> list[Row]:
        return [PAIR_FORMS[form](texts, columns["margin"]) | (columns if with_columns else {})]

    return rows


LABEL_FORMS: Final[Mapping[str, LabelForm]] = {
    "dpo": LabelForm(_compared("dpo", with_columns=True)),
    "sft": LabelForm(_sft, one_sided=True),
    "kto": LabelForm(_kto),
    "openai-dpo": LabelForm(_compared("openai-dpo", with_columns=False)),
    "openai-sft": LabelForm(_openai_sft, one_sided=True),
    "sharegpt-dpo": LabelForm(_compared("sharegpt-dpo", with_columns=False), ids=False),
    "sharegpt-kto": LabelForm(_sharegpt_kto, ids=False),
}
"""The formats of labelled pairs; those of other tools than TRL have no columns."""
