"""Files of conversations from elsewhere, and their import on the command line."""

import json
from pathlib import Path

from josh.cli import main
from josh.runs.record.stored import stored_episodes


def said(role, content, **more):
    """A chat message."""
    return {"role": role, "content": content, **more}


TALK = [said("user", "Hi."), said("assistant", "Hello, how can I help?"), said("user", "A table for two, please.")]


def written(path, *rows):
    """Write rows as JSON lines, and return the path as text."""
    Path(path).write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return str(path)


def imported(path, form, *flags, out="run"):
    """Import a file, and return the episodes of the run."""
    assert main(["import", str(path), "--format", form, "--out", out, *flags]) == 0
    return episodes_of(out)


def episodes_of(run):
    """The episodes of a run."""
    damaged = []
    found = [episode for _, episode in stored_episodes(Path(run) / "episodes.jsonl", damaged)]
    assert not damaged
    return found


def config_of(run):
    """A run's `config.json`."""
    return json.loads((Path(run) / "config.json").read_text(encoding="utf-8"))


def summary_of(run):
    """A run's `summary.json`."""
    return json.loads((Path(run) / "summary.json").read_text(encoding="utf-8"))


def messages_of(episode):
    """What both sides saw, as pairs of role and text."""
    return [(one["role"], one["content"]) for node in episode.tree.nodes[1:] for one in node.turn.messages]
