"""The tokens that servers return: asked for with --keep_samples alone, kept with the turn, and said where they lack."""

import json

from josh.cli import main
from josh.runs.record.folder import EPISODES
from josh.runs.record.stored import stored_episodes
from josh.token_rows import token_rows


def with_tokens(body):
    """A server like vLLM: tokens are the letters of the words, and a prompt begins with all words before."""
    words = "I see. Would you give?"
    before = "".join(f"{message['role']}:{message['content']}\n" for message in body["messages"]) + "assistant:"
    logprobs = {"content": [{"token": letter, "logprob": -0.25} for letter in [*words, "\n"]]}
    return {
        "content": words,
        "logprobs": logprobs,
        "token_ids": [*map(ord, words), ord("\n")],
        "prompt_token_ids": list(map(ord, before)),
    }


def played(folder, url, *flags):
    how = ["--model", "m", "--base_url", url, "--log_dir", str(folder), "--end_index", "1", "--max_convo_turns", "3"]
    assert main([*how, *flags]) == 0
    (run,) = folder.iterdir()
    return run, [episode for _, episode in stored_episodes(run / EPISODES, [])]


def test_a_server_that_returns_tokens_gives_samples(endpoint, tmp_path):
    url, server = endpoint(respond=with_tokens)
    _, (episode,) = played(tmp_path, url, "--keep_samples", "--temperature", "1")
    assert all(body["logprobs"] is body["return_token_ids"] is True for body in server.requests)
    (row,) = token_rows(episode.tree, episode.reported[0])
    text = "".join(map(chr, row.token_ids))
    sampled = "".join(chr(token) for token, one in zip(row.token_ids, row.mask, strict=True) if one)
    assert sampled == "I see. Would you give?\n" * int(episode.rounds)
    assert text.startswith("I see. Would you give?\nuser:")
    assert set(row.logprobs) == set(row.model_logprobs) == {0.0, -0.25}


def test_log_probabilities_of_another_temperature_are_the_models_own_alone(endpoint, tmp_path):
    url, _ = endpoint(respond=with_tokens)
    _, (episode,) = played(tmp_path, url, "--keep_samples", "--temperature", "0.7")
    (row,) = token_rows(episode.tree, episode.reported[0])
    assert row.logprobs is None
    assert set(row.model_logprobs) == {0.0, -0.25}


def test_without_the_flag_no_tokens_are_asked_for_or_kept(endpoint, tmp_path):
    url, server = endpoint(respond=with_tokens)
    _, (episode,) = played(tmp_path, url)
    assert not any({"logprobs", "return_token_ids"} & set(body) for body in server.requests)
    assert not any(node.turn.samples for node in episode.tree.nodes)


def test_a_server_without_tokens_is_named_once_and_the_run_goes_on(endpoint, tmp_path, capsys):
    url, _ = endpoint(respond=lambda body: "I see.")
    run, (episode,) = played(tmp_path, url, "--keep_samples")
    error = capsys.readouterr().err
    assert error.count(f"m at {url} returns no tokens, so its turns have no samples; vLLM does") == 1
    assert episode.rounds > 1
    assert main(["export", str(run), "--format", "samples", "--out", str(tmp_path / "s.jsonl")]) == 2
    assert "paths without tokens" in capsys.readouterr().err


def test_a_server_that_refuses_the_fields_is_asked_without_them(endpoint, tmp_path, capsys):
    url, server = endpoint(respond=lambda body: "I see.")
    refusal = {"error": {"message": "Unsupported parameter: 'return_token_ids'", "param": "return_token_ids"}}
    server.faults.append((400, refusal, {}))
    played(tmp_path, url, "--keep_samples")
    assert "return_token_ids" in json.dumps(server.requests[0])
    assert "return_token_ids" not in json.dumps(server.requests[1:])
    assert "return_token_ids" in capsys.readouterr().err
