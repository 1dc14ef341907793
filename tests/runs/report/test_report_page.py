"""The report's page in a real browser, opened from disk as a reader would."""

import json
import re
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
from browser import artefacts, browsing, executable
from playing import LOOKS
from serving import serving

from josh.cli import main
from josh.runs.experiments.loopback import Loopback
from josh.runs.report.report import report
from josh.terminal import visible

HOSTILE = (
    "<script>window.struck = 1</script>",
    "</script><script>window.struck = 2</script>",
    "<img src=x onerror='window.struck = 3'><svg onload='window.struck = 4'>",
    "<!-- <script> \u2028 ${window.struck = 5} {{7*7}} &lt;b&gt; \u202eesrever",
)
PROMPT_OF_AGENT = "Win them over"


def respond(body):
    """A persuader that means harm, repeats itself and writes tags; a persuadee that gives, refuses or goes on."""
    messages, seed = body["messages"], body["seed"]
    spoken = sum(message["role"] == "assistant" for message in messages)
    if PROMPT_OF_AGENT in messages[0]["content"]:
        if spoken == 1:
            return "I say the same."
        return f"{' '.join(HOSTILE)} {seed} [DONATE $2]"
    if spoken == 0:
        return f"Hm {seed}"
    return f"{seed} {('[DONATE $1.50]', '[DONATE $0.50]', '[DONATE $0]', HOSTILE[0], 'well')[min(seed % 24, 4)]}"


FAILS = """
from josh import BaseJOSHAgent

class Fails(BaseJOSHAgent):
    def start(self, task, env, options):
        super().start(task, env, options)
        self.index = task.index

    def step(self, **_):
        if self.index == 1:
            raise RuntimeError("not today")
        self.add_message({"role": "assistant", "content": "Give!"})
        return True
"""
ACTING = "a\x1b[31mb\u202ec\x00d\re\u2028f\x85g\n\th"
AWKWARD = ("", "x" * 300, "\u05d0\u05d1", "plain")


