"""`josh export --check`: checks that a training file has the format that its trainer expects."""

import codecs
import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from josh.errors import UsageError
from josh.messages import dumps, same_words, without_ids
from josh.runs.export.files import manifest_of
from josh.runs.export.formats import END, FORMATS, LABELLED, PAIRED, START
from josh.runs.export.inspect_check import log_problems, logs_in, no_number
from josh.runs.export.labels import COLUMNS
from josh.runs.export.messages import ROLES
from josh.runs.export.not_rows import instead_of_rows
from josh.runs.export.sharegpt import sharegpt_alternates
from josh.texts import json_fault

FEWEST: Final = {"openai-sft": 10, "openai-dpo": 10}
"""The minimum number of rows for trainers that need more than one."""
_MARKS: Final = {
    "kto_tag": "sharegpt-kto",
    "label": "kto",
    "chosen": "dpo",
    "input": "openai-dpo",
    "text": "chatml",
    "conversations": "sharegpt",
    "messages": "sft",
    "completion": "sft",
    "advantages": "grpo",
    "loss_mask": "samples",
    "nodes": "verifiers",
}
"""The format of a row, by the first of these keys that it has; without a manifest `openai-sft` is checked as `sft`."""


def problems_in(file: Path) -> Iterator[str]:
    """Yields the problems of an exported file, one line for each; none where the file is valid.

    Logs of inspect_ai are checked, too: a log, or a folder of logs.

    Raises:
        UsageError: the file cannot be read.
    """
    logs = logs_in(file)
    for log in logs:
        yield from log_problems(log)
    if not logs:
        form = _manifest(file)[0].get("format")
        other = f"{file}: its rows are {form!r}, which no trainer of josh takes; give a training file"
        yield from _row_problems(file) if form in (None, *FORMATS) else [other]


def _row_problems(file: Path) -> Iterator[str]:
    manifest, damage = _manifest(file)
    if damage:
        yield damage
    form, columns = manifest.get("format"), _columns(manifest)
    digest = hashlib.sha256()
    claims = _Claims()
    rows = 0
    try:
        with file.open("rb") as lines:
            for number, data in enumerate(lines, 1):
                digest.update(data)
                if not data.strip():
                    continue
                rows += 1
                try:
                    row = _parsed(file, data, number)
                except _OtherFormError as error:
                    yield f"{file}: it is {error}"
                    return
                except (ValueError, RecursionError) as error:
                    yield f"{file}:{number}: not JSON: {json_fault(error)}"
                    continue
                form = form or _detect(row)
                if form not in FORMATS:
                    yield f"{file}:{number}: the row has no known format; known: {', '.join(FORMATS)}"
                    return
                try:
                    wrong = wrong_row(form, _without(row, columns)) or _not_text(row) or claims.add(form, row, number)
                except RecursionError:
                    wrong = "it is nested too deeply"
                if wrong:
                    yield f"{file}:{number}: {wrong}"
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from None
    for number, text in claims.unsupported():
        yield f"{file}:{number}: {text}"
    for text in _of_all_rows(str(form or ""), rows, claims):
        yield f"{file}: {text}"
    if "sha256" in manifest and manifest["sha256"] != digest.hexdigest():
        yield f"{file}: it is not the file that {manifest_of(file).name} describes (the sha256 differs)"


def _of_all_rows(form: str, rows: int, claims: "_Claims") -> Iterator[str]:
    fewest = FEWEST.get(form, 1)
    if rows < fewest:
        yield f"{rows} rows; {form or 'every format'} needs {fewest} or more"
    if form in LABELLED and len(claims.labels) == 1:
        kind = "winning" if True in claims.labels else "losing"
        yield f"it has only {kind} turns; KTO needs rows with label true and rows with label false"


class _OtherFormError(Exception):
    """The file is not lines of JSON; the text says what it is, and what to do."""


def _parsed(file: Path, data: bytes, number: int) -> Any:
    """Returns the value of a line. Raises ValueError and RecursionError."""
    if number == 1:
        data = data.removeprefix(codecs.BOM_UTF8)
        if other := instead_of_rows(file, data):
            raise _OtherFormError(other)
    return json.loads(data.decode(), parse_constant=no_number)


