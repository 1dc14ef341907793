"""A search's tree as text: what was said, who won, and where it split, in box characters."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from josh.episode import Episode
from josh.messages import Message, dumps, flip_roles
from josh.roles import BaseEnv
from josh.runs.record.summary import counted
from josh.terminal import cells, text_of, visible, wrap
from josh.tree import Node, Outcome, Speaker, Turn, walk

LINES = 3
"""Lines that a turn gets, unless all of it is asked for."""
_TEXT = 24
"""Columns that a text has at least, however deep it stands."""
WORDS = {
    Outcome.WON: "won",
    Outcome.LOST: "lost",
    Outcome.USER_LEFT: "user left",
    Outcome.TRUNCATED: "limit",
    Outcome.INFRA_ERROR: "error",
    Outcome.ALIVE: "alive",
}


@dataclass(frozen=True, slots=True)
class Glyphs:
    """What a tree is drawn with, each a column wide."""

    fork: str
    last: str
    pipe: str
    dash: str
    golden: str
    won: str
    other: str
    error: str


BOXES = Glyphs("├", "└", "│", "─", "★", "✓", "·", "✗")
ASCII = Glyphs("|", "`", "|", "-", "*", "+", "-", "!")
_PAINT = {"golden": "1;33", "won": "32", "lost": "2", "error": "31"}


@dataclass(frozen=True, slots=True)
class Style:
    """How a tree is written.

    Attributes:
        width: columns.
        glyphs: what it is drawn with.
        colours: write in colours.
        full: whole texts, and what only one side saw.
        names: what the sides are called, by speaker.
        unit: what rewards are counted in.
    """

    width: int
    glyphs: Glyphs = BOXES
    colours: bool = False
    full: bool = False
    names: Mapping[str, str] = field(default_factory=lambda: BaseEnv.speakers)
    unit: str = ""


def was_cut_off(episode: Episode, leaf: int) -> bool:
    """Whether a leaf was alive when another branch's win ended it."""
    return episode.outcomes[leaf] is Outcome.LOST and episode.tree.nodes[leaf].turn.outcome is Outcome.ALIVE


def ending(episode: Episode, leaf: int) -> str:
    """How a leaf came out, in a word or two; `successful` is one that was rewarded, but did not meet all goals."""
    if episode.outcomes[leaf] is Outcome.LOST and leaf in _rewarded(episode):
        return "successful"
    return "cut off" if was_cut_off(episode, leaf) else WORDS[episode.outcomes[leaf]]


def _rewarded(episode: Episode) -> set[int]:
    return {leaf for collapse in episode.tree.collapses for leaf in collapse.rewarded}


def verdict(episode: Episode) -> str:
    """How a task came out, in a word or two."""
    ends = [episode.outcomes[leaf] for leaf in episode.reported]
    if len(ends) > 1:
        return f"{ends.count(Outcome.WON)} of {len(ends)} won"
    return WORDS[ends[0]] if ends else "error"


def errors_in(episode: Episode) -> int:
    """How many turns an error ended; 1 where it was the task itself."""
    return sum(bool(node.turn.error) for node in episode.tree.nodes) or int(bool(episode.error))


def tree_lines(episode: Episode, style: Style) -> Iterator[str]:
    """An episode's tree, a line at a time: a turn without siblings stands under the one before, siblings are indented.

    Args:
        episode: a finished task.
        style: how to write.
    """
    return _Drawing(episode, style).lines()


