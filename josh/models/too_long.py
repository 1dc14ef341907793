"""Recognises the words with which servers refuse a conversation that is too long for the model's context."""

import re

_TOO_LONG = re.compile(
    r"context_length_exceeded|exceed_context_size|ContextWindowExceeded"  # the codes of OpenAI, llama.cpp, litellm
    r"|max(imum)?[ _](context|prompt|model|seq)[ _]len|model's context"  # vLLM, SGLang, DeepSeek, Mistral, xAI
    r"|(exceeds?|exceeded|over|larger than|longer than|greater than|beyond) (the |its |this model'?s )?"
    r"(available |max(imum)? )?(context|input|prompt)[ _](length|size|window|limit)"  # llama.cpp, Ollama, LM Studio
    r"|exceeds? max(imum)? length|context (length|size|window|limit) (is |was )?exceeded|context (the )?overflow"
    r"|(prompt|input|conversation) (is|are) too (long|large)|(prompt|input) too (long|large)"  # Anthropic, Bedrock
    r"|input token count|too many (input |prompt )?tokens:|range of input length"  # Gemini, Cohere, DashScope
    r"|`?inputs`? (tokens \+|must have less than)"  # TGI
    r"|reduce the length of (the|your) (messages|prompt|input)",  # Groq
    re.IGNORECASE,
)


def says_too_long(text: str) -> bool:
    """Returns whether a server's error says that the conversation does not fit into the model's context.

    It knows the words of OpenAI, vLLM, SGLang, llama.cpp, Ollama, TGI, litellm, Anthropic, Gemini and Mistral.
    """
    return bool(_TOO_LONG.search(text))
