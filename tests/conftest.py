"""What tests share: a folder without settings, a loopback chat endpoint, and a language model of some kilobytes."""

import os
import signal

import pytest
from serving import serving
from sharing import made_once

from josh.runs.experiments.loopback import Loopback
from josh.runs.train.tiny import Tiny, build


def pytest_configure():
    """Whoever runs the tests in the background has Ctrl-C ignored, and several tests press it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder of its own, without anybody's settings. A file of tests that all want it extends it as `autouse`."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("PERSUASION_", "OPENAI_")):
            monkeypatch.delenv(name)


@pytest.fixture
def endpoint():
    """Start a server for a test: `url, server = endpoint(respond=..., latency=...)`, or one of another `kind`."""
    running = []

    def start(kind=Loopback, **options):
        server = kind(**options)
        context = serving(server)
        running.append(context)
        return context.__enter__(), server

    yield start
    for context in running:
        context.__exit__(None, None, None)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """The folder of a language model that babbles: hidden 32, one layer, replies of 16 tokens at most."""
    pytest.importorskip("torch", reason="torch is not installed: pip install 'josh-dialogue[train]'")
    pytest.importorskip("transformers", reason="transformers is not installed: pip install 'josh-dialogue[train]'")
    return made_once(tmp_path_factory, "babbling", lambda folder: build(folder / "tiny", Tiny("nano"))) / "tiny"
