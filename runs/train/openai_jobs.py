"""`josh train openai`: fine-tune a hosted model on an exported file, and follow the job to its end.

1. `train_openai` checks the rows, shows the estimated cost and asks for confirmation.
2. It uploads the file and starts a job.
3. `follow` prints the job's events until the job ends, and writes `josh_openai_job.json`.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from josh.errors import FatalError, UsageError
from josh.models.openai_chat import OPENAI_URL, address_of, key_in
from josh.redact import Redactor
from josh.runs.export.check import wrong_row
from josh.texts import unreadable

JOB = "josh_openai_job.json"
_LEAST_ROWS = 10
_GIVE_UP = 600.0
_FIRST_WAIT = 1.0
_ENDED = {"succeeded", "failed", "cancelled"}
_FORMATS = {"sft": ("messages",), "dpo": ("input", "preferred_output", "non_preferred_output")}
_MEANINGS = {401: "the key was refused", 403: "the key may not do this", 404: "not found", 413: "the file is too large"}


class _LostError(FatalError):
    """The service stopped answering; a job that it runs goes on."""


class Service:
    """A client of an endpoint with OpenAI's files and fine-tuning jobs.

    Transient errors (lost connections, timeouts, HTTP 408, 409, 429 and 5xx) are retried with growing pauses, for at
    most `give_up` seconds. Any other error is a FatalError of one line, without the key.
    """

    def __init__(
        self,
        base_url: str | None,
        api_key_var: str | None,
        environment: Mapping[str, str],
        poll_seconds: float,
        give_up: float = _GIVE_UP,
    ) -> None:
        """Create a client; this sends no request, and needs no key before `connect`.

        Args:
            base_url: the address including `/v1`; by default the variable `OPENAI_BASE_URL`, otherwise OpenAI's.
            api_key_var: the variable with the key; by default `OPENAI_API_KEY`.
            environment: the environment variables.
            poll_seconds: longest pause between two requests for a job's state.
            give_up: seconds of failed attempts after which a call raises an error.

        Raises:
            UsageError: the address is not valid.
        """
        self.base_url = base_url or environment.get("OPENAI_BASE_URL") or OPENAI_URL
        self._where = address_of(self.base_url).netloc
        self._variable, self._environment = api_key_var or "OPENAI_API_KEY", environment
        self._redact = Redactor.of()
        self._poll = poll_seconds
        self._give_up = give_up
        self._client: Any = None

    def connect(self) -> None:
        """Take the key, before the first request. Raises UsageError where it is missing."""
        if self._client is not None:
            return
        key = key_in(self._environment, self._variable, "fine-tuning", self._where)
        self._redact = Redactor.of(key)
        from openai import OpenAI

        self._client = OpenAI(api_key=key, base_url=self.base_url, max_retries=0, timeout=120.0)

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()

    def clean(self, text: object) -> str:
        """Returns a text on one line, without the key."""
        return " ".join(self._redact(str(text)).split())

    def upload(self, data: Path) -> str:
        """Upload a training file. A failed attempt may leave a copy at the service, which costs nothing.

        Returns:
            The file's id.
        """
        content = data.read_bytes()
        uploaded = self._asked(lambda: self._client.files.create(file=(data.name, content), purpose="fine-tune"))
        return str(uploaded.id)

    def start(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Start a job. After a lost answer it searches for the job first, because a second job would cost money.

        Returns:
            The job, as JSON has it.
        """

        def create() -> Any:
            return self._client.fine_tuning.jobs.create(**request)

        def begun() -> Any:
            jobs = self._client.fine_tuning.jobs.list(limit=20).data
            return next((job for job in jobs if job.training_file == request["training_file"]), None)

        return _plain(self._asked(create, begun))

    def follow(self, job_id: str, report: Callable[[str], None]) -> dict[str, Any]:
        """Wait for a job to end.

        Args:
            job_id: the job.
            report: gets the text of each new event, the oldest first.

        Returns:
            The finished job, as JSON has it.
        """
        seen: set[str] = set()
        wait = min(_FIRST_WAIT, self._poll)
        while True:
            job = _plain(self._asked(lambda: self._client.fine_tuning.jobs.retrieve(job_id)))
            before = len(seen)
            for event in reversed(self._events(job_id, seen)):
                seen.add(event.id)
                report(self.clean(event.message))
            if job["status"] in _ENDED:
                return job
            wait = min(_FIRST_WAIT, self._poll) if len(seen) > before else min(1.5 * wait, self._poll)
            time.sleep(wait)

    def _events(self, job_id: str, seen: set[str]) -> list[Any]:
        """Returns the events that are not in `seen`, the newest first, as the service lists them."""
        fresh: list[Any] = []
        after: dict[str, Any] = {}
        while True:
            page = self._asked(partial(self._client.fine_tuning.jobs.list_events, job_id, limit=100, **after))
            new = [event for event in page.data if event.id not in seen]
            fresh += new
            if not page.has_more or not new or len(new) < len(page.data):
                return fresh
            after = {"after": new[-1].id}

    def _asked(self, call: Callable[[], Any], done: Callable[[], Any] | None = None) -> Any:
        """Make a call, and retry transient errors.

        Args:
            call: makes the request.
            done: returns the result of an attempt whose answer was lost, or None if that attempt had no effect.

        Returns:
            The answer.

        Raises:
            FatalError: the service refused the call, or did not answer for too long.
        """
        from openai import APIConnectionError, APIError, APIStatusError

        end = time.monotonic() + self._give_up
        wait = min(_FIRST_WAIT, self._poll)
        lost = False
        while True:
            try:
                found = done() if lost and done is not None else None
                return found if found is not None else call()
            except APIStatusError as error:
                text = self.clean(error.message)[:300]
                if error.status_code not in {408, 409, 429} and error.status_code < 500:
                    meaning = _MEANINGS.get(error.status_code, f"refused with HTTP {error.status_code}")
                    raise FatalError(f"{self.base_url}: {meaning}: {text}") from None
                if "insufficient_quota" in text:
                    raise FatalError(f"{self.base_url}: the account has no quota left: {text}") from None
                lost = lost or error.status_code != 429
                text = f"HTTP {error.status_code}, {text}"
            except APIConnectionError as error:
                lost = True
                text = self.clean(error.__cause__ or error)[:300]
            except APIError as error:
                lost = True
                text = self.clean(error.message)[:300]
            if time.monotonic() + wait > end:
                raise _LostError(f"{self.base_url}: no answer in {self._give_up:g} seconds: {text}")
            time.sleep(wait)
            wait = min(2 * wait, 60.0)


