"""Small loops, and who plays in them: an agent that always asks, and a user."""

AGENT = '''
from josh.agents.chat import Persuader
from josh.users.persuasion.donor import Donor


class Asks(Persuader):
    """Says what its model says, and then asks: even a model that babbles gets something."""

    def add_message(self, message):
        text = f"{message['content']} Would you like to donate to Save the Children?"
        super().add_message({**message, "content": text})


class Stingy(Donor):
    """Nobody gives whom the second search of four tasks meets."""
    def start(self, task, env, options):
        super().start(task, env, options)
        self.closed = task.id in {f"synthetic-train-000{number}" for number in range(4, 8)}

    def step(self, agent, **given):
        if not self.closed:
            return super().step(agent, **given)
        agent.add_message({"role": "user", "content": "No."})
        return agent, False
'''
SMALL = ["--tiny", "--tiny_size", "nano", "--agent", "./mine.py:Asks", "--max_convo_turns", "4", "--beam_size", "4"]
FEW = [*SMALL, "--tasks", "4", "--test_tasks", "4", "--rollouts", "2"]
