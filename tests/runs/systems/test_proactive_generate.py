"""`josh proactive generate`: trajectories in the published layout, from stored trees."""

import json
from collections import Counter
from pathlib import Path

import pytest
from helping_models import respond
from playing import lines
from refusals import bad
from trajectories import STATE, preferences, write

from josh.cli import main
from josh.envs.proactive.cost import Weights, interrupt_cost, message_of

pytestmark = pytest.mark.usefixtures("elsewhere")
RUN = Path("logs/traj-run")
KEYS = [
    *("state", "action", "action_prompt", "assistant_msg", "persona", "user_reaction", "is_mainline"),
    *("decision_point", "mainline_action", "is_variant", "interactions", "version"),
]
META = {"answered_clarification", "reject_signal", "answer_clarity", "silence", "off_topic_flag", "satisfaction"}


def generate(*flags, out="logs/traj.jsonl"):
    """The rows of a file that `josh proactive generate` writes."""
    assert main(["proactive", "generate", "--out", out, *map(str, flags)]) == 0
    return lines(Path(out))


def settings(run=RUN):
    return json.loads((run / "config.json").read_text())["settings"]


def test_each_state_has_a_main_line_the_other_action_and_the_same_action_again(capsys):
    rows = generate("--mode", "synthetic", "--domain", "coding", "--n_states", 10)
    assert [list(row) for row in rows] == [KEYS] * 30
    for start in range(0, 30, 3):
        main_line, other, again = rows[start : start + 3]
        assert [row["is_mainline"] for row in rows[start : start + 3]] == [True, False, False]
        assert [row["is_variant"] for row in rows[start : start + 3]] == [False, False, True]
        assert {row["mainline_action"] for row in rows[start : start + 3]} == {main_line["action"]}
        assert main_line["action"] == again["action"] != other["action"]
        assert main_line["state"] == other["state"] == again["state"]
    assert {row["state"]["domain"] for row in rows} == {"coding"}
    assert {row["decision_point"] for row in rows} == {0}
    assert json.loads((RUN / "summary.json").read_text())["usage"]["agent"]["calls"] == 0
    said = capsys.readouterr().out
    assert "trajectories    30 of 10 states\n" in said
    assert main(["show", str(RUN), "1"]) == 0


def test_a_row_has_the_users_reaction_and_the_whole_conversation():
    rows = generate("--n_states", 20, "--persona_idx", 0)
    for row in rows:
        assert row["persona"] == {
            "name": "Novice-Learner", "domain": "coding", "expertise": "low", "patience": "high"
        }  # fmt: skip
        first = row["interactions"][0]
        assert (first["assistant_msg"], first["user_reaction"]) == (row["assistant_msg"], row["user_reaction"])
        assert first["state_at_this_point"] == row["state"]
        assert [one["interaction_num"] for one in row["interactions"]] == list(range(1, len(row["interactions"]) + 1))
        assert {key for one in row["interactions"] for key in one["user_reaction"]["meta"]} == META
    asked = [row for row in rows if row["action"] == "Clarify"]
    assert {row["interactions"][-1]["type"] for row in asked} == {"execute"}
    assert any(row["user_reaction"]["meta"]["answered_clarification"] for row in asked)


def test_one_branch_and_an_action_and_a_persona_are_chosen_by_flags():
    rows = generate("--n_states", 4, "--branches", 1, "--mainline_action", "Execute", "--persona", "Busy-Developer")
    assert [row["action"] for row in rows] == ["Execute", "Clarify"] * 4
    assert {row["persona"]["name"] for row in rows} == {"Busy-Developer"}


def test_without_interactions_a_trajectory_is_one_message():
    rows = generate("--n_states", 5, "--no_interactions")
    assert {len(row["interactions"]) for row in rows} == {1}
    assert settings()["env"]["interactions"] is False


def test_the_states_of_a_file_repeat_with_numbered_ids():
    write([{**STATE, "id": name} for name in ("a", "b")], "states.jsonl")
    rows = generate("--mode", "dataset", "--domain", "coding", "--dataset_path", "states.jsonl", "--n_states", 5)
    assert [row["state"]["id"] for row in rows[::3]] == ["a", "b", "a-1", "b-1", "a-2"]
    assert len(generate("--dataset_path", "states.jsonl", out="all.jsonl")) == 6


def test_the_file_of_states_is_not_written_over(capsys):
    assert main(["proactive", "states", "--n_states", "2", "--out", "states.jsonl"]) == 0
    before = Path("states.jsonl").read_bytes()
    capsys.readouterr()
    line = bad(capsys, "proactive", "generate", "--dataset_path", "states.jsonl", "--out", "states.jsonl")
    assert line == "josh: out is 'states.jsonl', which dataset_path reads; give another file"
    assert Path("states.jsonl").read_bytes() == before
    assert not Path("states-run").exists()


