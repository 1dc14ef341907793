"""A task on a report's page: its tree, its turns and its pairs, in a real browser."""

import pytest
from on_page import chosen, data, fact, press
from pages import ACTING, HOSTILE, PROMPT_OF_AGENT

from josh.terminal import visible

pytestmark = pytest.mark.slow


def test_a_tree_is_walked_by_keyboard(opened, shots):
    page = opened("offline")
    page.locator(".tasks a").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("svg.tree")
    assert page.evaluate("document.activeElement.classList.contains('tree')")
    leaf = chosen(page)
    assert "golden path, $" in page.get_attribute(f"#node-{leaf}", "aria-label")
    assert page.get_attribute(f"#node-{leaf}", "aria-selected") == "true"
    said = page.locator("#panel .turn").count()
    parent = press(page, "ArrowLeft")
    assert page.locator("#panel .turn").count() == said - 1
    assert page.locator("[aria-selected=true][role=treeitem]").count() == 1
    assert press(page, "ArrowRight") == leaf
    assert press(page, "Home") == 0
    first = press(page, "ArrowRight")
    other = press(page, "ArrowDown" if first == 1 else "ArrowUp")
    assert {first, other} == {1, 2}
    assert press(page, "ArrowRight", "ArrowLeft") == other
    assert press(page, "End") == leaf != parent
    page.screenshot(path=shots / "tree.png")
    page.wait_for_function("hash => location.hash === hash", arg=f"#task-0-{leaf}")
    page.keyboard.press("Escape")
    page.wait_for_selector(".tasks")
    assert page.evaluate("document.activeElement.id") == "row-0"


def test_a_tree_of_thousands_of_turns_is_drawn_and_walked(opened, shots):
    page = opened("wide", place="#task-0-0")
    assert page.locator("[role=treeitem]").count() > 2000
    walk = [press(page, "ArrowRight") for _ in range(6)]
    levels = [int(page.get_attribute(f"#node-{index}", "aria-level")) for index in walk]
    assert levels == [2, 3, 4, 5, 6, 7]
    press(page, *["ArrowDown"] * 30)
    box = page.locator(".tree-box").bounding_box()
    ring = page.locator(".ring").bounding_box()
    assert box["y"] <= ring["y"]
    assert ring["y"] + ring["height"] <= box["y"] + box["height"]
    page.screenshot(path=shots / "wide-tree.png")


def test_a_slash_searches_the_tree_and_enter_goes_on(opened):
    page = opened("offline", place="#task-0-0")
    press(page, "/")
    page.keyboard.type("children")
    count = page.locator(".found").count()
    assert count > 1
    first, second = press(page, "Enter"), press(page, "Enter")
    assert first < second
    assert "children" in page.locator("#panel .turn").last.text_content().lower()
    assert press(page, "Shift+Enter") == first
    assert page.text_content(".find [role=status]") == f"1 of {count} turns"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.classList.contains('tree')")
    assert chosen(page) == first
    assert page.input_value(".find input") == page.text_content(".find [role=status]") == ""
    assert page.locator(".found").count() == 0


def test_tool_calls_are_found_and_read_out(opened):
    page = opened("twice", place="#task-0-0")
    press(page, "/")
    page.keyboard.type('FIND({"area": "north')
    assert page.text_content(".find [role=status]") == "1 turn"
    label = page.get_attribute(f"#node-{press(page, 'Enter')}", "aria-label")
    assert label.endswith('find({"area": "north"}) find({"area": "north"}) find({"area": "north"}) There.')


