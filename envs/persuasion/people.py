"""The dialogues of the corpus as conversations of people, for `josh import`.

1. The persuader is the agent, and the persuadee the user.
2. The reward is what the persuadee gave after the chat (B6), at most the two dollars of the task. The last turn's
   `observed` has the amount as it was entered, and what the persuadee spoke of giving (B5).
3. A turn's actions are its annotated acts; where the dialogue is not annotated, its text.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from josh.dialogue import Speaker, Turn
from josh.envs.persuasion.corpus import Dialogue, Utterance, load_corpus, split
from josh.envs.persuasion.donation import DONATION
from josh.envs.persuasion.layout import files_of
from josh.envs.persuasion.personas import Persona
from josh.errors import UsageError
from josh.imported import ImportedDialogue, RecordedDialogues
from josh.transcript import Transcript

SPOILT: Final = "marked as spoilt by their authors"
"""Why 27 dialogues are no training rows."""
_GIVEN: Final = "donation"


def recorded_dialogues(folder: Path, rule: str, part: str | None) -> RecordedDialogues:
    """Returns the dialogues of the corpus.

    Args:
        folder: the corpus.
        rule: how it is split; see `josh.envs.persuasion.corpus.split`.
        part: the split; None for all dialogues, in the order of the corpus.

    Raises:
        UsageError: the corpus cannot be read, or has no such split.
    """
    if not folder.is_dir():
        raise UsageError(f"corpus is {str(folder)!r}, which is not a folder; give the folder of the corpus")
    corpus = load_corpus(folder)
    chosen = corpus.dialogues
    if part is not None:
        parts = split(corpus, rule)
        if part not in parts:
            raise UsageError(f"no task_split named {part!r}; known: all, {', '.join(parts)}")
        chosen = tuple(parts[part])
    return RecordedDialogues([_imported(each) for each in chosen], files_of(folder))


def task_id(dialogue: Dialogue) -> str:
    """Returns the id of a dialogue's task."""
    return f"p4g-{dialogue.id}"


def task_data(conversation: str, persuader: Persona, persuadee: Persona) -> dict[str, Any]:
    """Returns the data of a task; see `PersuasionEnv.tasks`."""
    return {
        "conversation_id": conversation,
        "persuader": {"id": persuader.id, "traits": dict(persuader.traits)},
        "persuadee": {"id": persuadee.id, "traits": dict(persuadee.traits)},
    }


def persuader_turns(dialogue: Dialogue) -> list[str]:
    """Returns the persuader's turns that the persuadee answered, in order."""
    turns = list(_turns(dialogue))
    followed = [speaker for speaker, _ in turns[1:]]
    return [
        "\n".join(str(message["content"]) for message in turn.messages)
        for (speaker, turn), after in zip(turns, followed, strict=False)
        if speaker is Speaker.AGENT and after is Speaker.USER
    ]


def given_after(conversation: Transcript | None) -> float | None:
    """Returns what the persuadee gave after a conversation of the corpus; None for any other conversation."""
    observed = conversation.turns[-1].observed if conversation else None
    given = observed.get(_GIVEN) if isinstance(observed, Mapping) else None
    return float(given) if isinstance(given, int | float) else None


def _imported(dialogue: Dialogue) -> ImportedDialogue:
    turns = list(_turns(dialogue))
    return ImportedDialogue(
        f"dialogue {dialogue.id}",
        task_id(dialogue),
        turns,
        reward=min(dialogue.donation, DONATION.high),
        data=task_data(dialogue.id, dialogue.persuader, dialogue.persuadee),
        no_rows=SPOILT if dialogue.bad else "",
    )


def _turns(dialogue: Dialogue) -> Iterator[tuple[Speaker, Turn]]:
    groups: list[list[Utterance]] = []
    for utterance in dialogue.utterances:
        if groups and groups[-1][0].speaker is utterance.speaker:
            groups[-1].append(utterance)
        else:
            groups.append([utterance])
    for number, group in enumerate(groups, 1):
        speaker = group[0].speaker
        role = "assistant" if speaker is Speaker.AGENT else "user"
        said = tuple({"role": role, "content": one.text.strip()} for one in group)
        done = tuple(one.acts if dialogue.annotated else (one.text.strip(),) for one in group)
        known = {_GIVEN: dialogue.donation, "intended": dialogue.intended}
        yield speaker, Turn(said, said, done, observed=known if number == len(groups) else None)
