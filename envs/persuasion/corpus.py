"""Reads Persuasion for Good (Wang et al., 2019, arXiv:1906.06725) in any of its published forms.

- The authors' files: `full_info.csv` and `full_dialog.csv`, and for the 300 annotated dialogues `300_info.xlsx`
  (the amounts persuadees meant to give) and `300_dialog.xlsx` (the act of every sentence).
- ConvoKit's `persuasionforgood-corpus`: `utterances.jsonl`, `conversations.json`, and `users.json` (the older dialect)
  or `speakers.json`.

All files may be in folders below the given one, as in a clone of the authors' repository.

People's ids are hashed when they are read, because ConvoKit's are the worker ids of a crowd-work site.
"""

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import blake2b
from io import StringIO
from pathlib import Path
from typing import Any

from josh.dialogue import Speaker
from josh.envs.persuasion.layout import ORIGINAL, PEOPLE, WORKBOOKS, find_corpus, workbook
from josh.envs.persuasion.personas import ATTRIBUTES, Persona, Traits
from josh.errors import UsageError
from josh.texts import json_of, json_rows, read_text

RULES = ("convokit", "annotated", "user_disjoint")
"""The rules for splitting the corpus; see `split`."""

_TEST_SHARE = 217 / 1017
_ROLES = {0: Speaker.AGENT, 1: Speaker.USER}


@dataclass(frozen=True, slots=True)
class Utterance:
    """A text that one side typed.

    Attributes:
        speaker: the agent is the persuader, the user the persuadee.
        turn: number of the speaker's own turn, from 0.
        text: the words as they were typed.
        acts: the first labels of its sentences, each once, in the order of the sentences (`er_label_1` of a
            persuader, `ee_label_1` of a persuadee); empty without labels.
    """

    speaker: Speaker
    turn: int
    text: str
    acts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dialogue:
    """One conversation and its outcome.

    Attributes:
        id: the authors' dialogue id, the same in all forms of the corpus.
        persuader: the person who spoke first.
        persuadee: the person who was asked to donate.
        utterances: in the order in which they were typed.
        donation: dollars that the persuadee gave after the chat (B6), as entered; some amounts are above the two
            dollars of the task.
        intended: dollars that the persuadee spoke of giving (B5); None where unknown.
        has_intended: whether the persuadee spoke of an amount, $0 included; ConvoKit's `is_annotated`.
    """

    id: str
    persuader: Persona
    persuadee: Persona
    utterances: tuple[Utterance, ...]
    donation: float
    intended: float | None = None
    has_intended: bool = False

    @property
    def bad(self) -> bool:
        """Returns whether the authors marked it as spoilt."""
        return self.id.startswith("BAD_")

    @property
    def annotated(self) -> bool:
        """Returns whether its sentences are labelled with acts."""
        return any(utterance.acts for utterance in self.utterances)


@dataclass(frozen=True, slots=True)
class Corpus:
    """All conversations.

    Attributes:
        dialogues: in the order of the files.
        people: everyone in them, by id.
        gaps: the parts that could not be read (`intended`, `acts`), each with the reason.
    """

    dialogues: tuple[Dialogue, ...]
    people: Mapping[str, Persona]
    gaps: Mapping[str, str]


def load_corpus(folder: Path) -> Corpus:
    """Reads the corpus from a folder, in any of its forms.

    Answers outside an attribute's scale (one person's age is 3) count as missing.

    Raises:
        UsageError: the folder holds no form of the corpus, or a file of it is malformed.
    """
    place, form = find_corpus(folder)
    return _load_original(place, folder) if form == ORIGINAL else _load_convokit(place)


def anonymous(person: str, answers: Mapping[str, Any], place: str) -> Persona:
    """Returns a person by the id and the survey answers in the files.

    Args:
        person: the id, which is hashed.
        answers: answers by attribute; a missing one, or one outside the scale, counts as missing.
        place: where they stand, for errors.

    Raises:
        UsageError: an answer is not a number where it has to be one.
    """
    return Persona(_anonymous_id(person), _traits(answers, place))


