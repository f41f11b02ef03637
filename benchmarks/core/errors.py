"""The errors of this folder."""


class ConfigError(ValueError):
    """One line that names the option, key or file and what was expected."""


class RunLeftOut(RuntimeError):
    """A run is not made, and what there is of it was left as it was; one line that says why. Others can be made."""


class RunLocked(RunLeftOut):
    """Another process has the run; one line that says which."""


class RunRefused(RunLeftOut):
    """What was begun is not gone on with, as things are now; one line that says why, and what to do."""
