"""The settings of a run: from the command line, TOML tables and records, with those of plug-ins among them."""

import json
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from josh.cli import main
from josh.models.chat import Request, Sampling
from josh.models.turn_model import BoundModel
from josh.runs.play.runtime import Runtime
from josh.runs.record.folder import read_settings
from josh.runs.record.settings_json import settings_from_json, settings_to_json
from josh.runs.resolve import changed, resolve, resume_settings
from josh.runs.settings import core, flat, options_of

pytestmark = pytest.mark.usefixtures("elsewhere")

WORLD = """
from dataclasses import dataclass

from josh import BaseEnv, BaseJOSHAgent, BaseJOSHUser, BaseRewards
from josh.config import setting
from josh.roles import Task


class Guesser(BaseJOSHAgent):
    @dataclass(frozen=True)
    class Config:
        polite: bool = setting(False, "says please")

    def step(self, **_):
        self.add_message({"role": "assistant", "content": "Please!" if self.config.polite else "Now!"})
        self.recent_actions = ["asked"]
        return True


class Chooser(BaseJOSHUser):
    def step(self, agent, **_):
        agent.add_message({"role": "user", "content": "No."})
        return agent, False


class Many(BaseRewards):
    @dataclass(frozen=True)
    class Config:
        times: int = setting(1, "how often", least=1, most=9)

    def path_reward(self, goals, hits):
        return float(self.config.times)


class W(BaseEnv):
    @dataclass(frozen=True)
    class Config:
        difficulty: int = setting(1, "how hard the tasks are", least=1, most=5)

    max_rounds = 2
    agents = {"offline": Guesser}
    users = {"offline": Chooser}
    rewards = Many

    def tasks(self, split):
        return [Task(f"{number}", number, {}) for number in range(self.config.difficulty)]

    def goals(self, task):
        assert self.options["env.difficulty"] == self.config.difficulty
        return ["asked"]
"""
OWN = ("--env", "./w.py:W")


@pytest.fixture
def world(elsewhere):
    Path("w.py").write_text(WORLD)


def only_run():
    (folder,) = Path("records").iterdir()
    return folder


def said(capsys, *arguments):
    """The one line that bad input gets."""
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    assert not Path("records").exists()
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


