"""A user of one's own that asks its model, for `mine.py`; it does not declare that it needs one."""

ASKING = """
from josh import BaseJOSHUser

class Asking(BaseJOSHUser):
    async def step(self, agent, *, model, **_):
        reply = await model.reply([{"role": "user", "content": "what now?"}])
        agent.add_message({"role": "user", "content": reply.text})
        return agent, False
"""
