"""An agent of somebody else, behind an address that takes and returns JSON, for as long as a test needs it."""

from aiohttp import web
from serving import LocalServer


class Service(LocalServer):
    """Answers with `reply(body)`; keeps the bodies and headers that it got."""

    def __init__(self, reply, path="/chat"):
        self.bodies = []
        self.headers = []
        self._reply = reply
        self.path = path

    def app(self):
        app = web.Application()
        app.router.add_post(self.path, self._answer)
        return app

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
