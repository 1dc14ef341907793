"""What a server's answer holds, and which refusals say that the conversation is too long."""

import httpx
import pytest
from openai import APIError, APIStatusError

from josh.models.answer import read_answer
from josh.models.causes import Message, failure
from josh.models.chat import ContextError, ModelError, RetryableError
from josh.models.too_long import says_too_long
from josh.redact import Redactor

REQUEST = httpx.Request("POST", "http://localhost/v1/chat/completions")


def refused(status, text):
    """The openai SDK's error for an answer that refuses a request."""
    answer = httpx.Response(status, request=REQUEST)
    return APIStatusError(text, response=answer, body={"message": text})


TOO_LONG = [
    "This model's maximum context length is 4097 tokens. However, your messages resulted in 5000 tokens.",
    "{'code': 'context_length_exceeded'}",
    "exceed_context_size_error: the request exceeds the available context size, try increasing it",
    "request (1300 tokens) exceeds the available context size (1024 tokens)",
    "litellm.ContextWindowExceededError: litellm.BadRequestError: OpenAIException",
    "The decoder prompt (length 2000) is longer than the maximum model length of 1024.",
    "The input (1234 tokens) is longer than the model's context length (1024 tokens).",
    "Requested token count exceeds the model's maximum context length of 1024 tokens.",
    "Requested tokens (600) exceed context window of 512",
    "prompt is too long: 210000 tokens > 200000 maximum",
    "Input is too long for requested model.",
    "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    "the input length exceeds the context length",
    "prompt too long; exceeded max context length by 4 tokens",
    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4000 `inputs` tokens",
    "Input validation error: `inputs` must have less than 4095 tokens. Given: 5000",
    "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
    "Please reduce the length of the messages or completion.",
    "too many tokens: total number of tokens in the prompt cannot exceed 4081",
    "Trying to keep the first 5000 tokens when context the overflows.",
    "Prompt length 9000 is greater than max_seq_len 8192",
    "This model's maximum prompt length is 131072 but the request contains 140000 tokens.",
    "Range of input length should be [1, 30720]",
]
OTHER = [
    "max_tokens is too large: 9000. This model supports at most 4096 completion tokens",
    "temperature: only 1 is supported",
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
    "tool_calls[0].function.name does not match ^[a-zA-Z0-9_-]+$",
    "Request too large for model on tokens per minute (TPM): Limit 6000, Requested 7000",
    "The response was filtered due to the prompt triggering the content management policy.",
    "string too long. Expected a string with maximum length 1024",
    "the request header is too large",
    "in this context the tool is unknown",
]


@pytest.mark.parametrize("text", TOO_LONG)
def test_a_servers_words_for_too_long_a_conversation_are_known(text):
    assert says_too_long(text)


@pytest.mark.parametrize("text", OTHER)
def test_other_refusals_do_not_say_that_a_conversation_is_too_long(text):
    assert not says_too_long(text)


def only(message, finish="stop"):
    (reply,) = read_answer({"choices": [{"message": message, "finish_reason": finish}]}, 1).replies
    return reply


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": "Hello."}, "Hello."),
        ({"content": None}, ""),
        ({}, ""),
        ({"content": None, "refusal": "I cannot help with that."}, "I cannot help with that."),
        ({"content": "", "refusal": "No."}, "No."),
        ({"content": "Hello.", "refusal": None}, "Hello."),
        ({"content": "Hello.", "refusal": "No."}, "Hello."),
        ({"content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo."}]}, "Hello."),
        ({"content": [{"text": "Hello."}]}, "Hello."),
        ({"content": ["Hello."]}, "Hello."),
        ({"content": [{"type": "refusal", "refusal": "No."}]}, "No."),
        (
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Press."}]}, {"text": "Hello."}]},
            "Hello.",
        ),
        ({"content": [{"type": "reasoning", "text": "Press."}, {"type": "output_text", "text": "Hello."}]}, "Hello."),
        ({"content": "", "reasoning_content": "Press on guilt."}, ""),
    ],
)
def test_a_message_holds_words_and_a_refusal_but_no_thoughts(message, text):
    assert only(message).text == text


def test_a_reply_keeps_why_it_ended():
    assert only({"content": "Hel"}, "length").finish_reason == "length"
    assert only({"content": "Hello."}, None).finish_reason == "stop"


@pytest.mark.parametrize("wrong", [{}, {"choices": []}, {"choices": None}, {"choices": [{}]}, [], None, "Hello."])
def test_another_shape_is_refused(wrong):
    with pytest.raises((TypeError, ValueError, KeyError, AttributeError, IndexError)):
        read_answer(wrong, 1)


class ContextWindowExceededError(APIError):
    """As litellm raises it: the class says what the text may not say."""

    status_code = 400


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ContextWindowExceededError("litellm: refused", REQUEST, body=None), ContextError),
        (refused(400, "request (1300 tokens) exceeds the available context size (1024 tokens)"), ContextError),
        (refused(413, "prompt is too long: 210000 tokens > 200000 maximum"), ContextError),
        (refused(500, "input length exceeds maximum context length"), ContextError),
        (refused(429, "too many tokens: slow down"), RetryableError),
        (refused(400, "temperature: only 1 is supported"), ModelError),
    ],
)
def test_a_refusal_of_too_long_a_conversation_is_an_error_of_its_own(error, kind):
    assert type(failure(error, 1.0, Message("tiny at here", Redactor.of()))) is kind
