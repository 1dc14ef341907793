"""An agent that reasons and acts in plain text (ReAct, Yao et al., ICLR 2023), for any chat model."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from josh.agents.react_grammar import CALL, PLAN, RETURN, SPEAK, Call, Malformed, Speak, parse
from josh.messages import dumps, with_opener, without_thoughts
from josh.roles import BaseEnv, BaseJOSHAgent, Task, TurnModel
from josh.tools import use
from josh.tree import Speaker

FORMAT: Final = f"""\
Write every message in blocks. A block starts on a line of its own with one of three words in capitals:

{PLAN} what you make of the situation and mean to do next. Nobody but you reads it.
{CALL} one call of a tool, as a JSON object: {{"name": "the tool", "arguments": {{"a parameter": "its value"}}}}
{SPEAK} your words to the user, in plain language. The user sees these and nothing else.

Start with a {PLAN}, then write either one {CALL} or one {SPEAK}, and stop there. After {CALL} you are sent what the \
tool returned, behind the word {RETURN}, which you never write yourself. After {SPEAK} the user answers."""

GO_ON: Final = f"(Go on with {CALL} or {SPEAK}.)"
"""What the agent is told after a plan alone."""


class ReAct(BaseJOSHAgent):
    """Plans, calls one tool at a time and speaks, by the grammar of `react_grammar`.

    What tools return and what is wrong with a completion comes to the model as a user message, which stands in
    `messages_internal` alone; the tools stand in the system prompt.
    """

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Take the system prompt, with the format and the tools, and the opener where the agent speaks first."""
        prompt = system_prompt(env.agent_prompt(task), env.tools(task))
        self.messages_internal.insert(0, {"role": "system", "content": prompt})
        if env.opens is Speaker.AGENT:
            self.messages_internal = with_opener(self.messages_internal)

    async def step(self, *, model: TurnModel, env: Any = None, **_: Any) -> bool:
        """Have one completion and act on it. True when it speaks; of what comes after a call nothing is kept."""
        reply = await model.reply(self.messages_internal)
        text = without_thoughts(reply.text)
        if not text:
            return False
        found = parse(text)
        if isinstance(found, Malformed):
            # So that it counts as a call that was refused, of which no training example is made.
            self.recent_actions = [{"name": "", "arguments": {}, "error": found.reason}]
            self._note(text, f"{RETURN} Error: {found.reason}")
            return False
        act = found[-1]
        written = text[: act.end]
        if isinstance(act, Speak):
            self.messages_internal.append({"role": "assistant", "content": written})
            self.messages.append({"role": "assistant", "content": act.text})
            return True
        if isinstance(act, Call):
            used = await use(env, act.name, act.arguments)
            self.recent_actions = [used.action]
            self._note(written, f"{RETURN} {used.text}")
        else:
            self._note(written, GO_ON)
        return False

    def _note(self, written: str, answer: str) -> None:
        """Keep a completion that the user does not hear of, and what the agent is told."""
        self.messages_internal.append({"role": "assistant", "content": written})
        self.messages_internal.append({"role": "user", "content": answer})


def system_prompt(prompt: str, tools: Sequence[Mapping[str, Any]]) -> str:
    """The environment's prompt, the format, and the tools, a JSON schema a line."""
    schemas = [dumps(tool.get("function", tool)) for tool in tools]
    listed = (
        "\n".join(["The tools, each by its JSON schema:", *schemas]) if schemas else f"No tools: never write {CALL}."
    )
    return "\n\n".join(filter(None, (prompt, FORMAT, listed)))
