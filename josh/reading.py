"""Reads what a chat model wrote: speech, thoughts, and calls of tools that the server left in the text.

Servers are expected to separate these, and many do not: a chat template writes half of a bracket, a parser is missing
or is that of another model, special tokens are dropped or kept. What is not speech must never be said, and never be
learned as speech. The two tables below, `THOUGHTS` and `CALLS`, name the forms.
"""

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

THOUGHTS: Final = (
    # start, end, and whether a start without an end counts anywhere; if not, only at the beginning of a line
    (r"<think>", r"</think>", True),  # DeepSeek R1, Qwen 3, MiniMax, GLM and many more
    (r"<(?:ant)?thinking>", r"</(?:ant)?thinking>", False),
    (r"<thoughts?>", r"</thoughts?>", False),  # EXAONE Deep
    (r"<reasoning>", r"</reasoning>", False),
    (r"<reflection>", r"</reflection>", False),
    (r"<scratchpad>", r"</scratchpad>", False),
    (r"<seed:think>", r"</seed:think>", True),  # Seed-OSS
    (r"\[THINK\]", r"\[/THINK\]", True),  # Magistral
    (r"◁think▷", r"◁/think▷", True),  # Kimi
    (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>", True),  # Sky-T1, OpenThinker
    (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>", True),  # Command A
    (r"<\|channel>thought\b", r"<channel\|>", True),  # Gemma 4
    (r"<unused94>(?:thought)?", r"<unused95>", True),  # MedGemma
    (r"<\|inner_prefix\|>", r"<\|inner_suffix\|>", True),  # Apertus
    (r"\A\s*Here(?: is|'s) my thought process:", r"Here(?: is|'s) my response:", True),  # Granite
)
"""The brackets around thoughts, as regular expressions. Upper and lower case differ only in those with `[`."""

ANSWERS: Final = (
    (r"<answer>", r"</answer>"),
    (r"<response>", r"</response>"),
    (r"<output>", r"</output>"),
    (r"<\|begin_of_solution\|>", r"<\|end_of_solution\|>"),
    (r"<\|START_(?:RESPONSE|TEXT)\|>", r"<\|END_(?:RESPONSE|TEXT)\|>"),
)
"""The brackets around an answer, which are removed where they enclose everything that is said."""

CALLS: Final = (
    # how it begins, and vLLM's name of the parser that reads it; the first that fits counts
    (r"<\|?tool_call\|?>\s*[\w.-]+\s*(?:\n\s*)?<arg_key>", "glm45"),
    (r"<minimax:tool_call>", "minimax_m2"),
    (r"<seed:tool_call>", "seed_oss"),
    (r"(?:<tool_call>\s*)?<function=[\w.-]+>\s*(?:<parameter=|</function>)", "qwen3_coder"),
    (r"<function=[\w.-]+>?\s*\{", "llama3_json"),
    (r"<[|\uff5c]tool▁calls?▁begin[|\uff5c]>|<[|\uff5c]tool▁sep[|\uff5c]>", "deepseek_v3"),
    (r"<[|\uff5c]DSML[|\uff5c]", "deepseek_v32"),
    (r"<\|tool_calls?_section_begin\|>|<\|tool_call_begin\|>|\bfunctions\.[\w-]+:\d+\s*\{", "kimi_k2"),
    (r"<\|tool_call_start\|>", "lfm2"),
    (r"\[TOOL_CALLS\]", "mistral"),
    (r"<\|python_tag\|>", "llama3_json"),
    (r"<\|START_ACTION\|>", "cohere_command3"),
    (r"<\|channel\|>[^<]*\bto=[\w.]+|\bto=functions\.\w+", "openai"),
    (r"<\|action_start\|>", "internlm"),
    (r"<steptml:", "step3"),
    (r"<TOOLCALL>", "nemotron"),
    (r"\bfunctools\[", "phi4_mini_json"),
    (r"<start_function_call>", "functiongemma"),
    (r"<\|tool_call>", "gemma4"),
    (r"<\|tool_call\|>", "granite"),
    (r"<tool_calls>|<function_calls?>|<invoke name=", "hermes"),
    (r"<tool_call>", "hermes"),
    (
        r"(?s)\A(?!.*<(?:tool_call|function)\b).*?</(?:tool_call|function)>",
        "hermes",
    ),  # the token that begins the call was dropped
    (r"<function=[\w.-]+>", "qwen3_coder"),
    (r"```tool_(?:code|call)\b", "pythonic"),
)
"""Marks that only a call has, wherever they stand."""

HOW_TO_SERVE: Final = (
    "start the server so that it reads calls: vLLM with --enable-auto-tool-choice --tool-call-parser {parser}, SGLang "
    "with --tool-call-parser, llama.cpp with --jinja; or take --agent react"
)
"""The way out where a server leaves calls in the text; `parser` is vLLM's name of a parser."""

_ENDS_TURN = re.compile(
    r"<\|(?:im_end|eot_id|eom_id|end_of_text|endoftext|eot|return|call|END_OF_TURN_TOKEN|assistant_end|role_end)\|>"
    r"|<end_of_turn>|<turn\|>|<\uff5cend▁of▁sentence\uff5c>|<\|im_start\|>\s*(?:user|system|tool)\b"
    r"|<\|start_header_id\|>\s*(?:user|system|tool|ipython)\b|<start_of_turn>\s*user\b|<\|(?:user|observation)\|>"
)
"""Tokens that end the model's turn: a text after them is another speaker's."""
_BEFORE = re.compile(
    r"\A\s*(?:<\|im_start\|>\s*(?:assistant\b)?|<\|start_header_id\|>\s*\w*\s*<\|end_header_id\|>|<start_of_turn>\s*"
    r"(?:model\b)?|<\|turn>\s*(?:model\b)?|<\|assistant\|>|<\|begin_of_text\|>|<\|CHATBOT_TOKEN\|>|<bos>|<s>|\[/INST\]"
    r"|<\|start\|>\s*(?:assistant\b)?|<\|START_OF_TURN_TOKEN\|>)"
)
_AFTER = re.compile(
    r"\s*(?:</s>|<eos>|<pad>|\[EOS\]|\[INST\]|<\|end\|>|<\|[A-Za-z_]{2,30}\|>|<\uff5c[^\uff5c\n]{2,30}\uff5c>)\s*\Z"
)
_BARE_CHANNEL = re.compile(
    r"\A\s*(?:(?:analysis|commentary)(?=[A-Z\s\"'(])|final(?=[A-Z]))"
    r"|\bassistant(?:analysis|commentary|final)(?=\W|[A-Z])"
)
_CHANNEL_BEGINS = re.compile(r"\A\s*(?=analysis|commentary|final)|(?:\b|(?<=\S))assistant(?=analysis|commentary|final)")
_CHANNEL_HEAD = re.compile(r"(analysis|commentary|final)(?:\s*to=([\w.]+)\s*(?:json)?)?")
_MOST_BRACES = 50
"""Most places of a text at which a call without a mark is looked for."""
_NAMES: Final = ("name", "function", "tool", "tool_name", "action")
_ARGUMENTS: Final = ("arguments", "parameters", "args", "input", "action_input", "tool_input")
_JSON = json.JSONDecoder(strict=False)

LENGTH, FILTERED = "length", "content_filter"
_CUT: Final = {
    LENGTH: ("length", "max_tokens", "max_output_tokens", "max_length", "model_length", "token_limit", "incomplete"),
    FILTERED: (
        "content_filter",
        "content_filtered",
        "safety",
        "recitation",
        "blocklist",
        "prohibited_content",
        "refusal",
    ),
}


@dataclass(frozen=True, slots=True)
class Reading:
    """What a model wrote, taken apart.

    Attributes:
        speech: its words, without blanks around them; empty where it said nothing.
        calls: the calls that stand in its text, from their mark on; the server should have read them.
        parser: vLLM's name of the parser that reads such calls; empty without calls.
    """

    speech: str
    calls: tuple[str, ...] = ()
    parser: str = ""


def read_text(text: str, tools: Collection[str] = ()) -> Reading:
    """Takes the text of a reply apart.

    Args:
        text: the text, as the server gave it.
        tools: names of the tools that were offered. Without the marks of `CALLS`, a text is a call only if it names
            one of them, or if all of it is a JSON object with a name and arguments and nothing else.
    """
    said, calls, parser = _in_channels(text)
    spoken = without_thoughts(said)
    marked = list(_marked(spoken))
    found = (min(at for at, _ in marked), marked[0][1]) if marked else _unmarked(spoken, tools)
    if found is not None:
        at, parser = found
        calls = (*calls, spoken[at:].strip())
        spoken = spoken[:at].rstrip()
    return Reading(spoken, calls, parser)


def without_thoughts(text: str) -> str:
    """Returns a text without thoughts, control tokens and blanks around it.

    The end of a thought may be missing, because the reply was cut off; its start, because the chat template wrote it.
    """
    text = _in_channels(text)[0]
    while (before := _BEFORE.match(text)) is not None:
        text = text[before.end() :]
    for start, end, anywhere in THOUGHTS:
        text = _outside(text, start, end, anywhere)
    ended = _ENDS_TURN.search(text)
    text = text[: ended.start()] if ended else text
    while (before := _BEFORE.match(text)) is not None:
        text = text[before.end() :]
    while (after := _AFTER.search(text)) is not None:
        text = text[: after.start()]
    text = text.strip()
    for start, end in ANSWERS:
        opened = re.match(start, text, re.IGNORECASE)
        if opened:
            text = re.sub(rf"\s*{end}\s*\Z", "", text[opened.end() :], flags=re.IGNORECASE).strip()
    return text


def cut_reason(finish_reason: str) -> str:
    """Returns `LENGTH` or `FILTERED` where a reply was cut off, by the reason that the server gave; else nothing."""
    given = finish_reason.lower().replace("-", "_")
    return next((reason for reason, names in _CUT.items() if given in names), "")


def _outside(text: str, start: str, end: str, anywhere: bool) -> str:
    """Returns a text without what stands between two brackets, either of which may be missing."""
    flags = re.DOTALL | re.MULTILINE if "[" in start else re.DOTALL | re.MULTILINE | re.IGNORECASE
    at_beginning = start.startswith(r"\A")
    if not re.search(start if at_beginning else f"{start}|{end}", text, flags):
        return text
    text = re.sub(f"{start}.*?{end}", "", text, flags=flags)
    ends = list(re.finditer(end, text, flags))
    if ends and not at_beginning:
        text = text[ends[-1].end() :]
    opened = re.search(start if anywhere else rf"^[ \t]*{start}", text, flags)
    return text[: opened.start()] if opened else text


def _in_channels(text: str) -> tuple[str, tuple[str, ...], str]:
    """Reads gpt-oss's channels; returns what is said, the calls, and their parser. Other texts stay as they are."""
    marked = "<|channel|>" in text or "<|message|>" in text
    if not marked and not _BARE_CHANNEL.search(text):
        return text, (), ""
    said: dict[str, list[str]] = {}
    calls = []
    for channel, recipient, words in _channels(text) if marked else _bare_channels(text):
        if recipient:
            calls.append(f"to={recipient} {words}".strip())
        else:
            said.setdefault(channel, []).append(words)
    if not marked and not calls and "final" not in said and not re.match(r"\s*(?:analysis|commentary)[A-Z\n]", text):
        return text, (), ""  # an ordinary word
    # What the model says before a call ("commentary") is its speech where there is no answer.
    spoken = next((said[channel] for channel in ("final", "commentary") if channel in said), [])
    return "\n".join(spoken).strip(), tuple(calls), "openai" if calls else ""


def _channels(text: str) -> Iterator[tuple[str, str, str]]:
    """Yields each message's channel, recipient and words."""
    for part in re.split(r"<\|start\|>|<\|end\|>|<\|return\|>|<\|call\|>", text):
        header, mark, words = part.partition("<|message|>")
        if mark or "<|channel|>" in header:
            name = header.rpartition("<|channel|>")[2]
            channel, recipient = re.match(r"\s*(\w+)", name), re.search(r"to=([\w.]+)", header)
            yield channel[1] if channel else "", recipient[1] if recipient else "", words.strip()


def _bare_channels(text: str) -> Iterator[tuple[str, str, str]]:
    """Yields the same where the marks were dropped: `analysis...assistantfinal...`."""
    for part in _CHANNEL_BEGINS.sub("\0", text).split("\0"):
        head = _CHANNEL_HEAD.match(part)
        if head:
            yield head[1], head[2] or "", part[head.end() :].strip()


def _marked(text: str) -> Iterator[tuple[int, str]]:
    """Yields where the first call with each mark begins, and the mark's parser, in the order of `CALLS`."""
    for mark, parser in CALLS:
        found = re.search(mark, text, re.IGNORECASE)
        if found:
            yield found.start(), parser


def _unmarked(text: str, tools: Collection[str]) -> tuple[int, str] | None:
    """Returns where a call without a mark begins, and its parser; None without one."""
    value, end = _value(text)
    if end == len(text) and _is_call(value, tools, whole=True):
        return 0, "llama3_json"
    if not tools:
        return None
    name, key, given = ("|".join(map(re.escape, words)) for words in (tools, _NAMES, _ARGUMENTS))
    patterns = (
        (rf"\A\[?\s*(?:print\()?(?:{name})\((?:\s*\w+\s*=.*|\s*)\)\s*\)?\s*\]?\Z", "pythonic"),
        (rf"\A(?:{name})\s*\{{", "mistral"),
        (rf"\b(?:{name})\s*```(?:json)?\s*\{{", "deepseek_v3"),
        (rf"\A<(?:{name})>", "hermes"),
        (rf"(?m:^)\s*Action:\s*(?:{name})\s*(?m:$)", "hermes"),
        (rf'\A\[?\s*\{{\s*"(?:{key})"\s*:\s*"(?:{name})"\s*,\s*"(?:{given})"', "llama3_json"),
    )
    for pattern, parser in patterns:
        found = re.search(pattern, text, re.DOTALL)
        if found:
            return found.start(), parser
    for brace in islice(re.finditer(r"(?:```\w*\s*)?(?=\{|\[\s*\{)", text), _MOST_BRACES):
        if _is_call(_value(text[brace.end() :])[0], tools, whole=False):
            return brace.start(), "llama3_json"
    return None


def _value(text: str) -> tuple[Any, int]:
    """Returns the JSON value that a text begins with, and where it ends; None and 0 for none."""
    if text[:1] not in ("{", "["):
        return None, 0
    try:
        return _JSON.raw_decode(text)
    except (ValueError, RecursionError):
        return None, 0


def _is_call(value: Any, tools: Collection[str], *, whole: bool) -> bool:
    """Returns whether a JSON value is a call, or a list of calls.

    Args:
        value: the value.
        tools: names of the tools that were offered.
        whole: whether the value is a whole text; it then need not name one of the tools.
    """
    if isinstance(value, list):
        return bool(value) and all(_is_call(one, tools, whole=whole) for one in value)
    if not isinstance(value, dict):
        return False
    inner = next((value[key] for key in ("tool_calls", "function") if isinstance(value.get(key), list | dict)), None)
    if inner is not None:
        return _is_call(inner, tools, whole=whole)
    name = next((value[key] for key in _NAMES if isinstance(value.get(key), str)), None)
    given = {key for key in _ARGUMENTS if isinstance(value.get(key), dict | str)}
    if name is not None and name.removeprefix("functions.") in tools:
        return bool(given) or value.keys() <= {*_NAMES, "id", "type"}
    alone = whole and name is not None and value.keys() <= {"name", "id", "type", *given}
    return alone and bool(given & {"arguments", "parameters"})
