"""The error of this folder."""

from __future__ import annotations


class LauncherError(ValueError):
    """One line that names the profile, its key, or what the scheduler said."""