def split(corpus: Corpus, rule: str) -> dict[str, list[Dialogue]]:
    """Divides all dialogues into `train` and `test`, both in the order of the corpus.

    With the whole corpus:

    - `convokit` (800 / 217): test has the dialogues in which the persuadee spoke of an amount, $0 included (ConvoKit's
      `is_annotated`). People of 316 train dialogues are also in test.
    - `annotated` (717 / 300): test has the dialogues whose sentences are labelled with acts. People of 301 train
      dialogues are also in test.
    - `user_disjoint` (800 / 217): no person, in either role, is in both splits. Dialogues that share a person, directly
      or through others, stay together. The largest such group (573 dialogues) is in train; other groups fill test in
      the order of a hash. So the people in test took part once or a few times.

    Raises:
        UsageError: the rule is unknown, or the files do not hold what it needs.
    """
    match rule:
        case "convokit":
            test = {dialogue.id for dialogue in corpus.dialogues if dialogue.has_intended}
            missing = corpus.gaps.get("intended", "no dialogue has one") if not test else ""
            needs = "the amounts that persuadees spoke of"
        case "annotated":
            test = {dialogue.id for dialogue in corpus.dialogues if dialogue.annotated}
            missing = corpus.gaps.get("acts", "no dialogue has any") if not test else ""
            needs = "act labels"
        case "user_disjoint":
            test, missing, needs = _user_disjoint_test(corpus.dialogues), "", ""
        case _:
            raise UsageError(f"no split rule named {rule!r}; known: {', '.join(RULES)}")
    if missing:
        raise UsageError(f"split rule {rule!r} needs {needs}: {missing}")
    return {
        "train": [dialogue for dialogue in corpus.dialogues if dialogue.id not in test],
        "test": [dialogue for dialogue in corpus.dialogues if dialogue.id in test],
    }


def _user_disjoint_test(dialogues: Sequence[Dialogue]) -> set[str]:
    leader: dict[str, str] = {}

    def lead(person: str) -> str:
        while leader.setdefault(person, person) != person:
            leader[person] = leader[leader[person]]
            person = leader[person]
        return person

    for dialogue in dialogues:
        leader[lead(dialogue.persuader.id)] = lead(dialogue.persuadee.id)
    groups: dict[str, list[str]] = {}
    for dialogue in dialogues:
        groups.setdefault(lead(dialogue.persuader.id), []).append(dialogue.id)
    # Dialogue ids, unlike people's, are the same in all forms of the corpus, and so is the split.
    members = sorted((sorted(group) for group in groups.values()), key=lambda group: _hash(group[0]))
    largest = max(members, key=len, default=[])
    room = round(len(dialogues) * _TEST_SHARE)
    test: set[str] = set()
    for group in members:
        if group is not largest and len(test) + len(group) <= room:
            test.update(group)
    return test


@dataclass(frozen=True, slots=True)
class _Facts:
    """A dialogue without its words, and with people's ids as in the files."""

    persuader: str
    persuadee: str
    donation: float
    intended: float | None
    has_intended: bool


def _load_original(folder: Path, given: Path) -> Corpus:
    info, dialog = (folder / name for name in ORIGINAL)
    workbooks = (workbook(name, folder, given) for name in WORKBOOKS)
    intended, no_intended = _read_intended(next(workbooks))
    acts, no_acts = _read_acts(next(workbooks))
    traits: dict[str, Traits] = {}
    sides: dict[str, dict[Speaker, tuple[str, float]]] = {}
    for place, row in _rows_of_csv(info, ["B2", "B3", "B4", "B6", *(f"{each.name}.x" for each in ATTRIBUTES)]):
        role = _role(row["B4"], place)
        side = sides.setdefault(row["B2"], {})
        if role in side:
            raise UsageError(f"{place}: dialogue {row['B2']} already has a line with B4 = {row['B4']}")
        side[role] = row["B3"], _amount(row["B6"], place)
        traits.setdefault(row["B3"], _traits({each.name: row[f"{each.name}.x"] for each in ATTRIBUTES}, place))
    facts = {}
    for name, side in sides.items():
        if len(side) != len(_ROLES):
            raise UsageError(f"{info}: dialogue {name} has only one of its two people")
        (persuader, _), (persuadee, donation) = side[Speaker.AGENT], side[Speaker.USER]
        facts[name] = _Facts(persuader, persuadee, donation, intended.get(name), intended.get(name) is not None)
    lines: dict[str, list[Utterance]] = {}
    for place, row in _rows_of_csv(dialog, ["B2", "B4", "Turn", "Unit"]):
        role, turn = _role(row["B4"], place), _count(row["Turn"], place)
        said = Utterance(role, turn, row["Unit"], tuple(acts.get((row["B2"], role, turn), ())))
        lines.setdefault(row["B2"], []).append(said)
    return _assemble(folder, facts, lines, traits, {"intended": no_intended, "acts": no_acts})


