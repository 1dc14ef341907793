"""A chat endpoint that debates: a function from a request to the reply, for `endpoint(respond=...)`."""

import re

from josh.envs.debate.prompts import DIRECTIVES


def directive_of(body):
    """The name of the directive in a request; None for none."""
    said = "\n".join(str(message["content"]) for message in body["messages"])
    return next((name for name, text in DIRECTIVES.items() if text in said), None)


def debate(agreeing=(), readable=True):
    """Speaker `a` says the first choice, and speaker `b` the second one.

    Args:
        agreeing: the directives under which `b` agrees in its first turn.
        readable: whether the rules find the answers; otherwise only the judge, `extractor`, does.
    """

    def respond(body):
        said = "\n".join(str(message["content"]) for message in body["messages"])
        if body["model"] == "extractor":
            return f"Final answer: {'alpha' if '(a)' in said else 'beta'}"
        first, second = re.search(r"Possible answers: (.*?), (.*?),", said).groups()
        if not readable:
            return f"I would rather talk about the weather ({body['model']})."
        begins = all(message["role"] != "assistant" for message in body["messages"])
        agrees = begins and directive_of(body) in agreeing
        return f"Final answer: {first if body['model'] == 'a' or agrees else second}"

    return respond


def sides(url, *, judged=False):
    """The flags of both models, and of the judge."""
    flags = ["--model_a", "a", "--model_b", "b", "--base_url", url, "--user_base_url", url]
    return [*flags, "--extractor_model", "extractor", "--judge_base_url", url] if judged else flags