def _not_text(row: Any) -> str | None:
    """Returns the problem of a row with a text that no file can hold; trainers cannot load it."""
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return r"it has half of a surrogate pair (\ud800 to \udfff), which is not text"
    return None


def wrong_row(form: str, row: Any) -> str | None:
    """Returns the first problem of a row in one line; None where the row is valid.

    Args:
        form: the format, a key of `FORMATS`.
        row: the parsed row.
    """
    try:
        _ROWS[form](row)
    except _WrongError as error:
        return str(error)
    return None


def _manifest(file: Path) -> tuple[Mapping[str, Any], str]:
    """Returns a file's manifest, empty where it is missing or invalid, and the problem with it, empty for none."""
    path = manifest_of(file)
    try:
        manifest = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}, ""
    except (OSError, ValueError, RecursionError) as error:
        return {}, f"{path}: it cannot be read: {json_fault(error)}"
    sound = isinstance(manifest, dict) and isinstance(manifest.get("format"), str) and "sha256" in manifest
    if not sound or (manifest["format"] not in FORMATS and "josh" not in manifest):
        return {}, f"{path}: it is not a manifest: it has no known format or no sha256"
    return manifest, ""


def _columns(manifest: Mapping[str, Any]) -> frozenset[str]:
    """Returns the keys that rows have beside those of their format, as their manifest names them."""
    named = manifest.get("columns")
    return frozenset(name for name in named if isinstance(name, str)) if isinstance(named, list) else frozenset()


def _without(row: Any, columns: frozenset[str]) -> Any:
    return {name: value for name, value in row.items() if name not in columns} if isinstance(row, dict) else row


def _detect(row: Any) -> str:
    names = row if isinstance(row, dict) else {}
    if {"conversations", "chosen"} <= names.keys():
        return "sharegpt-dpo"
    return next((form for mark, form in _MARKS.items() if mark in names), "")


class _WrongError(Exception):
    """A row is invalid; the text is the reason in one line."""


def _expect(holds: Any, otherwise: str) -> None:
    if not holds:
        raise _WrongError(otherwise)


class _Claims:
    """The statements of the rows so far: no row may repeat or contradict an earlier one."""

    def __init__(self) -> None:
        self._said: dict[bytes, int] = {}
        self._positive: set[bytes] = set()
        self._negative: dict[bytes, int] = {}
        self.labels: set[bool] = set()

    def add(self, form: str, row: Mapping[str, Any], number: int) -> str | None:
        """Add a valid row; returns its conflict with an earlier row in one line, or None."""
        says, contrary = self._keys(form, row, number)
        for key, verb in ((says, "repeats"), (contrary, "contradicts")):
            if key in self._said:
                return f"it {verb} line {self._said[key]}"
        self._said[says] = number
        return None

    def _keys(self, form: str, row: Mapping[str, Any], number: int) -> tuple[bytes, bytes | None]:
        tools = row.get("tools")
        if form in LABELLED:
            if form == "kto":
                prompt, answer = row["prompt"], without_ids(row["completion"][0])
            else:
                prompt, answer = [row.get("system"), *row["conversations"][:-1]], row["conversations"][-1]
            label = row[LABELLED[form]]
            asked = _hash((prompt, tools))
            self.labels.add(label)
            if label:
                self._positive.add(asked)
            else:
                self._negative.setdefault(asked, number)
            return _hash((prompt, tools, answer, label)), _hash((prompt, tools, answer, not label))
        if form in PAIRED:
            said = [row.get(name) for name in ("prompt", "input", "system", "conversations")]
            pair = [row[name] for name in (_OPENAI_PAIR if form == "openai-dpo" else _PAIR)]
            one, other = pair if form == "sharegpt-dpo" else [without_ids(answer) for (answer,) in pair]
            return _hash((said, tools, one, other)), _hash((said, tools, other, one))
        return _hash(row), None

    def unsupported(self) -> Iterator[tuple[int, str]]:
        """Yields line number and problem of each negative row whose prompt no positive row has."""
        for asked, number in self._negative.items():
            if asked not in self._positive:
                yield number, "a negative row whose prompt no positive row has"


