"""Agents at a market's counter, and the steps that they take."""

import asyncio

from toy_market import Market, Shop

from josh.testing import FixedModel

TASK = Market({}).tasks("train")[0]


def started(agent, env=Market, hello="An apple, please."):
    agent.start(TASK, env({}), {})
    if hello:
        agent.add_message({"role": "user", "content": hello})
    return agent


def call(name, arguments, **fields):
    return {"id": "call-1", "type": "function", "function": {"name": name, "arguments": arguments}} | fields


def take(agent, *replies, world=None):
    """Have an agent take a step for each reply; what the steps returned, and the messages that were sent."""
    line, world = FixedModel(replies), world or Shop()
    passed = [asyncio.run(agent.step(model=line, env=world)) for _ in replies]
    return passed, [request.messages for request in line.model.requests]
