"""Requests fit the model: fields that an endpoint refuses are learned once, stored, and left out."""

import asyncio
import json
from pathlib import Path

import pytest

from josh.branch import TurnContext
from josh.cli import main
from josh.dialogue import Speaker, Usage
from josh.models.chat import Completion, Lesson, ModelError, Request, RetryableError, Sampling
from josh.models.gateway import ModelGateway
from josh.models.lessons import Lessons, Refused, hint, refused_field
from josh.models.turn_model import BoundModel
from josh.roles import Reply
from josh.runs.record.journal import Replies

FULL = Sampling(temperature=0.7, top_p=0.9, max_tokens=50, stop=("END",))


def refusal_of(text, *, status=400, param="", code="", sampling=FULL, n=2, lessons=()):
    request = Request([], sampling, 7, n, lessons=lessons)
    return refused_field(ModelError(f"m at here: HTTP {status}: {text}", status, code, param), request)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("unsupported parameter: temperature", "temperature"),
        ("temperature: only 1 is supported", "temperature"),
        ("'temperature' does not support 0.7 with this model. Only the default (1) value is supported.", "temperature"),
        ("`temperature` is deprecated for this model.", "temperature"),
        ("invalid temperature: only 1 is allowed for this model", "temperature"),
        ("gpt-5 models don't support temperature=0.7. Only temperature=1 is supported.", "temperature"),
        ("openai does not support parameters: ['seed'], for model=o3. To drop these, set drop_params", "seed"),
        ("Unrecognized request argument supplied: seed", "seed"),
        ("body.seed: Extra inputs are not permitted", "seed"),
        ("property 'seed' is unsupported, did you mean 'speed'?", "seed"),
        ('Invalid JSON payload received. Unknown name "seed": Cannot find field.', "seed"),
        ("Malformed input request: #: extraneous key [seed] is not permitted, please reformat", "seed"),
        ("seed must be less than 65536", "seed"),
        ("top_p is not supported with this model", "top_p"),
        ("`temperature` and `top_p` cannot both be specified for this model. Please use only one.", "top_p"),
        ("Argument not supported on this model: stop", "stop"),
        ("Invalid n value (currently only n = 1 is supported)", "n"),
        ("Only one completion choice is allowed", "n"),
        ("'n' must be 1 for this model", "n"),
    ],
)
def test_the_refused_field_is_read_from_the_words_of_servers(text, field):
    assert refusal_of(text) == Refused(field)


def test_a_field_that_the_server_names_apart_needs_no_words():
    assert refusal_of("no", param="body.temperature", code="unsupported_value") == Refused("temperature")
    assert refusal_of("not supported", param="tools", code="unsupported_parameter") is None


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_a_limit_of_tokens_goes_under_its_other_name_once(field):
    other = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}[field]
    text = f"Unsupported parameter: '{field}' is not supported with this model. Use '{other}' instead."
    sampling = Sampling(max_tokens=5) if field == "max_tokens" else Sampling()
    request = Request([], sampling, 7, options={} if field == "max_tokens" else {field: 5})
    assert refused_field(ModelError(text, 400), request) == Refused(field, other)
    taught = Request([], sampling, 7, options=request.options, lessons=(Lesson("here", "m", field, other),))
    assert taught.body[other] == 5
    assert field not in taught.body
    assert refused_field(ModelError(f"{other} is not supported", 400), taught) is None


@pytest.mark.parametrize(
    "text",
    [
        "This model's maximum context length is 8192 tokens; your request has 9000. Reduce the messages.",
        "temperature must be between 0 and 0.5",
        "max_tokens: 50 > 40, which is the maximum allowed; range of max_tokens is [1, 40]",
        "your words about the weather are not allowed",
        "min_p is not supported",  # the request has none
        "tools are not supported by this model",
    ],
)
def test_other_refusals_teach_nothing(text):
    assert refusal_of(text) is None


def test_a_status_of_another_kind_teaches_nothing_unless_it_is_a_fault_at_a_field():
    assert refusal_of("unsupported parameter: temperature", status=403) is None
    assert refusal_of("temperature is too hot", status=500) is None
    assert refusal_of("unexpected keyword argument 'seed'", status=500) == Refused("seed")


def test_what_the_user_adds_is_never_left_out():
    assert refusal_of("unknown field top_k", sampling=Sampling(extra_body={"top_k": 5})) is None


def test_fields_can_be_left_out_from_the_start():
    request = Request([], Sampling(leave_out=("temperature, seed",)), 7)
    assert request.body == {}
    request = Request([], Sampling(extra_body={"temperature": None, "reasoning_effort": "low"}), 7)
    assert request.body == {"seed": 7, "reasoning_effort": "low"}


