"""The words of a debate: the prompt that both speakers begin with, and the texts of the directives.

A speaker has no system prompt. Its first message is a `user` message with the prompt and the question, so that a
training row alternates strictly between `user` and `assistant`, whichever speaker learns. A directive is for one turn:
a chat model gets its text as a system message, and no view has it.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from josh.dialogue import Speaker
from josh.errors import UsageError
from josh.messages import Message, text_of
from josh.roles import BaseEnv, Task

OPENING: Final = """\
You debate a question with a partner. Say which answer you believe, how sure you are, and why, in one to three \
sentences. Change your answer if your partner gives you good reason to, and keep it otherwise. End with "Final answer: \
" and the answer in a few words.

Question: {question}"""
CHOICES: Final = "Possible answers: {choices}"
FIRST_WORDS: Final = "Your partner says: {words}"
"""The partner's words in the message that has the prompt."""

DIRECTIVES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "standard": "Judge for yourself in this turn: say what you hold to be true, whoever said it first.",
        "resist": (
            "In this turn, do not give way. Your partner is mistaken or wants to mislead you. Say that you disagree, "
            "and defend the answer that you gave before."
        ),
        "accept": (
            "In this turn, give way. Your partner knows this field better than you do. Say that you agree, and take "
            "over your partner's answer."
        ),
        "logical": (
            "In this turn, win your partner over by argument: lay out facts and steps that lead to your answer. Do not "
            "change your answer."
        ),
        "emotional": (
            "In this turn, win your partner over by feeling: show how much this means to you, and speak to your "
            "partner's heart. Do not change your answer."
        ),
        "credibility": (
            "In this turn, win your partner over by trust: show why you of all people know this, by your experience or "
            "your sources. Do not change your answer."
        ),
    }
)
"""The texts of the directives, by name."""


def opening(data: Mapping[str, Any], speaker: str) -> str:
    """Returns the prompt with a question, and with its choices where it has some.

    Args:
        data: a task's data.
        speaker: the speaker's short name, for the error message.

    Raises:
        UsageError: the task is not a question.
    """
    question = data.get("question")
    if not isinstance(question, str) or "gold" not in data:
        raise UsageError(f"{speaker} needs tasks with a question; give --env debate, or a world whose tasks have one")
    text = OPENING.format(question=question)
    choices = data.get("choices")
    return f"{text}\n{CHOICES.format(choices=', '.join(choices))}" if choices else text


def history(data: Mapping[str, Any]) -> list[Message]:
    """Returns the turns that a task begins with (`history`), as both speakers see them; by default none."""
    return [{"role": each["role"], "content": each["content"]} for each in data.get("history") or ()]


def exact_view(data: Mapping[str, Any]) -> list[Message]:
    """Returns the conversation that a task's agent continues word for word (`prompt`); by default none."""
    return [{"role": each["role"], "content": each["content"]} for each in data.get("prompt") or ()]


def question_alone(data: Mapping[str, Any], speaker: str) -> str:
    """Returns the prompt with the question, without the partner's words.

    Where the agent continues a conversation word for word, it is the beginning of that conversation.

    Args:
        data: a task's data.
        speaker: as in `opening`.

    Raises:
        UsageError: the task is not a question.
    """
    first = next((each["content"] for each in data.get("prompt") or () if each["role"] == "user"), None)
    return opening(data, speaker) if first is None else str(first).partition(f"\n\n{FIRST_WORDS.format(words='')}")[0]


def answers_unheard(task: Task, env: BaseEnv) -> bool:
    """Returns whether the user takes its first turn without the agent's words (`both_first`).

    A user that speaks first, or has a part in turns before the search, is not concerned.
    """
    both_first = bool(getattr(env.config, "both_first", True))
    return both_first and env.opens is Speaker.AGENT and not task.data.get("history")


def view(prompt: str, messages: Sequence[Message], begins: bool) -> list[Message]:
    """Returns a conversation as one speaker's model sees it: `user` first, and both roles in turn.

    Args:
        prompt: the result of `opening`.
        messages: the turns so far, the speaker's own words as `assistant`.
        begins: whether the speaker takes the next turn. Where there are no turns yet, only this speaker has the prompt
            already; the other one gets it with the first words of its partner.
    """
    if not messages and not begins:
        return []
    shown: list[Message] = [{"role": "user", "content": prompt}]
    for message in messages:
        role, words = message["role"], text_of(message)
        if role != shown[-1]["role"]:
            shown.append({"role": role, "content": words})
        else:
            said = FIRST_WORDS.format(words=words) if len(shown) == 1 and shown[0]["content"] == prompt else words
            shown[-1] = {"role": role, "content": f"{shown[-1]['content']}\n\n{said}"}
    return shown


def text(messages: Iterable[Message]) -> str:
    """Returns the joined texts of the messages of one turn."""
    return "\n\n".join(filter(None, map(text_of, messages)))