def _read_intended(path: Path) -> tuple[dict[str, float | None], str]:
    """Returns the amounts by dialogue, and the reason where they cannot be read, else an empty text."""
    rows, problem = _rows_of_sheet(path, ("B2", "B4", "B5"))
    return {
        str(row["B2"]): _number(row["B5"], place) for place, row in rows if _role(row["B4"], place) is Speaker.USER
    }, problem


def _read_acts(path: Path) -> tuple[dict[tuple[str, Speaker, int], dict[str, None]], str]:
    """Returns the acts by dialogue, speaker and turn, and the reason where they cannot be read, else an empty text."""
    rows, problem = _rows_of_sheet(path, ("B2", "B4", "Turn", "er_label_1", "ee_label_1"))
    acts: dict[tuple[str, Speaker, int], dict[str, None]] = {}
    for place, row in rows:
        role = _role(row["B4"], place)
        label = row["er_label_1" if role is Speaker.AGENT else "ee_label_1"]
        if label:
            acts.setdefault((str(row["B2"]), role, _count(row["Turn"], place)), {})[str(label)] = None
    return acts, problem


def _load_convokit(folder: Path) -> Corpus:
    people = next(folder / name for name in PEOPLE if (folder / name).exists())
    traits = {person: _traits(_meta(entry), f"{people}: {person!r}") for person, entry in _objects_of(people)}
    said: list[tuple[tuple[int, int], str, str, Utterance]] = []
    for number, (place, record) in enumerate(_rows_of_jsonl(folder / "utterances.jsonl")):
        meta = _meta(record)
        name, person = record.get("conversation_id", record.get("root")), record.get("speaker", record.get("user"))
        if name is None or person is None or not isinstance(record.get("text"), str):
            raise UsageError(f"{place}: an utterance needs a conversation, a speaker and a text")
        labels = meta.get("label_1")
        acts = dict.fromkeys(label for label in labels if isinstance(label, str)) if isinstance(labels, list) else ()
        role, turn = _role(meta.get("role"), place), _count(meta.get("user_turn_id"), place)
        key = str(record.get("id"))
        order = (int(key) if key.isdecimal() else 0, number)
        said.append((order, str(name), str(person), Utterance(role, turn, record["text"], tuple(acts))))
    conversations = folder / "conversations.json"
    metas = {name: _meta(entry) for name, entry in _objects_of(conversations)}
    # Conversation ids are positions in the file. The authors' ids are in the metadata.
    names = {name: str(meta.get("dialogue_id") or name) for name, meta in metas.items()}
    sides: dict[str, dict[Speaker, str]] = {}
    lines: dict[str, list[Utterance]] = {}
    for _, name, person, utterance in sorted(said, key=lambda entry: entry[0]):
        sides.setdefault(name, {}).setdefault(utterance.speaker, person)
        lines.setdefault(names.get(name, name), []).append(utterance)
    facts = {}
    for name, meta in metas.items():
        place = f"{conversations}: {name!r}"
        side = sides.get(name, {})
        if len(side) != len(_ROLES):
            raise UsageError(f"{place}: both people have to speak in utterances.jsonl")
        intended = _number(meta.get("intended"), place)
        flagged = bool(meta.get("is_annotated", intended is not None))
        donation = _amount(meta.get("donation_ee"), place)
        facts[names[name]] = _Facts(side[Speaker.AGENT], side[Speaker.USER], donation, intended, flagged)
    return _assemble(folder, facts, lines, traits, {})


def _assemble(
    folder: Path,
    facts: Mapping[str, _Facts],
    lines: Mapping[str, Sequence[Utterance]],
    traits: Mapping[str, Traits],
    gaps: Mapping[str, str],
) -> Corpus:
    odd = sorted(facts.keys() ^ lines.keys())
    if odd:
        has, lacks = ("facts", "words") if odd[0] in facts else ("words", "facts")
        raise UsageError(f"{folder}: there are {has} but no {lacks} of dialogue {odd[0]}; fetch the corpus again")
    raw = [person for fact in facts.values() for person in (fact.persuader, fact.persuadee)]
    unknown = next((number for number, person in enumerate(raw) if person not in traits), None)
    if unknown is not None:
        raise UsageError(f"{folder}: a person of dialogue {list(facts)[unknown // 2]} has no survey answers")
    people = {person: Persona(_anonymous_id(person), traits[person]) for person in raw}
    dialogues = tuple(
        Dialogue(
            name,
            people[facts[name].persuader],
            people[facts[name].persuadee],
            tuple(said),
            facts[name].donation,
            facts[name].intended,
            facts[name].has_intended,
        )
        for name, said in lines.items()
    )
    known = {persona.id: persona for persona in people.values()}
    assert len(known) == len(people), "two people have the same hash"
    return Corpus(dialogues, known, {what: why for what, why in gaps.items() if why})