class TestAWorldOfOnesOwn:
    @pytest.fixture(autouse=True)
    def there(self, world):
        """Every test has the world's file."""

    def test_takes_its_settings_from_flags_and_they_are_recorded(self):
        assert main([*OWN, "--env.difficulty", "3", "--agent.polite", "--rewards.times", "2"]) == 0
        settings = json.loads((only_run() / "config.json").read_text())["settings"]
        assert settings["env"] == {"name": f"{Path('w.py').resolve()}:W", "difficulty": 3}
        assert settings["agent"]["polite"] is True
        assert settings["rewards"] == {"name": None, "times": 2}
        rows = [json.loads(line) for line in (only_run() / "episodes.jsonl").read_text().splitlines()]
        assert [row["reward"] for row in rows] == [2.0] * 3
        assert rows[0]["nodes"][1]["messages"][0]["content"] == "Please!"

    def test_takes_them_from_tables_of_a_file_which_flags_win_over(self):
        Path("run.toml").write_text(
            '[env]\nname = "./w.py:W"\ndifficulty = 3\n'
            "[agent]\npolite = true\ntemperature = 0.5\n[tasks]\nshuffle = true\n"
        )
        assert main(["--config", "run.toml", "--env.difficulty", "2"]) == 0
        settings = read_settings(only_run())
        assert (settings.env.config, settings.agent.config) == ({"difficulty": 2}, {"polite": True})
        assert (settings.agent.sampling.temperature, settings.tasks.shuffle) == (0.5, True)

    def test_a_plain_name_of_the_world_works_alone(self):
        Path("run.toml").write_text('env = "./w.py:W"\n')
        assert main(["--config", "run.toml"]) == 0
        assert read_settings(only_run()).env.config == {"difficulty": 1}

    def test_shows_them_in_the_help(self, capsys):
        with pytest.raises(SystemExit):
            main([*OWN, "--help"])
        text = " ".join(capsys.readouterr().out.split())
        assert "--env.difficulty INT how hard the tasks are (default: 1)" in text
        assert "--agent.polite says please" in text
        assert "--rewards.times INT how often (default: 1)" in text
        assert "--corpus" not in text

    @pytest.mark.parametrize(
        ("flags", "line"),
        [
            ("--env.difficulty 9", "env.difficulty is 9; give 1 to 5"),
            ("--corpus here", "corpus is given, but env './w.py:W' has no such setting; leave it out, or give --env"),
            (
                "--env.dificulty 3",
                "env.dificulty is given, but env './w.py:W' has no such setting; did you mean 'env.d",
            ),
            (
                "--min_reward 1",
                "min_reward is given, but rewards 'Many' has no such setting; leave it out, or give --r",
            ),
            ("--agent.words 1", "agent.words is given, but agent 'Guesser' has no such setting"),
            (
                "--config run.toml",
                "run.toml: split_rule is given, but env './w.py:W' has no such setting; leave it out",
            ),
        ],
    )
    def test_refuses_in_one_line_what_nothing_that_is_chosen_reads(self, capsys, flags, line):
        Path("run.toml").write_text('split_rule = "annotated"\n')
        assert said(capsys, *OWN, *flags.split()).startswith(f"josh: {line}")

    def test_goes_on_with_its_settings_and_with_no_others(self, capsys):
        assert main([*OWN, "--env.difficulty", "2"]) == 0
        run = only_run()
        assert main(["--trust", "--resume", str(run), "--env.difficulty", "2"]) == 0
        assert main(["--trust", "--resume", str(run), "--env.difficulty", "3"]) == 2
        assert "env.difficulty is 3, and 2 in" in capsys.readouterr().err

    def test_is_rescored_without_the_agent_that_played(self):
        Path("a.py").write_text("from w import Guesser as G\n")
        assert main([*OWN, "--agent", "./a.py:G", "--agent.polite"]) == 0
        Path("a.py").unlink()
        for name in [name for name in sys.modules if name.startswith("josh_plugin_")]:
            del sys.modules[name]
        assert main(["rescore", "--trust", str(only_run()), "--rewards.times", "4", "--log_dir", "new"]) == 0
        (new,) = Path("new").iterdir()
        assert (read_settings(new).agent.config, read_settings(new).rewards.config) == ({"polite": True}, {"times": 4})

    def test_can_be_rescored_shown_and_reported(self, capsys):
        assert main([*OWN, "--env.difficulty", "2"]) == 0
        run = only_run()
        assert main(["rescore", "--trust", str(run), "--rewards.times", "4", "--log_dir", "new"]) == 0
        (new,) = Path("new").iterdir()
        assert json.loads((new / "summary.json").read_text())["average_reward"] == 4.0
        assert main(["show", str(new)]) == 0
        assert main(["report", str(new)]) == 0


SEARCH = """
from dataclasses import dataclass

from josh.config import setting
from josh.strategies.beam import BeamSearch


class Wide(BeamSearch):
    @dataclass(frozen=True)
    class Config(BeamSearch.Config):
        simulations: int = setting(60, "how many", least=1)

    def describe(self):
        return f"searched {self.config.simulations} times"
"""


class TestStrategies:
    def test_one_of_ones_own_has_settings_and_is_told_from_its_words(self, capsys):
        Path("s.py").write_text(SEARCH)
        flags = ["--strategy", "./s.py:Wide", "--strategy.simulations", "7", "--beam_size", "2"]
        assert main([*flags, "--synthetic_tasks", "2"]) == 0
        assert "searched 7 times" in capsys.readouterr().out
        config = json.loads((only_run() / "config.json").read_text())
        assert config["settings"]["strategy"] == {
            "name": f"{Path('s.py').resolve()}:Wide", "beam_size": 2, "stop": "first", "simulations": 7,
        }  # fmt: skip
        assert config["search"] == {"words": "searched 7 times", "searched": True, "conversations": 1}
        Path("s.py").unlink()
        assert main(["show", str(only_run())]) == 0
        assert "searched 7 times" in capsys.readouterr().out

    def test_josh_means_beam_and_its_absence_rollouts(self):
        assert resolve({"josh": True}, {}) == resolve({"strategy": "beam"}, {})
        assert resolve({}, {}) == resolve({"strategy": "rollouts"}, {})
        assert (
            resolve({"josh": True, "strategy": "beam", "strategy.stop": "best"}, {}).strategy.config["stop"] == "best"
        )
        assert resolve({"strategy.n": 3}, {}).strategy.config == {"n": 3}

    def test_a_search_and_plain_conversations_are_told_apart(self, capsys):
        assert said(capsys, "--josh", "--strategy", "rollouts").startswith("josh: josh is given with strategy 'rollout")
        assert said(capsys, "--strategy", "beem").startswith(
            "josh: no strategy named 'beem'; known: adaptive, beam, fan_out, halving, mainline, mcts, rollouts"
        )


