"""The numbers of a loop, as `loop.json` has them, for the tests of what is made of them."""

import json


def cell(mean, rate):
    own = {"mean_donation": mean, "mean_donation_ci": [mean - 0.1, mean + 0.1]}
    return own | {"donation_rate": rate, "donation_rate_ci": [rate - 0.1, rate + 0.1]}


LOOP = {
    "unit": "$",
    "names": {"rate": "donation_rate", "mean": "mean_donation"},
    "user": "donor",
    "test_tasks": 200,
    "conversations_per_task": 3,
    "base": cell(0.2, 0.4),
    "rounds": [{"round": 1} | cell(0.3, 0.5), {"round": 2} | cell(0.4, 0.6)],
    "references": {"uniform": cell(0.3, 0.4)},
    "control": cell(0.2, 0.3),
    "other_users": {"donor_mild": {"base": cell(0.3, 0.4), "round 2": cell(0.4, 0.5)}},
}


def part(folder, policy, user="donor", reference=False):
    return {"folder": folder, "policy": policy, "user": user, "reference": reference, "settings": {}}


def looped(folder, figures):
    """A loop's folder with these numbers, and a page of its base."""
    folder.mkdir()
    parts = [part("search-1", ""), part("base-donor", "base"), part("round-1-donor", "round 1")]
    (folder / "plan.json").write_text(json.dumps({"stages": [], "parts": parts}))
    if figures:
        (folder / "loop.json").write_text(json.dumps(figures))
    (folder / "base-donor").mkdir()
    (folder / "base-donor" / "report.html").write_text("<p>base</p>")
    return folder


def round_of(number, mean, rate):
    own = {"mean_donation": mean, "mean_donation_ci": [mean - 0.1, mean + 0.1]}
    own |= {"donation_rate": rate, "donation_rate_ci": [rate - 0.1, rate + 0.1], "calls": 60, "infra_errors": 0}
    return own | ({"round": number, "diff": mean - 0.2, "diff_ci": [0.0, 0.3], "gain_percent": 50.0} if number else {})


WHOLE = LOOP | {
    "minutes": 2.5,
    "tasks_per_round": 32,
    "base": {"model": "m", **round_of(0, 0.2, 0.4)},
    "rounds": [round_of(1, 0.3, 0.5), round_of(2, 0.4, 0.6)],
    "search": None,
}
