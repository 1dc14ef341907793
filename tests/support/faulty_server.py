"""A chat endpoint that fails in every way there is, at settable rates."""

import asyncio
import random
from collections import Counter

from aiohttp import web

from josh.runs.experiments.loopback import Loopback

KINDS = ("429", "408", "409", "500", "503", "drop", "cut", "garbage", "empty", "hang")


class FaultyServer(Loopback):
    """Answers as `Loopback` does, except when the dice say otherwise.

    Attributes:
        rates: how often what happens instead of an answer, by kind.
        struck: how often it did.
        served: requests that were answered.
    """

    def __init__(self, rates, seed=1, hang=30.0, retry_after="0.02", **options):
        super().__init__(**options)
        assert set(rates) <= set(KINDS)
        self.rates = rates
        self.struck = Counter()
        self.served = 0
        self._dice = random.Random(seed)
        self._hang = hang
        self._retry_after = retry_after

    async def _answer(self, request):
        draw = self._dice.random()
        for kind, rate in self.rates.items():
            draw -= rate
            if draw < 0:
                await request.read()
                self.struck[kind] += 1
                return await self._fail(kind, request)
        self.served += 1
        return await super()._answer(request)

    async def _fail(self, kind, request):
        if kind.isdecimal():
            headers = {"Retry-After": self._retry_after} if kind == "429" and self._dice.random() < 0.5 else {}
            return web.json_response({"error": {"message": f"status {kind}"}}, status=int(kind), headers=headers)
        if kind == "garbage":
            return web.Response(text="<html>bad gateway</html>", content_type="text/html")
        if kind == "empty":
            return web.json_response({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 0}})
        if kind == "hang":
            await asyncio.sleep(self._hang)
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "5000"})
        if kind == "cut":
            await response.prepare(request)
            await response.write(b'{"choices": [{"message": {"content": "half a')
        if request.transport is not None:
            request.transport.abort()
        return response


class BusyServer(Loopback):
    """Refuses what comes while it has its hands full.

    Attributes:
        refused: how many requests it refused.
    """

    def __init__(self, capacity, retry_after=None, **options):
        super().__init__(**options)
        self.refused = 0
        self._capacity = capacity
        self._retry_after = retry_after

    async def _answer(self, request):
        if self._concurrency >= self._capacity:
            self.refused += 1
            headers = {"Retry-After": self._retry_after} if self._retry_after else {}
            return web.json_response({"error": {"message": "too many"}}, status=429, headers=headers)
        return await super()._answer(request)
