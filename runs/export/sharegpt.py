"""Rows in the ShareGPT form of LLaMA-Factory, and the entries that `dataset_info.json` needs for them.

https://llamafactory.readthedocs.io/en/latest/getting_started/data_preparation.html
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from josh.messages import Message, dumps
from josh.runs.export.messages import Row, Tools, UnexportableError, for_trl

_COLUMNS: Final = {"messages": "conversations", "system": "system", "tools": "tools"}
DATASETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "sharegpt": {"formatting": "sharegpt", "columns": _COLUMNS},
    "sharegpt-kto": {"formatting": "sharegpt", "columns": {**_COLUMNS, "kto_tag": "kto_tag"}},
    "sharegpt-dpo": {
        "formatting": "sharegpt",
        "ranking": True,
        "columns": {**_COLUMNS, "chosen": "chosen", "rejected": "rejected"},
    },
}
"""A file's entry in `dataset_info.json` without its name, by format. Without it, LLaMA-Factory drops the columns."""


def sharegpt(messages: Sequence[Message], _: int, tools: Tools) -> Row:
    """Returns a row of a whole conversation. Raises UnexportableError where it has no such form."""
    return _row(messages, tools)


def sharegpt_kto(prompt: Sequence[Message], message: Message, label: bool, tools: Tools) -> Row:
    """Returns a row of one message with its label, after its prompt. Raises UnexportableError."""
    return _row([*prompt, message], tools) | {"kto_tag": label}


def sharegpt_dpo(prompt: Sequence[Message], chosen: Message, rejected: Message, _: float, tools: Tools) -> Row:
    """Returns a row of a pair after its prompt. Raises UnexportableError."""
    better, worse = (_row([*prompt, one], tools) for one in (chosen, rejected))
    *before, best = better["conversations"]
    return {**better, "conversations": before, "chosen": best, "rejected": worse["conversations"][-1]}


def sharegpt_alternates(speakers: Sequence[str]) -> bool:
    """Returns whether the speakers alternate: the other side at even places, the learner at odd places and last."""
    sides = (("human", "observation"), ("gpt", "function_call"))
    return len(speakers) % 2 == 0 and all(speaker in sides[at % 2] for at, speaker in enumerate(speakers))


def _row(messages: Sequence[Message], tools: Tools) -> Row:
    first = messages[0]["role"] == "system"
    turns: list[dict[str, str]] = []
    for message in messages[first:]:
        turn = _turn(for_trl(message))
        if turns and turn["from"] == turns[-1]["from"] == "observation":
            # Parallel calls are one turn, so their results are one turn too.
            turns[-1]["value"] += f"\n{turn['value']}"
        else:
            turns.append(turn)
    if not sharegpt_alternates([turn["from"] for turn in turns]):
        raise UnexportableError("conversations whose roles do not alternate")
    row: Row = {"conversations": turns}
    if first:
        row["system"] = messages[0]["content"]
    if tools:
        row["tools"] = dumps(list(tools))
    return row


def _turn(message: Message) -> dict[str, str]:
    content, calls = message.get("content") or "", message.get("tool_calls")
    if calls:
        if content:
            raise UnexportableError("messages that speak and call a tool")
        made = [{key: call["function"].get(key) for key in ("name", "arguments")} for call in calls]
        return {"from": "function_call", "value": dumps(made if len(made) > 1 else made[0])}
    names = {"user": "human", "assistant": "gpt", "tool": "observation"}
    if message["role"] not in names:
        raise UnexportableError("conversations whose roles do not alternate")
    return {"from": names[message["role"]], "value": content}
