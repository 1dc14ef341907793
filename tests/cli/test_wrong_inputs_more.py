"""More wrong inputs: files of other kinds, damaged runs, and plug-ins that break their contract."""

import json
import shutil
from pathlib import Path

import pytest
from aiohttp import web
from serving import LocalServer, serving
from wrong_input import outcome

from josh.cli import main

pytestmark = pytest.mark.usefixtures("elsewhere")

FLAGS = {
    # values
    "--beam_size -1 --josh": "beam_size is -1; give 1 to 100000",
    "--beam_size 8.0 --josh": "beam_size is '8.0'; give a whole number",
    "--beam_size= --josh": "beam_size is ''; give a whole number",
    "--josh --beam_size 99999999999999999999": "beam_size is 99999999999999999999; give 1 to 100000",
    "--seed 123456789012345678901234567890": "give a whole number up to 9223372036854775807",
    "export R --format sft --seed 123456789012345678901234567890": "give a whole number up to 9223372036854775807",
    "loop --rounds 1000000": "rounds is 1000000; give 1 to 1000",
    "tiny --out t --torch_threads 5000": "torch_threads is 5000; give 1 to 1024",
    "show records 1 --width 99999999": "width is 99999999; give 40 to 1000",
    "--temperature nan": "temperature is 'nan'; give a finite number",
    "--temperature 1e400": "temperature is '1e400'; give a finite number",
    "--temperature 0,7": "temperature is '0,7'; give a number",
    "--top_p 0": "top_p is 0.0; give a share above 0, at most 1",
    "--min_p -0.1": "min_p is -0.1; give a share from 0 to 1",
    "--max_tokens 0": "max_tokens is 0; give 1 or more",
    "--max_cost nan": "max_cost is 'nan'; give a finite number",
    "--max_convo_turns 1e9": "max_convo_turns is '1e9'; give a whole number",
    "--synthetic_tasks 1000000000000000": "synthetic_tasks is 1000000000000000; give 1 to 100000",
    "--env toolwoz --synthetic_tasks 1000000000000000": "give 1 to 100000",
    "--rollouts 1000000000": "rollouts is 1000000000; give 1 to 100000",
    "loop --tiny --tasks 1000000000000": "give 1 to 100000",
    "--price gpt=-1/2": "price is 'gpt=-1/2'; give MODEL=PROMPT/REPLY",
    "--extra_body {": "extra_body is '{'; give a JSON object, such as '{\"top_k\": 20}'",
    "--extra_body [1]": "extra_body is '[1]'; give a JSON object",
    "--chat_template nofile.jinja": "chat_template is 'nofile.jinja', which cannot be read: No such file or directory",
    "--split_rule none": "split_rule is 'none'; give convokit, annotated or user_disjoint",
    "--report_to nope": "report_to is 'nope'; give trackio, wandb or tensorboard",
    "--log_dir /dev/null": "cannot write to log_dir '/dev/null': Not a directory",
    # flags
    "--josh=1": "--josh takes no value, but '1' is given; leave the value out",
    "-h5": "-h takes no value, but '5' is given; leave the value out; see josh run --help",
    "plot R --kind lines": "kind is 'lines'; give rounds, turns or pareto; see josh plot --help",
    "evaluate --rivals x": "unrecognized arguments: --rivals x; see josh evaluate --help",
    "train sft --nope": "unrecognized arguments: --nope; see josh train sft --help",
    "extra words": "no command named 'extra'; known: run, play",
    "--agent.nope 3": "agent.nope is given, but agent 'offline_persuader' has no such setting",
    "--agent.stop x": "agent.stop is 'x', but the agent has no chat model; leave it out, or give --model",
    '--stop_at ["a","b"]': "stop_at is 'a', 'b', but the agent has no chat model",
    "replay": "the following arguments are required: RUN; see josh replay --help",
    "--dry_run --sample 2": "sample is 2 with --dry_run, which plays nothing; leave one of them out",
    "--env.nope 1": "env.nope is given, but env 'persuasion' has no such setting",
    "show x y z": "unrecognized arguments: z",
    # plug-ins by name
    "--env :": "no env named ':'; known: ",
    "--env :X": "no env named ':X'; known: ",
    "--env ./x.py:": "env './x.py:' names no class; give ./x.py:Class",
    "--env a..b:X": "env: there is no module a..b; give module:Class or ./file.py:Class",
    "--env no_such_module:X": "env: there is no module no_such_module",
    "--env os:path": "env 'os:path' is not a class; give a class, and subclass josh.roles.BaseEnv",
    "--agent ./a.py:A:B": "agent is './a.py:A:B', which has two colons; give ./a.py:Class",
    "--agent htp://127.0.0.1:1/": "an address begins with http:// or https://, not with htp://",
    "--agent josh.roles:BaseJOSHUser": "has the base of a user; subclass josh.roles.BaseJOSHAgent",
    "--user josh.roles:BaseJOSHAgent": "has the base of an agent; subclass josh.roles.BaseJOSHUser",
    "--rewards json:JSONDecoder": "has no is_reward(); subclass josh.roles.BaseRewards",
    "--strategy json:JSONDecoder": "has no plan(); subclass josh.search.Strategy",
    "--env mcp:": "env is 'mcp:', without a server; give --env 'mcp:COMMAND'",
    # models and addresses
    "--model hf:": "model 'hf:' is not a model's name; give hf:FOLDER",
    "--model hf:base+": "model 'hf:base+' is not a model's name; give hf:FOLDER",
    "--model hf:.": "model 'hf:.': . has no config.json",
    "--model ./folder": "model is './folder', a folder; give hf:./folder",
    "--model http://127.0.0.1:1/v1": "model is 'http://127.0.0.1:1/v1', an address; give it as base_url",
    "--model service:": "the agent's address is ''; give an address such as",
    "--agent http://": "the agent's address is 'http://'; give an address such as",
    "--model m --base_url localhost:8000": "base_url is 'localhost:8000'; give an address such as",
    "--model m --base_url http://127.0.0.1:99999/v1": "give an address such as http://localhost:8000/v1",
    "--model m --base_url file:///etc/passwd": "give an address such as http://localhost:8000/v1",
    # commands
    "tiny --out x --size huge": "no size named 'huge'; known: small, nano",
    "tiny --out x --env toolwoz": "env 'toolwoz' has no dialogues for a tiny model",
    "prepare --corpus nowhere": "nowhere is not a folder",
    "schema config x": "unrecognized arguments: x",
    "loop": "no model is given; a loop trains a model on this machine: give hf:FOLDER, or --tiny",
    "loop --tiny --model m": "model is 'm' with --tiny, which makes one; leave one of them out",
    "evaluate --model a,,b": "model is 'a,,b'; give names with a comma between two of them",
    "evaluate --trained_on nowhere": "neither a run's folder nor a manifest nor an adapter: No such file or directory",
    "train sft --data nope.jsonl --model m --out o": "cannot read nope.jsonl: No such file or directory",
    "train sft --data x --model m --out o --lora_dropout 2": "lora_dropout is 2.0; give 0 or more, below 1",
    "train sft --data x --model m --out o --name a/b": "name is 'a/b'; give a folder's name, without a path",
    "train openai --data x --model g --out j --price nan": "price is 'nan'; give a finite number",
}