_PAIR: Final = ("chosen", "rejected")
_OPENAI_PAIR: Final = ("preferred_output", "non_preferred_output")


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _check_sft(row: Any) -> None:
    if isinstance(row, dict) and "messages" not in row and "completion" in row:
        _keys(row, {"prompt", "completion"}, {"tools", *COLUMNS})
        _check_messages(row["prompt"], "prompt", ends=("user", "tool"))
        _check_answer(row["completion"], "completion")
        _check_tools(row)
        return
    _keys(row, {"messages"}, {"tools", "advantages"})
    _check_messages(row["messages"], "messages", ends=("assistant",))
    _check_tools(row)
    given = row.get("advantages", [0.0] * len(row["messages"]))
    numbers = isinstance(given, list) and all(map(_is_number, given))
    _expect(numbers and len(given) == len(row["messages"]), "advantages are not one number for each message")


def _check_kto(row: Any) -> None:
    _keys(row, {"prompt", "completion", "label"}, {"tools", "advantage", *COLUMNS})
    _expect(_is_number(row.get("advantage", 0.0)), f"advantage is {row.get('advantage')!r:.40}; give a number")
    _check_messages(row["prompt"], "prompt", ends=("user", "tool"))
    _check_answer(row["completion"], "completion")
    _expect(isinstance(row["label"], bool), f"label is {row['label']!r:.40}; give true or false")
    _check_tools(row)


def _check_dpo(row: Any) -> None:
    _keys(row, {"prompt", "chosen", "rejected"}, {"tools", "margin", *COLUMNS})
    _check_messages(row["prompt"], "prompt", ends=("user", "tool"))
    _check_pair(row, _PAIR)
    margin = row.get("margin", 1.0)
    # A label does not depend on the margin, which may be anything.
    sound = type(margin) in (int, float) and (margin > 0 or "code" in row)
    _expect(sound, f"margin is {margin!r:.40}; give a number above 0")
    _check_tools(row)


def _check_openai_sft(row: Any) -> None:
    _keys(row, {"messages"}, {"tools", "parallel_tool_calls"})
    _check_messages(row["messages"], "messages", ends=("assistant",), openai=True)
    trained = [each for each in row["messages"] if each["role"] == "assistant" and each.get("weight", 1)]
    _expect(trained, "every assistant message has weight 0; nothing is trained")
    _check_tools(row)


def _check_openai_dpo(row: Any) -> None:
    _keys(row, {"input", *_OPENAI_PAIR}, set())
    _keys(row["input"], {"messages"}, {"tools", "parallel_tool_calls"})
    _check_messages(row["input"]["messages"], "input", ends=("user", "tool"), openai=True)
    _check_pair(row, _OPENAI_PAIR, openai=True)
    for name in _OPENAI_PAIR:
        _expect("tool_calls" not in row[name][0], f"{name} calls a tool; OpenAI takes text only")
    _check_tools(row["input"])


def _check_chatml(row: Any) -> None:
    _keys(row, {"text"}, {"tools"})
    start, end = re.escape(START), re.escape(END)
    _expect(isinstance(row["text"], str), "text is not a text")
    turn = rf"{start}(\w+)\n((?:(?!{start}|{end}).)*){end}\n"
    _expect(re.fullmatch(rf"(?:{turn})+", row["text"], re.DOTALL), f"text does not consist of {START}role ... {END}")
    found = [{"role": role, "content": words} for role, words in re.findall(turn, row["text"], re.DOTALL)]
    _check_messages(found, "text", ends=("assistant",))
    _check_tools(row)


def _check_sharegpt(row: Any) -> None:
    _keys(row, {"conversations"}, {"system", "tools"})
    _check_shared(row, row["conversations"])


def _check_sharegpt_kto(row: Any) -> None:
    _keys(row, {"conversations", "kto_tag"}, {"system", "tools"})
    _check_shared(row, row["conversations"])
    _expect(isinstance(row["kto_tag"], bool), f"kto_tag is {row['kto_tag']!r:.40}; give true or false")


