"""The one error that a user sees as a message, without a traceback."""


class UserError(Exception):
    """Something the user can mend: says what was expected, what was found, and the remedy."""
