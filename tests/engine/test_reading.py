"""What a model wrote, taken apart: speech, thoughts and calls, in the forms of many models and servers."""

import pytest

from josh.messages import without_thoughts
from josh.reading import cut_reason, read_text

TOOLS = ("search_hotel", "book_hotel")
ASK = "Would you give something?"
PLAN = "They are poor, press on guilt."

THOUGHTS = {
    "think": f"<think>\n{PLAN}\n</think>\n\n{ASK}",
    "think in capitals": f"<THINK>{PLAN}</THINK>{ASK}",
    "the start in the template": f"{PLAN}\n</think>\n\n{ASK}",
    "two thoughts": f"<think>{PLAN}</think><think>Now.</think>{ASK}",
    "a thought in a thought": f"<think>{PLAN}<think>Hm.</think>Now.</think>{ASK}",
    "thinking": f"<thinking>{PLAN}</thinking>{ASK}",
    "antThinking": f"<antThinking>{PLAN}</antThinking>{ASK}",
    "thought": f"<thought>\n{PLAN}\n</thought>\n{ASK}",
    "reasoning and answer": f"<reasoning>\n{PLAN}\n</reasoning>\n<answer>\n{ASK}\n</answer>",
    "think and answer": f"<think>{PLAN}</think>\n<answer>{ASK}</answer>",
    "reflection": f"<thinking>{PLAN}<reflection>Hm.</reflection></thinking><output>{ASK}</output>",
    "Seed-OSS": f"<seed:think>{PLAN}</seed:think>{ASK}",
    "Magistral": f"[THINK]{PLAN}[/THINK]{ASK}",
    "Magistral without the start": f"{PLAN}[/THINK]{ASK}",
    "Kimi": f"◁think▷{PLAN}◁/think▷{ASK}",
    "OpenThinker": (
        f"<|begin_of_thought|>\n{PLAN}\n<|end_of_thought|>\n<|begin_of_solution|>\n{ASK}\n<|end_of_solution|>"
    ),
    "Command A": f"<|START_THINKING|>{PLAN}<|END_THINKING|><|START_RESPONSE|>{ASK}<|END_RESPONSE|>",
    "Gemma 4": f"<|channel>thought\n{PLAN}\n<channel|>{ASK}<turn|>",
    "MedGemma": f"<unused94>thought\n{PLAN}<unused95>{ASK}",
    "Granite": f"Here is my thought process:\n{PLAN}\n\nHere is my response:\n{ASK}",
    "Granite, short": f"Here's my thought process: {PLAN} Here's my response: {ASK}",
    "harmony": (
        f"<|channel|>analysis<|message|>{PLAN}<|end|><|start|>assistant<|channel|>final<|message|>{ASK}<|return|>"
    ),
    "harmony, the start in the template": (
        f"analysis<|message|>{PLAN}<|end|><|start|>assistant<|channel|>final<|message|>{ASK}"
    ),
    "harmony, with the start": f"<|start|>assistant<|channel|>final<|message|>{ASK}",
    "harmony without marks": f"analysis{PLAN}assistantfinal{ASK}",
    "harmony without marks, in lines": f"analysis\n\n{PLAN}\n\nassistantfinal\n\n{ASK}",
    "harmony, two thoughts without marks": f"analysis{PLAN}assistantanalysisNow.assistantfinal{ASK}",
    "harmony, the first mark in the template": f"{PLAN}assistantfinal{ASK}",
    "harmony, only final": f"final{ASK}",
}


@pytest.mark.parametrize("form", THOUGHTS)
def test_thoughts_are_not_said(form):
    assert read_text(THOUGHTS[form]).speech == ASK
    assert read_text(THOUGHTS[form], TOOLS).speech == ASK
    assert without_thoughts(THOUGHTS[form]) == ASK


@pytest.mark.parametrize(
    "cut",
    [
        f"<think>{PLAN}",
        f"<thinking>\n{PLAN}",
        f"<thought>{PLAN}",
        f"[THINK]{PLAN}",
        f"◁think▷{PLAN}",
        f"<seed:think>{PLAN}",
        f"<|channel|>analysis<|message|>{PLAN}",
        f"analysis{PLAN}",
        f"analysis\n{PLAN}",
        f"<|START_THINKING|>{PLAN}",
        f"Here is my thought process:\n{PLAN}",
        "",
        " \n",
        "<|im_end|>",
        "</s>",
        f"<think>{PLAN}</think>",
    ],
)
def test_a_reply_of_thoughts_alone_says_nothing(cut):
    assert read_text(cut).speech == ""
    assert read_text(cut).calls == ()


