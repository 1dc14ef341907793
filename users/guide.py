"""The guide user: a chat model coaches a user, and reads how a human reached the same goal."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from josh.errors import TurnError
from josh.messages import Message, flip_roles
from josh.reading import read_text
from josh.roles import BaseEnv, BaseJOSHUser, Task, TurnModel
from josh.users.asking import TRIES
from josh.users.ending import END, defuse, read_ending, with_ending
from josh.users.script import human_dialogue

COACH = """\
You coach somebody who is writing to an assistant, and put the next message into their mouth. You know what they are \
after, and how another person once got the same from another assistant.

# What the user is after
{goals}

# How it went the other time
{dialogue}

# What to mind
Let the user ask in the order and the manner of the other time, as far as the assistant of today lets them: answer \
what it asks, and go by what it says, even where the other one said something else. The user asks for nothing that is \
not listed above, and for everything that is. A message is short and plain, and never speaks of this coaching.
Once the user has all of it, or it shows that it cannot be had, they take their leave, with {end} in that message: it \
closes the conversation.

# How you answer
Say in a sentence or two what is still to be had. Then close with a line that begins with "Suggested quote:" and goes \
on with the user's next message, word for word, and nothing else."""

SO_FAR = "# The conversation of today\n"
NOTHING_YET = "(Nothing has been said. The user writes first.)"
ASK = "\n\nWhat does the user write next?"
AGAIN = 'No line of yours begins with "Suggested quote:" and has a message after it. Write that line now.'

_QUOTE = re.compile(r"suggested\s+quote\s*\**\s*:", re.IGNORECASE)
_MARKS = {'"': '"', "\u201c": "\u201d", "'": "'", "\u2018": "\u2019", "\u00ab": "\u00bb", "`": "`"}


class GuideUser(BaseJOSHUser):
    """Says what a coach suggests, and ends the conversation with `ending.END` in the suggestion.

    Its model is the coach. It is asked one question per turn and suggests a quote; no training example holds these
    requests. `messages_internal` is the conversation of the coached user, in the form of a goal user's: the
    environment's prompt with how to end, the agent's words, and each suggestion with its marker. A model trained on it
    plays such a user without a coach, as `--user goal`. Samples of a turn are those of the coach.
    """

    needs_model: ClassVar[bool] = True

    def __init__(self) -> None:
        self.prompt = ""

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Takes the goal and the human dialogue from the task. Raises UsageError where the task has no dialogue."""
        prompt = env.user_prompt(task)
        self.messages_internal = [{"role": "system", "content": with_ending(prompt)}] if prompt else []
        dialogue = transcript(human_dialogue(task, "guide"))
        goals = "\n".join(f"- {sentence}" for sentence in task.data["message"])
        self.prompt = COACH.format(goals=goals, dialogue=dialogue, end=END)

    async def step(self, agent: Any, *, model: TurnModel, **_: Any) -> tuple[Any, bool]:
        """Speaks once. The conversation is over when the suggestion holds the marker, which is removed from it.

        Raises:
            TurnError: the model gave three replies in a row without a suggestion.
        """
        seen = self.view(agent.messages)
        for _try in range(TRIES):
            reply = await model.reply(seen)
            text = read_text(reply.text).speech
            suggestion = suggested(text)
            if suggestion:
                said, over = read_ending(suggestion)
                self.messages_internal.append({"role": "assistant", "content": suggestion})
                agent.add_message({"role": "user", "content": unquoted(said) or said})
                return agent, over
            if text:
                seen = [*seen, {"role": "assistant", "content": text}, {"role": "user", "content": AGAIN}]
        raise TurnError(f"the guide user's model gave {TRIES} replies without a suggested quote")

    def hear(self, messages: Sequence[Message]) -> list[Message]:
        """Returns the messages with the two roles swapped, and the markers in the agent's words defused."""
        return flip_roles(messages, defuse)

    def view(self, messages: Sequence[Message]) -> list[Message]:
        """Returns the messages that the coach is asked with: its prompt, and the conversation so far as one text.

        Only the end of the text changes as the conversation goes on.
        """
        heard = [
            {**message, "content": defuse(message["content"])} if message.get("role") == "assistant" else message
            for message in messages
            if message.get("content")
        ]
        return [
            {"role": "system", "content": self.prompt},
            {"role": "user", "content": SO_FAR + (transcript(heard) or NOTHING_YET) + ASK},
        ]


def transcript(messages: Sequence[Message]) -> str:
    """Returns a conversation as text, one turn per line.

    Further lines of a turn are indented, so that none of them looks like a turn.
    """
    who = {"user": "User", "assistant": "Assistant"}
    turns = [(who[turn["role"]], turn["content"].splitlines()) for turn in messages if turn["role"] in who]
    return "\n".join(f"{speaker}: " + "\n    ".join(lines) for speaker, lines in turns)


def suggested(text: str) -> str:
    """Returns the text after the last `Suggested quote:`, without quotation marks around it; empty without one."""
    _, *quotes = _QUOTE.split(text)
    return unquoted(quotes[-1]) if quotes else ""


def unquoted(text: str) -> str:
    """Returns `text` without blanks, asterisks and one pair of quotation marks around it."""
    text = text.strip().strip("*").strip()
    inner = text[1:-1]
    paired = len(text) > 1 and _MARKS.get(text[0]) == text[-1]
    # If another quotation opens inside, the marks at the two ends may belong to two different quotations.
    return inner.strip() if paired and f" {text[0]}" not in inner else text
