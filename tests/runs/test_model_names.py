"""Names of models: a misspelt one is refused, and a server of one's own may have any name."""

import pytest

from josh.errors import UsageError
from josh.runs.resolve import resolve


@pytest.mark.parametrize("name", ["gpt-4o", "online", "qwen2.5:7b", "openai/gpt-4o", "none", "hf-mirror", "offline"])
def test_a_name_that_is_like_no_other_means_itself(name):
    settings = resolve({"model": name}, variables={})
    assert settings.agent.model.removeprefix("litellm:") == name


@pytest.mark.parametrize("name", ["offlin", "react", "HF:x"])
def test_a_server_of_ones_own_may_have_any_name(name):
    assert resolve({"model": name, "base_url": "http://here/v1"}, variables={}).agent.model == name
    assert resolve({"model": name}, variables={"OPENAI_BASE_URL": "http://here/v1"}).agent.model == name
    with pytest.raises(UsageError, match="did you mean"):
        resolve({"model": name}, variables={})