def test_the_states_of_what_is_known_are_those_that_requests_were_sent_in():
    first, second = Lesson("here", "m", "temperature"), Lesson("here", "m", "stop")
    lessons = Lessons([first, second])
    assert not lessons.add(first)
    assert list(lessons.known_for("here", "m")) == [(first, second), (first,)]
    assert list(lessons.known_for("there", "m")) == [(first, second), (first,)]
    assert list(lessons.known_for("here", "other")) == []


def test_an_endpoint_that_wants_a_field_is_met_with_the_flag():
    def tip(text, speaker="agent", **about):
        return hint(ModelError(text, 400, **about), speaker)

    assert tip("set enable_thinking to false") == "try --extra_body '{\"enable_thinking\": false}'"
    assert tip("max_tokens: Field required", "user") == "try --user_max_tokens 1024"
    assert tip("missing required parameter: 'safety_id'") == "try --extra_body '{\"safety_id\": ...}'"
    assert tip("temperature must be between 0 and 1", "judge") == "try --judge_leave_out temperature"
    assert tip("the conversation is too long") == ""


class Strict:
    """A model that answers with its number of messages, and refuses some fields by name.

    Attributes:
        bodies: the bodies of the requests, in order.
    """

    name, endpoint, concurrency = "strict", "here", None

    def __init__(self, refuses=("temperature",), status=400, after=0):
        self.refuses, self.status, self.after, self.bodies = refuses, status, after, []

    async def complete(self, request):
        self.bodies.append(request.body)
        await asyncio.sleep(0.001)
        if len(self.bodies) > self.after:
            for field in self.refuses:
                if field in request.body:
                    raise ModelError(f"HTTP 400: unsupported parameter: {field}", self.status)
        replies = tuple(Reply(f"{request.messages[0]['content']}/{choice} END of it") for choice in range(request.n))
        return Completion(replies, Usage(prompt_tokens=2, completion_tokens=1))


def talk(model, gateway, words=("a", "b", "c", "d"), sampling=FULL, together=True):
    """Ask once for each word, as the only child of a place of its own; the replies."""

    async def one(word):
        context = TurnContext(word, 1, Speaker.AGENT)
        line = BoundModel(model, sampling, context, gateway, 4, "task")
        return (await line.reply([{"role": "user", "content": word}])).text

    async def asking():
        if together:
            return await asyncio.gather(*map(one, words))
        return [await one(word) for word in words]

    return asyncio.run(asking())


def gateway_on(journal):
    gateway = ModelGateway(8, journal=journal)
    gateway.notes, gateway.lessons = journal, Lessons(journal.lessons())
    return gateway


def test_a_refused_field_is_learned_once_by_all_calls_in_flight(tmp_path, caplog):
    journal, model = Replies(tmp_path), Strict()
    gateway = gateway_on(journal)
    talk(model, gateway)
    assert len(model.bodies) == 8
    assert ["temperature" in body for body in model.bodies] == [True] * 4 + [False] * 4
    refused = "HTTP 400: unsupported parameter: temperature; 'temperature' is refused, so requests go without it"
    assert [text.partition(" (further")[0] for text in caplog.messages] == [f"{refused} from here on"]
    assert gateway.retries == 0
    assert journal.lessons() == [Lesson("here", "strict", "temperature")]
    talk(model, gateway, "ef")
    assert len(model.bodies) == 10
    journal.close()


@pytest.mark.parametrize("refuses", [("temperature",), ("temperature", "stop"), ("seed", "max_tokens", "top_p")])
def test_a_run_that_learned_in_its_midst_pays_for_nothing_twice(refuses, tmp_path):
    journal, model = Replies(tmp_path), Strict(refuses[:1], after=5)
    texts = talk(model, gateway_on(journal), "abcdefgh", together=False)
    model.refuses = refuses
    texts += talk(model, gateway_on(journal), "ijkl", together=False)
    journal.close()
    for other in ("here", "recorded"):
        journal, silent = Replies(tmp_path), Strict()
        silent.endpoint = other
        assert talk(silent, gateway_on(journal), "abcdefghijkl") == texts
        assert silent.bodies == []
        journal.close()


def test_replies_end_at_the_text_that_ends_them_also_where_the_endpoint_refuses_it(tmp_path):
    journal = Replies(tmp_path)
    assert talk(Strict(("stop",)), gateway_on(journal), "a") == ["a/0 "]
    journal.close()


def siblings(model, gateway, depth=1):
    common = {}
    places = [TurnContext(path, depth, Speaker.AGENT, siblings=("0", "1"), common=common) for path in "01"]
    lines = [BoundModel(model, FULL, place, gateway, 4, "task") for place in places]

    async def asking():
        replies = await asyncio.gather(*(line.reply([{"role": "user", "content": "x"}]) for line in lines))
        return [reply.text for reply in replies]

    return asyncio.run(asking())


