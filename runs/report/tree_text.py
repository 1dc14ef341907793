"""A search's tree as text in box characters: what was said, which branches won, and where the tree splits."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from josh.dialogue import Outcome, Speaker, Turn
from josh.messages import Message, dumps, flip_roles, text_of
from josh.outcomes import Episode
from josh.roles import BaseEnv
from josh.runs.record.summary import OUTCOME_WORDS, UNRATED, counted
from josh.runs.report.annotations import Annotator, pair_words
from josh.terminal import rendered, shortened, visible, wrap
from josh.tree import Confirmation, Node, walk

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text
    from rich.tree import Tree as Drawing

LINES = 3
"""Most lines of a message, unless whole texts are shown."""
_DIRECTIVE = 30
"""Most columns of a directive."""
_TEXT = 24
"""Fewest columns of a text, at any depth of the tree."""
_STYLES = {"golden": "bold yellow", "won": "green", "lost": "dim", "error": "red"}
_MARKS = {"golden": "★", "won": "✓", "lost": "·", "error": "✗"}
_ASCII_MARKS = {"golden": "*", "won": "+", "lost": "-", "error": "!"}
# The text before a line: below the last sibling, below another sibling, at a sibling, at the last sibling.
_GUIDES = ("     ", "│    ", "├─ ", "└─ "), ("     ", "|    ", "|- ", "`- ")
_NARROW_GUIDES = ("   ", "│  ", "├", "└"), ("   ", "|  ", "|", "`")


@dataclass(frozen=True, slots=True)
class Style:
    """The style of a tree.

    Attributes:
        console: decides about the width, box characters and colours.
        full: show whole texts, and what only one side saw.
        names: the names of the sides, by speaker.
        unit: the unit of rewards.
        annotator: gives the words for the facts of turns.
    """

    console: "Console"
    full: bool = False
    names: Mapping[str, str] = field(default_factory=lambda: BaseEnv.speakers)
    unit: str = ""
    annotator: Annotator = field(default_factory=Annotator)


def was_cut_off(episode: Episode, leaf: int) -> bool:
    """Returns whether a leaf was alive when another branch's win ended it."""
    return episode.outcomes[leaf] is Outcome.LOST and episode.tree.nodes[leaf].turn.outcome is Outcome.ALIVE


def ending(episode: Episode, leaf: int) -> str:
    """Returns the outcome of a leaf in a word or two; `successful`: it was rewarded, but did not meet all goals."""
    if episode.outcomes[leaf] is Outcome.LOST and leaf in _rewarded(episode):
        return "successful"
    return "cut off" if was_cut_off(episode, leaf) else OUTCOME_WORDS[episode.outcomes[leaf]]


def _rewarded(episode: Episode) -> set[int]:
    return {leaf for collapse in episode.tree.collapses for leaf in collapse.rewarded}


def verdict(episode: Episode) -> str:
    """Returns the outcome of a task in a word or two."""
    ends = [episode.outcomes[leaf] for leaf in episode.reported]
    if len(ends) > 1:
        return f"{ends.count(Outcome.WON)} of {len(ends)} won"
    return OUTCOME_WORDS[ends[0]] if ends else UNRATED if episode.unrated else "error"


def again_words(found: Confirmation, unit: str) -> str:
    """Returns how a winning path fared with fresh users: `wins again with 3 of 20 users, $0.21 on average`."""
    won = sum(replay.won for replay in found.replays if replay.sound)
    words = f"wins again with {won} of {counted(found.users, 'user')}, {unit}{found.reward:.2f} on average"
    return f"{words}: too few" if found.doubtful else words


def errors_in(episode: Episode) -> int:
    """Returns the number of turns that an error ended; 1 if an error ended the task itself."""
    return sum(bool(node.turn.error) for node in episode.tree.nodes) or int(bool(episode.error))


