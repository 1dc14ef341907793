"""The pages of a report, and a browser that opens them from disk as a reader would."""

import json
from pathlib import Path

import pytest
from browser import artefacts, browsing
from pages import PAGES, write_pages
from sharing import made_once


@pytest.fixture(scope="session")
def pages(tmp_path_factory):
    """The pages, by name. They are made before the browser starts, which takes the thread's event loop."""
    home = made_once(tmp_path_factory, "reports", write_pages)
    return {name: Path(path) for name, path in json.loads((home / PAGES).read_text()).items()}


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
