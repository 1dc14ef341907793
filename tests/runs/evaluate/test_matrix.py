"""Several models with several users: every pair on the same tasks, and what people did in them."""

import json

import pytest
from evaluating import cell, evaluated, figures
from p4g_small import CHATS, write_original

from josh.cli import main
from josh.runs.evaluate.table import as_table
from josh.runs.record.folder import read_settings

pytestmark = pytest.mark.usefixtures("elsewhere")


def respond(body):
    return f"words of {body['model']}"


def test_every_model_plays_with_every_user_and_is_compared_with_the_first(endpoint, capsys):
    url, server = endpoint(respond=respond)
    folder = evaluated("--model", "one,two,offline", "--user", "donor,donor_mild", "--base_url", url, "--rollouts", "1")
    found = figures(folder)
    assert found["policies"][:3] == ["one", "two", "offline_persuader"]
    assert found["users"] == ["donor", "donor_mild"]
    assert {body["model"] for body in server.requests} == {"one", "two"}
    for user in found["users"]:
        assert "difference" not in cell(found, "one", user)
        for policy in ("two", "offline_persuader"):
            assert cell(found, policy, user)["difference"]["from"] == "one"
    runs = {run["run"] for run in found["runs"] if not run["reference"]}
    names = ("model-one", "model-two", "model-offline_persuader")
    assert runs == {f"{name}-{user}" for name in names for user in found["users"]}
    assert read_settings(folder / "model-offline_persuader-donor").agent.base_url is None
    out = capsys.readouterr().out
    matrix = out.partition("mean reward of every policy with every user model\n")[2].splitlines()
    assert matrix[0].split() == ["donor", "donor_mild"]
    assert [line.split("  ")[1] for line in matrix[1:6]] == ["one", "two", "", "offline_persuader", ""]


def test_addresses_belong_to_the_models_in_their_order(endpoint):
    one, first = endpoint(respond=respond)
    two, second = endpoint(respond=respond)
    evaluated("--model", "a,b", "--base_url", f"{one},{two}", "--no_references", "--rollouts", "1")
    assert {body["model"] for body in first.requests} == {"a"}
    assert {body["model"] for body in second.requests} == {"b"}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--model", "a,b,a"), "the model a is given twice; give each once"),
        (("--model", "a,,b"), "model is 'a,,b'; give names with a comma between two of them"),
        (("--model", "a,b,c", "--base_url", "u,v"), "base_url has 2 values for 3 models; give one, or one for each"),
    ],
)
def test_wrong_lists_are_refused_in_a_line(capsys, flags, said):
    assert evaluated(*flags, code=2) is None
    assert capsys.readouterr().err == f"josh: {said}\n"


def test_what_people_gave_in_the_same_dialogues_stands_beside_the_models(tmp_path, capsys):
    corpus = tmp_path / "corpus"
    write_original(corpus)
    flags = ["evaluate", "--corpus", str(corpus), "--rollouts", "2", "--max_convo_turns", "4", "--task_split", "train"]
    assert main([*flags, "--user", "donor,donor_mild", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    given = {f"p4g-{name}": min(donation, 2.0) for name, _, _, donation, *_ in CHATS}
    rows = {row["task"]: row["reference"] for row in found["task_rows"]}
    assert rows == {task: given[task] for task in rows}
    assert found["reference"]["value"] == pytest.approx(sum(rows.values()) / len(rows), abs=1e-5)
    for one in found["results"]:
        mean = one["average_reward"]["value"] - found["reference"]["value"]
        assert one["less_reference"]["value"] == pytest.approx(mean, abs=1e-5)
    text = as_table(found)
    assert text.count("  people in these tasks  ") == 3
    assert f"${found['reference']['value']:.2f}" in text


def test_without_a_corpus_nothing_is_known_of_people(capsys):
    found = figures(evaluated("--no_references", "--rollouts", "1"))
    assert found["reference"] is None
    assert "people in these tasks" not in capsys.readouterr().out