def refused(capsys, arguments, said):
    """Check that a command is refused in one line of josh's, and changes no file."""
    before = sorted(map(str, Path().rglob("*")))
    code, out, errors = outcome(capsys, arguments)
    assert (code, out) == (2, ""), (arguments, errors)
    (line,) = errors
    assert line.startswith("josh: ")
    assert said in line
    assert "Errno" not in line
    assert "codec" not in line
    assert sorted(map(str, Path().rglob("*"))) == before


@pytest.mark.parametrize("arguments", FLAGS)
def test_a_wrong_value_or_name_gets_one_line_with_the_way_out(capsys, arguments):
    refused(capsys, arguments, FLAGS[arguments])


@pytest.mark.parametrize(
    "arguments",
    [
        "--resume",
        "--corpus",
        "--config",
        "tiny --out",
        "export --check",
        "export x --format sft --out",
        "show x --width",
    ],
)
def test_an_empty_text_is_not_the_current_folder(capsys, arguments):
    code, out, (line,) = outcome(capsys, f"{arguments} ".split(" "))
    assert (code, out) == (2, "")
    assert "empty" in line or "is ''; give a whole number" in line
    assert not any(Path().iterdir())


def test_a_settings_file_of_another_kind_or_with_a_wrong_value_is_refused(capsys):
    files = {
        "zip": (b"PK\x03\x04" + b"\xf9" * 20, "it is a zip file; unpack it"),
        "latin": (b"name = '\xe9'", "it is not UTF-8 (byte 9); save it as UTF-8"),
        "prose": (b"hello", "is not TOML"),
        "json": (b'{"beam_size": 4}', "is not TOML"),
        "twice": (b"beam_size=4\nbeam_size=5", "is not TOML"),
        "text": (b'beam_size = "8"', "beam_size is '8'; give a whole number"),
        "word": (b'josh = "yes"', "josh is 'yes'; give true or false"),
        "quoted": (b'temperature = "0.7"', "temperature is '0.7'; give a number"),
        "number": (b"[agent]\nmodel = 3", "model is 3; give a text"),
        "unknown": (b"[nope]\na = 1", "no setting named 'nope'"),
        "nested": (b'env = {name = "persuasion", what = 1}', "env.what is given, but env 'persuasion' has no such"),
    }
    for name, (data, said) in files.items():
        Path(name).write_bytes(data)
        refused(capsys, f"--config {name} --josh", said)


