"""A server on this machine, for as long as a test needs it."""

import asyncio
import threading
from contextlib import contextmanager

from aiohttp import web


class LocalServer:
    """A server on this machine. A subclass has `app`, the application that answers, and the path of its address."""

    path = ""

    def app(self):
        raise NotImplementedError

    async def start(self):
        self.runner = web.AppRunner(self.app(), access_log=None, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self.runner.addresses[0][1]}{self.path}"

    async def stop(self):
        await self.runner.cleanup()


class ChatServer(LocalServer):
    """A server of chat completions. A subclass answers a request, by `answer`."""

    path = "/v1"

    def app(self):
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self.answer)
        return app


@contextmanager
def serving(server):
    """Run a server in a thread with a loop of its own; yields its base URL."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(server.start(), loop).result()
    finally:
        asyncio.run_coroutine_threadsafe(_stop(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _stop(server):
    """Stop the server and end what still answers a client that is gone; a later test would see it die otherwise."""
    await server.stop()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