def train_openai(
    service: Service,
    *,
    data: Path,
    model: str,
    out: Path,
    method: str = "sft",
    suffix: str | None = None,
    price: float | None = None,
    hyperparameters: Mapping[str, Any],
    seed: int | None = None,
    yes: bool = False,
    validation: Path | None = None,
    wait: bool = True,
) -> str:
    """Show the estimated cost of a job, ask for confirmation, start the job and follow it.

    Args:
        service: the service.
        data: file of `josh export --format openai-sft` or `openai-dpo`.
        model: the model to tune, such as gpt-4.1-mini-2025-04-14.
        out: folder for `josh_openai_job.json`.
        method: sft or dpo.
        suffix: a part of the tuned model's name.
        price: US dollars per million training tokens.
        hyperparameters: n_epochs, batch_size, learning_rate_multiplier, beta; the service chooses those left out.
        seed: the job's seed.
        yes: do not ask.
        validation: file of held-out rows of the same format; None for none.
        wait: follow the job to its end.

    Returns:
        The tuned model's name; empty where the job is not followed.

    Raises:
        UsageError: a row of the file is wrong, or nobody confirmed the cost.
        FatalError: the service refused a call or stopped answering, or the job failed.
    """
    rows = _rows(data, method)
    if validation is not None:
        _rows(validation, method, least=1)
    tokens, how = _tokens(rows)
    epochs = hyperparameters.get("n_epochs")
    print(f"file     {data}: {len(rows)} rows, about {tokens} tokens ({how})")
    length = f"{epochs} epochs" if epochs else "epochs as the service chooses"
    print(f"job      {method} of {model} at {service.base_url}, {length}")
    print(f"cost     {_cost(tokens, price, epochs)}")
    service.connect()
    if not yes:
        _ask()
    _make(out)
    file_id = service.upload(data)
    print(f"uploaded {file_id}", flush=True)
    held_out = {} if validation is None else {"validation_file": service.upload(validation)}
    kind = {"sft": "supervised"}.get(method, method)
    options = {"hyperparameters": dict(hyperparameters)} if hyperparameters else {}
    request: dict[str, Any] = {"model": model, "training_file": file_id, "method": {"type": kind, kind: options}}
    request |= held_out
    if suffix:
        request["suffix"] = suffix
    if seed is not None:
        request["seed"] = seed
    try:
        job = service.start(request)
    except (KeyboardInterrupt, _LostError):
        print(f"josh: a job for {file_id} may have started; look at the service's list of jobs", file=sys.stderr)
        raise
    _write(out, service, job)
    print(f"started  {job['id']}", flush=True)
    if not wait:
        print(f"follow   josh train openai --follow {job['id']} --out {out}")
        return ""
    return follow(service, job["id"], out)


def follow(service: Service, job_id: str, out: Path) -> str:
    """Follow a job to its end, print its events, and write `josh_openai_job.json`.

    Args:
        service: the service.
        job_id: the job.
        out: folder for `josh_openai_job.json`.

    Returns:
        The tuned model's name.

    Raises:
        FatalError: the job failed or was cancelled, or the service stopped answering.
        KeyboardInterrupt: Ctrl-C; the job goes on, and a line on stderr says how to follow it again.
    """
    service.connect()
    _make(out)
    with _hint(job_id, out, service.base_url):
        job = service.follow(job_id, lambda text: print(f"         {text}", flush=True))
    _write(out, service, job)
    if job["status"] != "succeeded":
        reason = (job.get("error") or {}).get("message") or "no reason was given"
        raise FatalError(f"fine-tuning job {job_id} {job['status']}: {service.clean(reason)}")
    print(f"trained  {job.get('trained_tokens') or 'an unknown number of'} tokens")
    print(f"model    {job['fine_tuned_model']}")
    return str(job["fine_tuned_model"])


