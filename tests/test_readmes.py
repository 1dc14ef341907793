"""The pages of text: their examples run as they stand, their commands are understood, their links lead somewhere."""

import json
import re
import shlex

import pytest
from places import ROOT

from josh.cli import main
from josh.parser import parse

PAGES = sorted(
    str(page.relative_to(ROOT))
    for pattern in ("*.md", "*/README.md", "runs/*/README.md", "envs/*/README.md", "rewards/*/README.md")
    for page in ROOT.glob(pattern)
    if not page.parent.is_symlink()
)


def blocks(path, language):
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("folder", ["agents", "users", "rewards", "envs"])
def test_the_example_of_a_folder_runs(folder, tmp_path, monkeypatch, endpoint):
    readme = ROOT / folder / "README.md"
    (code,) = blocks(readme, "python")
    (command,) = blocks(readme, "bash")
    (tmp_path / "mine.py").write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    lines = ("Children need help.", "Save the Children helps them.", "Would you give a part of your payment?")
    url, _ = endpoint(respond=lambda body: f"Ask. SAY: {lines[body['seed'] % 3]} Even {body['seed']} cents help.")
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


def commands(page):
    """The `josh` commands of a page, in its blocks and tables, but for those that name a file of the reader's."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    fenced = (block.partition("\n") for block in text.split("```")[1::2])
    inside = "".join(block for language, _, block in fenced if language in ("", "bash"))
    cells = "\n".join(re.findall(r"`(josh [^`]+)` \|$", text, re.MULTILINE))
    found = re.findall(r"^josh (.*)", f"{inside}\n{cells}", re.MULTILINE)
    return [words for words in (shlex.split(one, comments=True) for one in found) if "./" not in " ".join(words)]


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_are_ones_that_josh_takes(page):
    for words in commands(ROOT / page):
        assert parse(["run", *words] if words[0].startswith("-") else words)


def test_the_readme_shows_many_commands_and_is_short():
    assert len(commands(ROOT / "README.md")) >= 12
    assert len((ROOT / "README.md").read_bytes()) <= 12_000


@pytest.mark.parametrize("page", PAGES)
def test_no_line_of_a_page_of_text_is_too_long(page):
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > 120 and not line.startswith("|")] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        place, _, heading = link.partition("#")
        if place.startswith("https:"):
            continue
        target = (ROOT / page).parent / place if place else ROOT / page
        assert target.exists(), link
        if heading:
            target = target / "README.md" if target.is_dir() else target
            assert heading in headings(target), link


def headings(page):
    """The anchors that GitHub gives the headings of a page."""
    outside = "".join(page.read_text(encoding="utf-8").split("```")[::2])
    lines = re.findall(r"^#+ (.*)", outside, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in lines}


def test_the_task_of_the_engines_readme_is_played(capsys):
    (code,) = blocks(ROOT / "josh" / "README.md", "python")
    exec(compile(code, "josh/README.md", "exec"), {})
    said = re.search(r"# (\d+ turns, \$[\d.]+)$", code, re.MULTILINE)[1]
    assert capsys.readouterr().out.strip() == said


def test_the_snippet_of_the_readme_runs_and_prints_what_it_says(capsys):
    (code,) = blocks(ROOT / "README.md", "python")
    exec(compile(code, "README.md", "exec"), {})
    reward, examples = capsys.readouterr().out.splitlines()
    assert reward == "1.0"
    assert examples.startswith("[([{'role': 'assistant', 'content': 'hello!'}], True, True)")
