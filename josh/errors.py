"""The exceptions that josh raises on purpose; any other exception that escapes is a bug."""


class JoshError(Exception):
    """Base of josh's own exceptions. Its text is one line: the thing, the value and the way out."""


class UsageError(JoshError, ValueError):
    """A wrong setting, found before the first paid call, or a disk that cannot be written. Exit code 2."""


class FatalError(JoshError):
    """An error that every further call would meet as well, such as a refused key. It ends the run, not just a leaf."""


class BudgetError(JoshError):
    """The run has reached its budget. It ends cleanly and can be resumed; the text names the limit."""


class TurnError(RuntimeError):
    """A failure that ends one turn. Its text is for users: it is shown without the name of the class."""
