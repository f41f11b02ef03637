"""The error that set-up reports in one line."""


class InstallError(RuntimeError):
    """Set-up cannot go on; the message is one line that says what failed and what was expected."""


class IncompleteError(InstallError):
    """All steps went through, and yet the environment does not work: files of it are missing or were changed."""
