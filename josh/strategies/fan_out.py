"""Trees by a table: which instructions each turn is taken under (Stengel-Eskin et al., NAACL 2025, section 3.1).

A table has one row for each turn from the root down: the speaker, and the directives. A turn is taken once for each
directive of its row, so both speakers branch. The search draws no conclusions: labels come afterwards
(`BaseRewards.pairs`), and a branch ends where the rewards end it (`BaseRewards.ended`).
"""

import ast
import json
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any, ClassVar, Final

from josh.config import setting
from josh.dialogue import Speaker
from josh.errors import UsageError
from josh.search import Strategy
from josh.seeds import derive
from josh.texts import read_text
from josh.tree import Expand, Tree

DIRECTIVES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "standard": "Give your own honest view in your next message, and say why.",
        "resist": "In your next message, keep to what you have said so far. Do not let your partner change your mind.",
        "accept": "In your next message, accept what your partner has said, as something that you now believe too.",
        "logical": "In your next message, win your partner over by reasons: facts, steps and conclusions.",
        "emotional": "In your next message, win your partner over by feelings: speak warmly and from the heart.",
        "credibility": "In your next message, win your partner over by trust: show why you are someone to believe.",
    }
)
"""The texts of the usual directives, where a world has no texts of its own."""


@dataclass(frozen=True, slots=True)
class Ply:
    """One row of a table.

    Attributes:
        speaker: who takes the turn.
        directives: the instructions, one for each sibling; None for no instruction.
        draw: how many of them each node draws; None for all, in their order.
    """

    speaker: Speaker
    directives: tuple[str | None, ...]
    draw: int | None = None


PUBLISHED: Final = (
    Ply(Speaker.AGENT, ("resist", "logical"), 1),
    Ply(Speaker.USER, ("resist", "accept")),
    Ply(Speaker.AGENT, ("logical", "emotional", "credibility")),
    Ply(Speaker.USER, ("resist", "accept")),
)
"""The published table: 1, 2, 6 and 12 turns, if no branch ends earlier."""


def table_as_text(table: Sequence[Ply]) -> str:
    """Returns a table as JSON text, which `read_table` reads."""
    return json.dumps(
        [
            [row.speaker, *([] if row.draw is None else [row.draw]), [each or "" for each in row.directives]]
            for row in table
        ],
        ensure_ascii=False,
    )


class FanOut(Strategy):
    """A tree by a table of directives; every branch is played to the table's end, or to its own."""

    @dataclass(frozen=True, slots=True)
    class Config:
        """The table, and how the conversations continue after it."""

        table: str = setting(
            table_as_text(PUBLISHED),
            "the turns of a tree from its root: a TOML file, or a list such as "
            "[['agent', 1, ['resist', 'logical']], ['user', ['resist', 'accept']]]; a number draws so many directives",
            stored=lambda given: table_as_text(read_table(given)),
        )
        go_on: bool = setting(False, "after the table, play each branch to its end without directives")

    config: Config
    directives: ClassVar[Mapping[str, str]] = DIRECTIVES

    @property
    def table(self) -> tuple[Ply, ...]:
        """The table's rows."""
        return _parsed(self.config.table)

    @property
    def resamples(self) -> bool:
        """Equal siblings stay as they are: their directives differ, and a label compares them as they are."""
        return False

    def describe(self) -> str:
        """Returns the most turns of each row, in words: `1, 2, 6, 12 turns by a table of directives`."""
        counts, product = [], 1
        for row in self.table:
            product *= row.draw or len(row.directives)
            counts.append(str(product))
        return f"searched by a table of directives ({', '.join(counts)} turns)"

    def plan(self, tree: Tree) -> tuple[Expand, ...]:
        """Continue each live leaf by the directives of its row.

        Where the other speaker than the table's first opens, its opening turn is taken without a directive.
        """
        table, nodes = self.table, tree.nodes
        late = int(nodes[0].speaker is table[0].speaker)
        planned = []
        for leaf in tree.frontier:
            node = nodes[leaf]
            place = node.depth - late
            if 0 <= place < len(table):
                planned.append(Expand(leaf, table[place].speaker, self._directives(tree, leaf, table[place])))
            elif place < 0 or self.config.go_on:
                planned.append(Expand(leaf, node.speaker.other))
        return tuple(planned)

    def _directives(self, tree: Tree, leaf: int, row: Ply) -> tuple[str | None, ...]:
        """Returns a row's directives for one node; where the row draws, by the search's seed and the node's place."""
        if row.draw is None:
            return row.directives
        node = tree.nodes[leaf]
        drawn = Random(derive(tree.seed, node.path, node.depth)).sample(range(len(row.directives)), row.draw)
        return tuple(row.directives[place] for place in sorted(drawn))


