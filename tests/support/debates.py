"""Debates' trees made by hand: from answers to stored episodes with facts, views and labelled pairs."""

from josh.dialogue import Outcome, Speaker, Turn
from josh.envs.debate.labels import label_pairs
from josh.messages import dumps, flip_roles
from josh.outcomes import Episode
from josh.roles import Task
from josh.runs.record.episode_json import to_json
from josh.tree import Node, Tree, leaves

GOLD = "x"
PROMPT = "Debate with me."
RESIST, ACCEPT, LOGICAL = "Never give way.", "Always give way.", "Be logical."
TEXTS = {"resist": RESIST, "accept": ACCEPT, "logical": LOGICAL}
"""The texts of the directives."""
TRAIN, VALID, TEST = ("q0", "q1", "q2"), ("q7", "q9"), ("q3", "q5")
"""Ids of questions of each part."""


class Debate:
    """Builds a debate's tree turn by turn, as the agent and the user of a run would see it."""

    def __init__(self, name="q0", words="{answer}, says turn {turn}."):
        """Args: name: the question's id. words: the text of a turn."""
        self.name = name
        self.words = words
        opening = ({"role": "user", "content": f"{PROMPT} {name}?"},)
        self.nodes = [Node(-1, Speaker.USER, "", 0, Turn(internal=opening, user_internal=()), ())]

    def add(self, parent, answer, directive=None, **turn):
        """Adds a turn with an answer, None for an unreadable one; returns its index."""
        before = self.nodes[parent]
        speaker = before.speaker.other
        facts = before.turn.facts or {"answers": {"agent": None, "user": None}}
        answers = {**facts["answers"], str(speaker): answer}
        right = {side: None if said is None else said == GOLD for side, said in answers.items()}
        agree = answers["agent"] is not None and answers["agent"] == answers["user"]
        role = "assistant" if speaker is Speaker.AGENT else "user"
        words = self.words.format(answer=answer, turn=len(self.nodes))
        said = ({"role": role, "content": words},)
        first = parent == 0
        heard = ({"role": "user", "content": f"{PROMPT} {self.name}? {words}"},) if first else None
        made = {
            "messages": said,
            "internal": said,
            "user_internal": heard or tuple(flip_roles(said)),
            "facts": {"answers": answers, "right": right, "agree": agree},
            **turn,
        }
        number = sum(node.parent == parent for node in self.nodes)
        path = f"{before.path}/{number}".strip("/")
        self.nodes.append(Node(parent, speaker, path, before.depth + 1, Turn(**made), (), directive, before.depth + 1))
        return len(self.nodes) - 1

    def episode(self, **changes):
        """Returns the episode with its labelled pairs."""
        tree = Tree(tuple(self.nodes), ())
        ended = {leaf: Outcome.LOST for leaf in leaves(tree) if leaf}
        data = {"question": f"{self.name}?", "gold": [GOLD], "choices": []}
        worth = dict.fromkeys(ended, 0.0)
        given = {"metrics": {}, "pairs": label_pairs(tree), **changes}
        return Episode(Task(self.name, 0, data), tree, tuple(ended)[:1], ended, worth, **given)


def worked_example(name="q0", directives=("resist", "accept"), **words):
    """A0 says y. B1 says x when it resists, z when it accepts. The partner says y, y, y after x, and x, x, w after z.

    The last turns keep B1's answer, or take the partner's: 3 pairs resist, 2 accept, and in 1 both are wrong.
    """
    debate = Debate(name, **words)
    first = debate.add(0, "y", "logical")
    for own, row, directive in zip("xz", ("yyy", "xxw"), directives, strict=True):
        second = debate.add(first, own, directive)
        for said in row:
            third = debate.add(second, said, "logical")
            debate.add(third, own, directives[0])
            debate.add(third, said, directives[1])
    return debate


def stored_debates(folder, *debates, texts=TEXTS):
    """Returns the folder of a run with these debates."""
    folder.mkdir(parents=True)
    config = {"settings": {"strategy": {"name": "fan_out"}}, "directives": texts}
    (folder / "config.json").write_text(dumps(config), encoding="utf-8")
    episodes = [one.episode() if isinstance(one, Debate) else one for one in debates]
    lines = "".join(f"{dumps(to_json(episode))}\n" for episode in episodes)
    (folder / "episodes.jsonl").write_text(lines, encoding="utf-8")
    return folder


def published(debate, swapped=True):
    """Returns a debate as a line of PBT's files; with `swapped` the answers are in each other's slots, as published."""
    root = {"node_idx": -1, "agent_idx": -1, "generation": f"{RESIST}\n\nQuestion: {debate.name}?", "parent": -1}
    data = [{**root, "extracted_ans": [None, None], "extracted_conf": -1.0, "children": []}]
    for index, node in enumerate(debate.nodes[1:], 1):
        agent = int(node.speaker is Speaker.USER)
        answers = list(data[node.parent]["extracted_ans"])
        answers[agent ^ swapped] = node.turn.facts["answers"][node.speaker]
        parent = node.parent or -1
        data[node.parent]["children"].append(index)
        words = node.turn.messages[0]["content"]
        turn = {"node_idx": index, "agent_idx": agent, "generation": words, "parent": parent, "children": []}
        data.append({**turn, "extracted_ans": answers, "extracted_conf": 0.8})
    metadata = {"question_id": debate.name, "question": f"{debate.name}?", "answer": {"normalized_aliases": [GOLD]}}
    return {"data": data, "metadata": metadata, "model_a": "a", "model_b": "b"}
