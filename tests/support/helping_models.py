"""Chat models of the proactive world on this machine: the agent, its decision, the user, and the judge."""

import json
import math

from josh.envs.proactive.prompts import DECIDE, INSTRUCTIONS, ONE_WORD

TEXTS = {text: action for texts in INSTRUCTIONS.values() for action, text in texts.items()}


def kind(body):
    """What a request asks for: an action, the words of an action, an answer of the user, or a mark."""
    first = body["messages"][0]["content"]
    if first.startswith(DECIDE):
        return "labels" if first.endswith(ONE_WORD) else "reply"
    if "You asked an assistant" in first:
        return "answer"
    if "Reply with a whole number" in first:
        return "mark"
    return next(action for text, action in TEXTS.items() if text in first)


def respond(body):
    """Asks where the request is short, writes code, answers, and gives every plan 7 points."""
    asked = kind(body)
    if asked in ("labels", "reply"):
        state = body["messages"][1]["content"]
        action = "Clarify" if "[Dialogue Turn] 0" in state and "as usual" in state else "Execute"
        if asked == "reply":
            return json.dumps({"action": action})
        tops = [{"token": action[:4], "logprob": math.log(0.7)}, {"token": "The", "logprob": math.log(0.3)}]
        return {"content": action, "logprobs": {"content": [{**tops[0], "top_logprobs": tops}]}}
    return {
        "answer": "By price, of course.",
        "mark": "7",
        "Clarify": "By what do I sort?",
        "Execute": "```python\ndef work(things):\n    return sorted(things)\n```\n" + "step " * 50,
    }[asked]
