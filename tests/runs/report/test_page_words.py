"""What a page explains where it stands: words in the tree and on hover, terms, costs, and settings at the top."""

import pytest
from on_page import chosen, data
from pages import PROMPT_OF_AGENT

pytestmark = pytest.mark.slow


def said(page, index):
    return page.evaluate(
        """index => JSON.parse(document.querySelector('#chunk-0').textContent)[0]
        .nodes[index].messages.map((each) => each.content).join(' ')""",
        index,
    )


def test_hovering_over_a_turn_shows_its_words_its_outcome_and_its_reward(opened):
    page = opened("offline", place="#task-0")
    titles = page.locator("svg.tree [role=treeitem] > title")
    assert titles.count() == data(page)["tasks"][0]["turns"] + 1
    leaf = chosen(page)
    text = titles.nth(leaf).text_content()
    assert text.endswith(said(page, leaf))
    reward = data(page)["tasks"][0]["reward"]
    assert text.splitlines()[1:3] == ["golden path, won", f"reward of this path: ${reward:.2f}"]
    agent = titles.nth(1).text_content().splitlines()
    assert agent[0] == "Persuader, round 1"
    assert agent[2].startswith("best reward below: $")


def test_a_short_tree_fills_its_panel_and_shows_first_words(opened, shots):
    page = opened("twice", place="#task-0")
    box = page.locator(".tree-box")
    assert page.locator("svg.tree.worded .words").count() == page.locator("[role=treeitem]").count() - 1
    drawn = page.locator("svg.tree").bounding_box()["width"]
    assert drawn > 0.75 * box.bounding_box()["width"]
    page.screenshot(path=shots / "short-tree.png")


def test_words_of_a_long_tree_are_shown_on_request_and_the_turn_stays(opened, shots):
    page = opened("offline", place="#task-1")
    assert page.locator(".words").count() == 0
    before = chosen(page)
    page.get_by_role("button", name="Show the words").click()
    page.wait_for_selector("svg.tree.worded")
    assert chosen(page) == before
    assert page.locator(f"#node-{before} .words").text_content()
    page.screenshot(path=shots / "words.png")
    page.get_by_role("link", name="Next").click()
    page.wait_for_selector("svg.tree.worded")
    page.get_by_role("button", name="Hide the words").click()
    page.wait_for_selector("svg.tree:not(.worded)")


def test_the_search_over_tasks_finds_words_of_conversations(opened):
    page = opened("hostile")
    rows = data(page)["tasks"]
    page.fill("#task-search", "i say the same")
    page.locator(".tasks tbody tr").first.wait_for()
    assert 0 < page.locator(".tasks tbody tr").count() <= len(rows)
    page.fill("#task-search", PROMPT_OF_AGENT)  # a system prompt is not said
    assert page.locator(".tasks tbody tr").count() == 0


def test_a_split_page_searches_the_conversations_too(opened):
    page = opened("split")
    page.fill("#task-search", "[donate $1.00]")
    page.locator(".tasks tbody tr").first.wait_for()


def test_the_list_of_tasks_has_no_box_of_its_own_and_shows_more_on_request(opened):
    page = opened("offline")
    box = page.locator(".task-box")
    assert box.evaluate("each => each.scrollHeight <= each.clientHeight")
    assert page.locator(".tasks tbody tr").count() == 15
    assert page.locator(".foot").text_content() == "The first 15 of 20 tasksShow 5 more"
    page.get_by_role("button", name="Show 5 more").click()
    assert page.locator(".tasks tbody tr").count() == 20
    assert page.locator(".foot").text_content().startswith("20 tasks")


def test_the_first_screen_says_when_and_how_it_was_played_and_what_it_cost(opened):
    page = opened("hostile")
    played = page.locator(".played")
    assert played.bounding_box()["y"] < 200
    assert "seed 10" in played.text_content()
    assert "persuader's temperature 1" in played.text_content()
    assert "played 20" in played.text_content()
    costs = data(page)["costs"]["sides"]
    card = page.locator(".card", has_text="Model calls")
    assert card.locator("strong").text_content() == f"{sum(side['calls'] for side in costs):,}"
    assert page.locator(".card", has_text="Cost").locator("strong").text_content() == "unknown"
    assert opened("offline").locator(".card", has_text="Model calls").count() == 0


def test_terms_are_explained_where_they_stand(opened):
    page = opened("offline")
    for name in ("winning leaves", "pairs", "duplicates", "tag attempts"):
        assert len(page.locator(".sort", has_text=name).get_attribute("title")) > 30
    assert page.locator(".glossary dt", has_text="golden path").count() == 1
    page.goto(f"{page.url}#task-0")
    page.wait_for_selector(".legend")
    for name in ("golden path", "cut off"):
        assert len(page.locator(".legend .term", has_text=name).get_attribute("title")) > 30
    assert page.text_content(".people summary").startswith("Persona of the persuadee: ")


def test_groups_are_folded(opened):
    page = opened("offline")
    assert not page.locator(".groups").is_visible()
    page.click(".fold summary")
    assert page.locator(".groups").is_visible()