@pytest.mark.parametrize(
    "marked",
    [
        f"{ASK}<|im_end|>",
        f"{ASK}<|eot_id|>",
        f"{ASK}</s>",
        f"{ASK} </s>\n",
        f"{ASK}<|end|>",
        f"{ASK}<end_of_turn>\n",
        f"{ASK}<|end_of_text|></s>",
        f"{ASK}<\uff5cend▁of▁sentence\uff5c>",
        f"<|im_start|>assistant\n{ASK}<|im_end|>",
        f"<|start_header_id|>assistant<|end_header_id|>\n\n{ASK}<|eot_id|>",
        f"<s> {ASK}",
        f"{ASK}<|im_end|>\n<|im_start|>user\nYes, all of it.<|im_end|>\n<|im_start|>assistant\nThanks.",
        f"{ASK}<end_of_turn>\n<start_of_turn>user\nYes.",
        f"{ASK}<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nYes.",
        f"{ASK}\n<|user|>\nYes.",
    ],
)
def test_control_tokens_are_cut_and_so_is_what_another_speaker_would_say(marked):
    assert read_text(marked).speech == ASK


WISH = '{"area": "north", "stars": "4"}'
CALL = f'{{"name": "search_hotel", "arguments": {WISH}}}'
MARKED = {
    "hermes": (f"<tool_call>\n{CALL}\n</tool_call>", "hermes"),
    "hermes, cut off": ('<tool_call>\n{"name": "search_hotel", "argu', "hermes"),
    "hermes without the start": (f"{CALL}\n</tool_call>", "hermes"),
    "Qwen coder": (
        "<tool_call>\n<function=search_hotel>\n<parameter=area>\nnorth\n</parameter>\n</function>\n</tool_call>",
        "qwen3_coder",
    ),
    "Qwen coder, bare": ("<function=search_hotel>\n<parameter=area>\nnorth\n</parameter>\n</function>", "qwen3_coder"),
    "Llama, a function": (f"<function=search_hotel>{WISH}</function>", "llama3_json"),
    "Llama, python_tag": (f"<|python_tag|>{CALL}", "llama3_json"),
    "Llama, ended": (f'<|python_tag|>{{"name": "search_hotel", "parameters": {WISH}}}<|eom_id|>', "llama3_json"),
    "Mistral": (f"[TOOL_CALLS][{CALL}]", "mistral"),
    "Mistral, new": (f"[TOOL_CALLS]search_hotel[ARGS]{WISH}", "mistral"),
    "DeepSeek": (
        "<\uff5ctool▁calls▁begin\uff5c><\uff5ctool▁call▁begin\uff5c>function<\uff5ctool▁sep\uff5c>search_hotel\n"
        f"```json\n{WISH}\n```<\uff5ctool▁call▁end\uff5c><\uff5ctool▁calls▁end\uff5c>",
        "deepseek_v3",
    ),
    "DeepSeek V3.2": ('<\uff5cDSML\uff5cfunction_calls><\uff5cDSML\uff5cinvoke name="search_hotel">', "deepseek_v32"),
    "GLM": (
        "<tool_call>search_hotel\n<arg_key>area</arg_key>\n<arg_value>north</arg_value>\n</tool_call>",
        "glm45",
    ),
    "LFM2": ('<|tool_call_start|>[search_hotel(area="north")]<|tool_call_end|>', "lfm2"),
    "gpt-oss": (
        "<|channel|>analysis<|message|>Look.<|end|><|start|>assistant<|channel|>commentary to=functions.search_hotel "
        f"<|constrain|>json<|message|>{WISH}<|call|>",
        "openai",
    ),
    "gpt-oss, the recipient first": (
        f"<|start|>assistant to=functions.search_hotel<|channel|>commentary json<|message|>{WISH}<|call|>",
        "openai",
    ),
    "gpt-oss without marks": (f"analysisLook.assistantcommentary to=functions.search_hotel json{WISH}", "openai"),
    "Gemma": ('```tool_code\nsearch_hotel(area="north")\n```', "pythonic"),
    "Gemma 4": ("<|tool_call>call:search_hotel{area:north}<tool_call|>", "gemma4"),
    "Kimi": (
        f"<|tool_calls_section_begin|><|tool_call_begin|>functions.search_hotel:0<|tool_call_argument_begin|>{WISH}",
        "kimi_k2",
    ),
    "Kimi without marks": (f"functions.search_hotel:0{WISH}", "kimi_k2"),
    "MiniMax": ('<minimax:tool_call>\n<invoke name="search_hotel">\n</invoke>\n</minimax:tool_call>', "minimax_m2"),
    "Seed-OSS": ("<seed:tool_call>\n<function=search_hotel>\n</function>\n</seed:tool_call>", "seed_oss"),
    "Granite": (f"<|tool_call|>[{CALL}]", "granite"),
    "Phi": (f"functools[{CALL}]", "phi4_mini_json"),
    "Command A": ('<|START_ACTION|>[{"tool_name": "search_hotel"}]<|END_ACTION|>', "cohere_command3"),
    "Nemotron": (f"<TOOLCALL>[{CALL}]</TOOLCALL>", "nemotron"),
    "Anthropic's": ('<function_calls>\n<invoke name="search_hotel">\n</invoke>\n</function_calls>', "hermes"),
    "JSON alone": (CALL, "llama3_json"),
    "JSON alone, parameters": (f'{{"name": "search_hotel", "parameters": {WISH}}}', "llama3_json"),
    "JSON of an unknown tool": ('{"name": "make_tea", "parameters": {}}', "llama3_json"),
    "JSON of the API": (f'{{"type": "function", "function": {CALL}}}', "llama3_json"),
    "JSON of a whole message": (f'{{"tool_calls": [{{"function": {CALL}}}]}}', "llama3_json"),
}
NAMED = {
    "JSON in a fence": f"```json\n{CALL}\n```",
    "a list": f"[{CALL}]",
    "two in lines": f"{CALL}\n{CALL}",
    "cut off": '{"name": "search_hotel", "parameters": {"area": "nor',
    "an action": f'{{"action": "search_hotel", "action_input": {WISH}}}',
    "no arguments": '{"name": "search_hotel"}',
    "as Python": '[search_hotel(area="north", stars="4")]',
    "as Python, no arguments": "search_hotel()",
    "name and JSON": f"search_hotel{WISH}",
    "name and fence": f"functionsearch_hotel\n```json\n{WISH}\n```".replace("functions", "function s"),
    "as a tag": "<search_hotel><area>north</area></search_hotel>",
    "ReAct's first form": f"Thought: look.\nAction: search_hotel\nAction Input: {WISH}",
}


