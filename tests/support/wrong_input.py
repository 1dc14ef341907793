"""Runs a command in this process, and reads what it printed."""

from josh.cli import main


def outcome(capsys, arguments):
    """The exit code of a command, what it prints, and the lines of its errors that say more than a default."""
    try:
        code = main(arguments.split() if isinstance(arguments, str) else arguments)
    except SystemExit as stop:
        code = stop.code
    printed = capsys.readouterr()
    return code, printed.out, [line for line in printed.err.splitlines() if " without --" not in line]
