"""Wrong inputs, as a new user gives them: each gets exit code 2 and one line with the value and the way out."""

from pathlib import Path

import pytest
from wrong_input import outcome

from josh.cli import main

pytestmark = pytest.mark.usefixtures("elsewhere")

WRONG = {
    # commands and methods
    "shwo": "no command named 'shwo'; did you mean 'show'?",
    "evalute": "did you mean 'evaluate'?",
    "expotr x": "did you mean 'export'?",
    "resume records/x": "no command named 'resume'; give josh --resume RUN",
    "frobnicate": "no command named 'frobnicate'; known: run, play, ",
    "train sftt --data x": "no method named 'sftt'; did you mean 'sft'?",
    # flags
    "--beam 8": "did you mean --beam_size?",
    "--temprature 1": "did you mean --temperature?",
    "--peft_dir x": "did you mean --model hf:BASE+ADAPTER?",
    "--lr 3": "`josh train` has --learning_rate",
    "--max_turns 3": "did you mean --max_convo_turns?",
    "--limit 3": "did you mean --end_index?",
    "--key x": "did you mean --api_key_var?",
    "train sft --lr 0": "lr is 0.0; give a number above 0",
    "export --fromat sft": "did you mean --format?",
    "show --wdith 3": "did you mean --width?",
    "evaluate --basline m": "did you mean --baseline?",
    "compare a --gruops": "did you mean --groups?",
    # values
    "--end_index ten": "end_index is 'ten'; give a whole number",
    "--temperature hot": "temperature is 'hot'; give a number",
    "--end_index": "end_index has no value; give one after --end_index",
    "--beam_size 0 --josh": "beam_size is 0; give 1 to 100000",
    "--stop bset --josh": "stop is 'bset'; give first or best",
    "--seed 1.5": "seed is '1.5'; give a whole number",
    "--end_index -2": "end_index is -2; give -1 for all",
    "--start_index 5 --end_index 5": "start_index 5 to end_index 5 has no task",
    "--start_index 99": "start_index 99 to end_index -1 has no task; split 'train' has 20",
    "--task_split tset": "no task_split named 'tset'; known: train",
    "--min_reward 3": "min_reward is 3.0; give 0 to 2 dollars",
    "--synthetic_tasks 0": "synthetic_tasks is 0; give 1 to 100000",
    "--rollouts 0": "rollouts is 0; give 1 to 100000",
    "--max_concurrency 0": "max_concurrency is 0; give 1 or more",
    "--price gpt=1": "price is 'gpt=1'; give MODEL=PROMPT/REPLY",
    "--sample 0": "sample is 0; give 1 or more",
    "--env.calls_per_turn 0 --env toolwoz": "calls_per_turn is 0; give 1 or more",
    # choices of plug-ins
    "--env persuation": "no env named 'persuation'; known: ",
    "--agent persuadr": "no agent named 'persuadr'; known: ",
    "--user donr": "no user named 'donr'; known: ",
    "--rewards money": "no rewards named 'money'; known: ",
    "--strategy beem": "no strategy named 'beem'; known: adaptive, beam, fan_out, halving, mainline, mcts, rollouts",
    "--agent ./none.py:A": "none.py",
    # names of models
    "--model offlin": "model is 'offlin'; did you mean 'offline'? A server that has such a model needs --base_url",
    "--model OFFLINE --dry_run": "model is 'OFFLINE'; did you mean 'offline'?",
    "--user_model ofline": "user_model is 'ofline'; did you mean 'offline'? A server that has such a model needs "
    "--user_base_url",
    "--user_model offline,offlin": "user_model is 'offlin'; did you mean 'offline'?",
    "--judge_model off-line": "judge_model is 'off-line'; did you mean 'offline'?",
    "evaluate --model offline,offlin": "model is 'offlin'; did you mean 'offline'?",
    "evaluate --baseline offlin": "did you mean 'offline'?",
    "play --model offlin": "did you mean 'offline'?",
    "--model HF:folder": "model is 'HF:folder'; did you mean 'hf:folder'?",
    "--model hf/folder": "did you mean 'hf:folder'?",
    "--model huggingface:me/model": "did you mean 'hf:me/model'?",
    "--model litelm:openai/gpt-4o": "did you mean 'litellm:openai/gpt-4o'?",
    "--model react": "model is 'react'; did you mean --agent react?",
    "--user_model human": "user_model is 'human'; did you mean --user human?",
    # what does not go together
    "--beam_size 64": "beam_size is given, but strategy 'rollouts' has no such setting; leave it out, or give --josh",
    "--stop best": "leave it out, or give --josh",
    "--josh --rollouts 2": "leave it out, or give --strategy rollouts",
    "--josh --strategy rollouts": "josh is given with strategy 'rollouts'; leave one of them out",
    "--josh --temperature 0": "temperature is 0 with a search",
    "--base_url http://127.0.0.1:1/v1": "base_url is given, but model is 'offline'; give --model too",
    "--user_base_url http://127.0.0.1:1/v1": "give --user_model too",
    "--env toolwoz --corpus x": "corpus is given, but env 'toolwoz' has no such setting; leave it out, or give --env",
    "--agent persuader": "agent 'persuader' asks a chat model, but model is 'offline'; give --model",
    "--user persuadee": "user 'persuadee' asks a chat model, but user_model is 'offline'; give --user_model",
    "--user persuadee --dry_run": "give --user_model",
    "--env toolwoz --user goal": "user 'goal' asks a chat model",
    "evaluate --user persuadee": "give --user_model",
    "evaluate --beam_size 4": "beam_size is given",
    "play --as nobody": "as is 'nobody'; give user",
    "play --as agent --user persuadee": "give --user_model",
    "--model gpt-4o-mini": "no key for model 'gpt-4o-mini': set OPENAI_API_KEY",
    "--user_mode goal": "no key for model 'gpt-4o': set OPENAI_API_KEY",
    "--max_cost 1 --model m --base_url http://127.0.0.1:1/v1": "give --price m=PROMPT/REPLY",
    "--user_model a,,b": "one of the names is empty",
    # files and folders
    "--config none.toml": "cannot read none.toml: No such file or directory",
    "--corpus nowhere": "nowhere",
    "--env toolwoz --data nowhere": "nowhere does not exist; give the folder of MultiWOZ",
    "--resume nowhere": "nowhere is not a run",
    "show nowhere": "nowhere is not a run",
    "report nowhere": "nowhere",
    "compare nowhere elsewhere": "nowhere is not a run",
    "rescore nowhere": "nowhere is not a run",
    "replay nowhere": "nowhere is not a run",
    "evaluate --resume nowhere": "nowhere is not an evaluation",
    "export nowhere --format sft --out x.jsonl": "nowhere is not a run",
    "export --format sft --out x.jsonl": "no runs given; example: josh export",
    "schema episode": "a run has no file 'episode' with a schema; known: episodes",
    "train openai --out job": "no data is given; give --data",
}


