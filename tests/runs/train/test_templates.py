"""Chat templates: which tokens are learned, and which templates would spoil a training."""

from pathlib import Path

import pytest
from tuning import ASK, MARKED, MORE, PLAIN, TALK, THANKS, needs_trl, says

from josh.errors import UsageError
from josh.runs.train.base import training_variant
from josh.runs.train.data import Row, Template, fitting_template, prepare


@pytest.fixture
def template(tiny):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny)

    def make(text, stop="<|end|>"):
        return Template(tokenizer, "tiny", [tokenizer.convert_tokens_to_ids(stop)], text)

    return make


@needs_trl
@pytest.mark.parametrize("text", [MARKED, PLAIN])
def test_the_assistants_words_and_their_stop_token_are_learned_and_nothing_else(template, text):
    template = template(text)
    ids, mask = template.labelled(TALK)
    learned = [token for token, own in zip(ids, mask, strict=True) if own]
    assert template.tokenizer.decode(learned) == f"{MORE}<|end|>{THANKS}<|end|>"


@needs_trl
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (MARKED.replace("{{ m['content'] }}<|end|>{% endg", "{{ m['content'] }}{% endg"), "the stop token is outside"),
        (
            MARKED.replace("{% generation %}{{ m['content'] }}<|end|>", "{{ m['content'] }}<|end|>{% generation %}"),
            "is empty",
        ),
        (
            MARKED.replace("{% if m['role'] == 'assistant' %}", "{% if m['role'] == 'assistant' and loop.last %}"),
            "line 3 is empty for message 2",
        ),
        (
            MARKED.replace("%}<|assistant|>{% endif %}", "%}<|assistant|><think>{% endif %}"),
            "removes the <think> block from earlier turns",
        ),
        (
            PLAIN.replace("{% if add", "{% if not add_generation_prompt %}<|pad|>{% endif %}{% if add"),
            "ends the text with",
        ),
        (
            PLAIN.replace("{{ m['content'] }}", "{% if loop.last %}<think></think>{% endif %}{{ m['content'] }}"),
            "removes the <think> block from earlier turns",
        ),
        (PLAIN.replace("{% for", "<|system|>{{ messages|length }}{% for"), "when another turn follows"),
        (
            "{% for m in messages %}{% if m['role'] == 'user' %}{{ m['content'] }}{% endif %}{% endfor %}",
            "in line 3",
        ),
    ],
)
def test_a_template_that_would_spoil_the_training_is_refused_by_its_feature(template, text, sentence):
    with pytest.raises(UsageError) as error:
        prepare([TALK], "sft", fitting_template(template(text), [TALK], lambda _: None), 512, Path("rows.jsonl"))
    assert sentence in str(error.value)


@needs_trl
def test_a_template_may_merge_the_assistants_adjacent_messages(template):
    said = [says("user", ASK), says("assistant", MORE), says("assistant", THANKS), says("user", "?")]
    row = Row(1, {"messages": [*said, says("assistant", MORE)]})
    ends = "{% if loop.last or loop.nextitem['role'] != 'assistant' %}<|end|>{% endif %}"
    begins = "{% if loop.first or loop.previtem['role'] != 'assistant' %}<|assistant|>{% endif %}"
    merging = MARKED.replace("<|assistant|>{% gen", f"{begins}{{% gen").replace("<|end|>{% endg", f"{ends}{{% endg")
    template = template(merging)
    ids, mask = template.labelled(row)
    learned = [token for token, own in zip(ids, mask, strict=True) if own]
    assert template.tokenizer.decode(learned) == f"{MORE}{THANKS}<|end|>{MORE}<|end|>"


@needs_trl
def test_a_template_may_have_a_variant_for_training(template):
    spoilt = template(PLAIN.replace("{% for", "<|system|>{{ messages|length }}{% for"))
    assert fitting_template(spoilt, [TALK], lambda _: MARKED).text == MARKED
    assert fitting_template(template(PLAIN), [TALK], lambda _: MARKED).text == PLAIN


@needs_trl
def test_a_template_that_lets_only_the_user_open_names_the_opener(template):
    strict = template("{% if messages[0]['role'] != 'user' %}{{ raise_exception('user first') }}{% endif %}" + PLAIN)
    row = Row(1, {"messages": [says("assistant", THANKS), says("user", "?"), says("assistant", MORE)]})
    with pytest.raises(
        UsageError, match=r"refuses dialogues that begin with the assistant \(user first\).*\(chat started\)"
    ):
        prepare([row], "sft", strict, 512, Path("rows.jsonl"))


CALL = {"type": "function", "id": "c", "function": {"name": "book", "arguments": {"day": "monday"}}}
BOOKED = [
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "done", "tool_call_id": "c"},
    says("assistant", MORE),
]


@pytest.fixture
def shipped(tiny):
    """Real families' templates, as TRL ships them, for a tokenizer that knows their special tokens."""
    import trl
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny)
    ends = ["<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end|>"]
    tokenizer.add_special_tokens({"additional_special_tokens": [*ends, "<|im_start|>", "<|start_header_id|>"]})
    tokenizer.bos_token = "<|begin_of_text|>"

    def make(name):
        tokenizer.chat_template = (Path(trl.__file__).parent / "chat_templates" / f"{name}.jinja").read_text()
        return Template(tokenizer, name, tokenizer.convert_tokens_to_ids(ends))

    return make


@needs_trl
@pytest.mark.parametrize(
    ("name", "row", "learned"),
    [
        ("llama3_1", TALK, f"{MORE}<|eot_id|>{THANKS}<|eot_id|>"),
        ("qwen3_instruct_2507", TALK, f"{MORE}<|im_end|>{THANKS}<|im_end|>"),
        ("gemma3", TALK, f"{MORE}<end_of_turn>{THANKS}<end_of_turn>"),
        # The hybrid takes think blocks out of earlier turns; TRL's variant keeps them.
        ("qwen3", TALK, f"<think>\n\n</think>\n\n{MORE}<|im_end|><think>\n\n</think>\n\n{THANKS}<|im_end|>"),
        (
            "qwen2_5",
            Row(1, {"messages": [says("user", ASK), *BOOKED]}),
            '<tool_call>\n{"name": "book", "arguments": {"day": "monday"}}\n</tool_call><|im_end|>'
            f"{MORE}<|im_end|>",
        ),
    ],
)
def test_the_families_templates_are_masked_to_the_assistants_words(shipped, name, row, learned):
    template = fitting_template(shipped(name), [row], training_variant)
    ids, mask = template.labelled(row)
    assert template.tokenizer.decode([token for token, own in zip(ids, mask, strict=True) if own]) == learned


@needs_trl
@pytest.mark.parametrize(
    ("name", "messages", "sentence"),
    [
        ("phi3", TALK.content["messages"], "it ends the text with '<|end|>'"),
        ("gemma3", [*TALK.content["messages"][1:]], "refuses dialogues that begin with the assistant"),
        ("llama3", [says("user", ASK), *BOOKED], "leaves out tool calls, here 'book'"),
    ],
)
def test_the_families_that_cannot_be_trained_so_are_refused(shipped, name, messages, sentence):
    rows = [Row(1, {"messages": messages})]
    with pytest.raises(UsageError) as error:
        prepare(rows, "sft", fitting_template(shipped(name), rows, training_variant), 512, Path("rows.jsonl"))
    assert sentence in str(error.value)