def play(log_dir, *flags):
    assert main(["run", "--log_dir", str(log_dir), *map(str, flags)]) == 0
    (folder,) = Path(log_dir).iterdir()
    return folder


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The pages, by name. They are made before the browser starts, which takes the thread's event loop."""
    executable()
    home = tmp_path_factory.mktemp("runs")
    offline = play(home / "offline", "--josh", "--stop", "best")
    wide = play(home / "wide", "--josh", "--stop", "best", "--beam_size", 512, "--synthetic_tasks", 1)
    due = [20, 40, 10_000]

    def answer(body):
        if len(server.requests) > due[0]:
            server.faults.append(400)
            due.pop(0)
        return respond(body)

    server = Loopback(respond=answer, latency=0.002)
    with serving(server) as url:
        models = ("--model", "m", "--base_url", url, "--user_model", "m", "--user_base_url", url, "--single_replies")
        hostile = play(
            home / "hostile", *models, "--josh", "--beam_size", 4, "--synthetic_tasks", 6, "--max_convo_turns", 3
        )
    plain = ("--rollouts", 2, "--temperature", 1, "--synthetic_tasks", 12)
    first, second = play(home / "a", *plain), play(home / "b", *plain, "--agent", "uniform_persuader")
    (both,) = report([first, second])
    (searches,) = report([offline, wide])
    poorer = play(home / "poorer", "--josh", "--synthetic_tasks", 8)
    (richer,) = report([poorer, play(home / "richer", "--josh", "--stop", "best", "--synthetic_tasks", 8)])
    (home / "fails.py").write_text(FAILS)
    awkward = play(home / "awkward", "--agent", f"{home / 'fails.py'}:Fails", "--synthetic_tasks", 4)
    rows = [json.loads(line) for line in (awkward / "episodes.jsonl").read_text().splitlines()]
    for row, name in zip(rows, AWKWARD, strict=True):
        row["task_id"] = row["task"]["id"] = name
    (awkward / "episodes.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    report([awkward])
    (home / "looks.py").write_text(LOOKS)
    looks = play(home / "looks", "--agent", f"{home / 'looks.py'}:Looks", "--synthetic_tasks", 1)
    twice = play(home / "twice", "--env", "toy_twice:World", "--josh", "--beam_size", 1)
    spelt = home / "spelt"
    shutil.copytree(twice, spelt)
    (row,) = map(json.loads, (spelt / "episodes.jsonl").read_text().splitlines())
    row["task_id"] = "\u202eone"
    row["nodes"][1]["messages"] = row["nodes"][1]["internal"] = [{"role": "assistant", "content": ACTING}]
    (spelt / "episodes.jsonl").write_text(f"{json.dumps(row)}\n")
    report([spelt])
    desk = [
        play(home / f"desk-{beam}", "--env", "toolwoz", "--josh", "--beam_size", beam, "--synthetic_tasks", 4)
        for beam in (2, 4)
    ]
    (desks,) = report(desk)
    unfinished = home / "unfinished"
    shutil.copytree(twice, unfinished)
    (unfinished / "summary.json").unlink()
    (unfinished / "episodes.jsonl").write_text("")
    report([unfinished])
    (split,) = report([offline], home / "split.html", inline=100_000, chunk=100_000)
    return {
        "offline": offline / "report.html",
        "wide": wide / "report.html",
        "hostile": hostile / "report.html",
        "split": split,
        "comparison": both,
        "searches": searches,
        "richer": richer,
        "awkward": awkward / "report.html",
        "looks": looks / "report.html",
        "twice": twice / "report.html",
        "unfinished": unfinished / "report.html",
        "spelt": spelt / "report.html",
        "desk": desk[0] / "report.html",
        "desks": desks,
    }


@pytest.fixture(scope="module")
def browser(pages):
    with browsing() as found:
        yield found


@pytest.fixture
def opened(browser, pages):
    """Open a page: `page = opened("offline")`; it must not complain, nor ask for anything but its own files."""
    contexts = []

    def start(name, width=1280, height=900, scheme="light", place="", quiet=True):
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        page = context.new_page()
        page.complaints, page.asked, page.refused = [], [], []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("requestfailed", lambda request: page.refused.append((request.url, request.failure)))
        page.set_default_timeout(10_000)
        page.goto(f"{pages[name].as_uri()}{place}")
        contexts.append((context, page, quiet))
        return page

    yield start
    for context, page, quiet in contexts:
        asked, complaints = page.asked, page.complaints
        context.close()
        assert not quiet or complaints == []
        assert not quiet or all(url.startswith("file://") for url in asked)


@pytest.fixture
def shots(tmp_path):
    return artefacts(tmp_path)


def data(page):
    return json.loads(page.text_content("#head"))


def chosen(page):
    """The index of the turn that the tree's keyboard stands on."""
    return int(page.get_attribute("svg.tree", "aria-activedescendant").removeprefix("node-"))


def fact(page, name):
    """What is said of the chosen turn under a name."""
    return page.locator(f".facts dt:text-is('{name}') + dd").text_content()


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)
    return chosen(page)


def test_a_page_opens_from_disk_with_nothing_but_itself(opened, pages, shots):
    for name in ("offline", "comparison", "wide"):
        page = opened(name)
        assert page.text_content("h1") == data(page)["id"]
        assert page.asked == [pages[name].as_uri()]
        page.screenshot(path=shots / f"{name}.png", full_page=True)
    assert page.title().endswith("· josh")


def test_the_figures_are_those_of_the_run(opened, pages):
    page = opened("offline")
    told = json.loads((pages["offline"].parent / "summary.json").read_text())
    cards = page.text_content(".cards")
    assert f"Donation rate{told['success_rate']:.0%}" in cards
    assert f"Mean donation${told['average_reward']:.2f}95% interval $" in cards
    assert f"Turns played{told['turns']:,}" in cards
    rounds = page.locator("section", has_text="Rewards by round").locator("tbody tr")
    assert rounds.count() == len(data(page)["rounds"])
    assert page.locator(".group").count() == len({group["kind"] for group in data(page)["groups"]})
    assert page.locator("section", has_text="Calls, tokens and cost").locator("tbody tr").count() == 3