def _check_sharegpt_dpo(row: Any) -> None:
    _keys(row, {"conversations", *_PAIR}, {"system", "tools"})
    _expect(isinstance(row["conversations"], list), "conversations is not a list")
    for name in _PAIR:
        _keys(row[name], {"from", "value"}, set())
        _check_shared(row, [*row["conversations"], row[name]])
    chosen, rejected = (row[name]["value"].strip() for name in _PAIR)
    _expect(chosen != rejected, "chosen and rejected are the same")


def _check_shared(row: Mapping[str, Any], turns: Any) -> None:
    _expect(isinstance(turns, list) and turns, "conversations is empty, or not a list")
    if isinstance(turns[0], dict) and turns[0].get("from") == "system":  # as in many published files
        _expect("system" not in row and isinstance(turns[0].get("value"), str), "system is given twice, or not a text")
        turns = turns[1:]
        _expect(turns, "conversations has no turn beside the system prompt")
    for at, turn in enumerate(turns):
        name = f"conversations[{at}]"
        _keys(turn, {"from", "value"}, set())
        words = turn["value"]
        _expect(isinstance(words, str), f"{name}: value is not a text")
        _expect(words.strip() or turn["from"] == "observation", f"{name}: {turn['from']} says nothing")
    _expect(
        sharegpt_alternates([turn["from"] for turn in turns]),
        "conversations: the turns do not alternate between human or observation and gpt or function_call, first human, "
        "last gpt",
    )
    _expect(turns[0]["from"] == "human", "conversations: the first turn is not from human")
    _expect(isinstance(row.get("system", ""), str), "system is not a text")
    try:
        tools = json.loads(row.get("tools", "[]"))
    except (TypeError, ValueError, RecursionError):
        raise _WrongError("tools is not a text of JSON") from None
    _check_tools({"tools": tools})


_TOKENS = {"task", "path", "part", "reward", "finish_reason", "prompt_ids", "token_ids", "loss_mask"}
_OF_TOKENS = ("loss_mask", "logprobs", "model_logprobs", "advantages")


def _check_samples(row: Any) -> None:
    _keys(row, _TOKENS, {"logprobs", "model_logprobs"})
    _check_tokens(row)


def _check_grpo(row: Any) -> None:
    _keys(row, {*_TOKENS, "advantages"}, {"logprobs", "model_logprobs"})
    _check_tokens(row)


def _check_verifiers(row: Any) -> None:
    _expect(isinstance(row, dict) and row.get("version") == 1, "version is not 1")
    nodes = row.get("nodes")
    _expect(isinstance(nodes, list) and nodes, "nodes is empty, or not a list")
    for place, node in enumerate(nodes):
        _expect(isinstance(node, dict) and isinstance(node.get("message"), dict), f"nodes[{place}] has no message")
        parent = node.get("parent")
        _expect(parent is None or (type(parent) is int and 0 <= parent < place), f"nodes[{place}]: a wrong parent")
        mask, tokens = node.get("mask") or [], node.get("token_ids") or []
        _expect(len(mask) == len(tokens), f"nodes[{place}]: mask has not one entry for each token")
    _expect(isinstance(row.get("rewards"), dict), "rewards is not an object")


def _check_tokens(row: Mapping[str, Any]) -> None:
    for name in ("prompt_ids", "token_ids"):
        ids = row[name]
        _expect(isinstance(ids, list) and ids, f"{name} is empty, or not a list")
        _expect(all(type(one) is int and one >= 0 for one in ids), f"{name} holds something that is not a token")
    tokens = len(row["token_ids"])
    for name in _OF_TOKENS:
        if row.get(name) is not None:
            given = row[name]
            _expect(isinstance(given, list) and len(given) == tokens, f"{name} has not one entry for each token")
            _expect(all(type(one) in (int, float) for one in given), f"{name} holds something that is not a number")
    _expect(set(row["loss_mask"]) <= {0, 1}, "loss_mask holds other numbers than 0 and 1")
    _expect(1 in row["loss_mask"], "loss_mask has no 1: no token is learned")
    for name in ("logprobs", "model_logprobs"):
        if row.get(name) is not None:
            _expect(all(one <= 0 for one in row[name]), f"{name} holds a number above 0")
    _expect(type(row["reward"]) in (int, float), "reward is not a number")


