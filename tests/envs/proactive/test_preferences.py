"""Files of preferences as files of states."""

import json

import pytest

from josh.envs.proactive.env import ProactiveEnv
from josh.envs.proactive.synthetic import made_up_states
from josh.errors import UsageError

STATE = {"id": "q", "domain": "coding", "query": "Sort my orders.", "task_uncertainty": 0.3}


def env_of(tmp_path, *rows):
    """The world of a file of rows."""
    path = tmp_path / "prefs.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return ProactiveEnv({"env.states": str(path)})


def test_a_preference_is_a_state_with_the_better_action(tmp_path):
    (task,) = env_of(tmp_path, {"state": STATE, "chosen_action": "Clarify", "persona": 1, "margin": 0.3}).tasks("all")
    assert task.id == "q"
    assert task.data["state"]["chosen_action"] == "Clarify"
    assert task.data["persona"]["name"] == "Busy-Developer"


def test_further_preferences_about_a_request_have_ids_of_their_own_and_belong_to_it(tmp_path):
    later = {**STATE, "query": f"{STATE['query']}\n[Assistant]: By what?\n[User]: By price.", "dialogue_turn": 1}
    rows = [{"state": STATE, "chosen_action": "Clarify"}, {"state": later, "chosen_action": "Execute"}]
    env = env_of(tmp_path, *rows)
    tasks = env.tasks("all")
    assert [task.id for task in tasks] == ["q", "q@1"]
    assert env.people(tasks[1]) == ("q",)
    assert tasks[1].data["state"]["dialogue_turn"] == 1


def test_an_action_that_does_not_exist_is_one_line_with_its_place(tmp_path):
    env = env_of(tmp_path, {"state": STATE, "chosen_action": "Clarify"}, {"state": STATE, "chosen_action": "Ask"})
    with pytest.raises(UsageError, match=r"line 2: chosen_action is 'Ask'; give Clarify or Execute"):
        env.tasks("all")


def test_a_file_of_trajectories_is_one_line_with_the_way_out(tmp_path):
    env = env_of(tmp_path, {"state": STATE, "action": "Clarify", "assistant_msg": "By what?"})
    with pytest.raises(
        UsageError, match=r"line 1 is a trajectory; make preferences of the file: josh proactive rewards"
    ):
        env.tasks("all")


def test_a_made_up_state_is_recognised_by_its_id_and_its_request(tmp_path):
    one = next(each for each in made_up_states(1, "test", 4) if each.hidden)
    known, other = (
        {"state": {**one.state.row, "query": query}, "chosen_action": "Clarify"} for query in ("", "Other.")
    )
    known["state"]["query"] = one.state.query
    other["state"]["id"] = "sort-nowhere-orders-open"
    first, second = env_of(tmp_path, known, other).tasks("all")
    assert (first.data["needs"], first.data["hidden"]) == (list(one.needs), one.hidden)
    assert "needs" not in second.data
    assert "needs" not in first.data["state"]