@pytest.mark.parametrize("form", MARKED)
@pytest.mark.parametrize("tools", [TOOLS, ()])
def test_a_call_in_the_text_is_not_said(form, tools):
    text, parser = MARKED[form]
    reading = read_text(text, tools)
    assert reading.speech == ""
    assert len(reading.calls) == 1
    assert reading.parser == parser


@pytest.mark.parametrize("form", NAMED)
def test_a_text_that_calls_an_offered_tool_is_not_said(form):
    reading = read_text(NAMED[form], TOOLS)
    assert len(reading.calls) == 1
    assert "search_hotel" not in reading.speech


def test_the_words_before_a_call_are_apart_from_it():
    reading = read_text(f"<think>{PLAN}</think>Let me look.\n<tool_call>\n{CALL}\n</tool_call><|im_end|>", TOOLS)
    assert reading.speech == "Let me look."
    assert reading.calls == (f"<tool_call>\n{CALL}\n</tool_call>",)
    assert read_text(f"Let me look.\n```json\n{CALL}\n```", TOOLS).speech == "Let me look."


SPEECH = [
    "Hello!",
    "analysis shows that every dollar counts.",
    "Analysis: children need help.",
    "An analysis by the assistant, final and complete.",
    "commentary on this is easy to find.",
    "final words: please give.",
    "Finally, would you give?",
    "The function of a charity is to help; <3 to all of you!",
    "I <3 you, and 2 < 3 > 1.",
    "Give $1 {or more} [if you can] (please).",
    'They said: {"name": "Ann", "age": 7}.',
    '{"name": "Ann", "age": 7}',
    '{"name": "Ann"}',
    "{}",
    "[1, 2]",
    '```json\n{"area": "north"}\n```',
    "```python\nprint(1)\n```",
    "My PLAN is to speak of SPEAK and PLAN.",
    "Here is my response: I would give a dollar.",
    "I think (thought: hm) that [think] is a word.",
    "Use <b>bold</b> and <i>italics</i>, <br> too.",
    "Let me reason: the answer is 7. </b>",
    "The search_hotel tool is great, and book_hotel is too.",
    "I will search_hotel (north) and then book_hotel.",
    "Action: give today!",
    "You are an assistant; the final word is yours.",
    "What is a <thought> worth to you?",
    "Line one.\n\nLine two.\n",
    "a | b | c <- d -> e",
    "**Bold** words, `code`, # hash",
]


@pytest.mark.parametrize("words", SPEECH)
def test_ordinary_words_are_said_as_they_are(words):
    for tools in ((), TOOLS):
        reading = read_text(words, tools)
        assert reading.speech == words.strip()
        assert reading.calls == ()


def test_a_long_text_of_braces_is_read_quickly():
    assert read_text("[{" * 50_000 + " search_hotel", TOOLS).calls == ()


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("stop", ""),
        ("tool_calls", ""),
        ("eos_token", ""),
        ("left", ""),
        ("length", "length"),
        ("max_tokens", "length"),
        ("MAX_TOKENS", "length"),
        ("model_length", "length"),
        ("content_filter", "content_filter"),
        ("content-filter", "content_filter"),
        ("SAFETY", "content_filter"),
    ],
)
def test_a_reply_was_cut_off_where_the_server_says_so(given, reason):
    assert cut_reason(given) == reason
