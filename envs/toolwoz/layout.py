"""Finds MultiWOZ's files in the layouts in which they are passed around.

- A folder with `data.json`, as in the zips of MultiWOZ 2.0, 2.1, 2.3 and 2.4; it may be up to three folders below the
  given one, as in a clone of the repository.
- ConvLab-2's `train.json`, `val.json` and `test.json`, which have the same entries.
- One file of this kind, under any name.
- A folder with only the database. Where there is any other data, the folder is refused: tasks are never made up in
  place of dialogues that cannot be read.

Other layouts are refused with the reason: MultiWOZ 2.2's `dialogues_*.json` and the unified format of ConvLab-3 have
no goals in the form that tasks are made of, and zips have to be unpacked.
"""

from collections.abc import Sequence
from pathlib import Path

from josh.envs.toolwoz.database import KEYS
from josh.errors import UsageError
from josh.texts import folders_below

DATA = "data.json"
PARTS = ("train.json", "val.json", "test.json")
"""The files of ConvLab-2, one for each split."""

_DEPTH = 3
_BESIDE = tuple(f"{stem}.{end}" for stem in ("delex", "testListFile", "valListFile") for end in ("json", "txt"))
_HOLDERS = frozenset(
    (".json", ".jsonl", ".csv", ".tsv", ".parquet", ".arrow", ".pkl", ".xlsx", ".gz", ".tgz", ".tar", ".bz2", ".xz")
)
"""The endings of files that may hold dialogues."""
_TABLES = ("_db.json", "ontology.json", "slot_descriptions.json", "value_dict.json", "prices.json")
"""The ends of the names of files that come with the database."""
_NEEDED = "give the folder with MultiWOZ 2.1's data.json, or that file"


def data_files(given: Path) -> tuple[Path, ...]:
    """Returns the files with the dialogues: one, or ConvLab-2's; none where the folder has only a database.

    Args:
        given: a folder, or a file with dialogues.

    Raises:
        UsageError: the folder has MultiWOZ in a layout without goals, packed, or more than once, or has parts of it.
    """
    if given.is_file():
        return (given,)
    folders = list(folders_below(given))
    near = [place for place in (given, given / "data") if (place / DATA).is_file()]
    found = near[:1] or [place for place in folders if (place / DATA).is_file()]
    if len(found) > 1:
        names = ", ".join(str(place) for place in found)
        raise UsageError(f"{given} holds {DATA} more than once; give one of {names}")
    if found:
        return (found[0] / DATA,)
    for place in folders:
        parts = tuple(path for name in PARTS if (path := place / name).is_file())
        if len(parts) > 1:
            return parts
    _refuse_others(given, folders)
    return ()


def database_folder(given: Path, files: Sequence[Path]) -> Path:
    """Returns the folder of the database: the first of the likely ones that has any of its files.

    From the dialogues' folder upwards these are each folder's `db` and the folder itself, then all below the given one.

    Args:
        given: see `data_files`.
        files: its result.
    """
    start = files[0].parent if files else given
    upwards = [start, *start.parents[: _DEPTH if files else 0]]
    places = [place for folder in upwards for place in (folder / "db", folder)]
    below = folders_below(given) if given.is_dir() else ()
    return next((place for place in (*places, *below) if _has_tables(place)), start)


def _refuse_others(given: Path, folders: Sequence[Path]) -> None:
    for place in folders:
        lonely = next((path for name in _BESIDE if (path := place / name).is_file()), None)
        if lonely is not None:
            raise UsageError(f"{lonely} is there, but no {DATA}, whose goals the tasks are; add it, or give its file")
    zips = [path for place in folders for path in sorted(place.glob("*.zip"))]
    packed = f"; unpack {zips[0]} if it has one" if zips else ""
    for place in folders:
        newer = next(iter(sorted(place.glob("dialogues_*.json"))), None)
        newer = newer or next((path for name in ("schema.json",) if (path := place / name).is_file()), None)
        if newer is not None:
            raise UsageError(f"{newer} is of MultiWOZ 2.2, which has no goals to make tasks of; {_NEEDED}{packed}")
        if (place / "dialogues.json").is_file():
            raise UsageError(
                f"{place / 'dialogues.json'} is of ConvLab-3's unified format, which josh does not read; {_NEEDED}"
            )
    if zips:
        raise UsageError(f"{given} has no {DATA}, but {zips[0]}; unpack it, and give its folder")
    if not any(map(_has_tables, folders)):
        tables = ", ".join(f"{domain}_db.json" for domain in KEYS)
        raise UsageError(f"{given} has neither MultiWOZ's {DATA} nor its database ({tables}); {_NEEDED}")
    # Made-up tasks never stand in for dialogues that cannot be read.
    others = (path for place in folders if not _is_run(place) for path in sorted(place.iterdir()))
    other = next(filter(_may_hold_dialogues, others), None)
    if other is not None:
        database = next(place for place in folders if _has_tables(place))
        raise UsageError(
            f"{given} has no {DATA}, but {other}; give that file if it holds MultiWOZ's dialogues, or {database} for "
            "made-up tasks over the database"
        )


def _may_hold_dialogues(path: Path) -> bool:
    return path.suffix.lower() in _HOLDERS and path.is_file() and not path.name.endswith(_TABLES)


def _is_run(folder: Path) -> bool:
    """Returns whether a run was recorded in a folder, as with `--data .`."""
    return (folder / "replies.sqlite").exists() or (folder / "episodes.jsonl").exists()


def _has_tables(folder: Path) -> bool:
    return any((folder / f"{domain}_db.json").is_file() for domain in KEYS)
