"""The error of this room."""


class ResultsError(ValueError):
    """One line that names the file and what was expected of it."""
