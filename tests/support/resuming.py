"""A run of models that are served on this machine, to break off and go on with."""

import json
from pathlib import Path

from josh.cli import main
from josh.seeds import derive

FILES = ("episodes.jsonl", "training_examples.jsonl")


def respond(body):
    """Words that follow from the request alone; now and then a donation, and often the same as a sibling's."""
    draw = derive(json.dumps(body["messages"]), body["seed"])
    if body["model"] == "them" and len(body["messages"]) > 4 and draw % 12 == 0:
        return f"Yes. [DONATE ${draw // 12 % 4 / 2:.2f}]"
    return f"words {draw % 4}"


def flags(url, tasks=8, rounds=6):
    cast = ["--model", "us", "--user_model", "them", "--base_url", url, "--user_base_url", url]
    return ["--josh", *cast, "--synthetic_tasks", str(tasks), "--max_convo_turns", str(rounds)]


def run_in(folder, *arguments):
    """Run josh to its end with records in a folder; the run's folder."""
    assert main([*arguments, "--log_dir", str(folder)]) == 0
    (run,) = Path(folder).iterdir()
    return run


def files(run):
    return [(run / name).read_bytes() for name in FILES]


def summary(run):
    return json.loads((run / "summary.json").read_text())


def said(capsys):
    return capsys.readouterr().err.strip().splitlines()


def finished_and_broken(endpoint, name="records"):
    """A whole run, its files, and the endpoint's record of requests."""
    url, server = endpoint(respond=respond)
    run = run_in(name, *flags(url, tasks=4))
    return run, files(run), server