def _anonymous_id(person: str) -> str:
    return f"p-{_hash(person)}"


def _traits(answers: Mapping[str, Any], place: str) -> Traits:
    traits: dict[str, float | str | None] = {}
    for attribute in ATTRIBUTES:
        answer = answers.get(attribute.name)
        if attribute.numeric:
            number = _number(answer, f"{place}: {attribute.name}")
            inside = number is not None and attribute.low <= number <= attribute.high
            traits[attribute.name] = round(number, 2) if number is not None and inside else None
        else:
            traits[attribute.name] = answer if isinstance(answer, str) and answer not in ("", "NaN", "NA") else None
    return traits


def _hash(text: str) -> str:
    return blake2b(text.encode(), digest_size=6, person=b"josh p4g").hexdigest()


def _meta(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns a record's own fields, which newer dumps keep under `meta`."""
    meta = record.get("meta")
    return meta if isinstance(meta, dict) else record


def _number(value: Any, place: str) -> float | None:
    """Returns a number; None where it is missing: null, an empty string or not-a-number."""
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise UsageError(f"{place}: {value!r} is not a number") from None
    return number if math.isfinite(number) else None


def _amount(value: Any, place: str) -> float:
    number = _number(value, place)
    if number is None or number < 0:
        raise UsageError(f"{place}: the donation is {value!r}; give an amount of dollars, 0 or more")
    return number


def _count(value: Any, place: str) -> int:
    number = _number(value, place)
    if number is None or number < 0 or number % 1:
        raise UsageError(f"{place}: the turn is {value!r}; give a whole number, 0 or more")
    return int(number)


def _role(value: Any, place: str) -> Speaker:
    role = _ROLES.get(_number(value, place))  # type: ignore[call-overload]
    if role is None:
        raise UsageError(f"{place}: the role is {value!r}; give 0 (persuader) or 1 (persuadee)")
    return Speaker(role)


def _rows_of_csv(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yields every row after its place, which error messages name."""
    try:
        reader = csv.DictReader(StringIO(read_text(path), newline=""))
        _check_columns(path, columns, reader.fieldnames or ())
        for row in reader:
            if any(row[column] is None for column in columns):
                raise UsageError(f"{path} line {reader.line_num}: the line is cut short")
            yield f"{path} line {reader.line_num}", row
    except csv.Error as error:
        raise UsageError(f"cannot read {path}: {error}") from error


def _rows_of_sheet(path: Path, columns: Sequence[str]) -> tuple[Iterable[tuple[str, dict[str, Any]]], str]:
    """Returns the rows of a workbook's first sheet, each after its place; or no rows and the reason."""
    if not path.exists():
        return (), f"{path} is missing"
    import openpyxl  # type: ignore[import-untyped]

    try:
        with closing(openpyxl.load_workbook(path, read_only=True, data_only=True)) as workbook:
            header, *rows = list(workbook.worksheets[0].iter_rows(values_only=True)) or [()]
    except Exception as error:  # its parsers raise errors of many classes
        raise UsageError(f"cannot read {path}: {error}") from error
    _check_columns(path, columns, header)
    return [
        (f"{path} row {number}", dict(zip(header, row, strict=False))) for number, row in enumerate(rows, start=2)
    ], ""


def _check_columns(path: Path, wanted: Sequence[str], found: Iterable[Any]) -> None:
    missing = [column for column in wanted if column not in set(found)]
    if missing:
        raise UsageError(f"{path} has no column {missing[0]}")


def _rows_of_jsonl(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for place, value in json_rows(path):
        yield place, _object(value, place)


def _objects_of(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the entries of a file that holds one object of objects."""
    for name, entry in _object(json_of(read_text(path), str(path)), str(path)).items():
        yield name, _object(entry, f"{path}: {name!r}")


def _object(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{place} is not a JSON object; fetch the corpus again")
    return value
