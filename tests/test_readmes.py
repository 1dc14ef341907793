"""The examples in the folders' READMEs are run as they stand."""

import json
import re
import shlex

import pytest
from places import ROOT

from josh.cli import main
from josh.parser import parse


def blocks(path, language):
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("folder", ["agents", "users", "rewards", "envs"])
def test_the_example_of_a_folder_runs(folder, tmp_path, monkeypatch, endpoint):
    readme = ROOT / folder / "README.md"
    (code,) = blocks(readme, "python")
    (command,) = blocks(readme, "bash")
    (tmp_path / "mine.py").write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    url, _ = endpoint(respond=lambda body: f"They would ask {body['seed']}. SAY: Because children need help.")
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    _, *flags = shlex.split(command)
    assert main([*flags, "--end_index", "6"]) == 0
    (folder,) = (tmp_path / "records").iterdir()
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["infra_errors"] == 0
    assert summary["average_reward"] > 0
    assert summary["golden_examples"] > 0


@pytest.mark.parametrize("recipe", sorted((ROOT / "runs" / "recipes").glob("*.md")), ids=lambda path: path.stem)
def test_a_recipe_keeps_the_people_of_training_and_test_apart(recipe):
    kinds = []
    for line in "".join(blocks(recipe, "bash")).replace("\\\n", " ").splitlines():
        words = shlex.split(line)
        # Every file that is trained on has a manifest, which no other program writes.
        assert words[0] in ("josh", "accelerate"), line
        given = vars(parse(words[words.index("josh") + 1 :]))
        kinds.append(given["command"])
        if "corpus" in given:
            assert given["split_rule"] == "user_disjoint"
            assert given.get("stop") == ("best" if given.get("josh") else None)
            assert given["task_split"] == ("train" if given.get("josh") else "test")
            assert given.get("josh") or given["trained_on"]
    assert set(kinds) == {"run", "export", "train", "evaluate"}


def test_the_commands_of_the_readme_are_ones_that_josh_takes():
    inside = (ROOT / "README.md").read_text(encoding="utf-8").split("```")[1::2]
    plain = "".join(block for block in inside if block.startswith("\n"))
    commands = re.findall(r"^josh (.*)", plain, re.MULTILINE)
    assert len(commands) > 15
    for command in commands:
        words = shlex.split(command, comments=True)
        assert parse(["run", *words] if words[0].startswith("-") else words)


def test_no_line_of_a_page_of_text_is_too_long():
    for page in ("README.md", "CHANGELOG.md", "runs/README.md"):
        lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
        assert [line for line in lines if len(line) > 120 and not line.startswith("|")] == []


def test_the_snippet_of_the_readme_runs_and_prints_what_it_says(capsys):
    (code,) = blocks(ROOT / "README.md", "python")
    exec(compile(code, "README.md", "exec"), {})
    reward, examples = capsys.readouterr().out.splitlines()
    assert reward == "1.0"
    assert examples.startswith("[([{'role': 'assistant', 'content': 'hello!'}], True, True)")
