"""Question marks count outside code, in both scripts."""

import pytest

from josh.envs.proactive.questions import question_acts


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("Here is the plan.", 0),
        ("Which order?", 1),
        ("Which order\uff1f And which type?", 2),
        ("Should the class Foo have a def bar?", 1),
        ("```python\n# why?\nx = '?'\n```\nIs that right?", 1),
        ("~~~\nwhy?\n~~~", 0),
        ("```python\nx = 'why?'", 0),
        ("Do you mean `a?b` or ``c?``?", 1),
        ("def f(x):\n    # a number?\n    return x\n\nIs that right?", 1),
        ("import re\n\ndef f(x):\n    return re.match('a?', x)", 0),
        ("See https://example.org/search?q=a. Is it that?", 1),
        ("Do you mean https://example.org/search?", 1),
        ("? " * 12, 12),
    ],
)
def test_question_marks_outside_code_count(text, count):
    assert question_acts(text) == count
