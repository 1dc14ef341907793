"""An agent that reasons and acts in plain text (ReAct, Yao et al., ICLR 2023), for any chat model."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from josh.agents.prompted import PromptedAgent
from josh.agents.react_grammar import CALL, PLAN, RETURN, SPEAK, Malformed, Speak, ToolCall, parse
from josh.messages import dumps, without_thoughts
from josh.roles import BaseEnv, Task, TurnModel
from josh.tools import use

FORMAT: Final = f"""\
Write every message in blocks. A block starts on a line of its own with one of three words in capitals:

{PLAN} what you make of the situation and mean to do next. Nobody but you reads it.
{CALL} one call of a tool, as a JSON object: {{"name": "the tool", "arguments": {{"a parameter": "its value"}}}}
{SPEAK} your words to the user, in plain language. The user sees these and nothing else.

Start with a {PLAN}, then write either one {CALL} or one {SPEAK}, and stop there. After {CALL} you are sent what the \
tool returned, behind the word {RETURN}, which you never write yourself. After {SPEAK} the user answers."""

GO_ON: Final = f"(Go on with {CALL} or {SPEAK}.)"
"""The message that the agent gets after a plan without a call or speech."""


class ReAct(PromptedAgent):
    """Plans, calls one tool at a time and speaks, by the grammar of `react_grammar`.

    The system prompt lists the tools. The model gets the results of tools, and errors in its completions, as user
    messages. These messages are in `messages_internal` only.
    """

    def prompt(self, task: Task, env: BaseEnv) -> str:
        """Returns the world's prompt, the format, and the tools."""
        return system_prompt(env.agent_prompt(task), env.tools(task))

    async def step(self, *, model: TurnModel, env: Any = None, **_: Any) -> bool:
        """Asks for one completion and acts on it.

        Text after the first call or speech is dropped.

        Returns:
            True after speech, which ends the turn; else False.
        """
        reply = await model.reply(self.messages_internal)
        text = without_thoughts(reply.text)
        if not text:
            return False
        found = parse(text)
        if isinstance(found, Malformed):
            # It counts as a refused call, so that exports make no training example of it.
            self.recent_actions = [{"name": "", "arguments": {}, "error": found.reason}]
            self._note(text, f"{RETURN} Error: {found.reason}")
            return False
        act = found[-1]
        written = text[: act.end]
        if isinstance(act, Speak):
            self.messages_internal.append({"role": "assistant", "content": written})
            self.messages.append({"role": "assistant", "content": act.text})
            return True
        if isinstance(act, ToolCall):
            used = await use(env, act.name, act.arguments)
            self.recent_actions = [used.action]
            self._note(written, f"{RETURN} {used.text}")
        else:
            self._note(written, GO_ON)
        return False

    def _note(self, written: str, answer: str) -> None:
        """Stores a completion that the user does not see, and the answer that the agent gets to it."""
        self.messages_internal.append({"role": "assistant", "content": written})
        self.messages_internal.append({"role": "user", "content": answer})


def system_prompt(prompt: str, tools: Sequence[Mapping[str, Any]]) -> str:
    """Returns the environment's prompt, the format, and the tools, one JSON schema per line."""
    schemas = [dumps(tool.get("function", tool)) for tool in tools]
    listed = (
        "\n".join(["The tools, each by its JSON schema:", *schemas]) if schemas else f"No tools: never write {CALL}."
    )
    return "\n\n".join(filter(None, (prompt, FORMAT, listed)))
