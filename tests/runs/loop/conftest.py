"""Every test of loops has a folder of its own, with an agent and a user in it."""

import pytest
from loops import AGENT


@pytest.fixture(autouse=True)
def elsewhere(elsewhere, tmp_path):
    (tmp_path / "mine.py").write_text(AGENT)
