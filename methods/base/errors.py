"""The one error class of `methods`: its message is the single line a user reads."""


class MethodError(ValueError):
    """A method, network or weight file that cannot be used: one line naming file or key, value, expectation."""
