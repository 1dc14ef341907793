"""The chat templates of 28 model families: what each one learns in two worlds, or why it cannot."""

import json

import pytest
from families import BOOKING, DONE, ENDS, HELLO, INN, PERSUASION, TOOLS, WHY, a_llama, a_tokenizer, family_text
from tuning import needs_trl

from josh.cli import main
from josh.errors import UsageError
from josh.models.chat_template import ChatTemplate
from josh.runs.train.template import LeftOutError, Template

pytestmark = needs_trl

WORDS = {name: ends[-1] for name, ends in ENDS.items()} | {
    "gemma4_v5": "<turn|>",
    "cohere2": "<|END_RESPONSE|><|END_OF_TURN_TOKEN|>",
    "glm4moe": "<|user|>",
    "gptoss": "<|return|>",
    "llama3_1": "<|eot_id|>",
    "llama3_2": "<|eot_id|>",
}
"""The stop token after words, with the marks that the model writes before it."""
BEFORE = {"gptoss": "<|channel|>final<|message|>", "mistral_v03": " "}
"""What the model writes before its words."""
THINKS = ["deepseek_r1_distill", "deepseekv3", "nemotron_3_nano"]
NO_CALLS = ["lfm2", "llama3", "phi3_5", "phi4", "phi4_old", "smollm2", "smollm3"]
NO_TOOLS = ["cohere2", "gemma", "gemma3", "mistral_small31", "mistral_v01"]
PER_TURN = ["gptoss", "qwen3", "qwen3_5_think", "qwen3_6"]
FOLDS = ["gemma", "mistral_nemo", "mistral_v01", "mistral_v03"]


def hermes(*calls):
    return "\n".join(f"<tool_call>\n{json.dumps(call)}\n</tool_call>" for call in calls) + "<|im_end|>"


def coder(name, argument, value):
    inner = f"<function={name}>\n<parameter={argument}>\n{value}\n</parameter>\n</function>"
    return f"<tool_call>\n{inner}\n</tool_call>"


def glm(name, argument, value):
    inner = f"{name}\n<arg_key>{argument}</arg_key>\n<arg_value>{value}</arg_value>\n"
    return f"<tool_call>{inner}</tool_call>"


SEARCH = {"name": "search_hotel", "arguments": {"area": "north"}}
BOOK = {"name": "book_hotel", "arguments": {"name": "Inn"}}
TRAIN = {"name": "search_train", "arguments": {"day": "monday"}}
LLAMA = [
    json.dumps({"name": call["name"], "parameters": call["arguments"]}) + "<|eot_id|>" for call in (SEARCH, BOOK, TRAIN)
]
OSS = [
    f" to=functions.{call['name']}<|channel|>commentary json<|message|>{json.dumps(call['arguments'])}<|call|>"
    for call in (SEARCH, BOOK, TRAIN)
]
QWEN = [hermes(SEARCH), hermes(BOOK, TRAIN)]
CODER = [
    coder("search_hotel", "area", "north") + "<|im_end|>",
    coder("book_hotel", "name", "Inn") + "\n" + coder("search_train", "day", "monday") + "<|im_end|>",
]
GEMMA = [
    f'<|tool_call>call:{name}{{{argument}:<|"|>{value}<|"|>}}<tool_call|>'
    for name, argument, value in (
        ("search_hotel", "area", "north"),
        ("book_hotel", "name", "Inn"),
        ("search_train", "day", "monday"),
    )
]
MISTRAL = [
    json.dumps({**call, "id": identity})
    for call, identity in ((SEARCH, "aaaaaaaa1"), (BOOK, "aaaaaaaa2"), (TRAIN, "aaaaaaaa3"))
]
CALLS = {
    "gemma4_v5": [GEMMA[0] + "<|tool_response>", GEMMA[1] + GEMMA[2] + "<|tool_response>"],
    "glm4moe": [
        glm("search_hotel", "area", "north") + "<|observation|>",
        glm("book_hotel", "name", "Inn") + "\n" + glm("search_train", "day", "monday") + "<|observation|>",
    ],
    "gptoss": OSS,
    "llama3_1": LLAMA,
    "llama3_2": LLAMA,
    "mistral_nemo": [f"[TOOL_CALLS][{MISTRAL[0]}]</s>", f"[TOOL_CALLS][{MISTRAL[1]}, {MISTRAL[2]}]</s>"],
    "mistral_v03": [f"[TOOL_CALLS] [{MISTRAL[0]}]</s>", f"[TOOL_CALLS] [{MISTRAL[1]}, {MISTRAL[2]}]</s>"],
    "phi4_mini": [
        f"<|tool_call|>{json.dumps(SEARCH)}<|/tool_call|><|end|>",
        f"<|tool_call|>{json.dumps(BOOK)}{json.dumps(TRAIN)}<|/tool_call|><|end|>",
    ],
    "qwen2_5": QWEN,
    "qwen3": QWEN,
    "qwen3_5_think": CODER,
    "qwen3_6": CODER,
    "qwen3_instruct_2507": QWEN,
}
"""What the model writes in its two turns with calls; families with one call per message have three such turns."""


@pytest.fixture(scope="module")
def family():
    """Returns the training template of a family, with the values for its variables."""
    made = {}

    def make(name, **values):
        if name not in made:
            made[name] = a_tokenizer(family_text(name), ENDS[name])
        tokenizer = made[name]
        stops = tokenizer.convert_tokens_to_ids(ENDS[name])
        return Template(ChatTemplate(tokenizer, None, values), name, stops, len(tokenizer))

    return make


