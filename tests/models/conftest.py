"""A very small local model, and an adapter on it."""

import pytest
from local_models import an_adapter
from sharing import made_once

from josh.models.hf import HFChat


@pytest.fixture(scope="module")
def chat(tiny_model):
    """The small model, loaded."""
    return HFChat(f"hf:{tiny_model}", threads=1)


@pytest.fixture(scope="session")
def adapter(tiny_model, tmp_path_factory):
    """The folder of an adapter that has it say other things."""
    return made_once(tmp_path_factory, "adapters", lambda folder: an_adapter(tiny_model, folder / "louder")) / "louder"
