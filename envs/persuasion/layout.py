"""Finds the files of Persuasion for Good in the layouts in which the corpus is passed around; see `corpus.py`."""

from collections.abc import Sequence
from pathlib import Path

from josh.errors import UsageError
from josh.texts import folders_below

ORIGINAL = ("full_info.csv", "full_dialog.csv")
CONVOKIT = ("utterances.jsonl", "conversations.json")
WORKBOOKS = ("300_info.xlsx", "300_dialog.xlsx")
PEOPLE = ("speakers.json", "users.json")


def find_corpus(folder: Path) -> tuple[Path, tuple[str, ...]]:
    """Returns the folder with the corpus's files, which may be up to three folders below the given one, and their form.

    Raises:
        UsageError: there is no whole form of the corpus; the error names what is there and what is missing.
    """
    if folder.is_file():
        raise UsageError(f"{folder} is one file; give the folder of the corpus, such as {folder.parent}")
    if not folder.is_dir():
        raise UsageError(f"{_none_in(folder)}; the folder does not exist")
    places = list(folders_below(folder))
    for place in places:
        if form := _form_in(place):
            return place, form
    raise UsageError(f"{_none_in(folder)}{_what_is_there(folder, places)}")


def files_of(folder: Path) -> list[Path]:
    """Returns the files of the corpus that are there. Raises UsageError as `find_corpus` does."""
    place, form = find_corpus(folder)
    names = [place / name for name in (*form, *(PEOPLE if form == CONVOKIT else ()))]
    books = [workbook(name, place, folder) for name in WORKBOOKS] if form == ORIGINAL else []
    return [path for path in (*names, *books) if path.is_file()]


def holds_corpus(folder: Path) -> bool:
    """Returns whether a folder, or one below it, holds the corpus in one of its forms."""
    return folder.is_dir() and any(map(_form_in, folders_below(folder)))


def _form_in(folder: Path) -> tuple[str, ...]:
    names = {path.name for path in folder.iterdir()}
    if names.issuperset(ORIGINAL):
        return ORIGINAL
    return CONVOKIT if names.issuperset(CONVOKIT) and not names.isdisjoint(PEOPLE) else ()


def _none_in(folder: Path) -> str:
    return (
        f"no Persuasion for Good corpus in {folder}: looked for {' + '.join(ORIGINAL)}, "
        f"and for {' + '.join(CONVOKIT)} + {' or '.join(PEOPLE)}"
    )


def _what_is_there(folder: Path, places: Sequence[Path]) -> str:
    """Returns the way out for a folder without the whole corpus, with a semicolon before it; empty for none."""
    packed = next((path for place in places for path in sorted(place.glob("*.zip"))), None)
    if packed is not None:
        return f"; unpack {packed}, and give its folder"
    for place in places:
        for form in (ORIGINAL, (*CONVOKIT, *PEOPLE)):
            there = [name for name in form if (place / name).exists()]
            if there:
                missing = [name for name in form if name not in there]
                return f"; {place} has {' and '.join(there)}, but no {' or '.join(missing)}"
        book = next((path for name in ORIGINAL if (path := (place / name).with_suffix(".xlsx")).exists()), None)
        if book is not None:
            return f"; save {book} as {book.with_suffix('.csv').name}"
        if any((place / name).exists() for name in WORKBOOKS):
            return f"; {place} has only the annotated part; give the folder that has FullData and AnnotatedData"
    parent = folder.resolve().parent
    if all((parent / name).exists() for name in ORIGINAL) or all((parent / name).exists() for name in CONVOKIT):
        return f"; it is in {parent}"
    return ""


def workbook(name: str, folder: Path, given: Path) -> Path:
    """Returns the path of an annotated part: beside the full one, or in another folder of the repository."""
    places = [folder, folder.parent / "AnnotatedData", *folders_below(given)]
    return next((place / name for place in places if (place / name).exists()), folder / name)