def learned(template, example):
    """The texts that an example learns, one for each run of learned tokens."""
    spans, before = [], False
    for token, own in zip(example.ids, example.learned, strict=True):
        if own and not before:
            spans.append([])
        if own:
            spans[-1].append(token)
        before = own
    return [template.tokenizer.decode(span) for span in spans]


def words(name, *said):
    return [f"{BEFORE.get(name, '')}{text}{WORDS[name]}" for text in said]


@pytest.mark.parametrize("name", sorted(set(ENDS) - set(THINKS)))
def test_every_turn_of_words_is_learned_with_its_stop_token_and_nothing_else(family, name):
    template = family(name)
    examples = template.labelled(PERSUASION, None, 7)
    assert [text for one in examples for text in learned(template, one)] == words(name, HELLO, WHY)
    assert len(examples) == (2 if name in PER_TURN else 1)
    assert ("folded" in template.forms) == (name in FOLDS)


@pytest.mark.parametrize("name", sorted(set(ENDS) - set(THINKS)))
def test_every_turn_follows_exactly_the_prompt_that_the_model_is_asked_with(family, name):
    template = family(name)
    starts = [
        one.ids[:start]
        for one in template.labelled(PERSUASION, None, 7)
        for start, own in enumerate(one.learned)
        if own and not one.learned[start - 1]
    ]
    for given, end in zip(starts, (2, 4), strict=True):
        asked, _ = template.chat.prompt(PERSUASION[:end])
        assert given[: len(asked)] == asked
        # An empty thought is given too, where the template writes one before the words.
        thought = template.tokenizer.decode(given[len(asked) :]).strip()
        assert thought in ("", "<think>\n\n</think>", "</think>", "<think></think>")


@pytest.mark.parametrize("name", sorted(CALLS))
def test_calls_are_learned_whole_and_with_their_stop_token(family, name):
    template = family(name)
    spoken = [text for one in template.labelled(BOOKING, TOOLS, 7) for text in learned(template, one)]
    calls = CALLS[name]
    assert spoken == [calls[0], *words(name, INN), *calls[1:], *words(name, DONE)]


@pytest.mark.parametrize("name", NO_CALLS)
def test_a_template_that_shows_tools_but_no_calls_is_refused(family, name):
    with pytest.raises(UsageError, match=r"leaves out tool calls, here 'search_hotel' in line 7.*--chat_template FILE"):
        family(name).labelled(BOOKING, TOOLS, 7)


@pytest.mark.parametrize("name", NO_TOOLS)
def test_a_template_without_a_role_for_results_leaves_the_row_out(family, name):
    with pytest.raises(LeftOutError, match=r"it refuses the dialogue: .*(alternate|only user).*--agent react"):
        family(name).labelled(BOOKING, TOOLS, 7)


@pytest.mark.parametrize("name", THINKS)
@pytest.mark.parametrize(("messages", "tools"), [(PERSUASION, None), (BOOKING, TOOLS)])
def test_a_prompt_that_opens_a_thought_is_refused_with_that_reason(family, name, messages, tools):
    with pytest.raises(UsageError, match=r"opens a thought in the prompt.*in line 7 has none.*give --chat_template"):
        family(name).labelled(messages, tools, 7)


def test_the_way_out_of_the_thought_is_named_and_works(family):
    with pytest.raises(UsageError, match=r"""--chat_template_kwargs '\{"enable_thinking": false\}'"""):
        family("nemotron_3_nano").labelled(PERSUASION, None, 1)
    for name in ("nemotron_3_nano", "qwen3", "qwen3_6"):
        template = family(name, enable_thinking=False)
        spoken = [text for one in template.labelled(PERSUASION, None, 1) for text in learned(template, one)]
        assert spoken == words(name, HELLO, WHY)
        assert not template.thoughts


def test_a_template_without_thoughts_in_its_prompt_makes_a_thinking_family_trainable(family):
    text = family_text("deepseek_r1_distill").replace("<think>\\n", "")
    tokenizer = a_tokenizer(text, ENDS["deepseek_r1_distill"])
    template = Template(ChatTemplate(tokenizer), "r1", [tokenizer.eos_token_id])
    assert [learned(template, one) for one in template.labelled(PERSUASION, None, 1)] == [
        words("deepseek_r1_distill", HELLO, WHY)
    ]
    with pytest.raises(UsageError, match="puts no stop token after the assistant's turn in line 1"):
        template.labelled(BOOKING[:5], TOOLS, 1)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("method", ["sft", "dpo", "kto"])
@pytest.mark.parametrize("name", ["gemma", "qwen3", "gptoss", "glm4moe", "mistral_v03"])
def test_a_family_is_trained_from_end_to_end(name, method, tmp_path, capsys):
    model = a_llama(a_tokenizer(family_text(name), ENDS[name]), ENDS[name], tmp_path / "model")
    prompt, better = PERSUASION[:4], [PERSUASION[4]]
    worse = [{"role": "assistant", "content": "Goodbye."}]
    row = {
        "sft": [{"messages": PERSUASION}] * 4,
        "dpo": [{"prompt": prompt, "chosen": better, "rejected": worse}] * 4,
        "kto": [{"prompt": prompt, "completion": one, "label": one is better} for one in (better, worse)] * 2,
    }[method]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(f"{json.dumps(one)}\n" for one in row), encoding="utf-8")
    flags = ["--data", str(data), "--model", str(model), "--preset", "tiny", "--out", str(tmp_path / "out")]
    assert main(["train", method, *flags, "--epochs", "1"]) == 0
    [made] = (tmp_path / "out").iterdir()
    assert (made / "chat_template.jinja").read_text(encoding="utf-8") == family_text(name)
    assert f"use it with --model hf:{model}+{made}" in capsys.readouterr().out
