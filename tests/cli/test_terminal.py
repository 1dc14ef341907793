"""Texts as a terminal shows them."""

import sys
from contextlib import redirect_stdout
from io import StringIO

from rich.cells import cell_len

from josh.terminal import align_columns, console_for, only_visible, rendered, shortened, visible, wrap


def test_lines_are_wrapped_by_what_they_take_on_the_screen():
    assert wrap("one two three", 7) == ["one two", "three"]
    assert wrap("", 7) == [""]
    assert wrap("a\n\nb", 7) == ["a", "", "b"]
    assert wrap("unbreakable", 4) == ["unbr", "eaka", "ble"]
    assert wrap("日本語 日本", 6) == ["日本語", "日本"]
    assert wrap("e\u0301a e\u0301", 2) == ["e\u0301a", "e\u0301"]
    assert visible("tab\tbell\x07 line\x85 half \ud800") == r"tab    bell\x07 line\x85 half \ud800"


def test_no_text_is_taken_for_markup_or_an_emoji():
    text = "[DONATE $1.50] [bold]yes[/bold] [/] :smile: **1.50** https://x.org"
    assert wrap(text, 100) == [text]
    assert rendered(text, console_for(StringIO(), 100, colours=True)) == [text]
    assert align_columns([[text, "1"], ["", "22"]]) == [f"{text}  1", f"{' ' * len(text)}  22"]


def test_a_table_keeps_to_the_screen_by_folding_cells():
    rows = [["policy", "calls"], ["  base", "12 agent, 11 user; unknown cost"]]
    assert align_columns(rows) == ["policy  calls", "  base  12 agent, 11 user; unknown cost"]
    assert align_columns(rows, 30) == ["policy  calls", "  base  12 agent, 11 user;", "        unknown cost"]


def test_a_long_id_loses_its_middle():
    assert shortened("synthetic-train-0001", 20) == "synthetic-train-0001"
    assert shortened("synthetic-train-0001", 13) == "synth...-0001"
    assert cell_len(shortened("日本" * 60, 12)) <= 12


class Terminal(StringIO):
    def isatty(self):
        return True


SAID = "\x1b]0;title\x07 \x1b[31mred\x1b[0m\r\u202eback"


def test_what_a_plug_in_prints_cannot_control_a_terminal():
    with redirect_stdout(Terminal()) as screen, only_visible():
        print(SAID, "and more")
        sys.stdout.writelines(["one\n", "two\x1b[2J\n"])
    shown = "\\x1b]0;title\\x07 \x1b[31mred\x1b[0m\\r\\u202eback and more\none\ntwo\\x1b[2J\n"
    assert screen.getvalue() == shown


def test_what_a_plug_in_prints_into_a_file_stays():
    with redirect_stdout(StringIO()) as file, only_visible():
        print(SAID)
    assert file.getvalue() == f"{SAID}\n"
