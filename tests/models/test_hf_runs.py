"""Searches and evaluations by local models."""

import gc
import json
import shutil
from pathlib import Path

from local_models import search, written

from josh.cli import main


def test_a_search_comes_out_the_same_in_any_company_and_from_its_journal(tiny_model, tmp_path, capsys):
    whole = search(tiny_model, tmp_path / "a")
    alone = search(tiny_model, tmp_path / "b", "--max_concurrency", "1", "--batch_size", "2")
    assert written(whole) == written(alone)
    assert main(["replay", str(whole)]) == 0
    assert "the same as" in capsys.readouterr().out
    summary = json.loads((whole / "summary.json").read_text())
    assert summary["cost"] == 0
    config = json.loads((whole / "config.json").read_text())
    assert config["plays"]["models"] == [f"hf:{tiny_model}", "offline"]
    assert config["versions"]["torch"] != "not installed"


def test_a_broken_off_search_goes_on(tiny_model, tmp_path, capsys):
    whole = search(tiny_model, tmp_path / "a")
    broken = search(tiny_model, tmp_path / "b", "--max_calls", "7")
    assert written(broken) != written(whole)
    assert main(["--resume", str(broken), "--max_calls", "9999"]) == 0
    assert written(broken) == written(whole)
    assert main(["--resume", str(broken), "--dtype", "bfloat16"]) == 2


def test_both_sides_can_be_one_local_model(tiny_model, tmp_path):
    folder = search(tiny_model, tmp_path, "--user_model", f"hf:{tiny_model}")
    config = json.loads((folder / "config.json").read_text())
    assert config["plays"]["models"] == [f"hf:{tiny_model}"]
    assert Path(folder).name.startswith("persuasion-hf-")


def test_the_replies_of_a_local_model_that_were_cut_off_are_marked(tiny_model, tmp_path, capsys):
    folder = search(tiny_model, tmp_path, "--max_tokens", "3")
    (flaw,) = json.loads((folder / "summary.json").read_text())["cut_off"]
    assert (flaw["speaker"], flaw["flaw"]) == ("agent", "cut off by length")
    assert 0 < flaw["turns"] <= flaw["of"]
    assert "raise --max_tokens; exports leave them out" in capsys.readouterr().err


WATCHES = '''
import gc
from pathlib import Path

from transformers import GenerationMixin

from josh.users.persuasion.donor import Donor


class Watches(Donor):
    """Notes how many models there are whenever somebody is cast."""

    def start(self, task, env, options):
        super().start(task, env, options)
        there = sum(issubclass(type(each), GenerationMixin) for each in gc.get_objects())
        with Path("there.txt").open("a") as file:
            file.write(f"{there}\\n")
'''


def test_an_evaluation_has_one_model_at_a_time_in_memory(tiny_model, tmp_path, monkeypatch):
    from transformers import GenerationMixin

    monkeypatch.chdir(tmp_path)
    Path("watches.py").write_text(WATCHES)
    shutil.copytree(tiny_model, "other")
    gc.collect()
    before = sum(issubclass(type(each), GenerationMixin) for each in gc.get_objects())
    cast = ["--model", f"hf:{tiny_model}", "--baseline", "hf:other", "--user", "./watches.py:Watches"]
    few = ["--synthetic_tasks", "2", "--max_convo_turns", "2", "--no_references", "--torch_threads", "1"]
    assert main(["evaluate", *cast, *few]) == 0
    there = [int(line) - before for line in Path("there.txt").read_text().split()]
    assert set(there[:4]) == {0}, "nothing is loaded to see whether the tasks are held out"
    assert set(there[4:]) == {1}
    gc.collect()
    assert sum(issubclass(type(each), GenerationMixin) for each in gc.get_objects()) == before


def test_an_evaluation_is_held_out_from_what_its_adapter_was_trained_on(
    tiny_model, adapter, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    few = ["--synthetic_tasks", "2", "--max_convo_turns", "2"]
    assert main(["--josh", *few, "--log_dir", "trained"]) == 0
    (run,) = Path("trained").iterdir()
    manifest = {"runs": [{"run": run.name, "folder": str(run.resolve())}]}
    tuned = Path(shutil.copytree(adapter, "tuned"))
    (tuned / "josh_adapter.json").write_text(json.dumps({"data": {"file": "sft.jsonl", "manifest": manifest}}))
    evaluate = ["evaluate", *few, "--no_references", "--torch_threads", "1"]
    both = ["--model", f"hf:{tiny_model}+{tuned}"], ["--model", "offline", "--baseline", f"hf:{tiny_model}+{tuned}"]
    capsys.readouterr()
    for side in both:
        assert main([*evaluate, *side, "--task_split", "train"]) == 2
        printed = capsys.readouterr().err
        assert printed.startswith("josh: not held out: the training data has 2 tasks")
        assert printed.count("\n") == 1
    assert main([*evaluate, *both[0]]) == 0
    printed = capsys.readouterr()
    assert "held out: none of the 2 tasks and 4 people of tuned\n" in printed.out
    assert "user: donor (trained against)" in printed.out
    assert printed.err == ""
    run.rename("gone")
    assert main([*evaluate, *both[0]]) == 0
    printed = capsys.readouterr()
    assert (
        "\nheld out: not checked against all training data of tuned; name its runs with --trained_on\n" in printed.out
    )
    assert printed.err.startswith("josh: cannot check all training data of tuned: tuned/josh_adapter.json: runs[0]")
    assert printed.err.count("\n") == 1


def test_an_evaluation_misses_a_model_before_it_loads_another(tiny_model, tmp_path, capsys):
    cast = ["--model", "hf:/no/such", "--baseline", f"hf:{tiny_model}", "--log_dir", str(tmp_path / "records")]
    assert main(["evaluate", *cast]) == 2
    assert "there is no folder /no/such" in capsys.readouterr().err
    assert not (tmp_path / "records").exists()
