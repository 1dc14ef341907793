"""Trajectories in the layout of the published project, and the commands that read them."""

import json
from pathlib import Path

from josh.cli import main

STATE = {
    "id": "q",
    "domain": "coding",
    "query": "Sort my orders.",
    "dialogue_turn": 0,
    "prev_reject": 0,
    "task_uncertainty": 0.3,
}
SOLVABLE = {**STATE, "needs": ["sorted"]}
"""A state whose solution contains a text, so that it is graded without being run."""
PERSONA = {"name": "Novice-Learner", "domain": "coding", "expertise": "low", "patience": "high"}
ANSWERED = {"answered_clarification": 1, "answer_clarity": 0.3, "satisfaction": 0.85}
REJECTED = {"reject_signal": 1, "satisfaction": 0.3}
CODE = "```python\ndef work(things):\n    return sorted(things)\n```"


def words(number, text=""):
    """A message of so many words that ends with a text."""
    return " ".join([*["word"] * (number - len(text.split())), *text.split()])


def trajectory(action, text, meta=(), state=STATE, **more):
    """A trajectory of one message."""
    reaction = {"user_reply": "By price.", "meta": dict(meta)}
    return {
        "state": state,
        "action": action,
        "action_prompt": "Help.",
        "assistant_msg": text,
        "persona": PERSONA,
        "user_reaction": reaction,
        "is_mainline": False,
        "decision_point": 0,
        **more,
    }


def talk(action, *messages, state=STATE, **more):
    """A trajectory of several messages, each a pair of text and meta."""
    interactions = [
        {
            "interaction_num": number,
            "type": "execute" if "```" in text else "clarify",
            "assistant_msg": text,
            "user_reaction": {"user_reply": "By price.", "meta": dict(meta)},
        }
        for number, (text, meta) in enumerate(messages, start=1)
    ]
    whole = "\n\n".join(text for text, _ in messages)
    return trajectory(action, whole, messages[-1][1], state, interactions=interactions, **more)


def write(rows, path="traj.jsonl"):
    """Writes a file of rows, and returns its path."""
    Path(path).write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return Path(path)


def preferences(rows, *flags, out="prefs.jsonl"):
    """The rows that `josh proactive rewards` makes of trajectories, or of a file of them."""
    path = rows if isinstance(rows, str | Path) else write(rows)
    assert main(["proactive", "rewards", "--trajectories", str(path), "--out", str(out), *map(str, flags)]) == 0
    return [json.loads(line) for line in Path(out).read_text(encoding="utf-8").splitlines()]
