"""The exceptions josh raises on purpose; everything else that escapes is a bug."""


class JoshError(Exception):
    """Base of josh's own exceptions. Its text is one line: the thing, the value and the way out."""


class UsageError(JoshError, ValueError):
    """A wrong setting, found before anything is paid for, or a disk that cannot be written. Exit code 2."""


class FatalError(JoshError):
    """Going on would fail every further call too (a refused key). It ends the run, never just a leaf."""


class BudgetError(JoshError):
    """The run has spent what it may. It ends cleanly and can be resumed; the text names the limit."""