def test_a_corpus_or_training_file_of_another_kind_is_refused(capsys):
    Path("adir").mkdir()
    Path("broken").symlink_to("missing")
    Path("circle").symlink_to("circle")
    Path("bin").write_bytes(b"\xe9\x00")
    Path("empty").touch()
    Path("rows").write_text(
        '{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]}\n'
    )
    for table in ("full_info.csv", "full_dialog.csv"):
        Path("adir", table).write_text("a,b\n1,2\n")
    train = "--model m --out o --data"
    for arguments, said in {
        "--corpus adir": "full_info.csv has no column B2",
        "--corpus broken": "the folder does not exist",
        "--corpus circle": "no Persuasion for Good corpus",
        "--env toolwoz --data empty": "give a folder that holds restaurant_db.json",
        "loop --resume circle": "is not a loop",
        "show circle": "circle is not a run",
        "export --check adir": "adir is a folder without logs of inspect_ai; give a file",
        f"train sft {train} bin": "cannot read bin: it is not UTF-8 (byte 1); save it as UTF-8",
        f"train sft {train} adir": "cannot read adir: Is a directory",
        f"train sft {train} empty": "empty has no rows",
        f"train dpo {train} rows": "no 'prompt', which dpo rows have; it is a row for `josh train sft`",
        f"train kto {train} circle": "cannot read circle: Too many levels of symbolic links",
        f"train openai {train} bin": "cannot read bin: it is not UTF-8 (byte 1)",
        f"train openai {train} rows": "rows has 1 rows; OpenAI asks for 10 or more",
    }.items():
        refused(capsys, arguments, said)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (b'{"id": 1}', "the row has no known format"),
        (b'{"messages": []}', "messages is empty, or not a list"),
        (b'{"messages": [{"role": "king", "content": "x"}]}', "role is 'king'"),
        (b'{"prompt": "x", "chosen": "y"}', "rejected is missing"),
        (b"\x89PNG", "not JSON: it is not UTF-8 (byte 1)"),
        (b"", "0 rows; every format needs 1 or more"),
    ],
)
def test_a_file_that_is_no_export_is_found_out(capsys, row, said):
    Path("rows.jsonl").write_bytes(row)
    code, out, (line,) = outcome(capsys, "export --check rows.jsonl")
    assert (code, out) == (1, "")
    assert said in line


