"""How many calls an endpoint gets at once."""

import asyncio

from josh.models.limiter import FIRST_WINDOW, Limiter


async def serve(limiter, call=None, times=1):
    """Make calls through a limiter, all at once; every call may look at the limiter before it is answered."""

    async def one(number):
        async with limiter.slot(number):
            begun = asyncio.get_running_loop().time()
            await asyncio.sleep(0.001)
            if call is None or call(begun):
                limiter.answered(begun)

    await asyncio.gather(*(one(number) for number in range(times)))


def test_the_window_doubles_with_every_round_trip_up_to_the_limit():
    async def windows():
        limiter, seen = Limiter(50), []
        for _ in range(5):
            await serve(limiter, times=int(limiter.window))
            seen.append(limiter.window)
        return seen

    assert FIRST_WINDOW == 4
    assert asyncio.run(windows()) == [8, 16, 32, 50, 50]


def test_a_window_that_nobody_fills_does_not_grow():
    limiter = Limiter(50)
    for _ in range(5):
        asyncio.run(serve(limiter, times=2))
    assert limiter.window == FIRST_WINDOW


def test_a_burst_of_refusals_halves_the_window_once_and_it_grows_slowly_from_there():
    async def windows():
        limiter = Limiter(64)
        for _ in range(4):
            await serve(limiter, times=int(limiter.window))
        assert limiter.window == 64
        await serve(limiter, limiter.throttled, times=64)
        cut = limiter.window
        await serve(limiter, times=32)
        return cut, limiter.window

    cut, later = asyncio.run(windows())
    assert cut == 32
    assert 32.9 < later <= 33


def test_the_window_never_closes():
    async def windows():
        limiter = Limiter(8)
        for _ in range(9):
            await serve(limiter, limiter.throttled)
        await serve(limiter)
        return limiter.window

    assert 1 <= asyncio.run(windows()) <= 2


def test_an_endpoint_that_asks_for_a_pause_gets_it_from_everybody():
    async def calls():
        limiter, loop = Limiter(4), asyncio.get_running_loop()
        limiter.pause(0.2)
        started = loop.time()
        begun = []
        await asyncio.gather(*(serve(limiter, lambda at: begun.append(at - started) or True) for _ in range(9)))
        return begun

    begun = asyncio.run(calls())
    assert len(begun) == 9
    assert min(begun) >= 0.2


def test_calls_per_minute_are_spaced_evenly():
    async def calls():
        limiter, begun = Limiter(64, per_minute=60 / 0.05), []
        await serve(limiter, lambda at: begun.append(at) or True, times=6)
        return begun

    begun = asyncio.run(calls())
    assert begun[-1] - begun[0] >= 5 * 0.05 - 0.001


async def hold(limiter, priority=0, order=None):
    async with limiter.slot(priority):
        if order is not None:
            order.append(priority)
        await asyncio.sleep(0)


def test_elder_tasks_have_their_calls_first_and_leaves_of_one_stem_go_together():
    order = []
    priorities = [(5, ""), (3, "1/0"), (1, ""), (3, "0/1"), (3, "1/1"), (3, "0/0"), (0, "")]

    async def calls():
        limiter = Limiter(1)
        await asyncio.gather(*(hold(limiter, priority, order) for priority in priorities))

    asyncio.run(calls())
    assert order == [(5, ""), (0, ""), (1, ""), (3, "0/0"), (3, "0/1"), (3, "1/0"), (3, "1/1")]


def test_a_call_that_is_cancelled_while_it_waits_leaves_no_slot_behind():
    async def calls():
        limiter = Limiter(1)
        async with limiter.slot(0):
            waiting = [asyncio.ensure_future(hold(limiter)) for _ in range(3)]
            await asyncio.sleep(0)
            waiting[0].cancel()
            await asyncio.sleep(0)
        # The slot has been handed to the second by now; it is cancelled before it can take it up.
        waiting[1].cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert limiter.in_flight == 0
        await asyncio.wait_for(hold(limiter), 1)

    asyncio.run(calls())