def test_each_turn_of_the_main_line_branches_where_there_are_several_turns():
    rows = generate("--n_states", 12, "--multi_turn", "--max_turns", 3, "--persona_idx", 0)
    points = Counter(row["decision_point"] for row in rows)
    assert max(points) == 2
    for row in rows:
        here = row["interactions"][row["decision_point"]]
        assert here["state_at_this_point"] == row["state"]
        assert here["assistant_msg"] == row["assistant_msg"]
        assert row["state"]["dialogue_turn"] == row["decision_point"]
        assert len(row["interactions"]) <= 3
    states = {(row["state"]["id"], row["decision_point"], json.dumps(row["state"])) for row in rows}
    assert all(count == 3 * sum(point == of for _, of, _ in states) for point, count in points.items())
    assert any(row["is_mainline"] for row in rows if row["decision_point"] == 1)


def test_the_reward_of_a_row_follows_from_its_texts_and_reactions():
    rows = generate("--n_states", 20)
    made = {row["state"]["id"]: row for row in preferences(Path("logs/traj.jsonl"))}
    assert len(made) == 20
    for group in zip(*[iter(rows)] * 3, strict=True):
        candidates = made[group[0]["state"]["id"]]["candidates"]
        for row, one in zip(group, candidates, strict=True):
            said = [message_of(each["assistant_msg"], each["user_reaction"]["meta"]) for each in row["interactions"]]
            assert one["interrupt_cost"] == interrupt_cost(said, Weights())
            assert one["text"] == row["assistant_msg"]


@pytest.mark.parametrize("several", [(), ("--multi_turn",)])
def test_rescoring_the_run_gives_the_pairs_of_the_rows(several):
    generate("--n_states", 15, "--domain", "both", *several)
    weights = {"formula": "v2", "g": 0.1, "d": 0.9, "w_interrupt": 0.4}
    given = [part for name, value in weights.items() for part in (f"--{name}", value)]
    rows = preferences(Path("logs/traj.jsonl"), "--kind", "text", *given)
    flags = [str(part) for name, value in weights.items() for part in (f"--rewards.{name}", value)]
    assert main(["rescore", str(RUN), "--log_dir", "rescored", *flags]) == 0
    (run,) = Path("rescored").iterdir()
    found = []
    for episode in lines(run / "episodes.jsonl"):
        text = [node["messages"][0]["content"] for node in episode["nodes"]]
        found += [
            (pair["label"], *pair["values"], text[pair["better"]], text[pair["worse"]])
            for pair in episode["pairs"]
            if pair["label"]
        ]
    assert found == [
        (row["chosen_action"], row["chosen_reward"], row["rejected_reward"], row["chosen_text"], row["rejected_text"])
        for row in rows
    ]
    assert main(["proactive", "generate", "--run", str(run), "--out", "again.jsonl"]) == 0
    assert [row["assistant_msg"] for row in lines(Path("again.jsonl"))] == [
        row["assistant_msg"] for row in lines(Path("logs/traj.jsonl"))
    ]


def test_a_weight_that_the_formula_lacks_is_refused_in_rescoring(capsys):
    generate("--n_states", "2")
    capsys.readouterr()
    line = bad(capsys, "rescore", str(RUN), "--rewards.g", "2")
    assert line == "josh: rewards.g is 2.0, but formula v1 has none; leave it out, or give formula v2"


def test_the_text_rows_are_those_of_the_learners_view():
    generate("--n_states", 15, "--multi_turn")
    rows = preferences(Path("logs/traj.jsonl"), "--kind", "text")
    assert main(["export", str(RUN), "--format", "dpo", "--paths", "successful", "--out", "dpo.jsonl"]) == 0
    known = {json.dumps(row["prompt"]) for row in lines(Path("dpo.jsonl"))}
    assert len(known & {json.dumps(row["prompt"]) for row in rows}) > 10


def test_the_export_by_label_has_the_same_pairs_as_the_text_rows():
    generate("--n_states", 30, "--task_split", "all")
    rows = preferences(Path("logs/traj.jsonl"), "--kind", "text")
    assert (
        main(["export", str(RUN), "--label", "balanced", "--match", "none", "--format", "dpo", "--out", "d.jsonl"]) == 0
    )
    exported = lines(Path("d.jsonl"))
    assert sorted(map(_statement, exported)) == sorted(map(_statement, rows))
    assert {row["code"] for row in exported} == {"Clarify", "Execute"}
    assert not any("gold_answers" in row for row in exported)
    assert (
        main(["export", str(RUN), "--label", "Clarify", "--part", "train", "--format", "sft", "--out", "s.jsonl"]) == 0
    )
    manifest = json.loads(Path("s.jsonl.manifest.json").read_text())
    assert manifest["labels"] == {"Clarify": min(manifest["yields"]["parts"]["train"].values())}


def _statement(row):
    return [json.dumps(row["prompt"]), row["chosen"][0]["content"], row["rejected"][0]["content"]]


def test_a_label_that_no_pair_of_the_run_has_is_refused(capsys):
    generate("--n_states", 8)
    capsys.readouterr()
    said = bad(capsys, "export", str(RUN), "--label", "accept", "--format", "dpo", "--out", "d.jsonl")
    assert said == "josh: label is 'accept'; give Clarify, Execute or balanced"