def test_a_damaged_run_is_refused(capsys):
    assert main(["--end_index", "1", "--josh", "--beam_size", "2", "--log_dir", "r"]) == 0
    (run,) = Path("r").iterdir()
    capsys.readouterr()
    config = json.loads((run / "config.json").read_text())
    for name, change, said in (
        ("cut", lambda folder: (folder / "config.json").write_text("{"), "config.json is damaged"),
        ("list", lambda folder: (folder / "config.json").write_text("[]"), "config.json holds no settings"),
        ("other", lambda folder: (folder / "config.json").write_text('{"model_type": "x"}'), "holds no settings"),
        ("beam", lambda folder: edited(folder, config, "traffic", "max_concurrency", "x"), "max_concurrency is 'x'"),
        ("agent", lambda folder: edited(folder, config, "agent", "name", "nobody"), "no agent named 'nobody'"),
        ("sqlite", lambda folder: (folder / "replies.sqlite").write_text("no"), "replies.sqlite is damaged"),
        ("newer", lambda folder: newer(folder / "episodes.jsonl"), "its format has version 99"),
    ):
        shutil.copytree(run, name)
        change(Path(name))
        refused(capsys, f"--resume {name}", said)
    shutil.copytree(run, "folder")
    Path("folder/replies.sqlite").unlink()
    Path("folder/replies.sqlite").mkdir()
    refused(capsys, "replay folder", "folder has no journal replies.sqlite to replay")
    for arguments, said in {
        f"show {run} 99": "there is no task 99",
        f"show {run} nope": "has no task 'nope'",
        f"compare {run} {run}": "is given twice; give it once",
        f"plot {run} --out x.docx": "give a file that ends in .png, .svg or .pdf",
        f"report {run} --out {run}/config.json": "give a name that ends in .html",
        f"export {run} --format xml --out x": "no format named 'xml'",
        f"export {run} --format sft --out {run}": f"cannot write {run}: Is a directory",
        f"export {run} --format sft --out no/x.jsonl": "cannot write no/x.jsonl: No such file or directory",
        f"export {run} --format sft --min_margin nan --out x": "min_margin is 'nan'; give a finite number",
        f"--resume {run} --seed 3": "it changes what is asked: leave it out, or start a new run",
        f"evaluate --resume {run}": f"{run} is a run; resume it with: josh --resume {run}",
        f"loop --resume {run}": f"{run} is a run; resume it with: josh --resume {run}",
        f"rescore {run} --model x": "model is given, but `josh rescore` does not take it",
    }.items():
        refused(capsys, arguments, said)


def edited(folder, config, part, name, value):
    settings = {**config["settings"], part: {**config["settings"][part], name: value}}
    (folder / "config.json").write_text(json.dumps({**config, "settings": settings}))


def newer(episodes):
    (line,) = episodes.read_text().splitlines()
    episodes.write_text(json.dumps({**json.loads(line), "version": 99}) + "\n")


CONFIG = "class P(BaseJOSHAgent):\n  @dataclass(frozen=True)\n  class Config:\n    "
ONE_TASK = "class P(BaseEnv):\n  def tasks(self, split): return [Task('a', 0, {})]\n  "
TASKS = "class P(BaseEnv):\n  "
REFUSED = {
    "agent": {
        "raise RuntimeError('boom')": "cannot be imported: RuntimeError: boom",
        "def (:": "cannot be imported: SyntaxError",
        "import sys; sys.exit(3)": "cannot be imported: SystemExit: 3",
        "P = 3": "is not a class; give a class",
        "def P(): return 3": "is not a class; give a class",
        "P = BaseJOSHAgent()": "is not a class; give a class",
        "class P: pass": "has no step(); subclass josh.roles.BaseJOSHAgent",
        "class P(BaseJOSHAgent):\n  tools = 3": "the agent's tools are 3; give a list of JSON schemas",
        "class P(BaseJOSHAgent):\n  class Config: x = 3": "its Config is not a dataclass",
        f"{CONFIG}x: int = 'three'": "agent.x is 'three'; give a whole number",
        f"{CONFIG}x: int": "agent.x is not given and has no default",
        f"{CONFIG}x: object = 3": "a type that flags cannot have",
        f"{CONFIG}x: float = float('nan')": "agent.x is nan; give a finite number",
        f"{CONFIG}x: list[int] = field(default_factory=lambda: 1 / 0)": "the default of its setting 'x' fails",
    },
    "user": {"class P: pass": "has no step(); subclass josh.roles.BaseJOSHUser"},
    "rewards": {"class P(BaseJOSHUser): pass": "has the base of a user; subclass josh.roles.BaseRewards"},
    "strategy": {
        "class P:\n  def plan(self, tree): return 3": "has no update(); subclass josh.search.Strategy",
        "class P:\n  plan = update = result = print": "has no searched; subclass josh.search.Strategy",
    },
    "env": {
        f"{ONE_TASK}defaults = lambda *_: 3": "its defaults() returned 3; return settings by flag name",
        f"{ONE_TASK}def defaults(self): return 1 / 0": "its defaults(): ZeroDivisionError",
        f"{ONE_TASK}def splits(self): return 3": "give a tuple of names",
        f"{TASKS}def tasks(self, split): return None": "tasks('train') returned None; return a list of tasks",
        f"{TASKS}async def tasks(self, split): return []": "tasks() is an async method; write it without async",
        f"{TASKS}def tasks(self, split): return [1]": "gives 1 as a task; give a josh.roles.Task",
        f"{TASKS}def tasks(self, split): return []": "split 'train' has 0",
        f"{TASKS}def tasks(self, split): return [Task('a', 0, {{}})] * 2": "several tasks with the id 'a'",
        f"{ONE_TASK}def goals(self, task): return 'abc'": "goals() gives the text 'abc'; give a list of goals",
    },
}
UNSCORED = {
    "def step(self, **_): return 'hello'": "step() returned the text 'hello'; add words with add_message",
    "def step(self, **_): return {}": "step() returned {}; add words with add_message",
    "def step(self, **_): return self, True": "step() returned (",
    "def step(self, **_): yield True": "step() returned <generator object",
    "def step(self, **_): self.add_message('hi'); return True": "got 'hi', which is not a chat message",
    "def fork(self): return None": "P.fork() returned None; return the copy",
}