def test_a_debate_has_its_directives_answers_and_labels_in_the_tree(opened, shots):
    page = opened("debate")
    assert page.locator("h2:text-is('Acceptance and resistance, by who was right')").count() == 1
    page.screenshot(path=shots / "debate.png", full_page=True)
    number = next(at for at, row in enumerate(data(page)["tasks"]) if row["pairs"] == 6)
    page.goto(f"{page.url.partition('#')[0]}#task-{number}")
    page.wait_for_selector("svg.tree")
    directives = page.locator("svg.tree .directive").all_text_contents()
    assert len(directives) == 21
    assert directives.count("emotional") == 2
    assert set(page.locator("svg.tree .known").all_text_contents()[:1][0].split(" (")[1:]) <= {"right)", "wrong)"}
    endings = page.locator("svg.tree .ending").all_text_contents()
    assert sum("resist: chosen" in each for each in endings) == sum("resist: rejected" in each for each in endings) == 6
    leaf = chosen(page)
    label = page.get_attribute(f"#node-{leaf}", "aria-label")
    assert "directive resist, " in label
    assert fact(page, "Directive") == "resist"
    assert fact(page, "Facts").startswith("answers: agent ")
    assert fact(page, "Labels") in label
    page.click("#tab-pairs")
    assert page.locator("#pair option").first.text_content().startswith("resist, round 2: ")
    page.screenshot(path=shots / "debate-tree.png")


def test_what_a_model_wrote_is_text_and_nothing_else(opened, pages, shots):
    page = opened("hostile")
    before = page.locator("script").count()
    seen = []
    for number, row in enumerate(data(page)["tasks"]):
        page.goto(f"{pages['hostile'].as_uri()}#task-{number}")
        page.wait_for_function("id => document.querySelector('h1').textContent === id", arg=row["id"])
        for tab in ("pairs", "user", "agent"):
            page.click(f"#tab-{tab}")
            seen += [page.text_content("#panel").count(visible(each)) for each in HOSTILE]
    assert sum(seen) > 40
    assert sum(count > 0 for count in seen) > 0.5 * len(seen)
    assert page.evaluate("window.struck") is None
    assert page.locator("script").count() == before
    assert page.locator("#main img, #main b, #panel svg[onload]").count() == 0
    assert page.locator(".written[dir=auto]").count() > 0
    page.screenshot(path=shots / "hostile.png")


def test_what_acts_on_a_text_is_spelt_as_on_the_terminal(opened):
    page = opened("spelt", place="#task-0-1")
    said = page.text_content("#panel .written")
    assert said.expandtabs(4) == visible(ACTING) == r"a\x1b[31mb\u202ec\x00d\re\u2028f\x85g" + "\n    h"
    assert said in page.get_attribute("#node-1", "aria-label")
    assert page.text_content(".notice, h1") == r"\u202eone"
    page.keyboard.press("/")
    page.keyboard.type("31mb")
    assert page.locator(".found").count() == 1


def test_the_policy_keeps_the_network_and_other_scripts_out(opened):
    page = opened("hostile", quiet=False)
    policy = page.get_attribute("meta[http-equiv=Content-Security-Policy]", "content")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "'self'" not in policy
    struck = page.evaluate(
        """async () => {
          const out = await fetch('https://example.org/').then(() => 'reached', () => 'refused');
          const image = new Image();
          const shown = await new Promise((resolve) => {
            [image.onload, image.onerror] = [() => resolve('shown'), () => resolve('refused')];
            image.src = 'https://example.org/a.png';
          });
          const script = document.createElement('script');
          script.textContent = 'window.struck = 1';
          document.body.append(script);
          return [out, shown, window.struck ?? null];
        }"""
    )
    assert struck == ["refused", "refused", None]
    assert sum("Content Security Policy" in complaint for complaint in page.complaints) >= 3
    assert page.refused == [("https://example.org/a.png", "csp")]


def test_a_turn_shows_both_sides_and_what_it_cost(opened, shots):
    page = opened("hostile")
    rows = data(page)["tasks"]
    number = next(number for number, row in enumerate(rows) if row["state"] == "won")
    page.locator(".tasks a").nth(number).click()
    facts = page.locator(".facts").text_content()
    assert "golden path" in facts
    assert "for donation" in facts
    for term in ("Seed", "Model", "Tokens", "Latency"):
        assert term in facts
    assert " s" in fact(page, "Latency")
    agent = page.text_content("#panel")
    assert "[DONATE $2]" in agent
    assert PROMPT_OF_AGENT in agent
    assert "2 reward tags of the agent's" in agent or "1 reward tag of the agent's" in agent
    assert "tokens" in agent
    page.click("#tab-user")
    user = page.text_content("#panel")
    assert "(DONATE $2)" in user
    assert "[DONATE $2]" not in user
    assert "Persuader as user" in user
    assert "Persuadee as assistant" in user
    assert PROMPT_OF_AGENT not in user
    assert "How you decide" in user
    page.locator(".people summary").click()
    assert "persuadee" in page.locator(".people").text_content()
    page.screenshot(path=shots / "user-side.png")
    page.locator("[role=tab][aria-selected=true]").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "tab-pairs"