@lru_cache(maxsize=64)
def _parsed(text: str) -> tuple[Ply, ...]:
    return read_table(text)


def read_table(given: Any) -> tuple[Ply, ...]:
    """Returns a table.

    Args:
        given: a sequence of rows `[speaker, directives]` or `[speaker, number, directives]`, the text of such a list as
            Python or JSON writes it, or the path of a TOML file with the list `table`.

    Raises:
        UsageError: it is not such a table; speakers do not alternate; a row is empty, or draws more than it has.
    """
    rows = _rows(given) if isinstance(given, str | Path) else given
    where = f"{given}: table" if _is_file(given) else "table"
    if not isinstance(rows, list | tuple) or not rows:
        what = rows if _is_file(given) else given
        raise UsageError(f"{where} is {what!r:.80}; give at least one row, such as ['agent', ['resist', 'accept']]")
    table = tuple(
        row if isinstance(row, Ply) else _ply(row, f"{where} row {number}") for number, row in enumerate(rows, 1)
    )
    for number, (one, other) in enumerate(pairwise(table), 2):
        if one.speaker is other.speaker:
            raise UsageError(f"{where} row {number}: the {other.speaker} speaks twice in a row; speakers take turns")
    return table


def _is_file(given: Any) -> bool:
    """Returns whether a table is given as a path, and not as the text of a list."""
    return isinstance(given, str | Path) and not str(given).lstrip().startswith(("[", "("))


def _rows(given: str | Path) -> Any:
    text = str(given)
    if _is_file(given):
        path = Path(text)
        if path.suffix != ".toml":
            raise UsageError(f"table is {text!r:.80}; give a list of rows, or a file that ends in .toml")
        try:
            found = tomllib.loads(read_text(path))
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{path}: {error}") from None
        if set(found) != {"table"}:
            raise UsageError(f"{path} has {', '.join(found) or 'nothing'}; give one list with the name table")
        return found["table"]
    with suppress(ValueError):
        return json.loads(text)
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise UsageError(f"table is {text!r:.80}, which is not a list; give rows as ['agent', ['resist']]") from None


def _ply(row: Any, where: str) -> Ply:
    if not isinstance(row, list | tuple) or len(row) not in (2, 3):
        raise UsageError(f"{where} is {row!r:.60}; give [speaker, directives] or [speaker, number, directives]")
    speaker, *some, directives = row
    if speaker not in tuple(Speaker):
        raise UsageError(f"{where}: the speaker is {speaker!r:.40}; give {' or '.join(Speaker)}")
    if not isinstance(directives, list | tuple) or not all(
        each is None or isinstance(each, str) for each in directives
    ):
        raise UsageError(f"{where}: the directives are {directives!r:.60}; give a list of texts")
    if not directives:
        raise UsageError(f"{where} has no directives; give at least one, '' for no instruction")
    draw = some[0] if some else None
    if draw is not None and (type(draw) is not int or not 1 <= draw <= len(directives)):
        raise UsageError(f"{where} draws {draw!r:.20} of {len(directives)} directives; give 1 to {len(directives)}")
    return Ply(Speaker(speaker), tuple(each or None for each in directives), draw)
