"""An agent that reasons and acts in plain text (ReAct, Yao et al., ICLR 2023), for any chat model."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from josh.agents.prompted import PromptedAgent
from josh.agents.react_grammar import CALL, PLAN, RETURN, SPEAK, Malformed, Plan, Speak, parse
from josh.messages import dumps
from josh.reading import read_text, without_thoughts
from josh.roles import BaseEnv, Task, TurnModel
from josh.tools import unreadable, use

FORMAT: Final = f"""\
Write every message in blocks. A block starts on a line of its own with one of three words in capitals:

{PLAN} what you make of the situation and mean to do next. Nobody but you reads it.
{CALL} one call of a tool, as a JSON object: {{"name": "the tool", "arguments": {{"a parameter": "its value"}}}}
{SPEAK} your words to the user, in plain language. The user sees these and nothing else.

Start with a {PLAN}, then write either one {CALL} or one {SPEAK}, and stop there. After {CALL} you are sent what the \
tool returned, behind the word {RETURN}, which you never write yourself. After {SPEAK} the user answers."""

GO_ON: Final = f"(Go on with {CALL} or {SPEAK}.)"
"""The message that the agent gets after a plan without a call or speech."""

NOT_REACT: Final = "is --agent_strategy function_calling meant?"
"""The hint where a model does not keep to the grammar."""


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

        Raises:
            AgentError: nothing could be read, or nothing but plans, several times in a row; see
                `PromptedAgent.count_unread`.
        """
        reply = await model.reply(self.messages_internal)
        text = without_thoughts(reply.text)
        if not text:
            self.count_unread(text, model, "said nothing")
            return False
        found = parse(text)
        act = found if isinstance(found, Malformed) else found[-1]
        if isinstance(act, Speak) and read_text(act.text).calls:
            act = Malformed(f"the words after {SPEAK} hold the marks of a call; begin a line with {CALL}")
        if isinstance(act, Malformed):
            self.recent_actions = [unreadable(act.reason)]
            self._note(text, f"{RETURN} Error: {act.reason}")
            self.count_unread(text, model, "could not be read as ReAct", NOT_REACT)
            return False
        written = text[: act.end]
        if isinstance(act, Plan):
            self._note(written, GO_ON)
            self.count_unread(text, model, f"only planned, without {CALL} or {SPEAK}", NOT_REACT)
            return False
        self.unread = ()
        if isinstance(act, Speak):
            self.messages_internal.append({"role": "assistant", "content": written})
            self.messages.append({"role": "assistant", "content": act.text})
            return True
        used = await use(env, act.name, act.arguments)
        self.recent_actions = [used.action]
        self._note(written, f"{RETURN} {used.text}")
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
