"""Reports for a browser to open: of runs of every kind, one of a hostile model among them."""

from pathlib import Path

from josh.cli import main

HOSTILE = (
    "<script>window.struck = 1</script>",
    "</script><script>window.struck = 2</script>",
    "<img src=x onerror='window.struck = 3'><svg onload='window.struck = 4'>",
    "<!-- <script> \u2028 ${window.struck = 5} {{7*7}} &lt;b&gt; \u202eesrever",
)
PROMPT_OF_AGENT = "Win them over"


def respond(body):
    """A persuader that means harm, repeats itself and writes tags; a persuadee that gives, refuses or goes on."""
    messages, seed = body["messages"], body["seed"]
    spoken = sum(message["role"] == "assistant" for message in messages)
    if PROMPT_OF_AGENT in messages[0]["content"]:
        if spoken == 1:
            return "I say the same."
        return f"{' '.join(HOSTILE)} {seed} [DONATE $2]"
    if spoken == 0:
        return f"Hm {seed}"
    return f"{seed} {('[DONATE $1.50]', '[DONATE $0.50]', '[DONATE $0]', HOSTILE[0], 'well')[min(seed % 24, 4)]}"


FAILS = """
from josh import BaseJOSHAgent

class Fails(BaseJOSHAgent):
    def start(self, task, env, options):
        super().start(task, env, options)
        self.index = task.index

    def step(self, **_):
        if self.index == 1:
            raise RuntimeError("not today")
        self.add_message({"role": "assistant", "content": "Give!"})
        return True
"""
ACTING = "a\x1b[31mb\u202ec\x00d\re\u2028f\x85g\n\th"
AWKWARD = ("", "x" * 300, "\u05d0\u05d1", "plain")


def play(log_dir, *flags):
    assert main(["run", "--log_dir", str(log_dir), *map(str, flags)]) == 0
    (folder,) = Path(log_dir).iterdir()
    return folder
