"""A report's page for every reader: contrast, phones, wide screens, screen readers, in a real browser."""

import pytest
from on_page import data

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_enough_contrast(opened, shots, scheme):
    for name, place in (("hostile", ""), ("hostile", "#task-1"), ("comparison", ""), ("comparison", "#change-0")):
        page = opened(name, scheme=scheme, place=place)
        page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
        poor = page.evaluate(CONTRAST)
        assert poor == []
        page.screenshot(path=shots / f"{scheme}-{name}{place.replace('#', '-')}.png", full_page=True)
        if not place and name == "hostile":
            page.click("#theme")
            other = {"light": "dark", "dark": "light"}[scheme]
            assert page.get_attribute("html", "data-theme") == other
            assert page.evaluate(CONTRAST) == []


CONTRAST = """() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const clear = (colour) => numbers(colour).length === 4 && numbers(colour)[3] === 0;
  const light = (colour) => numbers(colour).slice(0, 3).map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = getComputedStyle(each).backgroundColor;
      if (!clear(colour)) return colour;
    }
    throw new Error('a page without a background');
  };
  const ratio = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let looked = 0;
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest('script, .unseen')) continue;
    const style = getComputedStyle(element);
    const colour = element.closest('svg') ? style.fill : style.color;
    looked += 1;
    if (ratio(colour, behind(element)) < 4.5 && !element.closest('[disabled]')) {
      poor.push([walker.currentNode.data.slice(0, 40), colour, behind(element)]);
    }
  }
  for (const shape of document.querySelectorAll('.shape')) {
    if (ratio(getComputedStyle(shape).stroke, behind(shape)) < 3) poor.push(shape.getAttribute('class'));
  }
  if (looked < 20) throw new Error(`only ${looked} texts`);
  return poor;
}"""


@pytest.mark.parametrize("name", ["offline", "hostile", "comparison"])
def test_a_phone_needs_no_scrolling_sideways(opened, shots, name):
    page = opened(name, width=360, height=740)
    for at in range(2):
        if at:
            page.locator(".tasks a, .flips a").nth(1).click()
            page.wait_for_selector(".task-head")
        tabs = page.locator("[role=tab]")
        for tab in range(tabs.count() or 1):
            if tabs.count():
                tabs.nth(tab).click()
            assert page.evaluate("document.documentElement.scrollWidth") <= 360
            page.screenshot(path=shots / f"phone-{name}-{at}-{tab}.png", full_page=True)


def test_a_screen_reader_finds_its_way(opened):
    page = opened("offline", place="#task-3")
    tree = page.get_by_role("tree")
    assert tree.get_attribute("aria-label")
    assert page.get_by_role("treeitem").count() == data(page)["tasks"][3]["turns"] + 1
    for item in page.get_by_role("treeitem").all()[:20]:
        assert item.get_attribute("aria-label")
        assert int(item.get_attribute("aria-posinset")) <= int(item.get_attribute("aria-setsize"))
    assert page.get_by_role("tab", selected=True).count() == 1
    assert page.get_by_role("tabpanel").get_attribute("aria-labelledby") == "tab-agent"
    assert page.get_by_role("searchbox", name="Find in this tree").count() == 1
    nameless = page.evaluate(
        "[...document.querySelectorAll('button, a, input, select')].filter((each) =>"
        "!(each.textContent.trim() || each.ariaLabel || each.labels?.length)).map((each) => each.outerHTML)"
    )
    assert nameless == []
    assert page.evaluate("document.documentElement.lang") == "en"


def test_at_the_width_of_a_phone_a_group_s_interval_stands_below_its_mean(opened, shots):
    page = opened("offline", width=375, height=740)
    group = next(group for group in data(page)["groups"] if group["mean"]["low"] is not None)
    page.click(".fold summary")
    ends = page.locator(".group tbody tr", has_text=group["name"]).first.locator(".under")
    assert ends.is_visible()
    assert ends.text_content() == f"${group['mean']['low']:.2f} to ${group['mean']['high']:.2f}"
    page.locator(".groups").screenshot(path=shots / "phone-groups.png")
    assert not opened("offline").locator(".under").first.is_visible()


LINES = """(selector) => [...document.querySelectorAll(selector)].flatMap((element) => {
  const found = [];
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode;
    for (const { 0: word, index } of text.data.matchAll(/[^\\s-]+-?/g)) {
      const range = document.createRange();
      range.setStart(text, index);
      range.setEnd(text, index + word.length);
      if (range.getClientRects().length > 1) found.push(word);
    }
  }
  return found;
})"""


@pytest.mark.parametrize("width", [375, 320])
@pytest.mark.parametrize("name", ["offline", "comparison"])
def test_on_a_phone_no_word_and_no_amount_is_broken(opened, shots, name, width):
    page = opened(name, width=width, height=740)
    if name == "offline":
        assert "100%" in page.locator(".group").all_text_contents()[0]
    else:
        assert "\u2212" in page.text_content(".cards")
    assert page.evaluate(LINES, ".group td, .group th, .cards .small, .cards strong") == []
    page.screenshot(path=shots / f"words-{name}-{width}.png", full_page=True)


@pytest.mark.parametrize("width", [1040, 1280, 1920, 2560])
def test_ten_rounds_and_what_came_of_them_fit_beside_the_conversation(opened, shots, width):
    page = opened("offline", width=width, place="#task-0")
    page.wait_for_selector("svg.tree")
    assert "limit" in page.locator(".ending").all_text_contents() or "10" in page.locator(".round").all_text_contents()
    box = page.locator(".tree-box").bounding_box()
    for label in page.locator(".ending").all():
        place = label.bounding_box()
        assert box["x"] < place["x"] < place["x"] + place["width"] < box["x"] + box["width"]
    assert page.locator(".tree-box").evaluate("each => each.scrollWidth <= each.clientWidth")
    left, right = page.locator(".left").bounding_box(), page.locator(".right").bounding_box()
    assert left["y"] == right["y"]
    assert left["width"] >= right["width"] > 300
    page.screenshot(path=shots / f"fits-{width}.png")
