"""Every test of evaluations has a folder of its own, with two agents in it."""

import pytest

PLUGINS = '''
from josh import BaseJOSHAgent

class Asks(BaseJOSHAgent):
    """Asks and asks; gives up the ghost in some conversations if told so."""
    breaks = False

    def step(self, *, model):
        draw = model.draw()
        if self.breaks and draw % 5 == 0:
            raise ConnectionError("the line is dead")
        self.add_message({"role": "assistant", "content": "Would you like to donate to Save the Children?"})
        return True

class Breaks(Asks):
    breaks = True
'''


@pytest.fixture(autouse=True)
def elsewhere(elsewhere, tmp_path):
    (tmp_path / "mine.py").write_text(PLUGINS)