_ROWS: Final[Mapping[str, Callable[[Any], None]]] = {
    "sft": _check_sft,
    "kto": _check_kto,
    "dpo": _check_dpo,
    "openai-sft": _check_openai_sft,
    "openai-dpo": _check_openai_dpo,
    "chatml": _check_chatml,
    "sharegpt": _check_sharegpt,
    "sharegpt-kto": _check_sharegpt_kto,
    "sharegpt-dpo": _check_sharegpt_dpo,
    "samples": _check_samples,
    "grpo": _check_grpo,
    "verifiers": _check_verifiers,
}


def _keys(row: Any, needed: set[str], allowed: set[str]) -> None:
    _expect(isinstance(row, dict), f"{row!r:.40} is not a JSON object")
    missing, strange = sorted(needed - row.keys()), sorted(row.keys() - needed - allowed)
    _expect(not missing, f"{', '.join(missing)} is missing")
    _expect(not strange, f"{', '.join(strange)} is not a key of this format")


def _check_tools(row: Mapping[str, Any]) -> None:
    tools = row.get("tools", [])
    _expect(isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools), "tools is not a list of schemas")


def _check_pair(row: Mapping[str, Any], names: tuple[str, str], *, openai: bool = False) -> None:
    for name in names:
        _check_answer(row[name], name, openai=openai)
    chosen, rejected = (row[name] for name in names)
    alike = same_words(chosen, rejected)
    if not chosen[0].get("tool_calls") and not rejected[0].get("tool_calls"):
        alike = chosen[0]["content"].strip() == rejected[0]["content"].strip()
    _expect(not alike, f"{' and '.join(names)} are the same")


def _check_answer(messages: Any, name: str, *, openai: bool = False) -> None:
    """Check a list of exactly one assistant message."""
    _expect(isinstance(messages, list) and len(messages) == 1, f"{name} is not one message")
    _check_message(messages[0], name, openai)
    _expect(messages[0]["role"] == "assistant", f"{name} is from the {messages[0]['role']}; give the assistant's")


def _check_messages(messages: Any, name: str, *, ends: Sequence[str], openai: bool = False) -> None:
    """Check a conversation: an optional system prompt, then the user speaks first."""
    _expect(isinstance(messages, list) and messages, f"{name} is empty, or not a list")
    for at, message in enumerate(messages):
        _check_message(message, f"{name}[{at}]", openai)
        _expect(at == 0 or message["role"] != "system", f"{name}[{at}]: a system prompt after the start")
    roles = [message["role"] for message in messages]
    opens = roles[1] if roles[0] == "system" and roles[1:] else roles[0]
    _expect(opens == "user", f"{name}: the {opens} speaks first; chat templates require the user")
    _expect(roles[-1] in ends, f"{name}: the last message is from the {roles[-1]}; give {' or '.join(ends)}")


def _check_message(message: Any, name: str, openai: bool) -> None:
    _expect(isinstance(message, dict), f"{name} is not a JSON object")
    role, calls = message.get("role"), message.get("tool_calls", [])
    _expect(role in ROLES, f"{name}: role is {role!r:.40}; known: {', '.join(ROLES)}")
    words = message.get("content")
    _expect(isinstance(words, str) or (words is None and calls), f"{name}: content is {words!r:.40}; give a text")
    _expect(role == "tool" or calls or str(words).strip(), f"{name}: the {role} says nothing")
    _expect(isinstance(calls, list) and (not calls or role == "assistant"), f"{name}: the {role} calls tools")
    for call in calls:
        function = (isinstance(call, dict) and call.get("function")) or {}
        _expect(isinstance(function, dict) and isinstance(function.get("name"), str), f"{name}: a call has no name")
        kind, want = (str, "a text") if openai else (dict, "an object")
        _expect(isinstance(function.get("arguments"), kind), f"{name}: the arguments of a call are not {want}")
    if openai and "weight" in message:
        weight = message["weight"]
        _expect(
            role == "assistant" and type(weight) is int and weight in (0, 1),
            f"{name}: weight is {weight!r:.40} for the {role}; only the assistant has one, 0 or 1",
        )


def _hash(value: Any) -> bytes:
    return hashlib.blake2b(dumps(value, sort_keys=True).encode("utf-8", "backslashreplace"), digest_size=16).digest()
