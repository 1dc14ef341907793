"""The persuaders that follow a script, and how the script was found."""

import pytest
from p4g_figures import Dice

from josh.agents.persuasion.offline import PHRASES
from josh.agents.persuasion.scripts import DenseScriptPersuader, ScriptPersuader
from josh.runs.systems.best_script import ACTS, ascend, mean_gift, neighbours, opening
from josh.runs.systems.persuasion import main


@pytest.mark.parametrize(("kind", "most"), [(ScriptPersuader, 1), (DenseScriptPersuader, 3)])
def test_scripts_hold_known_acts_for_every_turn(kind, most):
    assert len(kind.script) == 10
    for acts in kind.script:
        assert 1 <= len(acts) <= most
        assert set(acts) <= PHRASES.keys()
        assert list(acts) == sorted(acts, key=ACTS.index)


def test_it_follows_its_script_whoever_listens_and_says_its_last_turn_again():
    agent = ScriptPersuader()
    for turn in range(12):
        assert agent.step(model=Dice(turn)) is True
        assert agent.recent_actions == list(ScriptPersuader.script[min(turn, 9)])
        assert agent.messages[-1]["content"] in PHRASES[agent.recent_actions[0]]
        agent.add_message({"role": "user", "content": "Hm."})


def test_neighbours_differ_in_one_act_of_their_turn_or_change_places():
    script = (("greeting",), ("thank", "other"), ("closing",))
    found = list(neighbours(script, 1, 3))
    others = len(ACTS) - 2
    assert len(found) == len(set(found)) == 2 * others + others + 2 + 1
    for other in found:
        assert other != script
        assert other[0] == script[0]
    assert (script[0], script[2], script[1]) in found


def test_conversations_go_on_from_any_turn_as_they_would_from_the_start():
    talks, script = opening(10, 1, 3), ScriptPersuader.script
    later = [talk.heard(script[0], 0).heard(script[1], 1) for talk in talks]
    assert mean_gift(later, script, 2) == mean_gift(talks, script, 0) == mean_gift(talks, script, 0) > 0


def test_the_search_only_ever_climbs():
    talks, said = opening(4, 1, 3), []
    start = (("other",),) * 3
    gift, script = ascend(talks, start, 1, said.append)
    assert gift >= mean_gift(talks, start, 0)
    assert gift == pytest.approx(mean_gift(talks, script, 0))
    assert len(said) >= 1


def test_the_search_runs_from_the_command_line(capsys):
    assert main(["best_script", "--people", "1", "--rollouts", "1", "--starts", "1"]) == 0
    assert capsys.readouterr().out.count("\n") == 11