@pytest.mark.parametrize("arguments", WRONG)
def test_a_wrong_input_gets_one_line_with_the_way_out(capsys, arguments):
    code, out, errors = outcome(capsys, arguments)
    assert (code, out) == (2, "")
    (line,) = errors
    assert line.startswith("josh: ")
    assert WRONG[arguments] in line
    assert "Traceback" not in line
    assert not Path("records").exists()


def test_goals_that_cannot_be_met_are_refused_when_a_run_is_rescored(capsys):
    assert main(["--end_index", "1", "--log_dir", "r"]) == 0
    (run,) = Path("r").iterdir()
    capsys.readouterr()
    code, out, (line,) = outcome(capsys, f"rescore {run} --rewards goals")
    assert (code, out) == (2, "")
    assert line.startswith("josh: rewards 'goals' needs an action that equals a goal")
    assert list(Path("r").iterdir()) == [run]


def test_a_job_without_a_key_shows_its_size_first(capsys):
    row = '{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}'
    Path("rows.jsonl").write_text(f"{row}\n" * 10)
    code, out, (line,) = outcome(capsys, "train openai --data rows.jsonl --model gpt-4.1-mini --out job --price 5")
    assert code == 2
    assert "10 rows, about " in out
    assert "OPENAI_API_KEY" in line
    assert not Path("job").exists()