def test_a_run_without_a_summary_is_said_to_go_on_or_to_have_been_killed(opened):
    page = opened("unfinished")
    assert page.text_content(".notice") == "Not finished: 0 of 1 task"
    assert page.text_content(".card").startswith("Success rate\u2013best path")
    costs = page.locator("section", has_text="Calls, tokens and cost").locator(".small").first.text_content()
    assert costs.startswith(
        "There is no summary yet: the run goes on, or was killed. Calls and tokens are the journal's"
    )


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


def test_tasks_are_filtered_searched_and_sorted(opened):
    page = opened("hostile")
    rows = data(page)["tasks"]
    counts = {
        "Won": sum(row["state"] == "won" for row in rows),
        "Lost": sum(row["state"] == "lost" for row in rows),
        "Not scored": sum(row["state"] == "error" for row in rows),
        "With errors": sum(row["errors"] > 0 for row in rows),
        "Duplicates": sum(row["duplicates"] > 0 for row in rows),
        "Reward-tag attempts": sum(row["attempts"] > 0 for row in rows),
    }
    assert counts["With errors"] > 0 < counts["Duplicates"]
    assert 0 < counts["Won"] < len(rows)
    for name, count in counts.items():
        chip = page.locator(".chip", has_text=name)
        assert chip.text_content() == f"{name} {count}"
        if count:
            chip.click()
            assert chip.get_attribute("aria-pressed") == "true"
        else:
            assert chip.is_disabled()
            continue
        assert page.locator(".tasks tbody tr").count() == count
    page.get_by_role("button", name="All").click()
    page.keyboard.press("/")
    page.keyboard.type("Train-0003")
    assert page.locator(".tasks tbody tr").all_text_contents()[0].startswith("synthetic-train-0003")
    page.fill("#task-search", "sex: female")
    assert page.locator(".tasks tbody tr").count() == sum("sex: Female" in row["groups"] for row in rows) > 0
    page.locator("#task-search").press("Escape")
    assert page.input_value("#task-search") == ""
    assert page.locator(".tasks tbody tr").count() == len(rows)
    heading = page.get_by_role("button", name="turns")
    for order, sign in (("descending", -1), ("ascending", 1)):
        heading.click()
        assert page.locator(f"th[aria-sort={order}]").text_content() == "turns"
        shown = [int(text) for text in page.locator(".tasks tbody td:nth-child(5)").all_text_contents()]
        assert all(sign * one <= sign * other for one, other in pairwise(shown))


def test_what_is_typed_leaves_rows_alone_that_go_on_to_fit(opened):
    page = opened("offline")
    page.evaluate(
        "new MutationObserver((found) => (window.moved = (window.moved ?? 0) + found.length))"
        ".observe(document.querySelector('.tasks tbody'), { childList: true })"
    )
    page.keyboard.press("/")
    page.keyboard.type("synthetic-train-00")
    assert page.evaluate("window.moved ?? 0") == 0
    page.keyboard.type("07")
    assert page.evaluate("window.moved") > 0
    assert page.locator(".tasks tbody tr").count() == 1


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
    assert "Agent as user" in user
    assert "User as assistant" in user
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
    page.screenshot(path=shots / "told.png")
    page.click("#tab-user")
    assert "APIRETURN" not in page.text_content("#panel")
    assert "It is red." in page.text_content("#panel")


def test_a_world_of_tools_is_not_told_of_in_the_words_of_persuasion(opened, shots):
    for name in ("desk", "desks"):
        page = opened(name)
        text = page.locator("body").inner_text()
        assert ("By group of tasks" in text, "over tasks" in text) == (name == "desk", True)
        assert not re.search("person|people|reward.tag|tag attempts", text, re.IGNORECASE)
        page.screenshot(path=shots / f"{name}.png", full_page=True)
    page = opened("desk", place="#task-0")
    assert page.text_content(".people summary").startswith("The task: domains: ")
    page.screenshot(path=shots / "desk-task.png", full_page=True)
    assert re.fullmatch(r"(\w+\((\w+: [\w ':]+(, )?)+\)(, )?)+", fact(page, "Did"))


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


