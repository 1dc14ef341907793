"""What is said when a local model or its adapter cannot be loaded, or not asked so."""

import asyncio
import json
import shutil
import subprocess
import sys

import pytest
from local_models import HELLO, LONGER, ask, without

from josh.cli import main
from josh.errors import UsageError
from josh.models.chat import ContextError, ModelError, Request, Sampling
from josh.models.hf import HFChat
from josh.models.hf_loading import base_and_adapter


def test_a_conversation_that_is_too_long_costs_only_its_own_turn(chat):
    long = [{"role": "user", "content": "no " * 2000}]
    error, answer = ask(chat, Request(long, Sampling(), 1), Request(HELLO, Sampling(), 1))
    assert isinstance(error, ContextError)
    assert "tokens, the model's context 1024" in str(error)
    assert answer.replies


def test_what_its_template_refuses_is_told(tiny_model, tmp_path):
    strict = without(tiny_model, tmp_path)
    template = strict / "chat_template.jinja"
    refusal = "{% if messages[0]['role'] == 'assistant' %}{{ raise_exception('users go first') }}{% endif %}"
    template.write_text(refusal + template.read_text())
    error, answer = ask(
        HFChat(f"hf:{strict}"),
        Request(LONGER[1:], Sampling(), 1),
        Request(HELLO, Sampling(), 1),
    )
    assert isinstance(error, ModelError)
    assert "its chat template refuses the conversation" in str(error)
    assert "users go first" in str(error)
    assert answer.replies


def test_options_that_it_does_not_know_are_named(chat):
    (error,) = ask(chat, Request(HELLO, Sampling(), 1, options={"tools": [{"type": "function"}]}))
    assert isinstance(error, UsageError)
    assert "without the option 'tools'; give an agent that writes its calls as text (--agent react)" in str(error)


def refused(name, capsys, tmp_path, *flags):
    assert main(["--model", name, "--log_dir", str(tmp_path / "records"), *flags]) == 2
    assert not (tmp_path / "records").exists()
    message = capsys.readouterr().err.strip()
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["config.json"], "has no config.json"),
        (["tokenizer.json", "tokenizer_config.json"], "has no tokenizer; save it beside the model"),
        (["chat_template.jinja"], "has no chat template"),
        (["model.safetensors"], "cannot be loaded"),
    ],
)
def test_a_folder_that_lacks_something_is_refused_with_a_line(tiny_model, tmp_path, capsys, files, words):
    assert words in refused(f"hf:{without(tiny_model, tmp_path, *files)}", capsys, tmp_path)


def test_a_folder_that_is_not_there_is_named(tiny_model, tmp_path, capsys):
    assert "there is no folder /no/such" in refused("hf:/no/such", capsys, tmp_path)
    assert "is not a model's name" in refused("hf:", capsys, tmp_path)
    assert "dtype is 'int8'; give auto," in refused(f"hf:{tiny_model}", capsys, tmp_path, "--dtype", "int8")


def test_an_address_for_a_local_model_is_a_mistake(tiny_model, tmp_path, capsys):
    message = refused(f"hf:{tiny_model}", capsys, tmp_path, "--base_url", "http://localhost:1/v1")
    assert "is local, but base_url is http://localhost:1/v1" in message


def test_four_bits_need_a_gpu(tiny_model, tmp_path, capsys):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    assert "needs CUDA, which this machine does not have" in refused(
        f"hf:{tiny_model}", capsys, tmp_path, "--load_in_4bit"
    )


def test_without_torch_the_way_to_get_it_is_told(tmp_path):
    code = "import sys; sys.modules['torch'] = None; from josh.cli import main; sys.exit(main(['--model', 'hf:x/y']))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "josh: model 'hf:x/y' needs torch: pip install -e '.[train]' -c constraints.txt\n"


def test_a_name_is_a_base_and_perhaps_an_adapter(tmp_path):
    (tmp_path / "c++").mkdir()
    assert base_and_adapter("hf:org/name") == ("org/name", None)
    assert base_and_adapter("hf:org/name+my/adapter") == ("org/name", "my/adapter")
    assert base_and_adapter(f"hf:{tmp_path}/c++") == (f"{tmp_path}/c++", None)


def test_an_adapter_changes_what_is_said(chat, tiny_model, adapter):
    tuned = HFChat(f"hf:{tiny_model}+{adapter}", threads=1)
    assert tuned.name == f"hf:{tiny_model}+{adapter}"
    request = Request(HELLO, Sampling(), 1)
    assert ask(tuned, request)[0].replies[0].token_ids != ask(chat, request)[0].replies[0].token_ids


def test_an_adapter_that_does_not_fit_is_refused(tiny_model, adapter, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(adapter, other)
    config = json.loads((other / "adapter_config.json").read_text())
    config["target_modules"] = ["q_proj"]
    (other / "adapter_config.json").write_text(json.dumps(config))
    assert "the adapter does not fit" in refused(f"hf:{tiny_model}+{other}", capsys, tmp_path)
    config["r"] = 3
    (other / "adapter_config.json").write_text(json.dumps(config))
    assert "the adapter does not fit" in refused(f"hf:{tiny_model}+{other}", capsys, tmp_path)
    assert "it is an adapter: give hf:BASE+" in refused(f"hf:{adapter}", capsys, tmp_path)
    assert "there is no folder /no/adapter" in refused(f"hf:{tiny_model}+/no/adapter", capsys, tmp_path)
    assert "has no adapter_config.json" in refused(f"hf:{tiny_model}+{tiny_model}", capsys, tmp_path)


def test_a_closed_model_says_so(tiny_model):
    closed = HFChat(f"hf:{tiny_model}", threads=1)
    asyncio.run(closed.aclose())
    (error,) = ask(closed, Request(HELLO, Sampling(), 1))
    assert isinstance(error, ModelError)
    assert str(error) == f"hf:{tiny_model} is closed"
