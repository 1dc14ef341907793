"""The pages of an evaluation, of a loop and of all runs, in a real browser."""

import pytest
from on_page import data

pytestmark = pytest.mark.slow


def test_an_evaluation_shows_every_policy_with_every_user_and_leads_to_its_runs(opened, shots):
    page = opened("evaluation")
    shown = data(page)
    policies = [cell["policy"] for cell in shown["blocks"][0]["cells"]]
    matrix = page.locator(".matrix")
    assert matrix.locator("tbody th").all_text_contents() == policies
    assert matrix.locator("thead th").all_text_contents()[1:] == ["donor", "donor_mild"]
    cell = shown["blocks"][1]["cells"][1]
    text = matrix.locator("tbody tr").nth(1).locator("td").nth(1).text_content()
    assert text.startswith(f"${cell['average_reward']['value']:.2f}")
    assert "paired" in text
    blocks = page.locator("section", has=page.get_by_role("heading", name="User model donor_mild"))
    assert blocks.locator(".whisker").count() == 2 * len(policies) + 2 * (len(policies) - 1)
    page.screenshot(path=shots / "evaluation.png", full_page=True)
    page.get_by_role("link", name="model-donor", exact=True).click()
    page.wait_for_selector(".tasks")
    assert data(page)["kind"] == "run"


def test_a_loop_shows_its_curve_with_intervals_and_what_came_of_it(opened, shots):
    page = opened("loop")
    assert page.locator(".curve").count() == 2
    first = page.locator(".curve").first
    assert first.locator(".dot").count() == first.locator(".interval").count() == 3
    assert first.get_attribute("aria-label") == "mean donation: base $0.20, round 1 $0.30, round 2 $0.40"
    cards = page.text_content(".cards")
    assert "Mean donation before$0.20" in cards
    assert "Mean donation after$0.40" in cards
    assert "After less before+\u2060$0.20" in cards
    assert page.evaluate("window.struck") is None
    assert page.locator("main img, main script").count() == 0
    page.screenshot(path=shots / "loop.png", full_page=True)


def test_all_runs_are_listed_filtered_and_found(opened, shots):
    page = opened("index")
    rows = page.locator(".records tbody tr")
    assert rows.count() == 3
    page.get_by_role("button", name="Evaluations").click()
    assert rows.count() == 1
    page.get_by_role("button", name="All").click()
    page.keyboard.press("/")
    page.keyboard.type("twice")
    assert rows.count() == 1
    page.screenshot(path=shots / "index.png")
    page.locator(".records a").click()
    page.wait_for_selector(".tasks")


@pytest.mark.parametrize("name", ["evaluation", "loop", "index"])
def test_a_phone_shows_it_without_scrolling_sideways(opened, shots, name):
    page = opened(name, width=390, height=740, scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.screenshot(path=shots / f"phone-{name}.png", full_page=True)
