"""An imported conversation beside several of a policy's: the same figures in either order, and none of its own."""

import json

import pytest
from playing import lines, run

from josh.cli import main


@pytest.mark.parametrize("wins", [(0, 0, 0, 0, 0, 0), (0, 1, 0, 1, 0, 1), (1, 1, 1, 1, 1, 1)])
def test_the_order_of_a_comparison_changes_no_p(tmp_path, capsys, wins):
    played = run(str(tmp_path / "r8"), "--rollouts", 8, "--temperature", 1, "--synthetic_tasks", 6)
    talk = [{"role": "assistant", "content": "Give?"}, {"role": "user", "content": "I see."}]
    rows = [
        {"id": row["task_id"], "messages": talk, "reward": float(won), "success": bool(won)}
        for row, won in zip(lines(played / "episodes.jsonl"), wins, strict=True)
    ]
    file, out = tmp_path / "m.jsonl", tmp_path / "people"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert main(["import", str(file), "--env", "persuasion", "--format", "messages", "--out", str(out)]) == 0
    capsys.readouterr()
    found = []
    for pair in ((out, played), (played, out)):
        assert main(["compare", *map(str, pair), "--json"]) == 0
        first, second = json.loads(capsys.readouterr().out)["results"]
        theirs = first if pair[0] == out else second
        assert theirs["pass_hat"]["8"]["value"] is None
        assert theirs["pass_hat"]["1"]["value"] == sum(wins) / 6
        found.append(second["difference"])
    one, two = (each["mcnemar"] for each in found)
    assert (one["only_here"], one["only_there"], one["p"]) == (two["only_there"], two["only_here"], two["p"])
