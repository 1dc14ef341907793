"""What messages say."""

import pytest

from josh.messages import text_of


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Hello.", "Hello."),
        (None, ""),
        ([{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo."}], "Hello."),
        (["Hel", {"text": "lo."}, {"type": "image_url", "image_url": {}}, {"type": "text", "text": None}], "Hello."),
        ({"text": "Hello."}, "Hello."),
    ],
)
def test_a_message_says_its_text_or_the_texts_of_its_parts(content, text):
    assert text_of({"role": "assistant", "content": content}) == text