class TestSampling:
    def test_each_field_has_flags_for_each_speaker(self):
        for one in fields(Sampling):
            flag = one.metadata["rule"].flag or one.name
            assert [core()[f"{who}{flag}"].name for who in ("", "user_", "judge_")] == [one.name] * 3

    def test_each_field_but_the_temperature_is_sent_when_it_is_set_and_not_otherwise(self):
        values = {
            "top_p": 0.5,
            "min_p": 0.1,
            "max_tokens": 9,
            "stop": ("x",),
            "extra_body": {"k": 1},
            "temperature": 0.3,
            "leave_out": ("min_p",),
            "chat_template": "{{ messages }}",
            "chat_template_kwargs": {"enable_thinking": False},
        }
        assert set(values) == {one.name for one in fields(Sampling)}
        assert Sampling().added_to({}) == {}
        for name, value in values.items():
            sent = Request([], Sampling(**{name: value}), 1).body
            new = {"extra_body": value, "leave_out": {}}.get(name, {name: sent.get(name)})
            assert {"temperature": 1.0, "seed": 1} | new == sent

    def test_what_a_plug_in_asks_for_counts_more_and_both_ends_count(self):
        sampling = Sampling(max_tokens=9, stop=("a",))
        assert sampling.added_to({"max_tokens": 2, "stop": "b"}) == {"max_tokens": 2, "stop": ["b", "a"]}

    def test_a_null_takes_a_field_out(self):
        extra = {"seed": None, "max_completion_tokens": 5}
        assert Request([], Sampling(extra_body=extra), 1, n=2).body == {
            "temperature": 1.0, "n": 2, "max_completion_tokens": 5,
        }  # fmt: skip

    def test_it_reaches_the_endpoint(self, endpoint):
        url, server = endpoint()
        flags = ["--model", "us", "--user_model", "them", "--base_url", url, "--user_base_url", url]
        own = ["--max_tokens", "7", "--user_max_tokens", "8", "--stop_at", "END", "--user_stop_at", '["a", "b"]']
        extra = ["--extra_body", '{"seed": null, "top_k": 3}', "--synthetic_tasks", "1", "--max_convo_turns", "1"]
        assert main([*flags, *own, *extra]) == 0
        us, them = server.requests
        assert (us["max_tokens"], us["stop"], us["top_k"], "seed" in us) == (7, ["END"], 3, False)
        assert (them["max_tokens"], them["stop"], "seed" in them) == (8, ["a", "b"], True)
        assert main(["replay", "--trust", str(only_run()), "--log_dir", "again"]) == 0

    def test_settings_left_at_their_defaults_keep_the_digests_of_earlier_journals(self):
        """As `blake2b` of the seed, the model's name, the temperature, the messages, the options and the siblings."""
        runtime = Runtime(resolve({"synthetic_tasks": 1}, {}))
        model = BoundModel(runtime.models[0], Sampling(temperature=0.5), None, runtime.gateway, 10, "task")
        messages = [{"role": "user", "content": "hi"}]
        assert model._digests(messages, {"stop": ["x"]}, ("0", "1"))[()] == "c647fb1a5731afdaf954d616aa8f6979"


