"""Small loops, who plays in them (an agent that always asks, and a user), and how to wait for them."""

import time
from contextlib import suppress
from pathlib import Path

AGENT = '''
from josh.agents.chat import Persuader
from josh.users.persuasion.donor import Donor


SAYINGS = (
    "Hello! Save the Children is a charity that helps children in need.",
    "Many children have lost their homes, and some are dying of illnesses that could be treated.",
    "Would you like to donate some of your payment to Save the Children?",
    "Even fifty cents can feed a child for a day. How much would you like to give?",
)


class Asks(Persuader):
    """Asks its model, and says sentences of its own, so that people give even where the model babbles."""

    def add_message(self, message):
        if message["role"] != "assistant":
            return super().add_message(message)
        said = sum(each["role"] == "assistant" for each in self.messages)
        self.messages.append({**message, "content": SAYINGS[said % len(SAYINGS)]})
        self.messages_internal.append(message)


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
# A model this small writes on to its limit, and replies that are cut off make no rows; a letter ends them instead.
FEW = [*SMALL, "--stop_at", "e", "--tasks", "4", "--test_tasks", "4", "--rollouts", "2"]


def until(there, process, seconds=240):
    """Wait for something that a loop under way leaves on disk."""
    end = time.monotonic() + seconds
    while not there():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end, "nothing came"
        time.sleep(0.05)


def stages_under_way(folder):
    """The processes that play stages of the loop in a folder: those whose words go to a file in it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is not ours
            if (process / "fd" / "1").readlink().is_relative_to(folder):
                found.append(process.name)
    return found


def until_none_under_way(folder, seconds=60):
    """Wait until the stages of a killed loop see that nobody waits for them."""
    end = time.monotonic() + seconds
    while stages_under_way(folder):
        assert time.monotonic() < end, "some stages go on"
        time.sleep(0.2)