class _Drawing:
    """One tree being drawn."""

    def __init__(self, episode: Episode, style: Style) -> None:
        self._episode = episode
        self._tree = tree = episode.tree
        self._style = style
        self._children: dict[int, list[int]] = {}
        for index, node in enumerate(tree.nodes[1:], 1):
            self._children.setdefault(node.parent, []).append(index)
        self._golden = _golden(episode)
        won = _rewarded(episode) | {leaf for leaf, outcome in episode.outcomes.items() if outcome is Outcome.WON}
        self._won = {index for leaf in won for index in walk(tree, leaf)}
        failed = {leaf for leaf, outcome in episode.outcomes.items() if outcome is Outcome.INFRA_ERROR}
        for index in reversed(range(len(tree.nodes))):
            below = self._children.get(index, ())
            if below and all(child in failed for child in below):
                failed.add(index)
        self._failed = failed
        self._kept = {collapse.winner for collapse in tree.collapses}
        # Where splits follow upon splits the texts need the columns.
        self._narrow = 10 * max(node.path.count("/") + bool(node.path) for node in tree.nodes) > style.width

    def lines(self) -> Iterator[str]:
        """All of it."""
        yield from self._head()
        waiting = self._after(0, "")
        while waiting:
            index, first, rest = waiting.pop()
            yield from self._turn(index, first, rest)
            waiting += self._after(index, rest)
        yield from self._foot()

    def _after(self, index: int, prefix: str) -> list[tuple[int, str, str]]:
        """The turns after one, with what stands before their first line and the others, the last one first."""
        glyphs, below = self._style.glyphs, self._children.get(index, [])
        if len(below) == 1:
            return [(below[0], prefix, prefix)]
        drawn = []
        dash, gap = ("", "  ") if self._narrow else (f"{glyphs.dash} ", "    ")
        for child in below:
            fork, pipe = (glyphs.last, " ") if child == below[-1] else (glyphs.fork, glyphs.pipe)
            drawn.append((child, f"{prefix}{fork}{dash}{self._mark(child)} ", f"{prefix}{pipe}{gap}"))
        return drawn[::-1]

    def _mark(self, index: int) -> str:
        glyphs, kind = self._style.glyphs, self._kind(index)
        return {"golden": glyphs.golden, "won": glyphs.won, "error": glyphs.error}.get(kind, glyphs.other)

    def _kind(self, index: int) -> str:
        """What became of the best path through a turn."""
        if index in self._golden:
            return "golden"
        return "won" if index in self._won else "error" if index in self._failed else "lost"

    def _head(self) -> Iterator[str]:
        episode, style = self._episode, self._style
        figures = [verdict(episode)]
        if episode.scored:
            figures[0] += f", {style.unit}{episode.reward:.2f}"
            figures.append(f"{episode.rounds:.3g} {'round' if episode.rounds == 1 else 'rounds'}")
        figures += [counted(len(self._tree.nodes) - 1, "turn"), counted(len(episode.outcomes), "path")]
        if errors := errors_in(episode):
            figures.append(counted(errors, "error"))
        for line in wrap(f"{visible(episode.task.id)}: {'; '.join(figures)}", style.width):
            yield line
        if episode.error:
            for line in wrap(visible(f"error: {episode.error}"), style.width):
                yield self._painted(line, "error")
        yield ""
        root = self._tree.nodes[0].turn
        before = root.internal if style.full else root.messages
        for message in before:
            yield from self._text(*self._said(message), "", "")
        prompts = [message for message in root.user_internal or () if style.full and message.get("role") == "system"]
        for message in prompts:
            yield from self._text(f"system, for the {style.names['user']}", text_of(message), "", "")
        if before or prompts:
            yield ""

    def _foot(self) -> Iterator[str]:
        glyphs = self._style.glyphs
        if len(self._episode.outcomes) > 1:
            marks = [(glyphs.golden, "golden path"), (glyphs.won, "successful"), (glyphs.other, "did not win")]
            if self._failed:
                marks.append((glyphs.error, "error"))
            yield ""
            yield "   ".join(f"{mark} {what}" for mark, what in marks)

    def _turn(self, index: int, first: str, rest: str) -> Iterator[str]:
        """A turn: what was said and done, and behind the last of it how the conversation stands."""
        node = self._tree.nodes[index]
        said = list(self._messages(node)) or [(self._style.names[node.speaker], self._silence(node))]
        label = self._label(index, node)
        for place, (who, text) in enumerate(said):
            start = first if place == 0 else rest
            yield from self._text(who, text, start, rest, label if place == len(said) - 1 else "", index)

    def _silence(self, node: Node) -> str:
        if node.turn.error:
            return f"({node.turn.error})"
        return "(nothing)" if node.turn.outcome is Outcome.ALIVE else "(left)"

    def _messages(self, node: Node) -> Iterator[tuple[str, str]]:
        """Who said what in a turn; with `full` as its speaker is trained on it, else what both sides saw, and calls."""
        turn = node.turn
        if self._style.full and node.speaker is Speaker.USER and turn.user_internal is not None:
            # In the user's own view its words are the assistant's, and the agent says nothing in its turn.
            roles = {"assistant": self._style.names["user"], "user": "tool"}
            for message in turn.user_internal:
                yield roles.get(str(message.get("role")), "tool"), self._said(message)[1]
            own = {dumps(message) for message in turn.user_internal}
            for message, flipped in ((each, flip_roles([each])) for each in turn.messages):
                if not flipped or dumps(flipped[0]) not in own:
                    yield self._said(message)
            return
        if self._style.full:
            for message in turn.internal:
                who, text = self._said(message)
                # In the agent's own turn the user says nothing: an agent without tool messages is told there what came
                # of its calls.
                told = node.speaker is Speaker.AGENT and message.get("role") == "user"
                yield "tool" if told else who, text
            shown = {dumps(message) for message in turn.internal}
            yield from (self._said(message) for message in turn.messages if dumps(message) not in shown)
            return
        # An agent that writes its calls as text has none in its messages.
        calls = [call for message in turn.internal for call in _calls(message)] or list(_called(turn))
        yield from ((self._style.names["agent"], call) for call in calls)
        for message in turn.messages:
            if text_of(message):
                yield self._name(message), text_of(message)

    def _said(self, message: Message) -> tuple[str, str]:
        return self._name(message), "\n".join([text_of(message), *_calls(message)]).strip("\n")

    def _name(self, message: Message) -> str:
        role = str(message.get("role", "?"))
        return self._style.names[{"assistant": "agent"}.get(role, role)] if role in {"assistant", "user"} else role

    def _label(self, index: int, node: Node) -> str:
        episode, unit = self._episode, self._style.unit
        words = []
        outcome = episode.outcomes.get(index)
        if outcome is not None:
            words.append(ending(self._episode, index))
        elif index in self._kept:
            words.append("kept")
        if index in episode.worth and (outcome is Outcome.WON or episode.worth[index] or index in self._kept):
            words.append(f"{unit}{episode.worth[index]:.2f}")
        if node.turn.duplicate:
            words.append("repeats its sibling")
        if not words:
            return ""
        kind = self._kind(index)
        if kind == "golden" and index in self._kept | set(episode.reported):
            return f"{self._style.glyphs.golden} {', '.join(words)}"
        return ", ".join(words)

    def _text(self, who: str, text: str, first: str, rest: str, label: str = "", index: int = 0) -> Iterator[str]:
        """A text with its speaker, wrapped, and a label at the end of its last line."""
        style = self._style
        room = max(_TEXT, style.width - cells(rest))
        lines = wrap(f"{visible(who)}: {visible(text) if style.full else ' '.join(visible(text).split())}", room)
        if not style.full and len(lines) > LINES:
            end = lines[LINES - 1]
            while " " in end and cells(end) + 6 > room:
                end = end.rpartition(" ")[0]
            lines = [*lines[: LINES - 1], f"{end} [...]"]
        kind = self._kind(index) if index else ""
        if label and cells(lines[-1]) + 2 + cells(label) > room:
            lines.append("")
        for place, line in enumerate(lines):
            tail = ""
            if label and place == len(lines) - 1:
                tail = " " * (room - cells(line) - cells(label)) + self._painted(label, kind)
            yield f"{rest if place else first}{self._painted(line, kind) if line else ''}{tail}".rstrip()

    def _painted(self, text: str, kind: str) -> str:
        return f"\x1b[{_PAINT[kind]}m{text}\x1b[0m" if self._style.colours and kind in _PAINT else text


def _golden(episode: Episode) -> set[int]:
    """The turns of the golden path: down to the last winner of a search, or to the best of plain conversations."""
    tree = episode.tree
    if tree.collapses:
        return set(walk(tree, tree.collapses[-1].winner)) if tree.collapses[-1].rewarded else set()
    won = [leaf for leaf in episode.reported if tree.is_won(leaf)]
    return set(walk(tree, max(won, key=lambda leaf: episode.worth[leaf]))) if won else set()


def _calls(message: Message) -> list[str]:
    """The tool calls in a message, a line each."""
    calls = [call.get("function") or {} for call in message.get("tool_calls") or () if isinstance(call, dict)]
    return [_shown(call.get("name"), str(call.get("arguments", ""))) for call in calls]


def _called(turn: Turn) -> Iterator[str]:
    """The tool calls that an agent did in a turn, by the custom of `BaseJOSHAgent.recent_actions`."""
    for action in (action for step in turn.actions for action in step):
        if isinstance(action, Mapping) and {"name", "arguments"} <= action.keys():
            yield _shown(action["name"], dumps(action["arguments"]))


def _shown(name: Any, arguments: str) -> str:
    return f"[calls {name or '(unreadable)'} {arguments}]"
