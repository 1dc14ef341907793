"""The code in a message, in every usual form; words about code are none."""

import pytest

from josh.envs.proactive.code import code_in, parts

SOLUTION = "def largest(items):\n    return max(items)"
CAREFUL = '''MAX=1000;
LIMIT = 10
NAMES = ["a", "b"]


def check(number):
    """Raises ValueError where the number is too large."""
    if number > LIMIT:
        raise ValueError("an Exception, or an Error: too large")
    return NAMES[number]'''


@pytest.mark.parametrize("code", [SOLUTION, CAREFUL], ids=["short", "with constants and ValueError"])
@pytest.mark.parametrize(
    "form",
    [
        "Here it is:\n```python\n{}\n```\nIt raises ValueError.",
        "```\n{}\n```",
        "```py\n{}\n```",
        "```Python3\n{}\n```\n",
        '```python title="a.py"\n{}\n```',
        "```{{python}}\n{}\n```",
        "~~~python\n{}\n~~~",
        "````python\n{}\n````",
        "```python\n{}",
        "```python\n{}\n\nThis is the function that you asked for.",
        "\r\n```python\r\n{}\r\n```\r\n",
        "[PYTHON]\n{}\n[/PYTHON]",
        "[BEGIN]\n{}\n[DONE]",
        "<pre><code class='python'>\n{}\n</code></pre>",
        "{}",
        "Sure, here it is.\n\n{}",
        "Sure, here it is:\n{}\n\nIt raises an Exception for large numbers. Enjoy!",
        "{}\n\nEnjoy",
        "```bash\npip install numpy\n```\nThen:\n```python\n{}\n```\nIt prints:\n```\n3 items\n```",
        "```python\n{}\n```\nFor example:\n```python\nassert largest([1, 2]) == 2\nprint(largest([4]))\n```",
        "```python\n{}\n```\nFor example:\n```python\n>>> largest([1, 2])\n2\n```",
    ],
)
def test_the_program_is_found_whole(form, code):
    assert code_in(form.format(code)).strip() == code


def test_an_indented_block_is_moved_to_the_margin():
    inside = "\n".join("    " + line for line in SOLUTION.split("\n"))
    for text in (f"Here:\n\n{inside}\n\nDone.", f"1. This:\n    ```python\n{inside}\n    ```\n2. Done."):
        assert code_in(text) == SOLUTION
    quoted = "\n".join("> " + line for line in ["```python", *SOLUTION.split("\n"), "```"])
    assert code_in(quoted) == SOLUTION


def test_a_fence_in_one_line_is_read():
    for text in ("Use ```def f(x): return x``` here.", "```python def f(x): return x```", "```def f(x): return x\n```"):
        assert code_in(text) == "def f(x): return x"


def test_several_blocks_are_one_program_in_their_order():
    text = "```python\nimport math\nTWO = 2\n```\nand\n```python\ndef f(x):\n    return math.sqrt(x) * TWO\n```"
    assert code_in(text) == "import math\nTWO = 2\n\ndef f(x):\n    return math.sqrt(x) * TWO"
    revised = "```python\ndef f(): return 1\n```\nBetter:\n```python\ndef f(): return 2\n```"
    names = {}
    exec(code_in(revised), names)
    assert names["f"]() == 2


def test_a_fence_inside_a_docstring_does_not_end_the_block():
    code = 'def f():\n    """Run it:\n\n```\nf()\n```\n"""\n    return 1'
    assert code_in(f"```python\n{code}\n```") == code


def test_a_program_with_a_fault_is_returned_as_it_is():
    assert code_in("```python\ndef f(:\n    return 1\n```") == "def f(:\n    return 1"
    assert code_in("```\ndef f(x)\n    return (1\ndef g():\n```") == "def f(x)\n    return (1\ndef g():"


def test_other_languages_count_where_there_is_no_python():
    script = "function f(x) { return x; }"
    assert code_in(f"```javascript\n{script}\n```") == script
    assert code_in(f"```js\n{script}\n```\n```python\n{SOLUTION}\n```") == SOLUTION


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Should it be a class Foo, or a def that returns a list?",
        "class or function? What should def f(x) return?",
        "Do you import anything?\nfrom which list should I take it?\nif so, which?",
        "def largest(items)\nIs this the signature that you want?",
        "I assume that\nn = 5\nIs that right?",
        "Yes.",
        "Yes",
        "Which of `max(items)` and `sorted(items)` do you mean?",
        "```\nExpected output: 3 items\n```\nIs this right?",
        '```json\n{"a": 1}\n```',
        "```bash\npip install numpy\n```",
        "1. Book the flight.\n2. Pack for 3 days = 72 hours.",
    ],
)
def test_words_about_code_are_no_code(text):
    assert code_in(text) is None


def test_a_message_is_divided_into_prose_and_blocks():
    found = parts(f"Before\n```python\n{SOLUTION}\n```\nAfter?")
    assert found.prose.split() == ["Before", "After?"]
    assert [(block.language, block.text) for block in found.blocks] == [("python", SOLUTION)]


def test_odd_texts_are_read_without_an_error():
    for text in ("```", "``````", "~~~\n", "\0", "```python\n" + "(" * 500, "def f(\n" * 300, "[PYTHON]" * 50):
        code_in(text)
    escape = "import re\nX = re.compile('\\d')"
    assert code_in(f"```python\n{escape}\n```") == escape
