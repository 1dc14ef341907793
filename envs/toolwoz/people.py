"""MultiWOZ's dialogues as conversations of people, for `josh import`: the desk is the agent, the visitor the user."""

from itertools import groupby

from josh.dialogue import Speaker, Turn
from josh.imported import DialogueLeftOut, ImportedDialogue
from josh.roles import Task


def spoken(task: Task) -> ImportedDialogue | DialogueLeftOut:
    """Returns the dialogue of a task; its turns have their words as actions."""
    turns = []
    for role, group in groupby(task.data["dialogue"], key=lambda message: message["role"]):
        said = tuple({"role": role, "content": message["content"]} for message in group if message["content"])
        if said:
            speaker = Speaker.AGENT if role == "assistant" else Speaker.USER
            turns.append((speaker, Turn(said, said, tuple((message["content"],) for message in said))))
    place = f"dialogue {task.id}"
    if not any(speaker is Speaker.AGENT for speaker, _ in turns):
        return DialogueLeftOut(place, "without a word of the agent")
    return ImportedDialogue(place, task.id, turns, data=task.data)
