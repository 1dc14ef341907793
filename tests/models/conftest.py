"""A very small local model, and an adapter on it."""

import pytest
from local_models import an_adapter

from josh.models.hf import HFChat


@pytest.fixture(scope="module")
def chat(tiny_model):
    return HFChat(f"hf:{tiny_model}", threads=1)


@pytest.fixture(scope="session")
def adapter(tiny_model, tmp_path_factory):
    return an_adapter(tiny_model, tmp_path_factory.mktemp("adapters") / "louder")
