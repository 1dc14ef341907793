"""Continues conversations with the very tokens that were sampled, as on-policy training needs.

A chat template writes a conversation as text, and a tokenizer may split that text otherwise than the model wrote it. A
trainer that computes probabilities must see the model's own tokens. So the prompt of a later turn is made of three
parts: the tokens of the earlier prompt, the tokens that were sampled, and the tokens of the text that the template puts
after the model's words (the end of its turn, the other side's turn, the beginning of the next).

The third part is the difference of two rendered texts of this conversation. Nothing is rendered for a made-up
conversation, because some templates number the turns. A template that writes the past otherwise than it was prompted
(one that removes thoughts from earlier turns, for example) is found by the same comparison. Such a prompt is tokenized
anew and has no prefix in common with the earlier sample, so each turn is a sample of its own.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from josh.messages import Message, dumps
from josh.models.chat_template import ChatTemplate, Tools


@dataclass(frozen=True, slots=True)
class _Sampled:
    """One reply: its text, its tokens with the prompt's, and the text of its end token; empty where it has none."""

    text: str
    tokens: tuple[int, ...]
    end: str


class TokenHistory:
    """The replies that were sampled in some conversations.

    Attributes:
        rewritten: number of prompts so far in which the template wrote a sampled reply or its prompt otherwise.
    """

    def __init__(self, template: ChatTemplate) -> None:
        """Args: template: writes the prompts."""
        self._template = template
        self._sampled: dict[bytes, list[_Sampled]] = {}
        self.rewritten = 0

    def note(
        self,
        messages: Sequence[Message],
        tools: Tools,
        text: str,
        prompt_ids: Sequence[int],
        token_ids: Sequence[int],
        *,
        ended: bool,
    ) -> None:
        """Note a reply.

        Args:
            messages: the messages that were asked with.
            tools: the tools that were asked with.
            text: the reply's text, as the speaker gets it.
            prompt_ids: the tokens of the prompt.
            token_ids: the sampled tokens.
            ended: whether the last token is the one that ends a turn.
        """
        end = str(self._template.tokenizer.decode(list(token_ids[-1:]))) if ended else ""
        known = self._sampled.setdefault(_key(messages, tools), [])
        known.append(_Sampled(text, (*prompt_ids, *token_ids), end))

    def prompt(self, messages: Sequence[Message], tools: Tools = None) -> tuple[list[int], tuple[str, ...]]:
        """Returns the tokens of the prompt for the next turn, and the changes of the form; see `ChatTemplate.prompt`.

        Raises:
            RefusedError, LostCallError: see `ChatTemplate.formed`.
        """
        place = next((at for at in reversed(range(len(messages))) if messages[at].get("role") == "assistant"), 0)
        words = messages[place].get("content") if place else None
        known = self._sampled.get(_key(messages[:place], tools), ()) if isinstance(words, str) else ()
        earlier = next((one for one in known if one.text.strip() == str(words).strip()), None)
        if earlier is None:
            return self._template.prompt(messages, tools)
        text, cut, names = self._template.prompt_text(messages, tools)
        before, _, _ = self._template.prompt_text(messages[:place], tools, cut)
        after = _after(text, before, str(words), earlier, cut)
        if after is None:
            self.rewritten += 1
            return self._template.tokens(text, cut), names
        return [*earlier.tokens, *self._template.tokens(after, cut)], names


def _after(text: str, before: str, words: str, reply: _Sampled, cut: str) -> str | None:
    """Returns the text after a reply; None where the text does not begin with the prompt and the reply.

    Blanks around the reply do not count: some templates add or remove them, and the sampled tokens have their own.

    Args:
        text: the whole text.
        before: the text of the reply's prompt.
        words: the reply in the conversation.
        reply: the reply as it was sampled.
        cut: the mark inside control tokens that stand in messages.
    """
    if not text.startswith(before):
        return None
    said = f"{re.escape(cut)}*".join(map(re.escape, words.strip()))
    blanks = r"\s*" if reply.end else ""
    found = re.compile(rf"\s*{said}{blanks}{re.escape(reply.end)}").match(text, len(before))
    return text[found.end() :] if found else None


def _key(messages: Sequence[Message], tools: Tools) -> bytes:
    return blake2b(dumps([messages, tools]).encode("utf-8", "backslashreplace"), digest_size=16).digest()
