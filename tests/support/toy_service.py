"""An agent of somebody else, behind an address that takes and returns JSON, for as long as a test needs it."""

from aiohttp import web


class Service:
    """Answers with `reply(body)`; keeps the bodies and headers that it got."""

    def __init__(self, reply, path="/chat"):
        self.bodies = []
        self.headers = []
        self._reply = reply
        self._path = path
        self._runner = None

    async def start(self):
        app = web.Application()
        app.router.add_post(self._path, self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}{self._path}"

    async def stop(self):
        await self._runner.cleanup()

    async def _answer(self, request):
        body = await request.json()
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        return web.json_response(self._reply(body))

    @property
    def sessions(self):
        """The conversations that the service saw, by the session's id: the messages of each request, in order."""
        found = {}
        for body in self.bodies:
            found.setdefault(body["session_id"], []).append(body["messages"])
        return found
