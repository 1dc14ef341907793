"""What bad input gets on the command line."""

from pathlib import Path

from josh.cli import main


def bad(capsys, *arguments):
    """The one line that bad input gets."""
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    assert not Path("records").exists()
    return captured.err.strip().splitlines()[-1]
