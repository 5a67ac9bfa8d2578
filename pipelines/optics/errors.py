"""The one error a user may see: a sentence that says what was given, what is needed, what to do."""


class RefocusError(ValueError):
    """Wrong input. The message is one sentence meant for the artist, shown without a traceback."""
