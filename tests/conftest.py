"""A loopback chat endpoint for the tests that need one."""

import asyncio
import threading
from contextlib import contextmanager

import pytest

from josh.runs.loopback import Loopback


@contextmanager
def serving(server):
    """Run a server in a thread with a loop of its own; yields its base URL."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(server.start(), loop).result()
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


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
