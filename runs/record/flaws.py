"""The flaws of a run's turns: what failed, was cut off, came as text or repeated a sibling; as rows and as lines."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from josh.dialogue import Speaker
from josh.reading import LENGTH
from josh.tree import Tree

SILENT = "said nothing"
"""The failure of a turn in which no reply had words; see `josh.roles.AgentError`."""
IN_TEXT = "held calls that the server left in the text, which were answered with an error"
REPEATED = "repeat an elder one, with another seed, too"


@dataclass(frozen=True, slots=True)
class Flaws:
    """Numbers of turns, by speaker and model."""

    spoken: Counter[tuple[str, str]] = field(default_factory=Counter)
    """All turns."""
    younger: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Turns with an elder sibling."""
    failures: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Turns that failed by themselves, also by failure without its details."""
    cut_off: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Turns that were cut off, also by `cut off by` and the reason."""
    calls_in_text: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Turns with a call that the server left in the text, also by `IN_TEXT`."""
    repeated: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Turns of a chat model that repeat an elder sibling, although they were sampled again, also by `REPEATED`."""

    @classmethod
    def of(cls, tree: Tree) -> "Flaws":
        """Returns the flaws of a tree."""
        found, parents = cls(), set()
        for node in tree.nodes[1:]:
            turn, who = node.turn, (str(node.speaker), node.turn.model)
            found.spoken[who] += 1
            found.younger[who] += node.parent in parents
            parents.add(node.parent)
            if turn.failure:
                found.failures[*who, turn.failure.partition(": ")[0]] += 1
            if turn.cut:
                found.cut_off[*who, f"cut off by {turn.cut}"] += 1
            if turn.calls_in_text:
                found.calls_in_text[*who, IN_TEXT] += 1
            if turn.duplicate and turn.usage.calls:
                found.repeated[*who, REPEATED] += 1
        return found

    def add(self, other: "Flaws") -> None:
        """Add the numbers of other turns to these."""
        for name in _NAMES:
            if more := getattr(other, name):
                getattr(self, name).update(more)

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """Returns the flawed turns as `schema.SummaryFile` has them, the most frequent first; without keys for none."""
        kinds = {
            "failures": (self.failures, self.spoken),
            "cut_off": (self.cut_off, self.spoken),
            "calls_in_text": (self.calls_in_text, self.spoken),
            "repeated": (self.repeated, self.younger),
        }
        return {
            kind: [
                {"speaker": speaker, "model": model, "flaw": flaw, "turns": turns, "of": whole[speaker, model]}
                for (speaker, model, flaw), turns in sorted(counts.items(), key=lambda each: (-each[1], each[0]))
            ]
            for kind, (counts, whole) in kinds.items()
            if counts
        }


_NAMES = tuple(one.name for one in fields(Flaws))


def describe_flaws(summary: Mapping[str, Any]) -> list[str]:
    """Returns a line for each flaw in a run's turns, with what to try; none for a run without flaws.

    Repetitions get a line where they are at least half of the turns that could be one, and silence gets a hint where it
    is at least half of the turns.
    """
    lines = [f"{_line(each, 'turn')}{_if_silent(each)}" for each in summary.get("failures", ())]
    lines += [_line(each, "turn") for each in summary.get("calls_in_text", ())]
    for each in summary.get("cut_off", ()):
        hint = f"; raise {_flag(each, 'max_tokens')}" if each["flaw"].endswith(LENGTH) else ""
        lines.append(f"{_line(each, 'turn', 'were ')}{hint}; exports leave them out")
    for each in summary.get("repeated", ()):
        if 1 < each["turns"] >= each["of"] / 2:
            way = (
                f"raise {_flag(each, 'temperature')}, or let the server sample (transformers serve does so only if the "
                'model\'s generation_config.json has "do_sample": true)'
            )
            lines.append(f"{_line(each, 'younger sibling')}; {way}")
    return lines


def _if_silent(each: Mapping[str, Any]) -> str:
    """Returns what to try where most replies of a model hold no words: the server, or what the model is asked."""
    if each["flaw"] != SILENT or not each["model"] or each["turns"] < each["of"] / 2:
        return ""
    thinking = f"raise {_flag(each, 'max_tokens')}, or turn thinking off by {_flag(each, 'extra_body')}"
    return f"; its replies hold no words: if it only thinks, {thinking}; else try another model or server"


def _flag(each: Mapping[str, Any], name: str) -> str:
    return f"--{name}" if each["speaker"] == Speaker.AGENT else f"--user_{name}"


def _line(each: Mapping[str, Any], noun: str, verb: str = "") -> str:
    of = f"{each['of']} {noun}{'' if each['of'] == 1 else 's'}"
    return f"{each['model'] or 'no model'}, as the {each['speaker']}: {each['turns']} of {of} {verb}{each['flaw']}"
