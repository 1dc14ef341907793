"""The pages of a report, and a browser that opens them from disk as a reader would."""

import json
import shutil

import pytest
from browser import artefacts, browsing, executable
from pages import ACTING, AWKWARD, FAILS, play, respond
from playing import LOOKS
from serving import serving

from josh.runs.experiments.loopback import Loopback
from josh.runs.report.report import report


@pytest.fixture(scope="session")
def pages(tmp_path_factory):
    """The pages, by name. They are made before the browser starts, which takes the thread's event loop."""
    executable()
    home = tmp_path_factory.mktemp("runs")
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
    report([spelt])
    desk = [
        play(home / f"desk-{beam}", "--env", "toolwoz", "--josh", "--beam_size", beam, "--synthetic_tasks", 4)
        for beam in (2, 4)
    ]
    (desks,) = report(desk)
    unfinished = home / "unfinished"
    shutil.copytree(twice, unfinished)
    (unfinished / "summary.json").unlink()
    (unfinished / "episodes.jsonl").write_text("")
    report([unfinished])
    (split,) = report([offline], home / "split.html", inline=100_000, chunk=100_000)
    return {
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
        "desk": desk[0] / "report.html",
        "desks": desks,
    }


@pytest.fixture(scope="module")
def browser(pages):
    with browsing() as found:
        yield found


@pytest.fixture
def opened(browser, pages):
    """Open a page: `page = opened("offline")`; it must not complain, nor ask for anything but its own files."""
    contexts = []

    def start(name, width=1280, height=900, scheme="light", place="", quiet=True):
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        page = context.new_page()
        page.complaints, page.asked, page.refused = [], [], []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("requestfailed", lambda request: page.refused.append((request.url, request.failure)))
        page.set_default_timeout(10_000)
        page.goto(f"{pages[name].as_uri()}{place}")
        contexts.append((context, page, quiet))
        return page

    yield start
    for context, page, quiet in contexts:
        asked, complaints = page.asked, page.complaints
        context.close()
        assert not quiet or complaints == []
        assert not quiet or all(url.startswith("file://") for url in asked)


@pytest.fixture
def shots(tmp_path):
    return artefacts(tmp_path)