def plug_in(code):
    head = "from dataclasses import dataclass, field\nfrom josh.roles import *\nfrom josh.roles import BaseEnv, Task\n"
    Path("p.py").write_text(f"{head}{code}\n")


@pytest.mark.parametrize(("role", "code"), [(role, code) for role, codes in REFUSED.items() for code in codes])
def test_a_plug_in_that_cannot_work_is_refused_before_the_run(capsys, role, code):
    plug_in(code)
    speakers = " --agent josh.roles:BaseJOSHAgent --user josh.roles:BaseJOSHUser" if role == "env" else ""
    refused(capsys, f"--{role} ./p.py:P --end_index 1{speakers}", REFUSED[role][code])


@pytest.mark.parametrize("method", UNSCORED)
def test_a_method_that_breaks_the_contract_is_named(capsys, method):
    plug_in(f"class P(BaseJOSHAgent):\n  {method}")
    code, out, errors = outcome(capsys, "--josh --beam_size 2 --agent ./p.py:P --end_index 1 --log_dir r")
    assert code == 1
    assert UNSCORED[method] in errors[0]
    assert "Traceback" not in out + "".join(errors)


def test_the_smoke_test_leaves_nothing_behind_where_a_setting_is_wrong(capsys):
    code, _, (line,) = outcome(capsys, "smoke --max_convo_turns 0")
    assert code == 2
    assert line == "josh: max_convo_turns is 0; give 1 or more"
    assert not list(Path("records").iterdir())


@pytest.mark.parametrize(
    ("flag", "body", "said"),
    [
        ("--agent {}/x", b"<!doctype html><p>Sign in", "the service answers an HTML page; is its address right?"),
        ("--agent {}/x", b"null", "the service answers None; give a text"),
        ("--model m --base_url {}", b'{"a": "\xff"}', "the reply is not a chat completion: it is not UTF-8"),
        ("--model m --base_url {}", b"[" * 100_000, "the reply is not a chat completion: it is nested too deeply"),
        ("--model m --base_url {}", b'{"choices": null}', "the reply is not a chat completion"),
    ],
)
def test_a_server_that_answers_strangely_is_named(capsys, flag, body, said):
    kind = "text/html" if body.startswith(b"<") else "application/json"
    limits = "--end_index 1 --max_convo_turns 1 --max_attempts 1"
    with serving(OneAnswer(body, kind)) as url:
        code, out, errors = outcome(capsys, f"{flag.format(url)} {limits}")
    assert code == 1
    assert said in errors[0]
    assert "Traceback" not in out + "".join(errors)


class OneAnswer(LocalServer):
    """A server that gives every request the same answer."""

    def __init__(self, body, kind):
        self.body, self.kind = body, kind

    def app(self):
        app = web.Application()
        app.router.add_post("/{path:.*}", self.answer)
        return app

    async def answer(self, _):
        return web.Response(body=self.body, content_type=self.kind)