@contextmanager
def _hint(job_id: str, out: Path, base_url: str) -> Iterator[None]:
    """Print how to follow the job again if following is interrupted."""
    try:
        yield
    except (KeyboardInterrupt, _LostError):
        address = "" if base_url == OPENAI_URL else f" --base_url {base_url}"
        print(
            f"josh: the job goes on; follow it with: josh train openai --follow {job_id} --out {out}{address}",
            file=sys.stderr,
        )
        raise


def _rows(data: Path, method: str, least: int = _LEAST_ROWS) -> list[dict[str, Any]]:
    """Returns the rows of a file. Raises UsageError with the line number of a wrong row."""
    try:
        lines = data.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(data, error) from None
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise UsageError(f"{data} line {number}: it is not a JSON object")
        missing = next((name for name in _FORMATS[method] if name not in row), None)
        if missing:
            other = next((one for one, names in _FORMATS.items() if set(names) <= set(row)), None)
            hint = f"; it is a row for --method {other}" if other else f"; export with --format openai-{method}"
            raise UsageError(f"{data} line {number}: no {missing!r}, which openai-{method} rows have{hint}")
        wrong = wrong_row(f"openai-{method}", row)
        if wrong:
            raise UsageError(f"{data} line {number}: {wrong}")
        rows.append(row)
    if len(rows) < least:
        raise UsageError(f"{data} has {len(rows)} rows; OpenAI asks for {least} or more")
    return rows


def _tokens(rows: list[dict[str, Any]]) -> tuple[int, str]:
    """Returns an estimate of the number of tokens, and the method of the estimate."""
    texts = [text for row in rows for text in _texts(row)]
    encoding = _encoding()
    if encoding is None:
        return sum(map(len, texts)) // 4, "four characters each, because tiktoken is missing"
    # Each message has about four more tokens, for its role and delimiters.
    return sum(len(encoding.encode(text, disallowed_special=())) + 4 for text in texts), "by tiktoken"


def _texts(row: Mapping[str, Any]) -> Iterator[str]:
    messages = row.get("messages") or [
        *row["input"].get("messages", ()),
        *row["preferred_output"],
        *row["non_preferred_output"],
    ]
    for message in messages:
        content = message.get("content")
        yield content if isinstance(content, str) else json.dumps(content or "")
        if message.get("tool_calls"):
            yield json.dumps(message["tool_calls"])
    tools = row.get("tools") or row.get("input", {}).get("tools")
    if tools:
        yield json.dumps(tools)


def _encoding() -> Any:
    """Returns the encoding of OpenAI's newer models, from the copy in litellm; None if it is missing."""
    found = find_spec("litellm")
    if find_spec("tiktoken") is None or found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent / "litellm_core_utils" / "tokenizers"
    before = os.environ.get("TIKTOKEN_CACHE_DIR")
    # Without that copy tiktoken would download the encoding; an estimate is not worth the wait.
    names = {"o200k_base": "fb374d419588a4632f3f557e76b4b70aebbca790"}
    try:
        import tiktoken

        for name, file in names.items():
            if (folder / file).exists():
                os.environ["TIKTOKEN_CACHE_DIR"] = str(folder)
                return tiktoken.get_encoding(name)
    except (ImportError, OSError, ValueError):
        return None
    finally:
        if before is None:
            os.environ.pop("TIKTOKEN_CACHE_DIR", None)
        else:
            os.environ["TIKTOKEN_CACHE_DIR"] = before
    return None


def _cost(tokens: int, price: float | None, epochs: int | None) -> str:
    if price is None:
        return "unknown; give --price in dollars per million training tokens"
    each = tokens * price / 1e6
    if epochs is None:
        return f"about ${each:.2f} for each epoch; the service chooses how many, give --epochs to fix it"
    return f"about ${each * epochs:.2f}"


def _ask() -> None:
    """Ask on the terminal. Raises UsageError if the answer is not yes, or stdin is not a terminal."""
    if not sys.stdin.isatty():
        raise UsageError("stdin is not a terminal, so nobody can confirm the cost; give --yes")
    try:
        answer = input("start it? [y/N] ").strip().lower()
    except EOFError:
        answer = ""
    if answer not in {"y", "yes"}:
        raise UsageError("not started; nothing was uploaded")


def _make(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write to out {str(out)!r}: {error.strerror}") from None


def _write(out: Path, service: Service, job: Mapping[str, Any]) -> None:
    part = out / (JOB + ".part")
    text = json.dumps({"base_url": service.base_url, "job": job}, indent=2, ensure_ascii=False)
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(out / JOB)


def _plain(job: Any) -> dict[str, Any]:
    content: dict[str, Any] = job.to_dict(mode="json")
    return content
