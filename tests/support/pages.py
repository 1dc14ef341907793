"""Reports for a browser to open: of runs of every kind, one of a hostile model among them."""

import json
import shutil
from pathlib import Path

from browser import executable
from loop_figures import WHOLE, looped, round_of
from playing import LOOKS
from serving import serving

from josh.cli import main
from josh.runs.experiments.loopback import Loopback
from josh.runs.report.report import report

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


HOSTILE_LOOP = WHOLE | {"references": {HOSTILE[2]: round_of(0, 0.3, 0.4)}}
PAGES = "pages.json"


def play(log_dir, *flags):
    assert main(["run", "--log_dir", str(log_dir), *map(str, flags)]) == 0
    (folder,) = Path(log_dir).iterdir()
    return folder


def write_pages(home):
    """Write the pages below a folder, and into `PAGES` where each of them lies, by name."""
    executable()
    offline = play(home / "offline", "--josh", "--stop", "best")
    wide = play(home / "wide", "--josh", "--stop", "best", "--beam_size", 512, "--synthetic_tasks", 1)
    due = [20, 40, 10_000]

    def answer(body):
        if len(server.requests) > due[0]:
            server.faults.append(400)
            due.pop(0)
        return respond(body)

    server = Loopback(respond=answer, latency=0.002)
    with serving(server) as url:
        models = ("--model", "m", "--base_url", url, "--user_model", "m", "--user_base_url", url, "--single_replies")
        hostile = play(
            home / "hostile", *models, "--josh", "--beam_size", 4, "--synthetic_tasks", 6, "--max_convo_turns", 3
        )
    plain = ("--rollouts", 2, "--temperature", 1, "--synthetic_tasks", 12)
    first, second = play(home / "a", *plain), play(home / "b", *plain, "--agent", "uniform_persuader")
    (both,) = report([first, second])
    (searches,) = report([offline, wide])
    poorer = play(home / "poorer", "--josh", "--synthetic_tasks", 8)
    (richer,) = report([poorer, play(home / "richer", "--josh", "--stop", "best", "--synthetic_tasks", 8)])
    (home / "fails.py").write_text(FAILS)
    awkward = play(home / "awkward", "--agent", f"{home / 'fails.py'}:Fails", "--synthetic_tasks", 4)
    rows = [json.loads(line) for line in (awkward / "episodes.jsonl").read_text().splitlines()]
    for row, name in zip(rows, AWKWARD, strict=True):
        row["task_id"] = row["task"]["id"] = name
    (awkward / "episodes.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (awkward / "replies.sqlite").unlink()  # it has the checksums of the lines
    report([awkward])
    (home / "looks.py").write_text(LOOKS)
    looks = play(home / "looks", "--agent", f"{home / 'looks.py'}:Looks", "--synthetic_tasks", 1)
    twice = play(home / "twice", "--env", "toy_twice:World", "--josh", "--beam_size", 1)
    spelt = home / "spelt"
    shutil.copytree(twice, spelt)
    (row,) = map(json.loads, (spelt / "episodes.jsonl").read_text().splitlines())
    row["task_id"] = "\u202eone"
    row["nodes"][1]["messages"] = row["nodes"][1]["internal"] = [{"role": "assistant", "content": ACTING}]
    (spelt / "episodes.jsonl").write_text(f"{json.dumps(row)}\n")
    (spelt / "replies.sqlite").unlink()  # it has the checksums of the lines
    report([spelt])
    desk = [
        play(home / f"desk-{beam}", "--env", "toolwoz", "--josh", "--beam_size", beam, "--synthetic_tasks", 4)
        for beam in (2, 4)
    ]
    (desks,) = report(desk)
    debate = play(home / "debate", "--env", "debate", "--strategy", "fan_out", "--user.knows", 1)
    unfinished = home / "unfinished"
    shutil.copytree(twice, unfinished)
    (unfinished / "summary.json").unlink()
    (unfinished / "episodes.jsonl").write_text("")
    report([unfinished])
    every = home / "every"
    plain = ("--synthetic_tasks", "3", "--rollouts", "2", "--log_dir", str(every))
    assert main(["evaluate", *plain, "--user", "donor,donor_mild", "--baseline_agent", "uniform_persuader"]) == 0
    (evaluation,) = every.iterdir()
    loop = looped(every / "loop-1", HOSTILE_LOOP)
    shutil.copytree(twice, every / "twice")
    index = report([every])[0]
    (split,) = report([offline], home / "split.html", inline=100_000, chunk=100_000)
    made = {
        "offline": offline / "report.html",
        "wide": wide / "report.html",
        "hostile": hostile / "report.html",
        "split": split,
        "comparison": both,
        "searches": searches,
        "richer": richer,
        "awkward": awkward / "report.html",
        "looks": looks / "report.html",
        "twice": twice / "report.html",
        "unfinished": unfinished / "report.html",
        "spelt": spelt / "report.html",
        "debate": debate / "report.html",
        "desk": desk[0] / "report.html",
        "desks": desks,
        "evaluation": evaluation / "report.html",
        "loop": loop / "report.html",
        "index": index,
    }
    (home / PAGES).write_text(json.dumps({name: str(path) for name, path in made.items()}))