def tree_lines(episode: Episode, style: Style) -> list[str]:
    """Returns an episode's tree as lines. A turn without siblings stands below the turn before; siblings are indented.

    Args:
        episode: a finished task.
        style: the style of the tree.
    """
    return TreeRenderer(episode, style).lines()


class TreeRenderer:
    """Draws one tree."""

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
        self._pairs = pair_words(episode)
        self._kept = {collapse.winner for collapse in tree.collapses}
        ascii_only = style.console.options.ascii_only
        self._marks = _ASCII_MARKS if ascii_only else _MARKS
        # With many splits on a path, the texts need the columns.
        narrow = 10 * max(node.path.count("/") + bool(node.path) for node in tree.nodes) > style.console.width
        self._guides = (_NARROW_GUIDES if narrow else _GUIDES)[ascii_only]

    def lines(self) -> list[str]:
        """Returns the whole text."""
        from rich.console import Group

        return rendered(Group(*self._head(), self._turns(), *self._foot()), self._style.console)

    def _turns(self) -> "Drawing":
        """Returns the turns as rich's tree; the turns between two splits are one node of it."""
        from rich.console import Group
        from rich.text import Text
        from rich.tree import Tree as Drawing

        top = Drawing("")
        top.TREE_GUIDES, top.ASCII_GUIDES = [self._guides], self._guides
        waiting = [(top, 0, 0)]
        while waiting:
            drawing, index, indent = waiting.pop()
            lines = list(self._turn(index, indent)) if index else []
            if indent:
                mark = f"{self._marks[self._kind(index)]} "
                lines[0] = Text.assemble(mark, lines[0], no_wrap=True, overflow="ignore")
            while len(below := self._children.get(index, [])) == 1:
                index = below[0]
                lines += self._turn(index, indent)
            drawing.label = Group(*lines)
            waiting += [(drawing.add(""), child, indent + len(self._guides[0])) for child in below]
        return top

    def _kind(self, index: int) -> str:
        """Returns the kind of the best path through a turn: a key of `_MARKS`."""
        if index in self._golden:
            return "golden"
        return "won" if index in self._won else "error" if index in self._failed else "lost"

    def _head(self) -> Iterator["RenderableType"]:
        from rich.text import Text

        episode, style = self._episode, self._style
        figures = [verdict(episode)]
        if episode.scored:
            figures[0] += f", {style.unit}{episode.reward:.2f}"
            figures.append(f"{episode.rounds:.3g} {'round' if episode.rounds == 1 else 'rounds'}")
        figures += [counted(len(self._tree.nodes) - 1, "turn"), counted(len(episode.outcomes), "path")]
        if errors := errors_in(episode):
            figures.append(counted(errors, "error"))
        if episode.budget:
            figures.append(f"ended by its budget of {episode.budget}")
        if episode.no_rows:
            figures.append(visible(f"{episode.no_rows}, and no training row"))
        yield f"{visible(episode.task.id)}: {'; '.join(figures)}"
        if episode.error:
            yield Text(visible(f"error: {episode.error}"), _STYLES["error"])
        yield ""
        root = self._tree.nodes[0].turn
        before = root.internal if style.full else root.messages
        for message in before:
            yield from self._text(*self._said(message))
        prompts = [message for message in root.user_internal or () if style.full and message.get("role") == "system"]
        for message in prompts:
            yield from self._text(f"system, for the {style.names['user']}", text_of(message))
        if before or prompts:
            yield ""

    def _foot(self) -> Iterator[str]:
        if len(self._episode.outcomes) > 1:
            marks = {"golden": "golden path", "won": "successful", "lost": "did not win"}
            if self._failed:
                marks["error"] = "error"
            yield ""
            yield "   ".join(f"{self._marks[kind]} {text}" for kind, text in marks.items())

    def _turn(self, index: int, indent: int) -> Iterator["Text"]:
        """Yields the lines of a turn: its messages and calls, and behind the last one a label with the outcome."""
        node = self._tree.nodes[index]
        said = list(self._messages(node)) or [(self._style.names[node.speaker], self._silence(node))]
        if node.directive:
            who, text = said[0]
            said[0] = f"{who} [{shortened(' '.join(node.directive.split()), _DIRECTIVE)}]", text
        for who, text in said[:-1]:
            yield from self._text(who, text, indent, "", self._kind(index))
        yield from self._text(*said[-1], indent, self._label(index, node), self._kind(index))

    def _silence(self, node: Node) -> str:
        if node.turn.error or node.turn.failure:
            return f"({node.turn.error or node.turn.failure})"
        return "(nothing)" if node.turn.outcome is Outcome.ALIVE else "(left)"

    def _messages(self, node: Node) -> Iterator[tuple[str, str]]:
        """Yields a turn's speakers and texts: with `full` as its speaker is trained on it, else what both sides saw."""
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
                # The user says nothing in the agent's turn: agents without tool messages get tool results as `user`.
                is_result = node.speaker is Speaker.AGENT and message.get("role") == "user"
                yield "tool" if is_result else who, text
            shown = {dumps(message) for message in turn.internal}
            yield from (self._said(message) for message in turn.messages if dumps(message) not in shown)
            return
        # An agent that writes its calls as text has no calls in its messages.
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
        if node.confirmation is not None:
            words.append(again_words(node.confirmation, unit))
        if node.turn.duplicate:
            words.append("repeats its sibling")
        if node.turn.cut:
            words.append(f"cut off by {node.turn.cut}")
        if node.turn.failure and node.turn.messages:
            words.append(node.turn.failure)
        words += map(visible, filter(None, [self._style.annotator.words(node), *self._pairs.get(index, ())]))
        if not words:
            return ""
        kind = self._kind(index)
        if kind == "golden" and index in self._kept | set(episode.reported):
            return f"{self._marks['golden']} {', '.join(words)}"
        return ", ".join(words)

    def _text(self, who: str, text: str, indent: int = 0, label: str = "", kind: str = "") -> list["Text"]:
        """Returns the lines of a text with its speaker, and a label at the end of the last line."""
        from rich.cells import cell_len
        from rich.text import Text

        full = self._style.full
        room = max(_TEXT, self._style.console.width - indent)
        lines = wrap(f"{visible(who)}: {visible(text) if full else ' '.join(visible(text).split())}", room)
        if not full and len(lines) > LINES:
            lines[LINES - 1 :] = [f"{wrap(lines[LINES - 1], room - 6)[0]} [...]"]
        if label and cell_len(f"{lines[-1]}  {label}") > room:
            lines.append("")
        if label:
            lines[-1] += " " * (room - cell_len(lines[-1] + label)) + label
        return [Text(line, _STYLES.get(kind, ""), no_wrap=True, overflow="ignore") for line in lines]


def _golden(episode: Episode) -> set[int]:
    """Returns the nodes of the golden path: to the last winner of a search, or to the best of plain conversations."""
    tree = episode.tree
    if tree.collapses:
        return set(walk(tree, tree.collapses[-1].winner)) if tree.collapses[-1].rewarded else set()
    won = [leaf for leaf in episode.reported if tree.is_won(leaf)]
    return set(walk(tree, max(won, key=lambda leaf: episode.worth[leaf]))) if won else set()


def _calls(message: Message) -> list[str]:
    """Returns the tool calls in a message, a line each."""
    calls = [call.get("function") or {} for call in message.get("tool_calls") or () if isinstance(call, dict)]
    return [_shown(call.get("name"), str(call.get("arguments", ""))) for call in calls]


def _called(turn: Turn) -> Iterator[str]:
    """Yields the tool calls of an agent's turn, in the form of `BaseJOSHAgent.recent_actions`."""
    for action in (action for step in turn.actions for action in step):
        if isinstance(action, Mapping) and {"name", "arguments"} <= action.keys():
            yield _shown(action["name"], dumps(action["arguments"]))


def _shown(name: Any, arguments: str) -> str:
    return f"[calls {name or '(unreadable)'} {arguments}]"