def test_what_an_agent_is_told_in_its_own_turn_is_a_tools_and_not_the_users(opened, shots):
    page = opened("looks", place="#task-0")
    page.locator("svg.tree").press("End")
    said = page.locator("#panel .turn.tool").first
    assert said.locator("h4").text_content().split() == ["Tool", "result", "as", "user"]
    assert "APIRETURN red" in said.text_content()
    assert "APIRETURN" not in "".join(page.locator("#panel .turn.user").all_text_contents())
    page.screenshot(path=shots / "conversation.png")
    page.click("#tab-user")
    assert "APIRETURN" not in page.text_content("#panel")
    assert "It is red." in page.text_content("#panel")


def test_a_goal_is_earned_once_and_for_what_it_is_worth(opened):
    page = opened("twice", place="#task-0")
    assert page.locator(".badge").all_text_contents() == [
        "earned 0.50 for book",
        "earned 0.50 for find",
        "already met: find",
    ]
    assert fact(page, "Reward events") == "0.50 for find"
    assert fact(page, "Already met") == "find"


def test_a_pair_stands_side_by_side(opened, shots):
    page = opened("offline", place="#task-0")
    page.click("#tab-pairs")
    chosen_side, rejected_side = page.locator(".side.chosen"), page.locator(".side.rejected")
    assert chosen_side.bounding_box()["y"] == rejected_side.bounding_box()["y"]
    best = [side.locator(".small").last.text_content() for side in (chosen_side, rejected_side)]
    worth = [float(text.partition("$")[2]) for text in best]
    label = page.locator("#pair option:checked").text_content()
    assert worth[0] - worth[1] == pytest.approx(float(label.split("$")[1].split()[0]))
    page.screenshot(path=shots / "pair.png")
    better, worse = label.split(": ")[1].split(",")[0].split(" over ")
    rejected_side.get_by_role("button").click()
    assert fact(page, "Place").startswith(f"path {worse}, turn ")
    chosen_side.get_by_role("button").click()
    assert fact(page, "Place").startswith(f"path {better}, turn ")
    assert page.text_content(".right h3").endswith(label.split(":")[0])
    options = page.locator("#pair option").count()
    page.select_option("#pair", str(options - 1))
    assert page.locator("#pair option:checked").text_content() != label


def test_a_split_page_loads_a_tree_when_it_is_opened(opened, pages):
    page = opened("split")
    assert len(page.asked) == 1
    page.locator(".tasks a").nth(7).click()
    page.wait_for_selector("svg.tree")
    assert len(page.asked) == 2
    assert page.asked[1].startswith(f"{pages['split'].parent.as_uri()}/split/trees-")
    whole = opened("offline", place="#task-7")
    assert page.locator("[role=treeitem]").count() == whole.locator("[role=treeitem]").count()
    assert page.text_content("#panel") == whole.text_content("#panel")


def test_a_missing_file_is_said(opened, pages, tmp_path):
    copy = tmp_path / "alone.html"
    copy.write_bytes(pages["split"].read_bytes())
    pages["alone"] = copy
    page = opened("alone", quiet=False)
    page.locator(".tasks a").first.click()
    assert "is missing or damaged; make the report anew" in page.text_content("[role=alert]")


def test_an_address_of_a_turn_that_is_not_there_changes_nothing(opened):
    page = opened("offline", place="#task-1-3")
    page.wait_for_selector("svg.tree")
    page.evaluate("location.hash = '#task-1-99999'")
    page.wait_for_timeout(50)
    assert chosen(page) == 3
