"""A real browser for the tests: Debian's chromium, or any other Chrome on the path, driven by Playwright."""

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
INSTALL = ("apt-get", "install", "--yes", "--no-install-recommends", "chromium")


def executable():
    """The browser's path. Where JOSH_TEST_BROWSER is `install`, Debian's package is installed; else the test skips."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install 'josh-dialogue[dev]'")
    found = next(filter(None, map(shutil.which, NAMES)), None)
    why = "set JOSH_TEST_BROWSER=install on Debian, or install chromium"
    if found is None and os.environ.get("JOSH_TEST_BROWSER") == "install":
        for command in (("apt-get", "update"), INSTALL):
            try:
                done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
                why = f"{' '.join(command)}: {done.stderr.strip()[-200:]}"
            except (OSError, subprocess.TimeoutExpired) as error:
                why = f"{' '.join(command)}: {error}"
        found = shutil.which("chromium")
    if found is None:
        pytest.skip(f"there is no browser; {why}")
    return found


@contextmanager
def browsing():
    """A browser without a window. While it is open, `asyncio.run` is not to be had in this thread."""
    path = executable()
    with pytest.importorskip("playwright.sync_api").sync_playwright() as driver:
        # Chromium's sandbox does not work for root, nor in most containers; nothing is loaded but our own page.
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def artefacts(folder):
    """Where screenshots go: the folder that JOSH_TEST_ARTEFACTS names, else the one given."""
    found = Path(os.environ.get("JOSH_TEST_ARTEFACTS") or folder)
    found.mkdir(parents=True, exist_ok=True)
    return found