def test_siblings_that_share_a_request_learn_together(tmp_path):
    journal, model = Replies(tmp_path), Strict()
    assert siblings(model, gateway_on(journal)) == ["x/0 ", "x/1 "]
    assert [body.get("n") for body in model.bodies] == [2, 2]
    assert siblings(Strict(), gateway_on(journal)) == ["x/0 ", "x/1 "]
    journal.close()


@pytest.mark.parametrize("status", [400, 500])
def test_a_model_that_refuses_several_replies_by_name_is_asked_singly_in_later_sessions(status, tmp_path, caplog):
    class Lone(Strict):
        async def complete(self, request):
            if request.n > 1:
                self.bodies.append(request.body)
                kind = RetryableError if status >= 500 else ModelError
                raise kind(f"HTTP {status}: only n = 1 is supported", status)
            return await super().complete(request)

    journal, model = Replies(tmp_path), Lone(())
    siblings(model, gateway_on(journal))
    assert [body.get("n") for body in model.bodies] == [2, None, None]
    assert any("siblings ask one by one from here on" in text for text in caplog.messages)
    model = Lone(())
    siblings(model, gateway_on(journal), depth=3)
    assert [body.get("n") for body in model.bodies] == [None, None]
    journal.close()


def test_a_model_that_fails_at_several_replies_without_a_word_is_asked_singly():
    class Failing(Strict):
        async def complete(self, request):
            if request.n > 1:
                self.bodies.append(request.body)
                raise RetryableError("HTTP 500: internal error", 500)
            return await super().complete(request)

    model = Failing(())
    gateway = ModelGateway(8, max_attempts=2)
    assert siblings(model, gateway) == ["x/0 ", "x/0 "]
    assert [body.get("n") for body in model.bodies] == [2, 2, None, None]
    assert gateway.lessons.single("here", "strict")


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def only_run():
    (run,) = [path for path in Path("records").iterdir() if "replayed" not in path.name]
    return run


def test_a_run_with_a_reasoning_model_is_resumed_and_replayed_for_nothing(endpoint, elsewhere, capsys):
    url, server = endpoint()
    refuse = {
        "error": {"message": "Unsupported value: 'temperature'", "param": "temperature", "code": "unsupported_value"}
    }
    flags = ["--josh", "--beam_size", "4", "--synthetic_tasks", "2", "--max_convo_turns", "3", "--model", "us"]
    server.faults = [(400, refuse, {})] * 2
    assert main([*flags, "--base_url", url, "--max_concurrency", "2"]) == 0
    assert "temperature" not in server.requests[-1]
    run, asked = only_run(), len(server.requests)
    written = run.joinpath("episodes.jsonl").read_bytes()
    run.joinpath("episodes.jsonl").write_bytes(b"")
    assert main(["--resume", str(run)]) == 0
    assert run.joinpath("episodes.jsonl").read_bytes() == written
    assert main(["replay", str(run)]) == 0
    assert len(server.requests) == asked
    assert "'temperature' is refused" in capsys.readouterr().err


@pytest.mark.parametrize("side", ["", "user_", "judge_"])
def test_every_side_can_leave_fields_out_and_add_its_own(side, endpoint, elsewhere):
    url, server = endpoint(respond=lambda body: '{"score": 1}')
    elsewhere.joinpath("judged.py").write_text(
        "from josh.rewards.donation import DonationRewards\n"
        "class Judged(DonationRewards):\n"
        "    async def score(self, task, conversation, judge):\n"
        "        await judge.reply([{'role': 'user', 'content': 'How good was it?'}])\n"
        "        return {'good': 1.0}\n"
    )
    names = [
        part for each in ("", "user_", "judge_") for part in (f"--{each}model", f"{each}m", f"--{each}base_url", url)
    ]
    own = [f"--{side}leave_out", "temperature,seed", f"--{side}extra_body", '{"enable_thinking": false}']
    flags = ["--synthetic_tasks", "1", "--max_convo_turns", "1", "--rewards", "./judged.py:Judged"]
    assert main([*flags, *names, *own]) == 0
    for body in server.requests:
        mine = body["model"] == f"{side}m"
        assert ("temperature" not in body, "seed" not in body, body.get("enable_thinking")) == (
            (True, True, False) if mine else (False, False, None)
        )
    assert {body["model"] for body in server.requests} == {"m", "user_m", "judge_m"}
    settings = json.loads(only_run().joinpath("config.json").read_text())["settings"]
    assert settings[{"": "agent", "user_": "user", "judge_": "judge"}[side]]["leave_out"] == ["temperature,seed"]
