"""The exceptions josh raises on purpose; everything else that escapes is a bug."""


class JoshError(Exception):
    """Base of josh's own exceptions. Its text is one line: the thing, the value and the way out."""


class UsageError(JoshError, ValueError):
    """A wrong setting, raised before anything is paid for. The command line exits with code 2."""


class FatalError(JoshError):
    """Going on would fail every further call too (a refused key, a full disk). It ends the run, never just a leaf."""


class BudgetError(JoshError):
    """The run has spent what it may. It ends cleanly and can be resumed; the text names the limit."""