class TestTheJudge:
    def test_there_is_none_unless_it_is_named(self):
        assert Runtime(resolve({"synthetic_tasks": 1}, {})).judge_model is None

    def test_it_is_a_third_speaker_with_settings_of_its_own(self):
        settings = resolve(
            {"judge_model": "m", "judge_base_url": "http://here/v1", "judge_max_tokens": 5, "synthetic_tasks": 1}, {}
        )
        assert (settings.judge.sampling.temperature, settings.judge.sampling.max_tokens) == (0.0, 5)
        assert Runtime(settings).judge_model.endpoint == "http://here/v1"

    def test_an_address_alone_is_refused(self, capsys):
        assert said(capsys, "--judge_base_url", "http://x/v1").startswith("josh: judge_base_url is given, but judge_mo")


FLAT = {
    "env": "persuasion", "agent": None, "model": "offline", "user_model": None, "josh": True, "beam_size": 4,
    "stop": "best", "rollouts": 1, "temperature": 0.9, "seed": 3, "corpus": None, "data": None,
    "split_rule": "convokit", "synthetic_tasks": 7, "min_reward": 0.5, "end_index": 2, "log_dir": "old",
}  # fmt: skip


class TestRecords:
    def test_the_flat_settings_of_earlier_versions_are_read(self):
        settings = settings_from_json(FLAT, Path("config.json"))
        assert settings.strategy.config == {"beam_size": 4, "stop": "best"}
        assert (settings.env.config, settings.rewards.config) == ({"synthetic_tasks": 7}, {"min_reward": 0.5})
        assert (settings.agent.sampling.temperature, settings.user.model) == (0.9, "offline")
        assert (settings.seed, settings.tasks.end_index, settings.output.log_dir) == (3, 2, "old")

    def test_plain_conversations_of_earlier_versions_are_read(self):
        flat = FLAT | {"josh": False, "rollouts": 3, "stop": "first"}
        assert settings_from_json(flat, Path("config.json")).strategy.config == {"n": 3}

    def test_what_is_written_is_read_back(self):
        given = {"josh": True, "synthetic_tasks": 3, "stop_at": ["a", "b"], "user_extra_body": {"x": {"y": None}}}
        settings = resolve(given, {})
        content = json.loads(json.dumps(settings_to_json(settings)))
        assert settings_from_json(content, Path("config.json")) == settings
        assert resume_settings(settings_from_json(content, Path("config.json")), given, Path("run")) == settings

    def test_another_plug_in_drops_the_settings_of_the_one_before(self):
        before = resolve({"min_reward": 1.0, "synthetic_tasks": 3}, {})
        assert changed(before, {"rewards": "goals"}).rewards.config == {}
        assert changed(before, {"seed": 4}).rewards.config == {"min_reward": 1.0}

    def test_plug_ins_are_given_all_settings_by_flag(self):
        settings = resolve({"josh": True, "synthetic_tasks": 3}, {})
        options = options_of(settings)
        assert options == flat(settings) | {"josh": True}
        assert (options["synthetic_tasks"], options["min_reward"], options["user_temperature"]) == (3, 0.0, 1.0)


def test_an_address_of_the_environment_stands_in_the_settings_before_anything_sees_them(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://there/v1")
    settings = resolve({"model": "m", "user_model": "a,b"}, {})
    assert (settings.agent.base_url, settings.user.base_url) == ("http://there/v1", "http://there/v1")


def test_every_setting_has_a_dotted_name_on_the_command_line(capsys):
    assert main(["--agent.temperature=0.25", "--tasks.end-index", "1", "--dry_run"]) == 0
    settings = json.loads(capsys.readouterr().out)["settings"]
    assert (settings["agent"]["temperature"], settings["tasks"]["end_index"]) == (0.25, 1)


def test_a_baseline_may_differ_in_whatever_its_model_draws_by(capsys):
    few = ["--synthetic_tasks", "2", "--rollouts", "1", "--no_references"]
    assert (
        main(
            ["evaluate", *few, "--baseline", "offline", "--baseline_temperature", "0.5", "--agent", "offline_persuader"]
        )
        == 0
    )
    (folder,) = Path("records").iterdir()
    parts = json.loads((folder / "plan.json").read_text())["parts"]
    assert [part["settings"]["agent"]["temperature"] for part in parts] == [0.5, 1.0]