def test_the_same_command_again_plays_nothing_and_writes_the_same_bytes(capsys):
    generate("--n_states", 3)
    before = Path("logs/traj.jsonl").read_bytes(), (RUN / "episodes.jsonl").stat().st_mtime_ns
    capsys.readouterr()
    generate("--n_states", 3)
    assert (Path("logs/traj.jsonl").read_bytes(), (RUN / "episodes.jsonl").stat().st_mtime_ns) == before
    assert capsys.readouterr().out.startswith("finished before logs/traj-run/\n")
    said = bad(capsys, "proactive", "generate", "--n_states", "4", "--out", "logs/traj.jsonl")
    assert said == "josh: n_states is 4, and 3 in logs/traj-run; give another --out or --log_dir"


def test_a_run_of_another_world_and_files_that_are_no_trajectories_are_refused(capsys):
    assert main(["--synthetic_tasks", "2", "--log_dir", "runs"]) == 0
    (other,) = Path("runs").iterdir()
    generate("--n_states", 2)
    capsys.readouterr()
    said = bad(capsys, "proactive", "generate", "--run", str(other), "--out", "t.jsonl")
    assert said.endswith(" has no state; give a run of --env proactive")
    way = "write its trajectories with josh proactive generate --run logs/traj-run --out FILE"
    for given, what in ((RUN, "is a folder"), (RUN / "episodes.jsonl", "line 1 is an episode of a run")):
        said = bad(capsys, "proactive", "rewards", "--trajectories", str(given), "--out", "t.jsonl")
        assert said == f"josh: {given} {what}; {way}"
    assert not list(Path().glob("t.jsonl*"))


def test_a_judges_mark_stays_and_other_plans_get_the_score_that_is_given(endpoint):
    url, _ = endpoint(respond=respond)
    write([{**STATE, "domain": "planning", "query": "Plan a dinner."}], "states.jsonl")
    judged = ("--judge_model", "j", "--judge_base_url", url)
    for name, more in (("judged", judged), ("given", ("--planning_score", 0.5))):
        generate("--dataset_path", "states.jsonl", "--persona_idx", 0, *more, out=f"{name}.jsonl")
    for name, score in (("judged", 0.7), ("given", 0.9)):
        (row,) = preferences(Path(f"{name}.jsonl"), "--planning_score", 0.9, out=f"{name}-prefs.jsonl")
        assert row["task_scores"]["Execute"] == score
    (row,) = preferences(Path("given.jsonl"), out="given-prefs.jsonl")
    assert row["task_scores"]["Execute"] == 0.5


def test_the_manifests_name_the_run_that_was_played():
    generate("--n_states", 3)
    preferences(Path("logs/traj.jsonl"), out="dpo/prefs.jsonl")
    (entry,) = json.loads(Path("dpo/prefs.jsonl.manifest.json").read_text())["runs"]
    assert (entry["run"], entry["folder"]) == ("traj-run", "../logs/traj-run")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--mode", "dataset"), "mode is 'dataset', but no dataset_path is given; give --dataset_path FILE"),
        (("--mode", "random"), "mode is 'random'; give synthetic or dataset"),
        (("--mode", "synthetic", "--dataset_path", "s.jsonl"), "mode is 'synthetic', but dataset_path is 's.jsonl'; "
         "leave it out, or give --mode dataset"),
        (("--domain", "cooking"), "domain is 'cooking'; give coding, planning or both"),
        (("--persona", "Nobody"), "persona is 'Nobody'; give Novice-Learner, Busy-Developer, Experienced-Engineer, or "
         "an index from 0 to 2"),
        (("--persona_idx", "3"), "persona is '3'; give Novice-Learner, Busy-Developer, Experienced-Engineer, or an "
         "index from 0 to 2"),
        (("--persona_idx", "1", "--persona", "No"), "persona is 'No' with persona_idx 1; leave one of them out"),
        (("--n_states", "0"), "n_states is 0; give 1 or more"),
        (("--max_turns", "3"), "max_turns is 3 without multi_turn; give --multi_turn too"),
        (("--multi_turn", "--max_interactions", "3"), "max_interactions is given with multi_turn; leave one of them "
         "out"),
        (("--no_interactions", "--use_interactions"), "use_interactions is given with no_interactions; leave one of "
         "them out"),
        (("--mainline_action", "Wait"), "mainline_action is 'Wait'; give Clarify or Execute"),
        (("--run", "x", "--n_states", "3"), "n_states is given with run, which plays nothing; leave one of them out"),
        (("--out", "."), "out is '.', which is a folder; give a file, such as rows.jsonl"),
        (("--dataset_path", "s.jsonl"), "s.jsonl line 2: query is None; give the user's request as a text"),
    ],
)  # fmt: skip
def test_wrong_flags_and_states_are_refused_before_anything_is_written(capsys, flags, said):
    write([STATE, {"id": "r"}], "s.jsonl")
    line = bad(capsys, "proactive", "generate", "--out", "traj.jsonl", *flags)
    assert line == f"josh: {said}"
    assert [path.name for path in Path().iterdir()] == ["s.jsonl"]
