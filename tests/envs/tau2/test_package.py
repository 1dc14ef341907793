"""How the package is found, and what is said where it is absent, too old, another one, or without its data."""

import sys
from importlib.util import find_spec

import pytest
from tau2_installed import DOUBLE, installed

from josh import UsageError
from josh.cli import main
from josh.envs.tau2.env import Tau2Env
from josh.envs.tau2.package import reading_data, tau2


@pytest.fixture
def library(tmp_path, monkeypatch):
    """Write modules of a package called `tau2`, and import from there."""
    with installed(DOUBLE, tmp_path):

        def write(*modules, text=""):
            for module in ("__init__", *modules):
                file = (tmp_path / "tau2" / module).with_suffix(".py")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)

        yield write


NEEDED = ("registry", "environment/environment", "evaluator/evaluator", "data_model/simulation")


@pytest.mark.parametrize(
    ("modules", "text", "said"),
    [
        ((), "", r"the installed tau2 \S+ is not tau2-bench; give: pip uninstall tau2; then clone .*"),
        (("run",), "", r"tau2 \S+ is too old; josh needs tau2-bench 1\.0 or newer; clone .*"),
        (NEEDED, "import no_such_thing", r"tau2 needs the package no_such_thing; give: pip install no_such_thing"),
        (NEEDED, "from os import no_such_name", r"tau2 \S+ cannot be imported: .*no_such_name.*"),
    ],
)
def test_another_package_is_named_in_one_line(library, modules, text, said):
    library(*modules)
    if text:
        library("registry", text=text)
        library()
    with pytest.raises(UsageError, match=said) as refused:
        tau2("registry")
    assert "\n" not in str(refused.value)


def test_a_version_that_lacks_a_module_is_named(library):
    library(*NEEDED)
    tau2("registry")
    with pytest.raises(UsageError, match=r"tau2 \S+ has no module tau2\.agent\.llm_agent, which josh needs; clone"):
        tau2("agent.llm_agent")


@pytest.mark.skipif(find_spec("tau2") is not None, reason="tau2 is installed")
def test_an_absent_package_is_one_line_and_leaves_no_run(library, tmp_path, capsys):
    assert main(["run", "--env", "tau2", "--log_dir", str(tmp_path / "runs")]) == 2
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert said.startswith(
        "josh: env tau2 needs tau2-bench, which is not installed; clone https://github.com/sierra-research/tau2-bench "
        "and give: pip install -e tau2-bench"
    )
    assert not (tmp_path / "runs").exists()


def test_an_absent_file_names_the_variable_for_the_data():
    said = r"tau2 cannot read the tasks: there is no db\.json; TAU2_DATA_DIR=DIR names"
    with pytest.raises(UsageError, match=said), reading_data("the tasks"):
        raise FileNotFoundError(2, "No such file", "db.json")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--env.domain", "hotel"], "env.domain is 'hotel'; give mock, retail, airline or telecom"),
        (["--env.goals", "most"], "env.goals is 'most'; give end_state, writes, all, communicate or assertions"),
        (["--env.max_steps", "0"], "env.max_steps is 0; give 1 or more"),
        (["--task_split", "small"], "no task_split named 'small'; known: train, test, base"),
    ],
)
def test_wrong_settings_are_named(flags, said, tmp_path, capsys):
    with installed(DOUBLE):
        assert main(["run", "--env", "tau2", *flags, "--log_dir", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err


def test_nothing_of_the_package_is_imported_before_it_is_asked_for():
    with installed(DOUBLE):
        Tau2Env({})
        assert "tau2" not in sys.modules