def test_two_runs_show_what_came_out_otherwise(opened, shots):
    page = opened("comparison")
    shown = data(page)["changes"]
    flips = [row for row in shown if row["won"][0] != row["won"][1]]
    gained = sum(row["won"][1] for row in flips)
    assert page.locator(".flips li").count() == len(shown) > len(flips) > gained > 0
    assert page.locator(".card", has_text="Flipped").locator("strong").text_content() == str(len(flips))
    page.get_by_role("button", name="Won, then lost").click()
    assert page.locator(".flips li").count() == len(flips) - gained
    row = next(row for row in flips if not row["won"][1])
    page.locator(".flips a").first.click()
    page.wait_for_selector(".sides")
    sides = page.locator(".side")
    assert sides.nth(0).locator("h2").text_content() == f"First: won ${row['rewards'][0]:.2f}"
    assert sides.nth(1).locator("h2").text_content() == "Second: lost $0.00"
    assert "earned $" in sides.nth(0).text_content()
    assert "earned $" not in sides.nth(1).text_content()
    page.screenshot(path=shots / "flip.png")


def test_two_runs_that_won_the_same_show_whose_reward_moved(opened, shots):
    page = opened("richer")
    shown = data(page)
    assert not [row for row in shown["changes"] if row["won"][0] != row["won"][1]]
    assert page.locator(".flips li").count() == shown["moved"] > 3
    assert "McNemar's testp = 1" in page.text_content(".cards")
    assert "best path of every person's first task" in page.text_content(".cards")
    assert "pairs of best paths" in page.text_content(".cards")
    assert "conversation" not in page.text_content(".cards")
    assert page.get_by_role("heading", name="Best paths that came out otherwise").count() == 1
    more = sum(row["rewards"][1] > row["rewards"][0] for row in shown["changes"])
    page.get_by_role("button", name="Earned more").click()
    assert page.locator(".flips li").count() == more
    page.screenshot(path=shots / "richer.png", full_page=True)
    page.locator(".flips a").first.click()
    rewards = shown["changes"][0]["rewards"]
    for side, name, reward in zip(page.locator(".side").all(), ("First", "Second"), rewards, strict=True):
        assert side.locator("h2").text_content() == f"{name}: won ${reward:.2f}"
        assert f"earned ${reward:.2f}" in side.text_content()


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


def test_awkward_ids_and_tasks_without_a_score_have_their_place_in_the_list(opened, shots):
    page = opened("awkward")
    assert page.locator(".tasks a").all_text_contents() == ['(blank id "")', *AWKWARD[1:]]
    assert page.locator(".tasks a bdi").count() == 4
    box = page.locator(".task-box")
    assert box.evaluate("each => each.scrollWidth <= each.clientWidth")
    assert page.locator(".tasks tbody tr").nth(1).locator("td").nth(1).text_content() == "\u2013"
    for _ in range(2):
        page.locator(".sort", has_text="reward").click()
        assert page.locator(".tasks a").last.text_content() == AWKWARD[1]
    page.get_by_role("button", name="Not scored").click()
    assert page.locator(".tasks a").all_text_contents() == [AWKWARD[1]]
    page.get_by_role("button", name="All").click()
    page.screenshot(path=shots / "awkward.png")
    page.locator(".tasks a").last.click()
    assert "reward" not in page.text_content(".task-head .line")


def test_an_address_of_a_turn_that_is_not_there_changes_nothing(opened):
    page = opened("offline", place="#task-1-3")
    page.wait_for_selector("svg.tree")
    page.evaluate("location.hash = '#task-1-99999'")
    page.wait_for_timeout(50)
    assert chosen(page) == 3


def test_at_the_width_of_a_phone_a_group_s_interval_stands_below_its_mean(opened, shots):
    page = opened("offline", width=375, height=740)
    group = next(group for group in data(page)["groups"] if group["mean"]["low"] is not None)
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


def test_a_comparison_shows_its_notes_and_the_settings_that_differ(opened, shots):
    page = opened("searches")
    (note,) = data(page)["notes"]
    assert note.startswith("Left out, because the other run has not finished them: 19 tasks of ")
    assert page.text_content(".notice") == note
    section = page.locator("section", has_text="Settings that differ")
    rows = [row.locator("th, td").all_text_contents() for row in section.locator("tbody tr").all()]
    assert ["beam_size", "8", "512"] in rows
    page.screenshot(path=shots / "searches.png", full_page=True)
