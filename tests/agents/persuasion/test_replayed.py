"""The persuader that repeats what the persuader of the corpus's dialogue said."""

import pytest
from p4g_talks import ASKS, write_talks

from josh.agents.persuasion.replayed import GOODBYE, ReplayedPersuader
from josh.cli import main
from josh.dialogue import Outcome
from josh.envs.persuasion.env import PersuasionEnv
from josh.testing import AgentConformance


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_talks(tmp_path_factory.mktemp("corpus"), dialogues=8)


def started(folder):
    env = PersuasionEnv({"corpus": str(folder), "split_rule": "user_disjoint"})
    agent = ReplayedPersuader()
    agent.start(env.tasks("test")[0], env, {})
    return agent


class TestReplayedPersuader(AgentConformance):
    @pytest.fixture(autouse=True)
    def _folder(self, folder):
        self.folder = folder

    def make(self):
        return started(self.folder)


def test_it_says_the_answered_turns_and_ends_undecided(folder):
    agent = started(folder)
    steps = [agent.step() for _ in range(len(ASKS) + 1)]
    assert steps == [True] * len(ASKS) + [Outcome.TRUNCATED]
    said = [message["content"] for message in agent.messages]
    assert said[0] == ASKS[0]
    assert said[-1].endswith(GOODBYE)
    assert not any(GOODBYE in text for text in said[:-1])


def test_without_a_corpus_it_is_refused(tmp_path, capsys):
    assert main(["run", "--agent", "replayed_persuader", "--log_dir", str(tmp_path)]) == 2
    assert "agent replayed_persuader repeats the persuaders of the corpus; give --corpus DIR" in capsys.readouterr().err
