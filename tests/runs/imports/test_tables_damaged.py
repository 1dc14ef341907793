"""Tables that no reader should guess about: rows with too many columns, quotes that are not closed, other line ends."""

import pytest

from josh.cli import main

HEAD = "id,role,text\n"


def imported(tmp_path, text, *flags):
    file, out = tmp_path / "t.csv", tmp_path / "run"
    file.write_bytes(text.encode())
    return main(["import", str(file), "--format", "csv", "--out", str(out), *flags]), out


def test_a_comma_without_quotes_is_named_and_cuts_no_text_off(tmp_path, capsys):
    text = f"{HEAD}1,user,hi\n1,assistant,fine, thanks\n2,user,hi\n2,assistant,fine\n"
    code, out = imported(tmp_path, text)
    assert code == 2
    assert "line 3 has 4 of 3 columns; put quotes around a text with commas" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("rest", ["", '3,user,hi\n3,assistant,"fine"\n'])
def test_a_quote_that_is_not_closed_loses_no_conversation(tmp_path, capsys, rest):
    text = f'{HEAD}1,user,hi\n1,assistant,fine\n2,user,"I said\n2,assistant,fine\n{rest}'
    code, out = imported(tmp_path, text)
    assert code == 2
    said = capsys.readouterr().err
    assert "line 4: a quote is not closed, and its text goes on to line" in said
    assert not out.exists()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_may_end_in_any_usual_way(tmp_path, capsys, end):
    text = f'{HEAD}1,user,"hi, ""you"""\n1,assistant,fine\n'.replace("\n", end)
    code, out = imported(tmp_path, text)
    assert code == 0
    capsys.readouterr()
    assert main(["show", str(out), "1"]) == 0
    assert 'user: hi, "you"' in capsys.readouterr().out


def test_rows_of_messages_are_none_of_the_published_results(tmp_path, capsys):
    file = tmp_path / "m.jsonl"
    file.write_text('{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]}\n')
    assert main(["import", str(file), "--format", "josh", "--out", str(tmp_path / "run")]) == 2
    assert "has messages instead of training_examples; give --format messages" in capsys.readouterr().err


def test_a_world_with_public_phone_numbers_masks_addresses_all_the_same(tmp_path, capsys):
    file, out = tmp_path / "m.jsonl", tmp_path / "run"
    said = "Write to bob@example.com or call 01223 351880."
    file.write_text(
        f'{{"messages": [{{"role": "user", "content": "{said}"}}, {{"role": "assistant", "content": "yes"}}], '
        '"reward": 1}\n'
    )
    assert main(["import", str(file), "--format", "messages", "--env", "toolwoz", "--out", str(out)]) == 0
    capsys.readouterr()
    assert main(["show", str(out), "1"]) == 0
    assert "Write to [email] or call 01223 351880." in capsys.readouterr().out
