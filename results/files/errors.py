"""The error of this folder."""


class ResultsError(ValueError):
    """One line that names the file and what was expected of it."""
